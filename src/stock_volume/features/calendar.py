"""The sessions of the exchange, and what is known of each before it opens.

All of it is known well ahead, so a forecast may use the calendar of the session it is for.
Sessions and early closes come from exchange_calendars; the rest follows from dates. Unforeseen
closures of NYSE (a storm, a day of mourning) count as sessions here: nobody knew of them a year
before. No bar has such a date, so no forecast of one is ever scored.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.exchange import Exchange, ScheduledEvent
from stock_volume.features.feature import Feature, columns_of, select_features

YEAR: Final = "year"
MONTH: Final = "target_month"
WEEKDAY: Final = "target_weekday"
DAY: Final = "target_day"
DAYS_BEFORE: Final = "target_days_before"
DAYS_AFTER: Final = "target_days_after"
MONTH_START: Final = "target_sessions_from_month_start"
MONTH_END: Final = "target_sessions_to_month_end"
YEAR_START: Final = "target_sessions_from_year_start"
YEAR_END: Final = "target_sessions_to_year_end"
EARLY_CLOSE: Final = "target_early_close"
EXPIRY: Final = "target_expiry"
TRIPLE_WITCHING: Final = "target_triple_witching"
DOUBLE_WITCHING: Final = "target_double_witching"
RUSSELL: Final = "target_russell_reconstitution"
INDEX_REVIEW: Final = "target_index_review"
LAST_OF_MONTH: Final = "target_other_month_end"
LAST_OF_QUARTER: Final = "target_quarter_end"
AFTER_HOLIDAY: Final = "target_after_holiday"
BEFORE_HOLIDAY: Final = "target_before_holiday"
KIND: Final = "kind"
HOLIDAY_OFFSET: Final = "holiday_offset"
WEEK: Final = "week_of_month"

SINCE_EXPIRY: Final = "target_sessions_since_expiry"

_AFTER_LONG_WEEKEND: Final = "after_long_weekend"
_BEFORE_LONG_WEEKEND: Final = "before_long_weekend"
_SINCE_LONG_WEEKEND: Final = "target_sessions_since_long_weekend"
_UNTIL_LONG_WEEKEND: Final = "target_sessions_until_long_weekend"

_FRIDAY: Final = 5
_SUNDAY: Final = 7
_LONG_WEEKEND_DAYS: Final = 4
_MONTHS_IN_QUARTER: Final = 3
_JUNE: Final = 6
_MAX_DISTANCE: Final = 30
_MAX_HOLIDAY_OFFSET: Final = 3
_MARGIN: Final = timedelta(days=400)
"""Time beyond the data, so that months and years are complete."""


class SessionKind(StrEnum):
    """The kinds of session that trade unlike the others, in order of precedence."""

    TRIPLE_WITCHING = "triple witching"
    RUSSELL = "Russell reconstitution"
    EARLY_CLOSE = "early close"
    INDEX_REVIEW = "index review"
    QUARTER_END = "quarter end"
    DOUBLE_WITCHING = "double witching"
    MONTH_END = "month end"
    AFTER_HOLIDAY = "after a holiday"
    BEFORE_HOLIDAY = "before a holiday"
    MONDAY = "Monday"
    TUESDAY = "Tuesday"
    WEDNESDAY = "Wednesday"
    THURSDAY = "Thursday"
    FRIDAY = "Friday"
    SATURDAY = "Saturday"
    SUNDAY = "Sunday"


_WEEKDAY_KINDS: Final = tuple(SessionKind)[-7:]
_FLAGGED_KINDS: Final = {
    TRIPLE_WITCHING: SessionKind.TRIPLE_WITCHING,
    RUSSELL: SessionKind.RUSSELL,
    EARLY_CLOSE: SessionKind.EARLY_CLOSE,
    INDEX_REVIEW: SessionKind.INDEX_REVIEW,
    LAST_OF_QUARTER: SessionKind.QUARTER_END,
    DOUBLE_WITCHING: SessionKind.DOUBLE_WITCHING,
    LAST_OF_MONTH: SessionKind.MONTH_END,
    AFTER_HOLIDAY: SessionKind.AFTER_HOLIDAY,
    BEFORE_HOLIDAY: SessionKind.BEFORE_HOLIDAY,
}
"""The kind of a session with each flag; the first flag counts."""

KIND_TYPES: Final = (
    pl.Enum([kind.value for kind in SessionKind if kind != SessionKind.SUNDAY]),
    pl.Enum(SessionKind),
)
"""Types of the column of kinds: of exchanges without and with sessions on Sundays."""


def _index() -> pl.Expr:
    return pl.int_range(pl.len())


def _since(flag: str) -> pl.Expr:
    since = _index() - pl.when(pl.col(flag)).then(_index()).forward_fill()
    return since.clip(0, _MAX_DISTANCE).fill_null(_MAX_DISTANCE)


def _until(flag: str) -> pl.Expr:
    until = pl.when(pl.col(flag)).then(_index()).backward_fill() - _index()
    return until.clip(0, _MAX_DISTANCE).fill_null(_MAX_DISTANCE)


def _list_sessions(exchange: Exchange, first: date, last: date) -> pl.DataFrame:
    sessions = exchange.scheduled_sessions(first, last)
    listed = sessions.alias(columns.TARGET_DATE).to_frame()
    if ScheduledEvent.EARLY_CLOSE not in exchange.events:
        return listed
    closes = exchange.early_closes(first, last).implode()
    return listed.with_columns(pl.col(columns.TARGET_DATE).is_in(closes).alias(EARLY_CLOSE))


def _dates(day: pl.Expr) -> list[pl.Expr]:
    return [
        day.dt.year().alias(YEAR),
        day.dt.month().alias(MONTH),
        day.dt.weekday().alias(WEEKDAY),
        day.dt.day().alias(DAY),
        ((day.dt.day() - 1) // 7).alias(WEEK),
        (day - day.shift(1)).dt.total_days().alias(DAYS_BEFORE),
        (day.shift(-1) - day).dt.total_days().alias(DAYS_AFTER),
    ]


def _positions() -> list[pl.Expr]:
    last = pl.len() - 1
    return [
        _index().over(YEAR, MONTH).alias(MONTH_START),
        (last - _index()).over(YEAR, MONTH).alias(MONTH_END),
        _index().over(YEAR).alias(YEAR_START),
        (last - _index()).over(YEAR).alias(YEAR_END),
    ]


def _on_or_before(day: pl.Expr) -> pl.Expr:
    """Mark the last session on or before a day, which may be a holiday itself."""
    session = pl.col(columns.TARGET_DATE)
    following = session.shift(-1).fill_null(pl.date(9999, 1, 1))
    return (session <= day) & (following > day)


def _third_friday(day: pl.Expr) -> pl.Expr:
    fifteenth = day.dt.truncate("1mo").dt.offset_by("14d")
    return fifteenth + pl.duration(days=(_FRIDAY - fifteenth.dt.weekday()) % 7)


def _russell_friday(day: pl.Expr) -> pl.Expr:
    """The last Friday of June, or the one before where that is the 29th or 30th."""
    end = day.dt.month_end()
    friday = end - pl.duration(days=(end.dt.weekday() - _FRIDAY) % 7)
    return friday - pl.duration(days=pl.when(friday.dt.day() >= 29).then(7).otherwise(0))  # noqa: PLR2004


def _regular_gaps(weekdays: tuple[int, ...], step: int) -> pl.Expr:
    """Count the days from each weekday to the next (``step`` 1) or previous (-1) trading day."""

    def gap(weekday: int) -> int:
        return next(days for days in range(1, 8) if (weekday + step * days - 1) % 7 + 1 in weekdays)

    gaps = {weekday: gap(weekday) for weekday in range(1, 8)}
    return pl.col(WEEKDAY).replace_strict(gaps, return_dtype=pl.Int64)


def _flags(exchange: Exchange) -> list[pl.Expr]:
    month = pl.col(MONTH)
    month_end = pl.col(MONTH_END) == 0
    quarter_end = month_end & (month % _MONTHS_IN_QUARTER == 0)
    return [
        *_event_flags(exchange),
        (month_end & (month % _MONTHS_IN_QUARTER == 2)).alias(INDEX_REVIEW),  # noqa: PLR2004
        quarter_end.alias(LAST_OF_QUARTER),
        (month_end & (month % _MONTHS_IN_QUARTER == 1)).alias(LAST_OF_MONTH),
        (pl.col(DAYS_BEFORE) > _regular_gaps(exchange.weekdays, -1)).alias(AFTER_HOLIDAY),
        (pl.col(DAYS_AFTER) > _regular_gaps(exchange.weekdays, 1)).alias(BEFORE_HOLIDAY),
        (pl.col(DAYS_BEFORE) >= _LONG_WEEKEND_DAYS).alias(_AFTER_LONG_WEEKEND),
        (pl.col(DAYS_AFTER) >= _LONG_WEEKEND_DAYS).alias(_BEFORE_LONG_WEEKEND),
    ]


def _event_flags(exchange: Exchange) -> list[pl.Expr]:
    day, month = pl.col(columns.TARGET_DATE), pl.col(MONTH)
    expiry, quarterly = _on_or_before(_third_friday(day)), month % _MONTHS_IN_QUARTER == 0
    flags = {
        ScheduledEvent.OPTION_EXPIRY: [
            expiry.alias(EXPIRY),
            (expiry & quarterly).alias(TRIPLE_WITCHING),
            (expiry & ~quarterly).alias(DOUBLE_WITCHING),
        ],
        ScheduledEvent.RUSSELL_RECONSTITUTION: [
            (_on_or_before(_russell_friday(day)) & (month == _JUNE)).alias(RUSSELL)
        ],
    }
    return [flag for event in exchange.events for flag in flags.get(event, [])]


def _kind(flags: Iterable[str], kinds: pl.Enum) -> pl.Expr:
    special = [pl.when(pl.col(flag)).then(pl.lit(_FLAGGED_KINDS[flag].value)) for flag in flags]
    weekday = pl.col(WEEKDAY).replace_strict(
        {day: kind.value for day, kind in enumerate(_WEEKDAY_KINDS, start=1)},
        return_dtype=pl.String,
    )
    return pl.coalesce(*special, weekday).cast(kinds)


def _distances() -> list[pl.Expr]:
    since, until = _since(_AFTER_LONG_WEEKEND), _until(_BEFORE_LONG_WEEKEND)
    offset = (
        pl.when(since <= _MAX_HOLIDAY_OFFSET)
        .then(since)
        .when(until <= _MAX_HOLIDAY_OFFSET)
        .then(-1 - until)
    )
    return [
        offset.alias(HOLIDAY_OFFSET),
        since.alias(_SINCE_LONG_WEEKEND),
        until.alias(_UNTIL_LONG_WEEKEND),
    ]


def _distance(flag: str, what: str, event: ScheduledEvent | None = None) -> list[Feature]:
    name = flag.removeprefix("target_")
    return [
        Feature(
            f"target_sessions_since_{name}",
            f"sessions since the last {what}, at most {_MAX_DISTANCE}",
            _since(flag),
            event=event,
        ),
        Feature(
            f"target_sessions_until_{name}",
            f"sessions until the next {what}, at most {_MAX_DISTANCE}",
            _until(flag),
            event=event,
        ),
    ]


def _as_is(name: str, description: str, event: ScheduledEvent | None = None) -> Feature:
    return Feature(name, description, pl.col(name), event=event)


_EXPIRES: Final = ScheduledEvent.OPTION_EXPIRY
_CLOSES_EARLY: Final = ScheduledEvent.EARLY_CLOSE
_RECONSTITUTES: Final = ScheduledEvent.RUSSELL_RECONSTITUTION

CALENDAR_FEATURES: Final = (
    _as_is(WEEKDAY, "weekday of the target session; 1 is Monday"),
    _as_is(MONTH, "month of the target session"),
    _as_is(DAY, "day of the month of the target session"),
    _as_is(DAYS_BEFORE, "calendar days since the session before the target"),
    _as_is(DAYS_AFTER, "calendar days until the session after the target"),
    _as_is(MONTH_START, "sessions from the first of the target's month"),
    _as_is(MONTH_END, "sessions to the last of the target's month"),
    _as_is(YEAR_START, "sessions from the first of the target's year"),
    _as_is(YEAR_END, "sessions to the last of the target's year"),
    _as_is(EARLY_CLOSE, "whether the target session closes early", _CLOSES_EARLY),
    _as_is(EXPIRY, "whether monthly options expire on the target session", _EXPIRES),
    _as_is(TRIPLE_WITCHING, "whether futures and options expire on it, once a quarter", _EXPIRES),
    _as_is(DOUBLE_WITCHING, "whether options expire on it in another month", _EXPIRES),
    _as_is(RUSSELL, "whether the Russell indexes are reconstituted at its close", _RECONSTITUTES),
    _as_is(INDEX_REVIEW, "whether it is the last of February, May, August or November"),
    _as_is(LAST_OF_QUARTER, "whether it is the last of a quarter"),
    _as_is(LAST_OF_MONTH, "whether it is the last of January, April, July or October"),
    _as_is(AFTER_HOLIDAY, "whether it follows a holiday"),
    _as_is(BEFORE_HOLIDAY, "whether a holiday follows it"),
    _as_is(
        _SINCE_LONG_WEEKEND,
        "sessions since the last gap of four days or more between sessions, at most 30",
    ),
    _as_is(
        _UNTIL_LONG_WEEKEND,
        "sessions until the next gap of four days or more between sessions, at most 30",
    ),
    *_distance(EXPIRY, "expiry of options", _EXPIRES),
    *_distance(TRIPLE_WITCHING, "triple witching", _EXPIRES),
    *_distance(EARLY_CLOSE, "early close", _CLOSES_EARLY),
    *_distance(RUSSELL, "Russell reconstitution", _RECONSTITUTES),
    *_distance(INDEX_REVIEW, "index review"),
)
"""What the calendar says of the target session, the one after the origin."""


def trading_calendar(first: date, last: date, exchange: Exchange) -> pl.DataFrame:
    """List the sessions, each as the target of a forecast made at the previous one.

    Args:
        first: First day of the data.
        last: Last day of the data.
        exchange: The exchange.

    Returns:
        One row per session from ``first`` to ``last``, as far as the calendar of the exchange
        reaches: its date as origin (``Date``), the next session (``TargetDate``), the calendar
        features of that, and the columns by which similar sessions are found (kind, offset from
        a long weekend, week of the month).
    """
    day = pl.col(columns.TARGET_DATE)
    features = select_features(CALENDAR_FEATURES, exchange.events)
    names = [feature.name for feature in features]
    flags = [flag for flag in _FLAGGED_KINDS if flag in names]
    kinds = KIND_TYPES[_SUNDAY in exchange.weekdays]
    return (
        _list_sessions(exchange, first - _MARGIN, last + _MARGIN)
        .with_columns(_dates(day))
        .with_columns(_positions())
        .with_columns(_flags(exchange))
        .with_columns(_kind(flags, kinds).alias(KIND), *_distances())
        .with_columns(columns_of(features))
        .with_columns(day.shift(1).alias(columns.DATE))
        .filter(pl.col(columns.DATE).is_between(first, last))
        .select(columns.DATE, columns.TARGET_DATE, KIND, HOLIDAY_OFFSET, WEEK, *names)
    )
