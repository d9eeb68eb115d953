"""The pipeline ``monitor``, which runs on request only."""

from stock_volume.pipelines.monitor.pipeline import create_pipeline

__all__ = ["create_pipeline"]
