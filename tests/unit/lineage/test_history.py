"""Chains of lineage, from manifests written by hand."""

import pytest

from stock_volume.lineage.history import State, UnknownArtefactError
from tests.unit.lineage_helpers import (
    PRICES,
    disk,
    drawn,
    file,
    first_run,
    history_of,
    links,
    logged,
    manifest,
    modelling,
    monitored,
    node,
    sha,
    states_in,
    trace,
    update,
)


def test_service_is_traced_to_the_archive() -> None:
    """From a Bento's tag the chain goes through models and layers to the source."""
    history = history_of([first_run()])
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
    names = [one.name for one in trace(history_of([first_run()]), "service").artefacts]
    assert names == ["service", "model", "features", "counts", "prices", "raw_bars"]


def test_what_was_kept_in_memory_is_named() -> None:
    """A dataset without a file has its maker, and no content."""
    chain = trace(history_of([first_run()]), "service")
    (counts,) = [one for one in chain.artefacts if one.name == "counts"]
    assert (counts.key, counts.files, [execution.node for execution in counts.made_by]) == (
        "",
        (),
        ["describe"],
    )


def test_runs_are_linked_by_content_and_not_by_name() -> None:
    """Held prices are the prices of the run before, whatever the order of the manifests."""
    history = history_of([modelling(3, "prices 2"), update(2, "prices 1"), first_run()])
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
    history = history_of([first_run(), modelling(2, "by hand")])
    chain = trace(history, "features")
    assert [(one.name, one.key, one.made_by) for one in chain.artefacts[1:]] == [
        ("prices", sha("by hand"), ())
    ]
    assert "prices  /d/prices.parquet" in drawn(history, "features", prices="by hand")
    assert "made by no run whose manifest is kept" in drawn(history, "features")


def test_of_equal_contents_the_latest_earlier_run_counts() -> None:
    """A run that made the same again is the maker for later runs, and not for earlier ones."""
    history = history_of([first_run(1), modelling(2, "prices 1"), first_run(3)])
    made = trace(history, sha("features 2")[:8]).artefacts[1].made_by
    assert [history.runs[execution.run].run_id for execution in made] == ["run-1"]
    history = history_of([first_run(1), first_run(2), modelling(3, "prices 1")])
    made = trace(history, "features").artefacts[1].made_by
    assert [history.runs[execution.run].run_id for execution in made] == ["run-2"]


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
    history = history_of([run])
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
    found = history_of([first_run(), update(2, "prices 1")]).find(text, there.get)
    assert (found.name, found.key) == (expected[0], sha(expected[1]))


def test_path_of_a_changed_file_means_what_was_made_there() -> None:
    """A file that no run made as it is now is traced as the last run made it."""
    history = history_of([first_run(), update(2, "prices 1")])
    found = history.find(PRICES, disk(prices="by hand"))
    assert found.key == sha("prices 2")


@pytest.mark.parametrize("text", ["nothing", "service:v2", "/d/none.parquet", "0123456789"])
def test_unknown_artefact_is_an_error_that_lists_the_known(text: str) -> None:
    """The error lists the artefacts that the manifests have."""
    with pytest.raises(UnknownArtefactError) as error:
        history_of([first_run()]).find(text, disk())
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
        history_of([run]).find("12345678", disk())


def test_each_file_of_a_folder_has_the_run_that_made_it() -> None:
    """A folder that runs have added to was made by all of them."""
    history = history_of([logged(1), logged(2), monitored(3, 1, 2)])
    log = trace(history, "verdict").artefacts[1]
    assert log.name == "log"
    assert [history.runs[execution.run].run_id for execution in log.made_by] == ["run-2", "run-1"]
    assert log.place == "/d/log"


def test_folder_and_a_file_of_it_are_found() -> None:
    """A folder's path or fingerprint means all its files, a file's path or digest the one."""
    history = history_of([logged(1), logged(2), monitored(3, 1, 2)])
    whole = trace(history, "verdict").artefacts[1]
    assert history.find("/d/log", disk()).key == whole.key
    assert history.find(whole.key[:10], disk()).files == whole.files
    for text in ("/d/log/1.parquet", sha("log 1")):
        one = history.find(text, disk())
        assert (one.key, history.runs[one.made_by[0].run].run_id) == (sha("log 1"), "run-1")


def test_fingerprint_of_a_folder_does_not_depend_on_where_it_is() -> None:
    """The names within a folder count, not the folder's own path."""
    one, other = monitored(1, 1, 2), monitored(1, 1, 2)
    for entry in other["inputs"]["log"]:
        entry["path"] = entry["path"].replace("/d/", "/mnt/")
    keys = {trace(history_of([run]), "verdict").artefacts[1].key for run in (one, other)}
    assert len(keys) == 1


def test_file_is_unchanged_replaced_changed_or_gone() -> None:
    """What is in a file's place now is this content, another run's, another or nothing."""
    history = history_of([first_run(), update(2, "prices 1")])
    prices = history.find(sha("prices 1"), disk())
    states = [
        states_in(history, disk(**there))(prices)
        for there in ({"prices": "prices 1"}, {"prices": "prices 2"}, {"prices": "by hand"}, {})
    ]
    assert states == [[State.UNCHANGED], [State.REPLACED], [State.CHANGED], [State.GONE]]


def test_version_in_a_store_is_there_or_gone() -> None:
    """A tag's state is whether the store has it."""
    history = history_of([first_run()])
    model = history.find("model:v1", disk())
    assert states_in(history, disk())(model) == [State.UNCHANGED]
    assert states_in(history, disk(), stored=False)(model) == [State.GONE]
