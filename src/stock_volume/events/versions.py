"""Versions of events: what was known of each, and from when until when.

Rows about releases of a symbol within ``MOVE_DAYS`` of each other are read in the order in which
they became known. A row that changes nothing repeats the version before it. A row with another
time of day, or a confirmation, begins a new version of its event. A row with another date
supersedes the events that have not taken place by then: the release has moved.
"""

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.events.reaction import first_origins, reacting_sessions
from stock_volume.events.rules import (
    CONFIRMED_TYPED,
    CONTRADICTING_TIME,
    DAY_TYPED,
    DUPLICATE_EVENT,
    HAS_MOVED,
    IS_HELD,
    IS_REPEATED,
    KIND_TYPED,
    KNOWN_TYPED,
    MOVE_DAYS,
    ON_CLOSED_DAY,
    TIME_THAT_COUNTS,
    TIME_TYPED,
    EventParameters,
)

PLACE: Final = "place"
"""Column of a row's position: files that matter more, and later lines, come later."""

_SUPERSEDED: Final = "superseded"
_MOVED: Final = "moved"
_OTHER: Final = " (other)"
_EVENT: Final = (columns.SYMBOL, KIND_TYPED, DAY_TYPED)
_CLUSTER: Final = "cluster"
_NEAR: Final = (columns.SYMBOL, KIND_TYPED, _CLUSTER)
_MARGIN: Final = timedelta(days=30)


def end_of_day(day: date, zone: tzinfo) -> datetime:
    """Return the end of a day on a clock.

    Args:
        day: The day.
        zone: Time zone of the clock.

    Returns:
        The moment in UTC.
    """
    return datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)


def find_versions(rows: pl.DataFrame, parameters: EventParameters) -> pl.DataFrame:
    """Find the versions among rows of events that break no rule on their own.

    Args:
        rows: Typed rows with ``PLACE`` and ``IS_HELD``.
        parameters: The exchange, and the day on which the rows were read.

    Returns:
        The same rows in any order, with the rule of those that are no version, and for the
        others with the values that hold, ``Session``, ``KnownFrom`` and ``KnownUntil``.
    """
    near = rows.with_columns(_number_clusters())
    at_once = _judge_equals(_complete_known(near, parameters))
    in_order = _judge_repeated(at_once.filter(pl.col(columns.RULE).is_null()))
    versions = in_order.filter(pl.col(columns.RULE).is_null())
    others = [at_once.filter(pl.col(columns.RULE).is_not_null())]
    others.append(in_order.filter(pl.col(columns.RULE).is_not_null()))
    dated = _add_validity(_add_sessions(versions, parameters), parameters)
    return pl.concat([dated, *others], how="diagonal")


def _number_clusters() -> pl.Expr:
    gap = pl.col(DAY_TYPED).diff() > pl.duration(days=MOVE_DAYS)
    return (
        gap.fill_null(value=True)
        .cum_sum()
        .over(columns.SYMBOL, KIND_TYPED, order_by=DAY_TYPED)
        .alias(_CLUSTER)
    )


def _complete_known(rows: pl.DataFrame, parameters: EventParameters) -> pl.DataFrame:
    """Complete when rows became known, where other rows show that they were not always known.

    A past date without ``Known`` beside recorded ones is a record of what took place: it counts
    from the end of that day. A coming date beside a held one became known with the update.
    """
    zone, held, day = parameters.exchange.zone, pl.col(IS_HELD), pl.col(DAY_TYPED)
    ends = pl.Series(
        "end", [end_of_day(one, zone) for one in rows[DAY_TYPED]], rows[KNOWN_TYPED].dtype
    )
    is_past = day <= parameters.as_of
    is_recorded = pl.col(KNOWN_TYPED).is_not_null().any().over(_NEAR)
    is_move = held.any().over(_NEAR) & ~held.any().over(_EVENT)
    completed = (
        pl.when(held)
        .then(None)
        .when(is_past & is_recorded)
        .then(pl.col(ends.name))
        .when(~is_past & is_move)
        .then(pl.lit(end_of_day(parameters.as_of, zone), ends.dtype))
    )
    known = pl.coalesce(KNOWN_TYPED, completed).alias(KNOWN_TYPED)
    return rows.with_columns(ends).with_columns(known).drop(ends.name)


