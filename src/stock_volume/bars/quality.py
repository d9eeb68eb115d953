"""The report on the quality of the data: what came in, what was kept, and why the rest was not."""

from datetime import date

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from stock_volume import columns
from stock_volume.bars.ledger import (
    EXAMINED,
    NOTE,
    ROWS_KNOWN,
    ROWS_READ,
    STATUS,
    FileStatus,
    RowCounts,
    check_balance,
)
from stock_volume.bars.rules import FLAGGING_RULES
from stock_volume.errors import NoVolumeError
from stock_volume.events.account import EventAccount


class TroubledFile(BaseModel):
    """A file that was not read, or that is odd.

    Attributes:
        file: Its path in the source.
        status: What became of it.
        note: Why, or what is odd.
    """

    model_config = ConfigDict(frozen=True)

    file: str
    status: FileStatus
    note: str


class QualityReport(BaseModel):
    """The quality of the ingested data, as in ``data_quality.json``.

    Attributes:
        rows: Rows by their fate.
        quarantined_by_rule: Number of rejected rows by rule.
        flagged_by_rule: Number of rows that were flagged and kept, by rule.
        files: Number of files ``found``, and by status.
        troubled_files: Files that were not read or are odd.
        symbols: Number of symbols with bars.
        first_date: Date of the first bar; None without bars.
        last_date: Date of the last bar; None without bars.
        constant_volume: The volume that all bars have, in shares, if it is one.
        events: The account of the events; absent without a source of events.
    """

    model_config = ConfigDict(frozen=True)

    rows: RowCounts
    quarantined_by_rule: dict[str, int]
    flagged_by_rule: dict[str, int]
    files: dict[str, int]
    troubled_files: tuple[TroubledFile, ...]
    symbols: int
    first_date: date | None
    last_date: date | None
    constant_volume: int | None
    events: EventAccount | None = Field(default=None, exclude_if=lambda account: account is None)


def report_quality(
    prices: pl.LazyFrame, quarantine: pl.LazyFrame, files: pl.LazyFrame
) -> QualityReport:
    """Report on the quality of the ingested data, and prove that no row was lost.

    Args:
        prices: The bars as they were written.
        quarantine: The rejected rows as they were written.
        files: The files as they were read, one row per file.

    Returns:
        The report.

    Raises:
        UnbalancedRowsError: The rows read are not the rows kept, known and quarantined.
        NoVolumeError: Every bar has Volume 0.
    """
    read = files.collect()
    day, volume = pl.col(columns.DATE), pl.col(columns.VOLUME)
    bars = prices.select(
        pl.len().alias("rows"),
        pl.col(columns.SYMBOL).n_unique().alias("symbols"),
        day.min().alias("first_date"),
        day.max().alias("last_date"),
        volume.min().alias("min_volume"),
        volume.max().alias("max_volume"),
    ).collect(engine="streaming")
    kept, symbols, first, last, smallest, largest = bars.row(0)
    by_rule = _count_by_rule(quarantine)
    rows = RowCounts(
        read=read[ROWS_READ].sum(),
        kept=kept,
        known=read[ROWS_KNOWN].sum(),
        quarantined=sum(by_rule.values()),
    )
    check_balance(rows, read)
    if largest == 0:
        raise NoVolumeError(
            f"all volumes are 0: not one of the {kept:,} bars from {first} to {last} has a Volume "
            f"above 0, so that there is none to learn from. Look into {read[columns.FILE][0]}, the "
            "first file: are the volumes in another column, or left out by the source?"
        )
    return QualityReport(
        rows=rows,
        quarantined_by_rule=by_rule,
        flagged_by_rule={rule.name: read[rule.name].sum() for rule in FLAGGING_RULES},
        files={
            "found": read.height,
            **{status.value: (read[STATUS] == status).sum() for status in EXAMINED},
        },
        troubled_files=_list_troubled(read),
        symbols=symbols,
        first_date=first,
        last_date=last,
        constant_volume=largest if kept > 1 and smallest == largest else None,
    )


def _count_by_rule(quarantine: pl.LazyFrame) -> dict[str, int]:
    counts = quarantine.group_by(columns.RULE).len().sort(columns.RULE)
    return dict(counts.collect(engine="streaming").rows())


def _list_troubled(files: pl.DataFrame) -> tuple[TroubledFile, ...]:
    troubled = files.filter((pl.col(STATUS) != FileStatus.READ) | (pl.col(NOTE) != ""))
    rows = troubled.select(columns.FILE, STATUS, NOTE).rows()
    return tuple(TroubledFile(file=file, status=status, note=note) for file, status, note in rows)
