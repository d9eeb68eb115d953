"""The manifest of a run, through runs of small pipelines."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from stock_volume.datasets import AtomicDataset, PydanticJSONDataset
from stock_volume.hooks import RunManifestHook
from stock_volume.hooks import manifest as manifest_hook
from stock_volume.lineage.digests import FileDigest
from tests.unit.hook_helpers import run, stages, start, words

Frames = Iterator[pl.DataFrame]
PARAMETERS = {"size": 3, "as_of": datetime(2020, 1, 2, tzinfo=UTC).date()}
JSON = {"type": "json.JSONDataset"}
MODEL = "stock_volume.lineage.manifest.RunManifest"
TEXT = {"type": "text.TextDataset"}


class Tagged(MemoryDataset):
    """A dataset in a store, identified by a tag."""

    tag = "model:v1"


def source_text(text: str, _: dict[str, Any]) -> Frames:
    """Give two chunks of five rows."""
    yield pl.DataFrame({"letter": list(text[:3])})
    yield pl.DataFrame({"letter": list(text[3:5])})


def count(frame: pl.DataFrame) -> dict[str, int]:
    return {"rows": frame.height}


def store(counts: dict[str, int]) -> str:
    return json.dumps(counts)


@pytest.fixture
def manifest_of(tmp_path: Path) -> Callable[[Pipeline], dict[str, Any]]:
    """Run some of a pipeline's nodes and read the manifest."""
    (tmp_path / "in.txt").write_text("abcde")
    catalog = DataCatalog(
        {
            "text": AtomicDataset(str(tmp_path / "in.txt"), TEXT),
            "params:all": MemoryDataset(PARAMETERS),
            "parameters": MemoryDataset(PARAMETERS),
            "letters": MemoryDataset(pl.DataFrame({"letter": ["z"]})),
            "counts": AtomicDataset(str(tmp_path / "counts.json"), JSON),
            "model": Tagged(),
            "run_manifest": PydanticJSONDataset(str(tmp_path / "manifest.json"), MODEL),
        }
    )

    def manifest(pipeline: Pipeline) -> dict[str, Any]:
        run(tmp_path, pipeline, catalog, RunManifestHook())
        written: dict[str, Any] = json.loads((tmp_path / "manifest.json").read_text())
        return written

    return manifest


def lettering() -> Pipeline:
    return Pipeline(
        [
            Node(source_text, ["text", "params:all"], "letters", name="read"),
            Node(count, "letters", "counts", name="count"),
            Node(store, "counts", "model", name="store"),
        ]
    )


Manifest = Callable[[Pipeline], dict[str, Any]]


def test_manifest_sums_rows_over_chunks(manifest_of: Manifest) -> None:
    """The rows of a frame are summed over its chunks; other outputs have no rows."""
    nodes = manifest_of(lettering())["nodes"]
    assert list(nodes) == ["read", "count", "store"]
    assert {name: node["rows"] for name, node in nodes.items()} == {
        "read": {"letters": 5},
        "count": {},
        "store": {},
    }


class Parts(MemoryDataset):
    """A layer at an address, which knows the digests of its parts."""

    path = "s3://bucket/layers/prices"

    def digests(self) -> list[FileDigest]:
        return [FileDigest(path=f"{self.path}/part-0.parquet", size=1, sha256="0" * 64)]


class AtAddress(MemoryDataset):
    """A dataset at an address, whose files are not read again for their digests."""

    def __init__(self) -> None:
        """Name the address."""
        super().__init__()
        self._path = "s3://key:secret@bucket/letters"


