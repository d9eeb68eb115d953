"""The same stages as bare Polars expressions, without rules, quarantine, ledger or chunks."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
from measure import main, measured

from stock_volume import columns

_WINDOW = timedelta(days=30)


def ingest(source: Path, target: Path) -> dict[str, Any]:
    """Scan every CSV file, derive the symbol from its name, and write one Parquet file.

    What is not a number or a date becomes null.
    """
    figures: dict[str, Any] = {}
    with measured(figures):
        pl.scan_csv(
            [*sorted(source.glob("stocks/*.csv")), *sorted(source.glob("etfs/*.csv"))],
            include_file_paths="path",
            schema_overrides={columns.DATE: pl.String},
            ignore_errors=True,
        ).with_columns(
            pl.col("path").str.extract(r"([^/]+)\.csv$").alias(columns.SYMBOL),
            pl.col(columns.DATE).str.to_date("%Y-%m-%d", strict=False),
        ).drop("path").sink_parquet(target)
    return {**figures, "rows": _height(target)}


def features(source: Path, target: Path) -> dict[str, Any]:
    """Compute the two features in one expression each."""
    figures: dict[str, Any] = {}
    with measured(figures):
        volume, price = pl.col(columns.VOLUME), pl.col(columns.ADJ_CLOSE)
        pl.scan_parquet(source).with_columns(
            volume.rolling_mean_by(columns.DATE, _WINDOW)
            .over(columns.SYMBOL)
            .alias(columns.VOL_MOVING_AVG),
            price.rolling_median_by(columns.DATE, _WINDOW)
            .over(columns.SYMBOL)
            .alias(columns.ADJ_CLOSE_ROLLING_MED),
        ).sink_parquet(target)
    return {**figures, "rows": _height(target)}


def _height(path: Path) -> int:
    return int(pl.scan_parquet(path).select(pl.len()).collect().item())


if __name__ == "__main__":
    main({"ingest": ingest, "features": features})
