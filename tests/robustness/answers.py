"""Answers of services as inputs of ``make fuzz``: one document is mutated, the others are valid.

The first byte of an input chooses the document, the rest is what the service sends in its place.
"""

import copy
import json
import random
import tempfile
import time as clock
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from functools import partial
from types import SimpleNamespace
from typing import Any, Final
from unittest import mock

import httpx

from stock_volume.events.rules import POST, PRE
from stock_volume.exchange import NYSE
from stock_volume.sources.edgar import EdgarEvents
from stock_volume.sources.nasdaq_calendar import NasdaqCalendar
from stock_volume.sources.requested import Request
from stock_volume.sources.retry import RetryParameters
from stock_volume.sources.yahoo import YahooSource
from stock_volume.sources.yahoo_events import YahooEvents
from tests.unit.servers import Answer
from tests.unit.yahoo_server import in_place_of_yahoo

CONTACT: Final = "Jane Doe jane@example.org"
ONCE: Final = {"per_second": 10, "retry": {"attempts": 1}}
NOW: Final = datetime(2020, 10, 28, 12, tzinfo=UTC)

_FILINGS: Final = {
    "form": ["8-K", "10-Q", "8-K"],
    "items": ["2.02,9.01", "", "12"],
    "acceptanceDateTime": [
        "2020-10-29T20:30:42.000Z",
        "2020-07-31T10:30:00.000Z",
        "2003-07-30T11:00:00.000Z",
    ],
}
_OLDER: Final = "CIK0000000001-submissions-001.json"
EDGAR: Final[dict[str, Any]] = {
    "tickers.json": {"0": {"cik_str": 1, "ticker": "A", "title": "Invented Inc."}},
    "CIK0000000001.json": {
        "cik": "1",
        "filings": {"recent": _FILINGS, "files": [{"name": _OLDER, "filingCount": 3}]},
    },
    _OLDER: _FILINGS,
}
CALENDAR: Final[dict[str, Any]] = {
    "earnings": {"data": {"rows": [{"symbol": "A", "time": "time-after-hours", "name": "First"}]}}
}
"""Documents by the last part of their addresses."""

ODD: Final[tuple[Any, ...]] = (
    None, True, -1, 0, 1.5, 10**30, float("inf"), "", " ", "\0", "\ud800", "A" * 5000, [], {}, [[]],
    "9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "2020-02-30",
    "2020-01-01", "2020-01-01T00:00:00", "../../etc/passwd", "CIK0000000001.json", "http://[",
)  # fmt: skip


def mutate_document(document: Any, chance: random.Random) -> bytes:
    """Replace, remove or repeat some values of a document."""
    document = copy.deepcopy(document)
    for _ in range(chance.randint(1, 4)):
        places = list(_list_places(document))
        if not places:
            break
        container, key = chance.choice(places)
        match chance.randrange(4):
            case 0:
                del container[key]
            case 1 if isinstance(container, list):
                container[key:key] = container[key : key + 1] * chance.randint(1, 20)
            case _:
                container[key] = copy.deepcopy(chance.choice(ODD))
    return json.dumps(document).encode()


def _list_places(document: Any) -> Iterator[tuple[Any, Any]]:
    """List the containers and keys of all values below a document."""
    keys = document if isinstance(document, dict) else range(len(document))
    for key in keys:
        yield document, key
        if isinstance(document[key], dict | list):
            yield from _list_places(document[key])


def mutate_answers(
    documents: Mapping[str, Any],
    mutate: Callable[[bytes, random.Random], bytes],
    chance: random.Random,
) -> bytes:
    """Mutate one of the documents: its values, or its bytes.

    Args:
        documents: The documents of a service.
        mutate: Mutates bytes.
        chance: Where changes come from.

    Returns:
        The input that replaces the document.
    """
    place = chance.randrange(len(documents))
    document = list(documents.values())[place]
    if chance.random() < 1 / 4:
        return bytes([place]) + mutate(json.dumps(document).encode(), chance)
    return bytes([place]) + mutate_document(document, chance)


@contextmanager
def _answering(documents: Mapping[str, Any], content: bytes) -> Iterator[None]:
    """Answer requests with the documents, one of them replaced, and never wait."""
    bodies = {name: json.dumps(document).encode() for name, document in documents.items()}
    replaced = list(bodies)[content[0] % len(bodies)] if content else ""
    bodies[replaced] = content[1:]

    def answer(request: httpx.Request) -> httpx.Response:
        name = request.url.path.rsplit("/", 1)[-1]
        return httpx.Response(200, content=bodies[name]) if name in bodies else httpx.Response(404)

    client = partial(httpx.Client, transport=httpx.MockTransport(answer))
    with mock.patch("httpx.Client", client), mock.patch.object(clock, "sleep"):
        yield


