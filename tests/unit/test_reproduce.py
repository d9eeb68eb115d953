"""What ``make reproduce`` compares; the rebuilding itself takes a run."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from stock_volume.checksums import write_checksums
from stock_volume.lineage.digests import FileDigest
from stock_volume.lineage.history import Artefact
from stock_volume.lineage.manifest import RunManifest
from tests.robustness.reproduce import (
    PROJECT,
    ReproductionError,
    choose_parameters,
    clone,
    compare,
    find_chain,
    print_table,
)
from tests.unit.lineage_helpers import FEATURES, file, first_run

SERVICE = "service:v1"


def keep(folder: Path, *manifests: dict[str, Any]) -> Path:
    manifests_folder = folder / "08_reporting" / "run_manifests"
    manifests_folder.mkdir(parents=True)
    for number, one in enumerate(manifests):
        (manifests_folder / f"{number}.json").write_text(json.dumps(one), encoding="utf-8")
    return folder


def store(folder: Path, **texts: str) -> Path:
    """Make a store with one version of each model and of the service."""
    for name, text in texts.items():
        version = folder / ("bentos" if name == "service" else "models") / name / "v1"
        version.mkdir(parents=True)
        (version / "content").write_text(text, encoding="utf-8")
        write_checksums(version)
    return folder


def test_what_differs_is_named_with_what_explains_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A package's version explains, a layer and the files of a Bento are the result."""
    recorded, chain = find_chain(SERVICE, keep(tmp_path, first_run()))
    rebuilt = first_run() | {"versions": {"python": "3.12"}}
    rebuilt["outputs"] |= {"features": file(FEATURES, "others")}
    stores = store(tmp_path / "a", service="x"), store(tmp_path / "b", service="y")
    rows = list(compare(recorded, chain, RunManifest.model_validate(rebuilt), stores))
    differing = {row.name: row.is_result for row in rows if row.verdict != "equal"}
    assert differing == {"version of python": False, "features": True, "service": True}
    assert {row.name for row in rows} >= {"revision", "code", "parameters", "raw_bars", "prices"}
    assert not print_table(rows)
    printed = capsys.readouterr().out
    assert "1 of 3 artefacts are equal" in printed
    assert "differs before any artefact is made: version of python" in printed


def test_equal_contents_are_a_success_whatever_the_environment(tmp_path: Path) -> None:
    """Another folder, another store and another version of Python do not matter by themselves."""
    recorded, chain = find_chain(SERVICE, keep(tmp_path, first_run()))
    rebuilt = first_run() | {"versions": {"python": "3.12"}}
    stores = store(tmp_path / "a", service="x"), store(tmp_path / "b", service="x")
    assert print_table(list(compare(recorded, chain, RunManifest.model_validate(rebuilt), stores)))


def test_missing_output_is_a_difference(tmp_path: Path) -> None:
    """It is no reason for equality that neither side can be read."""
    recorded, chain = find_chain(SERVICE, keep(tmp_path, first_run()))
    rebuilt = first_run()
    del rebuilt["outputs"]["features"]
    rows = compare(recorded, chain, RunManifest.model_validate(rebuilt), (tmp_path, tmp_path))
    assert {row.name: row.rebuilt for row in rows}["features"] == "missing"


def test_what_an_update_made_is_refused(tmp_path: Path) -> None:
    """It merges what a source answered on one day."""
    with pytest.raises(ReproductionError, match="an update made part of it"):
        find_chain(SERVICE, keep(tmp_path, first_run() | {"pipelines": ["update"]}))


@pytest.mark.parametrize(
    ("given", "recorded", "place", "expected"),
    [
        (None, None, "/data/01_raw/sample", None),
        (None, None, "/data/01_raw/kaggle", "/data/01_raw/kaggle"),
        (None, "bars.zip", "/project/bars.zip", f"{PROJECT.as_posix()}/bars.zip"),
        (None, "https://host/bars.zip", "/data/01_raw/bars.zip", "https://host/bars.zip"),
        ("/moved.zip", "bars.zip", "/project/bars.zip", "/moved.zip"),
    ],
)
def test_source_is_what_the_run_read(
    given: str | None, recorded: str | None, place: str, expected: str | None
) -> None:
    """The sample, what the parameter named, what another environment fetched, or what is given."""
    files = tuple(FileDigest(path=f"{place}/{name}", size=1, sha256="0") for name in "ab")
    parameters: dict[str, JsonValue] = {
        "exchange": {"code": "XLON"},
        "data_root": "/data",
        "deep": {"er": 5},
    }
    if recorded:
        parameters["source"] = recorded
    chosen = choose_parameters(
        parameters, Artefact("raw_bars", "", files=files), given, Path("/new")
    )
    assert chosen.pop("source", None) == expected
    assert chosen == {"exchange": "XLON", "data_root": "/new", "deep": {"er": 5}}


def test_revision_must_be_known(tmp_path: Path) -> None:
    """Neither a run outside Git nor a commit of another repository can be rebuilt."""
    with pytest.raises(ReproductionError, match="revision is unknown"):
        clone("unknown", tmp_path / "a")
    with pytest.raises(ReproductionError, match=f"has no revision {'0' * 40}; fetch it"):
        clone(f"{'0' * 40}-dirty", tmp_path / "b")
