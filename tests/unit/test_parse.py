"""Parsing: every line becomes one row, and what cannot be parsed is left null."""

import codecs
from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_volume.bars.parse import AS_READ, EXTRA, CsvRows, parse_rows, read_rows
from stock_volume.columns import BAR
from stock_volume.errors import UnreadableFileError
from tests.unit.helpers import HEADER, bar, bars, csv_of

ROW = "2020-01-02,10,12,8,11,10.5,100"
VALUES = (date(2020, 1, 2), 10.0, 12.0, 8.0, 11.0, 10.5, 100.0)
CUT_SHORT = "no line end after the last row, the file may be cut short"
REVERSED_HEADER = ",".join(reversed(HEADER.split(",")))
REVERSED_ROW = ",".join(reversed(ROW.split(",")))


def parsed(content: bytes) -> pl.DataFrame:
    return parse_rows([read_rows(content)]).frame


def texts_of(content: bytes) -> list[tuple[str | None, ...]]:
    rows = parse_rows([read_rows(content)])
    return rows.as_read(rows.frame).rows()


def test_a_canonical_file() -> None:
    """A plain file is taken as it is: typed values, line numbers and no note."""
    rows = read_rows(csv_of(ROW, bar("2020-01-03")).encode())
    assert rows == CsvRows(f"{ROW}\n{bar('2020-01-03')}\n".encode(), count=2)
    frame = parse_rows([rows]).frame
    assert frame.select(BAR).row(0) == VALUES
    assert frame["Date"].to_list() == [date(2020, 1, 2), date(2020, 1, 3)]
    assert frame["line"].to_list() == [2, 3]
    assert frame["file_index"].to_list() == [0, 0]
    assert frame[EXTRA].to_list() == [None, None]


def test_types_of_parsed_rows() -> None:
    """The types do not depend on the values, nor on whether there are any."""
    full, none = parsed(csv_of(ROW).encode()), parsed(csv_of().encode())
    assert full.schema == none.schema
    assert [full.schema[name] for name in BAR] == [pl.Date, *[pl.Float64] * 6]
    assert full.schema["line"] == pl.Int32


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(csv_of(ROW).encode().replace(b"\n", b"\r\n"), id="crlf"),
        pytest.param(csv_of(ROW).encode().replace(b"\n", b"\r"), id="cr"),
        pytest.param(codecs.BOM_UTF8 + csv_of(ROW).encode(), id="bom"),
        pytest.param(
            codecs.BOM_UTF8 + csv_of(ROW).encode().replace(b"\n", b"\r\n"), id="bom-and-crlf"
        ),
        pytest.param(
            "".join(
                ",".join(f'"{field}"' for field in line.split(",")) + "\n" for line in (HEADER, ROW)
            ).encode(),
            id="all-quoted",
        ),
        pytest.param(csv_of(ROW.replace("2020-01-02", '"2020-01-02"')).encode(), id="date-quoted"),
        pytest.param(csv_of(REVERSED_ROW, header=REVERSED_HEADER).encode(), id="reordered"),
        pytest.param(
            csv_of(ROW, header=HEADER.replace(",", " , ")).encode(), id="spaces-in-the-header"
        ),
    ],
)
def test_spellings_of_the_same_rows(content: bytes) -> None:
    """Line ends, marks, quotes and the order of columns change nothing, not even a note."""
    rows = read_rows(content)
    assert rows == CsvRows(f"{ROW}\n".encode(), count=1)
    assert parse_rows([rows]).frame.select(BAR).rows() == [VALUES]


def test_mixed_line_ends() -> None:
    """A file patched together from several systems has one row a line end of any kind."""
    content = f"{HEADER}\r\n{ROW}\n{ROW}\r{ROW}\r\n".encode()
    frame = parsed(content)
    assert frame.select(BAR).rows() == [VALUES] * 3
    assert frame["line"].to_list() == [2, 3, 4]


