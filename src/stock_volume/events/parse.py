"""From files of events to rows of text, with nothing lost on the way.

A CSV file has a header with the columns ``Symbol`` and ``Date``, and perhaps ``Time``, ``Kind``,
``Known`` and ``Confirmed``, in any order. A Parquet file has the same columns. Every line after
the header that is not blank is one row, for the rules to judge.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.bars.layout import SEPARATORS, Line, lines_of, plain_name, split_fields
from stock_volume.bars.text import plain_text
from stock_volume.errors import UnreadableFileError
from stock_volume.events.source import EventFile

EXTRA: Final = "extra"
"""Column of whether a row has more fields than the file has columns."""

MAX_ROWS: Final = 2_000_000
"""Largest number of lines of a file: a century of releases of 5,000 symbols."""

_PARQUET: Final = ".parquet"
_REQUIRED: Final = (columns.SYMBOL, columns.DATE)
_ALIASES: Final = {
    **{name.lower(): name for name in columns.EVENT},
    "ticker": columns.SYMBOL,
    "knownat": columns.KNOWN,
    "eventtype": columns.EVENT_KIND,
}
"""Columns by their names in lower case, without blanks and punctuation."""

_SCHEMA: Final = {
    columns.LINE: pl.Int32(),
    EXTRA: pl.Boolean(),
    **dict.fromkeys(columns.EVENT, pl.String()),
}


def read_event_rows(file: EventFile) -> pl.DataFrame:
    """Find the rows of a file of events.

    Args:
        file: The file.

    Returns:
        One row per row of the file, in order: ``line`` (from 1; in Parquet the number of the
        row), ``extra``, and the fields of an event as text, null where empty.

    Raises:
        UnreadableFileError: The file is neither text nor Parquet, lacks a column, or has too
            many lines.
    """
    if file.unreadable:
        raise UnreadableFileError(file.unreadable)
    if file.name.lower().endswith(_PARQUET):
        return _read_parquet(file.content)
    text = plain_text(file.content)
    if (count := text.count(b"\n")) > MAX_ROWS:
        raise UnreadableFileError(f"has {count:,} lines, more than the {MAX_ROWS:,} allowed")
    lines = list(lines_of(text.decode()))
    if not lines:
        return pl.DataFrame(schema=_SCHEMA)
    return _read_lines(lines)


def _read_parquet(content: bytes) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(BytesIO(content))
    except pl.exceptions.PolarsError as error:
        raise UnreadableFileError(f"is not a Parquet file: {error}") from error
    places = _find_columns(frame.columns)
    texts = [
        _as_text(frame.to_series(places[name])).alias(name)
        if name in places
        else pl.lit(None, pl.String).alias(name)
        for name in columns.EVENT
    ]
    line = pl.int_range(1, pl.len() + 1, dtype=pl.Int32).alias(columns.LINE)
    return frame.select(line, pl.lit(value=False).alias(EXTRA), *texts).select(list(_SCHEMA))


def _as_text(values: pl.Series) -> pl.Series:
    if isinstance(values.dtype, pl.Datetime):
        return values.dt.to_string("iso:strict")
    try:
        return values.cast(pl.String).replace("", None)
    except pl.exceptions.PolarsError as error:
        raise UnreadableFileError(f"its column {values.name} is a {values.dtype}") from error


def _read_lines(lines: Sequence[Line]) -> pl.DataFrame:
    header = lines[0].text
    separator = max(SEPARATORS, key=header.count)
    names = split_fields(header, separator)
    places = _find_columns(names)
    rows = [_read_line(line, separator, places, len(names)) for line in lines[1:]]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _read_line(
    line: Line, separator: str, places: dict[str, int], width: int
) -> list[str | int | bool | None]:
    fields = split_fields(line.text, separator)
    has_extra = any(fields[width:])
    fields += [""] * (width - len(fields))
    values = [fields[places[name]] or None if name in places else None for name in columns.EVENT]
    return [line.number, has_extra, *values]


def _find_columns(names: Sequence[str]) -> dict[str, int]:
    """Find the position of each field of an event."""
    found: dict[str, int] = {}
    for place, name in enumerate(names):
        column = _ALIASES.get(plain_name(name))
        if column in found:
            raise UnreadableFileError(f"has two columns for {column}")
        if column is not None:
            found[column] = place
    missing = [name for name in _REQUIRED if name not in found]
    if missing:
        shown = ",".join(names)[:60]
        raise UnreadableFileError(
            f"has no column {' and no column '.join(missing)}, its header is {shown!r}; expected "
            f"{','.join(columns.EVENT)}, of which {' and '.join(_REQUIRED)} are required"
        )
    return found
