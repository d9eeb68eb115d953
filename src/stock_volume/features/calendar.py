"""The exchange's sessions, and what is known of each before it opens.

All of it is known well ahead, so a forecast may use the calendar of the session it is for.
Sessions and early closes come from exchange_calendars; the rest follows from dates. Days on
which the exchange stayed closed out of order (a storm, a day of mourning) count as sessions
here: nobody knew of them a year before. No bar is of such a day, so no forecast of one is
ever scored.
"""

import warnings
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.features.feature import Feature, columns_of

EXCHANGE: Final = "XNYS"
"""NYSE; NASDAQ keeps the same sessions."""

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

_FRIDAY: Final = 5
_WEEKEND_DAYS: Final = 3
_LONG_WEEKEND_DAYS: Final = 4
_QUARTER: Final = 3
_FAR: Final = 30
_NEAR: Final = 3
_MARGIN: Final = timedelta(days=400)
"""Sessions beyond the data, so that months and years are whole."""


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


_WEEKDAY_KINDS: Final = tuple(SessionKind)[-6:]


def _index() -> pl.Expr:
    return pl.int_range(pl.len())


def _since(flag: str) -> pl.Expr:
    since = _index() - pl.when(pl.col(flag)).then(_index()).forward_fill()
    return since.clip(0, _FAR).fill_null(_FAR)


def _until(flag: str) -> pl.Expr:
    until = pl.when(pl.col(flag)).then(_index()).backward_fill() - _index()
    return until.clip(0, _FAR).fill_null(_FAR)


def _sessions(first: date, last: date) -> pl.DataFrame:
    import exchange_calendars

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas 3 deprecates what exchange_calendars does
        calendar = exchange_calendars.get_calendar(EXCHANGE, start=first, end=last)
        early_closes = pl.Series(calendar.early_closes.to_numpy()).cast(pl.Date)
        holidays = calendar.regular_holidays.holidays(start=first, end=last)
    held = pl.Series(calendar.sessions.to_numpy()).cast(pl.Date)
    adhoc = {day.date() for day in calendar.adhoc_holidays} - {day.date() for day in holidays}
    closed = [day for day in adhoc if first <= day <= last]
    sessions = pl.concat([held, pl.Series(closed, dtype=pl.Date)]).unique().sort()
    return (
        sessions.alias(columns.TARGET_DATE)
        .to_frame()
        .with_columns(pl.col(columns.TARGET_DATE).is_in(early_closes.implode()).alias(EARLY_CLOSE))
    )


def _days_of_month(day: pl.Expr) -> list[pl.Expr]:
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
    """Tell the last session on or before a day in whose week a holiday may stand."""
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


def _marks() -> list[pl.Expr]:
    day, month = pl.col(columns.TARGET_DATE), pl.col(MONTH)
    expiry = _on_or_before(_third_friday(day))
    month_end, quarterly = pl.col(MONTH_END) == 0, month % _QUARTER == 0
    before = pl.when(pl.col(WEEKDAY) == 1).then(_WEEKEND_DAYS).otherwise(1)
    after = pl.when(pl.col(WEEKDAY) == _FRIDAY).then(_WEEKEND_DAYS).otherwise(1)
    return [
        expiry.alias(EXPIRY),
        (expiry & quarterly).alias(TRIPLE_WITCHING),
        (expiry & ~quarterly).alias(DOUBLE_WITCHING),
        (_on_or_before(_russell_friday(day)) & (month == 6)).alias(RUSSELL),  # noqa: PLR2004
        (month_end & (month % _QUARTER == 2)).alias(INDEX_REVIEW),  # noqa: PLR2004
        (month_end & quarterly).alias(LAST_OF_QUARTER),
        (month_end & (month % _QUARTER == 1)).alias(LAST_OF_MONTH),
        (pl.col(DAYS_BEFORE) > before).alias(AFTER_HOLIDAY),
        (pl.col(DAYS_AFTER) > after).alias(BEFORE_HOLIDAY),
        (pl.col(DAYS_BEFORE) >= _LONG_WEEKEND_DAYS).alias(_AFTER_LONG_WEEKEND),
        (pl.col(DAYS_AFTER) >= _LONG_WEEKEND_DAYS).alias(_BEFORE_LONG_WEEKEND),
    ]


_AFTER_LONG_WEEKEND: Final = "after_long_weekend"
_BEFORE_LONG_WEEKEND: Final = "before_long_weekend"
_SINCE_LONG_WEEKEND: Final = "target_sessions_since_long_weekend"
_UNTIL_LONG_WEEKEND: Final = "target_sessions_until_long_weekend"


