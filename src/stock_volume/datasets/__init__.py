"""Kedro datasets of this project, for reading and writing only."""

from stock_volume.datasets.archive import (
    ArchiveDataset,
    HttpCsvDataset,
    KaggleDataset,
    YahooDataset,
)
from stock_volume.datasets.atomic import AtomicDataset
from stock_volume.datasets.bento import BentoDataset, BentoModelDataset
from stock_volume.datasets.parquet import ChunkedParquetDataset
from stock_volume.datasets.pydantic_json import PydanticJSONDataset

__all__ = [
    "ArchiveDataset",
    "AtomicDataset",
    "BentoDataset",
    "BentoModelDataset",
    "ChunkedParquetDataset",
    "HttpCsvDataset",
    "KaggleDataset",
    "PydanticJSONDataset",
    "YahooDataset",
]
