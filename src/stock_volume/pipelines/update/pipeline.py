"""The pipeline update: recent bars, new forecasts and a new Bento, without training."""

from typing import Final

from kedro.pipeline import Node, Pipeline

from stock_volume.part import make_part
from stock_volume.pipelines.data_processing.nodes import assess_quality
from stock_volume.pipelines.feature_engineering.nodes import describe_sessions
from stock_volume.pipelines.modelling.nodes import package_service, register_snapshot
from stock_volume.pipelines.update.nodes import (
    fetch_recent_bars,
    log_forecasts,
    merge_recent_bars,
    report_update,
    settle_files,
    update_events,
    update_features,
    update_forecast_features,
    update_forecasts,
    when_pending,
)

_LEDGERS: Final = ("files", "event_files")
"""Ledgers of the files of bars and of events: what depends on them waits for their news."""


def create_pipeline() -> Pipeline:
    """Update the layers, the forecasts and the service from recent bars, with the same models.

    Datasets named ``held_…`` are layers as the last run left them.
    """
    return Pipeline(
        [_merge_bars(), _update_features(), _forecast(), _report(), _package()], tags="update"
    )


def _merge_bars() -> Pipeline:
    """Fetch recent bars, and merge them into the layers of an earlier run."""
    recent = ["recent_prices", "recent_quarantine", "recent_files"]
    held = ["held_prices", "held_quarantine", "held_files"]
    events = ["events", "event_quarantine", "event_files"]
    held_events = [f"held_{name}" for name in events]
    merged = ["prices", "quarantine", "restatements", "rebasings", "files"]
    return make_part(
        "data_processing",
        [
            Node(
                fetch_recent_bars,
                inputs=[
                    "raw_bars",
                    "held_prices",
                    "held_files",
                    "forecaster",
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
                # Files last: they record that the bars are in place.
                confirms=merged,
                name="merge_recent_bars",
            ),
            Node(
                update_events,
                inputs=["raw_events", "prices", *held_events, "params:event_rules"],
                outputs=events,
                confirms=events,
                name="update_events",
            ),
            Node(
                when_pending(assess_quality),
                inputs=[*_LEDGERS, "prices", "quarantine", "files", *events],
                outputs="data_quality",
                name="update_quality",
            ),
        ],
    )


def _update_features() -> Pipeline:
    """Update the features of the symbols that have changed."""
    return make_part(
        "feature_engineering",
        [
            Node(
                update_features,
                inputs=[
                    "held_estimator_features",
                    "prices",
                    "files",
                    "params:features",
                    "params:feature_chunk_rows",
                ],
                outputs="estimator_features",
                confirms="estimator_features",
                name="update_features",
            ),
            Node(
                when_pending(describe_sessions),
                inputs=[
                    *_LEDGERS,
                    "prices",
                    "events",
                    "params:exchange",
                    "params:feature_chunk_rows",
                ],
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
                    "events",
                    *_LEDGERS,
                    "params:forecaster",
                    "params:backtest",
                    "params:exchange",
                    "params:feature_chunk_rows",
                ],
                outputs="forecast_features",
                confirms="forecast_features",
                name="update_forecast_features",
            ),
        ],
    )


def _forecast() -> Pipeline:
    """Forecast the next session, and log it with the sessions since the last update."""
    return make_part(
        "modelling",
        [
            Node(
                update_forecasts,
                inputs=[
                    "forecaster",
                    "raw_backtest",
                    "forecast_features",
                    "prices",
                    *_LEDGERS,
                    "recent_files",
                    "held_forecasts",
                    "params:forecaster",
                    "params:adaptation",
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
                    "raw_backtest",
                    "forecast_features",
                    "files",
                    "held_forecast_log",
                    "params:forecaster",
                    "params:adaptation",
                    "params:update",
                ],
                outputs="forecast_log",
                name="log_forecasts",
            ),
        ],
    )


def _report() -> Pipeline:
    """Report on the update."""
    return make_part(
        "reporting",
        [
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
        ],
    )


def _package() -> Pipeline:
    """Package the service with a new snapshot, and record that the update is complete."""
    settled = ["settled_files", "settled_event_files"]
    return make_part(
        "packaging",
        [
            Node(
                when_pending(register_snapshot),
                inputs=[
                    *_LEDGERS,
                    "estimator_features",
                    "sessions",
                    "forecast_features",
                    "raw_backtest",
                    "backtest",
                    "events",
                    "files",
                    "params:exchange",
                    "forecaster",
                    "params:adaptation",
                ],
                outputs="snapshot_model",
                name="update_snapshot",
            ),
            Node(
                when_pending(package_service),
                inputs=[*_LEDGERS, "estimator_model", "forecaster_model", "snapshot_model"],
                outputs="service_bento",
                name="update_service",
            ),
            Node(
                settle_files,
                inputs=[*_LEDGERS, "forecast_log", "service_bento"],
                outputs=settled,
                confirms=settled,
                name="settle_files",
            ),
        ],
    )
