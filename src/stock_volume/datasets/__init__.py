"""Kedro datasets of this project, for reading and writing only."""

from stock_volume.datasets.atomic import AtomicDataset
from stock_volume.datasets.bento import BentoDataset, BentoModelDataset
from stock_volume.datasets.parquet import ChunkedParquetDataset
from stock_volume.datasets.parts import ParquetPartsDataset
from stock_volume.datasets.pydantic_json import PydanticJSONDataset
from stock_volume.datasets.source import SourceDataset

__all__ = [
    "AtomicDataset",
    "BentoDataset",
    "BentoModelDataset",
    "ChunkedParquetDataset",
    "ParquetPartsDataset",
    "PydanticJSONDataset",
    "SourceDataset",
]
