"""Forecast the next session from the latest bars."""

import logging
from collections.abc import Collection

import polars as pl

from stock_volume import columns
from stock_volume.features.quantities import BASE
from stock_volume.forecaster.history import History, forecast_adapted
from stock_volume.forecaster.model import Forecaster
from stock_volume.forecaster.parameters import ForecasterParameters

logger = logging.getLogger(__name__)


def latest_of_each(features: pl.LazyFrame) -> pl.DataFrame:
    """Select the latest row of each symbol that can be forecast.

    Args:
        features: Rows of ``forecast_features``.

    Returns:
        One row per symbol that traded on any of its last five bars, if a session follows
        the latest.
    """
    latest = (
        features.group_by(columns.SYMBOL)
        .agg(pl.col(columns.DATE).max())
        .collect(engine="streaming")
    )
    # Few dates are the latest of any symbol; this filter avoids reading all other rows.
    days = latest[columns.DATE].unique().implode()
    return (
        features.filter(pl.col(columns.DATE).is_in(days))
        .join(latest.lazy(), on=[columns.SYMBOL, columns.DATE], how="semi")
        .filter(pl.col(BASE).is_not_null() & pl.col(columns.TARGET_DATE).is_not_null())
        .sort(columns.SYMBOL)
        .collect(engine="streaming")
    )


def latest_rows(
    features: pl.LazyFrame, parameters: ForecasterParameters, kept: Collection[str] = ()
) -> pl.DataFrame:
    """Select the latest row of each live symbol.

    Args:
        features: Rows of ``forecast_features``.
        parameters: Parameters; here, how old the latest bar of a live symbol may be.
        kept: Symbols whose latest bar may be older.

    Returns:
        One row per symbol that traded on any of its last five bars and whose latest bar is
        among the latest sessions, or that is in ``kept``.
    """
    days = features.select(pl.col(columns.DATE).unique().sort()).collect(engine="streaming")
    oldest = days[columns.DATE].tail(parameters.live_sessions).min()
    is_kept = pl.col(columns.SYMBOL).is_in(list(kept))
    return latest_of_each(features).filter((pl.col(columns.DATE) >= oldest) | is_kept)


def forecast_next_session(
    forecaster: Forecaster,
    history: History,
    parameters: ForecasterParameters,
    kept: Collection[str] = (),
) -> pl.DataFrame:
    """Forecast the next session of every live symbol from its latest bar.

    The target is the session after that bar; it is past if the bar is older than the
    latest session.

    Args:
        forecaster: The trained forecaster.
        history: Features, and past forecasts.
        parameters: Parameters; here, which symbols are live.
        kept: Symbols to forecast as well, however old their latest bar is.

    Returns:
        Symbol, Date of the latest bar, TargetDate, and in shares the forecast and the
        quantiles.
    """
    rows = latest_rows(history.features, parameters, kept)
    if rows.is_empty():
        logger.warning(
            "no symbol can be forecast: none with a bar on the last %d sessions traded on its "
            "last five bars",
            parameters.live_sessions,
        )
    return forecast_adapted(forecaster, rows, history, parameters).forecasts
