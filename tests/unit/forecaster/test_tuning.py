"""The search for parameters: what it tries, what it finds, and what it must not see."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from optuna import Trial

from stock_volume import columns
from stock_volume.evaluation.backtest import (
    NoBacktestError,
    plan_backtest,
    target_sessions,
)
from stock_volume.evaluation.groups import COMMON_STOCK
from stock_volume.features.registry import ETA
from stock_volume.forecaster.model import FORECAST, MA5
from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters
from stock_volume.forecaster.tuning import (
    TrialResult,
    TuningParameters,
    TuningResult,
    tune_forecaster,
)
from tests.unit.forecast_helpers import (
    FEATURE_NAMES,
    backtest_of,
    change_targets,
    forecast_frame,
    small_parameters,
)

SEARCHED: Final = {
    "learning_rate": (0.02, 0.1),
    "num_leaves": (15, 255),
    "min_rows_in_leaf": (50, 2000),
    "feature_fraction": (0.1, 0.6),
    "bagging_fraction": (0.4, 1.0),
    "lambda_l2": (0.0, 50.0),
}
"""Bounds of what the search may set."""

IN_FORCE: Final = small_parameters(
    learning_rate=0.1, num_leaves=15, min_rows_in_leaf=50, n_estimators=6, quantile_trees=3
)
BACKTEST: Final = BacktestParameters(test_years=0.1, min_sessions=10)
TUNING: Final = TuningParameters(trials=3)
FRAME: Final = forecast_frame(symbols=10, sessions=110)
SESSIONS: Final = target_sessions(FRAME.lazy())
FIRST_TEST: Final = plan_backtest(SESSIONS, IN_FORCE, BACKTEST).folds[0].test_start
TESTED: Final = pl.col(columns.TARGET_DATE) >= FIRST_TEST


def _tune(
    frame: pl.DataFrame = FRAME,
    forecaster: ForecasterParameters = IN_FORCE,
    backtest: BacktestParameters = BACKTEST,
    **tuning: Any,
) -> TuningResult:
    return tune_forecaster(frame.lazy(), forecaster, backtest, TUNING.model_copy(update=tuning))


def _setting(trial: TrialResult) -> dict[str, float]:
    return trial.model_dump(include=set(SEARCHED))


def _eta_r2(rows: pl.DataFrame) -> float:
    eta = rows[ETA].to_numpy()
    error = eta - np.log(rows[FORECAST].to_numpy() / rows[MA5].to_numpy())
    return float(100 * (1 - np.square(error).sum() / np.square(eta).sum()))


@pytest.fixture(scope="module")
def tuned() -> TuningResult:
    return _tune()


def test_there_are_as_many_trials_as_asked(tuned: TuningResult) -> None:
    """Each trial has a setting of its own, within the bounds, and a figure."""
    assert len(tuned.search.trials) == TUNING.trials
    assert len({tuple(_setting(trial).values()) for trial in tuned.search.trials}) == TUNING.trials
    for trial in tuned.search.trials:
        assert set(trial.model_dump()) == {*SEARCHED, "eta_r2"}
        assert np.isfinite(trial.eta_r2)
        for name, (least, most) in SEARCHED.items():
            assert least <= getattr(trial, name) <= most


def test_first_trial_is_the_setting_in_force(tuned: TuningResult) -> None:
    """What is in force is tried first, so that nothing worse is recommended."""
    assert _setting(tuned.search.trials[0]) == IN_FORCE.model_dump(include=set(SEARCHED))
    (only,) = _tune(trials=1).search.trials
    assert only == tuned.search.trials[0]


def test_a_trial_is_judged_by_its_backtest(tuned: TuningResult) -> None:
    """Its figure is eta-R2 of common stocks over all windows of the plan."""
    for trial in tuned.search.trials:
        setting = IN_FORCE.model_copy(update=_setting(trial))
        rows = backtest_of(FRAME, tuned.search.plan, setting)
        assert trial.eta_r2 == pytest.approx(_eta_r2(rows.filter(pl.col(COMMON_STOCK))))


def test_without_common_stocks_all_symbols_judge() -> None:
    """Where there are only other securities, they are what a trial is judged by."""
    etfs = FRAME.with_columns(pl.lit(value=True).alias(columns.ETF))
    found = _tune(etfs, trials=1)
    rows = backtest_of(etfs, found.search.plan, IN_FORCE)
    assert found.search.trials[0].eta_r2 == pytest.approx(_eta_r2(rows))


def test_best_setting_is_returned(tuned: TuningResult) -> None:
    """The setting of the highest figure is returned, with all that was not searched."""
    best = max(tuned.search.trials, key=lambda trial: trial.eta_r2)
    assert tuned.parameters == IN_FORCE.model_copy(update=_setting(best))
    assert ForecasterParameters.model_validate(tuned.parameters.model_dump()) == tuned.parameters


def test_best_setting_may_be_another() -> None:
    """A setting in force that learns next to nothing is not the one returned."""
    slow = IN_FORCE.model_copy(update={"learning_rate": 0.01, "feature_fraction": 0.1})
    found = _tune(forecaster=slow)
    assert found.search.trials[0].eta_r2 < max(trial.eta_r2 for trial in found.search.trials)
    assert found.parameters != slow


def test_equal_seeds_give_equal_answers(tuned: TuningResult) -> None:
    """A second search gives the same trials; one of another seed tries other settings."""
    assert _tune() == tuned
    other = _tune(random_state=7)
    assert other.search.trials[0] == tuned.search.trials[0]
    assert other.search.trials[1] != tuned.search.trials[1]


def test_windows_end_before_the_test(tuned: TuningResult) -> None:
    """The last session judged on is the one before the test, with the test's least history."""
    assert tuned.search.plan.min_sessions == BACKTEST.min_sessions
    assert SESSIONS.index(tuned.search.plan.folds[-1].test_end) == SESSIONS.index(FIRST_TEST) - 1
    for fold in tuned.search.plan.folds:
        assert fold.train_end < fold.test_start


