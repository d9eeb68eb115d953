"""The backtest beyond the next session: which rows, which baselines, which windows."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from stock_volume import columns
from stock_volume.evaluation.backtest import Plan, plan_backtest, run_backtest, target_sessions
from stock_volume.evaluation.horizon_backtest import HORIZON, HORIZON_TYPES, HorizonBaselines
from stock_volume.evaluation.measures import evaluate_backtest
from stock_volume.features.horizon import Horizon
from stock_volume.features.registry import ETA
from stock_volume.forecaster.model import MA5, shares_at_base
from stock_volume.forecaster.parameters import BacktestParameters
from stock_volume.schemas import HorizonBacktest
from tests.unit.forecast_helpers import LEVELS, forecast_frame, scored, small_parameters

SECOND, TOTAL = HORIZONS = (Horizon(2), Horizon(3, total=True))
STEP = 3
PARAMETERS = small_parameters(horizons=(2,), totals=(3,), quantiles=LEVELS)
WINDOWS = BacktestParameters(min_sessions=1, horizon_step=STEP, resamples=10)
ETAS = {SECOND: pl.col(ETA) / 2, TOTAL: pl.col(ETA) + 0.5}
FRAME = forecast_frame(symbols=12, sessions=120).with_columns(
    *(eta.alias(horizon.eta) for horizon, eta in ETAS.items()),
    *(
        (shares_at_base() * horizon.scale * eta.exp()).round().cast(pl.Int64).alias(horizon.volume)
        for horizon, eta in ETAS.items()
    ),
)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_backtest(target_sessions(FRAME.lazy()), PARAMETERS, WINDOWS)


@pytest.fixture(scope="module")
def rows(plan: Plan) -> pl.DataFrame:
    return pl.concat(one.horizons for one in run_backtest(FRAME.lazy(), plan, PARAMETERS))


def test_every_third_session_is_an_origin(rows: pl.DataFrame, plan: Plan) -> None:
    """Each horizon is forecast from every third session of the test, for all symbols."""
    (fold,) = plan.folds
    tested = [
        day for day in target_sessions(FRAME.lazy()) if fold.test_start <= day <= fold.test_end
    ]
    assert HorizonBacktest.validate(rows).columns == list(HORIZON_TYPES)
    for horizon in HORIZONS:
        of_horizon = rows.filter(pl.col(HORIZON) == horizon.name)
        assert of_horizon[columns.TARGET_DATE].unique().sort().to_list() == tested[::STEP]
        assert of_horizon.height == 12 * len(tested[::STEP])


def test_outcomes_and_baselines_are_of_the_horizon(rows: pl.DataFrame) -> None:
    """Volume and eta are the horizon's; ``ma5`` is the volume at which its eta is 0."""
    joined = rows.join(FRAME, on=["Symbol", "Date"], suffix="_row")
    for horizon in HORIZONS:
        of_horizon = joined.filter(pl.col(HORIZON) == horizon.name)
        assert of_horizon[columns.VOLUME].equals(of_horizon[horizon.volume], check_names=False)
        assert of_horizon[ETA].equals(of_horizon[horizon.eta], check_names=False)
        shares = of_horizon.select(shares_at_base().alias("shares")).to_series() * horizon.scale
        np.testing.assert_allclose(of_horizon[MA5], shares)


def test_a_regression_learns_only_from_its_window() -> None:
    """Outcomes that reach beyond the window are unknown to the baselines."""
    train = FRAME.filter(pl.col(columns.TARGET_DATE) < date(2018, 4, 2))
    last = train[columns.TARGET_DATE].max()
    changed = train.with_columns(
        pl.when(pl.col(columns.TARGET_DATE) == last)
        .then(99.0)
        .otherwise(SECOND.eta)
        .alias(SECOND.eta)
    )
    found, expected = (HorizonBaselines.fit(rows.lazy(), HORIZONS) for rows in (changed, train))
    for horizon in HORIZONS:
        np.testing.assert_array_equal(found.slopes[horizon.name], expected.slopes[horizon.name])


def test_each_horizon_is_measured(rows: pl.DataFrame, plan: Plan) -> None:
    """The metrics have each horizon, with its baselines; the mean of five sessions has 0 %."""
    forecasts = pl.concat(one.forecasts for one in run_backtest(FRAME.lazy(), plan, PARAMETERS))
    metrics = evaluate_backtest(scored(forecasts, rows), plan, LEVELS, WINDOWS)
    assert list(metrics.by_horizon) == [horizon.name for horizon in HORIZONS]
    for measured in metrics.by_horizon.values():
        assert measured.eta_r2 is not None
        assert measured.eta_r2 > 20
        assert measured.baselines[MA5].eta_r2 == 0
        assert measured.coverage_80 is not None
        assert 50 < measured.coverage_80 < 100


def test_without_horizons_there_are_no_rows(plan: Plan) -> None:
    """The layer is there, without rows, and so are the metrics."""
    made = list(run_backtest(FRAME.lazy(), plan, small_parameters(quantiles=LEVELS)))
    empty = pl.concat(one.horizons for one in made)
    assert HorizonBacktest.validate(empty).is_empty()
    forecasts = pl.concat(one.forecasts for one in made)
    metrics = evaluate_backtest(scored(forecasts, empty), plan, LEVELS, WINDOWS)
    assert metrics.by_horizon == {}
