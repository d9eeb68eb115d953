"""The pipeline tuning: a search over the parameters of the forecaster."""

from kedro.pipeline import Node, Pipeline

from stock_volume.pipelines.tuning.nodes import tune


def create_pipeline() -> Pipeline:
    """Search for better parameters of the forecaster."""
    return Pipeline(
        [
            Node(
                tune,
                inputs=[
                    "forecast_features",
                    "params:forecaster",
                    "params:backtest",
                    "params:tuning",
                ],
                outputs=["tuned_parameters", "tuning_trials"],
                name="tune",
            )
        ],
        tags="tuning",
    )
