"""Features of the scheduled events of a symbol: its earnings releases.

An offset counts sessions from the session that reacts to an event: 0 is that session, -1 the one
before it. At an origin only events count that were known at its close (``KnownFrom``); an event
without a record of that counts as always known. Responses are abnormal volumes of past sessions,
from the day on which both the bar and the event were known.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

import polars as pl

from stock_volume import columns
from stock_volume.events.ingest import EVENT_TYPES
from stock_volume.events.rules import EARNINGS, POST, PRE
from stock_volume.exchange import Exchange, ScheduledEvent
from stock_volume.features.expressions import UNITS, to_units
from stock_volume.features.feature import Feature
from stock_volume.features.market import market_sums
from stock_volume.features.quantities import (
    ABNORMAL,
    LOG_VOLUME,
    MONTH,
    YEAR,
    add_quantities,
)
from stock_volume.forecaster.universe import BUCKETS, LIQUIDITY, bucket_number

OFFSET: Final = "schedule_offset"
SINCE: Final = "schedule_sessions_since"
UNTIL: Final = "schedule_sessions_until"
TIME_OF_DAY: Final = "schedule_time"
REACTION: Final = "schedule_reaction"
CONFIRMED: Final = "schedule_confirmed"
RESPONSE: Final = "schedule_response"
RESPONSE_STD: Final = "schedule_response_std"
GROUP_RESPONSE: Final = "schedule_group_response"
PEERS: Final = "schedule_peers"
PEER_SHARE: Final = "schedule_peer_share"

REACH: Final = 20
"""Sessions from an event, at most, at which a target knows of it."""

NEAR: Final = 5
"""Sessions from an event, at most, at which responses are measured."""

RESPONSES: Final = 8
"""Latest responses of a symbol that are averaged."""

GROUP_SESSIONS: Final = YEAR
"""Sessions whose responses are averaged for a group of liquidity."""

_MIN_GROUP_RESPONSES: Final = 5
_LOWEST, _HIGHEST = -2.0, 3.0
_MARGIN: Final = timedelta(days=60)
"""Longer than ``REACH`` sessions."""

_PLACE: Final = "place"
_GROUP: Final = "group"
_AVAILABLE: Final = "available"
_AT: Final = "at"
_ORIGIN: Final = "origin"
_DESCRIBED: Final = (
    columns.DATE,
    columns.TIME,
    columns.EVENT_KIND,
    columns.CONFIRMED,
    columns.SESSION,
)
_KEY: Final = (columns.SYMBOL, columns.DATE)
_TIMES: Final = {PRE: 1, POST: 2}
_OFFSETS: Final = range(-NEAR, NEAR + 1)


class Schedule(NamedTuple):
    """Scheduled events, and the sessions around them.

    Attributes:
        events: Rows of the events layer, of one kind.
        calendar: Dates of the scheduled sessions, ascending, from at least 20 sessions before
            the first session that reacts to an event to as many after the last.
    """

    events: pl.DataFrame
    calendar: pl.Series


NO_EVENTS: Final = Schedule(pl.DataFrame(schema=EVENT_TYPES), pl.Series(dtype=pl.Date))


def earnings_of(events: pl.LazyFrame) -> pl.LazyFrame:
    """Select the events that features are about."""
    return events.filter(pl.col(columns.EVENT_KIND) == EARNINGS)


def sessions_around(events: pl.LazyFrame, exchange: Exchange) -> pl.Series:
    """List the scheduled sessions around events.

    Args:
        events: Rows of the events layer.
        exchange: Their exchange.

    Returns:
        The calendar of ``Schedule``; empty without events.
    """
    session = pl.col(columns.SESSION)
    bounds = events.select(session.min().alias("first"), session.max().alias("last")).collect()
    first, last = bounds.row(0)
    if first is None:
        return NO_EVENTS.calendar
    return exchange.scheduled_sessions(max(first - _MARGIN, exchange.first_date), last + _MARGIN)


def _name_group(group: int, offset: int) -> str:
    return f"group_{group}_response_{offset + NEAR}"


GROUP_COLUMNS: Final = tuple(
    _name_group(group, offset) for group in range(len(BUCKETS)) for offset in _OFFSETS
)
"""Columns of sessions: mean responses by group of liquidity and offset."""


def _counted(name: str) -> str:
    return f"{name}_counted"


def _holds(day: pl.Expr) -> pl.Expr:
    """Return whether a version of an event was known on a day, and not superseded by then."""
    known, until = pl.col(columns.KNOWN_FROM), pl.col(columns.KNOWN_UNTIL)
    return (known.is_null() | (known <= day)) & (until.is_null() | (day < until))


def _around(schedule: Schedule, reach: int) -> pl.DataFrame:
    """List the sessions around each version of an event: ``at``, and its offset."""
    events, calendar = schedule
    described = [columns.KNOWN_FROM, columns.KNOWN_UNTIL, columns.TIME, columns.CONFIRMED]
    versions = events.select(columns.SYMBOL, columns.SESSION, *described)
    offsets = pl.DataFrame({OFFSET: range(-reach, reach + 1)}, schema={OFFSET: pl.Int64})
    place = pl.Series(_PLACE, calendar.search_sorted(versions[columns.SESSION]), pl.Int64)
    around = versions.with_columns(place).join(offsets, how="cross")
    around = around.with_columns(pl.col(_PLACE) + pl.col(OFFSET))
    inside = around.filter(pl.col(_PLACE).is_between(0, len(calendar) - 1))
    at = calendar.gather(inside[_PLACE]).alias(_AT)
    return inside.with_columns(at).drop(_PLACE, columns.SESSION)


def _responses(bars: pl.DataFrame, schedule: Schedule) -> pl.DataFrame:
    """List what bars around events did, from the day on which both were known."""
    measured = bars.filter(pl.col(ABNORMAL).is_not_null()).select(
        *_KEY, ABNORMAL, bucket_number().cast(pl.Int64).alias(_GROUP)
    )
    available = pl.max_horizontal(columns.DATE, columns.KNOWN_FROM).alias(_AVAILABLE)
    around = _around(schedule, NEAR).rename({_AT: columns.DATE})
    found = around.join(measured, on=_KEY).with_columns(available)
    return _once(found.filter(_holds(pl.col(_AVAILABLE))), _AVAILABLE, [*_KEY, OFFSET])


def _once(rows: pl.DataFrame, day: str, key: Sequence[str]) -> pl.DataFrame:
    """Select one of the rows of several versions, or of events that move the same session."""
    return rows.sort(day).unique(key, keep="first", maintain_order=True)


def _add_liquidity(bars: pl.DataFrame) -> pl.DataFrame:
    size = pl.col(LOG_VOLUME).rolling_mean(MONTH, min_samples=5).over(columns.SYMBOL)
    return bars.with_columns(size.alias(LIQUIDITY))


class SessionSums(NamedTuple):
    """What some symbols did, by session.

    Attributes:
        market: Rows of ``market_sums``.
        responses: Rows of ``response_sums``.
    """

    market: pl.DataFrame
    responses: pl.DataFrame


def sum_bars_and_responses(
    bars: pl.DataFrame, events: pl.DataFrame, calendar: pl.Series
) -> SessionSums:
    """Add up by session what some symbols did, and how they responded to events.

    Args:
        bars: Bars of any number of symbols, all bars of each, sorted by symbol and date.
        events: Scheduled events of the same symbols.
        calendar: The calendar of ``Schedule``.

    Returns:
        The sums.
    """
    quantities = add_quantities(bars)
    responses = response_sums(quantities, Schedule(events, calendar))
    return SessionSums(market_sums(quantities), responses)


def response_sums(quantities: pl.DataFrame, schedule: Schedule) -> pl.DataFrame:
    """Add up the responses of some symbols, by session, group of liquidity and offset.

    Args:
        quantities: Bars with their quantities.
        schedule: The events of the same symbols.

    Returns:
        One row per date on which a response became known: a sum, in units of 2^-40, and a
        count for each of ``GROUP_COLUMNS``.
    """
    responses = _responses(_add_liquidity(quantities), schedule)
    value = pl.col(ABNORMAL).clip(_LOWEST, _HIGHEST)
    aggregates = []
    for group in range(len(BUCKETS)):
        for offset in _OFFSETS:
            name = _name_group(group, offset)
            one = value.filter(pl.col(_GROUP) == group, pl.col(OFFSET) == offset)
            aggregates += [
                to_units(one).sum().alias(name),
                one.count().cast(pl.Int64).alias(_counted(name)),
            ]
    return responses.group_by(pl.col(_AVAILABLE).alias(columns.DATE)).agg(aggregates)


def add_to_sessions(
    sessions: pl.DataFrame, sums: Iterable[pl.DataFrame], events: pl.DataFrame
) -> pl.DataFrame:
    """Add to sessions how groups of symbols responded to events, and how many are to.

    Args:
        sessions: Rows with ``Date`` and ``TargetDate``, ascending.
        sums: Rows of ``response_sums`` for all symbols, in any number of frames.
        events: All events, of one kind; at least one.

    Returns:
        The sessions with ``GROUP_COLUMNS`` and the features of ``PEER_FEATURES``.
    """
    total = pl.concat(sums).group_by(columns.DATE).sum()
    joined = sessions.join(_count_peers(sessions, events), on=columns.DATE, how="left").join(
        total, on=columns.DATE, how="left"
    )
    return joined.sort(columns.DATE).select(
        *sessions.columns, *(feature.name for feature in PEER_FEATURES), *map(_mean, GROUP_COLUMNS)
    )


def carry_schedule(sessions: pl.DataFrame, extended: pl.DataFrame) -> pl.DataFrame:
    """Carry the columns of ``add_to_sessions`` over to sessions beyond the data.

    Args:
        sessions: Rows of ``market_sessions``, with or without these columns.
        extended: Rows of ``extend_sessions``, made of the same sessions.

    Returns:
        The extended sessions. Beyond the data, groups respond as on the last session, and the
        number of peers is unknown.
    """
    names = [feature.name for feature in PEER_FEATURES]
    if GROUP_COLUMNS[0] not in sessions.columns:
        return extended
    carried = sessions.select(columns.DATE, *names, *GROUP_COLUMNS)
    joined = extended.join(carried, on=columns.DATE, how="left", maintain_order="left")
    return joined.with_columns(pl.col(GROUP_COLUMNS).forward_fill())


def _mean(name: str) -> pl.Expr:
    total, count = (
        pl.col(one).fill_null(0).rolling_sum(GROUP_SESSIONS, min_samples=1)
        for one in (name, _counted(name))
    )
    return pl.when(count >= _MIN_GROUP_RESPONSES).then(total / UNITS / count).alias(name)


def _count_peers(sessions: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Count the symbols that the target moves, as known at the origin."""
    versions = events.select(
        columns.SYMBOL, columns.SESSION, columns.KNOWN_FROM, columns.KNOWN_UNTIL
    )
    react = pl.max_horizontal(columns.SESSION, columns.KNOWN_FROM).alias(columns.DATE)
    took_place = versions.with_columns(react).filter(_holds(pl.col(columns.DATE)))
    once = _once(took_place, columns.DATE, [columns.SYMBOL, columns.SESSION])
    reacted = once.group_by(columns.DATE).len()
    known = (
        sessions.select(columns.DATE, columns.TARGET_DATE)
        .join(versions, left_on=columns.TARGET_DATE, right_on=columns.SESSION)
        .filter(_holds(pl.col(columns.DATE)))
        .group_by(columns.DATE)
        .agg(pl.col(columns.SYMBOL).n_unique().cast(pl.Float64).alias(PEERS))
    )
    past = sessions.select(columns.DATE).join(reacted, on=columns.DATE, how="left")
    past = past.sort(columns.DATE)
    year = pl.col("len").fill_null(0).cast(pl.Float64).rolling_sum(YEAR, min_samples=1)
    counted = past.select(columns.DATE, year.alias("year")).join(known, on=columns.DATE, how="left")
    peers = pl.col(PEERS).fill_null(0)
    return counted.select(
        columns.DATE,
        peers.alias(PEERS),
        pl.when(pl.col("year") > 0).then(peers / pl.col("year")).alias(PEER_SHARE),
    )


