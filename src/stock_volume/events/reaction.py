"""Which session reacts to an event, and from which session on the event was known."""

from datetime import date, timedelta
from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.events.rules import POST, PRE
from stock_volume.exchange import CLOSE_MOMENT, Exchange

_MARGIN: Final = timedelta(days=30)
"""Longer than any exchange is closed between two sessions of its schedule."""

_ASSUMED: Final = "assumed time"
_PLACE: Final = "place"


def reacting_sessions(events: pl.DataFrame, sessions: pl.Series) -> pl.Series:
    """Find the session that reacts to each event.

    An event before the close moves the session of its date, or the next one if there is none on
    that date. One after the close moves the next session after its date. Where the time is
    unknown, it is taken to be the most frequent time of the symbol's earlier events of the same
    kind that were known when this one was; without any, or if both times are as frequent, the
    event counts as one before the close.

    Args:
        events: ``Symbol``, ``Date``, ``Kind``, ``Known`` and ``Time``, one row per version.
        sessions: Dates of the scheduled sessions, ascending.

    Returns:
        Dates in the order of the events, null for an event after the last session.
    """
    is_after = events.select(_assume_times(events) == POST).to_series()
    days = events[columns.DATE]
    place = (
        pl.select(
            pl.when(is_after)
            .then(sessions.search_sorted(days, side="right"))
            .otherwise(sessions.search_sorted(days, side="left"))
        )
        .to_series()
        .cast(pl.Int64)
    )
    known = pl.when(place < len(sessions)).then(place)
    found = pl.select(pl.lit(sessions).gather(known)).to_series() if len(events) else days
    return found.alias(columns.SESSION)


def _assume_times(events: pl.DataFrame) -> pl.Series:
    """Complete the times of events from earlier events of the same symbol and kind."""
    key = [columns.SYMBOL, columns.EVENT_KIND]
    numbered = events.select(*key, columns.DATE, columns.KNOWN, columns.TIME).with_row_index(_PLACE)
    unknown = numbered.filter(pl.col(columns.TIME).is_null())
    timed = numbered.filter(pl.col(columns.TIME).is_not_null()).drop(_PLACE)
    known, other = pl.col(columns.KNOWN), pl.col(f"{columns.KNOWN}_right")
    votes = (
        unknown.join(timed, on=key, suffix="_right")
        .filter(
            pl.col(f"{columns.DATE}_right") < pl.col(columns.DATE),
            other.is_null() | (other <= known).fill_null(value=False),
        )
        # One vote per event: its last time that was known.
        .sort(other, nulls_last=False)
        .group_by(_PLACE, f"{columns.DATE}_right")
        .agg(pl.col(f"{columns.TIME}_right").last())
        .group_by(_PLACE)
        .agg((pl.col(f"{columns.TIME}_right") == POST).mean().alias("share"))
    )
    assumed = pl.when(pl.col("share") > 1 / 2).then(pl.lit(POST)).otherwise(pl.lit(PRE))
    completed = numbered.join(votes, on=_PLACE, how="left", maintain_order="left")
    return completed.select(pl.coalesce(columns.TIME, assumed).alias(_ASSUMED)).to_series()


def first_origins(known: pl.Series, exchange: Exchange) -> pl.Series:
    """Find the first session at whose close each event was known.

    Args:
        known: When the events became known, in UTC; null where that is not recorded.
        exchange: The exchange, whose early closes count.

    Returns:
        Dates in the same order; null where ``known`` is, and beyond the calendar.
    """
    days = known.dt.convert_time_zone(exchange.time_zone).dt.date()
    first, last = days.min(), days.max()
    if not isinstance(first, date) or not isinstance(last, date):
        return pl.Series(columns.KNOWN_FROM, [None] * len(known), dtype=pl.Date)
    closes = exchange.closes(max(first, exchange.first_date), last + _MARGIN)
    moments = known.alias(columns.KNOWN).to_frame().with_row_index(_PLACE)
    found = moments.drop_nulls().sort(columns.KNOWN)
    found = found.join_asof(
        closes, left_on=columns.KNOWN, right_on=CLOSE_MOMENT, strategy="forward"
    ).select(_PLACE, pl.col(columns.DATE).alias(columns.KNOWN_FROM))
    in_order = moments.join(found, on=_PLACE, how="left", maintain_order="left")
    return in_order[columns.KNOWN_FROM]
