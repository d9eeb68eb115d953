"""Outputs that are out of date, through runs of a small pipeline that are killed and repeated."""

import json
import logging
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner
from pydantic import BaseModel, Field

from stock_volume.hooks import FreshnessHook, RunManifestHook
from stock_volume.hooks.freshness import UnfinishedRunError

DATASETS = "stock_volume.datasets"
TEXT = {"type": "text.TextDataset"}
MODEL = "stock_volume.lineage.manifest.RunManifest"


TODAY = {"UTC": date(2020, 1, 2)}


class Killed(BaseException):
    """Ends a run as SIGKILL does: Kedro calls no hook."""


@pytest.fixture
def project(tmp_path: Path) -> "Project":
    return Project(tmp_path)


class Rules(BaseModel):
    """Parameters of which one is computed unless it is given."""

    limit: int = 1
    as_of: date = Field(default_factory=lambda: TODAY["UTC"])


class Project:
    """Three nodes in a row, from ``in.txt`` to ``c.txt``, and runs of them."""

    def __init__(self, folder: Path) -> None:
        """Write the input."""
        self.folder = folder
        self.runs = 0
        self.killed_before = ""
        self.verb = "make"
        self.write("in", "raw")

    def write(self, name: str, text: str) -> None:
        (self.folder / f"{name}.txt").write_text(text)

    def read(self) -> dict[str, str]:
        return {name: (self.folder / f"{name}.txt").read_text() for name in "abc"}

    def node(self, name: str, source: str) -> Node:
        def work(text: str, suffix: str, _: Rules) -> str:
            if self.killed_before == name:
                raise Killed
            return f"{text}{suffix}"

        inputs = [source, "params:suffix", "params:rules"]
        return Node(work, inputs, name, name=f"{self.verb}_{name}")

    def run(
        self,
        *,
        suffix: str = "+",
        rules: Mapping[str, Any] | None = None,
        pipelines: tuple[str, ...] = (),
        only_missing: bool = False,
    ) -> list[str]:
        """Run the pipeline as a session does, and return the nodes that ran."""
        self.runs += 1
        text = {"type": f"{DATASETS}.AtomicDataset", "dataset": TEXT}
        manifest = {"type": f"{DATASETS}.PydanticJSONDataset", "model": MODEL}
        entries: dict[str, dict[str, Any]] = {
            name: {**text, "filepath": str(self.folder / f"{name}.txt")}
            for name in ("in", "a", "b", "c")
        }
        entries["run_manifest"] = {**manifest, "filepath": str(self.folder / "manifest.json")}
        entries["run_manifests"] = {
            "type": "partitions.PartitionedDataset",
            "path": str(self.folder / "manifests"),
            "filename_suffix": ".json",
            "dataset": manifest,
        }
        catalog = DataCatalog.from_config(entries)
        parameters = {"suffix": suffix, "rules": Rules(**(rules or {}))}
        catalog["parameters"] = MemoryDataset(parameters)
        for name, value in parameters.items():
            catalog[f"params:{name}"] = MemoryDataset(value)
        pipeline = Pipeline([self.node("a", "in"), self.node("b", "a"), self.node("c", "b")])
        manager = _create_hook_manager()
        manager.register(RunManifestHook())
        manager.register(FreshnessHook())
        ran: list[str] = []
        run_params = {
            "run_id": f"run-{self.runs}",
            "runner": None,
            "pipeline_names": pipelines,
            "only_missing_outputs": only_missing,
        }
        around: dict[str, Any] = {
            "run_params": run_params,
            "pipeline": pipeline,
            "catalog": catalog,
        }
        manager.add_hookcall_monitoring(
            lambda name, _, arguments: (
                ran.append(arguments["node"].name) if name == "before_node_run" else None
            ),
            lambda *_: None,
        )
        manager.hook.before_pipeline_run(**around)
        result = SequentialRunner().run(
            pipeline, catalog, manager, only_missing_outputs=only_missing
        )
        manager.hook.after_pipeline_run(run_result=result, **around)
        return ran

    def kill(self, before: str, **options: Any) -> None:
        self.killed_before = before
        with pytest.raises(Killed):
            self.run(**options)
        self.killed_before = ""

    def manifest(self, number: int) -> dict[str, Any]:
        path = self.folder / "manifests" / f"run-{number}.json"
        manifest: dict[str, Any] = json.loads(path.read_text())
        return manifest


def test_killed_run_is_completed_and_nothing_is_mixed(project: Project) -> None:
    """What the killed run replaced stays; all that still belongs to older outputs is made again."""
    project.run()
    project.write("in", "new")
    project.kill("b")
    assert project.read() == {"a": "new+", "b": "raw++", "c": "raw+++"}
    assert project.run(only_missing=True) == ["make_b", "make_c"]
    assert project.read() == {"a": "new+", "b": "new++", "c": "new+++"}


