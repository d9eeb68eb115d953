"""From files of events to judged events, with the outcome for each file and row."""

import hashlib
import logging
from typing import Final, NamedTuple

import polars as pl

from stock_volume import columns
from stock_volume.bars.ledger import (
    NOTE,
    ROWS_KEPT,
    ROWS_QUARANTINED,
    ROWS_READ,
    SHA256,
    SIZE,
    STATUS,
    FileStatus,
)
from stock_volume.errors import SourceError, UnreadableFileError
from stock_volume.events.judge import FILE_INDEX, JudgedEvents, judge_events
from stock_volume.events.parse import read_event_rows
from stock_volume.events.rules import FLAGGING_RULES, EventParameters
from stock_volume.events.source import EventFile, EventFiles

logger = logging.getLogger(__name__)

_COUNTS: Final = (ROWS_READ, ROWS_KEPT, ROWS_QUARANTINED, *(rule.name for rule in FLAGGING_RULES))

EVENT_TYPES: Final = {
    columns.SYMBOL: pl.String(),
    columns.DATE: pl.Date(),
    columns.TIME: pl.String(),
    columns.EVENT_KIND: pl.String(),
    columns.KNOWN: pl.Datetime("us", "UTC"),
    columns.CONFIRMED: pl.Boolean(),
    columns.SESSION: pl.Date(),
    columns.KNOWN_FROM: pl.Date(),
}
"""Columns of the events that are kept."""


class IngestedEvents(NamedTuple):
    """The rows of all files of events.

    Attributes:
        events: One row per event, sorted by symbol, date and kind.
        quarantine: Rows that broke a rule: file, line, rule, the fields as read.
        files: One row per file: what became of it, and its rows by fate and flag.
    """

    events: pl.DataFrame
    quarantine: pl.DataFrame
    files: pl.DataFrame


class _ReadFile(NamedTuple):
    file: EventFile
    status: FileStatus
    note: str
    rows: pl.DataFrame


def ingest_event_files(source: EventFiles, parameters: EventParameters) -> IngestedEvents:
    """Read, parse and judge every row of files of events.

    Args:
        source: The files; none of them if there are no events.
        parameters: Bounds of the rules.

    Returns:
        The rows by their fate.

    Raises:
        SourceError: There are files, and none of them could be read, or every row of them
            breaks a rule.
    """
    read = [_read_file(file) for file in source.files]
    parts = [
        one.rows.with_columns(pl.lit(place, pl.Int32).alias(FILE_INDEX))
        for place, one in enumerate(read)
    ]
    empty = read_event_rows(EventFile("", b"")).with_columns(pl.lit(0, pl.Int32).alias(FILE_INDEX))
    judged = judge_events(pl.concat([empty, *parts]), parameters)
    ingested = IngestedEvents(
        judged.kept.select(list(EVENT_TYPES)),
        _list_rejected(judged.rejected, [one.file.name for one in read]),
        _report_files(read, judged),
    )
    _check_usable(ingested, read)
    return ingested


def _read_file(file: EventFile) -> _ReadFile:
    nothing = read_event_rows(EventFile("", b""))
    try:
        rows = read_event_rows(file)
    except UnreadableFileError as error:
        return _ReadFile(file, FileStatus.UNREADABLE, error.reason, nothing)
    if not rows.height:
        return _ReadFile(file, FileStatus.EMPTY, "has no rows", nothing)
    return _ReadFile(file, FileStatus.READ, "", rows)


def _list_rejected(rejected: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    file = pl.lit(pl.Series(columns.FILE, names, pl.String)).gather(pl.col(FILE_INDEX))
    return rejected.select(file, columns.LINE, columns.RULE, *columns.EVENT)


def _report_files(read: list[_ReadFile], judged: JudgedEvents) -> pl.DataFrame:
    files = pl.DataFrame(
        {
            columns.FILE: [one.file.name for one in read],
            STATUS: [one.status.value for one in read],
            NOTE: [one.note for one in read],
            SIZE: [len(one.file.content) for one in read],
            SHA256: [hashlib.sha256(one.file.content).hexdigest() for one in read],
            ROWS_READ: [one.rows.height for one in read],
        },
        schema_overrides={
            **dict.fromkeys((columns.FILE, STATUS, NOTE, SHA256), pl.String),
            **dict.fromkeys((SIZE, ROWS_READ), pl.Int64),
        },
    ).with_row_index(FILE_INDEX)
    by_file = pl.col(FILE_INDEX).cast(pl.UInt32)
    flags = [pl.col(rule.name).sum().cast(pl.Int64) for rule in FLAGGING_RULES]
    kept = judged.kept.group_by(by_file).agg(pl.len().cast(pl.Int64).alias(ROWS_KEPT), *flags)
    rejected = judged.rejected.group_by(by_file).agg(
        pl.len().cast(pl.Int64).alias(ROWS_QUARANTINED)
    )
    counted = files.join(kept, on=FILE_INDEX, how="left", maintain_order="left").join(
        rejected, on=FILE_INDEX, how="left", maintain_order="left"
    )
    return counted.with_columns(pl.col(_COUNTS).fill_null(0)).select(
        columns.FILE, STATUS, NOTE, SIZE, SHA256, *_COUNTS
    )


def _check_usable(ingested: IngestedEvents, read: list[_ReadFile]) -> None:
    """Warn of files that were not read; fail if nothing can be used."""
    unread = [one for one in read if one.status is FileStatus.UNREADABLE]
    rejected = ingested.quarantine
    if read and not ingested.events.height and (unread or rejected.height):
        problem = (
            f"{unread[0].file.name} {unread[0].note}"
            if unread
            else "{file}, line {line}: {rule}".format(**rejected.row(0, named=True))
        )
        raise SourceError(f"no event can be used; first problem: {problem}")
    for one in unread:
        logger.warning("%s (%s): %s", one.file.name, one.status, one.note)