def test_layers_at_an_address_are_in_the_manifest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The digests of parts are recorded; a dataset that has none is named in a warning."""
    path = tmp_path / "manifest.json"
    catalog = DataCatalog(
        {
            "text": Parts("abcde"),
            "params:all": MemoryDataset({}),
            "parameters": MemoryDataset({}),
            "letters": AtAddress(),
            "run_manifest": PydanticJSONDataset(str(path), MODEL),
        }
    )
    with caplog.at_level(logging.WARNING):
        run(tmp_path, lettering().filter(node_names=["read"]), catalog, RunManifestHook())
    (digest,) = json.loads(path.read_text())["inputs"]["text"]
    assert digest["path"] == "s3://bucket/layers/prices/part-0.parquet"
    assert "no digest of letters at s3://bucket/letters" in caplog.text


def test_manifest_does_not_add_up_runs(tmp_path: Path) -> None:
    """A hook that has recorded a run starts the next one with empty records."""
    hook = RunManifestHook()
    path = tmp_path / "manifest.json"
    catalog = DataCatalog(
        {
            "text": MemoryDataset("abcde"),
            "params:all": MemoryDataset({}),
            "parameters": MemoryDataset({}),
            "letters": MemoryDataset(),
            "run_manifest": PydanticJSONDataset(str(path), MODEL),
        }
    )
    reading = lettering().filter(node_names=["read"])
    for _ in range(2):
        run(tmp_path, reading, catalog, hook)
    assert json.loads(path.read_text())["nodes"]["read"]["rows"] == {"letters": 5}


def test_manifest_has_digests_of_files_and_tags(manifest_of: Manifest, tmp_path: Path) -> None:
    """Files have digests, versions in a store have tags, and data in memory has neither."""
    manifest = manifest_of(lettering())
    content = (tmp_path / "counts.json").read_bytes()
    assert manifest["inputs"] == {
        "text": [
            {
                "path": (tmp_path / "in.txt").as_posix(),
                "size": 5,
                "sha256": hashlib.sha256(b"abcde").hexdigest(),
            }
        ]
    }
    assert manifest["outputs"] == {
        "counts": [
            {
                "path": (tmp_path / "counts.json").as_posix(),
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        ],
        "model": {"tag": "model:v1"},
    }


def test_manifest_is_of_the_nodes_that_ran(manifest_of: Manifest) -> None:
    """The manifest of a partial run has only its nodes, their inputs and outputs."""
    manifest = manifest_of(lettering().filter(node_names=["count"]))
    assert list(manifest["nodes"]) == ["count"]
    assert manifest["inputs"] == {}
    assert list(manifest["outputs"]) == ["counts"]


def test_manifest_has_run_parameters_and_versions(manifest_of: Manifest) -> None:
    """The run, the parameters (a date as text) and the versions are recorded."""
    manifest = manifest_of(lettering())
    assert manifest["run_id"] == "2020-01-02T00.00.00"
    assert manifest["parameters"] == {"size": 3, "as_of": "2020-01-02"}
    assert {"python", "polars", "lightgbm"} <= set(manifest["versions"])
    assert datetime.fromisoformat(manifest["finished_at"]).tzinfo == UTC


def test_manifest_of_a_parameter_without_bound_is_json(tmp_path: Path) -> None:
    """A parameter that is infinite or NaN is a word in the manifest."""
    path = tmp_path / "manifest.json"
    catalog = DataCatalog(
        {
            "start": MemoryDataset("go"),
            "parameters": MemoryDataset({"ratio": float("inf"), "none": float("nan")}),
            "report": AtomicDataset(str(tmp_path / "report.md"), TEXT),
            "run_manifest": PydanticJSONDataset(str(path), MODEL),
        }
    )
    node = Node(words("# Report"), "start", "report", name="write")
    run(tmp_path, Pipeline([node]), catalog, RunManifestHook())
    parameters = json.loads(path.read_text(encoding="utf-8"))["parameters"]
    assert parameters == {"ratio": "inf", "none": "nan"}


def test_manifest_has_the_seconds_of_run_and_nodes(
    manifest_of: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node is timed from its first input to its last output, the run from start to end."""
    ticks = iter(range(100))
    monkeypatch.setattr(
        manifest_hook, "time", SimpleNamespace(perf_counter=lambda: next(ticks) + 0.25)
    )
    manifest = manifest_of(lettering())
    # The clock is read at the start, before each node, after each save, and at the end.
    seconds = [node["seconds"] for node in manifest["nodes"].values()]
    assert seconds == [2.0, 1.0, 1.0]
    assert manifest["seconds"] == next(ticks) - 1


def test_manifest_links_nodes_to_datasets(manifest_of: Manifest) -> None:
    """Each node has the names of its inputs and of the outputs that it saved."""
    nodes = manifest_of(lettering())["nodes"]
    assert {name: (node["inputs"], node["outputs"]) for name, node in nodes.items()} == {
        "read": (["text", "params:all"], ["letters"]),
        "count": (["letters"], ["counts"]),
        "store": (["counts"], ["model"]),
    }


PARTITIONS = "partitions.PartitionedDataset"
MANIFESTS = {
    "type": PARTITIONS,
    "filename_suffix": ".json",
    "dataset": {"type": "stock_volume.datasets.PydanticJSONDataset", "model": MODEL},
}
LOG = {
    "type": PARTITIONS,
    "filename_suffix": ".txt",
    "dataset": {"type": "stock_volume.datasets.AtomicDataset", "dataset": TEXT},
}


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def digests(content: list[dict[str, Any]]) -> dict[str, str]:
    """Return the SHA-256 of each file, by its name."""
    return {Path(digest["path"]).name: digest["sha256"] for digest in content}


