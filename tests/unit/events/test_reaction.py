"""Which session reacts to an event, and from when on it was known."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from stock_volume.events.reaction import first_origins, reacting_sessions
from stock_volume.exchange import NYSE, find_exchange

SESSIONS = NYSE.scheduled_sessions(date(2018, 11, 1), date(2021, 1, 31))
UTC_MOMENT = pl.Datetime("us", "UTC")


def reacting(
    *events: tuple[str, str | None], known: list[datetime | None] | None = None
) -> list[date]:
    """Map the events of one symbol, given as date and time."""
    frame = pl.DataFrame(
        {
            "Symbol": "A",
            "Date": [date.fromisoformat(day) for day, _ in events],
            "Time": [time for _, time in events],
            "Kind": "earnings",
            "Known": known or [None] * len(events),
        },
        schema_overrides={"Time": pl.String, "Known": UTC_MOMENT},
    )
    return reacting_sessions(frame, SESSIONS).to_list()


@pytest.mark.parametrize(
    ("day", "time", "session"),
    [
        ("2020-02-05", "pre", "2020-02-05"),
        ("2020-02-05", "post", "2020-02-06"),
        ("2020-02-07", "post", "2020-02-10"),  # a Friday
        ("2020-02-08", "pre", "2020-02-10"),  # a Saturday
        ("2020-02-08", "post", "2020-02-10"),
        ("2020-07-03", "pre", "2020-07-06"),  # a holiday
        ("2020-07-02", "post", "2020-07-06"),
        ("2020-02-05", None, "2020-02-05"),
        ("2018-12-05", "pre", "2018-12-05"),  # mourning: nobody knew of the closure before
        ("2018-12-04", "post", "2018-12-05"),
    ],
)
def test_session_that_reacts(day: str, time: str | None, session: str) -> None:
    """Before the close the date's session reacts, or the next one; after it, the next."""
    assert reacting((day, time)) == [date.fromisoformat(session)]


def test_unknown_time_follows_earlier_events() -> None:
    """An unknown time is the most frequent one before; of a tie, and of later ones, nothing."""
    unknown = ("2020-10-28", None)
    assert reacting(("2020-07-28", "post"), unknown)[-1] == date(2020, 10, 29)
    assert reacting(("2020-07-28", "post"), ("2020-04-28", "pre"), unknown)[-1] == date(
        2020, 10, 28
    )
    assert reacting(("2020-11-28", "post"), unknown)[-1] == date(2020, 10, 28)


def test_unknown_time_ignores_what_was_known_later() -> None:
    """A time counts only if its event was known when the event without one was."""
    events = ("2020-07-28", "post"), ("2020-10-28", None)
    early, late = datetime(2020, 7, 1, tzinfo=UTC), datetime(2020, 10, 1, tzinfo=UTC)
    assert reacting(*events, known=[early, late])[-1] == date(2020, 10, 29)
    assert reacting(*events, known=[late, early])[-1] == date(2020, 10, 28)
    assert reacting(*events, known=[early, None])[-1] == date(2020, 10, 28)


@pytest.mark.parametrize(
    ("known", "origin"),
    [
        ("2020-02-05T21:00:00", "2020-02-05"),  # the close, 16:00 in New York
        ("2020-02-05T21:00:01", "2020-02-06"),
        ("2020-07-01T20:00:00", "2020-07-01"),  # in summer time
        ("2019-11-29T18:00:01", "2019-12-02"),  # an early close
        ("2020-02-08T12:00:00", "2020-02-10"),
    ],
)
def test_first_origin_that_knows_an_event(known: str, origin: str) -> None:
    """An event is known at the first close that is not before it became known."""
    moment = datetime.fromisoformat(known).replace(tzinfo=UTC)
    series = pl.Series([None, moment], dtype=UTC_MOMENT)
    assert first_origins(series, NYSE).to_list() == [None, date.fromisoformat(origin)]


def test_origins_without_any_record() -> None:
    """Where nothing is recorded, nothing is known."""
    assert first_origins(pl.Series([None], dtype=UTC_MOMENT), NYSE).to_list() == [None]


def test_other_exchanges_have_their_own_close() -> None:
    """London closes at 16:30 in London."""
    close = datetime(2020, 2, 5, 16, 30, tzinfo=UTC)
    moments = pl.Series([close, close + timedelta(seconds=1)], dtype=UTC_MOMENT)
    expected = [date(2020, 2, 5), date(2020, 2, 6)]
    assert first_origins(moments, find_exchange("XLON")).to_list() == expected
