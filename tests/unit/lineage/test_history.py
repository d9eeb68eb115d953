"""Chains of provenance, from manifests made by hand."""

import hashlib
import json
from collections.abc import Callable, Mapping
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from stock_volume.lineage.history import (
    Artefact,
    Chain,
    History,
    State,
    UnknownArtefactError,
    as_record,
    parameters_digest,
    state_of,
)
from stock_volume.lineage.tree import draw

Content = list[dict[str, Any]] | dict[str, str]
PRICES, FEATURES, FORECASTS = "/d/prices.parquet", "/d/features.parquet", "/d/forecasts.parquet"
RAW = {"raw_bars"}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def file(path: str, text: str) -> list[dict[str, Any]]:
    return [{"path": path, "size": len(text), "sha256": sha(text)}]


def node(inputs: list[str], *outputs: str) -> dict[str, Any]:
    return {"seconds": 1.0, "rows": {}, "inputs": inputs, "outputs": list(outputs)}


def manifest(
    day: int,
    nodes: dict[str, Any],
    inputs: Mapping[str, Content],
    outputs: Mapping[str, Content],
) -> dict[str, Any]:
    return {
        "run_id": f"run-{day}",
        "finished_at": f"2026-01-{day:02}T20:00:00+00:00",
        "git_revision": "c0ffee",
        "versions": {"python": "3.11"},
        "parameters": {"features": {"window_days": 30}, "deep": {"er": 5}},
        "inputs": dict(inputs),
        "nodes": nodes,
        "outputs": dict(outputs),
    }


def first_run(day: int = 1) -> dict[str, Any]:
    """From an archive to prices, features, a model and a service: a diamond over prices."""
    return manifest(
        day,
        {
            "ingest": node(["raw_bars"], "prices"),
            "engineer": node(["prices", "params:features", "params:deep.er"], "features"),
            "describe": node(["prices"], "counts"),
            "register": node(["features", "counts"], "model"),
            "package": node(["model"], "service"),
        },
        {"raw_bars": file("/raw/archive.zip", "archive")},
        {
            "prices": file(PRICES, "prices 1"),
            "features": file(FEATURES, "features 1"),
            "model": {"tag": "model:v1"},
            "service": {"tag": "service:v1"},
        },
    )


def update(day: int, before: str) -> dict[str, Any]:
    """Prices made from what was held and an archive of recent bars."""
    return manifest(
        day,
        {"merge": node(["held_prices", "raw_bars"], "prices")},
        {
            "held_prices": file(PRICES, before),
            "raw_bars": file(f"/raw/{day}.zip", f"archive {day}"),
        },
        {"prices": file(PRICES, f"prices {day}")},
    )


def modelling(day: int, prices: str) -> dict[str, Any]:
    """A partial run on prices of an earlier one."""
    return manifest(
        day,
        {"engineer": node(["prices", "params:features"], "features")},
        {"prices": file(PRICES, prices)},
        {"features": file(FEATURES, f"features {day}")},
    )


def disk(**texts: str) -> Callable[[str], str | None]:
    """Files that are there: prices, features, and archives by their number."""
    digests = {f"/d/{name}.parquet": sha(text) for name, text in texts.items()}
    return digests.get


def trace(history: History, text: str) -> Chain:
    return history.trace(history.find(text, disk()))


def links(history: History, chain: Chain) -> dict[str, list[str]]:
    """The chain in short: who made what in which run, and of what."""
    return {
        f"{history.runs[making.run]['run_id']} {making.node}": [name for name, _ in inputs]
        for making, inputs in chain.inputs.items()
    }


def states_in(
    history: History, digest: Callable[[str], str | None], *, stored: bool = True
) -> Callable[[Artefact], list[State]]:
    return lambda artefact: state_of(artefact, history, digest, lambda _: stored)


def drawn(history: History, text: str, *, in_full: bool = False, **texts: str) -> str:
    """The tree as text."""
    chain = trace(history, text)
    console = Console(file=StringIO(), width=200)
    states = states_in(history, disk(**texts))
    console.print(draw(chain, history, states, RAW, in_full=in_full))
    output = console.file
    assert isinstance(output, StringIO)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines())


