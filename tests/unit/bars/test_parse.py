"""Parsing: every line becomes one row, and what cannot be parsed is left null."""

import codecs
from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from stock_volume.bars.parse import (
    AS_READ,
    EXTRA,
    CsvRows,
    ParseParameters,
    parse_rows,
    read_rows,
)
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
    assert rows == CsvRows(f"{ROW}\n{bar('2020-01-03')}\n".encode(), range(2, 4))
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
        pytest.param(csv_of(ROW.replace(",", " ,\t")).encode(), id="blanks-around-fields"),
        pytest.param(csv_of(ROW).encode("utf-16"), id="utf-16"),
        pytest.param(codecs.BOM_UTF16_BE + csv_of(ROW).encode("utf-16-be"), id="utf-16-be"),
        pytest.param(csv_of(ROW).replace(",", ";").encode(), id="semicolons"),
        pytest.param(csv_of(ROW).replace(",", "\t").encode(), id="tabs"),
        pytest.param(csv_of(ROW).replace(",", "|").encode(), id="pipes"),
        pytest.param(csv_of(ROW).replace("\n", "\r\r\n").encode(), id="cr-cr-lf"),
        pytest.param(csv_of(f"{ROW},", header=f"{HEADER},").encode(), id="trailing-commas"),
        pytest.param(csv_of(f"{ROW},, ,").encode(), id="trailing-blank-fields"),
        pytest.param(csv_of(f"0,{ROW}", header=f",{HEADER}").encode(), id="unnamed-index"),
        pytest.param(csv_of(ROW, header=HEADER.lower()).encode(), id="lower-case"),
        pytest.param(csv_of(ROW, header=HEADER.replace(" ", "")).encode(), id="no-blank"),
        pytest.param(
            csv_of(ROW, header="timestamp,open,high,low,close,adj_close,<VOL>").encode(),
            id="other-names",
        ),
        pytest.param(csv_of(ROW.replace("12", '"12"')).encode(), id="one-field-quoted"),
        pytest.param(
            csv_of(ROW.replace("2020-01-02", '"Jan 2, 2020"')).encode(), id="month-by-name"
        ),
        pytest.param(csv_of(ROW.replace("2020-01-02", "20200102")).encode(), id="compact-date"),
        pytest.param(
            csv_of(ROW.replace("2020-01-02", "2020-01-02 00:00:00")).encode(), id="midnight"
        ),
        pytest.param(
            csv_of(ROW.replace("2020-01-02", "2020-01-02 00:00:00-05:00")).encode(),
            id="midnight-with-its-zone",
        ),
        pytest.param(
            csv_of(ROW.replace("2020-01-02", "2020-01-02T05:00:00Z")).encode(),
            id="midnight-of-the-exchange",
        ),
        pytest.param(
            b"Price,Adj Close,Close,High,Low,Open,Volume\nTicker,A,A,A,A,A,A\nDate,,,,,,\n"
            b"2020-01-02,10.5,11,12,8,10,100\n",
            id="yfinance",
        ),
        pytest.param(
            b"Ticker,A,A,A,A,A,A\nPrice,Adj Close,Close,High,Low,Open,Volume\nDate,,,,,,\n"
            b"2020-01-02,10.5,11,12,8,10,100\n",
            id="yfinance-grouped-by-ticker",
        ),
    ],
)
def test_spellings_of_the_same_rows(content: bytes) -> None:
    """However a file writes its bars, the values are the same, and nothing is odd about it."""
    rows = read_rows(content)
    assert rows.note == ""
    assert rows.count == 1
    assert parse_rows([rows]).frame.select(*BAR, EXTRA).rows() == [(*VALUES, None)]


def test_mixed_line_ends() -> None:
    """A file patched together from several systems has one row a line end of any kind."""
    content = f"{HEADER}\r\n{ROW}\n{ROW}\r{ROW}\r\n".encode()
    frame = parsed(content)
    assert frame.select(BAR).rows() == [VALUES] * 3
    assert frame["line"].to_list() == [2, 3, 4]


def test_extra_columns_are_left_out_by_name() -> None:
    """Columns that are no field of a bar are left out, with a note that names them."""
    content = csv_of(f"A,{ROW},1.5", "A", header=f"Ticker,{HEADER},Dividends").encode()
    rows = read_rows(content)
    assert rows.note == "extra columns left out: Ticker, Dividends"
    assert parse_rows([rows]).frame.select(BAR).rows() == [VALUES, (None,) * 7]


