"""The trading calendar, against known dates and rules in plain date arithmetic."""

from calendar import FRIDAY, MONDAY, SATURDAY, THURSDAY, monthrange
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import cache, partial
from typing import Any, Final

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_volume import columns
from stock_volume.exchange import NYSE, find_exchange
from stock_volume.features.calendar import (
    CALENDAR_FEATURES,
    HOLIDAY_OFFSET,
    KIND,
    WEEK,
    SessionKind,
    trading_calendar,
)

FIRST: Final = date(2014, 1, 2)
LAST: Final = date(2022, 12, 30)


@cache
def _calendar(first: date = FIRST, last: date = LAST) -> pl.DataFrame:
    return trading_calendar(first, last, NYSE)


def _row(column: str, day: date, calendar: pl.DataFrame | None = None) -> dict[str, Any]:
    frame = _calendar() if calendar is None else calendar
    return frame.row(by_predicate=pl.col(column) == day, named=True)


# The rules of the exchange.

GOOD_FRIDAYS: Final = [
    date(2013, 3, 29),
    date(2014, 4, 18),
    date(2015, 4, 3),
    date(2016, 3, 25),
    date(2017, 4, 14),
    date(2018, 3, 30),
    date(2019, 4, 19),
    date(2020, 4, 10),
    date(2021, 4, 2),
    date(2022, 4, 15),
    date(2023, 4, 7),
]
RUSSELL: Final = [
    date(2013, 6, 28),
    date(2014, 6, 27),
    date(2015, 6, 26),
    date(2016, 6, 24),
    date(2017, 6, 23),
    date(2018, 6, 22),
    date(2019, 6, 28),
    date(2020, 6, 26),
    date(2021, 6, 25),
    date(2022, 6, 24),
    date(2023, 6, 23),
]
YEARS: Final = range(2013, 2024)


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _each(weekday: int, month: int, year: int) -> list[date]:
    last = date(year, month, monthrange(year, month)[1])
    return [day for day in _days(last.replace(day=1), last) if day.weekday() == weekday]


def _observed(day: date) -> date:
    """Move a holiday on a Saturday to Friday, and one on a Sunday to Monday."""
    return day + timedelta(days={5: -1, 6: 1}.get(day.weekday(), 0))


def _holidays(year: int) -> list[date]:
    new_year = date(year, 1, 1)
    return [
        *([] if new_year.weekday() == SATURDAY else [_observed(new_year)]),
        *([_each(MONDAY, 1, year)[2]] if year >= 1998 else []),
        _each(MONDAY, 2, year)[2],
        _each(MONDAY, 5, year)[-1],
        *([_observed(date(year, 6, 19))] if year >= 2022 else []),
        _observed(date(year, 7, 4)),
        _each(MONDAY, 9, year)[0],
        _each(THURSDAY, 11, year)[3],
        _observed(date(year, 12, 25)),
    ]


def _working_days(first: date, last: date, closed: Iterable[date]) -> list[date]:
    return [day for day in _days(first, last) if day.weekday() < SATURDAY and day not in closed]


CLOSED: Final = {day for year in YEARS for day in _holidays(year)} | {*GOOD_FRIDAYS}
SESSIONS: Final = _working_days(date(YEARS[0], 1, 1), date(YEARS[-1], 12, 31), CLOSED)


def _last_session(day: date) -> date:
    return max(session for session in SESSIONS if session <= day)


def _early_closes(year: int) -> Iterable[date]:
    eves = (date(year, 7, 3), _each(THURSDAY, 11, year)[3] + timedelta(days=1), date(year, 12, 24))
    return (eve for eve in eves if eve in SESSIONS and (eve.month != 7 or eve.weekday() < FRIDAY))


