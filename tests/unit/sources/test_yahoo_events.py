"""Yahoo's dates of earnings by yfinance, from pages in Yahoo's format."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import polars as pl
import pytest
from yfinance.data import YfData

from stock_volume.errors import SourceError
from stock_volume.events.ingest import ingest_event_files
from stock_volume.events.rules import EventParameters
from stock_volume.sources.event_files import EventFileSource
from stock_volume.sources.retry import RetryParameters
from stock_volume.sources.yahoo_events import PAGE_ROWS, YahooEvents, YahooRelease

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

QUICK = RetryParameters(attempts=2, wait_seconds=0.001)
HEAD = (
    "<th>Symbol</th><th>Company</th><th>Earnings Date</th><th>EPS Estimate</th>"
    "<th>Reported EPS</th><th>Surprise (%)</th>"
)
RELEASES = {
    "AAA": [
        ("October 30, 2025 at 4 PM EDT", "-"),
        ("July 22, 2025 at 6 AM EDT", "1.54"),
        ("February 6, 2025 at 12 AM EST", "2.42"),
        ("October 31, 2024 at 11 AM EDT", "1.92"),
    ],
    "FUND": [],
}


def page(symbol: str, rows: list[tuple[str, str]]) -> str:
    if not rows:
        return "<html><body>No results</body></html>"
    cells = "".join(
        f"<tr><td>{symbol}</td><td>Alpha</td><td>{moment}</td><td>1.5</td><td>{eps}</td>"
        "<td>2.0</td></tr>"
        for moment, eps in rows
    )
    return f"<html><body><table><tr>{HEAD}</tr>{cells}</table></body></html>"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What is asked of Yahoo: symbols and offsets."""
    found: list[tuple[str, int]] = []

    def answer(url: str) -> str:
        query = {name: value[0] for name, value in parse_qs(urlsplit(url).query).items()}
        symbol, offset, size = query["symbol"], int(query["offset"]), int(query["size"])
        found.append((symbol, offset))
        return page(symbol, RELEASES[symbol][offset : offset + size])

    serve(monkeypatch, answer)
    return found


def serve(monkeypatch: pytest.MonkeyPatch, answer: Callable[[str], str]) -> None:
    def cache_get(_: object, url: str, *__: object, **___: object) -> SimpleNamespace:
        return SimpleNamespace(text=answer(url))

    monkeypatch.setattr(YfData, "cache_get", cache_get)


@pytest.mark.usefixtures("asked")
def test_releases_have_their_date_and_time_in_new_york() -> None:
    """Before the open, after the close, at noon or at no time; reported or still to come."""
    assert YahooEvents(QUICK).fetch(["AAA", "FUND"]) == [
        YahooRelease("AAA", date(2025, 10, 30), "post", reported=False),
        YahooRelease("AAA", date(2025, 7, 22), "pre", reported=True),
        YahooRelease("AAA", date(2025, 2, 6), "", reported=True),
        YahooRelease("AAA", date(2024, 10, 31), "", reported=True),
    ]


def test_pages_are_read_to_the_last(
    asked: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full page is followed by the next, which yfinance does not answer from memory."""
    many = [(f"July {1 + number % 28}, {1900 + number} at 4 PM EDT", "1") for number in range(150)]
    monkeypatch.setitem(RELEASES, "AAA", many)
    releases = YahooEvents(QUICK).fetch(["AAA"])
    assert asked == [("AAA", 0), ("AAA", PAGE_ROWS)]
    years = [release.date.year for release in releases if release.date]
    assert years == list(range(1900, 2050))


def test_missing_date_is_quarantined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its row is set aside by the rules; the others are kept."""
    moments = pd.DatetimeIndex(["2025-07-22 06:00", None]).tz_localize("America/New_York")
    rows = pd.DataFrame({"Reported EPS": [1.5, 1.0]}, index=moments)
    monkeypatch.setattr("yfinance.Ticker.get_earnings_dates", lambda *_, **__: rows)
    read = EventFileSource("yahoo", tmp_path).read(pl.DataFrame({"Symbol": ["AAA"]}))
    ingested = ingest_event_files(read, EventParameters())
    assert ingested.events["Date"].to_list() == [date(2025, 7, 22)]
    assert ingested.quarantine.height == 1


def test_page_without_the_column_of_reports_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, nothing says which releases have taken place."""
    serve(monkeypatch, lambda _: page("AAA", RELEASES["AAA"]).replace("Reported EPS", "EPS"))
    with pytest.raises(SourceError, match="of AAA: no column 'Reported EPS'"):
        YahooEvents(QUICK).fetch(["AAA"])


@pytest.mark.usefixtures("asked")
def test_no_dates_at_all_is_an_error() -> None:
    """Yahoo that answers nothing of any symbol probably blocks the client."""
    with pytest.raises(SourceError, match=r"any of 1 symbols\. It may block"):
        YahooEvents(QUICK).fetch(["FUND"])


def test_a_failed_request_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that stays ends the run and names the symbol; one that passes does not."""
    failures = ["lost", "lost"]

    def answer(_: str) -> str:
        if failures:
            raise ConnectionError(failures.pop())
        return page("AAA", RELEASES["AAA"])

    serve(monkeypatch, answer)
    with pytest.raises(SourceError, match="of AAA: lost"):
        YahooEvents(QUICK).fetch(["AAA"])
    failures.append("lost")
    assert len(YahooEvents(QUICK).fetch(["AAA"])) == 4


@pytest.mark.usefixtures("asked")
def test_a_coming_date_that_vanishes_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was announced counts from then on, also if Yahoo no longer has it."""
    day = datetime.now(tz=UTC).date() + timedelta(days=20)
    announced = (f"{day:%B %d, %Y} at 4 PM EST", "-")
    monkeypatch.setitem(RELEASES, "AAA", [announced, *RELEASES["AAA"][1:]])
    source = EventFileSource("yahoo", tmp_path)
    symbols = pl.DataFrame({"Symbol": ["AAA"]})
    source.read(symbols)
    monkeypatch.setitem(RELEASES, "AAA", RELEASES["AAA"][1:])
    events = ingest_event_files(source.read(symbols), EventParameters()).events
    coming = events.filter(pl.col("Date") == day)
    assert coming["Time"].to_list() == ["post"]
    assert coming["Known"].null_count() == 0
    past = events.filter(pl.col("Date") < day)
    assert past["Known"].null_count() == past.height == 3
