"""Yahoo's bars by yfinance, from a server on this machine in Yahoo's place."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pandas as pd
import polars as pl
import pytest
import yfinance

from stock_volume import columns
from stock_volume.bars.archive import SINCE
from stock_volume.errors import SourceError
from stock_volume.exchange import NYSE
from stock_volume.sources import yahoo
from stock_volume.sources.retry import RetryParameters
from stock_volume.sources.yahoo import YahooSource
from tests.unit.servers import Answer
from tests.unit.yahoo_server import in_place_of_yahoo

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

QUICK = RetryParameters(attempts=3, wait_seconds=0.001)
NEW_YORK = ZoneInfo("America/New_York")
BARS = {
    date(2021, 1, 4): (10.0, 11.0, 9.0, 10.5, 10.25, 1000),
    date(2021, 1, 5): (10.5, 12.0, 10.0, 11.5, 11.25, 3_000_000_000),
    date(2021, 1, 6): (11.5, 11.75, 11.0, 11.0, 10.75, 0),
}
WANTED = pl.DataFrame(
    {"Symbol": ["AAA", "GONE", "SPY"], "ETF": [False, False, True], SINCE: [date(2021, 1, 4)] * 3}
)


def chart(path: str, *_: object) -> Answer:
    """Answer like Yahoo: bars of the requested days, stamped at the opening."""
    asked = urlsplit(path)
    symbol = asked.path.rsplit("/", 1)[-1]
    if symbol == "GONE":
        error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
        return Answer(json.dumps({"chart": {"result": None, "error": error}}).encode(), 404)
    query = parse_qs(asked.query)
    opening = {day: datetime(day.year, day.month, day.day, 9, 30, tzinfo=NEW_YORK) for day in BARS}
    days = [
        day
        for day, time in opening.items()
        if int(query.get("period1", ["0"])[0]) <= time.timestamp()
        and time.timestamp() < int(query.get("period2", ["9999999999"])[0])
    ]
    bars = (
        dict(
            zip(
                ("open", "high", "low", "close", "adj", "volume"),
                zip(*(BARS[day] for day in days), strict=True),
                strict=True,
            )
        )
        if days
        else {}
    )
    adjusted = bars.pop("adj", ())
    result = {
        "meta": {
            "currency": "USD",
            "symbol": symbol,
            "exchangeTimezoneName": "America/New_York",
            "timezone": "EST",
            "gmtoffset": -18000,
            "instrumentType": "EQUITY",
            "priceHint": 2,
            "dataGranularity": "1d",
            "range": "",
            "validRanges": ["1d", "max"],
        },
        "timestamp": [int(opening[day].timestamp()) for day in days],
        "indicators": {"quote": [bars], "adjclose": [{"adjclose": adjusted}]},
    }
    body = json.dumps({"chart": {"result": [result], "error": None}})
    return Answer(body.encode(), headers={"Content-Type": "application/json"})


@pytest.fixture(autouse=True)
def _yahoo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the clock after the close of 6 January."""
    monkeypatch.setattr(
        yahoo, "find_last_settled_session", lambda _exchange, _now: date(2021, 1, 6)
    )


def test_recent_bars_have_the_archive_layout(tmp_path: Path) -> None:
    """Recent bars have the Kaggle layout, with unadjusted and adjusted closes."""
    with in_place_of_yahoo(chart):
        asked = YahooSource(None, landing=tmp_path / "landing", max_failed_share=0.5, retry=QUICK)
        archive = asked.recent(WANTED)
    assert [file.name for file in archive.files] == ["stocks/AAA.csv", "etfs/SPY.csv"]
    lines = archive.read("stocks/AAA.csv").decode().splitlines()
    assert lines[0] == "Date,Open,High,Low,Close,Adj Close,Volume"
    rows = [line.split(",") for line in lines[1:]]
    assert [row[0] for row in rows] == ["2021-01-04", "2021-01-05", "2021-01-06"]
    for row, bar in zip(rows, BARS.values(), strict=True):
        assert tuple(map(float, row[1:])) == pytest.approx(bar)
    assert archive.absent == {"GONE": "Yahoo answers no bars"}


def test_an_open_session_is_omitted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The bar of a session that is not settled is omitted."""
    monkeypatch.setattr(
        yahoo, "find_last_settled_session", lambda _exchange, _now: date(2021, 1, 5)
    )
    with in_place_of_yahoo(chart):
        archive = YahooSource(["AAA"], landing=tmp_path).everything()
    dates = [line[:10] for line in archive.read("stocks/AAA.csv").decode().splitlines()[1:]]
    assert dates == ["2021-01-04", "2021-01-05"]


def test_an_empty_answer_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty frame, which yfinance returns without network, is an error."""
    asked = YahooSource(None, landing=tmp_path, retry=QUICK)
    with in_place_of_yahoo(chart):
        for module in ("yfinance.scrapers.history", "yfinance.base"):
            monkeypatch.setattr(f"{module}._BASE_URL_", "http://127.0.0.1:9")  # nobody listens
        with pytest.raises(
            SourceError, match=r"1 of 3 symbols .*first SPY: .*yfinance answers nothing"
        ):
            asked.recent(WANTED)
    assert not list(tmp_path.iterdir())