EARLY: Final = {day for year in YEARS for day in _early_closes(year)}
EXPIRIES: Final = {
    _last_session(_each(FRIDAY, month, year)[2]) for year in YEARS for month in range(1, 13)
}
TRIPLE: Final = {day for day in EXPIRIES if day.month in {3, 6, 9, 12}}
MONTH_ENDS: Final = {
    _last_session(date(year, month, monthrange(year, month)[1]))
    for year in YEARS
    for month in range(1, 13)
}
QUARTER_ENDS: Final = {day for day in MONTH_ENDS if day.month in {3, 6, 9, 12}}
REVIEWS: Final = {day for day in MONTH_ENDS if day.month in {2, 5, 8, 11}}


def _days_before(at: int) -> int:
    return (SESSIONS[at] - SESSIONS[at - 1]).days


def _holiday_between(at: int) -> bool:
    """Return whether a holiday lies between a session and the previous one."""
    return any(day in CLOSED for day in _days(SESSIONS[at - 1], SESSIONS[at]))


AFTER_HOLIDAY: Final = {SESSIONS[at] for at in range(1, len(SESSIONS)) if _holiday_between(at)}
BEFORE_HOLIDAY: Final = {SESSIONS[SESSIONS.index(day) - 1] for day in AFTER_HOLIDAY}
AFTER_LONG: Final = {SESSIONS[at] for at in range(1, len(SESSIONS)) if _days_before(at) > 3}
BEFORE_LONG: Final = {SESSIONS[SESSIONS.index(day) - 1] for day in AFTER_LONG}

Fact = Callable[[int], int | bool | str | None]
"""Maps the number of a session to what is known of it."""


def _since(days: Iterable[date], at: int) -> int:
    """Count the sessions since the latest of some days, 30 at most."""
    return next((count for count in range(30) if SESSIONS[at - count] in days), 30)


def _until(days: Iterable[date], at: int) -> int:
    """Count the sessions until the first of some days, 30 at most."""
    return next((count for count in range(30) if SESSIONS[at + count] in days), 30)


def _within(sessions: list[date], at: int, unit: str) -> int:
    """Count the sessions in the same month, or year, as a session."""
    width = {"month": 7, "year": 4}[unit]
    wanted = SESSIONS[at].isoformat()[:width]
    return sum(day.isoformat()[:width] == wanted for day in sessions)


def _offset(at: int) -> int | None:
    """Return the position around a long weekend: 0 for the first session after it, -1 before."""
    since, until = _since(AFTER_LONG, at), _until(BEFORE_LONG, at)
    if since <= 3:
        return since
    return -1 - until if until <= 3 else None


def _kind(at: int) -> str:
    day = SESSIONS[at]
    kinds: list[tuple[Iterable[date], str]] = [
        (TRIPLE, "triple witching"),
        (RUSSELL, "Russell reconstitution"),
        (EARLY, "early close"),
        (REVIEWS, "index review"),
        (QUARTER_ENDS, "quarter end"),
        (EXPIRIES, "double witching"),
        (MONTH_ENDS, "month end"),
        (AFTER_HOLIDAY, "after a holiday"),
        (BEFORE_HOLIDAY, "before a holiday"),
    ]
    return next((kind for days, kind in kinds if day in days), f"{day:%A}")


def _in(days: Iterable[date]) -> Fact:
    return lambda at: SESSIONS[at] in days


