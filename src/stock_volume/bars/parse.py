"""From the bytes of CSV files to one frame of rows, with nothing lost on the way.

Most files are plain: the header of the Kaggle archive and rows that need no
interpretation. Their bytes go to Polars as they are. Any other file is rewritten line by
line into plain rows first (line ends, quotes, separators, the order of columns, dates,
thousands separators), and gives the same frame as the plain file of the same bars.

What cannot be read leaves its field null, for the rules to judge. Every line after the
header that is not blank is one row; the rows are counted apart from the parser, so that a
lost row would show.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby, islice
from operator import itemgetter
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field, field_validator

from stock_volume import columns
from stock_volume.arrays import Indices, Mask
from stock_volume.bars.dates import check_format, is_ambiguous, read_date
from stock_volume.bars.layout import Layout, Line, find_layout, lines_of, several_symbols
from stock_volume.bars.text import plain_text
from stock_volume.errors import UndecidedFileError, UnreadableFileError
from stock_volume.exchange import ExchangeParameters

AS_READ: Final = {name: f"{name} (as read)" for name in columns.BAR}
"""Column of each bar field's text, by the field's name."""

EXTRA: Final = "extra"
"""Column of whatever a row holds beyond its last field."""

FILE_INDEX: Final = "file_index"

KEPT_AS_READ: Final = 1_000
"""Rows of a file whose text is looked up; of the others the line is known."""

_HEADER: Final = ",".join(columns.BAR).encode()
_FIRST_ROW_LINE: Final = 2
_WIDTH: Final = len(columns.BAR)
_HEADER_LINES: Final = 3
_TYPED: Final = {
    columns.DATE: pl.Date(),
    **dict.fromkeys(columns.NUMBERS, pl.Float64()),
    EXTRA: pl.String(),
}
_FIRST_DATE: Final = np.frombuffer(b"0000-00-00,", dtype=np.uint8)
_LAST_DATE: Final = np.frombuffer(b"9999-99-99,", dtype=np.uint8)
"""Bounds of each character of a row that begins with an ISO date."""

_NEVER_PLAIN: Final = (b'"', b" ", b"\t")

_THOUSANDS: Final = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?")


class ParseParameters(ExchangeParameters):
    """How to read what files leave open.

    Attributes:
        date_format: Format (of ``strptime``) of dates that can mean several days, such as
            ``%m/%d/%Y``; files with such dates are refused without it.
        adj_close_from_close: Whether Close serves for Adj Close in files without it.
        max_rows: Largest number of lines of a file: 500,000 are two thousand years of daily
            bars, and take 200 MiB.
    """

    date_format: str | None = None
    adj_close_from_close: bool = False
    max_rows: int = Field(default=500_000, ge=1)

    @field_validator("date_format")
    @classmethod
    def _is_format(cls, value: str | None) -> str | None:
        return None if value is None else check_format(value)


@dataclass(frozen=True, slots=True)
class CsvRows:
    """The rows of one file.

    Attributes:
        text: The rows as plain CSV in the order of ``columns.BAR``, each ended by a line
            feed, without header.
        lines: Number of each row's line in the file, from 1.
        note: What is odd about the file although its rows can be used, or "".
        layout: Where the fields are in ``original``; None where the text is the file's own.
        original: Text of each row as the file has it; empty without ``layout``.
    """

    text: bytes = b""
    lines: Sequence[int] = ()
    note: str = ""
    layout: Layout | None = None
    original: Sequence[str] = ()

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.lines)

    def fields_as_read(self, lines: Iterable[int]) -> Iterator[list[str]]:
        """Look up the text of some rows.

        Args:
            lines: Numbers of their lines.

        Yields:
            The fields of a bar, without blanks around them; "" where the row is too short.
        """
        if self.layout is None:
            plain = self.text.split(b"\n")
            for line in lines:
                fields = plain[line - _FIRST_ROW_LINE].decode().split(",")
                yield (fields + [""] * _WIDTH)[:_WIDTH]
        else:
            place = {line: index for index, line in enumerate(self.lines)}
            for line in lines:
                yield self.layout.fields(self.original[place[line]])[0]


def read_rows(content: bytes, parameters: ParseParameters | None = None) -> CsvRows:
    """Find the rows of a file of bars.

    Args:
        content: The whole file.
        parameters: How to read what the file leaves open; the defaults without.

    Returns:
        Its rows; none where it has only a header, or nothing at all.

    Raises:
        UnreadableFileError: The file is binary or in another encoding, has no header with
            the columns of a bar, holds bars of several symbols, or has too many lines.
        UndecidedFileError: Its dates can mean several days, or it has no Adj Close, and the
            parameters do not say what to do.
    """
    parameters = parameters or ParseParameters()
    text = plain_text(content)
    if not text or text.isspace():
        return CsvRows()
    notes = []
    if not text.endswith(b"\n"):
        notes.append("no line end after the last row, the file may be cut short")
        text += b"\n"
    header, _, body = text.partition(b"\n")
    line_feeds = np.frombuffer(body, dtype=np.uint8) == ord("\n")
    count = int(np.count_nonzero(line_feeds))  # bytes.count is made for rare characters, and slower
    if count > parameters.max_rows:
        raise UnreadableFileError(
            f"has {count:,} lines after the first, more than ingestion.max_rows = "
            f"{parameters.max_rows:,} allows: one bar a day is expected"
        )
    if header == _HEADER and _is_plain(body, line_feeds):
        lines = range(_FIRST_ROW_LINE, _FIRST_ROW_LINE + count)
        return CsvRows(body, lines, "; ".join(notes))
    return _rewrite(text.decode(), parameters, notes)


def _is_plain(body: bytes, line_feeds: Mask) -> bool:
    """Return whether rows, each ended by a line feed, can go to the parser as they are.

    Plain rows begin with an ISO date, have no quotes and no blanks, and no empty field beyond
    the last column, which would hide those after it from the parser. ``line_feeds`` is overwritten.
    """
    if not body or not body.isascii() or any(mark in body for mark in _NEVER_PLAIN):
        return False
    characters = np.frombuffer(body, dtype=np.uint8)
    commas = characters == ord(",")
    ends = np.flatnonzero(line_feeds)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts).min() < _FIRST_DATE.size:
        return False
    # In place: new arrays of this size would cost more than what is computed in them.
    empty_before = np.logical_or(line_feeds, commas, out=line_feeds)[1:]
    np.logical_and(empty_before, commas[:-1], out=empty_before)
    if empty_before.any() and np.add.reduceat(commas, starts, dtype=np.int32).max() >= _WIDTH:
        return False
    return _begin_with_dates(body, starts)


def _begin_with_dates(body: bytes, starts: Indices) -> bool:
    """Return whether each row, from its start, has the characters of an ISO date and a comma."""
    width = _FIRST_DATE.size
    # One item a row is faster to pick than its characters.
    items = np.ndarray(len(body) - width + 1, dtype=f"V{width}", buffer=body, strides=(1,))
    characters = items[starts].view(np.uint8).reshape(-1, width)
    # Whole numbers without sign: below the first is far above the last.
    return bool((characters - _FIRST_DATE <= _LAST_DATE - _FIRST_DATE).all())


def _rewrite(text: str, parameters: ParseParameters, notes: list[str]) -> CsvRows:
    """Rewrite the rows of a file into plain ones."""
    lines = lines_of(text)
    first = list(islice(lines, _HEADER_LINES))
    if not first:
        return CsvRows()
    layout, height = find_layout(first, adj_close_from_close=parameters.adj_close_from_close)
    rows = [*first[height:], *lines]
    if not rows:
        return CsvRows(note="; ".join(notes))
    _check_dates(layout, rows[:1], parameters)
    _check_symbols(layout, rows)
    if layout.extra:
        notes.append(f"extra columns left out: {', '.join(layout.extra)}")
    has_points = "." in text
    plain = [
        _plain_row(*layout.fields(row.text), parameters, has_points=has_points) for row in rows
    ]
    return CsvRows(
        "".join(plain).encode(),
        tuple(row.number for row in rows),
        "; ".join(notes),
        layout,
        tuple(row.text for row in rows),
    )


def _check_dates(layout: Layout, rows: Sequence[Line], parameters: ParseParameters) -> None:
    """Refuse a file whose first date can mean several days."""
    for row in rows:
        day = layout.fields(row.text)[0][0]
        if is_ambiguous(day) and _read_day(day, parameters) is None:
            raise UndecidedFileError(
                f"its dates can mean several days ({day} in line {row.number}): name their "
                "format, such as --params ingestion.date_format=%m/%d/%Y"
            )


def _read_day(text: str, parameters: ParseParameters) -> date | None:
    return read_date(text, parameters.date_format, parameters.exchange.zone)


def _check_symbols(layout: Layout, rows: Sequence[Line]) -> None:
    """Refuse a file whose column of symbols names several: they would become one series."""
    if layout.symbol_place is None:
        return
    by_symbol = Layout(layout.separator, (layout.symbol_place,), layout.width)
    symbols = {by_symbol.fields(row.text)[0][0] for row in rows} - {""}
    if len(symbols) > 1:
        raise several_symbols(sorted(symbols))


def _plain_row(
    fields: Sequence[str], extra: Sequence[str], parameters: ParseParameters, *, has_points: bool
) -> str:
    day = _read_day(fields[0], parameters)
    # The parser would guess what a text that is no date may mean.
    written = ["" if day is None else day.isoformat()]
    for name, field in zip(columns.NUMBERS, fields[1:], strict=True):
        is_grouped = (
            "," in field
            # 1,234 may be a decimal comma, unless points are: a count of shares has neither.
            and (has_points or name == columns.VOLUME)
            and _THOUSANDS.fullmatch(field)
        )
        written.append(field.replace(",", "") if is_grouped else field)
    if extra:
        written.append("".join(extra))
    # Commas that are left are in rows that no rule lets pass.
    return ",".join(field.replace(",", ";") for field in written) + "\n"


@dataclass(frozen=True, slots=True)
class ParsedRows:
    """The rows of several files.

    Attributes:
        frame: One row per row of the files: ``file_index`` (position of its file), ``line``
            (in its file, from 1), each field typed (Date, the others Float64; null where
            missing or unparsable), and ``extra`` (null where a row has no more fields).
        files: What was parsed.
    """

    frame: pl.DataFrame
    files: Sequence[CsvRows]

    def as_read(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Look up the text of a few rows.

        Args:
            rows: Some rows of ``frame``; rows of a file are adjacent.

        Returns:
            The fields as text under ``AS_READ``, one row each; null where empty, and for rows
            after the first thousand of a file: a file of rubbish would fill the memory.
        """
        place = pl.int_range(pl.len()).over(FILE_INDEX)
        shown = rows.select(FILE_INDEX, columns.LINE, (place < KEPT_AS_READ).alias("shown"))
        places = shown.filter("shown").select(FILE_INDEX, columns.LINE).iter_rows()
        texts = [
            [field or None for field in fields]
            for file_index, of_file in groupby(places, key=itemgetter(0))
            for fields in self.files[file_index].fields_as_read(line for _, line in of_file)
        ]
        looked_up = pl.DataFrame(
            texts, schema=dict.fromkeys(AS_READ.values(), pl.String), orient="row"
        )
        if looked_up.height == rows.height:
            return looked_up
        position = (pl.col("shown").cum_sum() - 1).cast(pl.UInt32)
        index = shown.select(pl.when("shown").then(position)).to_series()
        return looked_up.select(pl.all().gather(index))


