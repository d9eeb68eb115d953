"""What the lineage command reads from the catalog."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from kedro.io import DataCatalog, DatasetError

from stock_volume.cli.lineage_command import read_manifests
from stock_volume.failures import explain
from tests.unit.lineage_helpers import first_run

MODEL = {
    "type": "stock_volume.datasets.PydanticJSONDataset",
    "model": "stock_volume.lineage.manifest.RunManifest",
}


def catalog(folder: Path, *manifests: dict[str, Any]) -> DataCatalog:
    """Make a catalog with manifests on disk."""
    for number, manifest in enumerate(manifests):
        path = folder / "run_manifests" / f"{number}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(manifest), encoding="utf-8")
    return DataCatalog.from_config(
        {
            "run_manifest": {**MODEL, "filepath": str(folder / "run_manifest.json")},
            "run_manifests": {
                "type": "partitions.PartitionedDataset",
                "path": str(folder / "run_manifests"),
                "filename_suffix": ".json",
                "dataset": MODEL,
            },
        }
    )


def test_manifests_are_read(tmp_path: Path) -> None:
    """Each manifest on disk is validated, including manifests of failed runs."""
    (ok, failed) = read_manifests(
        catalog(tmp_path, first_run(1), {**first_run(2), "failed": "fit"})
    )
    assert (ok.run_id, ok.failed) == ("run-1", None)
    assert (failed.run_id, failed.failed) == ("run-2", "fit")


def test_folder_without_manifests_is_an_error(tmp_path: Path) -> None:
    """The message names the folder."""
    with pytest.raises(click.ClickException, match=f"no run has left a manifest in {tmp_path}"):
        read_manifests(catalog(tmp_path))


def test_invalid_manifest_is_an_error_that_names_it(tmp_path: Path) -> None:
    """The message names the file, the field and a remedy."""
    broken = {name: value for name, value in first_run().items() if name != "nodes"}
    with pytest.raises(DatasetError, match=r"manifests/1\.json: .*\(nodes: Field") as caught:
        read_manifests(catalog(tmp_path, first_run(), broken))
    assert explain(caught.value).text.endswith("(or move the file out of the folder)")
