"""Which nodes must run again, by manifests written by hand."""

from collections.abc import Mapping
from typing import Any

import pytest

from stock_volume.lineage.freshness import (
    Present,
    Step,
    UnknownOriginError,
    find_stale,
    find_unfinished,
)
from stock_volume.lineage.history import History
from stock_volume.lineage.manifest import Content, RunManifest
from tests.unit.lineage_helpers import FEATURES, PRICES, file, first_run, manifest

STEPS = [
    Step("ingest", ("raw_bars",), ("prices",)),
    Step("engineer", ("prices", "params:features", "params:deep.er"), ("features",)),
    Step("describe", ("prices",), ()),
    Step("register", ("features", "counts"), ("model",)),
    Step("package", ("model",), ("service",)),
]
ALL = [step.name for step in STEPS]
DOWNSTREAM = ["engineer", "register", "package"]


def held(**changes: Any) -> dict[str, Any]:
    """What datasets hold after the first run, with changes."""
    run = first_run()
    return {**run["inputs"], **run["outputs"], **changes}


def stale(contents: Mapping[str, Any], *runs: dict[str, Any], **present: Any) -> dict[str, str]:
    read = first_run(31) | {"inputs": {}, "outputs": dict(contents)}
    parsed: Mapping[str, Content] = RunManifest.model_validate(read).outputs
    first = first_run()
    given = {
        "parameters": first["parameters"],
        "code": first["code"],
        "versions": first["versions"],
        **present,
    }
    manifests = [RunManifest.model_validate(run) for run in runs or [first]]
    return find_stale(STEPS, Present(parsed.get, **given), History(manifests))


def half_done(day: int = 2) -> dict[str, Any]:
    """A run that was killed after its first node."""
    run = first_run(day)
    planned = list(run["nodes"])
    return run | {
        "nodes": {"ingest": run["nodes"]["ingest"]},
        "inputs": {"raw_bars": file("/raw/archive.zip", "archive 2")},
        "outputs": {"prices": file(PRICES, "prices 2")},
        "planned": planned,
        "is_complete": False,
    }


def merged() -> dict[str, Any]:
    """An update that joined recent bars to the prices of the first run."""
    return manifest(
        2,
        {"merge": {"inputs": ["held_prices", "recent_prices"], "outputs": ["prices"]}},
        {"held_prices": file(PRICES, "prices 1")},
        {"prices": file(PRICES, "prices 2")},
    )


def test_outputs_of_the_same_inputs_parameters_and_code_are_current() -> None:
    """Nothing runs if nothing changed, also if an intermediate result was only in memory."""
    assert stale(held()) == {}


def test_what_follows_a_changed_input_is_stale() -> None:
    """The node that read it runs again, and so do all that depend on it."""
    reasons = stale(held(raw_bars=file("/raw/archive.zip", "other bars")))
    assert list(reasons) == ALL
    assert reasons["ingest"] == "prices was made before raw_bars changed"
    assert reasons["package"] == "model is made again"


def test_moved_input_is_the_same() -> None:
    """Contents count, not places."""
    assert stale(held(raw_bars=file("/elsewhere/bars.zip", "archive"))) == {}


def test_missing_output_is_stale() -> None:
    """What is missing is made again, with everything after it and nothing before it."""
    contents = held()
    del contents["features"]
    assert list(stale(contents)) == DOWNSTREAM
    assert stale(contents)["engineer"] == "features is missing"


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"features": {"window_days": 31}, "deep": {"er": 5}}, "features"),
        ({"features": {"window_days": 30}, "deep": {"er": 6}}, "deep.er"),
    ],
)
def test_what_follows_a_changed_parameter_is_stale(parameters: dict[str, Any], name: str) -> None:
    """Only nodes with that parameter are stale, and those after them."""
    reasons = stale(held(), parameters=parameters)
    assert list(reasons) == DOWNSTREAM
    assert reasons["engineer"] == f"features was made before the parameter {name} changed"


@pytest.mark.parametrize("change", [{"code": "0ther"}, {"versions": {"python": "3.12"}}])
def test_everything_is_stale_after_a_change_of_the_code(change: dict[str, Any]) -> None:
    """Another revision of the package, or another version of a package, may change any result."""
    reasons = stale(held(), **change)
    assert list(reasons) == ALL
    assert reasons["ingest"] == "prices was made before the code or a package changed"


def test_what_a_killed_run_did_not_reach_is_stale() -> None:
    """Its new prices are current, and the features of the old prices are not."""
    contents = held(raw_bars=file("/raw/archive.zip", "archive 2"), prices=file(PRICES, "prices 2"))
    reasons = stale(contents, first_run(), half_done())
    assert list(reasons) == DOWNSTREAM
    assert reasons["engineer"] == "features was made before prices changed"


