"""Archives at fsspec addresses: an S3 server on this machine, HTTP, and memory."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import fsspec
import pytest
from moto.server import ThreadedMotoServer

from stock_volume.bars.archive import open_archive
from stock_volume.datasets import ArchiveDataset
from stock_volume.errors import SourceError
from stock_volume.sources.remote import is_remote, mirror
from stock_volume.sources.retry import RetryParameters
from tests.unit.servers import Answer, answering

BARS = b"Date,Open,High,Low,Close,Adj Close,Volume\n2021-01-04,1,2,1,2,2,100\n"
QUICK = RetryParameters(attempts=3, wait_seconds=0.001)


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """An S3 server with a bucket, and the options to reach it by."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id="key",
        aws_secret_access_key="secret",  # noqa: S106 (any will do)
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="bars")
    options = {"key": "key", "secret": "secret", "endpoint_url": endpoint}
    try:
        yield client, options
    finally:
        server.stop()


def zipped(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for symbol, bars in files.items():
            archive.writestr(f"stocks/{symbol}.csv", bars)
    return content.getvalue()


@pytest.mark.parametrize(
    ("source", "remote"),
    [("s3://b/a.zip", True), ("https://h/a.zip", True), ("data/a.zip", False), ("sample", False)],
)
def test_an_address_names_a_protocol(source: str, remote: bool) -> None:  # noqa: FBT001
    """Paths are told from addresses."""
    assert is_remote(source) is remote


def test_s3_zip(s3: Any, tmp_path: Path) -> None:
    """A zip in a bucket is read through the catalog's dataset, and fetched anew when it changes."""
    client, options = s3
    client.put_object(Bucket="bars", Key="archive.zip", Body=zipped(A=BARS))
    dataset = ArchiveDataset("s3://bars/archive.zip", str(tmp_path), credentials=options)
    assert [file.symbol for file in dataset.load().files] == ["A"]
    copy = dataset.path
    written = copy.stat().st_mtime_ns
    dataset.load()
    assert copy.stat().st_mtime_ns == written
    client.put_object(Bucket="bars", Key="archive.zip", Body=zipped(A=BARS, B=BARS))
    assert [file.symbol for file in dataset.load().files] == ["A", "B"]
    assert dataset.path == copy


def test_s3_folder(s3: Any, tmp_path: Path) -> None:
    """Of a folder in a bucket only what changed is fetched, and what is gone goes."""
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
    """A missing key, or a folder without bars, is named."""
    _, options = s3
    with pytest.raises(SourceError, match=r"s3://bars/nothing\.zip: nothing there"):
        mirror("s3://bars/nothing.zip", options, tmp_path, QUICK)


def test_unknown_protocol(tmp_path: Path) -> None:
    """An address that no file system is made for says so."""
    with pytest.raises(SourceError, match=r"carrier-pigeon://loft/a\.zip: .*[Pp]rotocol"):
        mirror("carrier-pigeon://loft/a.zip", {}, tmp_path, QUICK)


def test_a_missing_package_names_the_extra(tmp_path: Path) -> None:
    """Where fsspec lacks a package, the error says what to install."""
    with pytest.raises(SourceError, match=r"pip install 'stock_volume\[s3\]' \(or gcs, remote\)"):
        mirror("gs://bucket/archive.zip", {}, tmp_path, QUICK)


def test_http_zip_survives_failures(tmp_path: Path) -> None:
    """A zip over HTTP arrives whole, although the server first fails and then cuts it."""
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
    """Where a server tells nothing that would change with a file, it is fetched anew."""
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
    """What a server refuses is told with its address; only what may pass is asked again."""
    with (
        answering(lambda *_: Answer(status=status)) as server,
        pytest.raises(SourceError, match=words),
    ):
        mirror(f"{server.url}/a.zip", {}, tmp_path, QUICK)
    assert list(tmp_path.rglob("*.zip")) == []


def test_a_failed_fetch_keeps_the_copy(tmp_path: Path) -> None:
    """What was fetched stays whole when a later fetch fails."""
    memory = fsspec.filesystem("memory")
    memory.pipe("/kept/stocks/A.csv", BARS)
    folder = mirror("memory://kept", {}, tmp_path, QUICK)
    memory.rm("/kept", recursive=True)
    with pytest.raises(SourceError, match="memory://kept: nothing there"):
        mirror("memory://kept", {}, tmp_path, QUICK)
    assert (folder / "stocks" / "A.csv").read_bytes() == BARS
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".partial")]
