"""CSV files over HTTP, from a server that fails in every way."""

import threading
import time
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from stock_volume.bars.ingest import read_listing
from stock_volume.errors import SourceError
from stock_volume.sources.http_csv import HttpCsvParameters, HttpCsvSource
from stock_volume.sources.requested import SINCE
from stock_volume.sources.retry import RetryParameters
from tests.unit.servers import Answer, answering

BARS = b"Date,Open,High,Low,Close,Adj Close,Volume\n2021-01-04,1,2,1,2,2,100\n"
QUICK = RetryParameters(attempts=3, wait_seconds=0.001)


def parameters(url: str, **changes: object) -> HttpCsvParameters:
    return HttpCsvParameters.model_validate(
        {"url": url + "/{symbol}.csv", "retry": QUICK, **changes}
    )


def source(
    url: str, symbols: list[str] | str | None, folder: Path, **changes: object
) -> HttpCsvSource:
    return HttpCsvSource(parameters(url, **changes), symbols, folder)


def test_each_symbol_is_fetched_into_one_archive(tmp_path: Path) -> None:
    """The answers become one archive in the Kaggle layout, byte for byte as they were sent."""
    with answering(lambda *_: Answer(BARS)) as server:
        archive = source(server.url, ["A", "B"], tmp_path).everything()
    assert [file.name for file in archive.files] == ["stocks/A.csv", "stocks/B.csv"]
    assert archive.read("stocks/B.csv") == BARS
    assert archive.path.parent == tmp_path
    assert archive.absent == {}