def add_schedule(bars: pl.DataFrame, schedule: Schedule) -> pl.DataFrame:
    """Add what is known of a symbol's events at each bar, and its past responses.

    Args:
        bars: Bars with their quantities and the columns of ``add_to_sessions``, all bars of
            each symbol, sorted by symbol and date.
        schedule: The events of the same symbols.

    Returns:
        The bars, in the same order, with the features of ``SCHEDULE_FEATURES``; null for
        bars that are further than 20 sessions from any known event.
    """
    measured = _add_liquidity(bars)
    nearest = _nearest_events(measured, schedule)
    own = _own_responses(measured, nearest, schedule)
    group = _group_responses(measured, nearest)
    return (
        bars.join(nearest, on=_KEY, how="left", maintain_order="left")
        .join(own, on=_KEY, how="left", maintain_order="left")
        .join(group, on=_KEY, how="left", maintain_order="left")
    )


def _nearest_events(bars: pl.DataFrame, schedule: Schedule) -> pl.DataFrame:
    """Describe, for each origin, the known events near its target; the nearest one first."""
    offset = pl.col(OFFSET)
    around = _around(schedule, REACH).rename({_AT: columns.TARGET_DATE})
    known = (
        bars.select(*_KEY, columns.TARGET_DATE)
        .join(around, on=[columns.SYMBOL, columns.TARGET_DATE], maintain_order="left_right")
        .filter(_holds(pl.col(columns.DATE)))
        .sort(offset.abs(), offset, columns.KNOWN_FROM, nulls_last=False, maintain_order=True)
    )
    time = pl.col(columns.TIME).replace_strict(_TIMES, default=0, return_dtype=pl.Int64)
    return known.group_by(_KEY).agg(
        offset.first(),
        offset.filter(offset > 0).min().alias(SINCE),
        offset.filter(offset <= 0).max().neg().alias(UNTIL),
        (offset.first() == 0).alias(REACTION),
        time.first().alias(TIME_OF_DAY),
        pl.col(columns.CONFIRMED).first().alias(CONFIRMED),
    )


