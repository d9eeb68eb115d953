"""The rules that every raw row is judged by: one table, each with its reason.

A row that breaks a rejecting rule is set aside in the quarantine under the first
rule it breaks, in the order of the table. A flagging rule only counts its rows.
docs/validation.md says how many rows of the reference archive each one meets.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from math import isfinite
from typing import Final, Literal, NamedTuple

import polars as pl
from pydantic import Field

from stock_volume import columns
from stock_volume.bars.parse import AS_READ, EXTRA, FILE_INDEX
from stock_volume.exchange import EARLIEST_DATE, Exchange, ExchangeParameters

SYMBOL_INDEX: Final = "symbol_index"
"""Column of a row's symbol, as a number."""

ON_CLOSED_DAY: Final = "on_closed_day"
"""Column of whether the exchange was closed all day on a weekday on which it trades."""

IN_CONFLICTING_FILE: Final = "in_conflicting_file"
"""Column of whether a row's file contradicts another file of its symbol."""

FIRST_INEXACT_WHOLE_NUMBER: Final = 2**53
"""From here on a float64 cannot represent every whole number."""


REMEDIES: Final = {
    "too_many_fields": "write one value per column, and quote text that holds the separator",
    "missing_field": "write every field of a bar",
    "unparsable_date": (
        "write dates as 2019-03-28, or name their format: --params "
        "ingestion.date_format=%m/%d/%Y; bars within a day are not supported"
    ),
    "unparsable_number": (
        "write plain numbers: a decimal point, and neither currency signs nor units"
    ),
    "future_date": "correct the dates, or the clock of this machine",
    "open_outside_range": "a wider ingestion.price_tolerance accepts such bars",
    "close_outside_range": "a wider ingestion.price_tolerance accepts such bars",
    "absurd_adj_close": "a larger ingestion.max_adj_close_ratio accepts such bars",
    "volume_not_whole": "write volumes as whole shares",
}
"""What to do about a file whose every row breaks a rule, by the rule's name."""

MIN_PRICE: Final = 1e-12
PRICE_BOUND: Final = 1e12
"""A price is at least the first and below the second. Of the reference archive, the lowest
adjusted close is 2.7e-5 and the highest price, with many reverse splits undone, 2.1e8. Every
ratio of two such prices, and every product with a volume, is a finite number."""


class Action(StrEnum):
    """What becomes of a row that breaks a rule."""

    REJECT = "reject"
    FLAG = "flag"


class RowRule(NamedTuple):
    """One rule about a row.

    Attributes:
        name: How reports call it.
        action: What becomes of a row that breaks it.
        reason: Why the row is wrong, or what the flag means.
        broken: Boolean expression over parsed rows, in the order of their files; true
            where the rule is broken.
    """

    name: str
    action: Action
    reason: str
    broken: pl.Expr


class RuleParameters(ExchangeParameters):
    """Bounds of the rules.

    Attributes:
        as_of: Last date that is not in the future; today (UTC) where not given.
        price_tolerance: How far Close or Open may leave [Low, High], relative to the
            bound, and still count as rounded.
        max_adj_close_ratio: Largest Adj Close, in units of Close.
        closed_days: Whether bars of weekdays on which the exchange was closed all day are
            flagged and enter the windows of features (``keep``), or are rejected.
    """

    as_of: date = Field(default_factory=lambda: datetime.now(tz=UTC).date())
    price_tolerance: float = Field(default=1e-3, ge=0, lt=1)
    max_adj_close_ratio: float = Field(default=10.0, ge=1)
    closed_days: Literal["keep", "reject"] = "keep"


