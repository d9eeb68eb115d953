"""The judgement of rows of events by the rules: which are kept, and why the others are not."""

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, NamedTuple

import polars as pl

from stock_volume import columns
from stock_volume.bars.dates import read_date
from stock_volume.bars.layout import plain_name
from stock_volume.events.reaction import first_origins, reacting_sessions
from stock_volume.events.rules import (
    CONFIRMED_TYPED,
    CONTRADICTING_TIME,
    DAY_TYPED,
    DUPLICATE_EVENT,
    EARNINGS,
    FLAGGING_RULES,
    KNOWN_TYPED,
    ON_CLOSED_DAY,
    PLACE_AMONG_EQUALS,
    SPOKEN_TIMES,
    TIME_READ,
    TIME_THAT_COUNTS,
    TIME_TYPED,
    EventParameters,
    rejecting_rules,
)

FILE_INDEX: Final = "file_index"
_PLACE: Final = "place"
_TRUTHS: Final = {
    **dict.fromkeys(("true", "yes", "1", "t", "y"), True),
    **dict.fromkeys(("false", "no", "0", "f", "n"), False),
}
_MARGIN: Final = timedelta(days=30)
_KIND: Final = "kind (typed)"
_EVENT: Final = (columns.SYMBOL, DAY_TYPED, _KIND)
"""What makes two rows the same event."""


class JudgedEvents(NamedTuple):
    """Rows of events by their fate; together they are as many as came in.

    Attributes:
        kept: The events, sorted by symbol, date and kind, with the session that reacts, the
            first origin that knows them, and one boolean column per flagging rule.
        rejected: The other rows, in file order, each with the first rule it breaks.
    """

    kept: pl.DataFrame
    rejected: pl.DataFrame


def judge_events(rows: pl.DataFrame, parameters: EventParameters) -> JudgedEvents:
    """Split rows of events by the rules.

    Of the rows of one event, one is kept; it gets the earliest ``Known`` of all of them and is
    confirmed if any of them is.

    Args:
        rows: Rows as of ``read_event_rows`` with ``file_index``, files that matter most last.
        parameters: Bounds of the rules.

    Returns:
        The rows by their fate.
    """
    typed = _type_fields(rows, parameters)
    rule = pl.coalesce(
        *(pl.when(one.broken).then(pl.lit(one.name)) for one in rejecting_rules(parameters))
    )
    judged = typed.with_columns(rule.alias(columns.RULE))
    valid = _judge_equals(judged.filter(pl.col(columns.RULE).is_null()))
    broken = judged.filter(pl.col(columns.RULE).is_not_null())
    repeated = valid.filter(pl.col(columns.RULE).is_not_null()).select(broken.columns)
    rejected = pl.concat([broken, repeated]).sort(_PLACE)
    kept = valid.filter(pl.col(columns.RULE).is_null())
    return JudgedEvents(_finish(kept, parameters), rejected)


def _type_fields(rows: pl.DataFrame, parameters: EventParameters) -> pl.DataFrame:
    zone = parameters.exchange.zone
    days = [_read_day(text, parameters) for text in rows[columns.DATE]]
    known = [_read_moment(text, zone) for text in rows[columns.KNOWN]]
    times = [plain_name(text or "") for text in rows[columns.TIME]]
    confirmed = [_TRUTHS.get((text or "").lower()) for text in rows[columns.CONFIRMED]]
    return rows.with_row_index(_PLACE).with_columns(
        pl.Series(DAY_TYPED, days, pl.Date),
        pl.Series(KNOWN_TYPED, known, pl.Datetime("us", "UTC")),
        pl.Series(TIME_TYPED, [SPOKEN_TIMES.get(text) for text in times], pl.String),
        pl.Series(TIME_READ, [not text or text in SPOKEN_TIMES for text in times], pl.Boolean),
        pl.Series(CONFIRMED_TYPED, confirmed, pl.Boolean),
        pl.col(columns.EVENT_KIND).str.to_lowercase().fill_null(EARNINGS).alias(_KIND),
    )


def _read_day(text: str | None, parameters: EventParameters) -> date | None:
    return read_date(text, parameters.date_format, parameters.exchange.zone) if text else None


def _read_moment(text: str | None, zone: tzinfo) -> datetime | None:
    """Read a moment; a day alone ends with midnight on the clock of the exchange."""
    if not text:
        return None
    day = read_date(text, None, zone)
    if day is not None and ":" not in text:
        return datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def _sessions_around(days: pl.Series, parameters: EventParameters) -> pl.Series:
    first, last = days.min(), days.max()
    if not isinstance(first, date) or not isinstance(last, date):
        return pl.Series(dtype=pl.Date)
    return parameters.exchange.scheduled_sessions(first, last + _MARGIN)


def _judge_equals(rows: pl.DataFrame) -> pl.DataFrame:
    """Find the rows of one event, and choose the one to keep."""
    last_time = pl.col(TIME_TYPED).drop_nulls().last().over(_EVENT)
    order = [
        pl.col(TIME_TYPED).ne_missing(pl.col(TIME_THAT_COUNTS)),
        pl.col(KNOWN_TYPED).is_null(),
        pl.col(KNOWN_TYPED),
        pl.col(CONFIRMED_TYPED).fill_null(value=False).not_(),
        pl.col(_PLACE),
    ]
    ranked = rows.with_columns(last_time.alias(TIME_THAT_COUNTS)).sort(order)
    return (
        ranked.with_columns(pl.int_range(pl.len()).over(_EVENT).alias(PLACE_AMONG_EQUALS))
        .with_columns(
            pl.coalesce(
                pl.when(one.broken).then(pl.lit(one.name))
                for one in (CONTRADICTING_TIME, DUPLICATE_EVENT)
            ).alias(columns.RULE),
            pl.col(KNOWN_TYPED).min().over(_EVENT),
            pl.col(CONFIRMED_TYPED).max().over(_EVENT),
        )
        .sort(_PLACE)
    )


def _finish(kept: pl.DataFrame, parameters: EventParameters) -> pl.DataFrame:
    sessions = _sessions_around(kept[DAY_TYPED], parameters)
    day = pl.col(columns.DATE)
    events = kept.select(
        FILE_INDEX,
        columns.SYMBOL,
        pl.col(DAY_TYPED).alias(columns.DATE),
        pl.col(TIME_TYPED).alias(columns.TIME),
        pl.col(_KIND).alias(columns.EVENT_KIND),
        pl.col(KNOWN_TYPED).alias(columns.KNOWN),
        pl.col(CONFIRMED_TYPED).alias(columns.CONFIRMED),
    ).with_columns((~day.is_in(sessions.implode())).alias(ON_CLOSED_DAY))
    return (
        events.with_columns(
            reacting_sessions(events, sessions),
            first_origins(events[columns.KNOWN], parameters.exchange),
        )
        .sort(columns.SYMBOL, columns.DATE, columns.EVENT_KIND)
        .with_columns(rule.broken.alias(rule.name) for rule in FLAGGING_RULES)
    )