def test_extra_columns_are_left_out_by_name() -> None:
    """Columns that are no field of a bar are left out, with a note that names them."""
    content = csv_of(f"A,{ROW},1.5", "B", header=f"Ticker,{HEADER},Dividends").encode()
    rows = read_rows(content)
    assert rows.note == "extra columns left out: Ticker, Dividends"
    assert parse_rows([rows]).frame.select(BAR).rows() == [VALUES, (None,) * 7]


def test_short_rows_of_reordered_columns_keep_their_places() -> None:
    """A short row under another order of columns lacks the last fields of that order."""
    frame = parsed(csv_of("100,10.5", "", header=REVERSED_HEADER).encode())
    assert frame.select(BAR).rows() == [(None,) * 5 + (10.5, 100.0), (None,) * 7]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(f"{ROW}\n{ROW}\n".encode(), r"no header, .* '2020-01-02,10", id="no-header"),
        pytest.param(f"\n{csv_of(ROW)}".encode(), r"no header, its first line is ''", id="blank"),
        pytest.param(
            b"x" * 500, r"no header, its first line is 'x{60}'\.\.\.$", id="one-long-line"
        ),
        pytest.param(csv_of(header=HEADER.lower()).encode(), "no header", id="lower-case"),
        pytest.param(
            csv_of(ROW, header=HEADER.replace(",Volume", "")).encode(),
            "^has no column Volume$",
            id="one-column-missing",
        ),
        pytest.param(
            csv_of("2020-01-02,1", header="Date,Close").encode(),
            "^has no column Open, High, Low, Adj Close, Volume$",
            id="many-columns-missing",
        ),
        pytest.param(csv_of(ROW).encode("utf-16"), "^is UTF-16 text", id="utf-16"),
        pytest.param(
            codecs.BOM_UTF16_BE + csv_of(ROW).encode("utf-16-be"), "^is UTF-16", id="utf-16-be"
        ),
        pytest.param(csv_of(ROW).encode("utf-16-le"), "^is binary", id="utf-16-without-mark"),
        pytest.param(csv_of(ROW, "caf\u00e9").encode("latin-1"), "^is not UTF-8", id="latin-1"),
        pytest.param(csv_of(ROW).encode() + b"\0" * 8, "^is binary", id="nul-bytes"),
        pytest.param(b"PK\x03\x04\x14\x00", "^is binary", id="zip"),
    ],
)
def test_unreadable_files_say_why(content: bytes, reason: str) -> None:
    """What is no CSV text with the columns of a bar is refused with its reason."""
    with pytest.raises(UnreadableFileError, match=reason):
        read_rows(content)


def test_valid_utf8_beyond_ascii_is_text() -> None:
    """Letters of other scripts are text: their row is there for the rules to judge."""
    assert texts_of(csv_of("caf\u00e9,\u80a1").encode()) == [("caf\u00e9", "\u80a1", *[None] * 5)]


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n\r\n", b"  \n", codecs.BOM_UTF8])
def test_empty_files_have_no_rows(content: bytes) -> None:
    """A file with nothing in it is no error and has no rows."""
    assert read_rows(content) == CsvRows()


@pytest.mark.parametrize("content", [csv_of(), csv_of().replace("\n", "\r\n")])
def test_a_header_alone_has_no_rows(content: str) -> None:
    """A file of a header only has no rows and nothing odd about it."""
    rows = read_rows(content.encode())
    assert rows == CsvRows()
    assert parse_rows([rows]).frame.is_empty()


@pytest.mark.parametrize(
    ("last", "values"),
    [
        pytest.param(ROW, VALUES, id="whole"),
        pytest.param(ROW[:18], (*VALUES[:4], *[None] * 3), id="cut"),
        pytest.param("2020-0", (None,) * 7, id="cut-in-the-date"),
    ],
)
def test_a_last_line_without_end_is_a_row(last: str, values: tuple[object, ...]) -> None:
    """A last line without line end is a row like any other, and is noted."""
    rows = read_rows(f"{HEADER}\n{ROW}\n{last}".encode())
    assert rows.count == 2
    assert rows.note == CUT_SHORT
    assert parse_rows([rows]).frame.select(BAR).rows() == [VALUES, values]


