"""Search for better parameters of the forecaster in the years before a test.

Optuna is an extra: ``pip install stock_volume[tuning]``.
"""

import logging
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from stock_volume.evaluation.backtest import (
    NoBacktestError,
    Plan,
    plan_backtest,
    run_backtest,
    target_sessions,
)
from stock_volume.evaluation.headline import select_headline
from stock_volume.evaluation.measures import eta_r2_of
from stock_volume.forecaster.model import FORECAST
from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters

if TYPE_CHECKING:
    from optuna import Trial

logger = logging.getLogger(__name__)


class TuningParameters(BaseModel):
    """Parameters of the search.

    Attributes:
        trials: Number of settings to try, including the current one.
        folds: Number of windows of a year, just before the test, that judge a setting.
        random_state: Seed of the sampler.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trials: int = Field(default=20, ge=1)
    folds: int = Field(default=2, ge=1)
    random_state: int = 42


class TrialResult(BaseModel):
    """A setting that was tried, and how well it forecast.

    Attributes:
        learning_rate: As in ``ForecasterParameters``, like the next five.
        num_leaves: As there.
        min_rows_in_leaf: As there.
        feature_fraction: As there.
        bagging_fraction: As there.
        lambda_l2: As there.
        eta_r2: eta-R2 over all windows of the plan, in per cent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: float
    num_leaves: int
    min_rows_in_leaf: int
    feature_fraction: float
    bagging_fraction: float
    lambda_l2: float
    eta_r2: float


class TuningTrials(BaseModel):
    """The settings that a search tried.

    Attributes:
        plan: The windows that judged them.
        trials: The settings, in the order tried; the first is the current one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: Plan
    trials: tuple[TrialResult, ...]


class TuningResult(NamedTuple):
    """What a search found.

    Attributes:
        parameters: The best setting, with all parameters of the forecaster.
        search: The settings tried.
    """

    parameters: ForecasterParameters
    search: TuningTrials


def tune_forecaster(
    features: pl.LazyFrame,
    parameters: ForecasterParameters,
    backtest_parameters: BacktestParameters,
    tuning: TuningParameters,
) -> TuningResult:
    """Search for the setting with the highest eta-R2 in the years before the test.

    Args:
        features: Rows of ``forecast_features``.
        parameters: The current setting, which is tried first.
        backtest_parameters: Windows of the backtest, whose test no trial sees.
        tuning: Parameters of the search.

    Returns:
        The result; equal input gives an equal result.

    Raises:
        NoBacktestError: The years before the test hold too little data to judge a setting.
        TooFewRowsError: They hold too few rows to train on.
    """
    from optuna import create_study
    from optuna import logging as optuna_logging
    from optuna.samplers import TPESampler

    sessions = target_sessions(features)
    first_test = plan_backtest(sessions, parameters, backtest_parameters).folds[0].test_start
    plan = plan_backtest(
        [day for day in sessions if day < first_test],
        parameters,
        BacktestParameters(test_years=tuning.folds, min_sessions=backtest_parameters.min_sessions),
    )
    if plan.note:
        logger.warning("tuning: %s For more years, raise forecaster.feature_years", plan.note)

    def judge(trial: "Trial") -> float:
        return _measure_eta_r2(features, plan, _suggest_setting(trial, parameters))

    optuna_logging.disable_default_handler()
    study = create_study(direction="maximize", sampler=TPESampler(seed=tuning.random_state))
    study.enqueue_trial({name: getattr(parameters, name) for name in _SEARCHED})
    study.optimize(judge, n_trials=tuning.trials)
    trials = tuple(
        TrialResult.model_validate({**trial.params, "eta_r2": trial.value})
        for trial in study.trials
    )
    logger.info("tuning: eta-R2 %.3f now, %.3f at best", trials[0].eta_r2, study.best_value)
    return TuningResult(
        parameters.model_copy(update=study.best_params), TuningTrials(plan=plan, trials=trials)
    )


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


def _suggest_setting(trial: "Trial", parameters: ForecasterParameters) -> ForecasterParameters:
    found: dict[str, float] = {}
    for name, searched in _SEARCHED.items():
        current = getattr(parameters, name)  # widens the range if outside it
        low, high = min(searched.low, current), max(searched.high, current)
        if name in _WHOLE:
            found[name] = trial.suggest_int(name, int(low), int(high), log=searched.log)
        else:
            found[name] = trial.suggest_float(name, low, high, log=searched.log)
    # The quantiles are not judged, and one booster ranks settings as well as two.
    return parameters.model_copy(
        update={**found, "quantile_trees": 1, "boosters": 1, "horizons": (), "totals": ()}
    )


def _measure_eta_r2(features: pl.LazyFrame, plan: Plan, setting: ForecasterParameters) -> float:
    rows = pl.concat(rows.forecasts for rows in run_backtest(features, plan, setting))
    eta_r2: float | None = select_headline(rows).select(eta_r2_of(FORECAST)).item()
    if eta_r2 is None:
        raise NoBacktestError(
            "tuning: eta-R2, which judges the settings, is undefined: the volumes from "
            f"{plan.folds[0].test_start} to {plan.folds[-1].test_end} do not vary"
        )
    return eta_r2
