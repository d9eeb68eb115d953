"""CSV files over HTTP, from a server that fails in every way."""

import gzip
import html
import logging
import os
import re
import threading
import time
import traceback
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
import pytest
from pydantic import ValidationError

from stock_volume.bars.archive import SINCE
from stock_volume.bars.listing import read_listing
from stock_volume.errors import SourceError
from stock_volume.sources.http_csv import HttpCsvParameters, HttpCsvSource
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
    return HttpCsvSource(parameters(url, **changes), symbols, landing=folder)


def test_each_symbol_is_fetched_into_one_archive(tmp_path: Path) -> None:
    """The answers form one archive in the Kaggle layout, byte for byte as sent."""
    with answering(lambda *_: Answer(BARS)) as server:
        archive = source(server.url, ["A", "B"], tmp_path).everything()
    assert [file.name for file in archive.files] == ["stocks/A.csv", "stocks/B.csv"]
    assert archive.read("stocks/B.csv") == BARS
    assert archive.path.parent == tmp_path
    assert archive.absent == {}


def test_the_same_answers_leave_one_archive(tmp_path: Path) -> None:
    """Identical answers are stored once; different content gets a different name."""
    with answering(lambda _path, _headers, before: Answer(BARS * (1 + before // 2))) as server:
        asked = source(server.url, ["A"], tmp_path)
        first, second, third = (asked.everything().path for _ in range(3))
    assert first == second != third
    assert sorted(tmp_path.iterdir()) == sorted([first, third])


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_temporary_failure_is_retried(
    tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A request to a busy or failing server is retried, and each retry is logged."""
    caplog.set_level(logging.INFO)

    def answer(_path: str, _headers: dict[str, str], before: int) -> Answer:
        return Answer(BARS) if before == 2 else Answer(status=status)

    with answering(answer) as server:
        archive = source(server.url, ["A"], tmp_path).everything()
    assert archive.read("stocks/A.csv") == BARS
    assert server.times("/A.csv") == 3
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [f"asking again in 0.0 seconds: HTTP {status}"] * 2


def test_the_server_says_how_long_to_wait(tmp_path: Path) -> None:
    """The wait before a retry follows Retry-After."""

    def answer(_path: str, _headers: dict[str, str], before: int) -> Answer:
        return Answer(BARS) if before else Answer(status=429, headers={"Retry-After": "0.3"})

    with answering(answer) as server:
        start = time.monotonic()
        source(server.url, ["A"], tmp_path).everything()
    assert time.monotonic() - start >= 0.3


def test_a_truncated_answer_is_retried(tmp_path: Path) -> None:
    """An answer shorter than its announced length is retried, even if it parses."""

    def answer(_path: str, _headers: dict[str, str], before: int) -> Answer:
        return Answer(BARS, cut=None if before else len(BARS) - 10)

    with answering(answer) as server:
        archive = source(server.url, ["A"], tmp_path).everything()
    assert archive.read("stocks/A.csv") == BARS


def test_a_slow_server_times_out(tmp_path: Path) -> None:
    """The time limit applies to the whole answer, not to each part."""
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
    """A refusal ends the run after one request."""
    symbols = [f"S{number}" for number in range(200)]
    with (
        answering(lambda *_: Answer(status=status)) as server,
        pytest.raises(SourceError, match=f"HTTP {status} for S.*give a key under `credentials`"),
    ):
        source(server.url, symbols, tmp_path).everything()
    assert len(server.asked) < 50


def test_an_absent_symbol_is_reported(tmp_path: Path) -> None:
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
    """If more than the allowed share is absent, the run fails and stores nothing."""

    def answer(path: str, _headers: dict[str, str], _before: int) -> Answer:
        return Answer(status=404) if path == "/S3.csv" else Answer(BARS)

    symbols = [f"S{number}" for number in range(9)]
    with (
        answering(answer) as server,
        pytest.raises(SourceError, match=r"1 of 9 symbols could not be .* first S3: HTTP 404"),
    ):
        source(server.url, symbols, tmp_path).everything()


def test_an_oversized_answer_is_rejected(tmp_path: Path) -> None:
    """An answer larger than max_mib is abandoned."""
    with (
        answering(lambda *_: Answer(b"x" * 20_000)) as server,
        pytest.raises(SourceError, match=r"longer than max_mib = 0\.01 allows"),
    ):
        source(server.url, ["A"], tmp_path, max_mib=0.01).everything()


def test_columns_and_headers_are_the_servers(tmp_path: Path) -> None:
    """The server's column names become ours, and it receives the configured headers."""
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


def test_an_update_requests_recent_bars(tmp_path: Path) -> None:
    """An update requests each known symbol since its date, and stores ETFs in their folder."""
    wanted = pl.DataFrame(
        {"Symbol": ["A/B", "SPY"], "ETF": [False, True], SINCE: [date(2021, 1, 4)] * 2}
    )
    url = "/{symbol}?from={since}&to={until}"
    with answering(lambda *_: Answer(BARS)) as server:
        asked = HttpCsvParameters(url=server.url + url, retry=QUICK)
        archive = HttpCsvSource(asked, None, landing=tmp_path).recent(
            wanted.with_columns(pl.col("Symbol").str.replace("/", "-"))
        )
    today = datetime.now(tz=UTC).date().isoformat()
    assert {path for _, path in server.asked} == {
        f"/A-B?from=2021-01-04&to={today}",
        f"/SPY?from=2021-01-04&to={today}",
    }
    assert [file.name for file in archive.files] == ["stocks/A-B.csv", "etfs/SPY.csv"]


def test_symbols_are_quoted(tmp_path: Path) -> None:
    """A symbol is percent-encoded in the address."""
    with answering(lambda *_: Answer(BARS)) as server:
        source(server.url, ["A?B"], tmp_path).everything()
    assert server.asked == [("GET", "/A%3FB.csv")]


def test_symbols_come_from_a_listing(tmp_path: Path) -> None:
    """A listing gives the symbols and their kinds, and is stored in the archive."""
    listing = tmp_path / "listing.csv"
    listing.write_text("Symbol,Security Name,ETF\nA,A Inc.,N\nSPY,S & P,Y\n", encoding="utf-8")
    with answering(lambda *_: Answer(BARS)) as server:
        archive = source(server.url, str(listing), tmp_path / "landing").everything()
    assert [file.name for file in archive.files] == ["stocks/A.csv", "etfs/SPY.csv"]
    assert read_listing(archive).find("SPY") == ("S & P", True)


@pytest.mark.parametrize("symbols", [None, [], ""])
def test_a_first_run_needs_symbols(tmp_path: Path, symbols: list[str] | str | None) -> None:
    """Without symbols a first run fails, and the error says how to list some."""
    with pytest.raises(SourceError, match="list some under `symbols`"):
        source("http://localhost", symbols, tmp_path).everything()


def test_a_listing_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A listing without symbols ends the run with its path."""
    listing = tmp_path / "listing.csv"
    listing.write_text("Name\nA\n", encoding="utf-8")
    with pytest.raises(SourceError, match=r"listing\.csv: not a listing"):
        source("http://localhost", str(listing), tmp_path).everything()


@pytest.mark.parametrize("content", ["Symbol,ETF\n", "Symbol\n\n"])
def test_a_listing_of_nothing_is_named(tmp_path: Path, content: str) -> None:
    """A listing with a header only ends the run with its path."""
    listing = tmp_path / "listing.csv"
    listing.write_text(content, encoding="utf-8")
    with pytest.raises(SourceError, match=r"listing\.csv: lists no symbol"):
        source("http://localhost", str(listing), tmp_path).everything()


def test_an_update_without_symbols_is_an_error(tmp_path: Path) -> None:
    """An update of empty layers has no symbol to fetch."""
    wanted = pl.DataFrame(schema={"Symbol": pl.String, "ETF": pl.Boolean, SINCE: pl.Date})
    with pytest.raises(SourceError, match="no symbol to fetch"):
        source("http://localhost", None, tmp_path).recent(wanted)


def test_a_symbol_listed_twice_is_requested_once(tmp_path: Path) -> None:
    """A symbol has one file in the archive, however often it is listed."""
    with answering(lambda *_: Answer(BARS)) as server:
        archive = source(server.url, ["A", "B", "A"], tmp_path).everything()
    assert server.times("/A.csv") == 1
    assert archive.read("stocks/A.csv") == BARS


@pytest.mark.parametrize(
    "symbol", ["BRK/B", ".X", "..", "../../etc/x", "a\\b", "", "A\n", "A\0", "A" * 300]
)
def test_a_symbol_that_names_no_file_is_absent(
    tmp_path: Path, symbol: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A symbol that is not a valid file name is reported and never requested."""
    symbols = [*(f"S{number}" for number in range(9)), symbol]
    with answering(lambda *_: Answer(BARS)) as server:
        archive = source(server.url, symbols, tmp_path).everything()
    assert archive.absent == {symbol: "cannot name a file"}
    assert f"no bars of 1 symbols, first {symbol}: cannot name a file" in caplog.text
    assert len(server.asked) == 9
    names = zipfile.ZipFile(archive.path).namelist()
    assert names == [f"stocks/S{number}.csv" for number in range(9)]
    assert archive.ignored == ()


def among(failing: Answer, tmp_path: Path, **changes: object) -> dict[str, str]:
    """Fetch ten symbols, one with another answer, and return the absent ones."""

    def answer(path: str, _headers: dict[str, str], _before: int) -> Answer:
        return failing if path == "/S3.csv" else Answer(BARS)

    with answering(answer) as server:
        symbols = [f"S{number}" for number in range(10)]
        archive = source(server.url, symbols, tmp_path, **changes).everything()
    assert len(archive.files) == 9
    return archive.absent


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(status=302, headers={"Location": "/S3.csv"}), "Exceeded maximum allowed redirects"),
        (Answer(status=302, headers={"Location": "ftp://h/S3.csv"}), "unsupported protocol"),
        (Answer(b"no gzip", headers={"Content-Encoding": "gzip"}), "decompressing.*, 3 times"),
        (Answer(status=429, headers={"Retry-After": "Sun Nov  6 08:49:37 1994"}), "429, 3 times"),
        (Answer(status=429, headers={"Retry-After": "nan"}), "429, 3 times"),
    ],
)
def test_a_bad_answer_affects_one_symbol(tmp_path: Path, answer: Answer, reason: str) -> None:
    """Whatever a server answers for one symbol, the others are fetched and it is reported."""
    absent = among(answer, tmp_path)
    assert absent.keys() == {"S3"}
    assert re.search(reason, absent["S3"])


def test_a_dead_server_ends_the_run_early(tmp_path: Path) -> None:
    """Requests stop once too many symbols have failed."""
    symbols = [f"S{number}" for number in range(1000)]
    with (
        answering(lambda *_: Answer(status=404)) as server,
        pytest.raises(SourceError, match="101 of 1000 symbols could not be fetched"),
    ):
        source(server.url, symbols, tmp_path).everything()
    assert len(server.asked) < 200
    assert list(tmp_path.iterdir()) == []


def test_answers_are_written_as_they_arrive(tmp_path: Path) -> None:
    """Fetched files are on disk before the last request, so memory stays flat."""
    sizes: list[int] = []
    noise = os.urandom(50_000)
    bars = BARS + noise.hex().encode()  # which is compressed to about half its size

    def answer(_path: str, _headers: dict[str, str], _before: int) -> Answer:
        sizes.extend(path.stat().st_size for path in tmp_path.iterdir())
        return Answer(bars)

    with answering(answer) as server:
        symbols = [f"S{number:03}" for number in range(200)]
        source(server.url, symbols, tmp_path, connections=1).everything()
    assert sizes[-1] > 150 * len(noise)


def test_keys_stay_with_their_server(tmp_path: Path) -> None:
    """After a redirect, another server does not receive our headers."""
    with answering(lambda *_: Answer(BARS)) as other:
        away = Answer(status=302, headers={"Location": f"{other.url}/x.csv"})
        with answering(lambda *_: away) as server:
            source(
                server.url,
                ["A"],
                tmp_path,
                headers={"X-Key": "SECRET", "Accept": "text/csv"},
                credentials={"Authorization": "Bearer SECRET", "X-Api-Key": "SECRET"},
            ).everything()
    assert {name for name, value in server.headers[0].items() if "SECRET" in value} == {
        "x-key",
        "x-api-key",
        "authorization",
    }
    assert "SECRET" not in str(other.headers)
    assert other.headers[0]["accept"] == "text/csv"


def test_keys_follow_within_a_server(tmp_path: Path) -> None:
    """A redirect within a server keeps the key."""

    def answer(path: str, headers: dict[str, str], _before: int) -> Answer:
        if headers.get("x-key") != "SECRET":
            return Answer(status=403)
        return Answer(status=301, headers={"Location": "/b"}) if path == "/A.csv" else Answer(BARS)

    with answering(answer) as server:
        asked = source(server.url, ["A"], tmp_path, credentials={"X-Key": "SECRET"})
        assert asked.everything().read("stocks/A.csv") == BARS


def test_a_key_goes_into_the_address(tmp_path: Path) -> None:
    """A credential named in the address is inserted there, quoted; others become headers."""
    with answering(lambda *_: Answer(BARS)) as server:
        HttpCsvSource(
            {"url": server.url + "/{symbol}?apikey={key}"},
            ["A"],
            landing=tmp_path,
            credentials={"key": "a&b", "X-Key": "c"},
        ).everything()
    assert server.asked == [("GET", "/A?apikey=a%26b")]
    assert server.headers[0]["x-key"] == "c"
    assert "key" not in server.headers[0]


@pytest.mark.parametrize("status", [401, 404, 500])
def test_no_message_shows_a_key(
    tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither errors nor logs reveal the query, the password or a header of a request."""
    caplog.set_level(logging.INFO)
    with answering(lambda *_: Answer(status=status)) as server:
        url = server.url.replace("//", "//me:SECRET@") + "/{symbol}.csv?a=SECRET&b={key}"
        asked = HttpCsvParameters.model_validate(
            {"url": url, "retry": QUICK, "credentials": {"key": "SECRET", "X-Key": "SECRET"}}
        )
        with pytest.raises(SourceError, match=rf"{server.url}/.symbol..csv\?….* A\b") as caught:
            HttpCsvSource(asked, ["A"], landing=tmp_path).everything()
    assert "SECRET" in server.asked[0][1]
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))
    assert "SECRET" not in caplog.text
    assert "SECRET" not in repr(asked)


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": {"X-Key": 1234567890}},
        {"headers": {"X-Key": "1234567890\n"}},
        {"headers": {"X Key": "1234567890"}},
        {"credentials": {"X-Key": "1234567890é"}},
        {"url": "http://me:1234567890@[host/{symbol}"},
        {"url": "http://host/all.csv?key=1234567890"},
        {"url": "http://host/{symbol.csv?key=1234567890"},
    ],
)
def test_no_parameter_error_shows_a_key(changes: dict[str, Any]) -> None:
    """An error about parameters shows their names and never their values."""
    with pytest.raises(ValidationError) as caught:
        HttpCsvParameters.model_validate({"url": "http://host/{symbol}", **changes})
    assert "1234567890" not in "".join(traceback.format_exception(caught.value))


THEIRS = {"timestamp": "Date", "open": "Open"}
REST = b",High,Low,Close,Adj Close,Volume"


@pytest.mark.parametrize(
    "header",
    [
        b'"timestamp","open"' + REST,
        b"\xef\xbb\xbftimestamp, open" + REST + b"\r",
        b'timestamp, "open"' + REST,
        b"timestamp,open" + REST,
    ],
)
def test_a_header_is_renamed_however_it_is_written(tmp_path: Path, header: bytes) -> None:
    """Quotes, spaces and a byte order mark around the server's names do not matter."""
    row = b"\n2021-01-04,1,2,1,2,2,100\n"
    with answering(lambda *_: Answer(header + row)) as server:
        archive = source(server.url, ["A"], tmp_path, columns=THEIRS).everything()
    assert archive.read("stocks/A.csv") == BARS


HEADER = BARS.partition(b"\n")[0]
NOTE = b'{"Note": "Thank you for using our API!\\nThe limit is 25 requests per day."}'
PAGE = b"<!DOCTYPE html><html><head><style>p {x}</style></head>\n<p>Slow&nbsp;down</p></html>"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (NOTE, r'JSON in place of bars: {"Note": "Thank you for .* 25 requests per day."}'),
        (NOTE[:40], r'JSON in place of bars: {"Note": "Thank you for using our'),
        (PAGE, "a page in place of bars: Slow down"),
        (PAGE[:-18], "a page in place of bars: Slow"),
        (b"Rate limit\nexceeded", "the answer .*Rate limit"),
        (b"No data", "the answer .*No data"),
        (b"", "an empty answer"),
        (b" \r\n\n", "an empty answer"),
        (HEADER, f"a header without rows: {HEADER.decode()}"),
        (HEADER + b"\n", f"a header without rows: {HEADER.decode()}"),
        (gzip.compress(BARS, mtime=0), r"binary data in place of bars \(\d+ bytes\)"),
        (b"\x1f\x8b" + bytes(range(128, 256)), r"binary data in place of bars \(130 bytes\)"),
        (b'"a\nb', "the answer .*a"),
    ],
)
@pytest.mark.parametrize("ours", [{}, THEIRS])
def test_an_answer_without_bars_affects_one_symbol(
    tmp_path: Path, content: bytes, reason: str, ours: dict[str, str]
) -> None:
    """A successful response without bars is retried, then quoted on one line."""
    absent = among(Answer(content), tmp_path, columns=ours)
    assert absent.keys() == {"S3"}
    assert re.fullmatch(rf"HTTP 200, but {reason}.*, 3 times", absent["S3"])
    assert absent["S3"].isprintable()