def rejecting_rules(parameters: RuleParameters) -> tuple[RowRule, ...]:
    """Rules that a row breaks on its own, whatever its neighbours.

    Args:
        parameters: Bounds of the rules.

    Returns:
        The rules in order of precedence. ``missing_field`` alone looks at the fields'
        text; the rows that break it break ``unparsable_date`` or ``unparsable_number``
        too.
    """
    exchange = parameters.exchange
    day, volume = pl.col(columns.DATE), pl.col(columns.VOLUME)
    open_, high, low = pl.col(columns.OPEN), pl.col(columns.HIGH), pl.col(columns.LOW)
    close, adj_close = pl.col(columns.CLOSE), pl.col(columns.ADJ_CLOSE)
    floor = low * (1 - parameters.price_tolerance)
    ceiling = high * (1 + parameters.price_tolerance)
    prices = [pl.when(open_ != 0).then(open_), high, low, close, adj_close]
    no_number = [pl.col(name).is_null() | ~pl.col(name).is_finite() for name in columns.NUMBERS]
    rules = (
        (
            "too_many_fields",
            "more fields than columns: which value belongs where cannot be known",
            pl.col(EXTRA).is_not_null(),
        ),
        (
            "missing_field",
            "a field is empty; the feed writes such rows on days without trading",
            pl.any_horizontal(pl.col(text).is_null() for text in AS_READ.values()),
        ),
        (
            "unparsable_date",
            "the date is no calendar day, or can be several",
            day.is_null(),
        ),
        (
            "unparsable_number",
            "a price or the volume is not a finite number",
            pl.any_horizontal(no_number),
        ),
        (
            "weekend_date",
            "no session is held on a weekend",
            ~day.dt.weekday().is_in(exchange.weekdays),
        ),
        (
            "future_date",
            "the session had not been held when the data was read",
            day > parameters.as_of,
        ),
        (
            "ancient_date",
            f"before {exchange.first_date}: {_why_too_early(exchange)}",
            day < exchange.first_date,
        ),
        (
            "non_positive_price",
            "nothing trades at or below zero (an Open of 0 means unknown)",
            (pl.min_horizontal(high, low, close) <= 0) | (open_ < 0),
        ),
        ("high_below_low", "High and Low contradict each other", high < low),
        (
            "close_outside_range",
            "Close and the day's range contradict each other beyond rounding",
            (close < floor) | (close > ceiling),
        ),
        (
            "open_outside_range",
            "a known Open and the day's range contradict each other beyond rounding",
            (open_ != 0) & ((open_ < floor) | (open_ > ceiling)),
        ),
        (
            "absurd_adj_close",
            "Adj Close is not positive or far above Close: its factor has overflowed",
            (adj_close <= 0) | (adj_close > close * parameters.max_adj_close_ratio),
        ),
        (
            "volume_not_whole",
            "a volume counts shares: it is whole, not negative and below 2^53",
            (volume < 0) | (volume != volume.floor()) | (volume >= FIRST_INEXACT_WHOLE_NUMBER),
        ),
        (
            "price_out_of_bounds",
            f"no security has a price below {MIN_PRICE:g}, or of {PRICE_BOUND:g} and more",
            (pl.min_horizontal(prices) < MIN_PRICE) | (pl.max_horizontal(prices) >= PRICE_BOUND),
        ),
    )
    by_itself = (RowRule(name, Action.REJECT, reason, broken) for name, reason, broken in rules)
    return (*by_itself, *([_CLOSED_DAY] if parameters.closed_days == "reject" else []))


def _why_too_early(exchange: Exchange) -> str:
    if exchange.first_date == EARLIEST_DATE:
        return "no feed reaches back so far, the year is mistyped"
    return f"the calendar of {exchange.code} begins there"


def rules_of_typed_fields(rules: Iterable[RowRule]) -> list[RowRule]:
    """Choose the rules that look at typed fields alone, not at the text they were read from.

    Args:
        rules: The rejecting rules.

    Returns:
        Those rules, in the same order.
    """
    texts = set(AS_READ.values())
    return [rule for rule in rules if texts.isdisjoint(rule.broken.meta.root_names())]


