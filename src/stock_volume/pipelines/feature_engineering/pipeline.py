"""The pipeline feature_engineering: the inputs of both models."""

from kedro.pipeline import Node, Pipeline

from stock_volume.part import make_part
from stock_volume.pipelines.feature_engineering.nodes import (
    describe_sessions,
    engineer_features,
    engineer_forecast_features,
)


def create_pipeline() -> Pipeline:
    """Compute the features of the estimator and of the forecaster from prices."""
    return make_part(
        "feature_engineering",
        [
            Node(
                engineer_features,
                inputs=["prices", "events", "params:features", "params:feature_chunk_rows"],
                outputs="estimator_features",
                confirms="estimator_features",
                name="engineer_features",
            ),
            Node(
                describe_sessions,
                inputs=["prices", "events", "params:exchange", "params:feature_chunk_rows"],
                outputs="sessions",
                confirms="sessions",
                name="describe_sessions",
            ),
            Node(
                engineer_forecast_features,
                inputs=[
                    "prices",
                    "sessions",
                    "events",
                    "params:forecaster",
                    "params:backtest",
                    "params:exchange",
                    "params:feature_chunk_rows",
                ],
                outputs="forecast_features",
                confirms="forecast_features",
                name="engineer_forecast_features",
            ),
        ],
        tags="feature_engineering",
    )
