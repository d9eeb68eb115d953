"""The forecast of the session that has not come yet."""

import logging
from collections.abc import Collection

import polars as pl

from stock_volume import columns
from stock_volume.features.quantities import BASE
from stock_volume.forecaster.model import Forecaster
from stock_volume.forecaster.parameters import ForecasterParameters

logger = logging.getLogger(__name__)


def latest_of_each(features: pl.LazyFrame) -> pl.DataFrame:
    """Take the latest row of each symbol.

    Args:
        features: Rows of ``forecast_features``.

    Returns:
        One row a symbol, if a forecast can rest on it: it has traded on any of its last
        five bars, and a session follows the latest.
    """
    latest = (
        features.group_by(columns.SYMBOL)
        .agg(pl.col(columns.DATE).max())
        .collect(engine="streaming")
    )
    # Few dates are the latest of any symbol: the other rows are then never read in full.
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
    """Take the latest row of each live symbol.

    Args:
        features: Rows of ``forecast_features``.
        parameters: Tell how old the latest bar of a live symbol may be.
        kept: Symbols whose latest bar may be older.

    Returns:
        One row a symbol whose latest bar is among the latest sessions, or that is kept,
        and that has traded on any of its last five bars.
    """
    days = features.select(pl.col(columns.DATE).unique().sort()).collect(engine="streaming")
    oldest = days[columns.DATE].tail(parameters.live_sessions).min()
    is_kept = pl.col(columns.SYMBOL).is_in(list(kept))
    return latest_of_each(features).filter((pl.col(columns.DATE) >= oldest) | is_kept)


def forecast_next_session(
    forecaster: Forecaster,
    features: pl.LazyFrame,
    parameters: ForecasterParameters,
    kept: Collection[str] = (),
) -> pl.DataFrame:
    """Forecast the next session of every live symbol from its latest bar.

    The session is the one after that bar, and has come already where the bar is not of the
    latest session.

    Args:
        forecaster: The trained forecaster.
        features: Rows of ``forecast_features``.
        parameters: Tell which symbols are live.
        kept: Symbols that are forecast too, however old their latest bar is.

    Returns:
        Symbol, Date (of the latest bar, which the features are of), TargetDate, and in
        shares the forecast and the quantiles.
    """
    rows = latest_rows(features, parameters, kept)
    if rows.is_empty():
        logger.warning(
            "no symbol can be forecast: none with a bar on the last %d sessions has traded on its "
            "last five",
            parameters.live_sessions,
        )
    return forecaster.predict(rows, parameters.num_threads)
