"""The model of the run manifest."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from stock_volume.lineage.digests import UNKNOWN_REVISION, FileDigest
from stock_volume.lineage.manifest import RunManifest, StoredTag, clear_parameters, is_parameter
from tests.unit.lineage_helpers import PRICES, first_run, sha

OPTIONAL = (
    "sequence",
    "seconds",
    "is_complete",
    "pipelines",
    "planned",
    "git_revision",
    "code",
    "versions",
    "parameters",
    "computed",
)


def on_disk() -> dict[str, Any]:
    """A manifest with all fields but ``failed``, in the order in which they are written."""
    run = first_run() | {"sequence": 3, "seconds": 1.5}
    run["parameters"]["date_format"] = None
    order = [name for name in RunManifest.model_fields if name != "failed"]
    return {name: run[name] for name in order}


def test_manifest_is_written_as_it_was_read() -> None:
    """A manifest survives validation and dumping to the last character of its JSON."""
    manifest = RunManifest.model_validate(on_disk())
    assert json.dumps(manifest.model_dump(mode="json")) == json.dumps(on_disk())


def test_contents_are_files_or_a_tag() -> None:
    """A list is read as files, an object with a tag as a version in the store."""
    outputs = RunManifest.model_validate(on_disk()).outputs
    assert outputs["prices"] == (FileDigest(path=PRICES, size=8, sha256=sha("prices 1")),)
    assert outputs["model"] == StoredTag(tag="model:v1")


def test_manifest_of_a_failed_run_names_the_node() -> None:
    """The field ``failed`` is read and written; without a failure it is absent."""
    failed = on_disk() | {"failed": "fit"}
    assert RunManifest.model_validate(failed).model_dump(mode="json") == failed
    assert "failed" not in RunManifest.model_validate(on_disk()).model_dump(mode="json")


def test_manifest_without_optional_fields_is_read() -> None:
    """A manifest of an older version, or of a newer one with more fields, is accepted."""
    old = {name: value for name, value in on_disk().items() if name not in OPTIONAL}
    for node in old["nodes"].values():
        del node["seconds"], node["rows"]
    manifest = RunManifest.model_validate(old | {"later": 1})
    assert (manifest.git_revision, manifest.versions) == (UNKNOWN_REVISION, {})
    assert manifest.nodes["ingest"].seconds is None
    assert manifest.makers() == RunManifest.model_validate(on_disk()).makers()


@pytest.mark.parametrize("field", ["run_id", "finished_at", "inputs", "nodes", "outputs"])
def test_manifest_without_a_required_field_is_refused(field: str) -> None:
    """A document that lacks what links runs is not a manifest."""
    document = on_disk()
    del document[field]
    with pytest.raises(ValidationError, match=field):
        RunManifest.model_validate(document)


def test_end_of_a_run_needs_a_time_zone() -> None:
    """Runs cannot be ordered by local times."""
    with pytest.raises(ValidationError, match="finished_at"):
        RunManifest.model_validate(on_disk() | {"finished_at": "2026-01-01T20:00:00"})


def test_makers_are_the_nodes_of_the_outputs() -> None:
    """Each output is mapped to its node, in the order of the run."""
    assert list(RunManifest.model_validate(on_disk()).makers().items()) == [
        ("prices", "ingest"),
        ("features", "engineer"),
        ("counts", "describe"),
        ("model", "register"),
        ("service", "package"),
    ]


def test_parameters_of_a_node_have_their_values() -> None:
    """Parameters are looked up by dotted name, or all together."""
    run = on_disk()
    run["nodes"]["describe"]["inputs"] = ["prices", "parameters"]
    manifest = RunManifest.model_validate(run)
    assert manifest.parameters_of("engineer") == {"features": {"window_days": 30}, "deep.er": 5}
    assert manifest.parameters_of("describe") == {"parameters": run["parameters"]}
    assert manifest.parameters_of("ingest") == {}


@pytest.mark.parametrize(
    ("dataset", "expected"), [("parameters", True), ("params:a.b", True), ("prices", False)]
)
def test_parameters_are_distinguished_from_data(dataset: str, expected: bool) -> None:  # noqa: FBT001
    """Kedro's datasets of parameters are recognized by name."""
    assert is_parameter(dataset) is expected


def test_parameters_are_cleared_by_dotted_name() -> None:
    """A cleared parameter is None, whatever it was; its neighbours and the original stay."""
    parameters: dict[str, Any] = {"size": 3, "a": {"b": {"c": 1, "d": {"e": 2}}, "f": 4}}
    cleared = clear_parameters(parameters, ["a.b.c", "a.b.d", "size"])
    assert cleared == {"size": None, "a": {"b": {"c": None, "d": None}, "f": 4}}
    assert parameters["a"]["b"]["c"] == 1
    assert clear_parameters(parameters, []) == parameters
