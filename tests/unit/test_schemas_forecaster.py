"""Schemas of the forecaster's layers: what they accept, and what they refuse."""

from datetime import date

import pandera.errors
import pandera.polars as pa
import polars as pl
import pytest

from stock_volume.exchange import NYSE, find_exchange
from stock_volume.features.market import market_sessions, market_sums
from stock_volume.features.quantities import add_quantities
from stock_volume.features.registry import forecast_features
from stock_volume.schemas import Backtest, ForecastFeatures, Forecasts, Sessions
from tests.unit.forecast_helpers import backtest_frame, forecast_frame
from tests.unit.forecast_oracles import random_bars

FEATURES = forecast_frame()
BACKTEST = backtest_frame()
FORECASTS = BACKTEST.select("Symbol", "Date", "TargetDate", "forecast", "q10", "q50", "q90")
SUMS = market_sums(add_quantities(random_bars(0)))
SESSIONS = market_sessions([SUMS], NYSE)
LONDON = market_sessions([SUMS], find_exchange("XLON"))
RIYADH = market_sessions(
    [SUMS.with_columns(pl.col("Date").dt.offset_by("6y"))], find_exchange("XSAU")
)
LAYERS = [
    pytest.param(Sessions, SESSIONS, id="sessions"),
    pytest.param(Sessions, LONDON, id="sessions of London"),
    pytest.param(Sessions, RIYADH, id="sessions on Sundays"),
    pytest.param(ForecastFeatures, FEATURES, id="forecast_features"),
    pytest.param(
        ForecastFeatures,
        forecast_features(random_bars(0), LONDON).filter(pl.col("TargetDate").is_not_null()),
        id="forecast_features of London",
    ),
    pytest.param(Backtest, BACKTEST, id="backtest"),
    pytest.param(Forecasts, FORECASTS, id="forecasts"),
]


def refused(schema: pa.DataFrameSchema, frame: pl.DataFrame) -> None:
    with pytest.raises((pandera.errors.SchemaError, pandera.errors.SchemaErrors)):
        schema.validate(frame)


@pytest.mark.parametrize(("schema", "frame"), LAYERS)
def test_a_layer_is_accepted_as_it_is_made(schema: pa.DataFrameSchema, frame: pl.DataFrame) -> None:
    """Frames that the functions make pass, eagerly and as the lazy scan of a load."""
    schema.validate(frame)
    schema.validate(frame.lazy()).collect()


@pytest.mark.parametrize(("schema", "frame"), LAYERS)
def test_a_column_too_few_or_too_many_is_refused(
    schema: pa.DataFrameSchema, frame: pl.DataFrame
) -> None:
    """A layer has its columns, all of them and no other."""
    refused(schema, frame.drop("TargetDate"))
    refused(schema, frame.with_columns(pl.lit(1).alias("another")))


@pytest.mark.parametrize(("schema", "frame"), LAYERS)
def test_a_target_comes_after_its_origin(schema: pa.DataFrameSchema, frame: pl.DataFrame) -> None:
    """A target on its origin's day is refused."""
    refused(schema, frame.with_columns(pl.col("Date").alias("TargetDate")))


@pytest.mark.parametrize("schema_and_frame", [(Backtest, BACKTEST), (Forecasts, FORECASTS)])
@pytest.mark.parametrize("value", [0.0, -1.0, None])
def test_a_forecast_is_above_zero(
    schema_and_frame: tuple[pa.DataFrameSchema, pl.DataFrame], value: float | None
) -> None:
    """A forecast of nothing, or none at all, is refused."""
    schema, frame = schema_and_frame
    refused(schema, frame.with_columns(pl.lit(value, dtype=pl.Float64).alias("forecast")))


def test_origins_are_in_order_and_once() -> None:
    """Rows that are not sorted by symbol and date, or repeated, are refused."""
    refused(ForecastFeatures, FEATURES.reverse())
    refused(ForecastFeatures, pl.concat([FEATURES.head(1), FEATURES]))


def test_a_session_occurs_once() -> None:
    """A second row of a session is refused."""
    refused(Sessions, pl.concat([SESSIONS, SESSIONS.head(1)]))
    refused(Sessions, SESSIONS.with_columns(pl.lit(date(2017, 1, 3)).alias("Date")))


@pytest.mark.parametrize("kind", [pl.lit("Monday"), pl.col("kind").cast(pl.Categorical)])
def test_a_kind_of_session_is_one_of_the_known(kind: pl.Expr) -> None:
    """Kinds in a column of another type are refused."""
    refused(Sessions, SESSIONS.with_columns(kind.alias("kind")))


@pytest.mark.parametrize("name", ["target_month", "market_return", "market_spikes"])
def test_a_feature_of_every_exchange_may_not_be_left_out(name: str) -> None:
    """Features that belong to no scheduled event are in the layer of each exchange."""
    refused(Sessions, SESSIONS.drop(name))
    refused(ForecastFeatures, FEATURES.drop(name))