def test_notes_add_up() -> None:
    """All that is odd about a file is noted."""
    rows = read_rows(f"{HEADER},Splits\n{ROW},1".encode())
    assert rows.note == f"{CUT_SHORT}; extra columns left out: Splits"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(["", ROW], [2, 3], id="first"),
        pytest.param([ROW, "", "", ROW], [2, 3, 4, 5], id="between"),
        pytest.param([ROW, ""], [2, 3], id="last"),
        pytest.param([""], [2], id="nothing-else"),
    ],
)
def test_blank_lines_are_rows(lines: list[str], expected: list[int]) -> None:
    """A blank line is a row with nothing in it, so that line numbers stay true."""
    frame = parsed(csv_of(*lines).encode())
    assert frame["line"].to_list() == expected
    assert frame.select(BAR).rows() == [VALUES if line else (None,) * 7 for line in lines]


@pytest.mark.parametrize(
    ("row", "values", "extra"),
    [
        pytest.param("2020-01-02", (*VALUES[:1], *[None] * 6), None, id="date-only"),
        pytest.param(ROW.rpartition(",")[0], (*VALUES[:6], None), None, id="one-short"),
        pytest.param(f"{ROW},9", VALUES, "9", id="one-long"),
        pytest.param(f"{ROW},x,y", VALUES, "x", id="two-long"),
        pytest.param(
            ROW.replace("12", '"1,2"'),
            (VALUES[0], 10.0, None, None, 8, 11, 10.5),
            "100",
            id="comma-in-quotes",
        ),
    ],
)
def test_short_and_long_rows(row: str, values: tuple[object, ...], extra: str | None) -> None:
    """A short row lacks its last fields, and what a long row has beyond shows as extra."""
    frame = parsed(csv_of(row, ROW).encode())
    assert frame.select(*BAR, EXTRA).rows() == [(*values, extra), (*VALUES, None)]


@pytest.mark.parametrize(
    "field",
    ["", " ", "x", "1;", "1e", "--1", "1_000", "0x10", "1 2", "NULL", "N/A", "$1", "\u0661"],
)
def test_what_is_no_number_is_null(field: str) -> None:
    """A field that is no number is null; no value is made up."""
    assert parsed(csv_of(bar(open=field)).encode())["Open"].to_list() == [None]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("0", 0.0),
        ("-1.5", -1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("0.1", 0.1),
        ("123456.78901234567", 123456.78901234567),
        ("4.9406564584124654e-324", 5e-324),
        ("9007199254740991", 2.0**53 - 1),
    ],
)
def test_numbers_are_read_exactly(field: str, value: float) -> None:
    """A number becomes the double that is nearest to its text."""
    assert parsed(csv_of(bar(close=field)).encode())["Close"].to_list() == [value]


@pytest.mark.parametrize("field", ["", "2020-02-30", "2020-13-01", "20200102", "today", "2020-01"])
def test_what_is_no_date_is_null(field: str) -> None:
    """A field that is no calendar day is null, also next to a row with a date."""
    assert parsed(csv_of(bar(field)).encode())["Date"].to_list() == [None]
    assert parsed(csv_of(ROW, bar(field)).encode())["Date"].to_list() == [VALUES[0], None]


def test_lines_are_counted_in_each_file() -> None:
    """Line numbers start anew in each file, with empty files in between left out."""
    contents = [csv_of(*bars(3)), csv_of(), csv_of("", *bars(1)), "", csv_of(*bars(2))]
    rows = [read_rows(content.encode()) for content in contents]
    frame = parse_rows(rows).frame
    places = frame.select("file_index", "line").rows()
    assert places == [(0, 2), (0, 3), (0, 4), (2, 2), (2, 3), (4, 2), (4, 3)]
    assert frame["Volume"].to_list() == [1, 2, 3, None, 1, 1, 2]


