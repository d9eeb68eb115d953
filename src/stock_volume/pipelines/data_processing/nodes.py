"""Nodes of the pipeline data_processing."""

import logging
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.bars.archive import BarArchive, BarSource
from stock_volume.bars.ingest import IngestedChunk, IngestionParameters, ingest
from stock_volume.bars.ledger import ROWS_READ, FileStatus
from stock_volume.bars.quality import QualityReport, TroubledFile, report_quality
from stock_volume.events.account import EventAccount, account_for_events
from stock_volume.events.ingest import IngestedEvents, ingest_event_files
from stock_volume.events.rules import EventParameters
from stock_volume.events.source import EventFiles, EventSource
from stock_volume.progress import progress

logger = logging.getLogger(__name__)

_WARNINGS: Final = 20
"""Troubled files that warnings name; the report names all."""


def ingest_bars(source: BarSource, parameters: IngestionParameters) -> Iterator[IngestedChunk]:
    """Read and judge the raw bars, a chunk of symbols at a time."""
    archive = source.everything()
    logger.info("%s: reading %d files of bars", archive.path, len(archive.files))
    yield from ingest_watched(archive, parameters)


def ingest_watched(
    archive: BarArchive,
    parameters: IngestionParameters,
    known: AbstractSet[tuple[str, str]] = frozenset(),
) -> Iterator[IngestedChunk]:
    """Read and judge bars, and show how far it is."""
    with progress("reading bars", len(archive.files), "files") as advance:
        for chunk in ingest(archive, parameters, known):
            advance(chunk.files.height, int(chunk.files[ROWS_READ].sum()))
            yield chunk


def ingest_events(
    source: EventSource, prices: pl.LazyFrame, parameters: EventParameters
) -> IngestedEvents:
    """Read and judge the events of the symbols; without a source there are none."""
    return ingest_event_files(read_events(source, prices), parameters)


def read_events(source: EventSource, prices: pl.LazyFrame) -> EventFiles:
    """Read the files of events of the symbols with bars."""
    symbols = prices.select(pl.col(columns.SYMBOL).unique().sort()).collect(engine="streaming")
    return source.read(symbols)


def assess_quality(  # noqa: PLR0913, PLR0917 (six layers go in)
    prices: pl.LazyFrame,
    quarantine: pl.LazyFrame,
    files: pl.LazyFrame,
    events: pl.LazyFrame,
    event_quarantine: pl.LazyFrame,
    event_files: pl.LazyFrame,
) -> QualityReport:
    """Report on the ingested data; fails if a row was lost."""
    report = report_quality(prices, quarantine, files)
    account = account_for_events(events, event_quarantine, event_files, prices)
    if account is not None:
        _log_events(account)
        report = report.model_copy(update={"events": account})
    rows = report.rows
    logger.info(
        "%d rows read = %d kept + %d known before + %d quarantined, %d symbols, %s to %s",
        rows.read,
        rows.kept,
        rows.known,
        rows.quarantined,
        report.symbols,
        report.first_date,
        report.last_date,
    )
    if report.constant_volume is not None:
        logger.warning(
            "all volumes are %d: nothing can be learned from volumes that do not vary, and some "
            "measures are undefined",
            report.constant_volume,
        )
    _warn_of_troubled(report.troubled_files)
    return report


def _log_events(account: EventAccount) -> None:
    logger.info(
        "%d rows of events read = %d kept + %d known before + %d quarantined, %d symbols, %s to %s",
        account.rows_read,
        account.rows_kept,
        account.rows_known,
        account.rows_quarantined,
        account.symbols,
        account.first_date,
        account.last_date,
    )
    if account.without_known:
        logger.warning(
            "%d events do not record when they became known: their dates are taken as scheduled "
            "long before (docs/events.md)",
            account.without_known,
        )


def _warn_of_troubled(files: Sequence[TroubledFile]) -> None:
    """Warn of troubled files by name, first of all of those that gave no bar."""
    ranked = sorted(files, key=lambda one: one.status == FileStatus.READ)
    for one in ranked[:_WARNINGS]:
        logger.warning("%s (%s): %s", one.file, one.status, one.note)
    if len(ranked) > _WARNINGS:
        logger.warning(
            "%d more files are troubled: see troubled_files in data_quality.json",
            len(ranked) - _WARNINGS,
        )
