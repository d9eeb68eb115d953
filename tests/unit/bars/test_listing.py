"""The listing: names and kinds of securities, however people's tools write them."""

from pathlib import Path

import pytest

from stock_volume.bars.archive import ArchiveLimits, BarFile, open_archive
from stock_volume.bars.ingest import IngestionParameters, ingest
from stock_volume.bars.listing import (
    ListedSecurity,
    Listing,
    Security,
    parse_listing,
    read_listing,
)
from stock_volume.errors import UnreadableFileError
from tests.unit.helpers import (
    AS_OF,
    LISTING_HEADER,
    bars,
    csv_of,
    ingested,
    write_folder,
)

LOGGER = "stock_volume.bars"
STOCK, ETF = (BarFile(f"{folder}/A.csv", "A", folder == "etfs", 0) for folder in ("stocks", "etfs"))


def listed(text: str) -> list[ListedSecurity]:
    return parse_listing(text.encode())


@pytest.mark.parametrize(
    ("value", "is_etf"),
    [
        *((value, True) for value in ("Y", "y", "Yes", "True", "TRUE", "1", " Y ", "1.0")),
        *((value, False) for value in ("N", "no", "False", "0")),
        *((value, None) for value in ("", " ", "maybe")),
    ],
)
def test_values_of_the_column_etf(value: str, *, is_etf: bool | None) -> None:
    """A kind is read in any of its usual spellings; of any other value the folder decides."""
    listing = Listing(listed(f"{LISTING_HEADER}\nA,Ay,{value}\n"))
    assert listing.find("A") == Security("Ay", is_etf)
    assert listing.security(STOCK).is_etf is bool(is_etf)
    assert listing.security(ETF).is_etf is (is_etf is None or is_etf)


def test_odd_kinds_are_named_in_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """A value that is neither yes nor no is no silent no."""
    listed(f"{LISTING_HEADER}\nA,Ay,maybe\nB,Bee,N\n")
    assert "neither yes nor no" in caplog.text
    assert "maybe" in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Symbol,Security Name,ETF\nA,Ay,Y\n", id="as-documented"),
        pytest.param("ETF,symbol,SECURITY NAME\nY,A,Ay\n", id="another-order-and-case"),
        pytest.param("Symbol , Security Name ,ETF\n A , Ay , Y \n", id="padded"),
        pytest.param("Symbol;Security Name;ETF\nA;Ay;Y\n", id="semicolons"),
        pytest.param("Symbol|Security Name|ETF\nA|Ay|Y\n", id="pipes"),
        pytest.param("Symbol\tSecurity Name\tETF\nA\tAy\tY\n", id="tabs"),
        pytest.param("\nSymbol,security_name,etf\r\nA,Ay,Y\r\n\r\n", id="blank-lines"),
    ],
)
def test_spellings_of_the_same_listing(text: str) -> None:
    """Order, case, blanks and separators of a listing change nothing."""
    assert listed(text) == [ListedSecurity("A", "", Security("Ay", is_etf=True))]


@pytest.mark.parametrize(
    ("text", "security"),
    [
        ("Symbol\nA\n", Security("", None)),
        ("Symbol,Security Name\nA,Ay\n", Security("Ay", None)),
        ("Symbol,ETF\nA,Y\n", Security("", is_etf=True)),
        ("NASDAQ Symbol,Security Name\nA,Ay\n", Security("Ay", None)),
    ],
)
def test_columns_but_the_symbol_are_optional(text: str, security: Security) -> None:
    """A listing without names or kinds still gives what it has."""
    assert Listing(listed(text)).find("A") == security


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(encoding: str) -> None:
    """Names keep their letters in the encodings that spreadsheets write."""
    content = f"{LISTING_HEADER}\nA,Nestl\u00e9,N\n".encode(encoding)
    assert Listing(parse_listing(content)).find("A") == Security("Nestl\u00e9", is_etf=False)


def test_the_nasdaq_symbol_names_files_before_the_symbol() -> None:
    """The archive names its files by NASDAQ Symbol; Symbol counts where no such symbol is."""
    rows = listed(
        "Symbol,Security Name,NASDAQ Symbol\nAGM$A,Preferred,AGM-A\nAGM-A,Another,X\nB,Bee,\n"
    )
    found = {symbol: Listing(rows).find(symbol) for symbol in ("AGM-A", "AGM$A", "X", "B")}
    assert {symbol: security and security.name for symbol, security in found.items()} == {
        "AGM-A": "Preferred",
        "AGM$A": "Preferred",
        "X": "Another",
        "B": "Bee",
    }


