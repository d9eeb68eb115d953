"""The forecasts of a snapshot: made once, when it is taken, and looked up by the service."""

from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.forecaster.model import FORECAST

RECENT_SESSIONS: Final = 60
"""Latest bars of a symbol that a forecast is compared with."""

RECENT: Final = "recent_sessions"
BUSIER: Final = "busier_sessions"
QUIETER: Final = "quieter_sessions"
RECENT_VOLUMES: Final = "recent_volumes"


def compare_forecasts(
    forecasts: pl.DataFrame, latest: pl.DataFrame, recent: pl.DataFrame
) -> pl.DataFrame:
    """Name the symbols of forecasts, and compare each with the latest volumes.

    Args:
        forecasts: One forecast per symbol, as ``forecast_adapted`` makes them.
        latest: The row of ``forecast_features`` that each was made from.
        recent: Symbol, and its latest volumes as a list.

    Returns:
        One row per forecast, in the same order: names, the columns of the forecast, the number of
        latest volumes, and how many of them are above (busier) and below (quieter) the forecast.
    """
    names = latest.select(columns.SYMBOL, columns.SECURITY_NAME, columns.ETF)
    named = forecasts.join(names, on=columns.SYMBOL, how="left", maintain_order="left").select(
        columns.SECURITY_NAME, columns.ETF, *forecasts.columns
    )
    return named.join(
        _compare(forecasts, recent), on=columns.SYMBOL, how="left", maintain_order="left"
    )


def _compare(forecasts: pl.DataFrame, recent: pl.DataFrame) -> pl.DataFrame:
    volume, forecast = pl.col(RECENT_VOLUMES), pl.col(FORECAST)
    return (
        recent.select(columns.SYMBOL, RECENT_VOLUMES)
        .join(forecasts.select(columns.SYMBOL, FORECAST), on=columns.SYMBOL)
        .explode(RECENT_VOLUMES)
        .group_by(columns.SYMBOL)
        .agg(
            pl.len().cast(pl.Int64).alias(RECENT),
            (volume > forecast).sum().cast(pl.Int64).alias(BUSIER),
            (volume < forecast).sum().cast(pl.Int64).alias(QUIETER),
        )
    )