def _judge_equals(rows: pl.DataFrame) -> pl.DataFrame:
    """Find the rows of one event that became known at once, and choose the one to keep."""
    moment = (*_EVENT, KNOWN_TYPED)
    last_time = pl.col(TIME_TYPED).drop_nulls().last().over(moment)
    order = [
        pl.col(TIME_TYPED).ne_missing(pl.col(TIME_THAT_COUNTS)),
        pl.col(CONFIRMED_TYPED).fill_null(value=False).not_(),
        pl.col(PLACE),
    ]
    ranked = rows.sort(PLACE).with_columns(last_time.alias(TIME_THAT_COUNTS)).sort(order)
    is_repeated = (pl.int_range(pl.len()).over(moment) > 0).alias(IS_REPEATED)
    return ranked.with_columns(is_repeated).with_columns(
        pl.coalesce(
            pl.when(one.broken).then(pl.lit(one.name))
            for one in (CONTRADICTING_TIME, DUPLICATE_EVENT)
        ).alias(columns.RULE),
        pl.col(CONFIRMED_TYPED).max().over(moment),
    )


def _judge_repeated(rows: pl.DataFrame) -> pl.DataFrame:
    """Carry values forward, and find the rows that change nothing."""
    carried = rows.sort(KNOWN_TYPED, PLACE, nulls_last=False).with_columns(
        pl.col(TIME_TYPED).forward_fill().over(_EVENT),
        pl.col(CONFIRMED_TYPED)
        .cast(pl.Int8)
        .cum_max()
        .forward_fill()
        .cast(pl.Boolean)
        .over(_EVENT),
    )
    same = [
        pl.col(name).eq_missing(pl.col(name).shift(1).over(_NEAR))
        for name in (DAY_TYPED, TIME_TYPED, CONFIRMED_TYPED)
    ]
    judged = carried.with_columns(pl.all_horizontal(same).alias(IS_REPEATED))
    rule = pl.when(DUPLICATE_EVENT.broken).then(pl.lit(DUPLICATE_EVENT.name))
    return judged.with_columns(rule.alias(columns.RULE))


def _add_sessions(versions: pl.DataFrame, parameters: EventParameters) -> pl.DataFrame:
    sessions = _sessions_around(versions[DAY_TYPED], parameters)
    events = versions.select(
        columns.SYMBOL,
        pl.col(DAY_TYPED).alias(columns.DATE),
        pl.col(KIND_TYPED).alias(columns.EVENT_KIND),
        pl.col(KNOWN_TYPED).alias(columns.KNOWN),
        pl.col(TIME_TYPED).alias(columns.TIME),
    )
    return versions.with_columns(
        reacting_sessions(events, sessions),
        first_origins(events[columns.KNOWN], parameters.exchange).alias(columns.KNOWN_FROM),
        (~events[columns.DATE].is_in(sessions.implode())).alias(ON_CLOSED_DAY),
    )


def _sessions_around(days: pl.Series, parameters: EventParameters) -> pl.Series:
    first, last = days.min(), days.max()
    if not isinstance(first, date) or not isinstance(last, date):
        return pl.Series(dtype=pl.Date)
    return parameters.exchange.scheduled_sessions(first, last + _MARGIN)


def _add_validity(versions: pl.DataFrame, parameters: EventParameters) -> pl.DataFrame:
    """Find until when each version holds; versions are in the order in which they were known."""
    moved = versions.join(_find_moves(versions), on=PLACE, how="left", maintain_order="left")
    next_version = pl.col(KNOWN_TYPED).shift(-1).over(_EVENT)
    until = pl.min_horizontal(_MOVED, next_version).alias(_SUPERSEDED)
    dated = moved.with_columns(until, pl.col(_MOVED).is_not_null().alias(HAS_MOVED)).drop(_MOVED)
    origins = first_origins(dated[_SUPERSEDED], parameters.exchange)
    return dated.with_columns(origins.alias(columns.KNOWN_UNTIL))


def _find_moves(versions: pl.DataFrame) -> pl.DataFrame:
    """Find when another date of the same release became known, before the release."""
    fields = [PLACE, DAY_TYPED, KNOWN_TYPED, columns.SESSION, columns.KNOWN_FROM]
    one = versions.select(*_NEAR, *fields)
    distance = (pl.col(DAY_TYPED) - pl.col(_other(DAY_TYPED))).dt.total_days().abs()
    is_later = (pl.col(_other(KNOWN_TYPED)) > pl.col(KNOWN_TYPED)) | (
        pl.col(KNOWN_TYPED).is_null() & pl.col(_other(KNOWN_TYPED)).is_not_null()
    )
    is_before_release = pl.col(_other(columns.KNOWN_FROM)) <= pl.col(columns.SESSION)
    return (
        one.join(one, on=_NEAR, suffix=_OTHER)
        .filter(distance.is_between(1, MOVE_DAYS), is_later, is_before_release)
        .group_by(PLACE)
        .agg(pl.col(_other(KNOWN_TYPED)).min().alias(_MOVED))
    )


def _other(name: str) -> str:
    return f"{name}{_OTHER}"
