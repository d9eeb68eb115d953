"""Exchanges: what exchange_calendars knows of them, and what the project adds."""

from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import exchange_calendars
import pytest
from pydantic import ValidationError

from stock_volume.bars.ingest import IngestionParameters
from stock_volume.exchange import (
    EARLIEST_DATE,
    NYSE,
    Exchange,
    ScheduledEvent,
    find_exchange,
    read_exchange,
)


def test_the_default_is_what_the_calendar_says() -> None:
    """NYSE, which needs no exchange_calendars, equals what exchange_calendars knows of it."""
    assert read_exchange("XNYS") == NYSE


def test_an_exchange_is_read_from_its_calendar() -> None:
    """London has its own clock, early closes and none of the events of US derivatives."""
    assert find_exchange("XLON") == Exchange(
        code="XLON",
        time_zone="Europe/London",
        close=time(16, 30),
        events=(ScheduledEvent.EARLY_CLOSE,),
    )


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("XTKS", {"close": time(15, 30), "events": (), "first_date": date(1997, 1, 1)}),
        ("XBOM", {"first_date": date(1997, 1, 1), "last_date": date(2026, 12, 31)}),
        ("XSAU", {"weekdays": (1, 2, 3, 4, 7), "first_date": date(2021, 1, 1)}),
        ("24/7", {"close": time(0), "closes_next_day": True, "weekdays": (1, 2, 3, 4, 5, 6, 7)}),
    ],
)
def test_exchanges_differ(code: str, expected: dict[str, Any]) -> None:
    """Closing time, week, events and the ends of the calendar depend on the exchange."""
    found = find_exchange(code)
    assert {name: getattr(found, name) for name in expected} == expected


def test_an_alias_is_the_exchange_that_it_means() -> None:
    """NASDAQ holds the sessions of NYSE, by whichever name."""
    assert find_exchange("NASDAQ") == find_exchange("XNAS") == NYSE


def test_a_code_is_enough_in_parameters() -> None:
    """A parameter names the exchange by its code, and is written as the code again."""
    parameters = IngestionParameters.model_validate({"exchange": "XLON"})
    assert parameters.exchange == find_exchange("XLON")
    assert parameters.model_dump(mode="json")["exchange"] == "XLON"
    assert Exchange.model_validate("XLON") == parameters.exchange


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("XLNO", "near ones are XLON"),
        ("xlon", "near ones are XLON"),
        ("Frankfurt am Main", "such as XNYS or XLON"),
        ("", "such as XNYS or XLON"),
    ],
)
def test_an_unknown_exchange_is_refused(code: str, words: str) -> None:
    """The error names the code and codes that are near."""
    with pytest.raises(ValidationError, match=f"there is no exchange '{code}'.*{words}"):
        Exchange.model_validate(code)


def test_a_calendar_that_cannot_be_made_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where exchange_calendars fails, the error names the exchange and its reason."""

    def fail(_code: str, **_: object) -> None:
        raise ValueError("Special dates are not sessions.")

    monkeypatch.setattr(exchange_calendars, "get_calendar", fail)
    with pytest.raises(ValueError, match="calendar of XTAE: Special dates are not sessions"):
        read_exchange("XTAE")


def test_an_exchange_survives_json() -> None:
    """What is stored with a snapshot is read again as it was."""
    for code in ("XNYS", "XSAU", "24/7"):
        exchange = find_exchange(code)
        assert Exchange.model_validate_json(exchange.model_dump_json()) == exchange


def test_a_mistyped_time_zone_is_refused() -> None:
    """An exchange needs a time zone that exists."""
    with pytest.raises(ValidationError, match="'Mars/Olympus' is not a time zone"):
        Exchange(code="X", time_zone="Mars/Olympus", close=time(16))


@pytest.mark.parametrize(
    ("session", "now", "is_over"),
    [
        # In winter the close, at 16:00 in New York, is at 21:00 UTC; in summer at 20:00.
        ("2020-01-10", "2020-01-10T20:59:59.999999", False),
        ("2020-01-10", "2020-01-10T21:00:00", True),
        ("2020-07-10", "2020-07-10T19:59:59.999999", False),
        ("2020-07-10", "2020-07-10T20:00:00", True),
        ("2020-07-10", "2020-07-10T20:59:59", True),
        # On the first weekdays of summer and of winter time.
        ("2020-03-06", "2020-03-06T20:30:00", False),
        ("2020-03-09", "2020-03-09T20:30:00", True),
        ("2020-10-30", "2020-10-30T20:30:00", True),
        ("2020-11-02", "2020-11-02T20:30:00", False),
        # The day is New York's, not the day of UTC.
        ("2020-01-10", "2020-01-11T03:00:00", True),
        ("2020-01-11", "2020-01-11T03:00:00", False),
        ("2020-01-10", "2020-01-10T04:59:59", False),
        # Other days, at hours before and after the close.
        ("2020-01-10", "2020-01-09T23:00:00", False),
        ("2020-01-10", "2020-01-11T05:00:00", True),
        ("2020-01-31", "2020-02-01T12:00:00", True),
        ("2021-01-04", "2020-12-31T23:30:00", False),
        ("2020-12-31", "2021-01-01T12:00:00", True),
        ("2020-01-10", "2030-01-01T00:00:00", True),
        ("2020-01-10", "2000-01-01T00:00:00", False),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo", "Pacific/Honolulu"])
def test_a_session_is_over_at_its_close(
    session: str, now: str, zone: str, *, is_over: bool
) -> None:
    """A session of NYSE is over from 16:00 in New York on its day, whatever the reader's clock."""
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
    assert (NYSE.closing_time(date.fromisoformat(session)) <= moment) is is_over


