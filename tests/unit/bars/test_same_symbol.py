"""Files that claim one symbol: joined where they agree, named where they do not."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from stock_volume.bars.ingest import IngestedChunk
from tests.unit.helpers import LISTING_HEADER, bar, bars, csv_of, fate_of, ingested, write_folder

OTHER = [row.replace(",10,12,8,11,11,", ",100,120,80,110,110,") for row in bars(5)]
"""Bars of another security on the same days as ``bars(5)``."""


def ingest_files(folder: Path, files: Mapping[str, str]) -> IngestedChunk:
    return ingested(write_folder(folder, dict(files)))


def statuses(chunk: IngestedChunk) -> dict[str, str]:
    return dict(chunk.files.select("file", "status").rows())


def closes(chunk: IngestedChunk, symbol: str) -> list[float]:
    return chunk.prices.filter(Symbol=symbol)["Close"].to_list()


@pytest.mark.parametrize(
    "copy",
    [
        "etfs/A.csv",
        "backup/stocks/A.csv",
        "stocks/A (1).csv",
        "stocks/A - Copy.csv",
        "stocks/A copy 2.csv",
        "stocks/a.csv",
    ],
)
def test_identical_content_is_one_file(tmp_path: Path, copy: str) -> None:
    """A copy under another name adds no symbol, no bar and no rejected row."""
    content = csv_of(*bars(5))
    chunk = ingest_files(tmp_path, {"stocks/A.csv": content, copy: content})
    assert statuses(chunk) == {"stocks/A.csv": "read", copy: "copy"}
    assert chunk.prices["Symbol"].to_list() == ["A"] * 5
    assert not chunk.prices["ETF"].any()
    assert chunk.quarantine.is_empty()
    [note] = chunk.files.filter(status="copy")["note"]
    assert note == "has the same content as stocks/A.csv"


def test_a_second_download_is_joined_where_the_overlap_agrees(tmp_path: Path) -> None:
    """Of two downloads that agree every bar is kept, once, and the later download counts."""
    settled = bar(bars(6)[3].split(",")[0], volume="9")
    files = {
        "stocks/A.csv": csv_of(*bars(4)),
        "stocks/A (1).csv": csv_of(*bars(6)[1:3], settled, *bars(6)[4:]),
    }
    chunk = ingest_files(tmp_path, files)
    assert chunk.prices["Symbol"].to_list() == ["A"] * 6
    assert chunk.prices["Volume"].to_list() == [1, 2, 3, 9, 5, 6]
    assert fate_of(chunk) == {"stocks/A.csv": (4, 1, 3), "stocks/A (1).csv": (5, 5, 0)}
    assert dict(chunk.quarantine["rule"].value_counts().rows()) == {
        "duplicate_bar": 2,
        "superseded_bar": 1,
    }
    assert "agree on 3 days" in chunk.files.filter(file="stocks/A.csv")["note"].item()


def test_files_that_disagree_are_never_spliced(tmp_path: Path) -> None:
    """One of them is kept whole, the other set aside row by row, and both are named."""
    files = {"stocks/A.csv": csv_of(*bars(5)), "etfs/A.csv": csv_of(*OTHER)}
    chunk = ingest_files(tmp_path, files)
    assert closes(chunk, "A") == [11.0] * 5
    assert chunk.prices["ETF"].to_list() == [False] * 5
    assert fate_of(chunk) == {"etfs/A.csv": (5, 0, 5), "stocks/A.csv": (5, 5, 0)}
    assert chunk.quarantine["rule"].to_list() == ["conflicting_file"] * 5
    [note] = chunk.files.filter(status="conflicting")["note"]
    assert note == (
        "has other bars of A than stocks/A.csv, which is kept: "
        "closes agree on 0 of 5 days in common"
    )


def test_files_without_a_day_in_common_are_never_spliced(tmp_path: Path) -> None:
    """Nothing says that two files without overlap are of one security, on one base."""
    files = {"stocks/A.csv": csv_of(*bars(6)[3:]), "old/stocks/A.csv": csv_of(*bars(3))}
    chunk = ingest_files(tmp_path, files)
    assert chunk.prices.height == 3
    assert statuses(chunk) == {"old/stocks/A.csv": "conflicting", "stocks/A.csv": "read"}


def test_the_folder_that_the_listing_confirms_is_kept(tmp_path: Path) -> None:
    """Of two files that disagree the listing decides, however far the other reaches."""
    files = {
        "stocks/A.csv": csv_of(*OTHER),
        "etfs/A.csv": csv_of(*bars(4)),
        "symbols_valid_meta.csv": f"{LISTING_HEADER}\nA,A Fund,Y\n",
    }
    chunk = ingest_files(tmp_path, files)
    assert statuses(chunk) == {"stocks/A.csv": "conflicting", "etfs/A.csv": "read"}
    assert closes(chunk, "A") == [11.0] * 4
    assert chunk.prices["ETF"].all()


def test_symbols_that_differ_by_case_stay_apart_unless_they_agree(tmp_path: Path) -> None:
    """ABC and abc are two securities when their bars differ, and both files are named."""
    files = {"stocks/ABC.csv": csv_of(*bars(5)), "stocks/abc.csv": csv_of(*OTHER)}
    chunk = ingest_files(tmp_path / "apart", files)
    assert closes(chunk, "ABC") == [11.0] * 5
    assert closes(chunk, "abc") == [110.0] * 5
    [note] = chunk.files.filter(file="stocks/abc.csv")["note"]
    assert note.startswith("taken for another security than stocks/ABC.csv")
    files = {"stocks/ABC.csv": csv_of(*bars(5)), "stocks/abc.csv": csv_of(*bars(4))}
    chunk = ingest_files(tmp_path / "joined", files)
    assert chunk.prices["Symbol"].to_list() == ["ABC"] * 5


def test_an_unreadable_or_rejected_file_hides_no_other(tmp_path: Path) -> None:
    """A file without bars beside a sound one of the symbol costs the sound one nothing."""
    files = {
        "stocks/A.csv": csv_of(*bars(3)),
        "etfs/A.csv": "no header\n",
        "stocks/A (2).csv": csv_of(bar("x")),
    }
    chunk = ingest_files(tmp_path, files)
    assert chunk.prices.height == 3
    assert statuses(chunk) == {
        "stocks/A.csv": "read",
        "etfs/A.csv": "unreadable",
        "stocks/A (2).csv": "rejected",
    }


def test_a_copy_of_a_conflicting_file_is_a_copy(tmp_path: Path) -> None:
    """Files are compared by content first: a conflict is counted once."""
    files = {
        "stocks/A.csv": csv_of(*bars(5)),
        "etfs/A.csv": csv_of(*OTHER),
        "backup/etfs/A.csv": csv_of(*OTHER),
    }
    chunk = ingest_files(tmp_path, files)
    assert statuses(chunk) == {
        "stocks/A.csv": "read",
        "etfs/A.csv": "conflicting",
        "backup/etfs/A.csv": "copy",
    }
    assert chunk.quarantine.height == 5
