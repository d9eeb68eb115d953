"""The judgement of rows of events by the rules: which are kept, and why the others are not."""

from datetime import UTC, date, datetime, tzinfo
from typing import Final, NamedTuple

import polars as pl

from stock_volume import columns
from stock_volume.bars.dates import read_date
from stock_volume.bars.layout import plain_name
from stock_volume.events.parse import EXTRA
from stock_volume.events.rules import (
    CONFIRMED_TYPED,
    DAY_TYPED,
    EARNINGS,
    FLAGGING_RULES,
    IS_HELD,
    KIND_TYPED,
    KNOWN_TYPED,
    SPOKEN_TIMES,
    TIME_READ,
    TIME_TYPED,
    EventParameters,
    rejecting_rules,
)
from stock_volume.events.versions import PLACE, end_of_day, find_versions

FILE_INDEX: Final = "file_index"
"""Column of the position of a row's file in the ledger."""

_TRUTHS: Final = {
    **dict.fromkeys(("true", "yes", "1", "t", "y"), True),
    **dict.fromkeys(("false", "no", "0", "f", "n"), False),
}


class JudgedEvents(NamedTuple):
    """Rows of events by their fate; together they are as many as came in.

    Attributes:
        kept: Versions of events, sorted by symbol, date, kind and when they became known, with
            the session that reacts, the origins that know them, and one boolean column per
            flagging rule.
        rejected: The other rows, in file order, each with the first rule it breaks.
    """

    kept: pl.DataFrame
    rejected: pl.DataFrame


def judge_events(
    rows: pl.DataFrame, parameters: EventParameters, held: pl.DataFrame | None = None
) -> JudgedEvents:
    """Split rows of events by the rules.

    Of the rows of one event, those are kept that change what is known of it. Each counts from
    when it became known until the next one does, or until the event has moved to another date.

    Args:
        rows: Rows as of ``read_event_rows`` with ``file_index``, files that matter most last.
        parameters: Bounds of the rules.
        held: Rows that ``judge_events`` kept earlier, which only other rows of the same event
            can replace.

    Returns:
        The rows by their fate.
    """
    typed = _type_fields(rows, parameters).with_columns(pl.lit(value=False).alias(IS_HELD))
    before = typed.clear() if held is None else _type_held(held, typed.schema)
    placed = pl.concat([before, typed]).with_columns(pl.int_range(pl.len()).alias(PLACE))
    rule = pl.coalesce(
        *(pl.when(one.broken).then(pl.lit(one.name)) for one in rejecting_rules(parameters))
    )
    judged = placed.with_columns(pl.when(~pl.col(IS_HELD)).then(rule).alias(columns.RULE))
    broken = judged.filter(pl.col(columns.RULE).is_not_null())
    valid = find_versions(judged.filter(pl.col(columns.RULE).is_null()), parameters)
    repeated = valid.filter(pl.col(columns.RULE).is_not_null()).select(broken.columns)
    kept = valid.filter(pl.col(columns.RULE).is_null())
    return JudgedEvents(_finish(kept), pl.concat([broken, repeated]).sort(PLACE))


def _type_held(held: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Bring events into the shape of typed rows; their text is that of the typed fields."""
    moment = pl.col(columns.KNOWN)
    return held.select(
        pl.all().exclude(columns.DATE, columns.KNOWN, columns.CONFIRMED),
        pl.col(columns.DATE).cast(pl.String),
        moment.dt.to_string("iso:strict").alias(columns.KNOWN),
        pl.col(columns.CONFIRMED).cast(pl.String),
        pl.lit(value=False).alias(EXTRA),
        pl.col(columns.DATE).alias(DAY_TYPED),
        moment.alias(KNOWN_TYPED),
        pl.col(columns.TIME).alias(TIME_TYPED),
        pl.lit(value=True).alias(TIME_READ),
        pl.col(columns.CONFIRMED).alias(CONFIRMED_TYPED),
        pl.col(columns.EVENT_KIND).alias(KIND_TYPED),
        pl.lit(value=True).alias(IS_HELD),
    ).select(schema.names())


def _type_fields(rows: pl.DataFrame, parameters: EventParameters) -> pl.DataFrame:
    zone = parameters.exchange.zone
    days = [_read_day(text, parameters) for text in rows[columns.DATE]]
    known = [_read_moment(text, zone) for text in rows[columns.KNOWN]]
    times = [plain_name(text or "") for text in rows[columns.TIME]]
    confirmed = [_TRUTHS.get((text or "").lower()) for text in rows[columns.CONFIRMED]]
    return rows.with_columns(
        pl.Series(DAY_TYPED, days, pl.Date),
        pl.Series(KNOWN_TYPED, known, pl.Datetime("us", "UTC")),
        pl.Series(TIME_TYPED, [SPOKEN_TIMES.get(text) for text in times], pl.String),
        pl.Series(TIME_READ, [not text or text in SPOKEN_TIMES for text in times], pl.Boolean),
        pl.Series(CONFIRMED_TYPED, confirmed, pl.Boolean),
        pl.col(columns.EVENT_KIND).str.to_lowercase().fill_null(EARNINGS).alias(KIND_TYPED),
    )


def _read_day(text: str | None, parameters: EventParameters) -> date | None:
    return read_date(text, parameters.date_format, parameters.exchange.zone) if text else None


def _read_moment(text: str | None, zone: tzinfo) -> datetime | None:
    """Read a moment; a day alone ends with midnight on the clock of the exchange."""
    if not text:
        return None
    day = read_date(text, None, zone)
    if day is not None and ":" not in text:
        return end_of_day(day, zone)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def _finish(kept: pl.DataFrame) -> pl.DataFrame:
    typed = {
        columns.DATE: DAY_TYPED,
        columns.TIME: TIME_TYPED,
        columns.EVENT_KIND: KIND_TYPED,
        columns.KNOWN: KNOWN_TYPED,
        columns.CONFIRMED: CONFIRMED_TYPED,
    }
    return (
        kept.with_columns(pl.col(column).alias(name) for name, column in typed.items())
        .sort(columns.SYMBOL, columns.DATE, columns.EVENT_KIND, columns.KNOWN, PLACE)
        .with_columns(rule.broken.alias(rule.name) for rule in FLAGGING_RULES)
    )