def test_service_is_traced_to_the_archive() -> None:
    """From a Bento's tag the chain goes through models and layers to the source."""
    history = History([first_run()])
    chain = trace(history, "service:v1")
    assert links(history, chain) == {
        "run-1 package": ["model"],
        "run-1 register": ["features", "counts"],
        "run-1 engineer": ["prices"],
        "run-1 describe": ["prices"],
        "run-1 ingest": ["raw_bars"],
    }
    leaves = [artefact for artefact in chain.artefacts if not artefact.made_by]
    assert [(leaf.name, leaf.key) for leaf in leaves] == [("raw_bars", sha("archive"))]


def test_an_artefact_of_two_ways_is_in_the_chain_once() -> None:
    """What two nodes read is one artefact."""
    names = [one.name for one in trace(History([first_run()]), "service").artefacts]
    assert names == ["service", "model", "features", "counts", "prices", "raw_bars"]


def test_what_was_kept_in_memory_is_named() -> None:
    """A dataset without a file has its maker, and no content."""
    chain = trace(History([first_run()]), "service")
    (counts,) = [one for one in chain.artefacts if one.name == "counts"]
    assert (counts.key, counts.files, [making.node for making in counts.made_by]) == (
        "",
        (),
        ["describe"],
    )


def test_runs_are_linked_by_content_and_not_by_name() -> None:
    """Held prices are the prices of the run before, whatever the order of the manifests."""
    history = History([modelling(3, "prices 2"), update(2, "prices 1"), first_run()])
    chain = trace(history, "features")
    assert links(history, chain) == {
        "run-3 engineer": ["prices"],
        "run-2 merge": ["held_prices", "raw_bars"],
        "run-1 ingest": ["raw_bars"],
    }
    ((_, held), (_, recent)) = chain.inputs[chain.artefacts[1].made_by[0]]
    assert (held.name, held.key) == ("prices", sha("prices 1"))
    assert recent.files[0].path == "/raw/2.zip"


def test_an_input_that_no_run_made_ends_the_chain() -> None:
    """A file that was changed by hand before a run has no maker."""
    history = History([first_run(), modelling(2, "by hand")])
    chain = trace(history, "features")
    assert [(one.name, one.key, one.made_by) for one in chain.artefacts[1:]] == [
        ("prices", sha("by hand"), ())
    ]
    assert "prices  /d/prices.parquet" in drawn(history, "features", prices="by hand")
    assert "made by no run whose manifest is kept" in drawn(history, "features")


def test_of_equal_contents_the_latest_earlier_run_counts() -> None:
    """A run that made the same again is the maker for later runs, and not for earlier ones."""
    history = History([first_run(1), modelling(2, "prices 1"), first_run(3)])
    made = trace(history, sha("features 2")[:8]).artefacts[1].made_by
    assert [history.runs[making.run]["run_id"] for making in made] == ["run-1"]
    history = History([first_run(1), first_run(2), modelling(3, "prices 1")])
    made = trace(history, "features").artefacts[1].made_by
    assert [history.runs[making.run]["run_id"] for making in made] == ["run-2"]


def test_of_two_outputs_in_one_place_each_has_its_content() -> None:
    """A file that a run made and then replaced is found by what is there."""
    run = manifest(
        1,
        {"merge": node(["raw_bars"], "files"), "settle": node(["files"], "settled_files")},
        {"raw_bars": file("/raw/a.zip", "archive")},
        {
            "files": file("/d/files.parquet", "pending"),
            "settled_files": file("/d/files.parquet", ""),
        },
    )
    history = History([run])
    found = history.find("/d/files.parquet", disk(files=""))
    assert found.name == "settled_files"
    assert links(history, history.trace(found)) == {
        "run-1 settle": ["files"],
        "run-1 merge": ["raw_bars"],
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prices", ("prices", "prices 2")),
        ("held_prices", ("prices", "prices 1")),
        (PRICES, ("prices", "prices 1")),
        (sha("prices 2")[:8], ("prices", "prices 2")),
        (sha("features 1"), ("features", "features 1")),
        ("raw_bars", ("raw_bars", "archive 2")),
        ("/raw/archive.zip", ("raw_bars", "archive")),
        ("/elsewhere/features.parquet", ("features", "features 1")),
    ],
)
def test_artefact_is_found_by(text: str, expected: tuple[str, str]) -> None:
    """A name means what was last made, a path what is there, a digest its content."""
    there = {PRICES: sha("prices 1"), "/elsewhere/features.parquet": sha("features 1")}
    found = History([first_run(), update(2, "prices 1")]).find(text, there.get)
    assert (found.name, found.key) == (expected[0], sha(expected[1]))


