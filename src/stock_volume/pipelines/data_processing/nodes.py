"""Nodes of the pipeline data_processing."""

import logging
from collections.abc import Iterator
from typing import Any

import polars as pl

from stock_volume.bars.archive import BarArchive
from stock_volume.bars.ingest import IngestedChunk, IngestionParameters, ingest
from stock_volume.bars.quality import report_quality

logger = logging.getLogger(__name__)


def ingest_bars(archive: BarArchive, parameters: IngestionParameters) -> Iterator[IngestedChunk]:
    """Read and judge the raw bars, a chunk of symbols at a time."""
    logger.info("%s: reading %d files of bars", archive.path, len(archive.files))
    yield from ingest(archive, parameters)


def assess_quality(
    prices: pl.LazyFrame, quarantine: pl.LazyFrame, files: pl.LazyFrame
) -> dict[str, Any]:
    """Report on the ingested data; fails if a row was lost."""
    report = report_quality(prices, quarantine, files)
    rows = report["rows"]
    logger.info(
        "%d rows read = %d kept + %d quarantined, %d symbols, %s to %s",
        *rows.values(),
        report["symbols"],
        report["first_date"],
        report["last_date"],
    )
    for file in report["troubled_files"]:
        logger.warning("%(file)s (%(status)s): %(note)s", file)
    return report
