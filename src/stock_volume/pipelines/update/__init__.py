"""The pipeline update, which is run by name only."""

from stock_volume.pipelines.update.pipeline import create_pipeline

__all__ = ["create_pipeline"]