FACTS: Final[dict[str, Fact]] = {
    "target_weekday": lambda at: SESSIONS[at].isoweekday(),
    "target_month": lambda at: SESSIONS[at].month,
    "target_day": lambda at: SESSIONS[at].day,
    "target_days_before": _days_before,
    "target_days_after": lambda at: _days_before(at + 1),
    "target_sessions_from_month_start": lambda at: _within(SESSIONS[at - 30 : at], at, "month"),
    "target_sessions_to_month_end": lambda at: _within(SESSIONS[at + 1 : at + 30], at, "month"),
    "target_sessions_from_year_start": lambda at: _within(SESSIONS[at - 253 : at], at, "year"),
    "target_sessions_to_year_end": lambda at: _within(SESSIONS[at + 1 : at + 253], at, "year"),
    "target_early_close": _in(EARLY),
    "target_expiry": _in(EXPIRIES),
    "target_triple_witching": _in(TRIPLE),
    "target_double_witching": _in(EXPIRIES - TRIPLE),
    "target_russell_reconstitution": _in(RUSSELL),
    "target_index_review": _in(REVIEWS),
    "target_quarter_end": _in(QUARTER_ENDS),
    "target_other_month_end": _in(MONTH_ENDS - QUARTER_ENDS - REVIEWS),
    "target_after_holiday": _in(AFTER_HOLIDAY),
    "target_before_holiday": _in(BEFORE_HOLIDAY),
    "target_sessions_since_long_weekend": partial(_since, AFTER_LONG),
    "target_sessions_until_long_weekend": partial(_until, BEFORE_LONG),
    **{
        f"target_sessions_{name}": partial(distance, days)
        for days, what in (
            (EXPIRIES, "expiry"),
            (TRIPLE, "triple_witching"),
            (EARLY, "early_close"),
            (RUSSELL, "russell_reconstitution"),
            (REVIEWS, "index_review"),
        )
        for name, distance in ((f"since_{what}", _since), (f"until_{what}", _until))
    },
    KIND: _kind,
    HOLIDAY_OFFSET: _offset,
    WEEK: lambda at: (SESSIONS[at].day - 1) // 7,
}
"""The expected value of each column, for the target with this number in ``SESSIONS``."""


def test_sessions_are_the_working_days_without_holidays() -> None:
    """There is one row for each weekday that is not a holiday, in order, and no other row."""
    known = [day for day in SESSIONS if FIRST <= day <= LAST]
    assert _calendar()[columns.DATE].to_list() == known


@pytest.mark.parametrize(
    ("year", "count"),
    [(2014, 252), (2016, 252), (2017, 251), (2019, 252), (2020, 253), (2022, 251)],
)
def test_sessions_of_a_year(year: int, count: int) -> None:
    """A year without unforeseen closures has as many sessions as the exchange held."""
    assert _calendar().filter(pl.col(columns.DATE).dt.year() == year).height == count


@pytest.mark.parametrize(
    ("good_friday", "held", "closed"),
    [
        pytest.param(date(1977, 4, 8), 252, ["07-14"], id="blackout"),
        pytest.param(date(1985, 4, 5), 252, ["09-27"], id="Hurricane Gloria"),
        pytest.param(date(1994, 4, 1), 252, ["04-27"], id="mourning for Nixon"),
        pytest.param(date(2001, 4, 13), 248, ["09-11", "09-12", "09-13", "09-14"], id="attacks"),
        pytest.param(date(2004, 4, 9), 252, ["06-11"], id="mourning for Reagan"),
        pytest.param(date(2007, 4, 6), 251, ["01-02"], id="mourning for Ford"),
        pytest.param(date(2012, 4, 6), 250, ["10-29", "10-30"], id="Hurricane Sandy"),
        pytest.param(date(2018, 3, 30), 251, ["12-05"], id="mourning for Bush"),
        pytest.param(date(2025, 4, 18), 250, ["01-09"], id="mourning for Carter"),
    ],
)
def test_unforeseen_closures_count_as_sessions(
    good_friday: date, held: int, closed: list[str]
) -> None:
    """A year has the sessions that the exchange held, its unforeseen closures, and no others."""
    first, last = good_friday.replace(month=1, day=1), good_friday.replace(month=12, day=31)
    days = _calendar(first, last)[columns.DATE]
    assert days.to_list() == _working_days(first, last, {*_holidays(first.year), good_friday})
    assert set(closed) <= {*days.dt.strftime("%m-%d")}
    assert len(days) == held + len(closed)


def test_christmas_of_1968_is_no_session() -> None:
    """A holiday is not a session, also in a year of weekly closures on Wednesdays."""
    days = _calendar(date(1968, 12, 23), date(1968, 12, 27))[columns.DATE].dt.day().to_list()
    assert days == [23, 24, 26, 27]