def test_path_of_a_changed_file_means_what_was_made_there() -> None:
    """A file that no run made as it is now is traced as the last run made it."""
    history = History([first_run(), update(2, "prices 1")])
    found = history.find(PRICES, disk(prices="by hand"))
    assert found.key == sha("prices 2")


@pytest.mark.parametrize("text", ["nothing", "service:v2", "/d/none.parquet", "0123456789"])
def test_unknown_artefact_is_an_error_that_lists_the_known(text: str) -> None:
    """Who asks for what no manifest has is told what there is."""
    with pytest.raises(UnknownArtefactError) as error:
        History([first_run()]).find(text, disk())
    assert str(error.value).splitlines() == [
        f"{text} is in no run's manifest; known are",
        "  made: counts, features, model, prices, service",
        "  used: raw_bars",
        "  in the store: service:v1, model:v1",
    ]


def test_ambiguous_digest_is_an_error() -> None:
    """Digits that two contents begin with name neither."""
    run = first_run()
    for name, last in (("prices", "a"), ("features", "b")):
        run["outputs"][name][0]["sha256"] = "12345678" + last * 56
    with pytest.raises(UnknownArtefactError, match=r"may be any of features .* prices "):
        History([run]).find("12345678", disk())


def partitions(*names: int) -> list[dict[str, Any]]:
    return [entry for one in names for entry in file(f"/d/log/{one}.parquet", f"log {one}")]


def logged(day: int) -> dict[str, Any]:
    """A run that adds one file to a folder."""
    return manifest(
        day,
        {"forecast": node(["prices"], "log")},
        {"prices": file(PRICES, f"prices {day}")},
        {"log": partitions(day)},
    )


def monitored(day: int, *names: int) -> dict[str, Any]:
    """A run that reads the folder."""
    return manifest(
        day,
        {"monitor": node(["log"], "verdict")},
        {"log": partitions(*names)},
        {"verdict": file("/d/verdict.json", "good")},
    )


def test_each_file_of_a_folder_has_the_run_that_made_it() -> None:
    """A folder that runs have added to was made by all of them."""
    history = History([logged(1), logged(2), monitored(3, 1, 2)])
    log = trace(history, "verdict").artefacts[1]
    assert log.name == "log"
    assert [history.runs[making.run]["run_id"] for making in log.made_by] == ["run-2", "run-1"]
    assert log.place == "/d/log"


def test_folder_and_a_file_of_it_are_found() -> None:
    """A folder's path or fingerprint means all its files, a file's path or digest the one."""
    history = History([logged(1), logged(2), monitored(3, 1, 2)])
    whole = trace(history, "verdict").artefacts[1]
    assert history.find("/d/log", disk()).key == whole.key
    assert history.find(whole.key[:10], disk()).files == whole.files
    for text in ("/d/log/1.parquet", sha("log 1")):
        one = history.find(text, disk())
        assert (one.key, history.runs[one.made_by[0].run]["run_id"]) == (sha("log 1"), "run-1")


def test_fingerprint_of_a_folder_does_not_depend_on_where_it_is() -> None:
    """The names within a folder count, not the folder's own path."""
    one, other = monitored(1, 1, 2), monitored(1, 1, 2)
    for entry in other["inputs"]["log"]:
        entry["path"] = entry["path"].replace("/d/", "/mnt/")
    keys = {trace(History([run]), "verdict").artefacts[1].key for run in (one, other)}
    assert len(keys) == 1


def test_file_is_unchanged_replaced_changed_or_gone() -> None:
    """What is in a file's place now is this content, another run's, another or nothing."""
    history = History([first_run(), update(2, "prices 1")])
    prices = history.find(sha("prices 1"), disk())
    states = [
        states_in(history, disk(**there))(prices)
        for there in ({"prices": "prices 1"}, {"prices": "prices 2"}, {"prices": "by hand"}, {})
    ]
    assert states == [[State.UNCHANGED], [State.REPLACED], [State.CHANGED], [State.GONE]]


