"""From an archive of raw bars to judged rows, a bounded chunk of symbols at a time."""

import csv
import hashlib
import io
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import groupby
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from pydantic import Field

from stock_volume import columns
from stock_volume.bars.archive import BarArchive, BarFile
from stock_volume.bars.parse import (
    AS_READ,
    EXTRA,
    FILE_INDEX,
    CsvRows,
    ParsedRows,
    parse_rows,
    read_rows,
)
from stock_volume.bars.rules import (
    DUPLICATE_BAR,
    FLAGGING_RULES,
    RowRule,
    RuleParameters,
    rejecting_rules,
    screening,
)
from stock_volume.concurrency import map_ahead
from stock_volume.errors import SourceError, UnreadableFileError

logger = logging.getLogger(__name__)

POSITION: Final = "position"
STATUS: Final = "status"
NOTE: Final = "note"
SIZE: Final = "size"
SHA256: Final = "sha256"
ROWS_READ: Final = "rows_read"
ROWS_KEPT: Final = "rows_kept"
ROWS_QUARANTINED: Final = "rows_quarantined"


class FileStatus(StrEnum):
    """What became of a file."""

    READ = "read"
    EMPTY = "empty"
    UNREADABLE = "unreadable"


class IngestionParameters(RuleParameters):
    """Parameters of the ingestion.

    Attributes:
        parse_mib: Text parsed at once, in MiB; peak memory grows with it.
        chunk_rows: Least rows of a chunk, but for the last; a chunk becomes a row group.
    """

    parse_mib: float = Field(default=4.0, gt=0)
    chunk_rows: int = Field(default=100_000, ge=1)


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


def ingest(archive: BarArchive, parameters: IngestionParameters) -> Iterator[IngestedChunk]:
    """Read, parse and judge every row of an archive.

    Args:
        archive: The archive.
        parameters: Bounds of the rules and of a chunk.

    Yields:
        Chunks of whole symbols, in order of symbol.

    Raises:
        SourceError: No row of the archive could be read, or none was kept; known only
            at the end.
    """
    listing = read_listing(archive)
    unlisted = [file.symbol for file in archive.files if file.symbol not in listing]
    if listing and unlisted:
        logger.warning(
            "%d symbols are not in the listing, folders tell the ETFs: %s",
            len(unlisted),
            ", ".join(unlisted[:10]),
        )
    judge = partial(_ingest_files, archive, listing, rejecting_rules(parameters))
    kept = 0
    problem = ""
    parsed = map_ahead(judge, _batches(archive.files, parameters.parse_mib * 2**20))
    for chunk in _merged(parsed, parameters.chunk_rows):
        kept += chunk.prices.height
        problem = problem or _first_problem(chunk)
        yield chunk
    if not kept:
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


def _merged(chunks: Iterable[IngestedChunk], rows: int) -> Iterator[IngestedChunk]:
    """Put chunks together until they have enough rows."""
    gathered: list[IngestedChunk] = []
    for chunk in chunks:
        gathered.append(chunk)
        if sum(one.prices.height for one in gathered) >= rows:
            yield _concat(gathered)
            gathered = []
    if gathered:
        yield _concat(gathered)


def _concat(chunks: Sequence[IngestedChunk]) -> IngestedChunk:
    return IngestedChunk(*(pl.concat(frames) for frames in zip(*chunks, strict=True)))


def _first_problem(chunk: IngestedChunk) -> str:
    troubled = chunk.files.filter(pl.col(STATUS) != FileStatus.READ)
    if troubled.height:
        return "{file} {note}".format(**troubled.row(0, named=True))
    if chunk.quarantine.height:
        return "{file}, line {line}: {rule}".format(**chunk.quarantine.row(0, named=True))
    return ""


