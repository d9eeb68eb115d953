"""The report on the data: what came in, what was kept, and why the rest was not."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from stock_volume import columns
from stock_volume.bars.ingest import (
    LOOKED_INTO,
    NOTE,
    ROWS_KEPT,
    ROWS_KNOWN,
    ROWS_QUARANTINED,
    ROWS_READ,
    STATUS,
    FileStatus,
)
from stock_volume.bars.rules import FLAGGING_RULES
from stock_volume.errors import NoVolumeError, UnbalancedRowsError


def report_quality(
    prices: pl.LazyFrame, quarantine: pl.LazyFrame, files: pl.LazyFrame
) -> dict[str, Any]:
    """Report on the quality of the ingested data, and prove that no row was lost.

    Args:
        prices: The bars as they were written.
        quarantine: The rejected rows as they were written.
        files: The files as they were read, one row a file.

    Returns:
        Counts of rows (``read``, ``kept``, ``known``, which updates brought of bars that
        were held, and ``quarantined``), of rows by rejecting and by flagging rule, and of
        files by status, with the names of the troubled ones; the number of symbols, the
        first and last date, and the volume that all bars have, if it is one.

    Raises:
        UnbalancedRowsError: The rows read are not the rows kept, known and quarantined.
        NoVolumeError: Every bar has Volume 0.
    """
    read = files.collect()
    bars = prices.select(
        pl.len().alias("rows"),
        pl.col(columns.SYMBOL).n_unique().alias("symbols"),
        pl.col(columns.DATE).min().alias("first_date"),
        pl.col(columns.DATE).max().alias("last_date"),
        pl.col(columns.VOLUME).min().alias("least_volume"),
        pl.col(columns.VOLUME).max().alias("greatest_volume"),
    ).collect(engine="streaming")
    by_rule: dict[str, int] = dict(
        quarantine.group_by(columns.RULE)
        .len()
        .sort(columns.RULE)
        .collect(engine="streaming")
        .rows()
    )
    kept, symbols, first, last, least, greatest = bars.row(0)
    rows = {
        "read": read[ROWS_READ].sum(),
        "kept": kept,
        "known": read[ROWS_KNOWN].sum(),
        "quarantined": sum(by_rule.values()),
    }
    check_balance(rows, read)
    if greatest == 0:
        raise NoVolumeError(
            f"all volumes are 0: not one of the {kept:,} bars from {first} to {last} has a Volume "
            f"above 0, so that there is none to learn from. Look into {read[columns.FILE][0]}, the "
            "first file: are the volumes in another column, or left out by the source?"
        )
    return {
        "rows": rows,
        "quarantined_by_rule": by_rule,
        "flagged_by_rule": {rule.name: read[rule.name].sum() for rule in FLAGGING_RULES},
        "files": {
            "found": read.height,
            **{status.value: (read[STATUS] == status).sum() for status in LOOKED_INTO},
        },
        "troubled_files": [
            {"file": file, "status": status, "note": note}
            for file, status, note in read.filter(
                (pl.col(STATUS) != FileStatus.READ) | (pl.col(NOTE) != "")
            )
            .select(columns.FILE, STATUS, NOTE)
            .rows()
        ],
        "symbols": symbols,
        "first_date": _iso(first),
        "last_date": _iso(last),
        "constant_volume": greatest if kept > 1 and least == greatest else None,
    }


def check_balance(rows: Mapping[str, int], files: pl.DataFrame) -> None:
    """Check that every row read was either kept, known before or quarantined.

    Args:
        rows: Counts of ``read``, ``kept``, ``known`` and ``quarantined`` rows; those kept
            and quarantined are counted in the written layers.
        files: The files as they were read, one row a file.

    Raises:
        UnbalancedRowsError: The counts do not add up, in sum or in some file.
    """
    if rows["read"] != rows["kept"] + rows["known"] + rows["quarantined"]:
        raise UnbalancedRowsError(
            "rows read are not rows kept, known and quarantined: "
            f"{rows['read']} != {rows['kept']} + {rows['known']} + {rows['quarantined']}"
        )
    unbalanced = files.filter(
        pl.col(ROWS_READ) != pl.sum_horizontal(ROWS_KEPT, ROWS_KNOWN, ROWS_QUARANTINED)
    )
    if unbalanced.height:
        raise UnbalancedRowsError(f"rows were lost in {unbalanced[columns.FILE].to_list()}")


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None
