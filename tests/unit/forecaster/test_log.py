"""The log of forecasts, and the origins that an update makes up for."""

from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_volume.features.quantities import BASE
from stock_volume.forecaster.live import forecast_next_session
from stock_volume.forecaster.log import (
    FORECASTER,
    TRAINED_TO,
    by_latest_origin,
    forecasts_to_come,
    identity_of,
    logged_forecasts,
    missed_forecasts,
)
from stock_volume.forecaster.model import Forecaster
from stock_volume.forecaster.train import train_forecaster
from tests.unit.forecast_helpers import (
    forecast_frame,
    forget_targets,
    small_parameters,
    without_history,
)

PARAMETERS = small_parameters()
ADDED = ["Close", "Volume", TRAINED_TO, FORECASTER]
TRAINED = 100
"""Sessions that the forecaster is trained on."""


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    """Rows of several symbols, some sessions more than the forecaster saw."""
    return forecast_frame(symbols=6, sessions=TRAINED + 10)


@pytest.fixture(scope="module")
def origins(rows: pl.DataFrame) -> list[date]:
    """The origins, in order."""
    return rows["Date"].unique().sort().to_list()


@pytest.fixture(scope="module")
def forecaster(rows: pl.DataFrame, origins: list[date]) -> Forecaster:
    """A forecaster of the first sessions."""
    return train_forecaster(rows.filter(pl.col("Date") < origins[TRAINED]), PARAMETERS)


def missed(
    forecaster: Forecaster, rows: pl.DataFrame, logged: list[date], sessions: int = 60
) -> dict[str, pl.DataFrame]:
    names = list(map(str, logged))
    return missed_forecasts(
        forecaster, without_history(forecaster, rows), names, PARAMETERS, sessions
    )


def test_the_log_has_what_the_training_saw(forecaster: Forecaster, rows: pl.DataFrame) -> None:
    """A logged forecast carries its origin's bar, and what made it, trained to what session."""
    forecasts = forecast_next_session(forecaster, without_history(forecaster, rows), PARAMETERS)
    logged = logged_forecasts(forecaster, forecasts, rows.lazy())
    assert_frame_equal(logged.drop(ADDED), forecasts)
    latest = rows.group_by("Symbol", maintain_order=True).last()
    for name in ("Close", "Volume"):
        assert logged[name].to_list() == latest[name].to_list()
    assert set(logged[FORECASTER]) == {identity_of(forecaster)}
    assert set(logged[TRAINED_TO]) == {forecaster.training.last_session}
    assert list(by_latest_origin(logged)) == [str(rows["Date"].max())]


def test_a_forecaster_is_known_by_what_it_is(
    forecaster: Forecaster, rows: pl.DataFrame, origins: list[date]
) -> None:
    """Equal trainings, and reading it from files, give one identity; other parameters another."""
    known = identity_of(forecaster)
    training = rows.filter(pl.col("Date") < origins[TRAINED])
    assert identity_of(train_forecaster(training, PARAMETERS)) == known
    assert identity_of(Forecaster.from_files(forecaster.to_files())) == known
    other = train_forecaster(training, small_parameters(num_leaves=6))
    assert other.training.last_session == forecaster.training.last_session
    assert identity_of(other) != known


def test_origins_between_are_made_up_for(
    forecaster: Forecaster, rows: pl.DataFrame, origins: list[date]
) -> None:
    """Each origin after the last logged one is forecast, except the latest."""
    made = missed(forecaster, rows, origins[: TRAINED + 3])
    assert list(made) == list(map(str, origins[TRAINED + 3 : -1]))
    for origin, forecasts in made.items():
        assert set(map(str, forecasts["Date"])) == {origin}


def test_a_made_up_forecast_is_what_a_daily_one_would_have_been(
    forecaster: Forecaster, rows: pl.DataFrame, origins: list[date]
) -> None:
    """A forecast from an origin does not depend on the bars after it."""
    origin = origins[-3]
    late = missed(forecaster, rows, origins[: TRAINED + 1])[str(origin)]
    until = forget_targets(rows.filter(pl.col("Date") <= origin), pl.col("Date") == origin)
    daily = forecast_next_session(
        forecaster, without_history(forecaster, until), PARAMETERS
    ).filter(pl.col("Date") == origin)
    assert_frame_equal(late.drop(ADDED), daily)


def test_what_the_training_saw_is_not_forecast(
    forecaster: Forecaster, rows: pl.DataFrame, origins: list[date]
) -> None:
    """Without a log, only sessions after the training are made up for."""
    made = missed(forecaster, rows, [])
    assert list(made) == list(map(str, origins[TRAINED:-1]))
    trained_to = forecaster.training.last_session
    assert all((forecasts["TargetDate"] > trained_to).all() for forecasts in made.values())


def test_a_long_absence_is_bounded(
    forecaster: Forecaster, rows: pl.DataFrame, origins: list[date]
) -> None:
    """No more than the latest sessions are made up for."""
    assert list(missed(forecaster, rows, [], sessions=2)) == list(map(str, origins[-3:-1]))


def test_nothing_is_missed_day_by_day(
    forecaster: Forecaster, rows: pl.DataFrame, origins: list[date]
) -> None:
    """Where only one session came, there is nothing to make up for."""
    assert missed(forecaster, rows, origins[:-1]) == {}
    assert missed(forecaster, rows, origins) == {}


def test_forecasts_of_sessions_that_have_come_are_not_logged_again(
    rows: pl.DataFrame, origins: list[date]
) -> None:
    """Of forecasts from several origins, those are left whose session comes after the latest."""
    *earlier, late = (rows.filter(Date=day) for day in origins[-3:])
    assert [early["TargetDate"].unique().item() for early in earlier] == origins[-2:]
    assert_frame_equal(forecasts_to_come(pl.concat([*earlier, late])), late)


def test_no_forecast_makes_no_partition(forecaster: Forecaster, rows: pl.DataFrame) -> None:
    """Where no symbol can be forecast nothing is logged, under no name."""
    none = rows.with_columns(pl.lit(None, pl.Float64).alias(BASE))
    forecasts = forecast_next_session(forecaster, without_history(forecaster, none), PARAMETERS)
    assert by_latest_origin(logged_forecasts(forecaster, forecasts, none.lazy())) == {}
