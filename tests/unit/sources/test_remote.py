"""Archives at fsspec addresses: an S3 server on this machine, HTTP, and memory."""

import errno
import io
import logging
import re
import threading
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Never

import aiohttp
import boto3
import fsspec
import pytest
from kedro.io import DatasetError

from stock_volume.bars.archive import open_archive
from stock_volume.datasets import SourceDataset
from stock_volume.errors import SourceError
from stock_volume.sources import remote
from stock_volume.sources.remote import mirror
from stock_volume.sources.retry import RetryParameters
from tests.unit.s3 import s3_server
from tests.unit.servers import Answer, answering

BARS = b"Date,Open,High,Low,Close,Adj Close,Volume\n2021-01-04,1,2,1,2,2,100\n"
QUICK = RetryParameters(attempts=3, wait_seconds=0.001)


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A client of a local S3 server with a bucket, and the options to connect to it."""
    with s3_server("bars") as server:
        client = boto3.client(
            "s3",
            endpoint_url=server.url,
            aws_access_key_id="key",
            aws_secret_access_key="secret",  # noqa: S106 (any will do)
            region_name="us-east-1",
        )
        yield client, server.fsspec


def zipped(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for symbol, bars in files.items():
            archive.writestr(f"stocks/{symbol}.csv", bars)
    return content.getvalue()


def archive_dataset(address: str, landing: Path, credentials: dict[str, Any] | None = None) -> Any:
    """Make the catalog's dataset of an archive at an address."""
    source = {"type": "stock_volume.sources.archive.ArchiveSource", "location": address}
    return SourceDataset({**source, "landing": str(landing)}, credentials)


def test_s3_zip(s3: Any, tmp_path: Path) -> None:
    """A zip in a bucket is read through the catalog, and fetched again when it changes."""
    client, options = s3
    client.put_object(Bucket="bars", Key="archive.zip", Body=zipped(A=BARS))
    dataset = archive_dataset("s3://bars/archive.zip", tmp_path, options)
    assert [file.symbol for file in dataset.load().files] == ["A"]
    copy = dataset.path
    written = copy.stat().st_mtime_ns
    dataset.load()
    assert copy.stat().st_mtime_ns == written
    client.put_object(Bucket="bars", Key="archive.zip", Body=zipped(A=BARS, B=BARS))
    assert [file.symbol for file in dataset.load().files] == ["A", "B"]
    assert dataset.path == copy


