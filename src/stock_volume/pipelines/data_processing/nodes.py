"""Nodes of the pipeline data_processing."""

import logging
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import polars as pl

from stock_volume.bars.archive import BarArchive, BarSource
from stock_volume.bars.ingest import IngestedChunk, IngestionParameters, ingest
from stock_volume.bars.ledger import ROWS_READ, FileStatus
from stock_volume.bars.quality import QualityReport, TroubledFile, report_quality
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


def assess_quality(
    prices: pl.LazyFrame, quarantine: pl.LazyFrame, files: pl.LazyFrame
) -> QualityReport:
    """Report on the ingested data; fails if a row was lost."""
    report = report_quality(prices, quarantine, files)
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
