"""Wiring of the pipeline modelling."""

from kedro.pipeline import Node, Pipeline

from stock_volume.pipelines.modelling.nodes import (
    fit_estimator,
    package_service,
    register_estimator,
    write_report,
)


def create_pipeline() -> Pipeline:
    """From features to a trained, measured, stored and servable model."""
    return Pipeline(
        [
            Node(
                fit_estimator,
                inputs=["features", "params:estimator"],
                outputs=["lightgbm_predictor", "estimator_metrics"],
                name="fit_estimator",
            ),
            Node(
                register_estimator,
                inputs=["lightgbm_predictor", "estimator_metrics", "files", "params:estimator"],
                outputs="estimator_model",
                name="register_estimator",
            ),
            Node(
                write_report,
                inputs=["estimator_metrics", "data_quality"],
                outputs=["metrics", "report"],
                name="write_report",
            ),
            Node(
                package_service,
                inputs="estimator_model",
                outputs="service_bento",
                name="package_service",
            ),
        ],
        tags="modelling",
    )