@pytest.mark.parametrize(
    ("origin", "target"),
    [
        pytest.param(date(2019, 6, 12), date(2019, 6, 13), id="the next day"),
        pytest.param(date(2019, 6, 14), date(2019, 6, 17), id="over a weekend"),
        pytest.param(date(2019, 7, 3), date(2019, 7, 5), id="over a holiday"),
        pytest.param(date(2019, 4, 18), date(2019, 4, 22), id="over Easter"),
        pytest.param(date(2018, 12, 4), date(2018, 12, 5), id="a day of mourning"),
        pytest.param(date(2018, 12, 5), date(2018, 12, 6), id="after a day of mourning"),
        pytest.param(date(2018, 12, 31), date(2019, 1, 2), id="over the new year"),
        pytest.param(LAST, date(2023, 1, 3), id="beyond the last day asked for"),
    ],
)
def test_target_is_the_session_after(origin: date, target: date) -> None:
    """The target of a session is the next one, however many days later."""
    assert _row(columns.DATE, origin)[columns.TARGET_DATE] == target


@pytest.mark.parametrize("name", FACTS)
def test_calendar_is_what_dates_say(name: str) -> None:
    """Every column equals the result of date arithmetic, for each target session of nine years."""
    numbers = [SESSIONS.index(day) for day in _calendar()[columns.TARGET_DATE]]
    assert _calendar()[name].to_list() == [FACTS[name](at) for at in numbers]


def test_every_column_is_tested() -> None:
    """Every column, features and keys alike, has an expected value above."""
    names = {feature.name for feature in CALENDAR_FEATURES}
    assert set(FACTS) == names | {KIND, HOLIDAY_OFFSET, WEEK}
    assert set(_calendar().columns) == {columns.DATE, columns.TARGET_DATE, *FACTS}


@pytest.mark.parametrize(
    ("flag", "year", "days"),
    [
        ("triple_witching", 2019, ["03-15", "06-21", "09-20", "12-20"]),
        ("russell_reconstitution", 2018, ["06-22"]),
        ("russell_reconstitution", 2022, ["06-24"]),
        ("early_close", 2018, ["07-03", "11-23", "12-24"]),
        ("early_close", 2020, ["11-27", "12-24"]),
        ("early_close", 2021, ["11-26"]),
        ("index_review", 2018, ["02-28", "05-31", "08-31", "11-30"]),
        ("quarter_end", 2019, ["03-29", "06-28", "09-30", "12-31"]),
        ("other_month_end", 2020, ["01-31", "04-30", "07-31", "10-30"]),
    ],
)
def test_known_days_of_a_year(flag: str, year: int, days: list[str]) -> None:
    """The marked sessions of a year are the dates in the historical record."""
    of_year = pl.col(columns.TARGET_DATE).dt.year() == year
    marked = _calendar().filter(of_year, f"target_{flag}")[columns.TARGET_DATE]
    assert marked.dt.strftime("%m-%d").to_list() == days


@pytest.mark.parametrize(
    ("first", "expiry", "flag"),
    [
        pytest.param(date(2019, 4, 1), date(2019, 4, 18), "double", id="Good Friday"),
        pytest.param(date(2008, 3, 3), date(2008, 3, 20), "triple", id="Good Friday in March"),
        pytest.param(date(2026, 6, 1), date(2026, 6, 18), "triple", id="Juneteenth, years ahead"),
    ],
)
def test_expiry_moves_before_a_closed_third_friday(first: date, expiry: date, flag: str) -> None:
    """Options expire on the Thursday where the exchange is closed on the third Friday."""
    month = trading_calendar(first, first.replace(day=25), NYSE)
    assert month.filter("target_expiry")[columns.TARGET_DATE].to_list() == [expiry]
    assert _row(columns.TARGET_DATE, expiry, month)[f"target_{flag}_witching"]