def test_symbols_are_found_in_letters_of_any_case() -> None:
    """The exact spelling comes first, then the first row of the symbol in any case."""
    listing = Listing(listed("Symbol,Security Name\nAB,upper\nab,lower\n"))
    assert [listing.find(symbol) for symbol in ("AB", "ab", "aB", "c")] == [
        Security("upper", None),
        Security("lower", None),
        Security("upper", None),
        None,
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"Ticker,Name\nA,x\n", "has no column Symbol"),
        (b"\0\0", "is binary"),
        (b"", "has no column Symbol"),
        (b'Symbol,Security Name,ETF\nA,"' + b"x" * 200_000, "cannot be read: line 2"),
    ],
)
def test_what_is_no_listing_says_why(content: bytes, reason: str) -> None:
    """A file that is no listing is refused with its reason."""
    with pytest.raises(UnreadableFileError, match=reason):
        parse_listing(content)


def test_names_and_kinds_come_from_the_listing(tmp_path: Path) -> None:
    """Name and kind come from the listing, whatever folder the file is in."""
    files: dict[str, str | bytes] = {
        "stocks/A.csv": csv_of(*bars(2)),
        "stocks/B.csv": csv_of(*bars(1)),
        "etfs/C.csv": csv_of(*bars(1)),
        "etfs/D.csv": csv_of(*bars(1)),
        "symbols_valid_meta.csv": (
            "Nasdaq Traded,ETF,Symbol,Security Name\n"
            'Y,N,A,"Agilent, Inc. ""Common"" Stock"\nY,Y,B,Bee\nY,N,C,\nY,,D,Dee\nY,N,Z,not here\n'
        ),
    }
    chunk = ingested(write_folder(tmp_path, files))
    assert chunk.prices.select("Symbol", "Security Name", "ETF").rows() == [
        ("A", 'Agilent, Inc. "Common" Stock', False),
        ("A", 'Agilent, Inc. "Common" Stock', False),
        ("B", "Bee", True),
        ("C", "C", False),
        ("D", "Dee", True),
    ]


@pytest.mark.parametrize(
    ("listing", "warning"),
    [
        pytest.param(None, "no listing of securities", id="none"),
        pytest.param(b"\xff\xfe\0", "is not UTF-16 text", id="not-text"),
        pytest.param(b"Ticker,Name\nA,x\n", "has no column Symbol", id="column-missing"),
        pytest.param(b"x" * (2**20 + 1), "larger than max_listing_mib", id="too-large"),
    ],
)
def test_without_listing_the_folders_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, listing: bytes | None, warning: str
) -> None:
    """Where no listing can be used, one warning says so and the folders name the kinds."""
    files: dict[str, str | bytes] = {
        "stocks/A.csv": csv_of(*bars(1)),
        "etfs/B.csv": csv_of(*bars(1)),
    }
    if listing is not None:
        files["symbols_valid_meta.csv"] = listing
    archive = open_archive(write_folder(tmp_path, files), ArchiveLimits(max_listing_mib=1))
    with caplog.at_level("WARNING", LOGGER):
        [chunk] = ingest(archive, IngestionParameters(as_of=AS_OF))
    [message] = caplog.messages
    assert warning in message
    assert "the folders say which are ETFs" in message
    assert chunk.prices.select("Symbol", "Security Name", "ETF").rows() == [
        ("A", "A", False),
        ("B", "B", True),
    ]


def test_unlisted_symbols_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Symbols that the listing lacks are counted and named, and their folders count."""
    folder = write_folder(
        tmp_path,
        {
            **{f"etfs/{symbol}.csv": csv_of(*bars(1)) for symbol in "ABC"},
            "symbols_valid_meta.csv": f"{LISTING_HEADER}\nB,Bee,N\n",
        },
    )
    with caplog.at_level("WARNING", LOGGER):
        chunk = ingested(folder)
    [message] = caplog.messages
    assert message.startswith("2 symbols are not in the listing")
    assert message.endswith(": A, C")
    assert chunk.prices["ETF"].to_list() == [True, False, True]


def test_a_full_listing_warns_of_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where every symbol is listed there is no warning."""
    files: dict[str, str | bytes] = {
        "stocks/A.csv": csv_of(*bars(1)),
        "symbols_valid_meta.csv": f"{LISTING_HEADER}\nA,Ay,N\n",
    }
    archive = open_archive(write_folder(tmp_path, files))
    with caplog.at_level("WARNING", LOGGER):
        assert read_listing(archive).find("A") == Security("Ay", is_etf=False)
        list(ingest(archive, IngestionParameters(as_of=AS_OF)))
    assert caplog.messages == []
