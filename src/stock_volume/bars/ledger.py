"""The ledger of files: what became of each file of a source, and of each of its rows.

``files.parquet`` has one row per file. Its rows balance: every row read was kept, known
before, or set aside in the quarantine.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import polars as pl
from pydantic import BaseModel, ConfigDict

from stock_volume import columns
from stock_volume.errors import UnbalancedRowsError

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
"""Whether the layers after the prices do not have the file's bars yet."""

PLACE: Final = "place"
"""Last folder and name of a file, whatever archive it is in."""

HELD: Final = "held"
ADDED: Final = "added"
_ASIDE: Final = "aside"
_REJECTED: Final = "rejected"
_BEFORE: Final = "before"


class FileStatus(StrEnum):
    """What became of a file."""

    READ = "read"
    EMPTY = "empty"
    UNREADABLE = "unreadable"
    REJECTED = "rejected"
    """Every row of it was set aside; the note says why."""
    COPY = "copy"
    """Another file has the same content, and is read in its place."""
    CONFLICTING = "conflicting"
    """Another file of its symbol has other bars; all rows of this one are set aside."""
    KNOWN = "known"
    """The same content was read before."""
    SET_ASIDE = "set_aside"
    """Its bars cannot be merged with those held; the note names the rule."""
    ABSENT = "absent"
    """The source was asked for it, and has none."""


EXAMINED: Final = (
    FileStatus.READ,
    FileStatus.EMPTY,
    FileStatus.UNREADABLE,
    FileStatus.REJECTED,
    FileStatus.COPY,
    FileStatus.CONFLICTING,
    FileStatus.SET_ASIDE,
)
"""Statuses of files whose content was examined."""


class RowCounts(BaseModel):
    """Rows by their fate.

    Attributes:
        read: Rows of all files.
        kept: Rows that became bars.
        known: Valid rows of updates whose bars were held already.
        quarantined: Rows that were set aside.
    """

    model_config = ConfigDict(frozen=True)

    read: int
    kept: int
    known: int
    quarantined: int


def check_balance(rows: RowCounts, files: pl.DataFrame, noun: str = "rows") -> None:
    """Check that every row read was either kept, known before or quarantined.

    Args:
        rows: Counts in all; kept and quarantined rows are counted in the written layers.
        files: The files as they were read, one row per file.
        noun: What the message calls the rows.

    Raises:
        UnbalancedRowsError: The counts do not add up, in sum or in some file.
    """
    if rows.read != rows.kept + rows.known + rows.quarantined:
        raise UnbalancedRowsError(
            f"{noun} read are not {noun} kept, known and quarantined: "
            f"{rows.read} != {rows.kept} + {rows.known} + {rows.quarantined}"
        )
    unbalanced = files.filter(
        pl.col(ROWS_READ) != pl.sum_horizontal(ROWS_KEPT, ROWS_KNOWN, ROWS_QUARANTINED)
    )
    if unbalanced.height:
        raise UnbalancedRowsError(f"{noun} were lost in {unbalanced[columns.FILE].to_list()}")


def latest_files(files: pl.DataFrame) -> pl.DataFrame:
    """Select the latest reading of each file.

    Args:
        files: Files that the layers were made from, in the order in which they were read.

    Returns:
        The last row of each symbol and folder. A source that takes a restatement back has
        earlier content again, which is news.
    """
    return (
        files.filter(pl.col(STATUS).is_in(EXAMINED))
        .with_columns(_place_in_archive())
        .unique([columns.SYMBOL, PLACE], keep="last", maintain_order=True)
    )


def known_contents(files: pl.DataFrame) -> frozenset[tuple[str, str]]:
    """List the contents that need not be parsed again.

    Args:
        files: Files that the layers were made from.

    Returns:
        Symbol and digest of files that were read. The others are read again: with other
        parameters their bars may be used.
    """
    settled = latest_files(files).filter(pl.col(STATUS).is_in([FileStatus.READ, FileStatus.EMPTY]))
    return frozenset(settled.select(columns.SYMBOL, SHA256).drop_nulls().rows())