@pytest.mark.parametrize(
    ("day", "kind"),
    [
        pytest.param(date(2019, 6, 21), SessionKind.TRIPLE_WITCHING, id="plain triple witching"),
        pytest.param(date(2019, 6, 28), SessionKind.RUSSELL, id="a quarter end, too"),
        pytest.param(date(2019, 11, 29), SessionKind.EARLY_CLOSE, id="the last of November, too"),
        pytest.param(date(2016, 5, 31), SessionKind.INDEX_REVIEW, id="after a holiday, too"),
        pytest.param(date(2018, 3, 29), SessionKind.QUARTER_END, id="before a holiday, too"),
        pytest.param(date(2019, 4, 18), SessionKind.DOUBLE_WITCHING, id="before Good Friday"),
        pytest.param(date(2019, 10, 31), SessionKind.MONTH_END, id="plain month end"),
        pytest.param(date(2019, 9, 3), SessionKind.AFTER_HOLIDAY, id="a Tuesday, too"),
        pytest.param(date(2019, 5, 24), SessionKind.BEFORE_HOLIDAY, id="a Friday, too"),
        pytest.param(date(2019, 6, 10), SessionKind.MONDAY, id="plain Monday"),
    ],
)
def test_kind_is_the_first_that_fits(day: date, kind: SessionKind) -> None:
    """A session of several kinds has the kind that comes first in order of precedence."""
    assert _row(columns.TARGET_DATE, day)[KIND] == kind


def test_nothing_but_the_offset_is_unknown() -> None:
    """Every column is known for every session since 1962, except offsets from distant weekends."""
    calendar = trading_calendar(date(1962, 1, 2), date(2020, 4, 1), NYSE)
    unknown = {name for name in calendar.columns if calendar[name].null_count()}
    assert unknown == {HOLIDAY_OFFSET}


@pytest.mark.parametrize(
    "last", [date(2015, 5, 22), date(2016, 6, 23), date(2017, 12, 29), date(2018, 12, 4)]
)
def test_last_day_asked_for_moves_nothing(last: date) -> None:
    """A calendar that ends earlier has the same rows up to there."""
    longer = _calendar().filter(pl.col(columns.DATE) <= last)
    assert_frame_equal(trading_calendar(FIRST, last, NYSE), longer)


@pytest.mark.parametrize("first", [date(2015, 1, 2), date(2016, 6, 24), date(2018, 12, 31)])
def test_first_day_asked_for_moves_nothing(first: date) -> None:
    """A calendar that begins later has the same rows from there."""
    longer = _calendar().filter(pl.col(columns.DATE) >= first)
    assert_frame_equal(trading_calendar(first, LAST, NYSE), longer)


def test_early_closes_are_far_where_they_are_rare() -> None:
    """In years without an early close its distance is 30 sessions, whatever the range."""
    first, last = date(1977, 6, 1), date(1977, 12, 30)
    calendar = trading_calendar(first, last, NYSE)
    longer = trading_calendar(date(1962, 1, 2), last, NYSE).filter(pl.col(columns.DATE) >= first)
    assert_frame_equal(calendar, longer)
    since, until = (f"target_sessions_{way}_early_close" for way in ("since", "until"))
    assert calendar.select(since, until).unique().rows() == [(30, 30)]


@pytest.mark.parametrize(
    ("day", "kind"),
    [
        pytest.param(date(2001, 9, 10), SessionKind.MONDAY, id="before the attacks of 2001"),
        pytest.param(date(2001, 9, 11), SessionKind.TUESDAY, id="the attacks of 2001"),
        pytest.param(date(2001, 9, 17), SessionKind.MONDAY, id="after the attacks of 2001"),
        pytest.param(date(2007, 1, 3), SessionKind.WEDNESDAY, id="after the mourning of 2007"),
        pytest.param(date(2012, 10, 26), SessionKind.FRIDAY, id="before Hurricane Sandy"),
        pytest.param(date(2012, 10, 30), SessionKind.TUESDAY, id="Hurricane Sandy"),
    ],
)
def test_unforeseen_closures_change_nothing(day: date, kind: SessionKind) -> None:
    """Sessions before, on and after an unforeseen closure are like any other."""
    calendar = trading_calendar(day - timedelta(days=10), day, NYSE)
    target = _row(columns.TARGET_DATE, day, calendar)
    holidays = (target["target_before_holiday"], target["target_after_holiday"])
    assert (target[KIND], *holidays) == (kind, False, False)


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        pytest.param(date(2019, 7, 4), date(2019, 7, 4), [], id="a holiday"),
        pytest.param(date(2019, 7, 6), date(2019, 7, 7), [], id="a weekend"),
        pytest.param(date(2019, 7, 5), date(2019, 7, 5), [date(2019, 7, 5)], id="a session"),
        pytest.param(date(2019, 7, 4), date(2019, 7, 7), [date(2019, 7, 5)], id="one of four days"),
    ],
)
def test_range_holds_the_days_at_its_ends(first: date, last: date, days: list[date]) -> None:
    """A range includes the sessions at both ends, and may have none."""
    calendar = trading_calendar(first, last, NYSE)
    assert calendar[columns.DATE].to_list() == days
    assert calendar.schema == _calendar().schema


