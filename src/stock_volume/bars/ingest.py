"""From an archive of raw bars to judged rows, a bounded chunk of symbols at a time."""

import csv
import hashlib
import io
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import groupby
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from stock_volume import columns
from stock_volume.bars.archive import BarArchive, BarFile
from stock_volume.bars.parse import (
    AS_READ,
    FILE_INDEX,
    CsvRows,
    ParsedRows,
    parse_rows,
    read_rows,
)
from stock_volume.bars.rules import (
    DATE_OUT_OF_ORDER,
    DUPLICATE_BAR,
    FLAGGING_RULES,
    SYMBOL_INDEX,
    RowRule,
    RuleParameters,
    rejecting_rules,
    screening,
)
from stock_volume.concurrency import map_ahead
from stock_volume.errors import SourceError, UnreadableFileError

logger = logging.getLogger(__name__)

Indices = npt.NDArray[np.int64]

STATUS: Final = "status"
NOTE: Final = "note"
SIZE: Final = "size"
SHA256: Final = "sha256"
ROWS_READ: Final = "rows_read"
ROWS_KEPT: Final = "rows_kept"
ROWS_KNOWN: Final = "rows_known"
"""Valid rows of an update whose bars were held already."""

ROWS_QUARANTINED: Final = "rows_quarantined"
PENDING: Final = "pending"
"""Whether the layers after the prices do not know the file's bars yet."""

_BROKEN: Final = "broken"
_MISPLACED: Final = "misplaced"


class FileStatus(StrEnum):
    """What became of a file."""

    READ = "read"
    EMPTY = "empty"
    UNREADABLE = "unreadable"
    KNOWN = "known"
    """The same content was read before."""
    SET_ASIDE = "set_aside"
    """Its bars cannot be joined to those held; the note names the rule."""
    ABSENT = "absent"
    """The source was asked for it, and has none."""


LOOKED_INTO: Final = (
    FileStatus.READ,
    FileStatus.EMPTY,
    FileStatus.UNREADABLE,
    FileStatus.SET_ASIDE,
)
"""What becomes of a file that the layers are made from."""


class IngestionParameters(RuleParameters):
    """Parameters of the ingestion.

    Attributes:
        chunk_mib: Text of a chunk of symbols, in MiB; peak memory grows with it, and
            the chunk becomes a row group of the layers.
    """

    chunk_mib: float = Field(default=3.0, gt=0)


class Security(NamedTuple):
    """What a listing says of a symbol.

    Attributes:
        name: The security's name.
        is_etf: Whether it is an exchange-traded fund.
    """

    name: str
    is_etf: bool


class IngestedChunk(NamedTuple):
    """The rows of some symbols, all of each.

    Attributes:
        prices: Bars that broke no rule, by symbol and date.
        quarantine: Rows that broke a rule: file, line, rule, the fields as read.
        files: One row a file: what became of it, and its rows by fate and flag.
    """

    prices: pl.DataFrame
    quarantine: pl.DataFrame
    files: pl.DataFrame


@dataclass(frozen=True, slots=True)
class _ReadFile:
    file: BarFile
    status: FileStatus
    note: str
    sha256: str | None
    rows: CsvRows


class _ReadFiles(NamedTuple):
    files: Sequence[_ReadFile]
    parsed: ParsedRows


def read_listing(archive: BarArchive) -> dict[str, Security]:
    """Read the securities' names and kinds.

    Args:
        archive: An archive, with or without a listing.

    Returns:
        What the listing says, by symbol; empty, with a warning, where the archive has
        no listing or one that cannot be read.
    """
    if archive.listing is None:
        logger.warning("%s: no listing of securities; folders tell the ETFs", archive.path)
        return {}
    try:
        text = archive.read(archive.listing).decode("utf-8-sig")
        # Not a frame: NA, NAN and TRUE are symbols, and no value may be guessed a type.
        return {
            row[columns.SYMBOL]: Security(
                row[columns.SECURITY_NAME] or row[columns.SYMBOL], row[columns.ETF] == "Y"
            )
            for row in csv.DictReader(io.StringIO(text))
            if row[columns.SYMBOL]
        }
    except (UnreadableFileError, UnicodeDecodeError, KeyError, csv.Error) as error:
        logger.warning(
            "%s: listing %s cannot be used (%s); folders tell the ETFs",
            archive.path,
            archive.listing,
            error,
        )
        return {}


