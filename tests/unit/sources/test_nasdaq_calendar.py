"""Nasdaq's calendar of releases, against a local server with its format and faults."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest

from stock_volume.errors import SourceError
from stock_volume.events.ingest import ingest_event_files
from stock_volume.events.rules import EventParameters
from stock_volume.events.source import EventFiles
from stock_volume.sources import event_files
from stock_volume.sources.event_files import EventFileSource
from stock_volume.sources.nasdaq_calendar import NasdaqCalendar
from tests.unit.servers import Answer, answering

FAST = {"per_second": 10, "retry": {"attempts": 2, "wait_seconds": 0.01}}
NOW = datetime(2020, 10, 28, 14, tzinfo=UTC)
"""A Wednesday."""

ROWS = {
    "2020-10-29": [
        {"symbol": "AAPL", "name": "Apple Inc.", "time": "time-after-hours", "noOfEsts": "9"},
        {"symbol": "K", "name": "Kellogg Company", "time": "time-pre-market"},
    ],
    "2020-10-30": [{"symbol": "XYZ", "name": "Odd", "time": "time-not-supplied"}],
}


def document(rows: Any) -> Answer:
    data = {"asOf": "Thu, Oct 29, 2020", "headers": {"time": "Time"}, "rows": rows}
    return Answer(json.dumps({"data": data, "message": None, "status": {"rCode": 200}}).encode())


def serve(path: str, _headers: dict[str, str], _before: int) -> Answer:
    (day,) = parse_qs(urlsplit(path).query)["date"]
    return document(ROWS.get(day))


def test_days_ahead_are_read() -> None:
    """Each session of the coming days is asked for once; a day without releases has no rows."""
    with answering(serve) as server:
        rows = NasdaqCalendar("XNYS", server.url, days_ahead=5, server=FAST).fetch(NOW)
        days = [parse_qs(urlsplit(path).query)["date"][0] for _, path in server.asked]
    assert days == ["2020-10-28", "2020-10-29", "2020-10-30", "2020-11-02"]
    assert rows == [
        ("AAPL", date(2020, 10, 29), "time-after-hours"),
        ("K", date(2020, 10, 29), "time-pre-market"),
        ("XYZ", date(2020, 10, 30), "time-not-supplied"),
    ]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(b"<html>Access Denied</html>", 403), "HTTP 403.*unofficial"),
        (Answer(b"<html>Access Denied</html>"), "no JSON document, but 'Access Denied'"),
        (Answer(b"", 429, {"Retry-After": "0"}), "HTTP 429"),
        (document([{"name": "no symbol"}]), "not a calendar"),
        (Answer(b"[]"), None),
        (Answer(b"[1]"), "not a calendar"),
    ],
)
def test_faults_are_errors(answer: Answer, reason: str | None) -> None:
    """A fault is an error that names the day, never a day without releases."""
    with answering(lambda *_: answer) as server:
        calendar = NasdaqCalendar("XNYS", server.url, days_ahead=0, server=FAST)
        if reason is None:
            assert calendar.fetch(NOW) == []
            return
        with pytest.raises(SourceError, match=reason):
            calendar.fetch(NOW)


class _Clock(datetime):
    moment = NOW

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return cls.moment.astimezone(tz)


def test_what_is_fetched_is_kept_with_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fetch is kept: later ones add events, and the first record of an event counts."""
    monkeypatch.setattr(event_files, "datetime", _Clock)
    symbols = pl.DataFrame({"Symbol": ["AAPL"]})
    with answering(serve) as server:
        defaults = server.url, 2, FAST
        monkeypatch.setattr(NasdaqCalendar.__init__, "__defaults__", defaults)
        monkeypatch.setattr(_Clock, "moment", NOW)
        source = EventFileSource("nasdaq", tmp_path)
        source.read(symbols)
        monkeypatch.setattr(_Clock, "moment", NOW.replace(day=29))
        found: EventFiles = source.read(symbols)
    assert [file.name for file in found.files] == [
        "2020-10-28T140000.000000Z.csv",
        "2020-10-29T140000.000000Z.csv",
    ]
    assert source.path is not None
    assert source.path.suffix == ".zip"
    result = ingest_event_files(found, EventParameters(as_of=date(2020, 10, 29)))
    known = result.events.select("Symbol", "Time", "KnownFrom").rows()
    first = date(2020, 10, 28)
    assert known == [("AAPL", "post", first), ("K", "pre", first), ("XYZ", None, first)]
    assert set(result.quarantine["rule"]) == {"duplicate_event"}


def test_edgar_and_the_calendar_complete_each_other(tmp_path: Path) -> None:
    """EDGAR needs a contact, wherever it is in the list."""
    with pytest.raises(ValueError, match="contact"):
        EventFileSource(["nasdaq", "edgar"], tmp_path)
    source = EventFileSource(["edgar", "nasdaq"], tmp_path, "Jane jane@example.org")
    assert source.exists()
    assert source.name == "edgar, nasdaq"
    assert source.path is None