def _kind() -> pl.Expr:
    flags = {
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
    special = [pl.when(pl.col(flag)).then(pl.lit(kind.value)) for flag, kind in flags.items()]
    weekday = pl.col(WEEKDAY).replace_strict(
        {day: kind.value for day, kind in enumerate(_WEEKDAY_KINDS, start=1)},
        return_dtype=pl.String,
    )
    return pl.coalesce(*special, weekday).cast(pl.Enum(SessionKind))


def _distances() -> list[pl.Expr]:
    since, until = _since(_AFTER_LONG_WEEKEND), _until(_BEFORE_LONG_WEEKEND)
    offset = pl.when(since <= _NEAR).then(since).when(until <= _NEAR).then(-1 - until)
    return [
        _kind().alias(KIND),
        offset.alias(HOLIDAY_OFFSET),
        since.alias(_SINCE_LONG_WEEKEND),
        until.alias(_UNTIL_LONG_WEEKEND),
    ]


def _distance(flag: str, what: str) -> list[Feature]:
    name = flag.removeprefix("target_")
    return [
        Feature(
            f"target_sessions_since_{name}",
            f"sessions since the last {what}, at most {_FAR}",
            _since(flag),
        ),
        Feature(
            f"target_sessions_until_{name}",
            f"sessions until the next {what}, at most {_FAR}",
            _until(flag),
        ),
    ]


def _as_is(name: str, description: str) -> Feature:
    return Feature(name, description, pl.col(name))


CALENDAR_FEATURES: Final = (
    _as_is(WEEKDAY, "weekday of the target session, 1 Monday to 5 Friday"),
    _as_is(MONTH, "month of the target session"),
    _as_is(DAY, "day of the month of the target session"),
    _as_is(DAYS_BEFORE, "calendar days since the session before the target"),
    _as_is(DAYS_AFTER, "calendar days until the session after the target"),
    _as_is(MONTH_START, "sessions from the first of the target's month"),
    _as_is(MONTH_END, "sessions to the last of the target's month"),
    _as_is(YEAR_START, "sessions from the first of the target's year"),
    _as_is(YEAR_END, "sessions to the last of the target's year"),
    _as_is(EARLY_CLOSE, "whether the target session closes early"),
    _as_is(EXPIRY, "whether monthly options expire on the target session"),
    _as_is(TRIPLE_WITCHING, "whether futures and options expire on it, once a quarter"),
    _as_is(DOUBLE_WITCHING, "whether options expire on it in another month"),
    _as_is(RUSSELL, "whether the Russell indexes are reconstituted at its close"),
    _as_is(INDEX_REVIEW, "whether it is the last of February, May, August or November"),
    _as_is(LAST_OF_QUARTER, "whether it is the last of a quarter"),
    _as_is(LAST_OF_MONTH, "whether it is the last of January, April, July or October"),
    _as_is(AFTER_HOLIDAY, "whether a holiday stands before it"),
    _as_is(BEFORE_HOLIDAY, "whether a holiday stands after it"),
    _as_is(
        _SINCE_LONG_WEEKEND,
        "sessions since the last gap of four days or more between sessions, at most 30",
    ),
    _as_is(
        _UNTIL_LONG_WEEKEND,
        "sessions until the next gap of four days or more between sessions, at most 30",
    ),
    *_distance(EXPIRY, "expiry of options"),
    *_distance(TRIPLE_WITCHING, "triple witching"),
    *_distance(EARLY_CLOSE, "early close"),
    *_distance(RUSSELL, "Russell reconstitution"),
    *_distance(INDEX_REVIEW, "index review"),
)
"""What the calendar says of the target session, the one after the origin."""


def trading_calendar(first: date, last: date) -> pl.DataFrame:
    """List the sessions, each as the target of a forecast made at the one before.

    Args:
        first: First day of the data.
        last: Last day of the data.

    Returns:
        One row a session from ``first`` to ``last``: its date as origin (``Date``), the
        session after it (``TargetDate``), what ``CALENDAR_FEATURES`` tell of that, and
        the columns by which like sessions are found (kind, offset from a long weekend,
        week of the month).
    """
    day = pl.col(columns.TARGET_DATE)
    return (
        _sessions(first - _MARGIN, last + _MARGIN)
        .with_columns(_days_of_month(day))
        .with_columns(_positions())
        .with_columns(_marks())
        .with_columns(_distances())
        .with_columns(columns_of(CALENDAR_FEATURES))
        .with_columns(day.shift(1).alias(columns.DATE))
        .filter(pl.col(columns.DATE).is_between(first, last))
        .select(
            columns.DATE,
            columns.TARGET_DATE,
            KIND,
            HOLIDAY_OFFSET,
            WEEK,
            *(feature.name for feature in CALENDAR_FEATURES),
        )
    )
