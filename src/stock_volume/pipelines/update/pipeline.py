"""Wiring of the pipeline update."""

from kedro.pipeline import Node, Pipeline

from stock_volume.pipelines.update.nodes import (
    fetch_recent_bars,
    log_forecasts,
    merge_recent_bars,
    report_update,
    settle_files,
    update_features,
    update_forecast_features,
    update_forecasts,
    update_quality,
    update_service,
    update_sessions,
    update_snapshot,
)


def create_pipeline() -> Pipeline:
    """From recent bars to updated layers, forecasts and service, with the models as they are.

    What is named ``held_…`` is a layer as the last run left it.
    """
    recent = ["recent_prices", "recent_quarantine", "recent_files"]
    held = ["held_prices", "held_quarantine", "held_files"]
    merged = ["prices", "quarantine", "restatements", "rebasings", "files"]
    return Pipeline(
        [
            Node(
                fetch_recent_bars,
                inputs=[
                    "raw_bars",
                    "held_prices",
                    "held_files",
                    "params:ingestion",
                    "params:update",
                ],
                outputs=recent,
                confirms=recent,
                name="fetch_recent_bars",
            ),
            Node(
                merge_recent_bars,
                inputs=[*held, *recent, "params:update", "params:feature_chunk_rows"],
                outputs=merged,
                # The files last: they say that the bars are in place.
                confirms=merged,
                name="merge_recent_bars",
            ),
            Node(
                update_quality,
                inputs=["prices", "quarantine", "files"],
                outputs="data_quality",
                name="update_quality",
            ),
            Node(
                report_update,
                inputs=[
                    "prices",
                    "quarantine",
                    "files",
                    "restatements",
                    "rebasings",
                    "recent_files",
                    "forecasts",
                ],
                outputs="update_report",
                name="report_update",
            ),
            Node(
                update_features,
                inputs=["prices", "files", "params:features", "params:feature_chunk_rows"],
                outputs="estimator_features",
                confirms="estimator_features",
                name="update_features",
            ),
            Node(
                update_sessions,
                inputs=["prices", "files", "params:feature_chunk_rows"],
                outputs="sessions",
                confirms="sessions",
                name="update_sessions",
            ),
            Node(
                update_forecast_features,
                inputs=[
                    "held_forecast_features",
                    "prices",
                    "sessions",
                    "files",
                    "params:forecaster",
                    "params:backtest",
                    "params:feature_chunk_rows",
                ],
                outputs="forecast_features",
                confirms="forecast_features",
                name="update_forecast_features",
            ),
            Node(
                update_forecasts,
                inputs=[
                    "forecaster",
                    "forecast_features",
                    "prices",
                    "files",
                    "recent_files",
                    "held_forecasts",
                    "params:forecaster",
                    "params:update",
                ],
                outputs="forecasts",
                confirms="forecasts",
                name="update_forecasts",
            ),
            Node(
                log_forecasts,
                inputs=[
                    "forecaster",
                    "forecasts",
                    "forecast_features",
                    "files",
                    "held_forecast_log",
                    "params:forecaster",
                    "params:update",
                ],
                outputs="forecast_log",
                name="log_forecasts",
            ),
            Node(
                update_snapshot,
                inputs=["estimator_features", "sessions", "forecast_features", "backtest", "files"],
                outputs="snapshot_model",
                name="update_snapshot",
            ),
            Node(
                update_service,
                inputs=["estimator_model", "forecaster_model", "snapshot_model", "files"],
                outputs="service_bento",
                name="update_service",
            ),
            Node(
                settle_files,
                inputs=["files", "forecast_log", "service_bento"],
                outputs="settled_files",
                confirms="settled_files",
                name="settle_files",
            ),
        ],
        tags="update",
    )
