"""The rules that every row of events is judged by: one table, each with its reason.

A row that breaks a rejecting rule is set aside in the quarantine under the first rule it
breaks, in the order of the table. A flagging rule only counts its rows.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

import polars as pl
from pydantic import Field

from stock_volume import columns
from stock_volume.events.parse import EXTRA
from stock_volume.exchange import ExchangeParameters

PRE: Final = "pre"
POST: Final = "post"

EARNINGS: Final = "earnings"
"""The kind of an event whose row names none."""

SPOKEN_TIMES: Final[Mapping[str, str | None]] = {
    **dict.fromkeys(("pre", "bmo", "premarket", "timepremarket", "beforeopen"), PRE),
    **dict.fromkeys(("beforemarketopen", "during", "dmh", "duringmarkethours"), PRE),
    **dict.fromkeys(("post", "amc", "afterhours", "timeafterhours", "afterclose"), POST),
    **dict.fromkeys(("aftermarketclose", "postmarket"), POST),
    **dict.fromkeys(("timenotsupplied", "tns", "unknown", "nan", "none", "null"), None),
}
"""Times as sources write them, in lower case without blanks and punctuation. What is released
during a session moves that session, as what is released before it."""

DAY_TYPED: Final = "date (typed)"
TIME_TYPED: Final = "time (typed)"
KNOWN_TYPED: Final = "known (typed)"
CONFIRMED_TYPED: Final = "confirmed (typed)"
"""Columns of typed fields; null where a field is missing or cannot be read."""

TIME_READ: Final = "time was read"
"""Column of whether a time is one of ``SPOKEN_TIMES`` or missing."""

TIME_THAT_COUNTS: Final = "time that counts"
"""Column of the last time among the rows of one event that became known at once."""

KIND_TYPED: Final = "kind (typed)"

IS_HELD: Final = "is held"
"""Column of whether a row is an event that earlier runs kept."""

IS_REPEATED: Final = "is repeated"
"""Column of whether a row changes nothing about what is known of its event."""

HAS_MOVED: Final = "has moved"
"""Column of whether another date became known before the event took place."""

ON_CLOSED_DAY: Final = "on closed day"
"""Column of whether the exchange is closed on the date."""

MOVE_DAYS: Final = 14
"""Days, at most, by which the date of a release moves: ten sessions. Two dates that are further
apart are two releases."""

_DAYS_BETWEEN: Final = 20


class EventParameters(ExchangeParameters):
    """Bounds of the rules about events.

    Attributes:
        as_of: The day on which the events are read; today (UTC) where not given.
        max_days_ahead: Number of days after it up to which an event may be scheduled.
        date_format: Format (of ``strptime``) of dates that could mean several days.
    """

    as_of: date = Field(default_factory=lambda: datetime.now(tz=UTC).date())
    max_days_ahead: int = Field(default=400, ge=0)
    date_format: str | None = None


class EventRule(NamedTuple):
    """One rule about a row.

    Attributes:
        name: How reports call it.
        reason: Why the row is wrong, or what the flag means.
        broken: Boolean expression over typed rows; true where the rule is broken.
    """

    name: str
    reason: str
    broken: pl.Expr


def rejecting_rules(parameters: EventParameters) -> tuple[EventRule, ...]:
    """List the rules that a row breaks on its own.

    Args:
        parameters: Bounds of the rules.

    Returns:
        The rules in order of precedence.
    """
    exchange = parameters.exchange
    day, known = pl.col(DAY_TYPED), pl.col(KNOWN_TYPED)
    last = parameters.as_of + timedelta(days=parameters.max_days_ahead)
    rules = (
        ("too_many_fields", "more fields than columns", pl.col(EXTRA)),
        (
            "missing_field",
            "Symbol or Date is empty",
            pl.any_horizontal(pl.col(columns.SYMBOL, columns.DATE).is_null()),
        ),
        ("unparsable_date", "the date is no calendar day, or can be several", day.is_null()),
        ("unparsable_time", "Time is neither pre nor post nor empty", ~pl.col(TIME_READ)),
        (
            "unparsable_known",
            "Known is neither a day nor a moment",
            pl.col(columns.KNOWN).is_not_null() & known.is_null(),
        ),
        (
            "unparsable_confirmed",
            "Confirmed is neither true nor false",
            pl.col(columns.CONFIRMED).is_not_null() & pl.col(CONFIRMED_TYPED).is_null(),
        ),
        ("ancient_date", f"before {exchange.first_date}", day < exchange.first_date),
        (
            "far_date",
            f"over {parameters.max_days_ahead} days ahead: nothing is scheduled so early",
            day > last,
        ),
        (
            "known_in_future",
            "Known is after the day on which the events were read",
            known.dt.date() > parameters.as_of + timedelta(days=1),
        ),
        (
            "beyond_calendar",
            f"the calendar of {exchange.code} ends on {exchange.last_date}",
            day >= (exchange.last_date or date.max),
        ),
    )
    return tuple(EventRule(*rule) for rule in rules)


CONTRADICTING_TIME: Final = EventRule(
    "contradicting_time",
    "another row of the same symbol, date, kind and Known has another Time: one with a Time "
    "counts before one without, and of two times that of the later row",
    pl.col(TIME_TYPED).ne_missing(pl.col(TIME_THAT_COUNTS)),
)
DUPLICATE_EVENT: Final = EventRule(
    "duplicate_event",
    "the row changes nothing about what was known of its event: kept is the one that was known "
    "first, and of equals a confirmed one, then the first",
    pl.col(IS_REPEATED),
)
"""Judged last, among rows that break no rule on their own."""

FLAGGING_RULES: Final = (
    EventRule("time_unknown", "no Time; kept", pl.col(columns.TIME).is_null()),
    EventRule(
        "no_session",
        "the exchange is closed on that date; kept, the next session reacts",
        pl.col(ON_CLOSED_DAY),
    ),
    EventRule(
        "known_late",
        "known only after the session that reacts had begun; kept, no forecast of it knows it",
        (pl.col(columns.KNOWN_FROM) >= pl.col(columns.SESSION)).fill_null(value=False),
    ),
    EventRule(
        "moved",
        f"another date within {MOVE_DAYS} days became known before the event took place; kept, "
        "and counts until then",
        pl.col(HAS_MOVED),
    ),
    EventRule(
        "close_to_another",
        f"within {_DAYS_BETWEEN} days after another event of the same symbol and kind; kept",
        pl.col(columns.DATE)
        .diff()
        .over(columns.SYMBOL, columns.EVENT_KIND, order_by=columns.DATE)
        .is_between(pl.duration(days=1), pl.duration(days=_DAYS_BETWEEN))
        .fill_null(value=False),
    ),
)
"""Counted among the rows that are kept."""
