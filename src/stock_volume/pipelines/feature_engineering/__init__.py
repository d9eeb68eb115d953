"""The pipeline feature_engineering."""

from stock_volume.pipelines.feature_engineering.pipeline import create_pipeline

__all__ = ["create_pipeline"]