def next_events(rows: pl.DataFrame, schedule: Schedule) -> pl.DataFrame:
    """Find the next event of each symbol, as known at an origin.

    Args:
        rows: ``Symbol``, ``Date`` (the origin) and ``TargetDate``, one row per symbol.
        schedule: The events.

    Returns:
        One row per symbol that has an event whose reacting session is the target or one of the
        20 sessions after it, sorted by symbol: ``Date`` of the event, ``Time``, ``Kind``,
        ``Confirmed``, the reacting ``Session``, and how many sessions after the target it is.
        Of events with the same reacting session, the one known first.
    """
    events, calendar = schedule
    origins = rows.select(columns.SYMBOL, pl.col(columns.DATE).alias(_ORIGIN), columns.TARGET_DATE)
    ahead = events.join(origins, on=columns.SYMBOL).filter(
        _holds(pl.col(_ORIGIN)), pl.col(columns.SESSION) >= pl.col(columns.TARGET_DATE)
    )
    session, target = (
        pl.Series(UNTIL, calendar.search_sorted(ahead[name]), pl.Int64)
        for name in (columns.SESSION, columns.TARGET_DATE)
    )
    return (
        ahead.with_columns(session - target)
        .filter(pl.col(UNTIL) <= REACH)
        .sort(columns.SYMBOL, UNTIL, columns.KNOWN_FROM, nulls_last=False, maintain_order=True)
        .unique(columns.SYMBOL, keep="first", maintain_order=True)
        .select(columns.SYMBOL, *_DESCRIBED, UNTIL)
    )


