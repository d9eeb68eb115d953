"""The pipeline data_processing: ingestion."""

from kedro.pipeline import Node, Pipeline

from stock_volume.pipelines.data_processing.nodes import assess_quality, ingest_bars
from stock_volume.pipelines.part import make_part


def create_pipeline() -> Pipeline:
    """Turn raw bars into prices, and quarantine the rows that break a rule."""
    layers = ["prices", "quarantine", "files"]
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
            Node(assess_quality, inputs=layers, outputs="data_quality", name="assess_quality"),
        ],
        tags="data_processing",
    )
