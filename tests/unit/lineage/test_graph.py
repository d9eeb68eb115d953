"""The document of a chain for other programs."""

import json

from stock_volume.lineage.graph import build_graph
from tests.unit.lineage_helpers import (
    RAW,
    disk,
    first_run,
    history_of,
    states_in,
    trace,
    update,
)


def test_record_is_a_graph_of_json() -> None:
    """The record has each artefact, node and run once, and links by position."""
    history = history_of([first_run(), update(2, "prices 1")])
    chain = trace(history, "prices")
    states = states_in(history, disk(prices="prices 2"))
    record = json.loads(
        json.dumps(build_graph(chain, history, states, RAW).model_dump(mode="json"))
    )
    shown = [(one["name"], one["raw"], one["files"][0]["state"]) for one in record["artefacts"]]
    assert shown == [
        ("prices", False, "unchanged"),
        ("prices", False, "replaced by a run"),
        ("raw_bars", True, "gone"),
        ("raw_bars", True, "gone"),
    ]
    assert record["nodes"][0] == {
        "run_id": "run-2",
        "node": "merge",
        "parameters": {},
        "inputs": [{"as": "held_prices", "artefact": 1}, {"as": "raw_bars", "artefact": 2}],
    }
    assert [run["run_id"] for run in record["runs"]] == ["run-1", "run-2"]
