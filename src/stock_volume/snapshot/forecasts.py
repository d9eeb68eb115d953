"""The forecasts of a snapshot: made once, when it is taken, and looked up by the service."""

from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.forecaster.model import FORECAST, Forecaster

RECENT_SESSIONS: Final = 60
"""Latest bars of a symbol that a forecast is compared with."""

RECENT: Final = "recent_sessions"
BUSIER: Final = "busier_sessions"
QUIETER: Final = "quieter_sessions"
RECENT_VOLUMES: Final = "recent_volumes"


def forecast_symbols(
    forecaster: Forecaster, latest: pl.DataFrame, recent: pl.DataFrame
) -> pl.DataFrame:
    """Forecast every symbol and compare the forecasts with the latest volumes.

    Args:
        forecaster: The trained forecaster.
        latest: The row of ``forecast_features`` to forecast each symbol from.
        recent: Symbol, and its latest volumes as a list.

    Returns:
        One row per row of ``latest``, in the same order: names, the columns of
        ``Forecaster.predict``, the number of latest volumes, and how many of them are above
        (busier) and below (quieter) the forecast.
    """
    forecasts = forecaster.predict(latest, forecaster.training.parameters.num_threads)
    names = latest.select(columns.SECURITY_NAME, columns.ETF)
    return pl.concat([names, forecasts], how="horizontal").join(
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
