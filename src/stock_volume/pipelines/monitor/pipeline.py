"""The pipeline monitor: how forecasts compare with their outcomes."""

from kedro.pipeline import Node, Pipeline

from stock_volume.pipelines.monitor.nodes import draw_monitoring, monitor_forecaster


def create_pipeline() -> Pipeline:
    """Judge the forecaster by its logged forecasts and the bars that followed."""
    return Pipeline(
        [
            Node(
                monitor_forecaster,
                inputs=[
                    "forecast_log",
                    "prices",
                    "forecast_features",
                    "backtest",
                    "backtest_plan",
                    "forecaster",
                    "params:monitor",
                ],
                outputs="monitoring",
                name="monitor_forecaster",
            ),
            Node(
                draw_monitoring,
                inputs="monitoring",
                outputs="plot_monitoring",
                name="draw_monitoring",
            ),
        ],
        tags="monitor",
    )
