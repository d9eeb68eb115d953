"""Archives of raw bars in the Kaggle layout: a zip as downloaded, or a folder.

The layout is one CSV file per symbol in ``stocks/`` and ``etfs/``, and an optional
``symbols_valid_meta.csv`` with the securities' names. Nothing is unpacked to disk:
members are read one at a time into memory, each up to a bound, so neither a path in
a zip (zip-slip) nor its expansion (a zip bomb) can do harm.
"""

import logging
import lzma
import os
import re
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final, Protocol, Self

import polars as pl

from stock_volume.bars.zip_names import member_name, open_zip
from stock_volume.errors import SourceError, UnreadableFileError
from stock_volume.files import files_below, path_to_text

logger = logging.getLogger(__name__)

STOCKS_FOLDER: Final = "stocks"
ETFS_FOLDER: Final = "etfs"
LISTING_FILE: Final = "symbols_valid_meta.csv"

_COPY: Final = r"(?P<copy>(?: - copy| copy| copy \d+)?(?: \(\d+\))?)"
"""What browsers and file managers add to the name of a second copy."""

_BAR_FILE: Final = re.compile(
    rf"(?:.*/)?(?P<folder>{STOCKS_FOLDER}|{ETFS_FOLDER})/(?P<symbol>[^/.][^/]*?){_COPY}\.csv",
    re.IGNORECASE,
)
_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    RuntimeError,  # an encrypted member, or an unknown method of compression
)
"""What Python's zip reader raises for a damaged archive."""

_NOT_CONTENT: Final = ("__MACOSX/",)
_MEBIBYTE: Final = 2**20


@dataclass(frozen=True, slots=True)
class BarFile:
    """One symbol's file of bars in an archive.

    Attributes:
        name: Path inside the archive, such as ``stocks/AAPL.csv``.
        symbol: The file's stem, without what marks it as a copy, such as `` (1)``.
        is_etf: Whether it lies in the folder of ETFs.
        size: Bytes, as the archive declares them.
        is_copy: Whether its name marks it as a copy.
    """

    name: str
    symbol: str
    is_etf: bool
    size: int
    is_copy: bool = False


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """Bounds on what an archive may expand to.

    Attributes:
        max_file_mib: Largest file read, in MiB; fifty years of bars are about 1 MiB.
        max_total_mib: Largest sum of all declared sizes, in MiB; the whole Kaggle
            archive is about 2,700.
        max_symbol_mib: Largest sum of the sizes of one symbol's files, in MiB: they are in
            memory together.
        max_listing_mib: Largest listing read, in MiB; that of the Kaggle archive is 1 MiB.
        max_files: Largest number of files; the Kaggle archive has about 8,050.
    """

    max_file_mib: int = 64
    max_total_mib: int = 65_536
    max_symbol_mib: int = 64
    max_listing_mib: int = 8
    max_files: int = 100_000


SINCE: Final = "since"
"""Column of a request to a source: the first date wanted."""


class BarSource(Protocol):
    """A source of bars."""

    def everything(self) -> "BarArchive":
        """Get all bars that the source has.

        Returns:
            An archive.
        """

    def recent(self, wanted: pl.DataFrame) -> "BarArchive":
        """Get recent bars.

        Args:
            wanted: One row per symbol held: Symbol, ETF, and ``since``, the first date wanted.

        Returns:
            An archive, which may hold other symbols and earlier bars too.
        """


def is_content(name: str) -> bool:
    """Return whether a file is one of bars or the listing, by its name.

    Args:
        name: The file's path.
    """
    return bool(_BAR_FILE.fullmatch(name)) or PurePosixPath(name).name == LISTING_FILE


def warn_of_absent(source: object, absent: Mapping[str, str]) -> None:
    """Warn how many symbols a source has no bars of, and why the first has none.

    Args:
        source: The source, as the warning names it.
        absent: Reason by symbol requested.
    """
    if absent:
        symbol, reason = next(iter(absent.items()))
        logger.warning(
            "%s: no bars of %d symbols, first %s: %s", source, len(absent), symbol, reason
        )