def test_a_comma_inside_quotes_is_part_of_its_field() -> None:
    """A name with a comma shifts no value (RFC 4180), wherever its column is."""
    for header, row in (
        (f"Name,{HEADER}", f'"Foo, Inc.",{ROW}'),
        (f"{HEADER},Name", f'{ROW},"Foo, ""Inc."""'),
    ):
        assert parsed(csv_of(row, header=header).encode()).select(*BAR, EXTRA).rows() == [
            (*VALUES, None)
        ]


def test_a_quote_that_is_never_closed_ends_with_its_line() -> None:
    """One stray quote costs its own row and no other."""
    frame = parsed(csv_of(ROW, f'2020-01-03,"10{ROW[12:]}', ROW).encode())
    assert frame["line"].to_list() == [2, 3, 4]
    assert frame.select(BAR).rows()[::2] == [VALUES, VALUES]
    assert frame["High"].to_list()[1] is None


def test_several_symbols_in_one_file_are_refused() -> None:
    """Bars of two symbols in one file would be spliced into one series."""
    two = csv_of(f"A,{ROW}", f"B,{ROW}", header=f"Symbol,{HEADER}")
    with pytest.raises(UnreadableFileError, match=r"^holds bars of 2 symbols, A and B"):
        read_rows(two.encode())
    yfinance = "Price,Close,Close\nTicker,A,B\nDate,,\n2020-01-02,1,2\n"
    with pytest.raises(UnreadableFileError, match=r"^holds bars of 2 symbols, A and B"):
        read_rows(yfinance.encode())


def test_two_columns_for_one_field_are_refused() -> None:
    """Which of two columns is meant cannot be known, unless one has the very name."""
    named = csv_of(f"{ROW},9", header=f"{HEADER},CLOSE").encode()
    assert parsed(named).select(BAR).rows() == [VALUES]
    header = f"{HEADER.replace('Close,Adj', 'close,Adj')},CLOSE"
    with pytest.raises(UnreadableFileError, match="several columns that may be Close: 'close', 'C"):
        read_rows(csv_of(f"{ROW},9", header=header).encode())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param('"1,234.5"', 1234.5, id="with-a-point"),
        pytest.param('"1,234,567"', 1234567.0, id="millions"),
        pytest.param('"1,2"', None, id="a-decimal-comma"),
        pytest.param('"12,34,567"', None, id="uneven-groups"),
    ],
)
def test_thousands_separators_in_quotes(field: str, value: float | None) -> None:
    """Commas that group digits by three are read; any other comma is no number."""
    frame = parsed(csv_of(ROW.replace("8", field, 1)).encode())
    assert frame["Low"].to_list() == [value]


def test_a_decimal_comma_is_never_taken_for_a_thousands_separator() -> None:
    """Where no number of a file has a point, 1,234 may be 1.234: no price is made up."""
    header, row = HEADER.replace(",", ";"), "2020-01-02;10,500;12,000;8,000;11,000;10,500;1,000"
    frame = parsed(csv_of(row, header=header).encode())
    assert frame["Open"].to_list() == [None]


def test_close_serves_for_adj_close_on_request() -> None:
    """A file without Adj Close is refused with a remedy, and the remedy works."""
    content = csv_of("2020-01-02,10,12,8,11,100", header=HEADER.replace("Adj Close,", "")).encode()
    with pytest.raises(UnreadableFileError, match="has no column Adj Close; export it") as caught:
        read_rows(content)
    assert "ingestion.adj_close_from_close=true" in str(caught.value)
    rows = read_rows(content, ParseParameters(adj_close_from_close=True))
    assert parse_rows([rows]).frame["Adj Close"].to_list() == [11.0]


def test_ambiguous_dates_are_refused_by_file_unless_their_format_is_named() -> None:
    """03/01/2020 is a day in March or in January: only the user knows."""
    content = csv_of(bar("03/01/2020"), bar("03/28/2020")).encode()
    with pytest.raises(UnreadableFileError, match=r"03/01/2020 in line 2.*date_format=%m/%d/%Y"):
        read_rows(content)
    for date_format, days in (
        ("%m/%d/%Y", [date(2020, 3, 1), date(2020, 3, 28)]),
        ("%d/%m/%Y", [date(2020, 1, 3), None]),
    ):
        rows = read_rows(content, ParseParameters(date_format=date_format))
        assert parse_rows([rows]).frame["Date"].to_list() == days


@pytest.mark.parametrize("date_format", ["%Y", "%m/%d", "month", "%Y-%d-%m", "%Q"])
def test_formats_that_name_no_day_are_refused(date_format: str) -> None:
    """A format lacks nothing of a day, and reads ISO dates as ISO 8601 does."""
    with pytest.raises(ValidationError, match="date_format"):
        ParseParameters(date_format=date_format)


