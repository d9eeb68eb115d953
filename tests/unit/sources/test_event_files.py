"""Files of events as a source."""

import zipfile
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest

from stock_volume.datasets.source import SourceDataset
from stock_volume.errors import SourceError
from stock_volume.events.source import EventFiles
from stock_volume.sources import remote
from stock_volume.sources.event_files import EventFileSource
from stock_volume.sources.retry import RetryParameters
from tests.unit.servers import Answer, Server, answering

NO_SYMBOLS = pl.DataFrame({"Symbol": []}, schema={"Symbol": pl.String})


def dataset(files: str | list[str] | None, landing: Path) -> SourceDataset:
    kind = "stock_volume.sources.event_files.EventFileSource"
    return SourceDataset({"type": kind, "files": files, "landing": landing.as_posix()})


def read(source: SourceDataset) -> EventFiles:
    files: EventFiles = source.load().read(NO_SYMBOLS)
    return files


def test_without_files_there_are_no_events(tmp_path: Path) -> None:
    """The default source has no file, no path and nothing to digest."""
    source = dataset(None, tmp_path)
    assert source.exists()
    assert read(source).files == []
    assert source.path is None
    assert list(tmp_path.iterdir()) == []


def test_one_file_is_read_in_place(tmp_path: Path) -> None:
    """The path of the source is that of its file, so that the manifest records its digest."""
    path = tmp_path / "events.csv"
    path.write_bytes(b"Symbol,Date\n")
    source = dataset(str(path), tmp_path / "landing")
    assert [(file.name, file.content) for file in read(source).files] == [
        ("events.csv", b"Symbol,Date\n")
    ]
    assert source.path == path


def test_several_files_are_landed(tmp_path: Path) -> None:
    """Several files are kept in one zip, in order, even if they have the same name."""
    paths = [tmp_path / folder / "events.csv" for folder in ("a", "b")]
    for place, path in enumerate(paths):
        path.parent.mkdir()
        path.write_bytes(b"%d" % place)
    source = dataset([str(path) for path in paths], tmp_path / "landing")
    assert [file.content for file in read(source).files] == [b"0", b"1"]
    assert source.path is not None
    assert zipfile.ZipFile(source.path).namelist() == ["1/events.csv", "2/events.csv"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is an error that names it."""
    source = EventFileSource(str(tmp_path / "none.csv"), tmp_path)
    assert not source.exists()
    with pytest.raises(SourceError, match=r"none\.csv: No such file.*file of events"):
        source.read(NO_SYMBOLS)


# Files at addresses.


def at(server: Server, name: str = "events.csv") -> str:
    return f"{server.url}/{name}"


def test_a_file_at_an_address_is_read_and_kept(tmp_path: Path) -> None:
    """The copy of a remote file is in the landing folder, fetched again when it has changed."""
    answers = [Answer(b"Symbol,Date\nA,2020-01-03\n"), Answer(b"Symbol,Date\n")]
    with answering(lambda *_: answers[0]) as server:
        source = dataset(at(server, "events.csv?key=SECRET"), tmp_path)
        assert source.exists()
        (file,) = read(source).files
        assert (file.name, file.content) == ("events.csv", answers[0].body)
        assert source.path is not None
        assert source.path.read_bytes() == answers[0].body
        assert source.path.is_relative_to(tmp_path)
        del answers[0]
        assert read(source).files[0].content == answers[0].body


def test_files_at_addresses_and_paths_mix(tmp_path: Path) -> None:
    """A list may hold both, and the zip has all of them in order."""
    local = tmp_path / "local.csv"
    local.write_bytes(b"Symbol,Date\n")
    content = BytesIO()
    pl.DataFrame({"Symbol": ["A"], "Date": ["2020-01-03"]}).write_parquet(content)
    with answering(lambda *_: Answer(content.getvalue())) as server:
        files = read(dataset([str(local), at(server, "e.parquet")], tmp_path / "landing")).files
    assert [(file.name, file.content) for file in files] == [
        ("local.csv", b"Symbol,Date\n"),
        ("e.parquet", content.getvalue()),
    ]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(status=404), "nothing there"),
        (Answer(status=403), "access refused"),
        (Answer(b"<html>Sign in</html>"), "not a CSV file: Sign in"),
    ],
)
def test_what_an_address_lacks_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer, reason: str
) -> None:
    """The error names the address without its secrets, and what is wrong."""
    monkeypatch.setattr(remote, "RetryParameters", lambda: RetryParameters(attempts=1))
    with answering(lambda *_: answer) as server:
        source = EventFileSource(at(server, "events.csv?key=SECRET"), tmp_path)
        with pytest.raises(SourceError, match=rf"events\.csv\?…: .*{reason}") as caught:
            source.read(NO_SYMBOLS)
    assert "SECRET" not in str(caught.value)


def test_a_folder_at_an_address_is_refused(tmp_path: Path) -> None:
    """An address of a folder is an error, even if bars are in it."""
    folder = tmp_path / "stocks"
    folder.mkdir()
    (folder / "A.csv").write_bytes(b"Date,Volume\n")
    source = EventFileSource(f"file://{tmp_path}", tmp_path / "landing")
    with pytest.raises(SourceError, match="is a folder, expected a file"):
        source.read(NO_SYMBOLS)


def test_credentials_reach_one_server_only(tmp_path: Path) -> None:
    """Headers go to the server of the addresses; several servers may not share them."""
    credentials = {"headers": {"X-Key": "s3cret"}}
    with answering(lambda *_: Answer(b"Symbol,Date\n")) as server:
        EventFileSource(at(server), tmp_path, credentials=credentials).read(NO_SYMBOLS)
    assert {headers["x-key"] for headers in server.headers} == {"s3cret"}
    addresses = ["https://a.example.org/e.csv", "https://b.example.org/e.csv"]
    with pytest.raises(ValueError, match="several servers"):
        EventFileSource(addresses, tmp_path, credentials=credentials)
