"""Base class of sources with one request per symbol."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from datetime import date
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias

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
    """Request for the bars of one symbol.

    Attributes:
        symbol: The symbol.
        is_etf: Whether it is an ETF.
        since: First date; None for the whole history.
    """

    symbol: str
    is_etf: bool = False
    since: date | None = None


def read_requests(wanted: pl.DataFrame) -> list[Request]:
    """Read the requests of an update.

    Args:
        wanted: Columns ``Symbol``, ``ETF`` and the first date, one row per symbol.

    Returns:
        One request per row.
    """
    rows = wanted.select(columns.SYMBOL, columns.ETF, SINCE).rows()
    return [Request(*row) for row in rows]


def make_requests(symbols: Sequence[str] | str | None) -> list[Request]:
    """Make the requests of a first run.

    Args:
        symbols: Symbols, or the path of a listing as in an archive.

    Returns:
        One request per symbol, for its whole history.

    Raises:
        SourceError: No symbol is given, or the listing is unreadable or has no symbol.
    """
    if not symbols:
        raise SourceError(
            "this source needs symbols: list some under `symbols`, or give the path of a "
            "listing; an update takes the symbols of the existing layers"
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
"""A file of bars, or the reason why there is none."""


def _explain_if_without_bars(answer: Answer) -> Answer:
    """Replace an answer without bars by the reason, whatever the source made of it."""
    return answer if isinstance(answer, str) else explain_no_bars(answer) or answer


class RequestedSource(ABC):
    """A source with one request per symbol; its answers are stored as an archive.

    Answers without bars, such as a note about limits, a page or a bare header, count as
    absent.

    Attributes:
        name: Name in error messages.
        hint: Advice at the end of error messages.
    """

    hint = ""

    def __init__(
        self,
        name: str,
        symbols: Sequence[str] | str | None,
        landing: str | Path,
        max_failed_share: float,
    ) -> None:
        """Configure the source.

        Args:
            name: Name in error messages.
            symbols: Symbols of a first run, or the path of a listing.
            landing: Folder of the fetched archives.
            max_failed_share: Maximum share of symbols without bars; beyond it the fetch fails.
        """
        self.name = name
        self._symbols = symbols
        self._landing = Path(landing)
        self._max_failed_share = max_failed_share

    @property
    def path(self) -> Path:
        """Path of the latest archive of answers; the folder of all before the first."""
        archives = sorted(self._landing.glob("*.zip"), key=lambda path: path.stat().st_mtime_ns)
        return archives[-1] if archives else self._landing

    def exists(self) -> bool:
        """Return True: the source is requested later."""
        return True

    def open(self) -> Self:
        """Return the source itself, which is requested later."""
        return self

    def everything(self) -> BarArchive:
        """Fetch all bars of the configured symbols.

        Returns:
            Archive of the fetched files.

        Raises:
            SourceError: No symbols are configured, or the source fails or refuses access.
        """
        archive = self._land_answers(make_requests(self._symbols), read_listing(self._symbols))
        warn_of_absent(self.name, archive.absent)
        return archive

    def recent(self, wanted: pl.DataFrame) -> BarArchive:
        """Fetch recent bars of the symbols of the existing layers.

        Args:
            wanted: Columns ``Symbol``, ``ETF`` and the first date, one row per symbol.

        Returns:
            Archive of the fetched files.

        Raises:
            SourceError: The source fails or refuses access.
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
        """Yield names and contents of the files, sorted by name, and record absent symbols."""
        # Keyed by symbol, so that a symbol listed twice is in the archive once.
        members = {
            request.symbol: (name_member(request.symbol, is_etf=request.is_etf), request)
            for request in requests
        }
        valid = sorted(member for symbol, member in members.items() if can_name_file(symbol))
        absent |= {symbol: "cannot name a file" for symbol in members if not can_name_file(symbol)}
        self._check_absent_share(absent, len(members))
        with (
            progress("fetching bars", len(valid), "files") as advance,
            closing(self.fetch([request for _, request in valid])) as answers,
        ):
            for (name, request), answer in zip(
                valid, map(_explain_if_without_bars, answers), strict=True
            ):
                if isinstance(answer, str):
                    absent[request.symbol] = answer
                    self._check_absent_share(absent, len(members))
                    advance(1)
                else:
                    yield name, answer
                    advance(1, answer.count(b"\n"))

    def _check_absent_share(self, absent: dict[str, str], requested: int) -> None:
        """Fail as soon as too many symbols are absent."""
        if len(absent) < requested and len(absent) <= self._max_failed_share * requested:
            return
        if not requested:
            raise SourceError(f"{self.name}: there is no symbol to fetch")
        symbol, reason = next(iter(absent.items()))
        raise SourceError(
            f"{self.name}: {len(absent)} of {requested} symbols could not be fetched "
            f"(max_failed_share = {self._max_failed_share:g}); first {symbol}: {reason}{self.hint}"
        )

    @abstractmethod
    def fetch(self, requests: Sequence[Request]) -> Generator[Answer]:
        """Fetch the bars of some symbols.

        Args:
            requests: One per symbol.

        Yields:
            For each request, in order, a file of bars or the reason why there is none.
            Bytes that are not a file of bars count as none, with their first words as
            the reason.

        Raises:
            SourceError: The source refuses access.
        """
