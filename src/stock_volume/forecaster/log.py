"""The log of forecasts: what was said of each session before it came."""

from collections.abc import Collection
from datetime import date

import polars as pl

from stock_volume import columns
from stock_volume.features.quantities import BASE
from stock_volume.forecaster.model import Forecaster
from stock_volume.forecaster.parameters import ForecasterParameters

TRAINED_TO = "trained_to"
"""Column: the last target session that the forecaster's training saw."""


def logged_forecasts(
    forecaster: Forecaster, forecasts: pl.DataFrame, features: pl.LazyFrame
) -> pl.DataFrame:
    """Add to forecasts what it takes to score them later.

    Args:
        forecaster: Made the forecasts.
        forecasts: What ``forecast_next_session`` gives.
        features: Rows of ``forecast_features`` that they were made from, at the least.

    Returns:
        The forecasts with the ``Close`` of their origin, which tells a split since, and
        ``trained_to``.
    """
    trained_to = date.fromisoformat(forecaster.about["last_session"])
    origin = [columns.SYMBOL, columns.DATE]
    closes = (
        features.filter(pl.col(columns.DATE).is_in(forecasts[columns.DATE].unique().implode()))
        .select(*origin, columns.CLOSE)
        .collect(engine="streaming")
    )
    return forecasts.join(closes, on=origin, how="left", maintain_order="left").with_columns(
        pl.lit(trained_to).alias(TRAINED_TO)
    )


def latest_origin(forecasts: pl.DataFrame) -> str:
    """Name the origin of forecasts: the latest session that any of them rests on.

    Args:
        forecasts: At least one.

    Returns:
        The session, as ISO date.
    """
    return str(forecasts[columns.DATE].max())


def missed_forecasts(
    forecaster: Forecaster,
    features: pl.LazyFrame,
    logged: Collection[str],
    parameters: ForecasterParameters,
    sessions: int,
) -> dict[str, pl.DataFrame]:
    """Forecast from the origins between the last that was logged and the latest.

    When several sessions arrive at once, the forecasts that daily updates would have made
    are made up for: a forecast rests on bars up to its origin and on the forecaster alone.

    Args:
        forecaster: The trained forecaster.
        features: Rows of ``forecast_features``.
        logged: Origins that were logged, as ISO dates.
        parameters: Of the forecaster.
        sessions: Most origins, up to the latest.

    Returns:
        Forecasts by origin, for the log; without the latest origin.
    """
    last = max(map(date.fromisoformat, logged), default=date.min)
    trained_to = date.fromisoformat(forecaster.about["last_session"])
    day = pl.col(columns.DATE)
    rows = features.filter(
        (day > last) & (pl.col(columns.TARGET_DATE) > trained_to) & pl.col(BASE).is_not_null()
    ).collect(engine="streaming")
    days = rows[columns.DATE].unique().sort().tail(sessions + 1)[:-1]
    missed = {}
    for origin in days:
        of_origin = rows.filter(day == origin)
        forecasts = forecaster.predict(of_origin, parameters.num_threads)
        missed[str(origin)] = logged_forecasts(forecaster, forecasts, of_origin.lazy())
    return missed