def test_short_rows_of_reordered_columns_keep_their_places() -> None:
    """A short row under another order of columns lacks the last fields of that order."""
    frame = parsed(csv_of("100,10.5", "100", header=REVERSED_HEADER).encode())
    assert frame.select(BAR).rows() == [
        (None,) * 5 + (10.5, 100.0),
        (None,) * 6 + (100.0,),
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(f"{ROW}\n{ROW}\n".encode(), r"no header, .* '2020-01-02,10", id="no-header"),
        pytest.param(
            b"x" * 500,
            r"names no column of a bar, its first line is 'x{60}'\.\.\.$",
            id="one-long-line",
        ),
        pytest.param(b"<html>\n<p>No data</p>\n", "names no column of a bar", id="html"),
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
        pytest.param(codecs.BOM_UTF16_LE + b"\0\xd8a", "^is not UTF-16", id="broken-utf-16"),
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
        pytest.param(["", ROW], [3], id="first"),
        pytest.param([ROW, "", " ", ROW], [2, 5], id="between"),
        pytest.param([ROW, ""], [2], id="last"),
        pytest.param([ROW, ",,,,,,", " , ; "], [2], id="separators-alone"),
        pytest.param([""], [], id="nothing-else"),
    ],
)
def test_blank_lines_are_no_rows(lines: list[str], expected: list[int]) -> None:
    """A blank line, or one of separators alone, is no row; line numbers stay true."""
    frame = parsed(csv_of(*lines).encode())
    assert frame["line"].to_list() == expected
    assert frame.select(BAR).rows() == [VALUES] * len(expected)


def test_lines_before_the_header_may_be_blank() -> None:
    """The header is the first line that is not blank."""
    frame = parsed(f"\n\n{csv_of(ROW)}".encode())
    assert frame["line"].to_list() == [4]


@pytest.mark.parametrize(
    ("row", "values", "extra"),
    [
        pytest.param("2020-01-02", (*VALUES[:1], *[None] * 6), None, id="date-only"),
        pytest.param(ROW.rpartition(",")[0], (*VALUES[:6], None), None, id="one-short"),
        pytest.param(f"{ROW},9", VALUES, "9", id="one-long"),
        pytest.param(f"{ROW},x,y", VALUES, "x", id="two-long"),
        pytest.param(f"{ROW},,y", VALUES, "y", id="two-long-with-a-gap"),
    ],
)
def test_short_and_long_rows(row: str, values: tuple[object, ...], extra: str | None) -> None:
    """A short row lacks its last fields, and what a long row has beyond shows as extra."""
    frame = parsed(csv_of(row, ROW).encode())
    assert frame.select(*BAR, EXTRA).rows() == [(*values, extra), (*VALUES, None)]


def test_each_row_is_judged_by_itself() -> None:
    """A row two fields too long is not made up for by rows that are a field short."""
    short = ROW.rpartition(",")[0]
    frame = parsed(csv_of(f"{ROW},,x", short, short).encode())
    assert frame[EXTRA].to_list() == ["x", None, None]


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


@pytest.mark.parametrize(
    "field",
    [
        "",
        "2020-02-30",
        "2020-13-01",
        "20200230",
        "today",
        "2020-01",
        "1577923200",
        "2020-01-02 09:30:00",
        "2020-01-02T14:30:00Z",
        "02-Jan-20",
        "\u0662020-01-02",
        "+202-01-02",
        "-202-01-02",
        "2020-\v1-02",
        "\f020-01-02",
        "20-9-1,-29",
        ":020-01-02",
    ],
)
def test_what_is_no_date_is_null(field: str) -> None:
    """A field that is no calendar day is null, also next to a row with a date."""
    assert parsed(csv_of(bar(field)).encode())["Date"].to_list() == [None]
    assert parsed(csv_of(ROW, bar(field)).encode())["Date"].to_list() == [VALUES[0], None]


def test_lines_are_counted_in_each_file() -> None:
    """Line numbers begin with each file, and empty files in between have none."""
    contents = [csv_of(*bars(3)), csv_of(), csv_of("", *bars(1)), "", csv_of(*bars(2))]
    rows = [read_rows(content.encode()) for content in contents]
    frame = parse_rows(rows).frame
    places = frame.select("file_index", "line").rows()
    assert places == [(0, 2), (0, 3), (0, 4), (2, 3), (4, 2), (4, 3)]
    assert frame["Volume"].to_list() == [1, 2, 3, 1, 1, 2]


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
    """Whatever is below the header, each line that is not blank is one row."""
    text = line_end.join([header, *lines, *([""] if ended else [])])
    numbers = [number for number, line in enumerate(lines, 2) if line.strip(",;|\t ")]
    rows = read_rows(text.encode())
    assert list(rows.lines) == numbers
    frame = parse_rows([rows]).frame
    assert frame["line"].to_list() == numbers


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
    """The fields equal the file's, without surrounding blanks; empty ones are null."""
    texts = texts_of(csv_of(*(",".join(row) for row in rows)).encode())
    written = [row for row in rows if ",".join(row).strip(",;|\t ")]
    padded = [[*row[:7], *[""] * (7 - len(row))] for row in written]
    assert texts == [tuple(field.strip() or None for field in row) for row in padded]


