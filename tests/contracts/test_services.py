"""What Kaggle, Yahoo and EDGAR must answer for the sources to work.

Each contract is checked twice: with the service's recorded shape, all of its fields with invented
values, from a server on this machine; and with ``pytest -m live``, which needs a network, with the
service itself. If only the live test fails, the service has changed.
"""

import base64
import hashlib
import io
import json
import os
import zipfile
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from kagglesdk import kaggle_env

from stock_volume.bars.archive import BarArchive, open_archive
from stock_volume.bars.ingest import IngestedChunk, IngestionParameters, ingest
from stock_volume.sources.edgar import EdgarEvents
from stock_volume.sources.kaggle import KaggleSource
from stock_volume.sources.requested import Request
from stock_volume.sources.yahoo import YahooSource
from tests.unit.servers import Answer, answering
from tests.unit.yahoo_server import in_place_of_yahoo

CONTACT = os.environ.get("STOCK_VOLUME_CONTACT", "Jane Doe jane@example.org")
NEW_YORK = ZoneInfo("America/New_York")
# kagglehub and yfinance leave connections to the garbage collector, and use deprecated functions.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def read(archive: BarArchive) -> list[IngestedChunk]:
    """Ingest an archive; almost all of its rows must be kept."""
    chunks = list(ingest(archive, IngestionParameters()))
    rows = sum(int(chunk.files["rows_read"].sum()) for chunk in chunks)
    kept = sum(chunk.prices.height for chunk in chunks)
    assert kept > 0.99 * rows > 0
    return chunks


# EDGAR


def edgar_filing(form: str, items: str, accepted: str) -> dict[str, object]:
    """One filing with all fields of ``submissions/CIK##########.json``."""
    return {
        "accessionNumber": "0000000001-20-000001",
        "filingDate": accepted[:10],
        "reportDate": accepted[:10],
        "acceptanceDateTime": accepted,
        "act": "34",
        "form": form,
        "fileNumber": "001-00001",
        "filmNumber": "20000001",
        "items": items,
        "core_type": form,
        "size": 300000,
        "isXBRL": 1,
        "isInlineXBRL": 1,
        "primaryDocument": "doc.htm",
        "primaryDocDescription": form,
    }


EDGAR_FILINGS = [
    edgar_filing("8-K", "2.02,9.01", f"{year}-{month:02}-28T20:30:42.000Z")
    for year in (2022, 2021)
    for month in (10, 7, 4, 1)
] + [edgar_filing("10-Q", "", "2021-07-31T10:30:00.000Z"), edgar_filing("4", "", "2021-07-30")]
EDGAR_COMPANY = {
    "cik": "0000320193",
    "entityType": "operating",
    "sic": "3571",
    "name": "Invented Inc.",
    "tickers": ["AAPL"],
    "exchanges": ["Nasdaq"],
    "fiscalYearEnd": "0926",
    "filings": {
        "recent": {
            field: [filing[field] for filing in EDGAR_FILINGS] for field in EDGAR_FILINGS[0]
        },
        "files": [],
    },
}
EDGAR_DOCUMENTS = {
    "/tickers.json": {"0": {"cik_str": 320193, "ticker": "AAPL", "title": "Invented Inc."}},
    "/submissions/CIK0000320193.json": EDGAR_COMPANY,
}


def check_edgar(releases: list[tuple[str, date, str]]) -> None:
    """A company releases its earnings four times a year, before or after trading."""
    days = [day for _, day, _ in releases]
    assert days == sorted(days)
    assert sum(day.year == 2022 for day in days) == 4
    assert {moment for _, _, moment in releases} <= {"pre", "post"}


def test_edgar_as_recorded() -> None:
    """From documents with all of EDGAR's fields."""
    with answering(lambda path, *_: Answer(json.dumps(EDGAR_DOCUMENTS[path]).encode())) as server:
        addresses = f"{server.url}/tickers.json", f"{server.url}/submissions/"
        check_edgar(EdgarEvents(CONTACT, *addresses).fetch(["AAPL"]))


@pytest.mark.live
def test_edgar_live() -> None:
    """The SEC requires a contact of its users: set STOCK_VOLUME_CONTACT."""
    check_edgar(EdgarEvents(CONTACT).fetch(["AAPL"]))


# Yahoo

SINCE = date(2022, 1, 3)
YAHOO_DAYS = [SINCE + timedelta(days=day) for day in range(60) if (SINCE.weekday() + day) % 7 < 5]