def test_content_that_a_killed_run_did_not_record_is_stale() -> None:
    """It was killed after a file was replaced and before its manifest."""
    contents = held(
        raw_bars=file("/raw/archive.zip", "archive 2"), prices=file(PRICES, "unrecorded")
    )
    reasons = stale(contents, first_run(), half_done())
    assert reasons["ingest"] == "prices was made by a run that did not finish"
    assert list(reasons) == ALL


def test_content_of_unknown_origin_is_refused() -> None:
    """A file made by hand is neither used nor replaced without being asked."""
    with pytest.raises(UnknownOriginError, match=r"^prices: no recorded run made its present"):
        stale(held(prices=file(PRICES, "by hand")))


def test_any_run_with_the_same_inputs_will_do() -> None:
    """The latest maker of a content may have had other inputs: they made no difference."""
    later = first_run(3) | {"inputs": {"raw_bars": file("/raw/archive.zip", "archive 3")}}
    assert stale(held(), first_run(), later) == {}


def test_prices_of_an_update_are_current_and_features_of_earlier_prices_are_not() -> None:
    """An update joins bars of several archives, which no single one could make again."""
    reasons = stale(held(prices=file(PRICES, "prices 2")), first_run(), merged())
    assert list(reasons) == DOWNSTREAM


def test_features_of_an_update_are_current() -> None:
    """The node of an update made them from the same prices, and earlier features."""
    renewed = manifest(
        3,
        {"update_features": {"inputs": ["held_features", "prices"], "outputs": ["features"]}},
        {"held_features": file(FEATURES, "features 1"), "prices": file(PRICES, "prices 2")},
        {"features": file(FEATURES, "features 2")},
    )
    contents = held(prices=file(PRICES, "prices 2"), features=file(FEATURES, "features 2"))
    reasons = stale(contents, first_run(), merged(), renewed)
    assert list(reasons) == ["register", "package"]
    assert reasons["register"] == "model was made before features changed"


def test_folder_to_which_runs_add_files_is_current() -> None:
    """It holds the files of other runs, too."""
    log = [Step("forecast", ("prices",), ("log",))]
    runs = [
        manifest(
            day,
            {"forecast": {"inputs": ["prices"], "outputs": ["log"]}},
            {"prices": file(PRICES, f"prices {day}")},
            {"log": file(f"/d/log/{day}.parquet", f"log {day}")},
        )
        for day in (1, 2)
    ]
    history = History(RunManifest.model_validate(run) for run in runs)
    both = runs[0]["outputs"]["log"] + runs[1]["outputs"]["log"]
    first = first_run()
    for prices, expected in [("prices 2", []), ("prices 3", ["forecast"])]:
        read = first | {"outputs": {"log": both, "prices": file(PRICES, prices)}}
        contents = RunManifest.model_validate(read).outputs
        present = Present(contents.get, first["parameters"], first["code"], first["versions"])
        assert list(find_stale(log, present, history)) == expected


def unfinished(*runs: dict[str, Any], pipelines: tuple[str, ...] = ("monitor",)) -> str | None:
    found = find_unfinished([RunManifest.model_validate(run) for run in runs], pipelines)
    return found.run_id if found else None


def partial_run(day: int, *nodes: str) -> dict[str, Any]:
    return first_run(day) | {"nodes": {}, "planned": list(nodes)}


def test_killed_run_is_unfinished_until_its_nodes_have_run() -> None:
    """A later run of all remaining nodes finishes it, in one run or in several."""
    assert unfinished(first_run(1)) is None
    assert unfinished(first_run(1), half_done(2)) == "run-2"
    assert unfinished(first_run(1), half_done(2), first_run(3)) is None
    rest = ["engineer", "describe", "register", "package"]
    assert unfinished(half_done(2), partial_run(3, *rest[1:])) == "run-2"
    assert unfinished(half_done(2), partial_run(3, rest[0]), partial_run(4, *rest[1:])) is None


def test_failed_run_of_an_older_version_is_unfinished() -> None:
    """Its manifest has only the name of the failed node."""
    failed = {
        name: value
        for name, value in (half_done(2) | {"failed": "engineer"}).items()
        if name not in ("is_complete", "planned", "pipelines")
    }
    assert unfinished(failed) == "run-2"
    assert unfinished(failed, partial_run(3, "engineer")) is None


def test_update_finishes_an_unfinished_update() -> None:
    """Its ledger names the files that are not in all layers; other pipelines wait."""
    killed = half_done(2) | {"pipelines": ["update", "monitor"]}
    assert unfinished(killed, pipelines=("update",)) is None
    assert unfinished(killed, pipelines=("monitor",)) == "run-2"
    assert unfinished(half_done(2), pipelines=("update",)) == "run-2"


@pytest.mark.parametrize("pipelines", [["monitor"], ["tuning"]])
def test_run_that_renews_no_layer_may_be_unfinished(pipelines: list[str]) -> None:
    """The monitoring and the search change nothing that others depend on."""
    assert unfinished(half_done(2) | {"pipelines": pipelines}) is None
