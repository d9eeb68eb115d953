"""The listing of an archive: what each symbol is."""

import csv
import io
import logging
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from stock_volume import columns
from stock_volume.bars.archive import BarArchive, BarFile
from stock_volume.bars.layout import SEPARATORS, plain_name, split_fields
from stock_volume.bars.text import plain_text
from stock_volume.errors import UnreadableFileError

logger = logging.getLogger(__name__)

NASDAQ_SYMBOL: Final = "NASDAQ Symbol"
"""The column that names the files of the Kaggle archive: AGM-A, where Symbol has AGM$A."""

_FALLBACK_ENCODING: Final = "cp1252"
_YES: Final = {"y", "yes", "true", "t", "1", "1.0"}
_NO: Final = {"n", "no", "false", "f", "0", "0.0"}
_SHOWN: Final = 10


class Security(NamedTuple):
    """What a listing says of a symbol.

    Attributes:
        name: The security's name, or "" where the listing has none.
        is_etf: Whether it is an exchange-traded fund; None where the listing does not say.
    """

    name: str
    is_etf: bool | None


class ListedSecurity(NamedTuple):
    """A row of a listing.

    Attributes:
        symbol: The symbol, or "".
        nasdaq_symbol: The symbol as NASDAQ writes it, which names files, or "".
        security: Name and kind.
    """

    symbol: str
    nasdaq_symbol: str
    security: Security


class Listing:
    """Names and kinds of securities, by the symbols that name their files."""

    def __init__(self, rows: Sequence[ListedSecurity] = ()) -> None:
        """Index the securities.

        Args:
            rows: The rows of the listing; of several with one symbol the first counts.
        """
        by_symbol = {row.symbol: row.security for row in reversed(rows) if row.symbol}
        by_nasdaq = {row.nasdaq_symbol: row.security for row in reversed(rows) if row.nasdaq_symbol}
        self._by_symbol = by_symbol | by_nasdaq
        self._by_folded = {
            symbol.casefold(): security for symbol, security in self._by_symbol.items()
        }

    def __bool__(self) -> bool:
        """Return whether anything is listed."""
        return bool(self._by_symbol)

    def __contains__(self, symbol: str) -> bool:
        """Return whether a symbol is listed."""
        return self.find(symbol) is not None

    def find(self, symbol: str) -> Security | None:
        """Look up a symbol: as a NASDAQ symbol, as a symbol, then as either in any case."""
        return self._by_symbol.get(symbol, self._by_folded.get(symbol.casefold()))

    def security(self, file: BarFile) -> Security:
        """Describe the security that a file is of.

        Args:
            file: The file.

        Returns:
            Its name, or the symbol where none is listed, and its kind, or that of the
            file's folder where none is listed.
        """
        listed = self.find(file.symbol) or Security("", None)
        is_etf = file.is_etf if listed.is_etf is None else listed.is_etf
        return Security(listed.name or file.symbol, is_etf)


def read_listing(archive: BarArchive) -> Listing:
    """Read the securities' names and kinds.

    Args:
        archive: An archive, with or without a listing.

    Returns:
        The listing; empty, with a warning, where the archive has none or one that cannot be
        read.
    """
    if archive.listing is None:
        logger.warning(
            "%s: no listing of securities; symbols serve as names, and the folders say which "
            "are ETFs",
            archive.path,
        )
        return Listing()
    try:
        return Listing(parse_listing(archive.read(archive.listing)))
    except UnreadableFileError as error:
        logger.warning(
            "%s: the listing %s %s; symbols serve as names, and the folders say which are ETFs",
            archive.path,
            archive.listing,
            error,
        )
        return Listing()


def parse_listing(content: bytes) -> list[ListedSecurity]:
    """Parse a listing: delimited text with a column Symbol.

    Args:
        content: The file: UTF-8, UTF-16 or cp1252, its columns in any order and case,
            separated by commas, semicolons, tabs or pipes.

    Returns:
        Its rows, those without any symbol left out.

    Raises:
        UnreadableFileError: It is no text, or has no column Symbol.
    """
    text = plain_text(content, _FALLBACK_ENCODING).decode()
    header, _, _ = text.lstrip("\n").partition("\n")
    separator = max(SEPARATORS, key=lambda one: len(split_fields(header, one)))
    # Not a frame: NA, NAN and TRUE are symbols, and no value may be guessed a type.
    rows = csv.reader(io.StringIO(text.lstrip("\n")), delimiter=separator)
    try:
        names = [plain_name(name) for name in next(rows, [])]
        return _list_securities(names, rows)
    except csv.Error as error:
        raise UnreadableFileError(f"cannot be read: line {rows.line_num}: {error}") from error


def _list_securities(names: Sequence[str], rows: Iterable[Sequence[str]]) -> list[ListedSecurity]:
    symbol, nasdaq_symbol, name, etf = (
        names.index(plain_name(column)) if plain_name(column) in names else None
        for column in (columns.SYMBOL, NASDAQ_SYMBOL, columns.SECURITY_NAME, columns.ETF)
    )
    if symbol is None and nasdaq_symbol is None:
        raise UnreadableFileError("has no column Symbol")
    listed = []
    odd: set[str] = set()
    for row in rows:
        security = Security(_field(row, name), _is_etf(_field(row, etf), odd))
        listed.append(ListedSecurity(_field(row, symbol), _field(row, nasdaq_symbol), security))
    if odd:
        logger.warning(
            "the listing's column ETF has values that are neither yes nor no, the folders say "
            "which are ETFs: %s",
            ", ".join(sorted(odd)[:_SHOWN]),
        )
    return [row for row in listed if row.symbol or row.nasdaq_symbol]


def _field(row: Sequence[str], place: int | None) -> str:
    return "" if place is None or place >= len(row) else row[place].strip()


def _is_etf(value: str, odd: set[str]) -> bool | None:
    folded = value.lower()
    if folded in _YES:
        return True
    if folded in _NO:
        return False
    if value:
        odd.add(value)
    return None
