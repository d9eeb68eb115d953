"""The pipeline monitor, which is run by name only."""

from stock_volume.pipelines.monitor.pipeline import create_pipeline

__all__ = ["create_pipeline"]