@pytest.fixture
def keeping(tmp_path: Path) -> DataCatalog:
    """Make a catalog whose prices are read and then replaced, and which keeps all manifests."""
    prices = {"type": "stock_volume.datasets.AtomicDataset", "dataset": TEXT}
    prices["filepath"] = str(tmp_path / "prices.txt")
    entries: dict[str, dict[str, Any]] = {
        "held_prices": prices,
        "prices": prices,
        "settled_prices": prices,
        "log": {**LOG, "path": str(tmp_path / "log")},
        "run_manifest": {
            "type": "stock_volume.datasets.PydanticJSONDataset",
            "filepath": str(tmp_path / "manifest.json"),
            "model": MODEL,
        },
        "run_manifests": {**MANIFESTS, "path": str(tmp_path / "manifests")},
    }
    catalog = DataCatalog.from_config(entries)
    catalog["parameters"] = MemoryDataset(PARAMETERS)
    catalog["recent"] = MemoryDataset(" and more")
    (tmp_path / "prices.txt").write_text("old", encoding="utf-8")
    return catalog


def join(held: str, recent: str) -> str:
    return held + recent


def merging() -> Node:
    return Node(join, ["held_prices", "recent"], "prices", name="merge")


def kept(folder: Path) -> dict[str, Any]:
    """Return the only manifest in a folder."""
    (path,) = (folder / "manifests").iterdir()
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return manifest


def test_every_manifest_is_kept(tmp_path: Path, keeping: DataCatalog) -> None:
    """The latest manifest is also kept, complete, under the name of its run."""
    run(tmp_path, Pipeline([merging()]), keeping, RunManifestHook())
    assert [path.name for path in (tmp_path / "manifests").iterdir()] == [
        "2020-01-02T00.00.00.json"
    ]
    assert kept(tmp_path) == json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))


def test_replaced_input_has_the_digest_that_it_was_read_with(
    tmp_path: Path, keeping: DataCatalog
) -> None:
    """If a run replaces a file that it has read, the manifest has both contents."""
    run(tmp_path, Pipeline([merging()]), keeping, RunManifestHook())
    manifest = kept(tmp_path)
    assert digests(manifest["inputs"]["held_prices"]) == {"prices.txt": sha256("old")}
    assert digests(manifest["outputs"]["prices"]) == {"prices.txt": sha256("old and more")}


def test_replaced_output_has_the_digest_that_it_was_made_with(
    tmp_path: Path, keeping: DataCatalog
) -> None:
    """If a run writes a file twice, under two names, each name has its own content."""
    settle = Node(str.upper, "prices", "settled_prices", name="settle")
    run(tmp_path, Pipeline([merging(), settle]), keeping, RunManifestHook())
    outputs = {name: digests(content) for name, content in kept(tmp_path)["outputs"].items()}
    assert outputs == {
        "prices": {"prices.txt": sha256("old and more")},
        "settled_prices": {"prices.txt": sha256("OLD AND MORE")},
    }
    assert digests(kept(tmp_path)["inputs"]["held_prices"]) == {"prices.txt": sha256("old")}


def test_manifest_has_no_secret_of_an_address(tmp_path: Path, keeping: DataCatalog) -> None:
    """A key in a query and a password stay out of the manifests, wherever the address is."""
    keeping["parameters"] = MemoryDataset(
        {
            "url": "https://me:PASSWORD@host/{symbol}.csv?apikey=KEY",
            "deep": {"list": ["s3://bucket/archive.zip", "sftp://me:PASSWORD@host/a"]},
            "size": 3,
        }
    )
    run(tmp_path, Pipeline([merging()]), keeping, RunManifestHook())
    assert kept(tmp_path)["parameters"] == {
        "url": "https://host/{symbol}.csv?…",
        "deep": {"list": ["s3://bucket/archive.zip", "sftp://host/a"]},
        "size": 3,
    }
    text = (tmp_path / "manifest.json").read_text(encoding="utf-8")
    assert "PASSWORD" not in text
    assert "KEY" not in text


def nothing(_: str, __: str) -> Iterator[str]:
    """Yield nothing, like an update without new data."""
    yield from ()