def parse_rows(files: Sequence[CsvRows]) -> ParsedRows:
    """Parse the rows of several files at once.

    Args:
        files: Rows of each file.

    Returns:
        The rows of all, in order.
    """
    counts = [rows.count for rows in files]
    frame = _parse_csv(rows.text for rows in files)
    if frame.height != sum(counts):
        raise AssertionError(f"{sum(counts)} lines were parsed into {frame.height} rows")
    file_index = np.repeat(np.arange(len(files), dtype=np.int32), counts)
    line = np.concatenate([np.empty(0, np.int32), *map(_numbers, files)])
    places = [pl.Series(FILE_INDEX, file_index), pl.Series(columns.LINE, line, pl.Int32)]
    return ParsedRows(frame.hstack(places), files)


def _numbers(rows: CsvRows) -> npt.NDArray[np.int32]:
    if isinstance(rows.lines, range):
        return np.arange(rows.lines.start, rows.lines.stop, dtype=np.int32)
    return np.array(rows.lines, dtype=np.int32)


def _parse_csv(texts: Iterable[bytes]) -> pl.DataFrame:
    return pl.read_csv(
        b"".join([",".join(_TYPED).encode(), b"\n", *texts]),
        schema=_TYPED,
        quote_char=None,
        truncate_ragged_lines=True,
        ignore_errors=True,
    )
