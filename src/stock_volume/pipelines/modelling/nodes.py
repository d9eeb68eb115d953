"""Nodes of the pipeline modelling."""

from pathlib import Path
from typing import Any, Protocol

import polars as pl

from stock_volume import columns
from stock_volume.bars.ingest import SHA256
from stock_volume.bars.report import report_data
from stock_volume.estimator.report import report_estimator
from stock_volume.estimator.stored import StoredModel
from stock_volume.estimator.train import (
    EstimatorMetrics,
    EstimatorParameters,
    TrainedEstimator,
    train_estimator,
)
from stock_volume.lineage import fingerprint, git_revision, package_versions


class FittedRegressor(Protocol):
    """A fitted ``LGBMRegressor``, which would take a second to import for its name."""

    @property
    def booster_(self) -> Any:
        """The booster."""


def fit_estimator(features: pl.LazyFrame, parameters: EstimatorParameters) -> TrainedEstimator:
    """Train and measure the estimator."""
    return train_estimator(features, parameters)


def register_estimator(
    model: FittedRegressor,
    metrics: EstimatorMetrics,
    files: pl.LazyFrame,
    parameters: EstimatorParameters,
) -> StoredModel:
    """Put the estimator into words that the model store keeps."""
    data = fingerprint(files.select(columns.FILE, SHA256).collect().iter_rows())
    revision = git_revision(Path(__file__).parent)
    return StoredModel(
        text=model.booster_.model_to_string(),
        labels={
            "data": data[:12],
            "git_revision": revision[:12],
            "time_split_r2": f"{metrics['time_split']['r2']:.4f}",
        },
        metadata={
            "inputs": list(columns.ESTIMATOR_INPUTS),
            "target": columns.VOLUME,
            "data_fingerprint": data,
            "parameters": parameters.model_dump(),
            "metrics": metrics,
            "versions": package_versions(),
            "git_revision": revision,
        },
    )


def package_service(estimator: StoredModel) -> dict[str, str]:
    """Label the Bento by the model it serves."""
    return {"estimator": str(estimator.tag).replace(":", "-"), **estimator.labels}


def write_report(
    estimator: EstimatorMetrics, data_quality: dict[str, Any]
) -> tuple[dict[str, EstimatorMetrics], str]:
    """Gather the models' errors, as figures and in words."""
    return {"estimator": estimator}, report_data(data_quality) + report_estimator(estimator)
