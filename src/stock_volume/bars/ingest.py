"""From an archive of raw bars to judged rows, a bounded chunk of symbols at a time."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from pydantic import Field

from stock_volume import columns
from stock_volume.arrays import Indices
from stock_volume.bars.archive import BarArchive
from stock_volume.bars.judge import Judge, JudgedRows
from stock_volume.bars.ledger import (
    NOTE,
    PENDING,
    ROWS_KEPT,
    ROWS_KNOWN,
    ROWS_QUARANTINED,
    ROWS_READ,
    SHA256,
    SIZE,
    STATUS,
    FileStatus,
)
from stock_volume.bars.listing import Listing, read_listing
from stock_volume.bars.parse import (
    AS_READ,
    FILE_INDEX,
    CsvRows,
    ParsedRows,
    ParseParameters,
    parse_rows,
    read_rows,
)
from stock_volume.bars.rules import (
    FLAGGING_RULES,
    SUPERSEDED_BAR,
    RuleParameters,
    describe_rejection,
)
from stock_volume.bars.same_symbol import SettledFile, settle_files, unlisted_symbols
from stock_volume.concurrency import map_ahead
from stock_volume.errors import SourceError, UnreadableFileError
from stock_volume.workers import Threads, current_workers

logger = logging.getLogger(__name__)


_SHOWN: Final = 10
_MAX_THREADS: Final = 8
"""Twice as many chunks are in memory."""

_MAX_BATCH_FILES: Final = 4_096
"""Files of a chunk, however small they are; of daily bars, a chunk has about 60."""


class IngestionParameters(RuleParameters, ParseParameters):
    """Parameters of the ingestion.

    Attributes:
        chunk_mib: Text of a chunk of symbols, in MiB; peak memory grows with it, and
            the chunk becomes a row group of the layers.
    """

    chunk_mib: float = Field(default=6.0, gt=0)


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
    settled: SettledFile
    status: FileStatus
    note: str = ""
    sha256: str | None = None
    rows: CsvRows = field(default_factory=CsvRows)


class _ReadFiles(NamedTuple):
    files: Sequence[_ReadFile]
    parsed: ParsedRows


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
    judge = Judge(parameters)
    files = settle_files(archive, listing, judge, parameters)
    _warn_of_unlisted(files, listing)
    kept = 0
    any_known = False
    problem = ""
    batches = _batches(files, parameters.chunk_mib * 2**20)
    for chunk in _make_chunks(partial(_ingest_files, archive, judge, known, parameters), batches):
        kept += chunk.prices.height
        if not kept:  # a query, however small, waits until the threads of the workers are free
            any_known |= bool((chunk.files[STATUS] == FileStatus.KNOWN).any())
            problem = problem or _first_problem(chunk)
        yield chunk
        del chunk  # before the next one is made
    if not kept and not any_known:
        raise SourceError(f"{archive.path}: nothing in it can be used; first problem: {problem}")


def _make_chunks(
    make: Callable[[Sequence[SettledFile]], IngestedChunk],
    batches: Iterable[Sequence[SettledFile]],
) -> Iterator[IngestedChunk]:
    workers = current_workers()
    if isinstance(workers, Threads):
        # Threads wait for each other while they run Python's own code: one more than cores.
        threads = min(pl.thread_pool_size() + 1, _MAX_THREADS)
        return map_ahead(make, batches, threads, ahead=2 * threads)
    return workers.map_frames(make, batches, ("prices", "quarantine"))


def _ingest_files(
    archive: BarArchive,
    judge: Judge,
    known: AbstractSet[tuple[str, str]],
    parameters: ParseParameters,
    files: Sequence[SettledFile],
) -> IngestedChunk:
    return _judge_files(judge, _read_files(archive, known, parameters, files))


def _warn_of_unlisted(files: Sequence[SettledFile], listing: Listing) -> None:
    unlisted = unlisted_symbols(files, listing)
    if listing and unlisted:
        logger.warning(
            "%d symbols are not in the listing: they have no name, count as no common stock, "
            "and the folders say which are ETFs: %s",
            len(unlisted),
            ", ".join(unlisted[:_SHOWN]),
        )


def _batches(files: Sequence[SettledFile], size: float) -> Iterator[list[SettledFile]]:
    """Group files into batches of about a size, never splitting a symbol's files."""
    batch: list[SettledFile] = []
    batched = 0
    for _, of_symbol in groupby(files, key=lambda file: file.symbol):
        for one in of_symbol:
            batch.append(one)
            batched += one.file.size
        if batched >= size or len(batch) >= _MAX_BATCH_FILES:
            yield batch
            batch, batched = [], 0
    if batch:
        yield batch


def _first_problem(chunk: IngestedChunk) -> str:
    troubled = chunk.files.filter(~pl.col(STATUS).is_in([FileStatus.READ, FileStatus.KNOWN]))
    if troubled.height:
        return "{file} {note}".format(**troubled.row(0, named=True))
    return ""


def _read_files(
    archive: BarArchive,
    known: AbstractSet[tuple[str, str]],
    parameters: ParseParameters,
    files: Sequence[SettledFile],
) -> _ReadFiles:
    read = [_read_file(archive, one, known, parameters) for one in files]
    return _ReadFiles(read, parse_rows([one.rows for one in read]))