def test_run_that_saved_nothing_leaves_no_manifest(tmp_path: Path, keeping: DataCatalog) -> None:
    """If no node yields anything, no manifest is written."""
    node = Node(nothing, ["held_prices", "recent"], "prices", name="merge")
    run(tmp_path, Pipeline([node]), keeping, RunManifestHook())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["prices.txt"]


def test_what_was_not_saved_is_an_input_of_what_was(tmp_path: Path, keeping: DataCatalog) -> None:
    """An unchanged layer is not an output, but an input of the nodes that read it."""
    merge = Node(nothing, ["held_prices", "recent"], "prices", name="merge")
    settle = Node(str.upper, "prices", "settled_prices", name="settle")
    run(tmp_path, Pipeline([merge, settle]), keeping, RunManifestHook())
    manifest = kept(tmp_path)
    assert list(manifest["nodes"]) == ["settle"]
    assert list(manifest["outputs"]) == ["settled_prices"]
    assert {name: digests(content) for name, content in manifest["inputs"].items()} == {
        "prices": {"prices.txt": sha256("old")}
    }


def partition(text: str) -> dict[str, str]:
    return {"2020-01-02": text}


def test_partitions_saved_are_outputs_and_all_are_inputs(
    tmp_path: Path, keeping: DataCatalog
) -> None:
    """A node that adds to a folder made only what it added; a reader was given all of it."""
    (tmp_path / "log").mkdir()
    (tmp_path / "log/2020-01-01.txt").write_text("earlier", encoding="utf-8")
    add = Node(partition, "recent", "log", name="add")
    run(tmp_path, Pipeline([add]), keeping, RunManifestHook())
    added = {"2020-01-02.txt": sha256(" and more")}
    assert digests(kept(tmp_path)["outputs"]["log"]) == added
    read = Node(len, "log", "number", name="read")
    run(tmp_path, Pipeline([read]), keeping, RunManifestHook())
    assert digests(kept(tmp_path)["inputs"]["log"]) == {
        "2020-01-01.txt": sha256("earlier"),
        **added,
    }


def test_failed_run_keeps_a_manifest_of_what_was_complete(
    tmp_path: Path, keeping: DataCatalog
) -> None:
    """Later runs may use the outputs of a failed run; the latest manifest is unchanged."""

    def fail(_: str) -> Iterator[str]:
        yield "half"
        raise ArithmeticError("nothing adds up")

    failing = Node(fail, "prices", "half", name="fail")
    with pytest.raises(ArithmeticError):
        run(tmp_path, Pipeline([merging(), failing]), keeping, RunManifestHook())
    manifest = kept(tmp_path)
    assert manifest["failed"] == "fail"
    assert list(manifest["nodes"]) == ["merge"]
    assert list(manifest["outputs"]) == ["prices"]
    assert not (tmp_path / "manifest.json").exists()


def test_run_that_failed_at_once_keeps_no_manifest(tmp_path: Path, keeping: DataCatalog) -> None:
    """If no node completed, there is nothing to record."""
    failing = Node(lambda text: text / 0, "held_prices", "half", name="fail")
    with pytest.raises(TypeError):
        run(tmp_path, Pipeline([failing]), keeping, RunManifestHook())
    assert not (tmp_path / "manifests").exists()


def test_no_manifest_without_its_dataset(tmp_path: Path) -> None:
    """If the catalog has no entry for the manifest, none is written."""
    run(tmp_path, stages("one: a"), start(), RunManifestHook())
    assert list(tmp_path.iterdir()) == []


def test_the_run_ends_with_the_places_of_its_results(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The last messages name report, Bento and manifest, and the command to serve."""
    catalog = DataCatalog(
        {
            "start": MemoryDataset("go"),
            "parameters": MemoryDataset({}),
            "report": AtomicDataset(str(tmp_path / "report.md"), TEXT),
            "service_bento": Tagged(),
            "run_manifest": PydanticJSONDataset(str(tmp_path / "manifest.json"), MODEL),
        }
    )
    pipeline = Pipeline(
        [
            Node(words("# Report"), "start", "report", name="write"),
            Node(words("labels"), "report", "service_bento", name="package"),
        ]
    )
    with caplog.at_level(logging.INFO, logger="stock_volume"):
        run(tmp_path, pipeline, catalog, RunManifestHook())
    said = [" ".join(message.split()) for message in caplog.messages[-4:]]
    assert said == [
        f"report {tmp_path}/report.md",
        "service_bento model:v1",
        f"run_manifest {tmp_path}/manifest.json",
        "to serve it: bentoml serve model:v1",
    ]