def unread_name(archive: str, files: Iterable[str]) -> str:
    """Name an archive so that the names of its files differ from all read before.

    Args:
        archive: Name of the archive.
        files: Names of files that were read, each below the name of its archive.

    Returns:
        The name; from the second reading on with the reading's number.
    """
    readings = (
        re.fullmatch(rf"{re.escape(archive)}(?:#(\d+))?", file.partition("/")[0]) for file in files
    )
    numbers = [int(reading[1] or 1) for reading in readings if reading]
    return f"{archive}#{max(numbers) + 1}" if numbers else archive


def _place_in_archive() -> pl.Expr:
    """Return the last folder and the name of a file, without its archive."""
    return pl.col(columns.FILE).str.extract(r"([^/]*/?[^/]+)$").alias(PLACE)


def list_absent(absent: Mapping[str, str], like: pl.DataFrame) -> pl.DataFrame:
    """Make ledger rows of symbols that a source did not answer.

    Args:
        absent: Reason by symbol.
        like: Rows of the ledger.

    Returns:
        One row per symbol, with the columns of ``like``.
    """
    rows = pl.DataFrame(
        {
            columns.FILE: list(absent),
            columns.SYMBOL: list(absent),
            STATUS: FileStatus.ABSENT.value,
            NOTE: list(absent.values()),
        }
    )
    others = [name for name in like.columns if name not in rows.columns]
    return rows.with_columns(
        pl.lit(None if name == SHA256 else 0, like.schema[name]).alias(name) for name in others
    ).select(like.columns)


def account_for_rows(
    news: pl.DataFrame,
    files: pl.DataFrame,
    counts: pl.DataFrame,
    set_aside: pl.DataFrame,
    rejected: pl.DataFrame,
) -> pl.DataFrame:
    """Record what became of the rows of each file of an update.

    Bars held that no file accounts for count as added: an interrupted update left them.

    Args:
        news: Ledger rows of the files with news, as ingestion made them.
        files: The ledger before the update.
        counts: Number of bars held and added, by symbol.
        set_aside: Bars that could not be merged, with the rule.
        rejected: New rows of the quarantine.

    Returns:
        The rows of ``news``, balanced and pending.
    """
    by_symbol, by_file = columns.SYMBOL, columns.FILE
    accounted = files.group_by(by_symbol).agg(pl.col(ROWS_KEPT).sum().alias("accounted"))
    aside = set_aside.group_by(by_symbol).agg(pl.col(columns.RULE).first().alias(_ASIDE))
    new = rejected.group_by(by_file).agg(pl.len().cast(pl.Int64).alias(_REJECTED))
    # The files of one symbol share its bars; the first ones account for them.
    valid = pl.when(pl.col(_ASIDE).is_null()).then(ROWS_KEPT).otherwise(0)
    left = (pl.col("total") - pl.col(_BEFORE)).clip(0)
    return (
        news.join(counts, on=by_symbol, how="left", maintain_order="left")
        .join(accounted, on=by_symbol, how="left", maintain_order="left")
        .join(aside, on=by_symbol, how="left", maintain_order="left")
        .join(new, on=by_file, how="left", maintain_order="left")
        .with_columns(pl.col("accounted", HELD, ADDED, _REJECTED).fill_null(0))
        .with_columns(
            (pl.col(ADDED) + pl.col(HELD) - pl.col("accounted")).alias("total"),
            (valid.cum_sum() - valid).over(by_symbol).alias(_BEFORE),
        )
        .with_columns(
            pl.min_horizontal(valid, left).alias(ROWS_KEPT),
            pl.col(_REJECTED).alias(ROWS_QUARANTINED),
            pl.lit(value=True).alias(PENDING),
            pl.when(pl.col(_ASIDE).is_null())
            .then(STATUS)
            .otherwise(pl.lit(FileStatus.SET_ASIDE.value))
            .alias(STATUS),
            pl.coalesce(_ASIDE, NOTE).alias(NOTE),
        )
        .with_columns(
            (pl.col(ROWS_READ) - pl.col(ROWS_KEPT) - pl.col(ROWS_QUARANTINED)).alias(ROWS_KNOWN)
        )
        .select(news.columns)
    )