def test_version_in_a_store_is_there_or_gone() -> None:
    """A tag's state is whether the store has it."""
    history = History([first_run()])
    model = history.find("model:v1", disk())
    assert states_in(history, disk())(model) == [State.UNCHANGED]
    assert states_in(history, disk(), stored=False)(model) == [State.GONE]


def test_parameters_of_a_node_are_those_it_was_given() -> None:
    """Parameters have their values, nested ones too."""
    history = History([first_run()])
    (making,) = history.find("features", disk()).made_by
    assert history.parameters(making) == {"features": {"window_days": 30}, "deep.er": 5}
    assert parameters_digest({"a": 1, "b": 2}) == parameters_digest({"b": 2, "a": 1})


def test_record_is_a_graph_of_json() -> None:
    """The record has each artefact, node and run once, and links by position."""
    history = History([first_run(), update(2, "prices 1")])
    chain = trace(history, "prices")
    states = states_in(history, disk(prices="prices 2"))
    record = json.loads(json.dumps(as_record(chain, history, states, RAW)))
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


def test_tree_draws_a_diamond_once() -> None:
    """What was drawn already is only named."""
    days, deeper = parameters_digest({"window_days": 30})[:8], parameters_digest(5)[:8]
    text = drawn(History([first_run()]), "service:v1", prices="prices 1", features="other")
    assert text.splitlines() == [
        "service  service:v1  in the store",
        "by package in run 1",
        "└── model  model:v1  in the store",
        "    by register in run 1",
        f"    ├── features  {FEATURES}  sha256 {sha('features 1')[:12]}  changed since",
        f"    │   by engineer in run 1, parameters features {days}, deep.er {deeper}",
        f"    │   └── prices  {PRICES}  sha256 {sha('prices 1')[:12]}  unchanged",
        "    │       by ingest in run 1",
        f"    │       └── raw_bars  /raw/archive.zip  sha256 {sha('archive')[:12]}  gone  raw",
        "    └── counts  kept in no file",
        "        by describe in run 1",
        f"        └── prices  {sha('prices 1')[:12]}  see above",
        "",
        "run 1  run-1  ended 2026-01-01T20:00:00+00:00  code c0ffee",
        "",
        f"deep.er   {deeper}  5",
        f"features  {days}  window_days=30",
    ]


def daily(days: int) -> History:
    """One run from the archive, and an update on each day after it."""
    updates = [update(day, f"prices {day - 1}") for day in range(2, days + 1)]
    return History([first_run(), *updates])


def test_tree_sums_up_all_but_the_latest_run_of_a_node() -> None:
    """Of many updates the latest is drawn, then how many there were and their raw files."""
    text = drawn(daily(12), "prices", prices="prices 12")
    assert text.count("by merge in run") == 1
    assert "… 10 more runs of merge, 2026-01-02 to 2026-01-11" in text
    assert "raw_bars  10 versions  gone  raw" in text
    assert "prices (as held_prices)" in text
    assert text.count("by ingest in run") == 1
    assert "/raw/archive.zip" in text


def test_tree_in_full_has_every_run_and_file() -> None:
    """Asked for all, the tree follows each run and names each file of a folder."""
    assert drawn(daily(12), "prices", in_full=True).count("by merge in run") == 11
    history = History([logged(1), logged(2), monitored(3, 1, 2)])
    assert f"1.parquet  {sha('log 1')[:12]}  gone" in drawn(history, "verdict", in_full=True)
    assert "2 files in /d/log" in drawn(history, "verdict")


def test_long_chains_are_followed_to_their_end() -> None:
    """Thousands of updates are followed, however deep they stand."""
    runs = [first_run()]
    for number in range(2, 5001):
        run = update(2, f"prices {number - 1}")
        run["run_id"] = f"run-{number:05}"
        run["outputs"] = {"prices": file(PRICES, f"prices {number}")}
        runs.append(run)
    history = History(runs)
    assert len(trace(history, "prices").artefacts) == 5000 + 2
    assert "… 4998 more runs of merge" in drawn(history, "prices")


def test_failed_run_is_named_as_such() -> None:
    """The chain tells that a run did not come to its end."""
    assert "failed at forecast" in drawn(History([{**first_run(), "failed": "forecast"}]), "prices")