PLAIN_DATES = st.dates(date(1900, 1, 1), date(2100, 1, 1)).map(date.isoformat)
PLAIN_NUMBERS = st.one_of(
    st.floats(0, 1e12).map(repr), st.integers(0, 10**15).map(str), st.sampled_from(["null", "x"])
)


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(
        st.tuples(PLAIN_DATES, *[PLAIN_NUMBERS] * 6).map(",".join), min_size=1, max_size=8
    )
)
def test_plain_and_rewritten_rows_parse_alike(rows: list[str]) -> None:
    """A plain file and the same rows behind an index column give the same frame."""
    plain = read_rows(csv_of(*rows).encode())
    rewritten = read_rows(csv_of(*(f"1,{row}" for row in rows), header=f",{HEADER}").encode())
    assert plain.layout is None
    assert rewritten.layout is not None
    one, other = parse_rows([plain]), parse_rows([rewritten])
    assert_frame_equal(one.frame, other.frame)
    assert_frame_equal(one.as_read(one.frame), other.as_read(other.frame))


def test_dates_do_not_depend_on_their_neighbours() -> None:
    """A date of another country's pattern is never guessed, whatever is beside it."""
    mixed = csv_of(bar("2020-01-07"), bar("02/01/2020"), bar("01/06/2020")).encode()
    iso = csv_of(bar("2020-01-02")).encode()
    for files in ([mixed], [mixed, iso], [iso, mixed]):
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


@pytest.mark.parametrize("row", [ROW, "x", ""])
def test_number_of_lines_is_bounded(row: str) -> None:
    """A file of more lines than allowed is unreadable, whatever is in them."""
    parameters = ParseParameters(max_rows=3)
    read_rows(csv_of(row, row, row).encode(), parameters)
    expected = r"has 4 lines after the first, more than ingestion\.max_rows = 3 allows"
    with pytest.raises(UnreadableFileError, match=expected):
        read_rows(csv_of(row, row, row, row).encode(), parameters)


@pytest.mark.parametrize("last", ["", "junk"])
def test_text_of_a_thousand_rows_a_file_is_looked_up(last: str) -> None:
    """The others are rows as well, with their lines and without their text."""
    files = [read_rows(csv_of(*["x"] * count, last).encode()) for count in (1200, 2, 1001)]
    parsed_rows = parse_rows(files)
    odd = parsed_rows.frame.filter(pl.col("line") % 2 == 1)
    texts = parsed_rows.as_read(odd)
    assert texts.height == odd.height
    assert texts["Date (as read)"].null_count() == 0  # 600 of a file
    texts = parsed_rows.as_read(parsed_rows.frame)
    assert texts.height == parsed_rows.frame.height
    shown = parsed_rows.frame.hstack(texts).filter(pl.col("Date (as read)").is_not_null())
    by_file = shown.group_by("file_index").agg(pl.col("line").max(), pl.len()).sort("file_index")
    count = 3 if last else 2
    assert by_file.rows() == [(0, 1001, 1000), (1, count + 1, count), (2, 1001, 1000)]


@pytest.mark.parametrize(
    ("row", "is_plain"),
    [
        ("2020-01-02,10,12,8,,10.5,100", True),
        ("2020-01-02,10,12,8,,10.5,", True),
        ("2020-01-02,10,12,8,11,10.5,100,", False),
        ("2020-01-02,10,12,8,,10.5,100,", False),
        ("2020-01-02,10,12,8,11,10.5,100,,1", False),
        ("2020-01-02,10,12,8,11,10.5,100,1", True),
    ],
)
def test_row_with_an_empty_field_beyond_the_last_is_rewritten(row: str, is_plain: bool) -> None:  # noqa: FBT001
    """The commas of each row count, not those of the file: other rows change nothing."""
    for rows in ([row], [ROW, row], [row, ROW, ROW], [*[ROW] * 300, row]):
        assert (read_rows(csv_of(*rows).encode()).layout is None) == is_plain
