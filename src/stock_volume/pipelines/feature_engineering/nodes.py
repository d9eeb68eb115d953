"""Nodes of the pipeline feature_engineering."""

from collections.abc import Iterator

import polars as pl

from stock_volume.concurrency import map_ahead
from stock_volume.features.chunks import symbol_chunks
from stock_volume.features.registry import FeatureParameters, add_features


def engineer_features(
    prices: pl.LazyFrame, parameters: FeatureParameters, chunk_rows: int
) -> Iterator[pl.DataFrame]:
    """Add the features to the prices, a chunk of symbols at a time."""

    def of_chunk(chunk: pl.LazyFrame) -> pl.DataFrame:
        return add_features(chunk.collect(), parameters)

    yield from map_ahead(of_chunk, symbol_chunks(prices, chunk_rows))
