"""Forecasts adapted to past ones: which errors count, and when."""

from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_volume.features.registry import ETA
from stock_volume.forecaster.adaptation import (
    AdaptationParameters,
    adapt,
    forecast_rows,
    measure_bias,
    sum_errors,
)
from stock_volume.forecaster.history import History, forecast_adapted
from stock_volume.forecaster.model import FORECAST, Forecaster
from stock_volume.forecaster.train import train_forecaster
from tests.unit.forecast_helpers import forecast_frame, small_parameters

PARAMETERS = small_parameters()
ADAPTATION = AdaptationParameters(half_life_sessions=5, window_rows=20, prior_rows=10)
ROWS = forecast_frame(symbols=6, sessions=120)
ORIGINS = ROWS["Date"].unique().sort().to_list()
TRAINED = 80
"""Origins that the forecaster is trained on."""


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    return train_forecaster(ROWS.filter(pl.col("Date") < ORIGINS[TRAINED]), PARAMETERS)


@pytest.fixture(scope="module")
def backtest(forecaster: Forecaster) -> pl.DataFrame:
    """Forecasts of sessions of the training, as an earlier model may have made them."""
    seen = ROWS.filter(pl.col("Date").is_between(ORIGINS[40], ORIGINS[TRAINED - 1]))
    raw = forecast_rows(forecaster, seen, 1)
    return raw.with_columns(pl.col(FORECAST) / 2)


def until(origin: date) -> pl.DataFrame:
    """The features as they were at an origin."""
    rows = ROWS.filter(pl.col("Date") <= origin)
    known = pl.col("Date") < origin
    return rows.with_columns(pl.when(known).then(ETA).alias(ETA))


def test_errors_of_the_backtest_and_since_the_training_count(
    forecaster: Forecaster, backtest: pl.DataFrame
) -> None:
    """A forecast is adapted to the errors of the backtest, then of the forecaster itself."""
    origin = ORIGINS[110]
    wanted = until(origin).filter(Date=origin)
    history = History(backtest.lazy(), until(origin).lazy(), ADAPTATION)
    since = until(origin).filter(pl.col("Date") >= ORIGINS[TRAINED])
    rows = pl.concat([backtest, forecast_rows(forecaster, since, 1)]).sort("Symbol", "Date")
    bias = measure_bias([sum_errors(rows)], ADAPTATION)
    expected = adapt(rows, bias, forecaster.levels, ADAPTATION).filter(Date=origin)
    made, latest = forecast_adapted(forecaster, wanted, history, PARAMETERS)
    assert_frame_equal(latest, bias.group_by("bucket").last(), check_row_order=False)
    assert_frame_equal(made, expected.select(made.columns))
    raw = forecaster.predict(wanted, 1)
    assert not (made[FORECAST] == raw[FORECAST]).any()


def test_several_origins_at_once_are_forecast_as_one_by_one(
    forecaster: Forecaster, backtest: pl.DataFrame
) -> None:
    """What has become known since does not change the forecast of an earlier origin."""
    days = ORIGINS[100:103]
    rows = ROWS.filter(pl.col("Date") <= ORIGINS[105])
    wanted = rows.filter(pl.col("Date").is_in(days))
    history = History(backtest.lazy(), rows.lazy(), ADAPTATION)
    together = forecast_adapted(forecaster, wanted, history, PARAMETERS).forecasts
    for day in days:
        history = History(backtest.lazy(), until(day).lazy(), ADAPTATION)
        alone = forecast_adapted(forecaster, wanted.filter(Date=day), history, PARAMETERS)
        assert_frame_equal(together.filter(Date=day), alone.forecasts)


def test_no_row_has_no_forecast(forecaster: Forecaster, backtest: pl.DataFrame) -> None:
    """Without rows there are no forecasts, and the columns are there."""
    history = History(backtest.lazy(), ROWS.lazy(), ADAPTATION)
    made = forecast_adapted(forecaster, ROWS.clear(), history, PARAMETERS).forecasts
    assert made.is_empty()
    assert made.columns == list(forecaster.predicted_columns)
