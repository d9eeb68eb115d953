"""The backtest at the open: which sessions are forecast, by which model, and how it is measured."""

from typing import Final

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_volume.evaluation.backtest import Plan
from stock_volume.evaluation.measures import evaluate_backtest
from stock_volume.evaluation.opening_backtest import (
    GAP_SIZE,
    GAP_SIZES,
    OPENING_TYPES,
    backtest_opening,
    before,
)
from stock_volume.evaluation.results import OpeningGroup
from stock_volume.features.registry import ETA, NEXT_OPEN
from stock_volume.forecaster.model import FORECAST, MA5
from stock_volume.forecaster.opening import OPENING_QUANTILES, OpeningParameters, fit_opening
from stock_volume.forecaster.parameters import BacktestParameters
from stock_volume.forecaster.universe import BUCKET, BUCKETS
from stock_volume.schemas import OpeningBacktest
from tests.unit.forecast_helpers import LEVELS, opening_frame, scored, small_parameters

FORECASTER: Final = small_parameters()
PARAMETERS: Final = OpeningParameters(first_sessions=30, refit_sessions=25, min_rows_in_leaf=20)
ROWS: Final = opening_frame(symbols=10, sessions=100)
SESSIONS: Final = ROWS["TargetDate"].unique().sort().to_list()
PLAN: Final = Plan(folds=(), min_sessions=1, note="")


def backtest(rows: pl.DataFrame, parameters: OpeningParameters = PARAMETERS) -> pl.DataFrame:
    return pl.concat(backtest_opening(rows, parameters, FORECASTER))


@pytest.fixture(scope="module")
def made() -> pl.DataFrame:
    return backtest(ROWS)


def test_sessions_after_the_first_are_forecast(made: pl.DataFrame) -> None:
    """Thirty sessions train; the others are forecast in windows of 25, the last of them shorter."""
    assert OpeningBacktest.validate(made).schema == OPENING_TYPES
    tested = ROWS.filter(pl.col("TargetDate") >= SESSIONS[30])
    assert made.select("Symbol", "TargetDate").equals(tested.select("Symbol", "TargetDate"))
    folds = made.group_by("fold").agg(pl.col("TargetDate").min()).sort("fold")
    assert folds.rows() == [(0, SESSIONS[30]), (1, SESSIONS[55]), (2, SESSIONS[80])]
    for name in (FORECAST, *OPENING_QUANTILES):
        assert made[before(name)].equals(tested[name], check_names=False)
    for name in ("Volume", "Close", MA5, ETA, NEXT_OPEN, BUCKET):
        assert made[name].equals(tested[name])


def test_each_window_has_a_model_of_the_sessions_before(made: pl.DataFrame) -> None:
    """A model trained on the sessions before a window forecasts it."""
    first, last = SESSIONS[55], SESSIONS[79]
    model = fit_opening(ROWS.filter(pl.col("TargetDate") < first), PARAMETERS, FORECASTER)
    expected = model.predict(ROWS.filter(pl.col("TargetDate").is_between(first, last)), 1)
    assert_frame_equal(made.filter(fold=1).select(expected.columns), expected, check_exact=True)


@pytest.mark.parametrize("place", [30, 60, 99])
def test_a_forecast_knows_no_outcome_of_its_session_or_later(
    made: pl.DataFrame, place: int
) -> None:
    """Other volumes from a session on leave all forecasts up to it as they were."""
    later = pl.col("TargetDate") >= SESSIONS[place]
    changed = backtest(
        ROWS.with_columns(pl.when(later).then(3 - pl.col(ETA)).otherwise(ETA).alias(ETA))
    )
    until = pl.col("TargetDate") <= SESSIONS[place]
    names = ["Symbol", FORECAST, *OPENING_QUANTILES]
    assert_frame_equal(
        changed.filter(until).select(names), made.filter(until).select(names), check_exact=True
    )


@pytest.mark.parametrize(("sessions", "forecast"), [(0, 0), (1, 0), (8, 0), (9, 4), (80, 50)])
def test_half_of_few_sessions_train(sessions: int, forecast: int) -> None:
    """No more than the half of the sessions only train, if these have 50 rows."""
    rows = ROWS.filter(pl.col("TargetDate").is_in(SESSIONS[:sessions]))
    assert backtest(rows)["TargetDate"].n_unique() == forecast


def test_gaps_are_grouped_by_their_size(made: pl.DataFrame) -> None:
    """A gap counts by how many standard deviations of the daily return it has."""
    joined = made.join(
        ROWS.select("Symbol", "TargetDate", "volatility_22"), on=["Symbol", "TargetDate"]
    )
    gap = (joined[NEXT_OPEN] / joined["Close"]).log().abs()
    scores = (gap / joined["volatility_22"]).to_numpy()
    expected = np.searchsorted([0.5, 1, 2], scores)
    np.testing.assert_array_equal(joined[GAP_SIZE], expected)
    assert np.unique(expected).tolist() == list(range(len(GAP_SIZES)))


def measured_by_hand(rows: pl.DataFrame) -> tuple[float, float]:
    """eta-R2 of both forecasts of rows, in per cent."""
    eta = rows[ETA].to_numpy()
    errors = (
        eta - np.log(rows[name].to_numpy() / rows[MA5].to_numpy())
        for name in (before(FORECAST), FORECAST)
    )
    first, second = (float(100 * (1 - np.sum(one**2) / np.sum(eta**2))) for one in errors)
    return first, second


def check(group: OpeningGroup, rows: pl.DataFrame) -> None:
    assert group.n == group.before.n == rows.height
    if rows.is_empty():
        assert group.eta_r2 is group.before.eta_r2 is None
        return
    assert (group.before.eta_r2, group.eta_r2) == pytest.approx(measured_by_hand(rows))
    inside = rows["Volume"].is_between(rows[before("q10")], rows[before("q90")])
    assert group.before.coverage_80 == pytest.approx(100 * inside.mean())  # type: ignore[operator]


def test_both_forecasts_are_measured_on_the_same_rows(made: pl.DataFrame) -> None:
    """Overall, by liquidity and by gap, on common stocks."""
    bootstrap = BacktestParameters(resamples=10)
    metrics = evaluate_backtest(scored(ROWS, openings=made), PLAN, LEVELS, bootstrap).at_open
    common = made.filter("common_stock")
    assert metrics is not None
    check(metrics, common)
    for place, name in enumerate(BUCKETS):
        check(metrics.by_bucket[name], common.filter(bucket=place))
    for place, name in enumerate(GAP_SIZES):
        check(metrics.by_gap[name], common.filter(gap_size=place))
    assert metrics.eta_r2 > metrics.before.eta_r2 + 10  # type: ignore[operator]


def test_without_rows_nothing_is_measured() -> None:
    """Without opening prices there are no measures at the open."""
    bootstrap = BacktestParameters(resamples=10)
    empty = backtest(ROWS.clear())
    assert OpeningBacktest.validate(empty).is_empty()
    assert evaluate_backtest(scored(ROWS, openings=empty), PLAN, LEVELS, bootstrap).at_open is None
