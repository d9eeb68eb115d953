"""The pipeline tuning, which is run by name only."""

from stock_volume.pipelines.tuning.pipeline import create_pipeline

__all__ = ["create_pipeline"]
