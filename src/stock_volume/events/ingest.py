"""From files of events to judged events, with the outcome for each file and row."""

import hashlib
import logging
from collections.abc import Iterable
from typing import Final, NamedTuple

import polars as pl

from stock_volume import columns
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
    unread_name,
)
from stock_volume.errors import SourceError, UnreadableFileError
from stock_volume.events.judge import FILE_INDEX, JudgedEvents, judge_events
from stock_volume.events.parse import read_event_rows
from stock_volume.events.rules import (
    DAY_TYPED,
    DUPLICATE_EVENT,
    FLAGGING_RULES,
    IS_HELD,
    KIND_TYPED,
    EventParameters,
)
from stock_volume.events.source import EventFile, EventFiles

logger = logging.getLogger(__name__)

_FLAGS: Final = tuple(rule.name for rule in FLAGGING_RULES)

EVENT_TYPES: Final = {
    columns.SYMBOL: pl.String(),
    columns.DATE: pl.Date(),
    columns.TIME: pl.String(),
    columns.EVENT_KIND: pl.String(),
    columns.KNOWN: pl.Datetime("us", "UTC"),
    columns.CONFIRMED: pl.Boolean(),
    columns.SESSION: pl.Date(),
    columns.KNOWN_FROM: pl.Date(),
    columns.KNOWN_UNTIL: pl.Date(),
    columns.FILE: pl.String(),
    columns.LINE: pl.Int32(),
}
"""Columns of the events that are kept."""

QUARANTINE_TYPES: Final = {
    columns.FILE: pl.String(),
    columns.LINE: pl.Int32(),
    columns.RULE: pl.String(),
    **dict.fromkeys(columns.EVENT, pl.String()),
}
"""Columns of the rows that are set aside."""

_READ_TYPES: Final = {
    **dict.fromkeys((columns.FILE, STATUS, NOTE), pl.String()),
    SIZE: pl.Int64(),
    SHA256: pl.String(),
    ROWS_READ: pl.Int64(),
    ROWS_KNOWN: pl.Int64(),
    PENDING: pl.Boolean(),
}
"""What the ledger records of a file that later files do not change, except ``PENDING``."""

FILE_TYPES: Final = {
    **_READ_TYPES,
    **dict.fromkeys((ROWS_KEPT, ROWS_QUARANTINED, *_FLAGS), pl.Int64()),
}
"""Columns of the ledger of files of events."""

_IS_KNOWN: Final = "is known"


class IngestedEvents(NamedTuple):
    """The rows of all files of events.

    Attributes:
        events: One row per version of an event, sorted by symbol, date, kind and when it became
            known, with its file and line.
        quarantine: Rows that broke a rule: file, line, rule, the fields as read.
        files: One row per file: what became of it, and its rows by fate and flag.
    """

    events: pl.DataFrame
    quarantine: pl.DataFrame
    files: pl.DataFrame


NOTHING_HELD: Final = IngestedEvents(
    pl.DataFrame(schema=EVENT_TYPES),
    pl.DataFrame(schema=QUARANTINE_TYPES),
    pl.DataFrame(schema=FILE_TYPES),
)


class _ReadFile(NamedTuple):
    name: str
    status: FileStatus
    note: str
    content: bytes
    rows: pl.DataFrame


def ingest_event_files(
    source: EventFiles, parameters: EventParameters, held: IngestedEvents | None = None
) -> IngestedEvents:
    """Read, parse and judge every row of files of events, and merge them into those held.

    Args:
        source: The files; none of them if there are no events.
        parameters: Bounds of the rules.
        held: What earlier runs ingested; None to begin. Files with the same content are not
            read again, and rows that repeat a held event are counted as known.

    Returns:
        The rows by their fate, held ones included. If new files have changed held events, they
        are pending.

    Raises:
        SourceError: There are files, and none of them could be read, or every row of them
            breaks a rule; and there are no events held.
    """
    before = _drop_unlisted(held or NOTHING_HELD)
    read = _read_files(source.files, before.files)
    index = before.files.height
    parts = [
        one.rows.with_columns(pl.lit(place, pl.Int32).alias(FILE_INDEX))
        for place, one in enumerate(read, start=index)
    ]
    empty = read_event_rows(EventFile("", b"")).with_columns(pl.lit(0, pl.Int32).alias(FILE_INDEX))
    judged = judge_events(pl.concat([empty, *parts]), parameters, _index_files(before))
    events, quarantine, files = _put_together(before, read, judged)
    if held is None:
        files = files.with_columns(pl.lit(value=False).alias(PENDING))
    ingested = IngestedEvents(events, quarantine, files)
    _check_usable(ingested, read)
    return ingested


def _drop_unlisted(held: IngestedEvents) -> IngestedEvents:
    """Drop rows of files that the ledger lacks: an interrupted update left them."""
    listed = held.files.select(columns.FILE)
    events, quarantine = (
        rows.join(listed, on=columns.FILE, how="semi", maintain_order="left")
        for rows in (held.events, held.quarantine)
    )
    return IngestedEvents(events, quarantine, held.files)