def ingest(
    archive: BarArchive,
    parameters: IngestionParameters,
    known: AbstractSet[tuple[str, str]] = frozenset(),
) -> Iterator[IngestedChunk]:
    """Read, parse and judge every row of an archive.

    Args:
        archive: The archive.
        parameters: Bounds of the rules and of a chunk.
        known: Symbol and digest of contents that are not to be parsed again.

    Yields:
        Chunks of whole symbols, in order of symbol.

    Raises:
        SourceError: No row of the archive could be read, or none was kept, and no content
            is known; this shows only at the end.
    """
    listing = read_listing(archive)
    unlisted = sorted({file.symbol for file in archive.files} - listing.keys())
    if listing and unlisted:
        logger.warning(
            "%d symbols are not in the listing, folders tell the ETFs: %s",
            len(unlisted),
            ", ".join(unlisted[:10]),
        )
    judge = Judge(rejecting_rules(parameters))
    kept = 0
    any_known = False
    problem = ""
    batches = _batches(archive.files, parameters.chunk_mib * 2**20)
    # One thread reads and parses, the caller's judges and writes: about equal shares.
    read = map_ahead(partial(_read_files, archive, known), batches, workers=1)
    for chunk in map(partial(_judge_files, listing, judge), read):
        kept += chunk.prices.height
        any_known |= bool((chunk.files[STATUS] == FileStatus.KNOWN).any())
        problem = problem or _first_problem(chunk)
        yield chunk
        del chunk  # before the next one is made
    if not kept and not any_known:
        raise SourceError(f"{archive.path}: nothing in it can be used; first problem: {problem}")


