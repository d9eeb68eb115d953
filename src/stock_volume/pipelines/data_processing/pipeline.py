"""The pipeline data_processing: ingestion."""

from kedro.pipeline import Node, Pipeline

from stock_volume.part import make_part
from stock_volume.pipelines.data_processing.nodes import (
    assess_quality,
    ingest_bars,
    ingest_events,
)


def create_pipeline() -> Pipeline:
    """Turn raw bars into prices, and raw events into events; quarantine rows that break a rule."""
    layers = ["prices", "quarantine", "files"]
    event_layers = ["events", "event_quarantine", "event_files"]
    return make_part(
        "data_processing",
        [
            Node(
                ingest_bars,
                inputs=["raw_bars", "params:ingestion"],
                outputs=layers,
                confirms=layers,
                name="ingest_bars",
            ),
            Node(
                ingest_events,
                inputs=["raw_events", "prices", "params:event_rules"],
                outputs=event_layers,
                confirms=event_layers,
                name="ingest_events",
            ),
            Node(
                assess_quality,
                inputs=[*layers, *event_layers],
                outputs="data_quality",
                name="assess_quality",
            ),
        ],
        tags="data_processing",
    )
