"""The forecaster's features of the sessions that are kept, and their renewal in updates."""

from datetime import date
from typing import NamedTuple

import polars as pl

from stock_volume import columns
from stock_volume.features.registry import changed_sessions, forecast_features


class FeatureWindow(NamedTuple):
    """The sessions for which the forecaster's features are kept.

    Attributes:
        sessions: Rows of ``market_sessions``: every session of the data, since features look
            further back than the rows that are kept.
        first_target: First target session of the rows that are kept.
    """

    sessions: pl.DataFrame
    first_target: date

    def includes(self) -> pl.Expr:
        """Select the rows that are kept.

        Returns:
            Boolean expression over rows with ``target_date``.
        """
        return pl.col(columns.TARGET_DATE) >= self.first_target


def features_in_window(bars: pl.DataFrame, window: FeatureWindow) -> pl.DataFrame:
    """Compute the forecaster's features for the sessions of a window.

    Args:
        bars: Bars of any number of symbols, all bars of each, sorted by symbol and date.
        window: Sessions.

    Returns:
        Rows of ``forecast_features``.
    """
    return forecast_features(bars, window.sessions, window.includes())


def renew_features(
    bars: pl.DataFrame, held: pl.DataFrame, symbols: pl.Series, window: FeatureWindow
) -> pl.DataFrame:
    """Compute the features of some symbols again, and keep the rows of the others.

    Args:
        bars: Bars of any number of symbols, all bars of each, sorted by symbol and date.
        held: Rows of ``forecast_features`` of the same symbols, as computed earlier.
        symbols: Symbols whose features are out of date: see ``stale_symbols``.
        window: Sessions.

    Returns:
        Rows of ``forecast_features``, sorted by symbol and date.
    """
    is_stale = pl.col(columns.SYMBOL).is_in(symbols.implode())
    renewed = features_in_window(bars.filter(is_stale), window)
    kept = held.filter(~is_stale & window.includes())
    if kept.is_empty():
        return renewed
    return pl.concat([renewed, kept]).sort(columns.SYMBOL, columns.DATE)


def stale_symbols(held: pl.LazyFrame, changed: pl.Series, sessions: pl.DataFrame) -> pl.Series:
    """List the symbols whose features are out of date.

    Args:
        held: Rows of ``forecast_features``, as computed earlier.
        changed: Symbols whose bars have changed.
        sessions: Rows of ``market_sessions``, of the bars as they are now.

    Returns:
        The changed symbols, and every symbol with a row on a session whose market or
        calendar has changed: each row repeats them.
    """
    is_changed = pl.col(columns.DATE).is_in(changed_sessions(held, sessions).implode())
    affected = held.filter(is_changed).select(pl.col(columns.SYMBOL).unique())
    return pl.concat([changed, affected.collect(engine="streaming")[columns.SYMBOL]]).unique()


def expired_symbols(held: pl.LazyFrame, window: FeatureWindow) -> pl.Series:
    """List the symbols with rows that are no longer in the window.

    Args:
        held: Rows of ``forecast_features``, as computed earlier.
        window: Sessions.

    Returns:
        The symbols, without repetitions.
    """
    expired = held.filter(~window.includes()).select(pl.col(columns.SYMBOL).unique())
    return expired.collect(engine="streaming")[columns.SYMBOL]
