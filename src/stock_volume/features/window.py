"""The forecaster's features of the sessions that are kept, and their renewal in updates."""

import re
from datetime import date
from typing import NamedTuple

import polars as pl

from stock_volume import columns
from stock_volume.features.horizon import ETAS, NEXT_VOLUMES, Horizon
from stock_volume.features.registry import (
    FORECAST_FEATURES,
    NEXT_OPEN,
    FeatureSet,
    changed_sessions,
    first_bar,
    forecast_features,
)
from stock_volume.features.schedule import NO_EVENTS, REACTION, Schedule


class FeatureWindow(NamedTuple):
    """The sessions for which the forecaster's features are kept.

    Attributes:
        sessions: Rows of ``market_sessions``: every session of the data, since features look
            further back than the rows that are kept.
        first_target: First target session of the rows that are kept.
        calendar: The calendar of ``Schedule``; empty without events.
        horizons: What is forecast beyond the next session.
    """

    sessions: pl.DataFrame
    first_target: date
    calendar: pl.Series = NO_EVENTS.calendar
    horizons: tuple[Horizon, ...] = ()

    def includes(self) -> pl.Expr:
        """Select the rows that are kept.

        Returns:
            Boolean expression over rows with ``target_date``.
        """
        return pl.col(columns.TARGET_DATE) >= self.first_target


def features_in_window(
    bars: pl.DataFrame, events: pl.DataFrame, window: FeatureWindow
) -> pl.DataFrame:
    """Compute the forecaster's features for the sessions of a window.

    Args:
        bars: Bars of any number of symbols, all bars of each, sorted by symbol and date.
        events: Scheduled events of the same symbols.
        window: Sessions.

    Returns:
        Rows of ``forecast_features``.
    """
    schedule = Schedule(events, window.calendar)
    return forecast_features(bars, window.sessions, window.first_target, schedule, window.horizons)


def renew_features(
    bars: pl.DataFrame,
    held: pl.DataFrame,
    events: pl.DataFrame,
    symbols: pl.Series,
    window: FeatureWindow,
) -> pl.DataFrame:
    """Compute the features of some symbols again, and keep the rows of the others.

    Args:
        bars: Bars of any number of symbols, all bars of each, sorted by symbol and date.
        held: Rows of ``forecast_features`` of the same symbols, as computed earlier.
        events: Scheduled events of the same symbols.
        symbols: Symbols whose features are out of date: see ``stale_symbols``.
        window: Sessions.

    Returns:
        Rows of ``forecast_features``, sorted by symbol and date.
    """
    is_stale = pl.col(columns.SYMBOL).is_in(symbols.implode())
    renewed = features_in_window(bars.filter(is_stale), events.filter(is_stale), window)
    kept = held.filter(~is_stale & window.includes())
    if kept.is_empty():
        return renewed
    return pl.concat([renewed, kept]).sort(columns.SYMBOL, columns.DATE)


def stale_symbols(
    held: pl.LazyFrame, changed: pl.Series, window: FeatureWindow, events: pl.LazyFrame
) -> pl.Series:
    """List the symbols whose features are out of date.

    Args:
        held: Rows of ``forecast_features``, as computed earlier.
        changed: Symbols whose bars have changed.
        window: Sessions, of the bars as they are now.
        events: Scheduled events, as they are now.

    Returns:
        The changed symbols, and every symbol with a row on a session whose market or
        calendar has changed: each row repeats them. Symbols that have events, or had some: what
        others of their group did may have been restated. All symbols, if the layer has other
        features or horizons than before, or features that see bars from another day on.
    """
    if not _has_columns_of(held, window) or not _sees_bars_of(held, window):
        return _unique_symbols(held, changed)
    names, sessions = held.collect_schema().names(), window.sessions
    is_changed = pl.col(columns.DATE).is_in(changed_sessions(held, sessions).implode())
    had_events = pl.col(REACTION).is_not_null() if REACTION in names else pl.lit(value=False)
    affected = held.filter(is_changed | had_events)
    with_events = events.select(pl.col(columns.SYMBOL).unique()).collect()[columns.SYMBOL]
    return _unique_symbols(affected, pl.concat([changed, with_events]))


def _has_columns_of(held: pl.LazyFrame, window: FeatureWindow) -> bool:
    """Return whether a layer has the features and horizons of a window, and no others."""
    names = held.collect_schema().names()
    features = {feature.name for feature in FORECAST_FEATURES}.intersection(names)
    outcomes = {name for name in names if re.match(f"{NEXT_VOLUMES}|{ETAS}", name)}
    wanted = {name for horizon in window.horizons for name in (horizon.volume, horizon.eta)}
    is_complete = NEXT_OPEN in names and outcomes == wanted
    return is_complete and features == {*FeatureSet.of_layer(window.sessions.columns).names}


def _sees_bars_of(held: pl.LazyFrame, window: FeatureWindow) -> bool:
    """Return whether the features of a layer see bars from the same day on as a window's."""
    first = held.select(pl.col(columns.TARGET_DATE).min()).collect(engine="streaming").item()
    return first is None or first_bar(first) == first_bar(window.first_target)


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


def _unique_symbols(rows: pl.LazyFrame, others: pl.Series) -> pl.Series:
    symbols = rows.select(pl.col(columns.SYMBOL).unique()).collect(engine="streaming")
    return pl.concat([others, symbols[columns.SYMBOL]]).unique()