def test_the_same_answers_leave_one_archive(tmp_path: Path) -> None:
    """What was fetched before is not kept twice, and other content gets another name."""
    with answering(lambda _path, _headers, before: Answer(BARS * (1 + before // 2))) as server:
        asked = source(server.url, ["A"], tmp_path)
        first, second, third = (asked.everything().path for _ in range(3))
    assert first == second != third
    assert sorted(tmp_path.iterdir()) == sorted([first, third])


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_failure_that_may_pass_is_asked_again(tmp_path: Path, status: int) -> None:
    """A busy or failing server is asked again until it answers."""

    def answer(_path: str, _headers: dict[str, str], before: int) -> Answer:
        return Answer(BARS) if before == 2 else Answer(status=status)

    with answering(answer) as server:
        archive = source(server.url, ["A"], tmp_path).everything()
    assert archive.read("stocks/A.csv") == BARS
    assert server.times("/A.csv") == 3


def test_the_server_says_how_long_to_wait(tmp_path: Path) -> None:
    """A Retry-After is waited for."""

    def answer(_path: str, _headers: dict[str, str], before: int) -> Answer:
        return Answer(BARS) if before else Answer(status=429, headers={"Retry-After": "0.3"})

    with answering(answer) as server:
        start = time.monotonic()
        source(server.url, ["A"], tmp_path).everything()
    assert time.monotonic() - start >= 0.3


def test_an_answer_that_is_cut_short_is_asked_for_again(tmp_path: Path) -> None:
    """Less than was announced is no answer, however well it reads."""

    def answer(_path: str, _headers: dict[str, str], before: int) -> Answer:
        return Answer(BARS, cut=None if before else len(BARS) - 10)

    with answering(answer) as server:
        archive = source(server.url, ["A"], tmp_path).everything()
    assert archive.read("stocks/A.csv") == BARS


def test_a_server_that_drips_is_not_waited_for(tmp_path: Path) -> None:
    """The time limit is of the whole answer, not of each byte."""
    slow = threading.Event()

    def answer(_path: str, _headers: dict[str, str], before: int) -> Answer:
        return Answer(BARS, pause=None if before else lambda: slow.wait(0.05))

    with answering(answer) as server:
        archive = source(server.url, ["A"], tmp_path, seconds=0.3).everything()
    assert archive.read("stocks/A.csv") == BARS


def test_a_silent_server_is_named(tmp_path: Path) -> None:
    """A server that never answers ends the run with its address and the reason."""
    with answering(lambda *_: Answer(status=500)) as server:
        url = server.url
    with pytest.raises(SourceError, match=f"{url}.*1 of 1 symbols.*A: .*3 times"):
        source(url, ["A"], tmp_path).everything()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_ends_at_once(tmp_path: Path, status: int) -> None:
    """A server that wants a key is not asked a thousand times."""
    symbols = [f"S{number}" for number in range(200)]
    with (
        answering(lambda *_: Answer(status=status)) as server,
        pytest.raises(SourceError, match=f"HTTP {status}; give a key under `headers`"),
    ):
        source(server.url, symbols, tmp_path).everything()
    assert len(server.asked) < 50


def test_a_symbol_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Some symbols may be absent, each with its reason; the others are fetched."""

    def answer(path: str, _headers: dict[str, str], _before: int) -> Answer:
        return Answer(status=404) if path == "/S3.csv" else Answer(BARS)

    symbols = [f"S{number}" for number in range(10)]
    with answering(answer) as server:
        archive = source(server.url, symbols, tmp_path).everything()
    assert len(archive.files) == 9
    assert archive.absent == {"S3": "HTTP 404"}
    assert server.times("/S3.csv") == 1


def test_too_many_absent_symbols_are_a_failure(tmp_path: Path) -> None:
    """Where more than the allowed share is missing, nothing is kept."""

    def answer(path: str, _headers: dict[str, str], _before: int) -> Answer:
        return Answer(status=404) if path == "/S3.csv" else Answer(BARS)

    symbols = [f"S{number}" for number in range(9)]
    with (
        answering(answer) as server,
        pytest.raises(SourceError, match="1 of 9 symbols could not be fetched; first S3: HTTP 404"),
    ):
        source(server.url, symbols, tmp_path).everything()


def test_an_endless_answer_is_refused(tmp_path: Path) -> None:
    """An answer beyond the bound is given up."""
    with (
        answering(lambda *_: Answer(b"x" * 20_000)) as server,
        pytest.raises(SourceError, match=r"longer than max_mib = 0\.01 allows"),
    ):
        source(server.url, ["A"], tmp_path, max_mib=0.01).everything()


def test_columns_and_headers_are_the_servers(tmp_path: Path) -> None:
    """The server's names of columns become ours, and it gets the headers it wants."""
    theirs = (
        b"\xef\xbb\xbftimestamp, open,High,Low,Close,adjusted,Volume\r\n2021-01-04,1,2,1,2,2,1\r\n"
    )
    ours = {"timestamp": "Date", "open": "Open", "adjusted": "Adj Close"}
    with answering(lambda *_: Answer(theirs)) as server:
        archive = source(
            server.url, ["A"], tmp_path, columns=ours, headers={"X-Key": "secret"}
        ).everything()
    header, row, _ = archive.read("stocks/A.csv").split(b"\n")
    assert header == b"Date,Open,High,Low,Close,Adj Close,Volume"
    assert row == b"2021-01-04,1,2,1,2,2,1\r"
    assert server.headers[0]["x-key"] == "secret"


def test_an_update_asks_for_what_is_wanted(tmp_path: Path) -> None:
    """An update asks for the symbols that are held, since their dates, ETFs in their folder."""
    wanted = pl.DataFrame(
        {"Symbol": ["A/B", "SPY"], "ETF": [False, True], SINCE: [date(2021, 1, 4)] * 2}
    )
    url = "/{symbol}?from={since}&to={until}"
    with answering(lambda *_: Answer(BARS)) as server:
        asked = HttpCsvParameters(url=server.url + url, retry=QUICK)
        archive = HttpCsvSource(asked, None, tmp_path).recent(
            wanted.with_columns(pl.col("Symbol").str.replace("/", "-"))
        )
    today = datetime.now(tz=UTC).date().isoformat()
    assert {path for _, path in server.asked} == {
        f"/A-B?from=2021-01-04&to={today}",
        f"/SPY?from=2021-01-04&to={today}",
    }
    assert [file.name for file in archive.files] == ["stocks/A-B.csv", "etfs/SPY.csv"]


def test_symbols_are_quoted(tmp_path: Path) -> None:
    """No symbol changes the address."""
    with answering(lambda *_: Answer(BARS)) as server:
        source(server.url, ["A?B"], tmp_path).everything()
    assert server.asked == [("GET", "/A%3FB.csv")]


def test_symbols_come_from_a_listing(tmp_path: Path) -> None:
    """A listing names the symbols and tells ETFs, and goes into the archive."""
    listing = tmp_path / "listing.csv"
    listing.write_text("Symbol,Security Name,ETF\nA,A Inc.,N\nSPY,S & P,Y\n", encoding="utf-8")
    with answering(lambda *_: Answer(BARS)) as server:
        archive = source(server.url, str(listing), tmp_path / "landing").everything()
    assert [file.name for file in archive.files] == ["stocks/A.csv", "etfs/SPY.csv"]
    assert read_listing(archive)["SPY"] == ("S & P", True)


@pytest.mark.parametrize("symbols", [None, [], ""])
def test_a_first_run_needs_symbols(tmp_path: Path, symbols: list[str] | str | None) -> None:
    """Without symbols there is nothing to ask for, and the error says how to name some."""
    with pytest.raises(SourceError, match="name some under `symbols`"):
        source("http://localhost", symbols, tmp_path).everything()


def test_a_listing_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A listing without symbols ends the run with its path."""
    listing = tmp_path / "listing.csv"
    listing.write_text("Name\nA\n", encoding="utf-8")
    with pytest.raises(SourceError, match=r"listing\.csv: not a listing"):
        source("http://localhost", str(listing), tmp_path).everything()


@pytest.mark.parametrize("url", ["http://host/all.csv", "http://host/{ticker}", "http://h/{"])
def test_an_address_has_a_place_for_the_symbol(url: str) -> None:
    """An address that would be the same for all symbols is refused."""
    with pytest.raises(ValidationError, match="symbol"):
        HttpCsvParameters(url=url)
