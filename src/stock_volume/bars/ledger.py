"""The ledger of files: what became of each file of a source, and of each of its rows.

``files.parquet`` has one row per file. Its rows balance: every row read was kept, known
before, or set aside in the quarantine.
"""

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
"""Whether the layers after the prices do not know the file's bars yet."""


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


def check_balance(rows: RowCounts, files: pl.DataFrame) -> None:
    """Check that every row read was either kept, known before or quarantined.

    Args:
        rows: Counts in all; kept and quarantined rows are counted in the written layers.
        files: The files as they were read, one row per file.

    Raises:
        UnbalancedRowsError: The counts do not add up, in sum or in some file.
    """
    if rows.read != rows.kept + rows.known + rows.quarantined:
        raise UnbalancedRowsError(
            "rows read are not rows kept, known and quarantined: "
            f"{rows.read} != {rows.kept} + {rows.known} + {rows.quarantined}"
        )
    unbalanced = files.filter(
        pl.col(ROWS_READ) != pl.sum_horizontal(ROWS_KEPT, ROWS_KNOWN, ROWS_QUARANTINED)
    )
    if unbalanced.height:
        raise UnbalancedRowsError(f"rows were lost in {unbalanced[columns.FILE].to_list()}")