def test_windows_are_years_before_the_test() -> None:
    """Where the data is long enough, as many windows are judged on as folds are asked for."""
    frame = forecast_frame(symbols=2, sessions=1000)
    short = IN_FORCE.model_copy(update={"train_years": 0.5})
    backtest = BacktestParameters(test_years=1, min_sessions=100)
    found = _tune(frame, short, backtest, trials=1, folds=2)
    assert found.search.plan.note == ""
    assert len(found.search.plan.folds) == 2
    for fold in found.search.plan.folds:
        assert (fold.test_end - fold.test_start).days == pytest.approx(365, abs=5)


@pytest.mark.parametrize(
    "backtest",
    [BACKTEST, BacktestParameters(test_start=FIRST_TEST, min_sessions=10)],
    ids=["rolling", "fixed"],
)
def test_the_test_is_not_seen(tuned: TuningResult, backtest: BacktestParameters) -> None:
    """Other features and volumes from the first session of the test on change no trial."""
    changed = change_targets(FRAME, TESTED).with_columns(
        pl.when(TESTED).then(-2 * pl.col(name)).otherwise(name).alias(name)
        for name in FEATURE_NAMES
    )
    assert changed.filter(~TESTED).equals(FRAME.filter(~TESTED))
    assert not changed.equals(FRAME)
    assert _tune(changed, backtest=backtest) == tuned


def test_what_is_before_the_test_is_seen(tuned: TuningResult) -> None:
    """Other volumes before the test do change the trials, which the test above rests on."""
    changed = change_targets(FRAME, ~TESTED)
    assert _tune(changed, trials=1).search.trials[0] != tuned.search.trials[0]


def test_a_setting_in_force_without_regularisation_is_tried() -> None:
    """Any valid setting in force can be tried first."""
    found = _tune(forecaster=IN_FORCE.model_copy(update={"lambda_l2": 0.0}), trials=1)
    assert found.search.trials[0].lambda_l2 == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0.005),
        ("learning_rate", 0.4),
        ("num_leaves", 7),
        ("num_leaves", 300),
        ("min_rows_in_leaf", 20),
        ("min_rows_in_leaf", 3000),
        ("feature_fraction", 0.05),
        ("feature_fraction", 0.9),
        ("bagging_fraction", 0.3),
        ("lambda_l2", 80.0),
    ],
)
def test_a_setting_in_force_out_of_bounds_is_tried(name: str, value: float) -> None:
    """A setting in force that the search would not suggest is tried first, without a warning."""
    found = _tune(forecaster=IN_FORCE.model_copy(update={name: value}), trials=1)
    assert getattr(found.search.trials[0], name) == value


def test_each_parameter_has_its_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates and sizes are searched by their logarithm, shares and penalties as they are."""
    asked: dict[str, tuple[float, float, bool]] = {}

    def recording(suggest: Callable[..., float]) -> Callable[..., float]:
        def record(trial: Trial, name: str, low: float, high: float, *, log: bool) -> float:
            asked[name] = (low, high, log)
            return suggest(trial, name, low, high, log=log)

        return record

    for method in ("suggest_int", "suggest_float"):
        monkeypatch.setattr(Trial, method, recording(getattr(Trial, method)))
    _tune(trials=1)
    assert {name: (low, high) for name, (low, high, _) in asked.items()} == SEARCHED
    by_logarithm = {name for name, (*_, log) in asked.items() if log}
    assert by_logarithm == {"learning_rate", "num_leaves", "min_rows_in_leaf"}


def test_trials_have_one_booster(tuned: TuningResult) -> None:
    """Trials are judged by one booster, and what is returned keeps those in force."""
    several = IN_FORCE.model_copy(update={"boosters": 3})
    found = _tune(forecaster=several)
    assert found.search.trials == tuned.search.trials
    assert found.parameters == tuned.parameters.model_copy(update={"boosters": 3})


def test_volumes_that_do_not_vary_judge_no_setting() -> None:
    """Where eta-R2 is undefined the search ends, and says which sessions do not vary."""
    known = pl.when(pl.col(ETA).is_not_null()).then(0.0).alias(ETA)
    with pytest.raises(NoBacktestError, match=r"the volumes from .* do not vary"):
        _tune(FRAME.with_columns(known), trials=1)
