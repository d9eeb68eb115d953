"""Sources that are asked for each symbol by itself."""

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl

from stock_volume import columns
from stock_volume.bars.archive import LISTING_FILE, BarArchive, open_archive
from stock_volume.errors import SourceError
from stock_volume.sources.landing import land, member_name

SINCE = "since"


class Request(NamedTuple):
    """What to ask for.

    Attributes:
        symbol: The symbol.
        is_etf: Whether it is an ETF.
        since: First date wanted; None for all.
    """

    symbol: str
    is_etf: bool = False
    since: date | None = None


def requests_of(wanted: pl.DataFrame) -> list[Request]:
    """Read the requests of an update.

    Args:
        wanted: Symbol, ETF and since, a row a symbol.

    Returns:
        One request a row.
    """
    rows = wanted.select(columns.SYMBOL, columns.ETF, SINCE).rows()
    return [Request(*row) for row in rows]


def requests_for(symbols: Sequence[str] | str | None) -> list[Request]:
    """Make the requests of a first run.

    Args:
        symbols: Symbols, or the path of a listing (a CSV file with the columns Symbol and
            perhaps ETF).

    Returns:
        One request a symbol, for all its bars.

    Raises:
        SourceError: No symbol is named, or the listing cannot be read.
    """
    if not symbols:
        raise SourceError(
            "this source is asked symbol by symbol: name some under `symbols`, or the path "
            "of a listing; an update asks for the symbols that are held"
        )
    if not isinstance(symbols, str):
        return [Request(symbol) for symbol in symbols]
    try:
        with Path(symbols).open(encoding="utf-8-sig", newline="") as file:
            return list(_listed(csv.DictReader(file)))
    except (OSError, UnicodeDecodeError, KeyError, csv.Error) as error:
        raise SourceError(f"{symbols}: not a listing of symbols: {error}") from error


def listing_of(symbols: Sequence[str] | str | None) -> dict[str, bytes]:
    """Read the listing that names the symbols, so that it goes into the archive too.

    Args:
        symbols: Symbols, or the path of a listing.

    Returns:
        The listing under its name in the Kaggle layout; nothing without one.
    """
    if isinstance(symbols, str) and symbols:
        return {LISTING_FILE: Path(symbols).read_bytes()}
    return {}


def _listed(rows: Iterable[dict[str, str]]) -> Iterable[Request]:
    for row in rows:
        if row[columns.SYMBOL]:
            yield Request(row[columns.SYMBOL], row.get(columns.ETF) == "Y")


class Answers(NamedTuple):
    """What was answered.

    Attributes:
        files: Content of the files of bars, by symbol.
        absent: Why a symbol has none, by symbol.
    """

    files: dict[str, bytes]
    absent: dict[str, str]


class RequestedSource(ABC):
    """A source that is asked for each symbol by itself; its answers are kept as an archive."""

    def __init__(self, symbols: Sequence[str] | str | None, landing: Path) -> None:
        """Keep what to ask for.

        Args:
            symbols: Symbols of a first run, or the path of a listing.
            landing: Folder in which answers are kept.
        """
        self._symbols = symbols
        self._landing = landing

    def everything(self) -> BarArchive:
        """Fetch all bars of the symbols that are named.

        Returns:
            What was fetched.

        Raises:
            SourceError: No symbols are named, or the source failed or refused.
        """
        return self._landed(requests_for(self._symbols), listing_of(self._symbols))

    def recent(self, wanted: pl.DataFrame) -> BarArchive:
        """Fetch the bars of the symbols that are held, since the dates wanted.

        Args:
            wanted: Symbol, ETF and since, a row a symbol.

        Returns:
            What was fetched.

        Raises:
            SourceError: The source failed or refused.
        """
        return self._landed(requests_of(wanted), {})

    def _landed(self, requests: Sequence[Request], others: dict[str, bytes]) -> BarArchive:
        answers = self.fetch(requests)
        files = {
            member_name(request.symbol, is_etf=request.is_etf): answers.files[request.symbol]
            for request in requests
            if request.symbol in answers.files
        }
        archive = open_archive(land({**files, **others}, self._landing))
        archive.absent = answers.absent
        return archive

    @abstractmethod
    def fetch(self, requests: Sequence[Request]) -> Answers:
        """Ask for some symbols.

        Args:
            requests: One a symbol.

        Returns:
            At least one file.

        Raises:
            SourceError: The source failed or refused.
        """