def _read_files(files: Iterable[EventFile], held: pl.DataFrame) -> list[_ReadFile]:
    """Read the files whose content was not read before, and name each differently."""
    names = held[columns.FILE].to_list()
    settled = held.filter(pl.col(STATUS).is_in([FileStatus.READ, FileStatus.EMPTY]))
    known = set(settled[SHA256])
    found = []
    for file in files:
        if file.unreadable or hashlib.sha256(file.content).hexdigest() not in known:
            names.append(unread_name(file.name, names))
            found.append(_read_file(file, names[-1]))
    return found


def _read_file(file: EventFile, name: str) -> _ReadFile:
    nothing = read_event_rows(EventFile("", b""))
    try:
        rows = read_event_rows(file)
    except UnreadableFileError as error:
        return _ReadFile(name, FileStatus.UNREADABLE, error.reason, file.content, nothing)
    if not rows.height:
        return _ReadFile(name, FileStatus.EMPTY, "has no rows", file.content, nothing)
    return _ReadFile(name, FileStatus.READ, "", file.content, rows)


def _index_files(held: IngestedEvents) -> pl.DataFrame:
    """Add to held events the position of their file in the ledger."""
    places = held.files.select(columns.FILE).with_row_index(FILE_INDEX)
    return held.events.join(places, on=columns.FILE, maintain_order="left").with_columns(
        pl.col(FILE_INDEX).cast(pl.Int32)
    )


def _put_together(
    held: IngestedEvents, read: list[_ReadFile], judged: JudgedEvents
) -> IngestedEvents:
    names = [*held.files[columns.FILE], *(one.name for one in read)]
    file = pl.lit(pl.Series(columns.FILE, names, pl.String)).gather(pl.col(FILE_INDEX))
    kept = judged.kept.with_columns(file)
    is_known = _is_known(held, judged.rejected)
    aside = judged.rejected.filter(~is_known).select(file, *list(QUARANTINE_TYPES)[1:])
    quarantine = pl.concat([held.quarantine, aside])
    events = kept.select(list(EVENT_TYPES))
    values = pl.all().exclude(columns.FILE, columns.LINE)
    is_changed = not events.select(values).equals(held.events.select(values))
    known = judged.rejected.filter(is_known).select(file)
    files = pl.concat(
        [held.files.select(list(_READ_TYPES)), _list_files(read, known, is_changed=is_changed)]
    )
    return IngestedEvents(events, quarantine, _count_rows(files, kept, quarantine))


def _is_known(held: IngestedEvents, rejected: pl.DataFrame) -> pl.Series:
    """Find the rows of new files that repeat a held event."""
    event = [columns.SYMBOL, DAY_TYPED, KIND_TYPED]
    before = held.events.select(
        columns.SYMBOL,
        pl.col(columns.DATE).alias(DAY_TYPED),
        pl.col(columns.EVENT_KIND).alias(KIND_TYPED),
        pl.lit(value=True).alias(_IS_KNOWN),
    ).unique()
    found = rejected.join(before, on=event, how="left", maintain_order="left")
    repeats = pl.col(columns.RULE) == DUPLICATE_EVENT.name
    is_known = pl.col(_IS_KNOWN).fill_null(value=False) & repeats & ~pl.col(IS_HELD)
    return found.select(is_known).to_series()


def _list_files(read: list[_ReadFile], known: pl.DataFrame, *, is_changed: bool) -> pl.DataFrame:
    counts = dict(known.group_by(columns.FILE).len().rows())
    return pl.DataFrame(
        [
            (
                one.name,
                one.status.value,
                one.note,
                len(one.content),
                hashlib.sha256(one.content).hexdigest(),
                one.rows.height,
                counts.get(one.name, 0),
                is_changed,
            )
            for one in read
        ],
        schema=_READ_TYPES,
        orient="row",
    )


def _count_rows(files: pl.DataFrame, kept: pl.DataFrame, quarantine: pl.DataFrame) -> pl.DataFrame:
    """Count the rows of each file: a later file may replace a row that was kept."""
    flags = [pl.col(name).sum().cast(pl.Int64) for name in _FLAGS]
    by_file = kept.group_by(columns.FILE).agg(pl.len().cast(pl.Int64).alias(ROWS_KEPT), *flags)
    aside = quarantine.group_by(columns.FILE).agg(pl.len().cast(pl.Int64).alias(ROWS_QUARANTINED))
    return (
        files.join(by_file, on=columns.FILE, how="left", maintain_order="left")
        .join(aside, on=columns.FILE, how="left", maintain_order="left")
        .with_columns(pl.col(ROWS_KEPT, ROWS_QUARANTINED, *_FLAGS).fill_null(0))
        .select(list(FILE_TYPES))
    )


def _check_usable(ingested: IngestedEvents, read: list[_ReadFile]) -> None:
    """Warn of files that were not read; fail if nothing can be used."""
    unread = [one for one in read if one.status is FileStatus.UNREADABLE]
    rejected = ingested.quarantine
    if read and not ingested.events.height and (unread or rejected.height):
        problem = (
            f"{unread[0].name} {unread[0].note}"
            if unread
            else "{file}, line {line}: {rule}".format(**rejected.row(0, named=True))
        )
        raise SourceError(f"no event can be used; first problem: {problem}")
    for one in unread:
        logger.warning("%s (%s): %s", one.name, one.status, one.note)
