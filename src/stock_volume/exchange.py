"""The exchange of the bars: its calendar, its clock and its scheduled events.

exchange_calendars knows all exchanges; it is imported where it is used, since it takes over a
second and the service does without it: what the service needs of an exchange is stored with
the snapshot.
"""

import warnings
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_serializer,
    field_validator,
    model_validator,
)

from stock_volume import columns
from stock_volume.errors import StockVolumeError

EARLIEST_DATE: Final = date(1900, 1, 1)
"""No feed reaches back further."""

CLOSE_MOMENT: Final = "close_moment"
"""Column of when a session closes."""

_MAX_SUGGESTIONS: Final = 3
_LONGEST_CLOSURE: Final = timedelta(days=180)
_MARGIN: Final = timedelta(days=7)
"""exchange_calendars needs more than one day."""

_SETTLING: Final = timedelta(hours=2, minutes=30)
"""Time after the close until sources have final bars."""


class ExchangeMismatchError(StockVolumeError):
    """Two things that are used together belong to different exchanges."""


class ScheduledEvent(StrEnum):
    """Events known well ahead that not every exchange has."""

    EARLY_CLOSE = "early close"
    """Sessions that close early, such as the day before Christmas."""

    OPTION_EXPIRY = "option expiry"
    """Options expire on the third Friday of each month, and futures with them each quarter."""

    RUSSELL_RECONSTITUTION = "Russell reconstitution"
    """The Russell indexes are reconstituted at the close of a Friday in June."""

    EARNINGS = "earnings"
    """Releases of earnings, known from a layer of events rather than from the exchange."""


class Exchange(BaseModel):
    """An exchange. A code is enough to make one: ``Exchange.model_validate("XLON")``.

    Attributes:
        code: Its name in exchange_calendars, mostly its market identifier code (ISO 10383).
        time_zone: Its time zone, by its name in the IANA database.
        close: Time of its regular close.
        closes_next_day: Whether that close is on the day after the session's date.
        weekdays: Days of the week on which it regularly trades; 1 is Monday.
        first_date: First day of its calendar.
        last_date: Last day of its calendar; null where the calendar has no end.
        events: The scheduled events that it has.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str = Field(min_length=1)
    time_zone: str
    close: time
    closes_next_day: bool = False
    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5)
    first_date: date = EARLIEST_DATE
    last_date: date | None = None
    events: tuple[ScheduledEvent, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _look_up_code(cls, value: Any) -> Any:
        return dict(find_exchange(value)) if isinstance(value, str) else value

    @field_validator("time_zone")
    @classmethod
    def _check_time_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value!r} is not a time zone") from error
        return value

    @property
    def zone(self) -> ZoneInfo:
        """Its clock."""
        return ZoneInfo(self.time_zone)

    def closing_time(self, session: date) -> datetime:
        """Return when a session closes, unless it closes early.

        Args:
            session: Date of the session.
        """
        day = session + timedelta(days=self.closes_next_day)
        return datetime.combine(day, self.close, self.zone)

    def update_schedule(self) -> str:
        """Schedule daily updates: after each session, once sources have its final bars.

        Returns:
            A cron expression, on the clock of the exchange.
        """
        closes = datetime.combine(date.min + timedelta(days=1), self.close, UTC)
        due = closes + timedelta(days=self.closes_next_day) + _SETTLING
        shift = due.date().toordinal() - closes.date().toordinal()
        days = sorted((weekday + shift) % 7 for weekday in self.weekdays)
        return f"{due.minute} {due.hour} * * {_join_days(days)}"

    def sessions(self, first: date, last: date) -> pl.Series:
        """List the sessions that the exchange held, or is to hold.

        Args:
            first: First day of interest.
            last: Last day of interest.

        Returns:
            Dates, ascending; none beyond the calendar of the exchange.
        """
        sessions = _dates(self.read_calendar(first, last).sessions)
        return sessions.filter(sessions.is_between(first, last))

    def scheduled_sessions(self, first: date, last: date) -> pl.Series:
        """List the sessions as they were scheduled, unforeseen closures included.

        Args:
            first: First day of interest.
            last: Last day of interest.

        Returns:
            Dates, ascending; none beyond the calendar of the exchange.
        """
        unforeseen = pl.Series(self.unforeseen_closures(first, last), dtype=pl.Date)
        return pl.concat([self.sessions(first, last), unforeseen]).unique().sort()

    def closes(self, first: date, last: date) -> pl.DataFrame:
        """List when sessions closed, or are to close, early closes included.

        Args:
            first: First day of interest.
            last: Last day of interest.

        Returns:
            ``Date`` of the session, and ``close_moment``, a moment in UTC, ascending.
        """
        closes = self.read_calendar(first, last).closes
        moments = pl.Series(closes.dt.tz_localize(None).to_numpy()).dt.cast_time_unit("us")
        listed = {
            columns.DATE: _dates(closes.index),
            CLOSE_MOMENT: moments.dt.replace_time_zone("UTC"),
        }
        return pl.DataFrame(listed).filter(pl.col(columns.DATE).is_between(first, last))

    def last_session(self, moment: datetime) -> date:
        """Find the last session that had closed at a moment, early closes included.

        Args:
            moment: With its time zone.

        Returns:
            Date of the session.
        """
        today = moment.astimezone(self.zone).date()
        end = min(today, self.last_date or today)
        closes = self.read_calendar(end - _LONGEST_CLOSURE, end).closes
        session: date = closes[closes <= moment].index[-1].date()
        return session

    def read_calendar(self, first: date, last: date) -> Any:
        """Read the calendar of the exchange, as far as it reaches.

        Args:
            first: First day of interest.
            last: Last day of interest.

        Returns:
            An ``exchange_calendars.ExchangeCalendar`` of these days and some around them.
        """
        # Whole decades, so that few calendars are made: each takes half a second.
        decade_start = date((first - _MARGIN).year // 10 * 10, 1, 1)
        decade_end = date((last + _MARGIN).year // 10 * 10 + 9, 12, 31)
        start = max(decade_start, self.first_date)
        end = min(decade_end, self.last_date or date.max)
        return _calendar(self.code, start, end)

    def early_closes(self, first: date, last: date) -> pl.Series:
        """List the sessions that close early.

        Args:
            first: First day of interest.
            last: Last day of interest.

        Returns:
            Dates, ascending.
        """
        closes = _dates(self.read_calendar(first, last).early_closes)
        return closes.filter(closes.is_between(first, last))

    def unforeseen_closures(self, first: date, last: date) -> list[date]:
        """List the days on which a session was scheduled and not held: a storm, mourning.

        Args:
            first: First day of interest.
            last: Last day of interest.

        Returns:
            Dates, in any order. Empty for exchanges whose calendar does not part such days
            from holidays.
        """
        if self.code not in _SEPARATES_UNFORESEEN_CLOSURES:
            return []
        closures = _unforeseen_closures(self.read_calendar(first, last))
        return [day for day in closures if first <= day <= last]


NYSE: Final = Exchange(
    code="XNYS",
    time_zone="America/New_York",
    close=time(16),
    events=(
        ScheduledEvent.EARLY_CLOSE,
        ScheduledEvent.OPTION_EXPIRY,
        ScheduledEvent.RUSSELL_RECONSTITUTION,
    ),
)
"""The default, so that it is there without exchange_calendars. NASDAQ holds the same sessions."""


class ExchangeParameters(BaseModel):
    """Parameters that depend on the exchange.

    Attributes:
        exchange: The exchange of the bars.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    exchange: Exchange = NYSE

    @field_serializer("exchange")
    def _dump_code(self, exchange: Exchange) -> str:
        return exchange.code


