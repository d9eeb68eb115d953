"""Headers as people's tools write them."""

import pytest

from stock_volume import columns
from stock_volume.bars.layout import (
    Layout,
    Line,
    find_layout,
    lines_of,
    plain_name,
    split_fields,
)
from stock_volume.errors import UndecidedFileError, UnreadableFileError

KAGGLE = "Date,Open,High,Low,Close,Adj Close,Volume"
IN_ORDER = tuple(range(7))


def layout_of(*lines: str, adj_close_from_close: bool = False) -> tuple[Layout, int]:
    numbered = [Line(number, text) for number, text in enumerate(lines, start=1)]
    return find_layout(numbered, adj_close_from_close=adj_close_from_close)


def test_lines_keep_their_numbers() -> None:
    """Blank lines, also lines of separators alone, are left out and counted."""
    text = "a\n\n ,;\t|\nb"
    assert list(lines_of(text)) == [Line(1, "a"), Line(4, "b")]


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (" a , b,c ", ["a", "b", "c"]),
        ('"1,234",b', ["1,234", "b"]),
        ('"say ""hi""",b', ['say "hi"', "b"]),
        ('a, "b,c"', ["a", "b,c"]),
        ('a,"b,c', ["a", "b,c"]),
        ("", [""]),
    ],
)
def test_fields_are_split_as_by_rfc_4180(line: str, fields: list[str]) -> None:
    """A separator inside quotes belongs to the field; a quote ends with its line at the latest."""
    assert split_fields(line, ",") == fields


def test_names_are_compared_without_case_and_punctuation() -> None:
    """``Adj. Close`` and ``adj_close`` are one name."""
    assert plain_name("Adj. Close") == plain_name("adj_close") == "adjclose"


@pytest.mark.parametrize(
    ("header", "separator", "places"),
    [
        (KAGGLE, ",", IN_ORDER),
        (KAGGLE.replace(",", ";"), ";", IN_ORDER),
        (KAGGLE.replace(",", "\t"), "\t", IN_ORDER),
        (KAGGLE.replace(",", "|"), "|", IN_ORDER),
        ("timestamp,vol,adjusted_close,close,low,high,open", ",", (0, 6, 5, 4, 3, 2, 1)),
        (KAGGLE + ",,", ",", IN_ORDER),
    ],
    ids=["kaggle", "semicolons", "tabs", "bars", "other names and order", "empty columns"],
)
def test_a_header_says_where_fields_are(
    header: str, separator: str, places: tuple[int, ...]
) -> None:
    layout, height = layout_of(header)
    assert (layout.separator, layout.places, layout.width, height) == (separator, places, 7, 1)
    assert (layout.extra, layout.symbol_place, layout.ticker) == ((), None, "")


def test_other_columns_are_named() -> None:
    """One of symbols is found, to see whether it holds several."""
    layout, _ = layout_of("Ticker," + KAGGLE + ",Note")
    assert layout.places == tuple(range(1, 8))
    assert (layout.extra, layout.symbol_place) == (("Ticker", "Note"), 0)


def test_rows_are_split_by_the_layout() -> None:
    """A short row is filled, what a long row has beyond its columns is returned apart."""
    layout, _ = layout_of("Volume,Date,Open,High,Low,Close,Adj Close")
    assert layout.fields("7,d,1,2,3,4,5") == (["d", "1", "2", "3", "4", "5", "7"], [])
    assert layout.fields("7,d,1") == (["d", "1", "", "", "", "", "7"], [])
    assert layout.fields("7,d,1,2,3,4,5,x,,") == (["d", "1", "2", "3", "4", "5", "7"], ["x"])


def test_the_header_of_yfinance_has_three_lines() -> None:
    """Its levels may be in either order, and the line of the index may be missing."""
    prices = "Price,Adj Close,Close,High,Low,Open,Volume"
    tickers = "Ticker,AAPL,AAPL,AAPL,AAPL,AAPL,AAPL"
    index = "Date,,,,,,"
    row = "2020-01-02,1,1,1,1,1,1"
    for lines, height in (
        ((prices, tickers, index), 3),
        ((tickers, prices, index), 3),
        ((prices, tickers, row), 2),
        ((prices, tickers, "2020-01-02,1,,,,,"), 2),
        ((prices, tickers), 2),
    ):
        layout, found = layout_of(*lines)
        assert (layout.places, layout.ticker, found) == ((0, 5, 3, 4, 2, 1, 6), "AAPL", height)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["2020-01-02,1,2,1,1,1,100"], "has no header, its first line is '2020-01-02"),
        (["hello,world"], "names no column of a bar, its first line is 'hello,world'"),
        (["x" * 100], r"x{60}'\.\.\."),
        ([KAGGLE.replace("High,Low,", "")], "has no column High, Low"),
        ([KAGGLE.replace("Close,Adj Close", "CLOSE,close,Adj Close")], "may be Close: 'CLOSE'"),
        (
            ["Price,Close,Close", "Ticker,AAPL,MSFT", "Date,,"],
            "holds bars of 2 symbols, AAPL and MSFT among them",
        ),
    ],
)
def test_an_unusable_header_is_explained(lines: list[str], message: str) -> None:
    with pytest.raises(UnreadableFileError, match=message):
        layout_of(*lines)


def test_close_serves_for_adj_close_on_request() -> None:
    """Without the request, the error names the parameter."""
    header = KAGGLE.replace(",Adj Close", "")
    with pytest.raises(UndecidedFileError, match=r"ingestion\.adj_close_from_close=true"):
        layout_of(header)
    layout, _ = layout_of(header, adj_close_from_close=True)
    close = columns.BAR.index(columns.CLOSE)
    assert layout.places[columns.BAR.index(columns.ADJ_CLOSE)] == layout.places[close]


def test_an_exact_name_wins_over_similar_ones() -> None:
    """``Close`` is the column, although ``close`` could be."""
    layout, _ = layout_of(KAGGLE + ",close")
    assert layout.places == IN_ORDER
    assert layout.extra == ("close",)
