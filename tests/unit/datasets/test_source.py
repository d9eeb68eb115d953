"""The raw layer, from any source."""

import os
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog, DatasetError

from stock_volume.bars.archive import FolderArchive, ZipArchive
from stock_volume.datasets import (
    SourceDataset,
)
from stock_volume.json_value import Json
from tests.unit.helpers import bars, csv_of, write_folder, write_zip


def archive_dataset(
    location: str, landing: Path | str = "unused", **arguments: Json
) -> SourceDataset:
    """Make the dataset of an archive."""
    source = {"type": "stock_volume.sources.archive.ArchiveSource", "location": location}
    return SourceDataset({**source, "landing": str(landing), **arguments})


class TestSourceDataset:
    """The raw layer, from any source."""

    def test_the_sample_is_laid_out(self, tmp_path: Path) -> None:
        """The first load writes the embedded sample to the landing folder."""
        dataset = archive_dataset("sample", tmp_path / "01_raw")
        assert dataset.exists()
        assert list(tmp_path.iterdir()) == []
        archive = dataset.load()
        assert isinstance(archive, FolderArchive)
        assert archive.path == tmp_path / "01_raw" / "sample"
        assert len(archive.files) == 5

    def test_a_folder_is_read_in_place(self, tmp_path: Path) -> None:
        """A folder is opened in place, without a copy."""
        folder = write_folder(tmp_path / "mine", {"stocks/A.csv": csv_of(*bars(2))})
        dataset = archive_dataset(folder.as_posix(), tmp_path / "01_raw")
        archive = dataset.load()
        assert isinstance(archive, FolderArchive)
        assert archive.path == folder
        assert [file.symbol for file in archive.files] == ["A"]
        assert list(tmp_path.iterdir()) == [folder]

    def test_a_zip_is_read_in_place(self, tmp_path: Path) -> None:
        """A zip is opened in place and never unpacked."""
        path = write_zip(tmp_path / "archive.zip", {"etfs/B.csv": csv_of(*bars(2))})
        dataset = archive_dataset(path.as_posix(), tmp_path / "01_raw")
        assert dataset.exists()
        archive = dataset.load()
        assert isinstance(archive, ZipArchive)
        assert archive.read("etfs/B.csv") == csv_of(*bars(2)).encode()
        assert list(tmp_path.iterdir()) == [path]

    def test_home_is_expanded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A location may begin with a tilde for the home folder."""
        monkeypatch.setenv("HOME", tmp_path.as_posix())
        write_folder(tmp_path / "mine", {"stocks/A.csv": csv_of()})
        assert archive_dataset("~/mine").load().everything().path == tmp_path / "mine"

    def test_limits_are_passed_on(self, tmp_path: Path) -> None:
        """Limits from the catalog bound the archive."""
        folder = write_folder(tmp_path / "mine", {"stocks/A.csv": bytes(2**20 + 1)})
        within = archive_dataset(folder.as_posix(), limits={"max_total_mib": 2})
        assert within.load().everything().files
        dataset = archive_dataset(folder.as_posix(), limits={"max_total_mib": 1})
        with pytest.raises(DatasetError, match="max_total_mib = 1"):
            dataset.load()

    def test_a_missing_source_is_named(self, tmp_path: Path) -> None:
        """A missing archive does not exist, and the error names its path."""
        dataset = archive_dataset((tmp_path / "gone.zip").as_posix())
        assert not dataset.exists()
        with pytest.raises(DatasetError, match=r"gone\.zip: no such file or folder"):
            dataset.load()

    def test_saving_is_refused(self, tmp_path: Path) -> None:
        """Nothing is ever written to a source."""
        dataset: Any = archive_dataset("sample", tmp_path)
        with pytest.raises(DatasetError, match="read-only"):
            dataset.save("anything")
        assert list(tmp_path.iterdir()) == []

    def test_credentials_reach_the_source(self, tmp_path: Path) -> None:
        """Credentials of the entry are an argument of the source, and stay out of its name."""
        entry = {
            "type": "stock_volume.datasets.SourceDataset",
            "source": {
                "type": "stock_volume.sources.http_csv.HttpCsvSource",
                "server": {"url": "https://example.org/{symbol}?apikey={key}"},
                "symbols": ["A"],
                "landing": str(tmp_path),
            },
            "credentials": "server",
        }
        catalog = DataCatalog.from_config({"raw_bars": entry}, {"server": {"key": "SECRET"}})
        dataset: Any = catalog["raw_bars"]
        assert dataset.load()._parameters.list_secrets() >= {"SECRET"}  # noqa: SLF001
        assert "https://example.org/{symbol}?" in repr(dataset)
        assert "SECRET" not in repr(dataset)

    def test_the_path_of_a_requested_source_is_its_latest_archive(self, tmp_path: Path) -> None:
        """Lineage digests the latest archive of answers, and the folder before the first."""
        source = {"type": "stock_volume.sources.yahoo.YahooSource", "symbols": ["A"]}
        dataset = SourceDataset({**source, "landing": str(tmp_path), "exchange": "XNYS"})
        assert dataset.path == tmp_path
        for seconds, name in enumerate(("b.zip", "a.zip")):
            (tmp_path / name).touch()
            os.utime(tmp_path / name, (seconds, seconds))
        assert dataset.path == tmp_path / "a.zip"

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("archive.zip", "source: must have a `type`"),
            ({"location": "archive.zip"}, "source: must have a `type`"),
            ({"type": "stock_volume.sources.archive.Missing"}, "archive.Missing: .*no attribute"),
            ({"type": "no_such_module.Source"}, "No module named 'no_such_module'"),
            ({"type": "stock_volume.sources.kaggle.KaggleSource", "handel": "x"}, "'handel'"),
        ],
    )
    def test_an_invalid_entry_is_an_error(self, source: Any, message: str) -> None:
        """An entry without a usable source names what is wrong."""
        with pytest.raises(DatasetError, match=message):
            SourceDataset(source)