def test_s3_folder(s3: Any, tmp_path: Path) -> None:
    """For a folder in a bucket, only changed files are fetched, and deleted ones are removed."""
    client, options = s3
    for key in ("stocks/A.csv", "stocks/B.csv", "etfs/SPY.csv", "readme.txt"):
        client.put_object(Bucket="bars", Key=f"kaggle/{key}", Body=BARS)
    folder = mirror("s3://bars/kaggle/", options, tmp_path)
    archive = open_archive(folder)
    assert [file.name for file in archive.files] == ["stocks/A.csv", "stocks/B.csv", "etfs/SPY.csv"]
    assert archive.read("etfs/SPY.csv") == BARS
    assert not (folder / "readme.txt").exists()
    before = {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.csv")}
    client.put_object(Bucket="bars", Key="kaggle/stocks/A.csv", Body=BARS.replace(b"100", b"200"))
    client.delete_object(Bucket="bars", Key="kaggle/stocks/B.csv")
    assert mirror("s3://bars/kaggle", options, tmp_path) != folder  # another address
    assert mirror("s3://bars/kaggle/", options, tmp_path) == folder
    after = {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.csv")}
    assert after.keys() == {"A.csv", "SPY.csv"}
    assert after["SPY.csv"] == before["SPY.csv"]
    assert b"200" in (folder / "stocks" / "A.csv").read_bytes()


def test_nothing_at_the_address(s3: Any, tmp_path: Path) -> None:
    """The error names a missing key or a folder without bars."""
    _, options = s3
    with pytest.raises(SourceError, match=r"s3://bars/nothing\.zip: nothing there"):
        mirror("s3://bars/nothing.zip", options, tmp_path, QUICK)


def test_unknown_protocol(tmp_path: Path) -> None:
    """The error says that no file system supports the protocol."""
    with pytest.raises(SourceError, match=r"carrier-pigeon://loft/a\.zip: .*[Pp]rotocol"):
        mirror("carrier-pigeon://loft/a.zip", {}, tmp_path, QUICK)


def test_a_missing_package_names_the_extra(tmp_path: Path) -> None:
    """If fsspec lacks a package, the error says what to install."""
    with pytest.raises(SourceError, match=r"pip install 'stock_volume\[s3\]' \(or gcs, remote\)"):
        mirror("gs://bucket/archive.zip", {}, tmp_path, QUICK)


def test_http_zip_survives_failures(tmp_path: Path) -> None:
    """A zip over HTTP is complete, even if the server first fails and then truncates it."""
    content = zipped(A=BARS)
    gets = 0

    def answer(_path: str, _headers: dict[str, str], _before: int) -> Answer:
        nonlocal gets
        if server.asked[-1][0] == "HEAD":
            return Answer(content, headers={"ETag": '"1"'})
        gets += 1
        if gets == 1:
            return Answer(status=500)
        return Answer(content, headers={"ETag": '"1"'}, cut=50 if gets == 2 else None)

    with answering(answer) as server:
        url = f"{server.url}/archive.zip"
        copy = mirror(url, {}, tmp_path, QUICK)
        assert copy.read_bytes() == content
        asked = gets
        assert mirror(url, {}, tmp_path, QUICK) == copy
        assert asked == gets == 3


def test_http_without_versions_is_fetched_each_time(tmp_path: Path) -> None:
    """A file without any version is fetched again each time."""
    content = [zipped(A=BARS), zipped(B=BARS)]
    gets: list[str] = []

    def answer(_path: str, _headers: dict[str, str], _before: int) -> Answer:
        if server.asked[-1][0] == "GET":
            gets.append("")
        return Answer(content[1 if len(gets) > 1 else 0])

    with answering(answer) as server:
        first = open_archive(mirror(f"{server.url}/a.zip", {}, tmp_path, QUICK)).files
        second = open_archive(mirror(f"{server.url}/a.zip", {}, tmp_path, QUICK)).files
    assert [file.symbol for file in (*first, *second)] == ["A", "B"]


@pytest.mark.parametrize(
    ("status", "words"), [(404, "nothing there"), (403, "access refused .403."), (503, "HTTP 503")]
)
def test_http_refusals(tmp_path: Path, status: int, words: str) -> None:
    """A refusal names the address; only temporary failures are retried."""
    with (
        answering(lambda *_: Answer(status=status)) as server,
        pytest.raises(SourceError, match=words),
    ):
        mirror(f"{server.url}/a.zip", {}, tmp_path, QUICK)
    assert list(tmp_path.rglob("*.zip")) == []


def test_a_failed_fetch_keeps_the_copy(tmp_path: Path) -> None:
    """A failed fetch leaves the previous copy intact."""
    memory = fsspec.filesystem("memory")
    memory.pipe("/kept/stocks/A.csv", BARS)
    folder = mirror("memory://kept", {}, tmp_path, QUICK)
    memory.rm("/kept", recursive=True)
    with pytest.raises(SourceError, match="memory://kept: nothing there"):
        mirror("memory://kept", {}, tmp_path, QUICK)
    assert (folder / "stocks" / "A.csv").read_bytes() == BARS
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".partial")]


SIGNED = "?X-Amz-Credential=AKIA%2F2021%2Fs3&X-Amz-Signature=SECRET" + 300 * "a"
"""As long as the names of files may not be."""