def bars_of(symbols: list[str]) -> pd.DataFrame:
    """Answer like yfinance."""
    days = pd.to_datetime(["2021-01-04", "2021-01-05"])
    bars = pd.DataFrame(1.0, index=days, columns=list(columns.BAR[1:]))
    return pd.concat(dict.fromkeys(symbols, bars), axis=1)


def test_an_empty_batch_is_retried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A temporary block costs a wait, and no symbol."""
    calls: list[list[str]] = []

    def download(symbols: list[str], **_: object) -> pd.DataFrame:
        calls.append(symbols)
        return pd.DataFrame() if len(calls) in {2, 3} else bars_of(symbols)

    monkeypatch.setattr(yfinance, "download", download)
    symbols = [f"S{number:03}" for number in range(2 * yahoo.BATCH_SIZE)]
    archive = YahooSource(symbols, landing=tmp_path, retry=QUICK).everything()
    assert [file.symbol for file in archive.files] == symbols
    assert archive.absent == {}
    assert calls == [symbols[: yahoo.BATCH_SIZE], *[symbols[yahoo.BATCH_SIZE :]] * 3]


def without(bars: pd.DataFrame, symbols: list[str]) -> pd.DataFrame:
    """Blank out symbols, as yfinance does with symbols that it cannot fetch."""
    bars[symbols] = float("nan")
    return bars


def test_a_missing_symbol_is_retried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The missing symbols of a batch are retried, and join the others."""
    symbols = [f"S{number:02}" for number in range(20)]
    calls: list[list[str]] = []

    def download(asked: list[str], **_: object) -> pd.DataFrame:
        calls.append(asked)
        gone = {1: symbols[3:], 2: symbols[5:6]}.get(len(calls), [])
        return without(bars_of(asked), gone)

    monkeypatch.setattr(yfinance, "download", download)
    archive = YahooSource(symbols, landing=tmp_path, retry=QUICK).everything()
    assert [file.symbol for file in archive.files] == symbols
    assert archive.absent == {}
    assert calls == [symbols, symbols[3:], ["S05"]]


@pytest.mark.parametrize(("count", "times"), [(2, 2), (3, QUICK.attempts)])
def test_delisted_symbols_are_retried_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: int, times: int
) -> None:
    """A few missing symbols cost one retry; many may mean a block, and are retried longer."""
    symbols = [f"S{number:02}" for number in range(20)]
    calls: list[list[str]] = []

    def download(asked: list[str], **_: object) -> pd.DataFrame:
        calls.append(asked)
        return without(bars_of(asked), [symbol for symbol in asked if symbol in symbols[:count]])

    monkeypatch.setattr(yfinance, "download", download)
    archive = YahooSource(symbols, landing=tmp_path, max_failed_share=0.5, retry=QUICK).everything()
    assert archive.absent == dict.fromkeys(symbols[:count], "Yahoo answers no bars")
    assert calls == [symbols, *[symbols[:count]] * (times - 1)]


def test_a_block_after_the_first_batch_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A block after the first batch is an error that ends the requests."""
    calls: list[list[str]] = []

    def download(symbols: list[str], **_: object) -> pd.DataFrame:
        calls.append(symbols)
        return bars_of(symbols) if len(calls) == 1 else pd.DataFrame()

    monkeypatch.setattr(yfinance, "download", download)
    symbols = [f"S{number:04}" for number in range(10 * yahoo.BATCH_SIZE)]
    with pytest.raises(SourceError, match=r"101 of 1000 symbols .*max_failed_share = 0\.1"):
        YahooSource(symbols, landing=tmp_path, retry=QUICK).everything()
    assert len(calls) == 1 + 2 * QUICK.attempts
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("now", "session"),
    [
        ("2021-01-06T21:00", date(2021, 1, 5)),  # the minute of the close
        ("2021-01-06T21:30", date(2021, 1, 6)),
        ("2021-01-09T12:00", date(2021, 1, 8)),  # a Saturday
        ("2020-11-27T18:29", date(2020, 11, 25)),  # half a session, after a holiday
        ("2020-11-27T18:30", date(2020, 11, 27)),
    ],
)
def test_a_session_is_settled_half_an_hour_after_its_close(
    monkeypatch: pytest.MonkeyPatch, now: str, session: date
) -> None:
    """Early closes and holidays follow the exchange's calendar."""
    monkeypatch.undo()
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert yahoo.find_last_settled_session(NYSE, moment) == session
