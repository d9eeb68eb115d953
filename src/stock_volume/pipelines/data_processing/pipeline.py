"""Wiring of the pipeline data_processing."""

from kedro.pipeline import Node, Pipeline

from stock_volume.pipelines.data_processing.nodes import assess_quality, ingest_bars


def create_pipeline() -> Pipeline:
    """From raw bars to prices, with what was set aside and why."""
    layers = ["prices", "quarantine", "files"]
    return Pipeline(
        [
            Node(
                ingest_bars,
                inputs=["raw_bars", "params:ingestion"],
                outputs=layers,
                confirms=layers,
                name="ingest_bars",
            ),
            Node(assess_quality, inputs=layers, outputs="data_quality", name="assess_quality"),
        ],
        tags="data_processing",
    )