def _read_file(
    archive: BarArchive,
    settled: SettledFile,
    known: AbstractSet[tuple[str, str]],
    parameters: ParseParameters,
) -> _ReadFile:
    try:
        content = archive.read(settled.file.name)
    except UnreadableFileError as error:
        return _ReadFile(settled, FileStatus.UNREADABLE, error.reason)
    digest = hashlib.sha256(content).hexdigest()
    if settled.copy_of:
        note = f"has the same content as {settled.copy_of}"
        return _ReadFile(settled, FileStatus.COPY, note, digest)
    if (settled.symbol, digest) in known:
        return _ReadFile(settled, FileStatus.KNOWN, "", digest)
    return _parse_file(settled, content, digest, parameters)


def _parse_file(
    settled: SettledFile, content: bytes, digest: str, parameters: ParseParameters
) -> _ReadFile:
    try:
        rows = read_rows(content, parameters)
    except UnreadableFileError as error:
        return _ReadFile(settled, FileStatus.UNREADABLE, error.reason, digest)
    if not rows.count:
        return _ReadFile(settled, FileStatus.EMPTY, "has no rows", digest)
    if settled.conflict:
        return _ReadFile(settled, FileStatus.CONFLICTING, settled.conflict, digest, rows)
    notes = [note for note in (settled.note, rows.note, _note_of_ticker(settled, rows)) if note]
    return _ReadFile(settled, FileStatus.READ, "; ".join(notes), digest, rows)


def _note_of_ticker(settled: SettledFile, rows: CsvRows) -> str:
    ticker = rows.layout.ticker if rows.layout else ""
    if ticker.casefold() in {"", settled.symbol.casefold()}:
        return ""
    return f"its header names the symbol {ticker}, its file name counts"


def _judge_files(judge: Judge, read: _ReadFiles) -> IngestedChunk:
    files = [one.settled for one in read.files]
    symbols = [one.symbol for one in files]
    judged = judge.split(read.parsed, symbols, [bool(one.conflict) for one in files])
    prices = judged.kept.select(
        _per_file(columns.SYMBOL, symbols),
        _per_file(columns.SECURITY_NAME, [one.security.name for one in files]),
        _per_file(columns.ETF, [one.security.is_etf for one in files]),
        columns.DATE,
        pl.when(pl.col(columns.OPEN) != 0).then(columns.OPEN).alias(columns.OPEN),
        *columns.PRICES[1:],
        pl.col(columns.VOLUME).cast(pl.Int64),
    )
    quarantine = judged.rejected.select(
        _per_file(columns.FILE, [one.file.name for one in files]),
        columns.LINE,
        columns.RULE,
        *(pl.col(text).alias(name) for name, text in AS_READ.items()),
    )
    return IngestedChunk(prices, quarantine, _file_report(read.files, judged, quarantine))


def _per_file(name: str, values: Iterable[object]) -> pl.Expr:
    """Spread one value per file over the file's rows."""
    return pl.lit(pl.Series(name, list(values))).gather(pl.col(FILE_INDEX)).alias(name)


def _file_report(
    read: Sequence[_ReadFile], judged: JudgedRows, quarantine: pl.DataFrame
) -> pl.DataFrame:
    kept_in, rejected_in = (rows[FILE_INDEX].to_numpy() for rows in judged)

    def count(file_index: Indices) -> Indices:
        return np.bincount(file_index, minlength=len(read))

    report = pl.DataFrame(
        {
            columns.FILE: [one.settled.file.name for one in read],
            columns.SYMBOL: [one.settled.symbol for one in read],
            STATUS: [one.status.value for one in read],
            NOTE: [one.note for one in read],
            SIZE: [one.settled.file.size for one in read],
            SHA256: [one.sha256 for one in read],
            ROWS_READ: [one.rows.count for one in read],
            ROWS_KEPT: count(kept_in),
            ROWS_KNOWN: 0,
            ROWS_QUARANTINED: count(rejected_in),
            **{
                rule.name: count(kept_in[judged.kept[rule.name].arg_true().to_numpy()])
                for rule in FLAGGING_RULES
            },
            PENDING: False,
        },
        schema_overrides={SHA256: pl.String, ROWS_KNOWN: pl.Int64},
    )
    return _with_rejections_noted(report, quarantine) if quarantine.height else report


def _with_rejections_noted(report: pl.DataFrame, quarantine: pl.DataFrame) -> pl.DataFrame:
    """Note files of which every row was set aside, and rows that a later row supersedes."""
    first = {
        row[columns.FILE]: row for row in quarantine.unique(columns.FILE, keep="first").to_dicts()
    }
    superseded = dict(
        quarantine.filter(pl.col(columns.RULE) == SUPERSEDED_BAR.name)
        .group_by(columns.FILE)
        .len()
        .rows()
    )
    statuses, notes = [], []
    for file, status, note, rows, kept in report.select(
        columns.FILE, STATUS, NOTE, ROWS_READ, ROWS_KEPT
    ).rows():
        is_rejected = status == FileStatus.READ and rows and not kept
        added = ""
        if is_rejected:
            added = f"all {rows:,} rows are set aside; {describe_rejection(first[file])}"
        elif file in superseded:
            added = f"rows that a later row of the same day supersedes: {superseded[file]:,}"
        statuses.append(FileStatus.REJECTED.value if is_rejected else status)
        notes.append("; ".join(filter(None, [note, added])))
    return report.with_columns(pl.Series(STATUS, statuses), pl.Series(NOTE, notes))