def _own_responses(bars: pl.DataFrame, nearest: pl.DataFrame, schedule: Schedule) -> pl.DataFrame:
    """Average the latest responses of a symbol at the offset of each origin's target."""
    by = [columns.SYMBOL, OFFSET]
    latest = pl.col(ABNORMAL)
    averaged = (
        _responses(bars, schedule)
        .sort(*by, _AVAILABLE, columns.DATE)
        .select(
            *by,
            pl.col(_AVAILABLE).alias(columns.DATE),
            latest.rolling_mean(RESPONSES, min_samples=1).over(by).alias(RESPONSE),
            latest.rolling_std(RESPONSES, min_samples=2).over(by).alias(RESPONSE_STD),
        )
        .sort(columns.DATE, maintain_order=True)
    )
    wanted = nearest.select(*_KEY, OFFSET).sort(columns.DATE)
    found = wanted.join_asof(averaged, on=columns.DATE, by=by, check_sortedness=False)
    return found.drop(OFFSET)


def _group_responses(bars: pl.DataFrame, nearest: pl.DataFrame) -> pl.DataFrame:
    """Look up the mean response of each symbol's group of liquidity at its offset."""
    near = nearest.filter(pl.col(OFFSET).abs() <= NEAR).select(*_KEY, OFFSET)
    group = bucket_number().cast(pl.Int64) * len(_OFFSETS) + pl.col(OFFSET) + NEAR
    found = near.join(bars.select(*_KEY, LIQUIDITY, *GROUP_COLUMNS), on=_KEY)
    return found.select(*_KEY, pl.concat_list(GROUP_COLUMNS).list.get(group).alias(GROUP_RESPONSE))


def _feature(name: str, description: str) -> Feature:
    return Feature(name, description, pl.col(name), event=ScheduledEvent.EARNINGS)


SCHEDULE_FEATURES: Final = (
    _feature(
        OFFSET,
        "sessions from the nearest session that reacts to earnings to the target; negative before "
        "it, at most 20",
    ),
    _feature(SINCE, "sessions since the last session that reacted to earnings, at most 20"),
    _feature(UNTIL, "sessions until the next session that reacts to earnings, at most 20"),
    _feature(REACTION, "whether the target session reacts to earnings"),
    _feature(TIME_OF_DAY, "the nearest release: 1 before the close, 2 after it, 0 unknown"),
    _feature(CONFIRMED, "whether the date of the nearest release is confirmed"),
    _feature(RESPONSE, "mean abnormal volume of the symbol's last 8 sessions at the same offset"),
    _feature(RESPONSE_STD, "standard deviation of these abnormal volumes"),
    _feature(
        GROUP_RESPONSE,
        "mean abnormal volume at the same offset, of symbols of similar liquidity, over 252 "
        "sessions",
    ),
)
"""What is known of a symbol's earnings releases near the target session."""

PEER_FEATURES: Final = (
    _feature(PEERS, "number of symbols whose earnings the target session reacts to"),
    _feature(PEER_SHARE, "that number over the number in the last 252 sessions"),
)
"""How many symbols report; all symbols share them."""