# Other exchanges.

LONDON: Final = find_exchange("XLON")
RIYADH: Final = find_exchange("XSAU")
US_ONLY: Final = ("expiry", "witching", "russell")


@cache
def _london() -> pl.DataFrame:
    return trading_calendar(date(2019, 1, 2), date(2019, 12, 31), LONDON)


def test_london_has_its_own_sessions() -> None:
    """Sessions of London are the weekdays without the bank holidays of England."""
    days = [(1, 1), (4, 19), (4, 22), (5, 6), (5, 27), (8, 26), (12, 25), (12, 26)]
    closed = [date(2019, month, day) for month, day in days]
    expected = _working_days(date(2019, 1, 2), date(2019, 12, 31), closed)
    assert _london()[columns.DATE].to_list() == expected


def test_features_of_events_belong_to_exchanges_that_have_them() -> None:
    """London has no feature of US derivatives and indexes, and every other one."""
    names = [feature.name for feature in CALENDAR_FEATURES]
    kept = [name for name in names if not any(event in name for event in US_ONLY)]
    assert len(kept) == len(names) - 10
    assert _london().columns[-len(kept) :] == kept
    assert not set(_london()[KIND]) & {"triple witching", "double witching"}
    assert "Russell reconstitution" not in set(_london()[KIND])


def test_london_closes_early_before_its_holidays() -> None:
    """Early closes are London's own: Christmas Eve and New Year's Eve."""
    early = _london().filter("target_early_close")[columns.TARGET_DATE]
    assert early.to_list() == [date(2019, 12, 24), date(2019, 12, 31)]


def test_the_third_friday_is_a_friday_in_london() -> None:
    """A session that is special in New York alone is like any other of its weekday."""
    assert _row(columns.TARGET_DATE, date(2019, 6, 21), _london())[KIND] == SessionKind.FRIDAY


def test_an_exchange_without_early_closes_has_no_feature_of_them() -> None:
    """In Tokyo, which never closes early, the flag and its distances are left out."""
    calendar = trading_calendar(date(2019, 1, 4), date(2019, 3, 1), find_exchange("XTKS"))
    assert not [name for name in calendar.columns if "early_close" in name]


@pytest.mark.parametrize(
    ("day", "kind", "is_after_holiday"),
    [
        pytest.param(date(2023, 6, 11), "Sunday", False, id="the first session of a week"),
        pytest.param(date(2023, 6, 8), "Thursday", False, id="the last session of a week"),
        pytest.param(date(2023, 2, 23), "after a holiday", True, id="after a Wednesday off"),
    ],
)
def test_the_week_is_that_of_the_exchange(day: date, kind: str, *, is_after_holiday: bool) -> None:
    """In Riyadh, which trades from Sunday to Thursday, Friday and Saturday are the weekend."""
    calendar = trading_calendar(date(2023, 1, 2), date(2023, 12, 20), RIYADH)
    target = _row(columns.TARGET_DATE, day, calendar)
    assert (target[KIND], target["target_after_holiday"]) == (kind, is_after_holiday)


def test_sessions_end_with_the_calendar() -> None:
    """Where the calendar of an exchange ends, sessions end, too."""
    bombay = trading_calendar(date(2026, 11, 2), date(2040, 1, 1), find_exchange("XBOM"))
    assert bombay[columns.TARGET_DATE].max() == date(2026, 12, 31)
