"""The log of forecasts, made before their sessions."""

import hashlib
from collections.abc import Collection
from datetime import date
from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.features.quantities import BASE
from stock_volume.forecaster.history import History, forecast_adapted
from stock_volume.forecaster.model import Forecaster
from stock_volume.forecaster.parameters import ForecasterParameters

TRAINED_TO: Final = "trained_to"
"""Column: the last target session in the forecaster's training."""

FORECASTER: Final = "forecaster"
"""Column: the forecaster that made the forecast, by ``identity_of``."""

_DIGITS: Final = 16


def identity_of(forecaster: Forecaster) -> str:
    """Identify a forecaster by its content: two may be trained up to the same session.

    Args:
        forecaster: The forecaster.

    Returns:
        Hexadecimal digits of a SHA-256 of its texts.
    """
    digest = hashlib.sha256()
    for name, text in sorted(forecaster.to_files().items()):
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()[:_DIGITS]


def logged_forecasts(
    forecaster: Forecaster, forecasts: pl.DataFrame, features: pl.LazyFrame
) -> pl.DataFrame:
    """Add to forecasts the columns that are needed to score them later.

    Args:
        forecaster: The forecaster that made them.
        forecasts: Forecasts as ``forecast_next_session`` returns them.
        features: Rows of ``forecast_features``, including those forecast from.

    Returns:
        The forecasts with ``Close`` and ``Volume`` of their origin, which reveal a later
        split, ``trained_to`` and ``forecaster``.
    """
    trained_to = forecaster.training.last_session
    origin = [columns.SYMBOL, columns.DATE]
    bars = (
        features.filter(pl.col(columns.DATE).is_in(forecasts[columns.DATE].unique().implode()))
        .select(*origin, columns.CLOSE, columns.VOLUME)
        .collect(engine="streaming")
    )
    return forecasts.join(bars, on=origin, how="left", maintain_order="left").with_columns(
        pl.lit(trained_to).alias(TRAINED_TO), pl.lit(identity_of(forecaster)).alias(FORECASTER)
    )


def forecasts_to_come(forecasts: pl.DataFrame) -> pl.DataFrame:
    """Select forecasts of future sessions; the others were logged when they were made.

    Args:
        forecasts: Forecasts as ``forecast_next_session`` returns them.

    Returns:
        The forecasts of sessions after the latest origin.
    """
    return forecasts.filter(pl.col(columns.TARGET_DATE) > pl.col(columns.DATE).max())


def by_latest_origin(logged: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Key forecasts by their origin: the latest session that any of them starts from.

    Args:
        logged: Forecasts as ``logged_forecasts`` returns them.

    Returns:
        The forecasts by the session as ISO date; empty if there is no forecast.
    """
    return {str(logged[columns.DATE].max()): logged} if logged.height else {}


def missed_forecasts(
    forecaster: Forecaster,
    history: History,
    logged: Collection[str],
    parameters: ForecasterParameters,
    sessions: int,
) -> dict[str, pl.DataFrame]:
    """Forecast from the origins between the last logged one and the latest.

    When several sessions arrive at once, this makes the forecasts that daily updates would
    have made: a forecast depends only on what was known at its origin and on the forecaster.

    Args:
        forecaster: The trained forecaster.
        history: Features, and past forecasts.
        logged: Origins that were logged, as ISO dates.
        parameters: Parameters of the forecaster.
        sessions: Maximum number of origins, up to the latest.

    Returns:
        Forecasts by origin, for the log, without the latest origin.
    """
    last = max(map(date.fromisoformat, logged), default=date.min)
    trained_to = forecaster.training.last_session
    day = pl.col(columns.DATE)
    rows = history.features.filter(
        (day > last) & (pl.col(columns.TARGET_DATE) > trained_to) & pl.col(BASE).is_not_null()
    ).collect(engine="streaming")
    days = rows[columns.DATE].unique().sort().tail(sessions + 1)[:-1]
    wanted = rows.filter(day.is_in(days.implode()))
    if wanted.is_empty():
        return {}
    forecasts = forecast_adapted(forecaster, wanted, history, parameters).forecasts
    made = logged_forecasts(forecaster, forecasts, wanted.lazy())
    return {str(origin): made.filter(day == origin) for origin in days}