def _ingest_files(
    archive: BarArchive,
    listing: Mapping[str, Security],
    rules: Sequence[RowRule],
    files: Sequence[BarFile],
) -> IngestedChunk:
    read = [_read_file(archive, file) for file in files]
    securities = [listing.get(file.symbol, Security(file.symbol, file.is_etf)) for file in files]
    symbols = [file.symbol for file in files]
    parsed = parse_rows([one.rows for one in read])
    kept, rejected = judge_rows(parsed, symbols, rules)
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
    return IngestedChunk(prices, quarantine, _file_report(read, kept, rejected))


def _read_file(archive: BarArchive, file: BarFile) -> _ReadFile:
    nothing = CsvRows()
    try:
        content = archive.read(file.name)
    except UnreadableFileError as error:
        return _ReadFile(file, FileStatus.UNREADABLE, error.reason, None, nothing)
    digest = hashlib.sha256(content).hexdigest()
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


def judge_rows(
    parsed: ParsedRows, symbols: Sequence[str], rules: Sequence[RowRule]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Part parsed rows into those to keep and those to set aside.

    Args:
        parsed: All rows of some symbols, the files of a symbol next to each other.
        symbols: The symbol of each file.
        rules: The rejecting rules, in order of precedence.

    Returns:
        The rows that break no rejecting rule, by symbol and date, with one boolean
        column a flagging rule; and the others, each with the name of the first rule it
        breaks and its fields as read, in file order. Together they have as many rows
        as came in.
    """
    frame = parsed.frame.with_row_index(POSITION)
    broken = frame.select(screening(rules).fill_null(value=False)).to_series()
    valid = (frame.filter(~broken) if broken.any() else frame).with_columns(
        rule.broken.fill_null(value=False).alias(rule.name) for rule in FLAGGING_RULES
    )
    kept, duplicates = _part_duplicates(valid, symbols)
    rejected = pl.concat([frame.filter(broken), duplicates.select(frame.columns)])
    first_broken = pl.coalesce(
        *(pl.when(rule.broken).then(pl.lit(rule.name)) for rule in rules),
        pl.lit(DUPLICATE_BAR.name),
    )
    named = (
        rejected.sort(POSITION)
        .hstack(parsed.as_read(rejected[POSITION].sort()).drop(EXTRA))
        .with_columns(first_broken.alias(columns.RULE))
    )
    return kept, named


def _part_duplicates(
    valid: pl.DataFrame, symbols: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Sort rows by symbol and date; part the first of each pair from later ones."""
    # Comparing whole numbers is far cheaper than comparing symbols.
    _, of_file = np.unique(np.asarray(symbols), return_inverse=True)
    symbol, day = _per_file(columns.SYMBOL, of_file), pl.col(columns.DATE)
    same_symbol = symbol == symbol.shift(1)
    if valid.select((same_symbol & (day < day.shift(1))).any()).item():
        valid = valid.sort(symbol, day, maintain_order=True)
    repeated = valid.select(
        (same_symbol & (day == day.shift(1))).fill_null(value=False)
    ).to_series()
    if not repeated.any():
        return valid, valid.clear()
    return valid.filter(~repeated), valid.filter(repeated)


def _file_report(
    read: Sequence[_ReadFile], kept: pl.DataFrame, rejected: pl.DataFrame
) -> pl.DataFrame:
    def count(rows: pl.DataFrame) -> np.ndarray:
        return np.bincount(rows[FILE_INDEX], minlength=len(read))

    return pl.DataFrame(
        {
            columns.FILE: [one.file.name for one in read],
            columns.SYMBOL: [one.file.symbol for one in read],
            STATUS: [one.status.value for one in read],
            NOTE: [one.note for one in read],
            SIZE: [one.file.size for one in read],
            SHA256: [one.sha256 for one in read],
            ROWS_READ: [one.rows.count for one in read],
            ROWS_KEPT: count(kept),
            ROWS_QUARANTINED: count(rejected),
            **{rule.name: count(kept.filter(rule.name)) for rule in FLAGGING_RULES},
        },
        schema_overrides={SHA256: pl.String},
    )