_EVENTS: Final = {
    NYSE.code: (ScheduledEvent.OPTION_EXPIRY, ScheduledEvent.RUSSELL_RECONSTITUTION),
}
"""Scheduled events that exchange_calendars does not know, by exchange."""

_SEPARATES_UNFORESEEN_CLOSURES: Final = (NYSE.code,)
"""Exchanges whose ad-hoc holidays in exchange_calendars are all unforeseen; elsewhere they
include jubilees and the holidays of lunar calendars."""


@cache
def find_exchange(code: str) -> Exchange:
    """Look up an exchange.

    Args:
        code: Its name or an alias in exchange_calendars, such as XNYS, XLON or NASDAQ.

    Returns:
        The exchange.

    Raises:
        ValueError: There is no such exchange, or exchange_calendars cannot make its calendar.
    """
    return NYSE if code == NYSE.code else read_exchange(code)


def read_exchange(code: str) -> Exchange:
    """Read what exchange_calendars knows of an exchange.

    Args:
        code: As for ``find_exchange``.

    Returns:
        The exchange, with the scheduled events that the project knows of beside.

    Raises:
        ValueError: As for ``find_exchange``.
    """
    import exchange_calendars

    known = exchange_calendars.get_calendar_names()
    if code not in known:
        near = get_close_matches(code.upper(), known, n=_MAX_SUGGESTIONS)
        raise ValueError(
            f"there is no exchange {code!r} in exchange_calendars; codes are as in ISO 10383, "
            + (f"near ones are {', '.join(near)}" if near else "such as XNYS or XLON")
        )
    try:
        calendar = _calendar(code)
    except (ValueError, NotImplementedError) as error:
        raise ValueError(
            f"exchange_calendars cannot make the calendar of {code}: {str(error)[:100]}"
        ) from error
    return _describe(calendar)


def _describe(calendar: Any) -> Exchange:
    first, last = calendar.bound_min(), calendar.bound_max()
    closes_early = calendar.special_closes or calendar.special_closes_adhoc
    return Exchange(
        code=calendar.name,
        time_zone=calendar.tz.key,
        close=calendar.close_times[-1][1],
        closes_next_day=calendar.close_offset > 0,
        weekdays=tuple(day for day, is_open in enumerate(calendar.weekmask, 1) if is_open == "1"),
        first_date=EARLIEST_DATE if first is None else max(first.date(), EARLIEST_DATE),
        last_date=None if last is None else last.date(),
        events=(
            *([ScheduledEvent.EARLY_CLOSE] if closes_early else []),
            *_EVENTS.get(calendar.name, ()),
        ),
    )


@lru_cache(maxsize=32)
def _calendar(code: str, first: date | None = None, last: date | None = None) -> Any:
    import exchange_calendars

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas 3 deprecates what exchange_calendars does
        return exchange_calendars.get_calendar(code, start=first, end=last)


@lru_cache(maxsize=32)
def _unforeseen_closures(calendar: Any) -> frozenset[date]:
    first, last = calendar.first_session, calendar.last_session
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        holidays = calendar.regular_holidays.holidays(start=first, end=last)
    closed = {day.date() for day in calendar.adhoc_holidays}
    return frozenset(closed - {day.date() for day in holidays})


def _dates(index: Any) -> pl.Series:
    return pl.Series(index.to_numpy()).cast(pl.Date)


def _join_days(days: list[int]) -> str:
    """Write days of the week for cron, consecutive ones as a range."""
    if len(days) > 1 and days == list(range(days[0], days[-1] + 1)):
        return f"{days[0]}-{days[-1]}"
    return ",".join(map(str, days))
