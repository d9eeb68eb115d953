"""Small inputs after public bug reports: each folder of tests/cases says what has to come out."""

from datetime import date
from pathlib import Path
from typing import Final

import polars as pl
import pytest

from stock_volume.bars.ingest import IngestedChunk
from stock_volume.forecaster.universe import is_common_stock
from tests.unit.helpers import ingested

CASES: Final = Path(__file__).parent.parent / "cases"
LAST_DAY: Final = date(2019, 3, 28)

WHOLE: Final = [
    "BLANKEND",
    "BOM",
    "COMMAS",
    "COMP",
    "CRCRLF",
    "CRLF",
    "DESC",
    "DIV",
    "IDX",
    "LOWER",
    "MIX",
    "QUOT",
    "SCI",
    "SEMI",
    "SPC",
    "SPC2",
    "THOU",
    "TRAIL",
    "TRAIL2",
    "TS",
    "TZ",
    "U16",
    "YHD",
]
NAMED: Final = {
    "DOL": "write plain numbers",
    "EMPTY": "has no rows",
    "HEADONLY": "has no rows",
    "NOADJ": "has no column Adj Close; export it",
    "SUF": "Volume is '91.35K'",
    "US": "date_format=%m/%d/%Y",
}
ROWS: Final = 20


def case(name: str, source: str = "src", **parameters: object) -> IngestedChunk:
    return ingested(CASES / name / source, **parameters)


@pytest.fixture(scope="module")
def formats() -> IngestedChunk:
    return case("formats")


@pytest.mark.parametrize("symbol", WHOLE)
def test_an_unambiguous_file_is_read_in_full(formats: IngestedChunk, symbol: str) -> None:
    """The same twenty bars come out of each file, to the last digit."""
    names = ["Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"]
    expected = formats.prices.filter(Symbol="CRLF").select(names)
    assert expected.height == ROWS
    assert formats.prices.filter(Symbol=symbol).select(names).equals(expected)
    assert formats.files.filter(Symbol=symbol)["rows_kept"].item() == ROWS


@pytest.mark.parametrize("symbol", NAMED)
def test_any_other_file_is_named_with_a_remedy(formats: IngestedChunk, symbol: str) -> None:
    """A file of which no bar is kept has a note that says what is wrong."""
    assert formats.prices.filter(Symbol=symbol).is_empty()
    [file] = formats.files.filter(Symbol=symbol).to_dicts()
    assert file["status"] in {"empty", "rejected", "unreadable"}
    assert NAMED[symbol] in file["note"]


def test_a_row_of_nulls_is_set_aside_alone(formats: IngestedChunk) -> None:
    """Yahoo's row without values costs that day and no other."""
    assert formats.prices.filter(Symbol="NULLROW").height == ROWS - 1
    assert formats.quarantine.filter(file="stocks/NULLROW.csv").height == 1


def test_every_file_of_the_formats_is_judged(formats: IngestedChunk) -> None:
    """No file of the case is without a verdict here."""
    assert set(formats.files["Symbol"]) == {*WHOLE, *NAMED, "NULLROW"}


def test_the_format_of_ambiguous_dates_is_a_parameter() -> None:
    """With its format named, the file of American dates is read like the others."""
    chunk = case("formats", date_format="%m/%d/%Y")
    dates = chunk.prices.filter(Symbol="US")["Date"].to_list()
    assert dates == chunk.prices.filter(Symbol="CRLF")["Date"].to_list()


def test_stock_and_etf_of_one_symbol_are_not_spliced() -> None:
    """One of the two files is kept, the other is named, and the symbol is of one kind."""
    chunk = case("both_folders")
    assert chunk.files["status"].to_list() == ["conflicting", "read"]
    assert chunk.prices["ETF"].n_unique() == 1
    assert chunk.prices["Close"].max() / chunk.prices["Close"].min() < 2  # type: ignore[operator]


def test_the_nasdaq_symbol_names_files() -> None:
    """AGM-A has its name, and is no common stock."""
    chunk = case("listing_nasdaq_symbol")
    names = dict(chunk.prices.select("Symbol", "Security Name").unique().rows())
    assert names["AGM-A"] == "Example Mortgage Corp Preferred Stock, Series A"
    assert names["CARR#"] == "Example Carrier Common Stock When Issued"
    common = chunk.prices.filter(is_common_stock())["Symbol"].unique().to_list()
    assert "AGM-A" not in common
    assert "PLAIN" in common


def test_a_listing_of_true_and_false() -> None:
    """Kinds are read from True and False, and names where they are given."""
    chunk = case("listing_true_false")
    securities = chunk.prices.select("Symbol", "Security Name", "ETF").unique().sort("Symbol")
    assert securities.rows() == [
        ("AAA", "A Inc.", False),
        ("BBB", "B Corp", False),
        ("EEE", "E Fund", True),
    ]


def test_a_comma_in_a_quoted_name_shifts_no_value() -> None:
    """Wherever the column of names is, all rows are kept with the same values."""
    chunk = case("quoted_comma_extra")
    by_symbol = chunk.prices.group_by("Symbol").agg(pl.len(), pl.col("Close", "Volume").sum())
    assert by_symbol["len"].to_list() == [ROWS] * 4
    assert by_symbol.select("Close", "Volume").n_unique() == 1


def test_yahoos_settled_row_is_kept() -> None:
    """Of the two rows of the last day the second counts, and the difference is reported."""
    chunk = case("yahoo_duplicate_last_row")
    assert chunk.prices.filter(Date=LAST_DAY)["Volume"].to_list() == [108331]
    assert chunk.quarantine["rule"].to_list() == ["superseded_bar"]
    assert "supersedes: 1" in chunk.files["note"].item()


def test_a_zip_of_windows_has_three_symbols() -> None:
    """Backslashes in the names of a zip's members separate folders."""
    chunk = case("zip_backslash", "archive.zip")
    assert chunk.prices["Symbol"].unique().sort().to_list() == ["AAA", "BBB", "EEE"]