@pytest.mark.parametrize(
    ("code", "utc"),
    [("XLON", "2020-07-10T15:30"), ("XTKS", "2020-07-10T06:30"), ("24/7", "2020-07-11T00:00")],
)
def test_each_exchange_closes_on_its_clock(code: str, utc: str) -> None:
    """The close is on the clock of the exchange, on the next day where it trades to midnight."""
    closes = find_exchange(code).closing_time(date(2020, 7, 10))
    assert closes == datetime.fromisoformat(utc).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("code", "schedule"),
    [
        ("XNYS", "30 18 * * 1-5"),
        ("XLON", "0 19 * * 1-5"),
        ("XSAU", "30 17 * * 0-4"),
        ("XHAM", "30 0 * * 2-6"),
        ("24/7", "30 2 * * 0-6"),
    ],
)
def test_updates_follow_the_close(code: str, schedule: str) -> None:
    """An update is due two and a half hours after each close, on the next day if need be."""
    assert find_exchange(code).update_schedule() == schedule


def test_days_of_the_week_that_do_not_adjoin_are_listed() -> None:
    """A week with gaps is a list in the schedule, where Sunday is 0."""
    exchange = NYSE.model_copy(update={"weekdays": (1, 3, 7)})
    assert exchange.update_schedule() == "30 18 * * 0,1,3"


def test_sessions_leave_out_the_holidays_of_the_exchange() -> None:
    """London is closed on Easter Monday and trades on Independence Day."""
    easter = find_exchange("XLON").sessions(date(2019, 4, 18), date(2019, 4, 23)).to_list()
    assert easter == [date(2019, 4, 18), date(2019, 4, 23)]
    july = (date(2019, 7, 4), date(2019, 7, 4))
    assert find_exchange("XLON").sessions(*july).to_list() == [july[0]]
    assert NYSE.sessions(*july).is_empty()


def test_sessions_end_where_the_calendar_ends() -> None:
    """Days beyond the calendar of an exchange have no sessions, and are no error."""
    bombay = find_exchange("XBOM")
    sessions = bombay.sessions(EARLIEST_DATE, date(2040, 1, 1))
    assert sessions.min() == date(1997, 1, 1)
    assert sessions.max() == date(2026, 12, 31)


@pytest.mark.parametrize(
    ("now", "session"),
    [
        ("2021-12-24T12:29", date(2021, 12, 23)),
        ("2021-12-24T12:30", date(2021, 12, 24)),
        ("2021-12-28T16:29", date(2021, 12, 24)),
        ("2021-12-29T16:30", date(2021, 12, 29)),
    ],
)
def test_the_last_session_is_the_last_that_closed(now: str, session: date) -> None:
    """Early closes and holidays of the exchange count."""
    moment = datetime.fromisoformat(now).replace(tzinfo=ZoneInfo("Europe/London"))
    assert find_exchange("XLON").last_session(moment) == session


def test_only_nyse_has_closures_that_nobody_foresaw() -> None:
    """Hurricane Sandy closed NYSE unforeseen; a jubilee in London is a holiday."""
    year = (date(2012, 1, 1), date(2012, 12, 31))
    assert sorted(NYSE.unforeseen_closures(*year)) == [date(2012, 10, 29), date(2012, 10, 30)]
    assert find_exchange("XLON").unforeseen_closures(*year) == []
    assert date(2012, 6, 5) not in find_exchange("XLON").sessions(*year)
