"""From the bytes of CSV files to one frame of rows, with nothing lost on the way.

Parsing is lenient where nothing can go wrong (a byte-order mark, line ends of any
system, quoted fields, columns in another order) and otherwise leaves a field null,
for the rules to judge. Every line after the header is one row: lines are counted in
the bytes, apart from the parser, so that a lost row would show.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Final

import numpy as np
import polars as pl

from stock_volume import columns
from stock_volume.errors import UnreadableFileError

AS_READ: Final = {name: f"{name} (as read)" for name in columns.BAR}
"""Column of each bar field's text, by the field's name."""

EXTRA: Final = "extra"
"""Column of whatever a row holds beyond its last field."""

FILE_INDEX: Final = "file_index"

_HEADER: Final = ",".join(columns.BAR).encode()
_FIRST_ROW_LINE: Final = 2
_WIDTH: Final = len(columns.BAR)
_TYPED: Final = {
    columns.DATE: pl.String(),
    **dict.fromkeys(columns.NUMBERS, pl.Float64()),
    EXTRA: pl.String(),
}
_UTF8_MARK: Final = b"\xef\xbb\xbf"
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_QUOTED_FIELD: Final = re.compile(rb'(?m)(?:^|(?<=,))"([^",\n]*)"(?=,|$)')
_EMPTY_EXTRA: Final = re.compile(rb"^((?:[^,]*,){%d}[^,]*),(?=,|$)" % (_WIDTH - 1))
_ISO_DATE: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


@dataclass(frozen=True, slots=True)
class CsvRows:
    """The rows of one file, its columns in the order of ``columns.BAR``.

    Attributes:
        text: The rows, each ended by a line feed, without the header.
        count: Number of rows.
        note: What is odd about the file although its rows can be used, or "".
    """

    text: bytes = b""
    count: int = 0
    note: str = ""


def read_rows(content: bytes) -> CsvRows:
    """Find the rows of a file of bars.

    Args:
        content: The whole file.

    Returns:
        Its rows; none where it has only a header, or nothing at all.

    Raises:
        UnreadableFileError: The file is binary or in another encoding, or has no
            header with the columns of a bar.
    """
    text = _as_plain_text(content)
    if not text or text.isspace():
        return CsvRows()
    notes = []
    if not text.endswith(b"\n"):
        notes.append("no line end after the last row, the file may be cut short")
        text += b"\n"
    if b'"' in text:
        text = _QUOTED_FIELD.sub(rb"\1", text)
    header, _, body = text.partition(b"\n")
    if header != _HEADER:
        names = [name.strip() for name in header.decode().split(",")]
        order = _column_order(names, header)
        extra = [name for place, name in enumerate(names) if place not in order]
        body = _reordered(body, order, len(names))
        if extra:
            notes.append(f"extra columns left out: {', '.join(extra)}")
    count = _count(body, b"\n")
    if _count(body, b",") != count * (_WIDTH - 1):
        body = _with_extras_shown(body)
    return CsvRows(body, count, "; ".join(notes))


def _as_plain_text(content: bytes) -> bytes:
    """Undo what systems and spreadsheets do to plain text, or refuse what is not text."""
    if content.startswith(_UTF16_MARKS):
        raise UnreadableFileError("is UTF-16 text, expected UTF-8")
    if b"\0" in content:
        raise UnreadableFileError("is binary, expected CSV text")
    if not content.isascii():
        try:
            content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UnreadableFileError(f"is not UTF-8 text: {error}") from error
        content = content.removeprefix(_UTF8_MARK)
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return content


def _count(text: bytes, character: bytes) -> int:
    """Count a frequent character; ``bytes.count`` is made for rare ones, and slower."""
    return int(np.count_nonzero(np.frombuffer(text, dtype=np.uint8) == ord(character)))


def _column_order(names: Sequence[str], header: bytes) -> list[int]:
    """Tell where in a row each field of a bar stands."""
    missing = [name for name in columns.BAR if name not in names]
    if len(missing) == _WIDTH:
        raise UnreadableFileError(f"has no header, its first line is {_shortened(header)}")
    if missing:
        raise UnreadableFileError(f"has no column {', '.join(missing)}")
    return [names.index(name) for name in columns.BAR]


def _reordered(body: bytes, order: Sequence[int], width: int) -> bytes:
    """Put the fields of every row into the order of a bar, any beyond the header last."""
    rows = []
    for row in body.splitlines():
        fields = row.split(b",")
        fields += [b""] * (width - len(fields))
        moved = [*(fields[place] for place in order), *fields[width:]]
        rows.append(b",".join(moved) + b"\n")
    return b"".join(rows)


def _with_extras_shown(body: bytes) -> bytes:
    """Mark an empty field beyond the last, which the parser takes for none."""
    rows = body.split(b"\n")[:-1]
    return b"".join(_EMPTY_EXTRA.sub(rb"\1,?", row) + b"\n" for row in rows)


def _shortened(text: bytes, length: int = 60) -> str:
    shown = text[:length].decode(errors="replace")
    return repr(shown) + ("..." if len(text) > length else "")


@dataclass(frozen=True, slots=True)
class ParsedRows:
    """The rows of several files.

    Attributes:
        frame: One row a line: ``file_index`` (position of its file), ``line`` (in its
            file, from 1), each field typed (Date, the others Float64; null where
            missing or unparsable), and ``extra`` (null where a row has no more fields).
        files: What was parsed.
    """

    frame: pl.DataFrame
    files: Sequence[CsvRows]

    def as_read(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Look up the text of a few rows.

        Args:
            rows: Some rows of ``frame``; those of a file next to each other.

        Returns:
            The fields as text under ``AS_READ``, a row each; null where empty.
        """
        places = zip(rows[FILE_INDEX], rows[columns.LINE], strict=True)
        texts: list[list[str | None]] = []
        for file_index, of_file in groupby(places, key=itemgetter(0)):
            lines = self.files[file_index].text.split(b"\n")
            for _, line in of_file:
                fields = lines[line - _FIRST_ROW_LINE].decode().split(",")
                padded = [*fields, *[""] * (_WIDTH - len(fields))]
                texts.append([field or None for field in padded[:_WIDTH]])
        return pl.DataFrame(texts, schema=dict.fromkeys(AS_READ.values(), pl.String), orient="row")


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
    firsts = np.cumsum([0, *counts[:-1]])
    line = np.arange(_FIRST_ROW_LINE, frame.height + _FIRST_ROW_LINE) - firsts[file_index]
    places = [pl.Series(FILE_INDEX, file_index), pl.Series(columns.LINE, line, pl.Int32)]
    return ParsedRows(frame.with_columns(_as_date()).hstack(places), files)


def _as_date() -> pl.Expr:
    """Read a date; the parser would guess its pattern from the first one it meets."""
    text = pl.col(columns.DATE)
    day = text.str.to_date("%Y-%m-%d", strict=False, cache=False)
    return pl.when(text.str.contains(_ISO_DATE)).then(day).alias(columns.DATE)


def _parse_csv(texts: Iterable[bytes]) -> pl.DataFrame:
    return pl.read_csv(
        b"".join([",".join(_TYPED).encode(), b"\n", *texts]),
        schema=_TYPED,
        quote_char=None,
        truncate_ragged_lines=True,
        ignore_errors=True,
    )