def read_edgar(content: bytes) -> None:
    """Fetch releases from EDGAR, and check what they are."""
    source = EdgarEvents(CONTACT, "https://a.example/tickers.json", "https://a.example/", ONCE)
    with _answering(EDGAR, content):
        _check(source.fetch(["A", "B"]), {"A"}, {PRE, POST})


def read_calendar(content: bytes) -> None:
    """Fetch releases from the calendar, and check what they are."""
    source = NasdaqCalendar(NYSE, "https://a.example/earnings", days_ahead=1, server=ONCE)
    with _answering(CALENDAR, content):
        _check(source.fetch(NOW))


def _check(
    rows: list[tuple[str, date, str]],
    symbols: set[str] | None = None,
    times: set[str] | None = None,
) -> None:
    for symbol, day, moment in rows:
        if not (isinstance(symbol, str) and type(day) is date and isinstance(moment, str)):
            raise AssertionError(f"{(symbol, day, moment)} is no event")
        if symbols is not None and symbol not in symbols:
            raise AssertionError(f"{symbol} was not asked for")
        if times is not None and moment not in times:
            raise AssertionError(f"{moment} is no time")


_DAYS: Final = [date(2020, 1, day) for day in (2, 3, 6, 7, 8)]
_CLOSES: Final = [100.0, 101.0, 102.0, 103.0, 104.0]
_MOMENTS: Final = [int(datetime.combine(day, time(14, 30), UTC).timestamp()) for day in _DAYS]
_PERIOD: Final = {"timezone": "EST", "start": 0, "end": 0, "gmtoffset": -18000}
YAHOO: Final[dict[str, Any]] = {
    "A": {
        "chart": {
            "result": [
                {
                    "meta": {
                        "currency": "USD",
                        "symbol": "A",
                        "exchangeName": "NMS",
                        "instrumentType": "EQUITY",
                        "firstTradeDate": _MOMENTS[0],
                        "regularMarketTime": _MOMENTS[-1],
                        "gmtoffset": -18000,
                        "timezone": "EST",
                        "exchangeTimezoneName": "America/New_York",
                        "regularMarketPrice": _CLOSES[-1],
                        "priceHint": 2,
                        "currentTradingPeriod": {
                            "pre": _PERIOD,
                            "regular": _PERIOD,
                            "post": _PERIOD,
                        },
                        "dataGranularity": "1d",
                        "validRanges": ["1d", "max"],
                    },
                    "timestamp": _MOMENTS,
                    "events": {"dividends": {}, "splits": {}},
                    "indicators": {
                        "quote": [
                            {
                                "open": _CLOSES,
                                "high": _CLOSES,
                                "low": _CLOSES,
                                "close": _CLOSES,
                                "volume": [1000, 2000, 3000, 4000, 5000],
                            }
                        ],
                        "adjclose": [{"adjclose": _CLOSES}],
                    },
                }
            ],
            "error": None,
        }
    }
}


def fetch_yahoo(content: bytes) -> bytes | str:
    """Fetch bars from Yahoo: a file, or the reason why there is none."""
    body = content[1:]
    with (
        warnings.catch_warnings(action="ignore"),  # yfinance uses deprecated functions
        in_place_of_yahoo(lambda *_: Answer(body, headers={"Content-Type": "application/json"})),
        tempfile.TemporaryDirectory() as folder,
    ):
        source = YahooSource(["A"], landing=folder, retry=RetryParameters(attempts=1))
        (answer,) = source.fetch([Request("A", is_etf=False, since=_DAYS[0])])
    return answer


DATES: Final = (
    b"<html><body><table><tr><th>Symbol</th><th>Company</th><th>Earnings Date</th>"
    b"<th>EPS Estimate</th><th>Reported EPS</th><th>Surprise (%)</th></tr>"
    b"<tr><td>A</td><td>First</td><td>October 30, 2025 at 4 PM EDT</td><td>1.5</td><td>-</td>"
    b"<td>-</td></tr><tr><td>A</td><td>First</td><td>July 22, 2025 at 6 AM EDT</td><td>1.5</td>"
    b"<td>1.54</td><td>2.0</td></tr></table></body></html>"
)
"""A page of Yahoo's dates of earnings."""


def read_dates(content: bytes) -> None:
    """Fetch dates of earnings from Yahoo, and check what they are."""
    page = SimpleNamespace(text=content.decode(errors="replace"))
    with (
        warnings.catch_warnings(action="ignore"),
        mock.patch("yfinance.data.YfData.cache_get", return_value=page),
    ):
        releases = YahooEvents(RetryParameters(attempts=1)).fetch(["A"])
    dated = [(one.symbol, one.date, one.time) for one in releases if one.date is not None]
    _check(dated, {"A"}, {PRE, POST, ""})