def test_a_long_note_is_shortened(tmp_path: Path) -> None:
    """A quotation is limited to about a hundred characters."""
    note = among(Answer(b'{"Note": "' + b"wait " * 100 + b'"}'), tmp_path)["S3"]
    assert len(note) < 160
    assert note.endswith("wait …, 3 times")


def test_bars_after_a_note_are_fetched(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A temporary limit costs the wait that the server asks for, and no symbol."""
    caplog.set_level(logging.INFO)
    note = Answer(b"No data", headers={"Retry-After": "0.2"})
    with answering(lambda _path, _headers, before: Answer(BARS) if before else note) as server:
        start = time.monotonic()
        archive = source(server.url, ["A"], tmp_path).everything()
    assert archive.read("stocks/A.csv") == BARS
    assert archive.absent == {}
    assert time.monotonic() - start >= 0.2
    assert "asking again in 0.2 seconds: HTTP 200, but the answer" in caplog.text


def test_many_notes_are_a_failure(tmp_path: Path) -> None:
    """Notes in place of most symbols end the run, and nothing is stored."""

    def answer(path: str, _headers: dict[str, str], _before: int) -> Answer:
        return Answer(BARS if path < "/S05" else NOTE)

    symbols = [f"S{number:02}" for number in range(20)]
    with (
        answering(answer) as server,
        pytest.raises(
            SourceError,
            match=r"3 of 20 symbols .*max_failed_share = 0\.1.*first S05: .*25 requests per day",
        ),
    ):
        source(server.url, symbols, tmp_path).everything()
    assert list(tmp_path.iterdir()) == []


def test_many_notes_end_an_update(tmp_path: Path) -> None:
    """The maximum share of failed symbols applies to updates too."""
    symbols = [f"S{number}" for number in range(5)]
    wanted = pl.DataFrame({"Symbol": symbols, "ETF": False, SINCE: date(2021, 1, 4)})
    with (
        answering(lambda path, *_: Answer(BARS if path == "/S0.csv" else NOTE)) as server,
        pytest.raises(SourceError, match=r"1 of 5 symbols .*first S1: HTTP 200, but JSON"),
    ):
        source(server.url, None, tmp_path).recent(wanted)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "note",
    [
        "Your key {} has reached its limit",
        '{{"Information": "We have detected your API key as {}"}}',
        "<p>See https://example.org/premium?apikey={}</p>",
        "<a href='/{}'>{}</a>",
        "Volume,{}\n1,2\n",
        "{}",
    ],
)
@pytest.mark.parametrize("secret", ["SECRET123", "SECRET/1&2"])
def test_no_quotation_shows_a_key(
    tmp_path: Path, note: str, secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A quoted note never shows a key that the server echoes, however the key was sent."""
    caplog.set_level(logging.INFO)
    content = note.replace("{}", html.escape(secret) if note.startswith("<") else secret)
    places: list[dict[str, Any]] = [
        {"credentials": {"key": secret}, "url": "/{symbol}?apikey={key}"},
        {"credentials": {"Authorization": f"Bearer {secret}"}, "url": "/{symbol}"},
        {"headers": {"X-Key": secret}, "url": "/{symbol}"},
        {"url": f"/{{symbol}}?apikey={quote(secret, '')}"},
    ]
    with answering(lambda *_: Answer(content.encode())) as server:
        for place in places:
            asked = HttpCsvParameters.model_validate(
                {"retry": QUICK, **place, "url": server.url + place["url"]}
            )
            with pytest.raises(SourceError, match="HTTP 200, but ") as caught:
                HttpCsvSource(asked, ["A"], landing=tmp_path).everything()
            assert "SECRET" not in str(caught.value)
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize("place", ["all.csv", "{ticker}", "{", "{symbol.x}", "{symbol!r}", "{}"])
def test_an_address_contains_the_symbol(place: str) -> None:
    """An address without {symbol} or with unknown placeholders is rejected."""
    with pytest.raises(ValidationError, match="symbol"):
        HttpCsvParameters(url=f"http://host/{place}")


@pytest.mark.parametrize(
    "url",
    [
        "host/{symbol}",
        "//host/{symbol}",
        "ftp://host/{symbol}",
        "http:///{symbol}",
        "http://h:x/{symbol}",
    ],
)
def test_an_address_names_a_server(url: str) -> None:
    """An address without a valid server is rejected before any request."""
    with pytest.raises(ValidationError, match="must begin with http:// or https://"):
        HttpCsvParameters(url=url)


def test_a_symbol_is_never_part_of_the_server() -> None:
    """The server's name cannot contain {symbol}, because keys go to one server."""
    with pytest.raises(ValidationError, match="part of the server's name"):
        HttpCsvParameters(url="http://{symbol}.example.org/")
