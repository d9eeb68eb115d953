"""The embedded sample: five real symbols in the Kaggle layout."""

import sys
from collections import Counter
from pathlib import Path
from typing import NoReturn

import pytest

from stock_volume.bars.archive import open_archive
from stock_volume.bars.listing import read_listing
from stock_volume.bars.sample import lay_out_sample
from stock_volume.errors import SourceError
from tests.unit.helpers import HEADER, ingested

ROWS = {"AAPL": 3270, "FB": 196, "GOOG": 2148, "IBM": 3270, "MSFT": 3270}


def test_five_symbols_in_the_kaggle_layout(tmp_path: Path) -> None:
    """The sample is a folder of five stocks and a listing, and nothing else."""
    folder = lay_out_sample(tmp_path / "below" / "sample")
    assert folder == tmp_path / "below" / "sample"
    assert sorted(path.name for path in folder.iterdir()) == ["stocks", "symbols_valid_meta.csv"]
    archive = open_archive(folder)
    assert [file.name for file in archive.files] == [f"stocks/{symbol}.csv" for symbol in ROWS]
    assert archive.ignored == ()
    listing = read_listing(archive)
    securities = [listing.find(symbol) for symbol in ROWS]
    assert [security and security.is_etf for security in securities] == [False] * 5
    assert listing.find("IBM") == (
        "International Business Machines Corporation Common Stock",
        False,
    )


def test_files_are_as_kaggle_writes_them(tmp_path: Path) -> None:
    """Each file has the canonical header and its rows by date, none twice."""
    folder = lay_out_sample(tmp_path / "sample")
    for symbol, rows in ROWS.items():
        header, *lines = (folder / f"stocks/{symbol}.csv").read_text("ascii").splitlines()
        assert header == HEADER
        assert len(lines) == rows
        dates = [line.partition(",")[0] for line in lines]
        assert dates == sorted(set(dates))


def test_sample_breaks_no_rule(tmp_path: Path) -> None:
    """Every row of the sample is kept."""
    chunk = ingested(lay_out_sample(tmp_path / "sample"))
    assert Counter(chunk.prices["Symbol"].to_list()) == ROWS
    assert chunk.quarantine.is_empty()
    assert chunk.files["note"].to_list() == [""] * 5


def test_laying_out_again_changes_nothing(tmp_path: Path) -> None:
    """A sample that is there already is left as it is."""
    folder = lay_out_sample(tmp_path / "sample")
    (folder / "stocks/FB.csv").write_text("mine")
    assert lay_out_sample(folder) == folder
    assert (folder / "stocks/FB.csv").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [folder]


def test_every_layout_is_the_same(tmp_path: Path) -> None:
    """Two layouts have the same files with the same bytes, readable by everyone."""
    first, second = (lay_out_sample(tmp_path / name) for name in ("first", "second"))
    content = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.csv")}
        for folder in (first, second)
    ]
    assert content[0] == content[1]
    assert len(content[0]) == 6
    assert first.stat().st_mode & 0o777 == 0o755


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package of the sample the error names the extra, and no folder is left."""
    monkeypatch.setitem(sys.modules, "bokeh_sampledata", None)
    with pytest.raises(SourceError, match=r"stock_volume\[sample\]"):
        lay_out_sample(tmp_path / "sample")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_no_partial_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure at the last step leaves neither the folder nor a part of it aside."""

    def fail(self: Path, _target: Path) -> NoReturn:
        assert (self / "stocks/FB.csv").is_file()
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", fail)
        with pytest.raises(OSError, match="disk full"):
            lay_out_sample(tmp_path / "sample")
    assert list(tmp_path.iterdir()) == []
    assert lay_out_sample(tmp_path / "sample").is_dir()