class BarArchive(ABC):
    """A readable archive of bars; as a source it returns itself.

    Attributes:
        path: Where the archive is.
        files: The files of bars, by symbol; of one symbol copies last, stocks before ETFs.
        listing: Name of the file that lists the securities, or None without one.
        ignored: Names of other content, which is left alone.
        absent: Why a requested symbol is missing, by symbol.
    """

    def __init__(self, path: Path, sizes: dict[str, int], limits: ArchiveLimits) -> None:
        """Sort the content into files of bars, the listing and the rest.

        Args:
            path: Where the archive is.
            sizes: Declared size of each content file by its name, in bytes.
            limits: Bounds on the expansion.

        Raises:
            SourceError: No file of bars, or more content than the limits allow.
        """
        self.path = path
        self._limits = limits
        if len(sizes) > limits.max_files:
            raise SourceError(
                f"{path}: has {len(sizes):,} files, more than max_files = {limits.max_files:,} "
                "allows"
            )
        files, others = [], []
        for name, size in sizes.items():
            match = _BAR_FILE.fullmatch(name)
            if match:
                is_etf = match["folder"].lower() == ETFS_FOLDER
                files.append(BarFile(name, match["symbol"], is_etf, size, bool(match["copy"])))
            else:
                others.append(name)
        if not files:
            raise SourceError(
                f"{path}: no file of bars in it; expected CSV files in "
                f"{STOCKS_FOLDER}/ and {ETFS_FOLDER}/, one per symbol"
            )
        total = sum(file.size for file in files)
        if total > limits.max_total_mib * _MEBIBYTE:
            raise SourceError(
                f"{path}: would expand to {total:,} bytes, more than max_total_mib = "
                f"{limits.max_total_mib:,} allows"
            )
        self.files = tuple(
            sorted(files, key=lambda file: (file.symbol, file.is_copy, file.is_etf, file.name))
        )
        listings = [name for name in others if PurePosixPath(name).name == LISTING_FILE]
        self.listing = min(listings, key=len, default=None)
        self._bytes_of_symbol: Counter[str] = Counter()
        for file in files:
            self._bytes_of_symbol[file.symbol.casefold()] += file.size
        self._symbols = {file.name: file.symbol.casefold() for file in files}
        self.ignored = tuple(sorted(set(others) - {self.listing}))
        self.absent: dict[str, str] = {}

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the path: another process opens the archive there, once."""
        status = self.path.stat()
        return _reopen, (self.path.absolute(), self._limits, status.st_mtime_ns, status.st_size)

    def everything(self) -> Self:
        """Return the archive itself."""
        return self

    def recent(self, wanted: pl.DataFrame) -> Self:  # noqa: ARG002
        """Return the archive itself: older bars than requested are held already."""
        return self

    def read(self, name: str) -> bytes:
        """Read one file of the archive.

        Args:
            name: A file's name, as in ``files``, or the listing's.

        Returns:
            Its bytes.

        Raises:
            UnreadableFileError: It is damaged, encrypted, unreadable or too large.
        """
        limits = self._limits
        of_symbol = self._bytes_of_symbol[self._symbols.get(name, "")]
        if of_symbol > limits.max_symbol_mib * _MEBIBYTE:
            raise UnreadableFileError(
                f"the files of its symbol have {of_symbol:,} bytes together, more than "
                f"max_symbol_mib = {limits.max_symbol_mib:,} allows"
            )
        if name == self.listing:
            return self._read_up_to(name, limits.max_listing_mib, "max_listing_mib")
        return self._read_up_to(name, limits.max_file_mib, "max_file_mib")

    def _read_up_to(self, name: str, mebibytes: int, limit: str) -> bytes:
        try:
            content = self._read(name, mebibytes * _MEBIBYTE + 1)
        except UnicodeError as error:
            raise UnreadableFileError("has a name that is not UTF-8 text: rename it") from error
        except (*_DAMAGE, OSError) as error:
            raise UnreadableFileError(f"cannot be read: {error}") from error
        if len(content) > mebibytes * _MEBIBYTE:
            raise UnreadableFileError(f"larger than {limit} = {mebibytes:,} allows")
        return content

    @abstractmethod
    def _read(self, name: str, limit: int) -> bytes:
        """Read at most ``limit`` bytes of a file."""


class ZipArchive(BarArchive):
    """A zip file, read member by member."""

    def __init__(self, path: Path, limits: ArchiveLimits) -> None:
        """Open the zip file and read its directory.

        Raises:
            SourceError: It is no zip file, or it holds no bars.
        """
        try:
            self._zip = open_zip(path)
        except (*_DAMAGE, OSError) as error:
            raise SourceError(f"{path}: not a readable zip archive: {error}") from error
        named = [(member_name(member), member) for member in self._zip.infolist()]
        self._members = {
            name: member
            for name, member in named
            if not name.endswith("/") and not name.startswith(_NOT_CONTENT)
        }
        self._occurrences = Counter(name for name, _ in named)
        sizes = {name: member.file_size for name, member in self._members.items()}
        super().__init__(path, sizes, limits)

    def _read(self, name: str, limit: int) -> bytes:
        if self._occurrences[name] > 1:
            raise UnreadableFileError(
                f"is {self._occurrences[name]} times in the zip; which is meant is unknown"
            )
        with self._zip.open(self._members[name]) as member:
            return member.read(limit)


class FolderArchive(BarArchive):
    """A folder in the same layout, and what links in it lead to."""

    def __init__(self, path: Path, limits: ArchiveLimits) -> None:
        """List the folder.

        Raises:
            SourceError: It holds no bars, or a folder in it cannot be listed.
        """
        try:
            files = list(files_below(path))
        except OSError as error:
            raise SourceError(
                f"{path_to_text(str(error.filename))}: {error.strerror}: this folder cannot be "
                "listed, so its symbols would be missing"
            ) from error
        self._paths = {path_to_text(os.path.relpath(file, path)): file for file in files}
        sizes = {name: _size(file) for name, file in self._paths.items()}
        super().__init__(path, sizes, limits)

    def _read(self, name: str, limit: int) -> bytes:
        path = self._paths[name]
        path.encode()  # its symbol would be no text either
        with open(path, "rb") as file:  # noqa: PTH123 (thousands of times)
            # Asked for more than there is, read() would first make room for it.
            return file.read(min(limit, os.fstat(file.fileno()).st_size))


def _size(file: str) -> int:
    """Measure a file; one that cannot be measured cannot be read either, which says why."""
    try:
        return os.stat(file).st_size  # noqa: PTH116 (thousands of times)
    except OSError:
        return 0


@lru_cache(maxsize=1)
def _reopen(path: Path, limits: ArchiveLimits, _mtime_ns: int, _size: int) -> BarArchive:
    """Open an archive that another process has opened; a changed one is opened again."""
    return open_archive(path, limits)


def open_archive(path: Path, limits: ArchiveLimits | None = None) -> BarArchive:
    """Open a zip file or a folder of bars.

    Args:
        path: The zip file or folder.
        limits: Bounds on the expansion; the defaults without.

    Returns:
        The opened archive.

    Raises:
        SourceError: There is nothing at the path, or no bars in it.
    """
    limits = limits or ArchiveLimits()
    if path.is_dir():
        return FolderArchive(path, limits)
    if path.is_file():
        return ZipArchive(path, limits)
    raise SourceError(f"{path}: no such file or folder")