def yahoo_chart(path: str) -> Answer:
    """Answer with all fields of ``v8/finance/chart``."""
    asked = urlsplit(path)
    query = parse_qs(asked.query)
    first = datetime.fromtimestamp(int(query.get("period1", ["0"])[0]), UTC).date()
    days = [day for day in YAHOO_DAYS if day >= first]
    moments = [int(datetime.combine(day, time(9, 30), NEW_YORK).timestamp()) for day in days]
    period = {"timezone": "EST", "start": 0, "end": 0, "gmtoffset": -18000}
    closes = [100.0 + place % 7 for place in range(len(days))]
    result = {
        "meta": {
            "currency": "USD",
            "symbol": asked.path.rsplit("/", 1)[-1],
            "exchangeName": "NMS",
            "fullExchangeName": "NasdaqGS",
            "instrumentType": "EQUITY",
            "firstTradeDate": 345479400,
            "regularMarketTime": moments[-1],
            "hasPrePostMarketData": True,
            "gmtoffset": -18000,
            "timezone": "EST",
            "exchangeTimezoneName": "America/New_York",
            "regularMarketPrice": closes[-1],
            "fiftyTwoWeekHigh": 110.0,
            "fiftyTwoWeekLow": 90.0,
            "regularMarketVolume": 1000,
            "longName": "Invented Inc.",
            "shortName": "Invented Inc.",
            "chartPreviousClose": 100.0,
            "priceHint": 2,
            "currentTradingPeriod": {"pre": period, "regular": period, "post": period},
            "dataGranularity": "1d",
            "range": "",
            "validRanges": ["1d", "5d", "1mo", "max"],
        },
        "timestamp": moments,
        "events": {"dividends": {}, "splits": {}},
        "indicators": {
            "quote": [
                {
                    "open": closes,
                    "high": [close + 1 for close in closes],
                    "low": [close - 1 for close in closes],
                    "close": closes,
                    "volume": [1_000_000 + place for place in range(len(days))],
                }
            ],
            "adjclose": [{"adjclose": [close - 0.5 for close in closes]}],
        },
    }
    body = json.dumps({"chart": {"result": [result], "error": None}}).encode()
    return Answer(body, headers={"Content-Type": "application/json"})


def check_yahoo(folder: Path) -> None:
    """Bars since a day have the archive's layout, and rows that break no rule."""
    source = YahooSource(["AAPL"], landing=folder / "landing")
    (answer,) = source.fetch([Request("AAPL", is_etf=False, since=SINCE)])
    assert isinstance(answer, bytes), answer
    (folder / "bars" / "stocks").mkdir(parents=True)
    (folder / "bars" / "stocks" / "AAPL.csv").write_bytes(answer)
    (chunk,) = read(open_archive(folder / "bars"))
    assert chunk.prices["Date"].min() == SINCE
    assert chunk.prices.height >= len(YAHOO_DAYS) - 3
    assert (chunk.prices["Adj Close"] != chunk.prices["Close"]).any()


def test_yahoo_as_recorded(tmp_path: Path) -> None:
    """From a chart with all of Yahoo's fields."""
    with in_place_of_yahoo(lambda path, *_: yahoo_chart(path)):
        check_yahoo(tmp_path)


@pytest.mark.live
def test_yahoo_live(tmp_path: Path) -> None:
    """Yahoo blocks clients that ask often."""
    check_yahoo(tmp_path)


# Kaggle

HANDLE = "jacksoncrow/stock-market-dataset/versions/2"
KAGGLE_LISTING = """\
Nasdaq Traded,Symbol,Security Name,Listing Exchange,Market Category,ETF,Round Lot Size,Test Issue,\
Financial Status,CQS Symbol,NASDAQ Symbol,NextShares
Y,INV,"Invented, Inc. Common Stock",N, ,N,100.0,N,,INV,INV,N
Y,IFD,Invented Index Fund,P, ,Y,100.0,N,,IFD,IFD,N
"""
KAGGLE_BARS = "Date,Open,High,Low,Close,Adj Close,Volume\n" + "".join(
    f"{day},32.54687119,33.5,32.0,33.0,31.473533630371094,{2_500_000 + number}.0\n"
    for number, day in enumerate(YAHOO_DAYS)
)


def kaggle_archive() -> bytes:
    """Make an archive with all files and columns of Kaggle's."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("etfs/IFD.csv", KAGGLE_BARS)
        archive.writestr("stocks/INV.csv", KAGGLE_BARS)
        archive.writestr("symbols_valid_meta.csv", KAGGLE_LISTING)
    return content.getvalue()


def check_kaggle() -> None:
    """The archive has stocks, funds and their names."""
    chunks = read(KaggleSource(HANDLE).open())
    etfs = {etf for chunk in chunks for etf in chunk.prices["ETF"].unique()}
    assert etfs == {True, False}
    assert all(chunk.prices["Security Name"].null_count() == 0 for chunk in chunks[:1])


@pytest.fixture
def _empty_kaggle_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("_empty_kaggle_cache")
def test_kaggle_as_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """From an archive with all of Kaggle's columns."""
    content = kaggle_archive()
    headers = {
        "Content-Type": "application/zip",
        "Accept-Ranges": "bytes",
        "x-goog-hash": "md5=" + base64.b64encode(hashlib.md5(content).digest()).decode(),  # noqa: S324
    }
    with answering(lambda *_: Answer(content, headers=headers)) as server:
        endpoints = kaggle_env._env_to_endpoint  # noqa: SLF001 (there is no variable for it)
        monkeypatch.setitem(endpoints, kaggle_env.KaggleEnv.PROD, server.url)
        check_kaggle()


@pytest.mark.live
@pytest.mark.usefixtures("_empty_kaggle_cache")
def test_kaggle_live() -> None:
    """It downloads half a gigabyte."""
    check_kaggle()
