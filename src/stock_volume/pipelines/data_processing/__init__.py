"""The pipeline data_processing."""

from stock_volume.pipelines.data_processing.pipeline import create_pipeline

__all__ = ["create_pipeline"]
