"""Headers of files of bars as people's tools write them: which column holds which field."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from stock_volume import columns
from stock_volume.bars.dates import is_ambiguous, read_date
from stock_volume.errors import UndecidedFileError, UnreadableFileError

SEPARATORS: Final = (",", ";", "\t", "|")

_ALIASES: Final = {
    "date": columns.DATE,
    "datetime": columns.DATE,
    "timestamp": columns.DATE,
    "open": columns.OPEN,
    "high": columns.HIGH,
    "low": columns.LOW,
    "close": columns.CLOSE,
    "adjclose": columns.ADJ_CLOSE,
    "adjustedclose": columns.ADJ_CLOSE,
    "closeadj": columns.ADJ_CLOSE,
    "volume": columns.VOLUME,
    "vol": columns.VOLUME,
}
"""Fields of a bar by their names in lower case, without blanks and punctuation."""

_SYMBOL_NAMES: Final = {"symbol", "ticker"}
_NO_LETTER_OR_DIGIT: Final = re.compile(r"[^a-z0-9]")
_SHOWN: Final = 60


class Line(NamedTuple):
    """A line that is not blank.

    Attributes:
        number: Its number in the file, from 1.
        text: Its text, without line end.
    """

    number: int
    text: str


def lines_of(text: str) -> Iterator[Line]:
    """Split a text into lines, without blank ones: empty, or of blanks and separators only."""
    blank = "".join(SEPARATORS) + " \t"
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip(blank):
            yield Line(number, line)


def split_fields(line: str, separator: str) -> list[str]:
    """Split a line into fields, without blanks around them.

    A separator inside quotes is part of its field (RFC 4180). A quote that is never closed
    ends with its line: a bar has no line breaks.

    Args:
        line: A line without its end.
        separator: One of ``SEPARATORS``.

    Returns:
        The fields.
    """
    if '"' not in line:
        return [field.strip() for field in line.split(separator)]
    try:
        fields = next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    except csv.Error:  # a field beyond the limit of the csv module
        fields = line.split(separator)
    return [field.strip() for field in fields]


def plain_name(name: str) -> str:
    """Reduce a column's name to lower-case letters and digits, as names are compared."""
    return _NO_LETTER_OR_DIGIT.sub("", name.lower())


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the fields of a bar are in the rows of a file.

    Attributes:
        separator: What separates fields.
        places: Position of each field, in the order of ``columns.BAR``.
        width: Number of columns.
        extra: Names of columns that hold no field of a bar.
        symbol_place: Position of a column of symbols, or None.
        ticker: The symbol that the header names, or "".
    """

    separator: str
    places: tuple[int, ...]
    width: int
    extra: tuple[str, ...] = ()
    symbol_place: int | None = None
    ticker: str = ""

    def fields(self, line: str) -> tuple[list[str], list[str]]:
        """Split a row.

        Args:
            line: The row's text.

        Returns:
            The fields of a bar, "" where the row is too short, and any that the row has
            beyond its columns, without empty ones at its end.
        """
        fields = split_fields(line, self.separator)
        while len(fields) > self.width and not fields[-1]:
            fields.pop()
        padded = fields + [""] * (self.width - len(fields))
        return [padded[place] for place in self.places], fields[self.width :]


def find_layout(lines: Sequence[Line], *, adj_close_from_close: bool) -> tuple[Layout, int]:
    """Find the layout of a file from its first lines.

    Args:
        lines: The file's first lines, at least one.
        adj_close_from_close: Whether Close serves for Adj Close where there is none.

    Returns:
        The layout, and how many lines the header has: one, or three of yfinance's.

    Raises:
        UnreadableFileError: There is no header, or one that lacks a column of a bar, has
            two columns for one field, or belongs to several symbols.
        UndecidedFileError: Only Adj Close is missing, and Close may not serve for it.
    """
    header = lines[0].text
    separator = max(SEPARATORS, key=lambda one: len(_fields_named(split_fields(header, one))))
    names = split_fields(header, separator)
    height, ticker = 1, ""
    levels = [split_fields(line.text, separator) for line in lines[:3]]
    if _is_multi_index(levels):
        names, ticker, height = _flatten(levels)
    while names and not names[-1]:
        names.pop()
    places = _places(names, header, adj_close_from_close=adj_close_from_close)
    others = [place for place in range(len(names)) if place not in places]
    symbols = [place for place in others if plain_name(names[place]) in _SYMBOL_NAMES]
    return Layout(
        separator,
        places,
        len(names),
        tuple(names[place] for place in others if names[place]),
        symbols[0] if symbols else None,
        ticker,
    ), height


def _fields_named(names: Sequence[str]) -> set[str]:
    return {_ALIASES[plain_name(name)] for name in names if plain_name(name) in _ALIASES}


def _is_multi_index(levels: Sequence[Sequence[str]]) -> bool:
    """Recognize the header of yfinance, a level of the columns' names a line."""
    return {plain_name(level[0]) for level in levels[:2]} == {"price", "ticker"}


def _flatten(levels: Sequence[Sequence[str]]) -> tuple[list[str], str, int]:
    """Turn the three lines of yfinance's header into one; the third names the index."""
    prices, tickers = sorted(levels[:2], key=lambda level: plain_name(level[0]) == "ticker")
    symbols = sorted({ticker for ticker in tickers[1:] if ticker})
    if len(symbols) > 1:
        raise several_symbols(symbols)
    has_index = len(levels) > 2 and not any(levels[2][1:])  # noqa: PLR2004 (the third line)
    return [columns.DATE, *prices[1:]], "".join(symbols), 3 if has_index else 2


def several_symbols(symbols: Sequence[str]) -> UnreadableFileError:
    """Make the error of a file that holds bars of several symbols."""
    return UnreadableFileError(
        f"holds bars of {len(symbols)} symbols, {' and '.join(symbols[:2])} among them: "
        "write one file per symbol, named after it"
    )


def _places(names: Sequence[str], header: str, *, adj_close_from_close: bool) -> tuple[int, ...]:
    """Find the position of each field of a bar."""
    places = {name: _place(names, name) for name in _fields_named(names)}
    if not places:
        raise UnreadableFileError(_no_header(names, header))
    if adj_close_from_close and columns.CLOSE in places:
        places.setdefault(columns.ADJ_CLOSE, places[columns.CLOSE])
    missing = [name for name in columns.BAR if name not in places]
    if missing == [columns.ADJ_CLOSE]:
        raise UndecidedFileError(
            "has no column Adj Close; export it (in yfinance auto_adjust=False), or let Close "
            "serve for it: --params ingestion.adj_close_from_close=true"
        )
    if missing:
        raise UnreadableFileError(f"has no column {', '.join(missing)}")
    return tuple(places[name] for name in columns.BAR)


def _place(names: Sequence[str], column: str) -> int:
    if names.count(column) == 1:
        return names.index(column)
    found = [place for place, name in enumerate(names) if _ALIASES.get(plain_name(name)) == column]
    if len(found) > 1:
        which = ", ".join(repr(names[place]) for place in found)
        raise UnreadableFileError(f"has several columns that may be {column}: {which}")
    return found[0]


def _no_header(names: Sequence[str], header: str) -> str:
    shown = repr(header[:_SHOWN]) + ("..." if len(header) > _SHOWN else "")
    if read_date(names[0]) or is_ambiguous(names[0]):
        return f"has no header, its first line is {shown}; expected {','.join(columns.BAR)}"
    return f"names no column of a bar, its first line is {shown}"
