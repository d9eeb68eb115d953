"""Search for better parameters of the forecaster, inside the years before a test.

Optuna is an extra: ``pip install stock_volume[tuning]``.
"""

import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from stock_volume.evaluation.backtest import (
    COMMON_STOCK,
    NoBacktestError,
    Plan,
    plan_backtest,
    run_backtest,
    target_sessions,
)
from stock_volume.evaluation.measures import point_measures
from stock_volume.forecaster.model import FORECAST
from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters

if TYPE_CHECKING:
    from optuna import Trial

logger = logging.getLogger(__name__)


class TuningParameters(BaseModel):
    """Parameters of the search.

    Attributes:
        trials: Settings tried, the one in force among them.
        folds: Windows of a year, the last ones before the test, that a setting is
            judged on.
        random_state: Seed of the sampler.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trials: int = Field(default=20, ge=1)
    folds: int = Field(default=2, ge=1)
    random_state: int = 42


class Tuned(NamedTuple):
    """What a search found.

    Attributes:
        parameters: The best setting, all parameters of the forecaster.
        trials: Each setting tried, with its eta-R2 in per cent.
        plan: The windows that the settings were judged on.
    """

    parameters: ForecasterParameters
    trials: list[dict[str, Any]]
    plan: Plan


def tune_forecaster(
    features: pl.LazyFrame,
    forecaster: ForecasterParameters,
    backtest: BacktestParameters,
    tuning: TuningParameters,
) -> Tuned:
    """Search for the setting of the highest eta-R2 in the years before the backtest's test.

    Args:
        features: Rows of ``forecast_features``.
        forecaster: The setting in force, which is tried first.
        backtest: Tells where the test begins, which no trial sees.
        tuning: Of the search.

    Returns:
        What was found; equal input gives an equal answer.

    Raises:
        NoBacktestError: The years before the test hold too little to judge a setting by.
        TooFewRowsError: They hold too few rows to train on.
    """
    from optuna import create_study
    from optuna import logging as optuna_logging
    from optuna.samplers import TPESampler

    sessions = target_sessions(features)
    first_test = plan_backtest(sessions, forecaster, backtest).folds[0].test_start
    plan = plan_backtest(
        [day for day in sessions if day < first_test],
        forecaster,
        BacktestParameters(test_years=tuning.folds, least_sessions=backtest.least_sessions),
    )
    if plan.note:
        logger.warning("tuning: %s More: forecaster.feature_years", plan.note)

    def judge(trial: "Trial") -> float:
        setting = _setting(trial, forecaster)
        return _eta_r2(features, plan, setting)

    optuna_logging.disable_default_handler()
    study = create_study(direction="maximize", sampler=TPESampler(seed=tuning.random_state))
    study.enqueue_trial({name: getattr(forecaster, name) for name in _SEARCHED})
    study.optimize(judge, n_trials=tuning.trials)
    trials = [{**trial.params, "eta_r2": trial.value} for trial in study.trials]
    logger.info("tuning: %.3f as it is, %.3f at best", trials[0]["eta_r2"], study.best_value)
    return Tuned(forecaster.model_copy(update=study.best_params), trials, plan)


class _Range(NamedTuple):
    low: float
    high: float
    log: bool = True


_SEARCHED: Final = {
    "learning_rate": _Range(0.02, 0.1),
    "num_leaves": _Range(15, 255),
    "min_rows_in_leaf": _Range(50, 2000),
    "feature_fraction": _Range(0.1, 0.6, log=False),
    "bagging_fraction": _Range(0.4, 1.0, log=False),
    "lambda_l2": _Range(0.0, 50.0, log=False),
}
_WHOLE: Final = ("num_leaves", "min_rows_in_leaf")


def _setting(trial: "Trial", forecaster: ForecasterParameters) -> ForecasterParameters:
    found: dict[str, Any] = {}
    for name, searched in _SEARCHED.items():
        in_force = getattr(forecaster, name)  # within reach, whatever it is
        low, high = min(searched.low, in_force), max(searched.high, in_force)
        if name in _WHOLE:
            found[name] = trial.suggest_int(name, int(low), int(high), log=searched.log)
        else:
            found[name] = trial.suggest_float(name, low, high, log=searched.log)
    # The quantiles are not judged, and one booster tells what two would.
    return forecaster.model_copy(update={**found, "quantile_trees": 1, "boosters": 1})


def _eta_r2(features: pl.LazyFrame, plan: Plan, setting: ForecasterParameters) -> float:
    rows = pl.concat(run_backtest(features, plan, setting))
    stocks = rows.filter(COMMON_STOCK)
    eta_r2: float | None = (
        (stocks if stocks.height else rows).select(point_measures(FORECAST)[0]).item()
    )
    if eta_r2 is None:
        raise NoBacktestError(
            "tuning: eta-R2, by which settings are judged, is undefined: the volumes from "
            f"{plan.folds[0].test_start} to {plan.folds[-1].test_end} do not vary"
        )
    return eta_r2
