"""Wiring of the pipeline feature_engineering."""

from kedro.pipeline import Node, Pipeline

from stock_volume.pipelines.feature_engineering.nodes import engineer_features


def create_pipeline() -> Pipeline:
    """From prices to features."""
    return Pipeline(
        [
            Node(
                engineer_features,
                inputs=["prices", "params:features", "params:feature_chunk_rows"],
                outputs="features",
                confirms="features",
                name="engineer_features",
            )
        ],
        tags="feature_engineering",
    )
