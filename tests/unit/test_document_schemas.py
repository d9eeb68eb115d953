"""The JSON schemas of documents."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from stock_volume.document_schemas import describe_documents, write_schemas
from stock_volume.evaluation.results import BacktestMetrics

PROJECT = Path(__file__).parents[2]
CATALOG = PROJECT / "conf/base/catalog.yml"


@pytest.fixture(scope="module")
def schemas() -> dict[str, str]:
    return describe_documents(yaml.safe_load(CATALOG.read_text(encoding="utf-8")))


def test_documented_schemas_are_current(schemas: dict[str, str]) -> None:
    """docs/schemas has exactly the schemas of the code."""
    documented = {
        path.stem: path.read_text(encoding="utf-8")
        for path in (PROJECT / "docs/schemas").glob("*.json")
    }
    assert documented == schemas, "docs/schemas is stale: run `make schemas`"


def test_every_document_is_described(schemas: dict[str, str]) -> None:
    """Each field has a description, in the manifest, the lineage and the monitoring."""
    for name in ("run_manifest", "lineage", "monitoring"):
        schema: dict[str, Any] = json.loads(schemas[name])
        for part in (schema, *schema["$defs"].values()):
            for field, described in part.get("properties", {}).items():
                assert described.get("description"), f"{name}: {field}"


def test_schema_has_the_names_that_are_written(schemas: dict[str, str]) -> None:
    """A field that is written under another name than the model's has that name."""
    inputs = json.loads(schemas["lineage"])["$defs"]["InputRecord"]
    assert list(inputs["properties"]) == ["as", "artefact"]
    manifest = json.loads(schemas["run_manifest"])
    assert manifest["required"] == ["run_id", "finished_at", "inputs", "nodes", "outputs"]


def test_schema_of_metrics_has_the_fields_of_the_file(schemas: dict[str, str]) -> None:
    """A model with a serializer of its own is described by its fields."""
    described = json.loads(schemas["forecaster_metrics"])
    assert list(described["properties"]) == list(BacktestMetrics.model_fields)
    group = described["$defs"]["GroupMetrics"]
    assert group["required"] == ["n", "symbols", "sessions"]
    assert {"eta_r2", "coverage_80", "below_q90"} <= group["properties"].keys()


def test_schemas_of_former_documents_are_removed(tmp_path: Path) -> None:
    """A dataset that is no longer in the catalog loses its schema."""
    (tmp_path / "former.json").write_text("{}", encoding="utf-8")
    write_schemas(CATALOG, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert "former.json" not in names
    assert {"lineage.json", "run_manifest.json"} <= names
