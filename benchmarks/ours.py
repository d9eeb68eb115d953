"""The stages of this project, run the way their nodes run them."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from measure import main, measured

from stock_volume import columns


def ingest(source: Path, target: Path) -> dict[str, Any]:
    """Read, parse and judge every row, and write prices, quarantine and files."""
    import exchange_calendars  # noqa: F401  # its import is not ingestion

    from stock_volume.bars.archive import open_archive
    from stock_volume.bars.ingest import IngestedChunk, IngestionParameters
    from stock_volume.bars.ingest import ingest as ingest_archive
    from stock_volume.datasets.parquet import ChunkedParquetDataset

    figures: dict[str, Any] = {}
    with measured(figures):
        layers = [
            ChunkedParquetDataset(str(target.with_name(f"{layer}.parquet")))
            for layer in IngestedChunk._fields
        ]
        for chunk in ingest_archive(open_archive(source), IngestionParameters()):
            for layer, frame in zip(layers, chunk, strict=True):
                layer.save(frame)
        for layer in layers:
            layer.confirm()
    prices, quarantine, files = (layer.load() for layer in layers)
    kept, quarantined = (_height(rows) for rows in (prices, quarantine))
    read = files.select(pl.col("rows_read").sum()).collect().item()
    if read != kept + quarantined:
        raise AssertionError(f"{read} != {kept} + {quarantined}")
    return {**figures, "rows": read}


def features(source: Path, target: Path) -> dict[str, Any]:
    """Compute the features of every symbol, chunk by chunk."""
    from stock_volume.datasets.parquet import ChunkedParquetDataset
    from stock_volume.features.registry import FeatureParameters
    from stock_volume.features.schedule import NO_EVENTS
    from stock_volume.pipelines.feature_engineering.nodes import engineer_features

    figures: dict[str, Any] = {}
    with measured(figures):
        prices = ChunkedParquetDataset(str(source)).load()
        layer = ChunkedParquetDataset(str(target))
        events = NO_EVENTS.events.lazy()
        for chunk in engineer_features(prices, events, FeatureParameters(), chunk_rows=100_000):
            layer.save(chunk)
        layer.confirm()
    return {**figures, "rows": _height(layer.load())}


def train(source: Path, _target: Path) -> dict[str, Any]:
    """Fold all rows into cells and fit; predicting the same rows is not timed."""
    import lightgbm  # noqa: F401  # its import is not training
    import sklearn.model_selection  # noqa: F401

    from stock_volume.estimator.grid import fold, make_grid
    from stock_volume.estimator.train import EstimatorParameters, fit_cells

    parameters = EstimatorParameters()
    rows = pl.read_parquet(source, columns=[*columns.ESTIMATOR_INPUTS, columns.VOLUME])
    inputs = [rows[name].to_numpy() for name in columns.ESTIMATOR_INPUTS]
    volume = rows[columns.VOLUME].cast(pl.Float64).to_numpy()
    figures: dict[str, Any] = {}
    with measured(figures):
        grid = make_grid(
            inputs,
            volume,
            parameters.grid_size,
            parameters.volume_share,
            parameters.random_state,
        )
        model = fit_cells(fold(grid, grid.locate(inputs), volume), parameters)
    error = np.asarray(model.booster_.predict(np.column_stack(inputs))) - volume
    return {
        **figures,
        "rows": rows.height,
        "mae": float(np.abs(error).mean()),
        "mse": float(np.square(error).mean()),
    }


def _height(rows: pl.LazyFrame) -> int:
    return int(rows.select(pl.len()).collect().item())


if __name__ == "__main__":
    main({"ingest": ingest, "features": features, "train": train})