def screening(rules: Iterable[RowRule]) -> pl.Expr:
    """Mark rows that break any rejecting rule, judged by typed fields alone.

    Args:
        rules: The rejecting rules.

    Returns:
        Boolean expression over parsed rows.
    """
    return pl.any_horizontal(rule.broken for rule in rules_of_typed_fields(rules))


_CLOSED_DAY: Final = RowRule(
    "exchange_closed",
    Action.REJECT,
    "the exchange was closed that day",
    pl.col(ON_CLOSED_DAY),
)

CONFLICTING_FILE: Final = RowRule(
    "conflicting_file",
    Action.REJECT,
    "another file of the symbol has other bars; which are right cannot be known",
    pl.col(IN_CONFLICTING_FILE),
)
"""Judged after the rules that a row breaks on its own."""

_SAME_BAR_AS_NEXT: Final = (pl.col(SYMBOL_INDEX) == pl.col(SYMBOL_INDEX).shift(-1)) & (
    pl.col(columns.DATE) == pl.col(columns.DATE).shift(-1)
)

SUPERSEDED_BAR: Final = RowRule(
    "superseded_bar",
    Action.REJECT,
    "a later row of the same symbol and date has other values; the later row is kept, for a "
    "source that repeats its last day settles it in the second row",
    _SAME_BAR_AS_NEXT
    & pl.any_horizontal(pl.col(name) != pl.col(name).shift(-1) for name in columns.NUMBERS),
)

DUPLICATE_BAR: Final = RowRule(
    "duplicate_bar",
    Action.REJECT,
    "a later row repeats this bar",
    _SAME_BAR_AS_NEXT,
)
"""Judged last, like ``SUPERSEDED_BAR`` before it, among rows that break no other rule, sorted
by symbol and date."""

DATE_OUT_OF_ORDER: Final = RowRule(
    "date_out_of_order",
    Action.FLAG,
    "below a later date in its file; kept, in its place by date",
    (pl.col(FILE_INDEX) == pl.col(FILE_INDEX).shift(1))
    & (pl.col(columns.DATE) < pl.col(columns.DATE).shift(1)),
)
"""Judged among rows that break no rejecting rule on their own, in file order."""

FLAGGING_RULES: Final = (
    DATE_OUT_OF_ORDER,
    RowRule(
        "open_unknown",
        Action.FLAG,
        "Open = 0 is the old feed's way to say unknown; kept, Open becomes null",
        pl.col(columns.OPEN) == 0,
    ),
    RowRule(
        "zero_volume",
        Action.FLAG,
        "no trade that day: true of thinly traded symbols; kept",
        pl.col(columns.VOLUME) == 0,
    ),
    RowRule(
        "exchange_closed",
        Action.FLAG,
        "the exchange was closed that day; kept, and enters the windows of features unless "
        "ingestion.closed_days is reject",
        pl.col(ON_CLOSED_DAY),
    ),
)
"""Counted among the rows that are kept."""


def describe_rejection(row: Mapping[str, str | int | None]) -> str:
    """Describe why a row was rejected, with an example value and what to do.

    Args:
        row: A row of the quarantine.

    Returns:
        One line, such as ``line 2: unparsable_number (Volume is '91.35K'); write ...``.
    """
    rule = str(row[columns.RULE])
    shown = ", ".join(f"{name} is {row[name]!r}" for name in _offending_fields(rule, row))
    remedy = REMEDIES.get(rule)
    return f"line {row[columns.LINE]}: {rule} ({shown})" + (f"; {remedy}" if remedy else "")


def _offending_fields(rule: str, row: Mapping[str, str | int | None]) -> Sequence[str]:
    """Choose the fields that show how a row breaks a rule."""
    if rule.endswith("_date") or rule == _CLOSED_DAY.name:
        return [columns.DATE]
    if rule == "missing_field":
        return [name for name in columns.BAR if row[name] is None]
    if rule == "unparsable_number":
        return [name for name in columns.NUMBERS if not _is_number(str(row[name]))]
    return [columns.VOLUME] if rule == "volume_not_whole" else columns.BAR


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False
