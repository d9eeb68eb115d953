"""Ingestion: chunks of whole symbols, the listing, troubled files, and the balance of rows."""

import hashlib
import io
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from stock_volume.bars.archive import ArchiveLimits, open_archive
from stock_volume.bars.ingest import (
    IngestedChunk,
    IngestionParameters,
    ingest,
)
from stock_volume.errors import SourceError
from stock_volume.schemas import Files, Prices, Quarantine
from tests.unit.helpers import (
    AS_OF,
    HEADER,
    LISTING_HEADER,
    bar,
    bars,
    chunks_of,
    csv_of,
    fate_of,
    ingested,
    places_of,
    trading_days,
    write_folder,
    write_zip,
)

LOGGER = "stock_volume.bars.ingest"
TINY_MIB = 1e-7
"""Less than a byte: each symbol is a chunk."""


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder of symbols of several sizes, with rows to reject and files in trouble."""
    reordered = ",".join(reversed(HEADER.split(",")))
    files: dict[str, str | bytes] = {
        "stocks/A.csv": csv_of(*bars(5)),
        "etfs/A.csv": csv_of(*bars(7)),
        "stocks/B.csv": csv_of(*reversed(bars(4))),
        "stocks/C.csv": csv_of(),
        "stocks/D.csv": b"\0",
        "stocks/E.csv": csv_of("", *bars(3), bar("x"), *bars(1)),
        "etfs/F.csv": csv_of(*bars(30)).removesuffix("\n"),
        "stocks/G.csv": csv_of(",".join(reversed(bar().split(","))), header=reordered),
        "symbols_valid_meta.csv": f"{LISTING_HEADER}\nB,Bee,N\nF,Eff,Y\n",
    }
    return write_folder(tmp_path / "mixed", files)


def symbols_by_chunk(chunks: list[IngestedChunk]) -> list[list[str]]:
    return [chunk.files["Symbol"].unique(maintain_order=True).to_list() for chunk in chunks]


@pytest.mark.parametrize("chunk_mib", [TINY_MIB, 2e-4, 5e-4, 4.0])
def test_chunks_are_of_whole_symbols(mixed: Path, chunk_mib: float) -> None:
    """No symbol is parted, and chunks come by symbol, each just large enough but the last."""
    chunks = chunks_of(mixed, chunk_mib=chunk_mib)
    symbols = symbols_by_chunk(chunks)
    assert list(chain.from_iterable(symbols)) == ["A", "B", "C", "D", "E", "F", "G"]
    for chunk, of_chunk in zip(chunks, symbols, strict=True):
        assert set(chunk.prices["Symbol"]) <= set(of_chunk)
        assert set(chunk.quarantine["file"]) <= set(chunk.files["file"])
        before_the_last = chunk.files.filter(pl.col("Symbol") != of_chunk[-1])
        assert before_the_last["size"].sum() < chunk_mib * 2**20
    for chunk in chunks[:-1]:
        assert chunk.files["size"].sum() >= chunk_mib * 2**20


def test_the_smallest_chunks_are_a_symbol_each(mixed: Path) -> None:
    """With the smallest bound each symbol is a chunk, its files of both folders together."""
    symbols = symbols_by_chunk(chunks_of(mixed, chunk_mib=TINY_MIB))
    assert symbols == [["A"], ["B"], ["C"], ["D"], ["E"], ["F"], ["G"]]


@pytest.mark.parametrize("chunk_mib", [TINY_MIB, 2e-4, 5e-4, 1e-3])
def test_the_result_does_not_depend_on_the_chunks(mixed: Path, chunk_mib: float) -> None:
    """However the work is parted, the same rows come out in the same order."""
    whole = ingested(mixed)
    parted = ingested(mixed, chunk_mib=chunk_mib)
    for one, other in zip(whole, parted, strict=True):
        assert_frame_equal(one, other)


def test_a_zip_gives_what_its_folder_gives(mixed: Path, tmp_path: Path) -> None:
    """The same content gives the same frames, zipped or not."""
    content: dict[str, str | bytes] = {
        path.relative_to(mixed).as_posix(): path.read_bytes() for path in mixed.rglob("*.csv")
    }
    zipped = ingested(write_zip(tmp_path / "a.zip", content))
    for one, other in zip(ingested(mixed), zipped, strict=True):
        assert_frame_equal(one, other)


def test_chunks_satisfy_their_schemas(mixed: Path) -> None:
    """Each chunk, also one without rows, is what the catalog accepts."""
    for chunk in chunks_of(mixed, chunk_mib=TINY_MIB):
        Prices.validate(chunk.prices)
        Quarantine.validate(chunk.quarantine)
        Files.validate(chunk.files)


def test_ingested_files_are_in_all_layers_of_their_run(mixed: Path) -> None:
    """Only an update leaves files pending, until the layers after it have their rows."""
    assert not ingested(mixed).files["pending"].any()


def test_every_row_is_accounted_for(mixed: Path) -> None:
    """In each file the rows read are those kept and those quarantined."""
    assert fate_of(ingested(mixed)) == {
        "stocks/A.csv": (5, 0, 5),
        "etfs/A.csv": (7, 7, 0),
        "stocks/B.csv": (4, 4, 0),
        "stocks/C.csv": (0, 0, 0),
        "stocks/D.csv": (0, 0, 0),
        "stocks/E.csv": (5, 3, 2),
        "etfs/F.csv": (30, 30, 0),
        "stocks/G.csv": (1, 1, 0),
    }


def test_counts_of_the_report_match_the_frames(mixed: Path) -> None:
    """What the report says of each file is what the quarantine and the prices hold."""
    chunk = ingested(mixed)
    by_file = dict(chunk.quarantine.group_by("file").len().rows())
    by_symbol = dict(chunk.prices.group_by("Symbol").len().rows())
    reported = chunk.files.filter(pl.col("rows_quarantined") > 0)
    assert dict(reported.select("file", "rows_quarantined").rows()) == by_file
    kept = chunk.files.group_by("Symbol").agg(pl.col("rows_kept").sum())
    assert dict(kept.filter(pl.col("rows_kept") > 0).rows()) == by_symbol


def test_quarantine_has_place_and_text(tmp_path: Path) -> None:
    """A rejected row is found again by file and line, its fields letter by letter."""
    files: dict[str, str | bytes] = {
        "stocks/A.csv": csv_of(*bars(2), bar("2020-02-30", open="1.50", volume="1e2")),
        "etfs/B.csv": csv_of("", *bars(1), "2020-01-03,n/a"),
    }
    chunk = ingested(write_folder(tmp_path, files))
    assert chunk.quarantine.rows() == [
        ("stocks/A.csv", 4, "unparsable_date", "2020-02-30", "1.50", "12", "8", "11", "11", "1e2"),
        ("etfs/B.csv", 4, "missing_field", "2020-01-03", "n/a", *[None] * 5),
    ]


@pytest.mark.parametrize(
    ("name", "content", "status", "note"),
    [
        pytest.param("C.csv", "", "empty", "has no rows", id="empty"),
        pytest.param("C.csv", csv_of(), "empty", "has no rows", id="header-only"),
        pytest.param("C.csv", b"\0\1", "unreadable", "is binary, expected CSV text", id="binary"),
        pytest.param("C.csv", "Date\n1\n", "unreadable", "has no column Open", id="columns"),
        pytest.param("C.csv", bar(), "unreadable", "has no header", id="no-header"),
        pytest.param("C.csv", b" " * (2**20 + 1), "unreadable", "larger than", id="too-large"),
        pytest.param("C.csv", f"{HEADER}\n{bar()}", "read", "no line end", id="cut-short"),
        pytest.param(
            "C.csv",
            csv_of(f"{bar()},1", header=f"{HEADER},x"),
            "read",
            "extra columns",
            id="extra-column",
        ),
    ],
)
def test_a_troubled_file_is_reported_and_the_others_go_on(
    tmp_path: Path, name: str, content: str | bytes, status: str, note: str
) -> None:
    """The report has what is odd about a file, and its neighbours are ingested."""
    good = csv_of(*bars(2))
    files = {"stocks/B.csv": good, f"stocks/{name}": content, "stocks/D.csv": good}
    folder = write_folder(tmp_path, files)
    archive = open_archive(folder, ArchiveLimits(max_file_mib=1))
    [chunk] = ingest(archive, IngestionParameters(as_of=AS_OF))
    assert chunk.files["status"].to_list() == ["read", status, "read"]
    assert chunk.files["note"][1].startswith(note)
    assert chunk.files["note"].to_list()[::2] == ["", ""]
    kept = dict(chunk.prices.group_by("Symbol").len().rows())
    assert {symbol: kept[symbol] for symbol in ("B", "D")} == {"B": 2, "D": 2}
    assert kept.get("C", 0) == (1 if status == "read" else 0)


def test_size_and_hash_match_the_bytes(tmp_path: Path) -> None:
    """Size and SHA-256 are of the file as it lies there, also where it cannot be parsed."""
    contents = {
        "stocks/A.csv": b"\xef\xbb\xbf" + csv_of(*bars(2)).replace("\n", "\r\n").encode(),
        "stocks/B.csv": b"",
        "stocks/C.csv": b"\0",
    }
    chunk = ingested(write_folder(tmp_path, dict(contents)))
    assert chunk.files.select("file", "size", "sha256").rows() == [
        (name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in contents.items()
    ]


def test_an_unread_file_has_no_hash(tmp_path: Path) -> None:
    """A file whose bytes could not be had is reported with its declared size, without hash."""
    size = 2**20 + 1
    folder = write_folder(tmp_path, {"stocks/A.csv": bytes(size), "stocks/B.csv": csv_of(*bars(1))})
    archive = open_archive(folder, ArchiveLimits(max_file_mib=1))
    [chunk] = ingest(archive, IngestionParameters(as_of=AS_OF))
    assert chunk.files.select("size", "sha256").row(0) == (size, None)


def test_an_archive_without_usable_row_is_an_error(tmp_path: Path) -> None:
    """Where every row is rejected, the error names file, line and rule of the first."""
    folder = write_folder(tmp_path / "raw", {"stocks/A.csv": csv_of(bar(low="0"), bar("x"))})
    with pytest.raises(
        SourceError,
        match=r"raw: nothing in it can be used; .*A\.csv all 2 rows .* line 2: non_pos",
    ):
        chunks_of(folder)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"\0", "stocks/A.csv is binary, expected CSV text", id="unreadable"),
        pytest.param(b"", "stocks/A.csv has no rows", id="empty"),
    ],
)
def test_an_archive_without_usable_file_is_an_error(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    """Where no file has rows, the error names the first and its reason."""
    folder = write_folder(tmp_path, {"stocks/A.csv": content, "stocks/B.csv": b"\0"})
    with pytest.raises(SourceError) as caught:
        chunks_of(folder, chunk_mib=TINY_MIB)
    assert str(caught.value).endswith(f"first problem: {problem}")


def test_one_usable_row_is_enough(tmp_path: Path) -> None:
    """Trouble in the first files is no error as long as some row is kept."""
    files = {"stocks/A.csv": b"\0", "stocks/B.csv": b"", "stocks/C.csv": csv_of(*bars(1)).encode()}
    chunk = ingested(write_folder(tmp_path, dict(files)), chunk_mib=TINY_MIB)
    assert chunk.prices["Symbol"].to_list() == ["C"]


def test_symbols_that_look_like_values_stay_symbols(tmp_path: Path) -> None:
    """NA, NAN, TRUE, NULL and 1E5 are symbols, in file names and in the listing."""
    symbols = ["1E5", "NA", "NAN", "NULL", "TRUE"]
    listed = "".join(f"{symbol},Name of {symbol},Y\n" for symbol in symbols)
    folder = write_folder(
        tmp_path,
        {
            **{f"stocks/{symbol}.csv": csv_of(*bars(1)) for symbol in symbols},
            "symbols_valid_meta.csv": f"{LISTING_HEADER}\n{listed}",
        },
    )
    chunk = ingested(folder)
    assert chunk.prices.select("Symbol", "Security Name", "ETF").rows() == [
        (symbol, f"Name of {symbol}", True) for symbol in symbols
    ]
    assert chunk.files["Symbol"].to_list() == symbols


@pytest.mark.parametrize(
    "parameters", [{"chunk_mib": 0}, {"chunk_mib": -1}, {"chunk_mb": 5}], ids=str
)
def test_parameters_without_sense_are_refused(parameters: dict[str, Any]) -> None:
    """Bounds of zero and misspelt parameters are refused."""
    with pytest.raises(ValidationError):
        IngestionParameters(**parameters)


def test_chunks_come_before_the_archive_is_read(tmp_path: Path) -> None:
    """The first chunk is there while later files have not been read yet."""
    symbols = [f"S{number:02}" for number in range(20)]
    files = {f"stocks/{symbol}.csv": csv_of(*bars(1)) for symbol in symbols}
    folder = write_folder(tmp_path, dict(files))
    parameters = IngestionParameters(as_of=AS_OF, chunk_mib=TINY_MIB)
    chunks: Iterator[IngestedChunk] = ingest(open_archive(folder), parameters)
    assert next(chunks).prices["Symbol"].to_list() == ["S00"]
    (folder / "stocks/S19.csv").unlink()
    rest = list(chunks)
    assert rest[-1].files["status"].to_list() == ["unreadable"]


def random_walk(rng: np.random.Generator, rows: int) -> list[str]:
    """Make valid rows with prices of many digits."""
    closes = np.exp(rng.normal(0, 0.05, rows).cumsum() + 3)
    spread = rng.uniform(0, 0.1, (2, rows))
    opens = closes * (1 + rng.uniform(-1, 1, rows) * np.minimum(*spread))
    fields = zip(
        trading_days(rows),
        opens,
        closes * (1 + spread[0]),
        closes * (1 - spread[1]),
        closes,
        closes * 0.37,
        rng.integers(0, 10**9, rows),
        strict=True,
    )
    return [",".join(map(str, row)) for row in fields]


def test_values_are_those_that_pandas_reads(tmp_path: Path) -> None:
    """Kept rows have the values that pandas reads from the same files, to the last bit."""
    rng = np.random.default_rng(7)
    texts = {symbol: csv_of(*random_walk(rng, 150)) for symbol in ("A", "NA", "Z")}
    files = {f"stocks/{symbol}.csv": text for symbol, text in texts.items()}
    files["stocks/Z.csv"] += "2020-01-05,1,1,1,1,1,1\nnot a row\n"
    chunk = ingested(write_folder(tmp_path, dict(files)), chunk_mib=0.01)
    expected = pd.concat(
        pd.read_csv(io.StringIO(text)).assign(Symbol=symbol) for symbol, text in texts.items()
    )
    names = ["Open", "High", "Low", "Close", "Adj Close", "Volume"]
    for name in names:
        assert chunk.prices[name].to_list() == expected[name].to_list()
    assert chunk.prices["Date"].cast(pl.String).to_list() == expected["Date"].to_list()
    assert chunk.prices["Symbol"].to_list() == expected["Symbol"].to_list()
    assert places_of(chunk.quarantine) == [
        ("stocks/Z.csv", 152, "weekend_date"),
        ("stocks/Z.csv", 153, "missing_field"),
    ]


BAD_ROWS = {
    "2019-12-31": "missing_field",
    f"{bar()},1": "too_many_fields",
    bar("x"): "unparsable_date",
    bar("2019-12-31", high="high"): "unparsable_number",
    bar("2019-12-29"): "weekend_date",
    bar("2021-01-01"): "future_date",
    bar("2019-12-31", close="0"): "non_positive_price",
    bar("2019-12-31", high="7"): "high_below_low",
    bar("2019-12-31", close="13"): "close_outside_range",
    bar("2019-12-31", volume="0.5"): "volume_not_whole",
}
GOOD_DAYS = [day.isoformat() for day in trading_days(12)]


@settings(max_examples=60, deadline=None)
@given(
    contents=st.dictionaries(
        st.sampled_from(["stocks/A.csv", "stocks/B.csv", "etfs/C.csv"]),
        st.lists(st.sampled_from([*GOOD_DAYS, *BAD_ROWS]), max_size=25),
        min_size=1,
    ),
    chunk_mib=st.sampled_from([TINY_MIB, 2e-4, 5e-4, 4.0]),
)
def test_any_mixture_of_rows_is_accounted_for(
    contents: dict[str, list[str]], chunk_mib: float
) -> None:
    """Of any mixture each row is kept or quarantined under its rule, as in a plain loop."""
    contents = {"stocks/always.csv": GOOD_DAYS[:1], **contents}
    files = {
        name: csv_of(*(bar(row) if row in GOOD_DAYS else row for row in rows))
        for name, rows in contents.items()
    }
    kept: set[tuple[str, str]] = set()
    rejected = []
    for name, rows in contents.items():
        for line, row in reversed(list(enumerate(rows, start=2))):
            key = (Path(name).stem, row)
            if row in GOOD_DAYS and key not in kept:
                kept.add(key)
            else:
                rejected.append((name, line, BAD_ROWS.get(row, "duplicate_bar")))
    with tempfile.TemporaryDirectory() as folder:
        chunk = ingested(write_folder(Path(folder), dict(files)), chunk_mib=chunk_mib)
    for name, (read, kept_rows, quarantined) in fate_of(chunk).items():
        assert read == len(contents[name]) == kept_rows + quarantined
    assert chunk.prices.select("Symbol", pl.col("Date").cast(pl.String)).rows() == sorted(kept)
    assert sorted(places_of(chunk.quarantine)) == sorted(rejected)
    Prices.validate(chunk.prices)
    Quarantine.validate(chunk.quarantine)
    Files.validate(chunk.files)


def test_known_contents_are_not_parsed(tmp_path: Path) -> None:
    """A content that was read before is skipped by symbol and digest, and says so."""
    files = {"stocks/A.csv": csv_of(*bars(3)), "stocks/B.csv": csv_of(*bars(3))}
    archive = open_archive(write_folder(tmp_path, files))
    digest = hashlib.sha256(files["stocks/A.csv"].encode()).hexdigest()
    (chunk,) = ingest(archive, IngestionParameters(as_of=AS_OF), {("A", digest)})
    assert chunk.files.select("file", "status", "rows_read").rows() == [
        ("stocks/A.csv", "known", 0),
        ("stocks/B.csv", "read", 3),
    ]
    assert chunk.prices["Symbol"].unique().to_list() == ["B"]


def test_only_known_contents_are_no_failure(tmp_path: Path) -> None:
    """An archive without news has nothing to keep, and that is well."""
    content = csv_of(*bars(3))
    archive = open_archive(write_folder(tmp_path, {"stocks/A.csv": content}))
    known = {("A", hashlib.sha256(content.encode()).hexdigest())}
    (chunk,) = ingest(archive, IngestionParameters(as_of=AS_OF), known)
    assert chunk.prices.height == chunk.quarantine.height == 0
    assert chunk.files["sha256"].to_list() == [next(iter(known))[1]]


def test_many_small_files_make_many_chunks(tmp_path: Path) -> None:
    """A chunk has a bounded number of files, however small they are; no symbol is divided."""
    files = {f"stocks/S{number:04}.csv": csv_of() for number in range(4096)}
    files |= {"stocks/S4095 (1).csv": csv_of(bar()), "stocks/T.csv": csv_of(bar())}
    chunks = [
        chunk.files.height
        for chunk in ingest(
            open_archive(write_zip(tmp_path / "a.zip", files)), IngestionParameters()
        )
    ]
    assert chunks == [4097, 1]