def test_changed_parameter_counts_like_a_changed_input(project: Project) -> None:
    """Outputs of other parameters are not kept."""
    project.run()
    project.kill("c", suffix="-")
    assert project.run(suffix="-", only_missing=True) == ["make_c"]
    assert project.run(suffix="+", only_missing=True) == ["make_a", "make_b", "make_c"]
    assert project.read()["c"] == "raw+++"
    assert project.run(suffix="+", only_missing=True) == []


def test_outputs_are_current_on_the_next_day(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Midnight changes no given parameter: a run before it can be completed after it."""
    project.run()
    project.write("in", "new")
    project.kill("c")
    monkeypatch.setitem(TODAY, "UTC", date(2020, 1, 3))
    assert project.run(only_missing=True) == ["make_c"]
    assert project.manifest(2)["parameters"]["rules"] == {"limit": 1, "as_of": "2020-01-02"}
    assert project.manifest(3)["parameters"]["rules"] == {"limit": 1, "as_of": "2020-01-03"}
    assert project.manifest(3)["computed"] == ["rules.as_of"]
    assert project.run(only_missing=True) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"as_of": "2020-01-01"}, {}),
        ({}, {"as_of": "2020-01-01"}),
        ({"as_of": "2020-01-01"}, {"as_of": "2020-01-03"}),
        ({}, {"limit": 2}),
    ],
)
def test_given_value_of_a_computed_parameter_counts(
    project: Project, first: dict[str, Any], second: dict[str, Any]
) -> None:
    """A date that is given, or no longer given, is another parameter; so is its neighbour."""
    project.run(rules=first)
    ran = project.run(rules=second, only_missing=True)
    assert ran == ["make_a", "make_b", "make_c"]
    assert project.run(rules=second, only_missing=True) == []


def test_run_is_marked_before_it_replaces_anything(project: Project) -> None:
    """A killed run has a manifest with what it completed, what it planned, and that it is not."""
    project.kill("a")
    assert not (project.folder / "manifests").exists()  # it had not begun to save
    project.kill("c")
    manifest = project.manifest(2)
    assert manifest["is_complete"] is False
    assert manifest["planned"] == ["make_a", "make_b", "make_c"]
    assert list(manifest["nodes"]) == ["make_a", "make_b"]
    assert set(manifest["outputs"]) == {"a", "b"}
    project.run()
    assert project.manifest(3)["is_complete"] is True
    assert not project.manifest(2)["is_complete"]


@pytest.mark.parametrize("pipelines", [("update",), ("update", "monitor"), ("monitor",)])
def test_update_and_monitor_refuse_layers_of_a_killed_run(
    project: Project, pipelines: tuple[str, ...]
) -> None:
    """They would join new prices and features of old ones; the message says what to do."""
    project.run()
    project.kill("c")
    project.verb = "update"
    with pytest.raises(UnfinishedRunError, match=r"run-2 did not finish.*it lacks make_c"):
        project.run(pipelines=pipelines)
    project.verb = "make"
    project.run(only_missing=True)
    assert project.run(pipelines=pipelines)


def test_killed_run_that_replaced_nothing_can_be_settled(project: Project) -> None:
    """If everything is current, a run that makes nothing records it, and updates go on."""
    project.run()
    project.kill("b")
    project.write("a", "raw+")
    manifest = project.folder / "manifests/run-2.json"
    text = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(text | {"nodes": {}, "outputs": {}}))
    assert project.run(only_missing=True) == []
    assert project.manifest(3)["planned"] == ["make_a", "make_b", "make_c"]
    project.run(pipelines=("update",))


def test_run_that_does_not_finish_a_killed_one_is_warned(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    """A run of other nodes goes on; a full run finishes the killed one without a warning."""
    project.run()
    project.kill("b")
    project.verb = "tune"
    with caplog.at_level(logging.WARNING):
        project.run(pipelines=("tuning",))
    assert "run-2 did not finish" in caplog.text
    caplog.clear()
    project.verb = "make"
    with caplog.at_level(logging.WARNING):
        project.run()
    assert "did not finish" not in caplog.text


def test_clock_that_is_set_back_does_not_hide_a_killed_run(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs are ordered by their number: the killed run is the latest, whatever its time."""
    project.run()
    clock = SimpleNamespace(now=lambda tz: datetime(2001, 1, 1, tzinfo=tz))
    monkeypatch.setattr("stock_volume.hooks.manifest.datetime", clock)
    project.kill("c", suffix="-")
    project.verb = "update"
    with pytest.raises(UnfinishedRunError, match="run-2 did not finish"):
        project.run(pipelines=("update",))
    project.verb = "make"
    assert project.run(suffix="-", only_missing=True) == ["make_c"]
    assert [project.manifest(number)["sequence"] for number in (1, 2, 4)] == [1, 2, 3]
