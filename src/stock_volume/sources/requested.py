"""Sources that are asked for each symbol by itself."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from datetime import date
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeAlias

import polars as pl

from stock_volume import columns
from stock_volume.bars.archive import (
    LISTING_FILE,
    SINCE,
    BarArchive,
    open_archive,
    warn_of_absent,
)
from stock_volume.bars.listing import parse_listing
from stock_volume.errors import SourceError, UnreadableFileError
from stock_volume.progress import progress
from stock_volume.sources.answer import explain_no_bars
from stock_volume.sources.landing import can_name_file, land, name_member


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


def read_requests(wanted: pl.DataFrame) -> list[Request]:
    """Read the requests of an update.

    Args:
        wanted: Symbol, ETF and since, a row a symbol.

    Returns:
        One request a row.
    """
    rows = wanted.select(columns.SYMBOL, columns.ETF, SINCE).rows()
    return [Request(*row) for row in rows]


def make_requests(symbols: Sequence[str] | str | None) -> list[Request]:
    """Make the requests of a first run.

    Args:
        symbols: Symbols, or the path of a listing, as an archive has it.

    Returns:
        One request a symbol, for all its bars.

    Raises:
        SourceError: No symbol is named, or the listing cannot be read or names none.
    """
    if not symbols:
        raise SourceError(
            "this source is asked symbol by symbol: name some under `symbols`, or the path "
            "of a listing; an update asks for the symbols that are held"
        )
    if not isinstance(symbols, str):
        return [Request(symbol) for symbol in symbols]
    try:
        listed = parse_listing(Path(symbols).read_bytes())
    except (OSError, UnreadableFileError) as error:
        raise SourceError(f"{symbols}: not a listing of symbols: {error}") from error
    requests = [
        Request(row.symbol or row.nasdaq_symbol, is_etf=bool(row.security.is_etf)) for row in listed
    ]
    if not requests:
        raise SourceError(f"{symbols}: lists no symbol")
    return requests


def read_listing(symbols: Sequence[str] | str | None) -> dict[str, bytes]:
    """Read the listing that names the symbols, so that it goes into the archive too.

    Args:
        symbols: Symbols, or the path of a listing.

    Returns:
        The listing under its name in the Kaggle layout; nothing without one.
    """
    if isinstance(symbols, str) and symbols:
        return {LISTING_FILE: Path(symbols).read_bytes()}
    return {}


Answer: TypeAlias = bytes | str
"""A file of bars, or why there is none."""


def _explain_if_without_bars(answer: Answer) -> Answer:
    """Take an answer without bars for a reason, whatever the source takes it for."""
    return answer if isinstance(answer, str) else explain_no_bars(answer) or answer


class RequestedSource(ABC):
    """A source that is asked for each symbol by itself; its answers are kept as an archive.

    An answer that has no bars counts as none: a note about limits, a page, a header alone.

    Attributes:
        name: What errors call it.
        hint: What errors say beside, to help.
    """

    hint = ""

    def __init__(
        self,
        name: str,
        symbols: Sequence[str] | str | None,
        landing: Path,
        max_failed_share: float,
    ) -> None:
        """Keep what to ask for.

        Args:
            name: What errors call it.
            symbols: Symbols of a first run, or the path of a listing.
            landing: Folder in which answers are kept.
            max_failed_share: Share of the symbols that may have no file; more fail the whole.
        """
        self.name = name
        self._symbols = symbols
        self._landing = landing
        self._max_failed_share = max_failed_share

    def everything(self) -> BarArchive:
        """Fetch all bars of the symbols that are named.

        Returns:
            What was fetched.

        Raises:
            SourceError: No symbols are named, or the source failed or refused.
        """
        archive = self._land_answers(make_requests(self._symbols), read_listing(self._symbols))
        warn_of_absent(self.name, archive.absent)
        return archive

    def recent(self, wanted: pl.DataFrame) -> BarArchive:
        """Fetch the bars of the symbols that are held, since the dates wanted.

        Args:
            wanted: Symbol, ETF and since, a row a symbol.

        Returns:
            What was fetched.

        Raises:
            SourceError: The source failed or refused.
        """
        return self._land_answers(read_requests(wanted), {})

    def _land_answers(self, requests: Sequence[Request], others: dict[str, bytes]) -> BarArchive:
        absent: dict[str, str] = {}
        fetched = self._fetch_files(requests, absent)
        archive = open_archive(land(chain(fetched, others.items()), self._landing))
        archive.absent = absent
        return archive

    def _fetch_files(
        self, requests: Sequence[Request], absent: dict[str, str]
    ) -> Iterator[tuple[str, bytes]]:
        """Yield the files of bars by name, in order of it, and note what is absent."""
        # By symbol: one that is listed twice would stand twice in the archive.
        names = {
            request.symbol: (name_member(request.symbol, is_etf=request.is_etf), request)
            for request in requests
        }
        sound = sorted(named for symbol, named in names.items() if can_name_file(symbol))
        absent |= {symbol: "cannot name a file" for symbol in names if not can_name_file(symbol)}
        self._check_absent_share(absent, len(names))
        with (
            progress("fetching bars", len(sound), "files") as advance,
            closing(self.fetch([request for _, request in sound])) as answers,
        ):
            for (name, request), answer in zip(
                sound, map(_explain_if_without_bars, answers), strict=True
            ):
                if isinstance(answer, str):
                    absent[request.symbol] = answer
                    self._check_absent_share(absent, len(names))
                    advance(1)
                else:
                    yield name, answer
                    advance(1, answer.count(b"\n"))

    def _check_absent_share(self, absent: dict[str, str], requested: int) -> None:
        """Fail as soon as it is certain that too little will be there."""
        if len(absent) < requested and len(absent) <= self._max_failed_share * requested:
            return
        if not requested:
            raise SourceError(f"{self.name}: there is no symbol to ask for")
        symbol, reason = next(iter(absent.items()))
        raise SourceError(
            f"{self.name}: {len(absent)} of {requested} symbols could not be fetched "
            f"(max_failed_share = {self._max_failed_share:g}); first {symbol}: {reason}{self.hint}"
        )

    @abstractmethod
    def fetch(self, requests: Sequence[Request]) -> Generator[Answer]:
        """Ask for some symbols.

        Args:
            requests: One a symbol.

        Yields:
            In their order, a file of bars each, or why there is none. Bytes that are no file
            of bars are taken for none, with their first words as the reason.

        Raises:
            SourceError: The source refused.
        """
