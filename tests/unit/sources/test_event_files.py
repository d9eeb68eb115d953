"""Files of events as a source."""

import zipfile
from pathlib import Path

import polars as pl
import pytest

from stock_volume.datasets.source import SourceDataset
from stock_volume.errors import SourceError
from stock_volume.events.source import EventFiles
from stock_volume.sources.event_files import EventFileSource

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