def _batches(files: Sequence[BarFile], size: float) -> Iterator[list[BarFile]]:
    """Group files into batches of about a size, never parting a symbol's files."""
    batch: list[BarFile] = []
    for _, of_symbol in groupby(files, key=lambda file: file.symbol):
        batch.extend(of_symbol)
        if sum(file.size for file in batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch


def _first_problem(chunk: IngestedChunk) -> str:
    troubled = chunk.files.filter(~pl.col(STATUS).is_in([FileStatus.READ, FileStatus.KNOWN]))
    if troubled.height:
        return "{file} {note}".format(**troubled.row(0, named=True))
    if chunk.quarantine.height:
        return "{file}, line {line}: {rule}".format(**chunk.quarantine.row(0, named=True))
    return ""


def _read_files(
    archive: BarArchive, known: AbstractSet[tuple[str, str]], files: Sequence[BarFile]
) -> _ReadFiles:
    read = [_read_file(archive, file, known) for file in files]
    return _ReadFiles(read, parse_rows([one.rows for one in read]))


def _judge_files(
    listing: Mapping[str, Security], judge: "Judge", read: _ReadFiles
) -> IngestedChunk:
    files = [one.file for one in read.files]
    securities = [listing.get(file.symbol, Security(file.symbol, file.is_etf)) for file in files]
    symbols = [file.symbol for file in files]
    kept, rejected = judge.part(read.parsed, symbols)
    prices = kept.select(
        _per_file(columns.SYMBOL, symbols),
        _per_file(columns.SECURITY_NAME, [security.name for security in securities]),
        _per_file(columns.ETF, [security.is_etf for security in securities]),
        columns.DATE,
        pl.when(pl.col(columns.OPEN) != 0).then(columns.OPEN).alias(columns.OPEN),
        *columns.PRICES[1:],
        pl.col(columns.VOLUME).cast(pl.Int64),
    )
    quarantine = rejected.select(
        _per_file(columns.FILE, [file.name for file in files]),
        columns.LINE,
        columns.RULE,
        *(pl.col(text).alias(name) for name, text in AS_READ.items()),
    )
    return IngestedChunk(prices, quarantine, _file_report(read.files, kept, rejected))


def _read_file(
    archive: BarArchive, file: BarFile, known: AbstractSet[tuple[str, str]]
) -> _ReadFile:
    nothing = CsvRows()
    try:
        content = archive.read(file.name)
    except UnreadableFileError as error:
        return _ReadFile(file, FileStatus.UNREADABLE, error.reason, None, nothing)
    digest = hashlib.sha256(content).hexdigest()
    if (file.symbol, digest) in known:
        return _ReadFile(file, FileStatus.KNOWN, "", digest, nothing)
    try:
        rows = read_rows(content)
    except UnreadableFileError as error:
        return _ReadFile(file, FileStatus.UNREADABLE, error.reason, digest, nothing)
    if not rows.text:
        return _ReadFile(file, FileStatus.EMPTY, "has no rows", digest, rows)
    return _ReadFile(file, FileStatus.READ, rows.note, digest, rows)


def _per_file(name: str, values: Iterable[object]) -> pl.Expr:
    """Spread one value a file over the file's rows."""
    return pl.lit(pl.Series(name, list(values))).gather(pl.col(FILE_INDEX)).alias(name)


def _mark(broken: pl.Expr, name: str) -> pl.Expr:
    return broken.fill_null(value=False).alias(name)


class Judge:
    """Parts rows by the rules; its expressions are built once, for every chunk."""

    def __init__(self, rules: Sequence[RowRule]) -> None:
        """Prepare the expressions.

        Args:
            rules: The rejecting rules, in order of precedence.
        """
        symbol, day = pl.col(SYMBOL_INDEX), pl.col(columns.DATE)
        misplaced = (symbol == symbol.shift(1)) & (day < day.shift(1))
        self._repeated = _mark(DUPLICATE_BAR.broken, DUPLICATE_BAR.name)
        self._marks_by_row = [
            _mark(screening(rules), _BROKEN),
            *(
                _mark(rule.broken, rule.name)
                for rule in FLAGGING_RULES
                if rule is not DATE_OUT_OF_ORDER
            ),
        ]
        self._marks_by_neighbour = [
            _mark(misplaced, _MISPLACED),
            _mark(DATE_OUT_OF_ORDER.broken, DATE_OUT_OF_ORDER.name),
            self._repeated,
        ]
        self._first_broken = pl.coalesce(
            *(pl.when(rule.broken).then(pl.lit(rule.name)) for rule in rules),
            pl.lit(DUPLICATE_BAR.name),
        ).alias(columns.RULE)

    def part(self, parsed: ParsedRows, symbols: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Part parsed rows into those to keep and those to set aside.

        Args:
            parsed: All rows of some symbols, the files of a symbol next to each other.
            symbols: The symbol of each file.

        Returns:
            The rows that break no rejecting rule, by symbol and date, with one boolean
            column a flagging rule; and the others, each with the name of the first rule
            it breaks and its fields as read, in file order. Together they have as many
            rows as came in.
        """
        # Comparing whole numbers is far cheaper than comparing symbols.
        _, symbol_index = np.unique(np.asarray(symbols), return_inverse=True)
        index = pl.Series(SYMBOL_INDEX, symbol_index[parsed.frame[FILE_INDEX].to_numpy()])
        rows = parsed.frame.hstack([index])
        marked = rows.with_columns(self._marks_by_row)
        rejected = rows.clear()
        if marked[_BROKEN].any():
            rejected = rows.filter(marked[_BROKEN])
            marked = marked.filter(~pl.col(_BROKEN))
        marked = marked.with_columns(self._marks_by_neighbour)
        if marked[_MISPLACED].any():
            by_date = marked.sort(SYMBOL_INDEX, columns.DATE, maintain_order=True)
            marked = by_date.with_columns(self._repeated)
        if marked[DUPLICATE_BAR.name].any():
            repeated = marked.filter(DUPLICATE_BAR.name).select(rows.columns)
            rejected = pl.concat([rejected, repeated]).sort(FILE_INDEX, columns.LINE)
            marked = marked.filter(~pl.col(DUPLICATE_BAR.name))
        with_text = rejected.hstack(parsed.as_read(rejected))
        return marked, with_text.with_columns(self._first_broken)


def _file_report(
    read: Sequence[_ReadFile], kept: pl.DataFrame, rejected: pl.DataFrame
) -> pl.DataFrame:
    kept_in, rejected_in = (rows[FILE_INDEX].to_numpy() for rows in (kept, rejected))

    def count(file_index: Indices) -> Indices:
        return np.bincount(file_index, minlength=len(read))

    return pl.DataFrame(
        {
            columns.FILE: [one.file.name for one in read],
            columns.SYMBOL: [one.file.symbol for one in read],
            STATUS: [one.status.value for one in read],
            NOTE: [one.note for one in read],
            SIZE: [one.file.size for one in read],
            SHA256: [one.sha256 for one in read],
            ROWS_READ: [one.rows.count for one in read],
            ROWS_KEPT: count(kept_in),
            ROWS_KNOWN: 0,
            ROWS_QUARANTINED: count(rejected_in),
            **{rule.name: count(kept_in[kept[rule.name].to_numpy()]) for rule in FLAGGING_RULES},
            PENDING: False,
        },
        schema_overrides={SHA256: pl.String, ROWS_KNOWN: pl.Int64},
    )
