"""The pipeline modelling."""

from stock_volume.pipelines.modelling.pipeline import create_pipeline

__all__ = ["create_pipeline"]