def test_as_read_looks_up_the_rows_of_every_file() -> None:
    """The text of a few rows of several files is found, in the order of the rows."""
    contents = [csv_of(*bars(3)), csv_of("a", "b,c"), csv_of(*bars(2))]
    rows = parse_rows([read_rows(content.encode()) for content in contents])
    few = rows.frame.gather([2, 3, 4, 6])
    texts = rows.as_read(few)
    assert texts.columns == list(AS_READ.values())
    assert [tuple(field or "" for field in text) for text in texts.rows()] == [
        tuple(bars(3)[2].split(",")),
        ("a", *[""] * 6),
        ("b", "c", *[""] * 5),
        tuple(bars(2)[1].split(",")),
    ]


def test_as_read_of_no_rows() -> None:
    """No rows have no text, under the same columns."""
    rows = parse_rows([read_rows(csv_of(ROW).encode())])
    texts = rows.as_read(rows.frame.clear())
    assert texts.schema == rows.as_read(rows.frame).schema
    assert texts.is_empty()


LINES = st.text(st.characters(codec="utf-8", exclude_characters='\0\r\n"'), max_size=40)
LIKE_BARS = st.text("0123456789-,.e+ #'\\\t", max_size=40)


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(LINES | LIKE_BARS, max_size=12),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    header=st.sampled_from([HEADER, REVERSED_HEADER, f"x,{HEADER}"]),
    ended=st.booleans(),
)
def test_no_line_is_lost(lines: list[str], line_end: str, header: str, *, ended: bool) -> None:
    """Whatever stands below the header, there are as many rows as lines."""
    text = line_end.join([header, *lines, *([""] if ended else [])])
    count = len(lines) if ended or not lines or lines[-1] else len(lines) - 1
    rows = read_rows(text.encode())
    assert rows.count == count
    frame = parse_rows([rows]).frame
    assert frame["line"].to_list() == list(range(2, count + 2))


@settings(max_examples=100, deadline=None)
@given(body=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=120))
def test_counted_lines_are_parsed_rows(body: str) -> None:
    """Quotes and odd line ends never make the parser see other lines than were counted."""
    rows = read_rows(f"{HEADER}\n{body}\n".encode())
    assert rows.text.count(b"\n") == rows.count
    assert parse_rows([rows, rows]).frame.height == 2 * rows.count


FIELDS = st.text(st.characters(codec="utf-8", exclude_characters='\0\r\n",'), max_size=12)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.lists(FIELDS, min_size=1, max_size=8), min_size=1, max_size=8))
def test_as_read_is_the_very_text(rows: list[list[str]]) -> None:
    """The fields as read are those of the file, letter by letter; empty ones are null."""
    texts = texts_of(csv_of(*(",".join(row) for row in rows)).encode())
    padded = [[*row[:7], *[""] * (7 - len(row))] for row in rows]
    assert texts == [tuple(field or None for field in row) for row in padded]


def test_dates_do_not_depend_on_their_neighbours() -> None:
    """A date of another country's pattern is never guessed, whichever comes first."""
    american = csv_of(bar("02/01/2020"), bar("01/06/2020"), bar("2020-01-07")).encode()
    iso = csv_of(bar("2020-01-02")).encode()
    for files in ([american], [american, iso], [iso, american]):
        dates = parse_rows([read_rows(content) for content in files]).frame["Date"].to_list()
        known = {day for day in dates if day is not None}
        assert known <= {date(2020, 1, 2), date(2020, 1, 7)}
        assert dates.count(None) == 2


def test_a_quoted_nothing_is_a_line_too() -> None:
    """A last line of two quotes is counted as a row, and noted as maybe cut short."""
    rows = read_rows(f'{csv_of(ROW)}""'.encode())
    assert rows.count == 2
    assert "cut short" in rows.note


def test_fields_beyond_a_header_in_another_order_are_extra() -> None:
    """A row longer than its header has too many fields in any order of columns."""
    header = "Volume,Adj Close,Close,Low,High,Open,Date"
    rows = read_rows(csv_of("100,11,11,8,12,10,2020-01-02,9", header=header).encode())
    assert parse_rows([rows]).frame[EXTRA].to_list() == ["9"]