def test_a_signed_address_names_its_copy_by_its_path(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A signed address is requested unchanged, and its signature is never written."""
    caplog.set_level(logging.DEBUG)

    def answer(_path: str, _headers: dict[str, str], _before: int) -> Answer:
        if server.asked[-1][0] == "HEAD":
            return Answer(status=403)  # a signature is for one method
        return Answer(zipped(A=BARS), headers={"ETag": '"1"'})

    with answering(answer) as server:
        dataset = archive_dataset(f"{server.url}/archive.zip{SIGNED}", tmp_path)
        assert [file.symbol for file in dataset.load().files] == ["A"]
        asked = len(server.asked)
        again = mirror(f"{server.url}/archive.zip{SIGNED}b", {}, tmp_path, QUICK)
        assert len(server.asked) == asked + 2  # a new signature of the same file
    assert again == dataset.path
    assert again.name == "archive.zip"
    assert {path for _, path in server.asked} == {f"/archive.zip{SIGNED}{end}" for end in ("", "b")}
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path != again]
    assert "SECRET" not in "".join([*map(str, kept), *(path.read_text() for path in kept)])
    assert "SECRET" not in caplog.text
    assert "SECRET" not in str(dataset)


@pytest.mark.parametrize("status", [403, 404, 503])
def test_no_error_shows_a_signature(
    tmp_path: Path,
    status: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Errors of fsspec and aiohttp are reported without query and password."""
    caplog.set_level(logging.DEBUG)
    with answering(lambda *_: Answer(status=status)) as server:
        url = f"{server.url.replace('//', '//me:SECRET@')}/archive.zip{SIGNED}"
        dataset = archive_dataset(url, tmp_path)
        monkeypatch.setattr(remote, "RetryParameters", lambda: QUICK)
        with pytest.raises(DatasetError) as caught:
            dataset.load()
    text = "".join(traceback.format_exception(caught.value))
    assert f"{server.url}/archive.zip?…" in text
    assert "SECRET" not in text
    assert "SECRET" not in caplog.text


def test_a_long_download_has_no_limit_in_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download that keeps arriving has no total time limit."""
    short = aiohttp.ClientTimeout(total=0.3)  # in place of aiohttp's five minutes
    monkeypatch.setattr("aiohttp.client.DEFAULT_TIMEOUT", short)
    content = zipped(A=BARS)
    slow = threading.Event()
    pause = 0.6 / len(content)
    answer = Answer(content, headers={"ETag": '"1"'}, pause=lambda: slow.wait(pause))
    with answering(lambda *_: answer) as server:
        start = time.monotonic()
        copy = mirror(f"{server.url}/a.zip", {}, tmp_path, RetryParameters(attempts=1))
    assert copy.read_bytes() == content
    assert time.monotonic() - start > 0.6


def test_a_silent_server_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent server times out, and the request is retried."""
    monkeypatch.setattr(remote, "_TIMEOUT_SECONDS", 0.1)
    end = threading.Event()
    content = zipped(A=BARS)
    gets: list[None] = []

    def answer(_path: str, _headers: dict[str, str], _before: int) -> Answer:
        if server.asked[-1][0] == "GET":
            gets.append(None)
        return Answer(
            content,
            headers={"ETag": '"1"'},
            pause=(lambda: end.wait(5)) if len(gets) == 1 else None,
        )

    with answering(answer) as server:
        copy = mirror(f"{server.url}/a.zip", {}, tmp_path, QUICK)
        end.set()
    assert copy.read_bytes() == content
    assert len(gets) == 2


def test_only_the_failed_file_is_retried(tmp_path: Path) -> None:
    """A failed file is retried alone, and leaves no partial copy."""
    symbols = [f"S{number:02}" for number in range(40)]
    page = "".join(f'<a href="{symbol}.csv">{symbol}</a>' for symbol in symbols)
    folders = {"/bars/": '<a href="stocks/">stocks</a>', "/bars/stocks/": page}

    def answer(path: str, _headers: dict[str, str], before: int) -> Answer:
        if path in folders:
            return Answer(folders[path].encode(), headers={"Content-Type": "text/html"})
        if f"{path}/" in folders:
            return Answer(status=301, headers={"Location": f"{path}/"})
        return Answer(BARS, status=503 if path.endswith("S20.csv") and before < 2 else 200)

    with answering(answer) as server:
        folder = mirror(f"{server.url}/bars/", {}, tmp_path, QUICK)
    assert len(open_archive(folder).files) == 40
    times = {symbol: server.times(f"/bars/stocks/{symbol}.csv") for symbol in symbols}
    assert times == {**dict.fromkeys(symbols, 1), "S20": 3}
    assert not list(tmp_path.rglob("*.partial"))


def test_a_failed_run_resumes(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run does not fetch again what arrived before a failure."""
    client, options = s3
    symbols = [f"S{number:02}" for number in range(40)]
    for symbol in symbols:
        client.put_object(Bucket="bars", Key=f"broken/stocks/{symbol}.csv", Body=BARS)
    fetch = remote._fetch  # noqa: SLF001
    broken = ["S20.csv"]
    asked: list[str] = []

    def fetch_or_fail(file_system: Any, path: str, copy: Path, retry: RetryParameters) -> None:
        asked.append(copy.name)
        if copy.name in broken:
            raise ConnectionResetError("gone")
        fetch(file_system, path, copy, retry)

    monkeypatch.setattr(remote, "_fetch", fetch_or_fail)
    with pytest.raises(SourceError, match="gone"):
        mirror("s3://bars/broken/", options, tmp_path, QUICK)
    broken.clear()
    asked.clear()
    assert len(open_archive(mirror("s3://bars/broken/", options, tmp_path, QUICK)).files) == 40
    # Requests in flight when one failed may be repeated; the first symbols were complete.
    assert {f"{symbol}.csv" for symbol in symbols[:20]}.isdisjoint(asked)


def test_other_files_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Files that are not bars are not fetched, and a warning names the first."""
    memory = fsspec.filesystem("memory")
    memory.pipe({f"/odd/{name}": BARS for name in ("stocks/A.csv", "stocks/.B.csv", "x.txt")})
    mirror("memory://odd", {}, tmp_path, QUICK)
    assert "2 files are not fetched" in caplog.text
    assert "first /odd/stocks/.B.csv" in caplog.text


def test_a_full_disk_is_not_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is an error at once that names the folder, and leaves no partial file."""
    tries: list[None] = []

    def full(*_: object, **__: object) -> Never:
        tries.append(None)
        raise OSError(errno.ENOSPC, "No space left on device")

    memory = fsspec.filesystem("memory")
    memory.pipe("/full/stocks/A.csv", BARS)
    monkeypatch.setattr(type(memory), "get_file", full)
    with pytest.raises(SourceError, match=rf"cannot be stored in {tmp_path}: .*No space left"):
        mirror("memory://full", {}, tmp_path, QUICK)
    assert len(tries) == 1
    assert not list(tmp_path.rglob("*.partial"))


def test_a_name_too_long_is_not_retried(tmp_path: Path) -> None:
    """A file name that this machine cannot write is an error at once."""
    memory = fsspec.filesystem("memory")
    memory.pipe(f"/long/stocks/{'A' * 300}.csv", BARS)
    with pytest.raises(SourceError, match=r"cannot be stored in .*[Nn]ame too long"):
        mirror("memory://long", {}, tmp_path, RetryParameters(attempts=9, wait_seconds=9))


def test_keys_stay_with_their_server(tmp_path: Path) -> None:
    """After a redirect, another server does not receive our headers."""
    with answering(lambda *_: Answer(zipped(A=BARS))) as other:
        away = Answer(status=302, headers={"Location": f"{other.url}/x.zip"})
        with answering(lambda *_: away) as server:
            options = {"headers": {"X-Key": "SECRET", "Authorization": "Bearer SECRET"}}
            mirror(f"{server.url}/a.zip", options, tmp_path, QUICK)
    assert server.headers[0]["x-key"] == "SECRET"
    assert other.headers
    assert "SECRET" not in str(other.headers)


def test_a_zip_shows_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The progress of one file counts its bytes, and restarts with a retry."""
    content = zipped(A=BARS)
    received: list[float] = []

    @contextmanager
    def transfer(_: str, size: float | None) -> Iterator[Callable[[float], None]]:
        assert size == len(content)
        yield received.append

    def answer(_path: str, _headers: dict[str, str], _before: int) -> Answer:
        first = server.asked[-1][0] == "GET" and not received
        return Answer(content, headers={"ETag": '"1"'}, cut=100 if first else None)

    monkeypatch.setattr(remote, "transfer", transfer)
    with answering(answer) as server:
        mirror(f"{server.url}/a.zip", {}, tmp_path, QUICK)
    assert received[-1] == max(received) == len(content)


NOTES = [
    b"<html><body>Please sign in</body></html>",
    b'{"message": "slow down"}',
]


@pytest.mark.parametrize("note", [*NOTES, b"slow down", b"", zipped(A=BARS)[:-30]])
def test_a_note_in_place_of_a_zip_leaves_the_copy(tmp_path: Path, note: bytes) -> None:
    """A note in place of a zip is retried, then quoted; the previous copy stays."""
    content = zipped(A=BARS)
    sent = [content, note]
    with answering(lambda *_: Answer(sent[0])) as server:
        copy = mirror(f"{server.url}/a.zip", {}, tmp_path, QUICK)
        del sent[0]
        with pytest.raises(SourceError, match="HTTP 200, but not a zip archive: ") as caught:
            mirror(f"{server.url}/a.zip", {}, tmp_path, QUICK)
        before = len(server.asked)
        sent.insert(0, content)
        assert mirror(f"{server.url}/a.zip", {}, tmp_path, QUICK) == copy
    assert copy.read_bytes() == content
    assert before > QUICK.attempts
    assert str(caught.value).isprintable()
    assert not list(tmp_path.rglob("*.partial"))


def answer_as_folder(
    pages: dict[str, str], file: Callable[[str, int], Answer]
) -> Callable[[str, dict[str, str], int], Answer]:
    """Answer like a server of a folder: pages of links, and files."""

    def answer(path: str, _headers: dict[str, str], before: int) -> Answer:
        if path in pages:
            return Answer(pages[path].encode(), headers={"Content-Type": "text/html"})
        if f"{path}/" in pages:
            return Answer(status=301, headers={"Location": f"{path}/"})
        return file(path, before)

    return answer


@pytest.mark.parametrize("note", NOTES)
def test_a_note_in_place_of_a_file_is_retried(tmp_path: Path, note: bytes) -> None:
    """A note in place of a file of a folder is retried, then ends the run."""
    links = "".join(f'<a href="{symbol}.csv">{symbol}</a>' for symbol in "AB")
    pages = {"/bars/": '<a href="stocks/">stocks</a>', "/bars/stocks/": links}
    patience = [1, 99]

    def file(path: str, before: int) -> Answer:
        return Answer(note if path.endswith("B.csv") and before < patience[0] else BARS)

    with answering(answer_as_folder(pages, file)) as server:
        folder = mirror(f"{server.url}/bars/", {}, tmp_path, QUICK)
        assert (folder / "stocks" / "B.csv").read_bytes() == BARS
        del patience[0]
        with pytest.raises(
            SourceError, match=r"B\.csv: HTTP 200, but not a CSV file: .*(sign|slow)"
        ):
            mirror(f"{server.url}/bars/", {}, tmp_path, QUICK)
    assert (folder / "stocks" / "B.csv").read_bytes() == BARS


def test_a_note_in_place_of_a_page_of_links_removes_no_copy(tmp_path: Path) -> None:
    """A page without links does not count as an empty folder, so its copies stay."""
    pages = {
        "/bars/": '<a href="stocks/">stocks</a><a href="etfs/">etfs</a>',
        "/bars/stocks/": '<a href="A.csv">A</a>',
        "/bars/etfs/": '<a href="SPY.csv">SPY</a>',
    }
    with answering(answer_as_folder(pages, lambda *_: Answer(BARS))) as server:
        folder = mirror(f"{server.url}/bars/", {}, tmp_path, QUICK)
        assert len(open_archive(folder).files) == 2
        pages["/bars/stocks/"] = '{"message": "slow down"}'
        with pytest.raises(SourceError, match=r"/bars/stocks/ is linked to, and its page lists no"):
            mirror(f"{server.url}/bars/", {}, tmp_path, QUICK)
    assert len(open_archive(folder).files) == 2


def test_no_note_shows_a_key(tmp_path: Path) -> None:
    """A quoted answer never shows a key that the server echoes."""
    note = b'{"message": "key SECRET123 or OTHER456 has no more requests"}'
    options = {
        "headers": {"Authorization": "Bearer SECRET123"},
        "client_kwargs": {"headers": {"X-Key": "SECRET123"}},
    }
    with (
        answering(lambda *_: Answer(note)) as server,
        pytest.raises(SourceError, match="has no more requests") as caught,
    ):
        mirror(f"{server.url}/a.zip?key=OTHER456", options, tmp_path, QUICK)
    assert not re.search("SECRET|OTHER", str(caught.value))
