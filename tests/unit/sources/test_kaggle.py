"""The Kaggle archive, from a server on this machine in Kaggle's place."""

import base64
import errno
import hashlib
import io
import logging
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Never

import pytest
from kagglesdk import kaggle_env
from requests.adapters import HTTPAdapter

from stock_volume.errors import SourceError
from stock_volume.sources.kaggle import KaggleSource, download
from stock_volume.sources.retry import RetryParameters
from tests.unit.servers import Answer, Server, answering

# kagglehub leaves connections to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

BARS = b"Date,Open,High,Low,Close,Adj Close,Volume\n2021-01-04,1,2,1,2,2,100\n"
HANDLE = "owner/bars/versions/2"
QUICK = RetryParameters(attempts=3, wait_seconds=0.001)


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped:
        zipped.writestr("stocks/A.csv", BARS)
        zipped.writestr("stocks/B.csv", bytes(3 * 2**20))  # kagglehub writes 1 MiB at once
    return content.getvalue()


CONTENT = archive()
CHECKED = {
    "Content-Type": "application/zip",
    "Accept-Ranges": "bytes",
    "x-goog-hash": "md5=" + base64.b64encode(hashlib.md5(CONTENT).digest()).decode(),  # noqa: S324
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of its own, and no credentials."""
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN", "KAGGLE_API_V1_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@contextmanager
def kaggle(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[str, dict[str, str], int], Answer]
) -> Iterator[Server]:
    with answering(answer) as server:
        # kagglehub has no variable for another server.
        endpoints = kaggle_env._env_to_endpoint  # noqa: SLF001
        monkeypatch.setitem(endpoints, kaggle_env.KaggleEnv.PROD, server.url)
        yield server


def downloads(server: Server) -> int:
    return sum(method != "HEAD" for method, _ in server.asked)


def test_the_archive_is_downloaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source downloads a version once, then finds it without a request."""
    source = KaggleSource(HANDLE)
    with kaggle(monkeypatch, lambda *_: Answer(CONTENT, headers=CHECKED)) as server:
        first = source.open()
        asked = len(server.asked)
        source.open()
        assert len(server.asked) == asked
    assert source.open().path == first.path  # the server is gone
    assert first.read("stocks/A.csv") == BARS
    assert first.path.name == "2"


def test_a_broken_download_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A retry requests only the bytes that are missing."""
    ranges: list[str] = []

    def answer(_path: str, headers: dict[str, str], _before: int) -> Answer:
        if server.asked[-1][0] == "HEAD":
            return Answer()
        if "range" in headers:
            ranges.append(headers["range"])
            start = int(headers["range"].removeprefix("bytes=").removesuffix("-"))
            return Answer(CONTENT[start:], 206, CHECKED)
        return Answer(CONTENT, headers=CHECKED, cut=2_500_000 if downloads(server) == 1 else None)

    with kaggle(monkeypatch, answer) as server:
        folder = download(HANDLE, 5, QUICK)
    assert (folder / "stocks" / "A.csv").read_bytes() == BARS
    assert ranges == ["bytes=2097152-"]


def test_a_damaged_download_is_not_used(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """A download with a wrong checksum is retried, then reported."""
    damaged = CONTENT[:500] + b"!" + CONTENT[501:]
    with (
        kaggle(monkeypatch, lambda *_: Answer(damaged, headers=CHECKED)) as server,
        pytest.raises(SourceError, match="the download is corrupt"),
    ):
        download(HANDLE, 5, QUICK)
    assert downloads(server) == 3
    assert not list(cache.rglob("*.csv"))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "KAGGLE_API_TOKEN"),
        (403, "accept the dataset's terms"),
        (404, "no such dataset or version"),
        (400, "answers 400"),
    ],
)
def test_a_refusal_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, status: int, words: str
) -> None:
    """A refusal is not retried, and its error says what to do."""
    with (
        kaggle(monkeypatch, lambda *_: Answer(status=status)) as server,
        pytest.raises(SourceError, match=words),
    ):
        download(HANDLE, 5, QUICK)
    assert downloads(server) == 1


def test_a_busy_server_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statuses 429 and 5xx are retried."""
    statuses = iter([429, 503])

    def answer(_path: str, _headers: dict[str, str], _before: int) -> Answer:
        if server.asked[-1][0] == "HEAD":
            return Answer()
        status = next(statuses, 200)
        return Answer(CONTENT, headers=CHECKED) if status == 200 else Answer(status=status)

    with kaggle(monkeypatch, answer) as server:
        assert (download(HANDLE, 5, QUICK) / "stocks" / "A.csv").is_file()


def test_without_network_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """If Kaggle cannot be reached, the error says how else to get the archive."""
    with kaggle(monkeypatch, lambda *_: Answer()):
        pass  # the port is closed from here on
    with pytest.raises(SourceError, match=r"cannot be reached.*--params source=archive\.zip"):
        download(HANDLE, 5, QUICK)


def test_every_request_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request for the archive without an answer times out."""
    end = threading.Event()

    def answer(_path: str, _headers: dict[str, str], _before: int) -> Answer:
        if server.asked[-1][0] != "HEAD":
            end.wait(5)
        return Answer()

    send = HTTPAdapter.send
    with kaggle(monkeypatch, answer) as server:
        with pytest.raises(SourceError, match=r"cannot be reached.*timed out"):
            download(HANDLE, 0.1, RetryParameters(attempts=2, wait_seconds=0.001))
        end.set()
    assert downloads(server) == 2
    assert HTTPAdapter.send is send


def test_a_download_that_stops_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A download that stalls times out."""
    end = threading.Event()

    def answer(_path: str, _headers: dict[str, str], _before: int) -> Answer:
        return Answer(CONTENT, headers=CHECKED, pause=lambda: end.wait(5))

    with kaggle(monkeypatch, answer):
        with pytest.raises(SourceError, match=r"cannot be reached.*timed out"):
            download(HANDLE, 0.1, RetryParameters(attempts=1))
        end.set()


@pytest.mark.parametrize("content", ["{oops", "{}", "[]", "null"])
def test_damaged_credentials_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    """The error about an unreadable kaggle.json says what to do."""
    (tmp_path / "kaggle.json").write_text(content, encoding="utf-8")
    with (
        kaggle(monkeypatch, lambda *_: Answer(CONTENT, headers=CHECKED)),
        pytest.raises(SourceError, match=rf"{HANDLE}: .*(kaggle\.json|source=archive\.zip)"),
    ):
        download(HANDLE, 5, QUICK)


@pytest.mark.parametrize("content", [b"<html>Sign in</html>", CONTENT[:500] + b"!" + CONTENT[501:]])
def test_an_archive_that_cannot_be_unpacked_is_fetched_again(
    monkeypatch: pytest.MonkeyPatch, cache: Path, content: bytes
) -> None:
    """A complete download that is not a valid zip is an error and is removed."""
    unchecked = {"Content-Type": "application/zip", "Accept-Ranges": "bytes"}
    with (
        kaggle(monkeypatch, lambda *_: Answer(content, headers=unchecked)),
        pytest.raises(SourceError, match=r"cannot be unpacked .*run again"),
    ):
        download(HANDLE, 5, QUICK)
    assert not list(cache.rglob("*.archive"))
    with kaggle(monkeypatch, lambda *_: Answer(CONTENT, headers=CHECKED)):
        assert (download(HANDLE, 5, QUICK) / "stocks" / "A.csv").read_bytes() == BARS


def test_a_full_disk_is_reported(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """If the disk is full, the error names the folder and how to choose another."""

    def full(*_: object, **__: object) -> Never:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("kagglehub.http_resolver.download_file", full)
    with (
        kaggle(monkeypatch, lambda *_: Answer(CONTENT, headers=CHECKED)) as server,
        pytest.raises(SourceError, match=rf"No space left.*{cache}.*KAGGLEHUB_CACHE"),
    ):
        download(HANDLE, 5, QUICK)
    assert downloads(server) == 1


def test_a_page_in_place_of_the_archive_is_retried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A page in place of the archive is retried, then quoted in the error."""
    unchecked = {"Content-Type": "application/zip", "Accept-Ranges": "bytes"}
    page = Answer(b"<html><p>Back\nsoon</p></html>", headers=unchecked)
    with kaggle(monkeypatch, lambda *_: page) as server:
        with pytest.raises(SourceError, match=r"cannot be unpacked \(.*it says: Back soon\)"):
            download(HANDLE, 5, QUICK)
        asked = downloads(server)
    assert asked == QUICK.attempts
    pages = iter([page])
    with kaggle(monkeypatch, lambda *_: next(pages, Answer(CONTENT, headers=CHECKED))) as server:
        assert (download(HANDLE, 5, QUICK) / "stocks" / "A.csv").read_bytes() == BARS
        assert downloads(server) == 1 + 1


@pytest.mark.parametrize("handle", ["owner/bars", "bars", "owner/bars/versions/latest"])
def test_a_version_is_needed(handle: str) -> None:
    """A handle without a version is rejected, because it would not be found offline."""
    with pytest.raises(SourceError, match="name the version"):
        download(handle, 5)


def test_progress_is_not_logged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No progress bar is written unless the output is a terminal."""
    logging.getLogger("kagglehub").setLevel(logging.ERROR)
    with kaggle(monkeypatch, lambda *_: Answer(CONTENT, headers=CHECKED)):
        download(HANDLE, 5, QUICK)
    assert "%|" not in capsys.readouterr().err
