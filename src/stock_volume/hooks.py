"""What happens around a run: a log of each stage, a manifest, and a closing word."""

import logging
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any, Final

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from pydantic_core import to_jsonable_python

from stock_volume.failures import full_traceback
from stock_volume.lineage.digests import digest_path, git_revision, package_versions
from stock_volume.sources.address import is_remote, shown

logger = logging.getLogger(__name__)

LOGS_FOLDER: Final = "logs"
MANIFEST: Final = "run_manifest"
MANIFESTS: Final = "run_manifests"
PARAMETERS: Final = "parameters"
SERVICE: Final = "service_bento"
_SHOWN_AT_THE_END: Final = (
    "prices",
    "estimator_features",
    "backtest",
    "forecasts",
    "report",
    "model_card",
    "lightgbm_predictor",
    "forecaster",
    "tuned_parameters",
    "update_report",
    "monitoring",
    SERVICE,
)
_UNSAFE: Final = re.compile(r"[^\w.-]")
"""What the name of a file had better not have."""


class StageLogHook:
    """Keeps the log of each stage (the tag of its nodes) in a file of its own."""

    def __init__(self) -> None:
        """Start with no stage."""
        self._folder = Path(LOGS_FOLDER)
        self._stage = ""
        self._handler: logging.Handler | None = None
        self._begun: set[str] = set()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Learn where the project is."""
        self._folder = Path(context.project_path) / LOGS_FOLDER

    @hook_impl
    def before_pipeline_run(self) -> None:
        """Begin each stage's log anew."""
        self._begun.clear()

    @hook_impl
    def before_dataset_loaded(self, dataset_name: str, node: Node) -> None:  # noqa: ARG002
        """Turn to the log of the node's stage before its first message."""
        stage = min(node.tags, default="")
        if stage and stage != self._stage:
            self._close()
            self._open(stage)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """End the last stage."""
        self._close()

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Leave the error in the log of the stage that failed, there alone: others show it."""
        if self._handler:
            record = logger.makeRecord(
                logger.name, logging.ERROR, __file__, 0, full_traceback(error), (), None
            )
            self._handler.handle(record)
        self._close()

    def _open(self, stage: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._stage = stage
        mode = "a" if stage in self._begun else "w"
        self._begun.add(stage)
        self._handler = logging.FileHandler(
            self._folder / f"{stage}.log", mode=mode, encoding="utf-8"
        )
        self._handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
        )
        logging.getLogger().addHandler(self._handler)

    def _close(self) -> None:
        if self._handler:
            logging.getLogger().removeHandler(self._handler)
            self._handler.close()
        self._stage, self._handler = "", None


class FailedNodeHook:
    """Notes on an error which node it ended, where that is certain."""

    def __init__(self) -> None:
        """Start with no node."""
        self._node = ""

    @hook_impl
    def before_pipeline_run(self) -> None:
        """Forget the run before."""
        self._node = ""

    @hook_impl
    def before_dataset_loaded(self, node: Node) -> None:
        """Note the node whose input is about to be loaded."""
        self._node = node.name

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Note the node that is about to run; what it yields is saved before the next one."""
        self._node = node.name

    @hook_impl
    def on_pipeline_error(self, error: Exception, run_params: dict[str, Any]) -> None:
        """Add the note; where nodes run side by side, the last one need not be the one."""
        if self._node and "SequentialRunner" in str(run_params.get("runner")):
            error.add_note(f"in the node {self._node}")


class ReleaseOnErrorHook:
    """Lets datasets give up what a failed run has left half saved."""

    @hook_impl
    def on_pipeline_error(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Release everything that the run was to make."""
        for name in pipeline.all_outputs():
            catalog.release(name)


class RunManifestHook:
    """Writes down what a run was made from, and what it made."""

    def __init__(self) -> None:
        """Start without records."""
        self._project_path = Path()
        self._reset(DataCatalog())

    def _reset(self, catalog: DataCatalog, names: Iterable[str] = ()) -> None:
        self._start = 0.0
        self._catalog = catalog
        self._places = {name: _fixed_place(catalog.get(name)) for name in names}
        self._started: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._rows: dict[str, dict[str, int]] = {}
        self._saved: dict[str, dict[str, None]] = {}
        self._partitions: dict[str, set[str]] = {}
        self._replaced: dict[str, Any] = {}
        self._met: set[str] = set()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Learn where the project is."""
        self._project_path = Path(context.project_path)

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Start the clock."""
        self._reset(catalog, pipeline.datasets())
        self._start = time.perf_counter()

    @hook_impl
    def before_dataset_loaded(self, dataset_name: str, node: Node) -> None:
        """Note when a node's first input is about to be loaded."""
        self._met.add(dataset_name)
        self._note_start(node)

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Note when a node without inputs is about to run."""
        self._note_start(node)

    def _note_start(self, node: Node) -> None:
        if node.name not in self._started:
            self._started[node.name] = time.perf_counter()

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Digest what the run has read or made in this place before it is replaced."""
        if _is_unchanged(data):
            return
        place = self._places.get(dataset_name)
        if place and dataset_name not in self._met:
            for name in self._met - self._replaced.keys():
                if self._places.get(name) == place:
                    self._replaced[name] = self._content(name)
        self._met.add(dataset_name)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Note the time since, and the rows of a frame or of a chunk of one."""
        if _is_unchanged(data):
            return
        self._seconds[node.name] = time.perf_counter() - self._started[node.name]
        self._saved.setdefault(node.name, {})[dataset_name] = None
        rows = self._rows.setdefault(node.name, {})
        if hasattr(data, "height"):
            rows[dataset_name] = rows.get(dataset_name, 0) + data.height
        if isinstance(data, Mapping):
            self._partitions.setdefault(dataset_name, set()).update(map(str, data))

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Write the manifest and say where everything is."""
        if MANIFEST not in catalog or not self._saved:
            return  # a run that found nothing missing leaves the manifest of what there is
        manifest = self._manifest(run_params, pipeline)
        if MANIFESTS in catalog:
            self._keep(manifest)
        catalog.save(MANIFEST, manifest)
        _say_where(catalog, manifest["outputs"])

    # After the other hooks: should this fail (a full disk), they have done their part.
    @hook_impl(trylast=True)
    def on_pipeline_error(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Keep a manifest of what was complete: later runs may build on it."""
        failed = next(reversed(self._started), None)
        self._saved.pop(str(failed), None)
        if MANIFESTS in self._catalog and self._saved:
            self._keep({**self._manifest(run_params, pipeline), "failed": failed})

    def _keep(self, manifest: dict[str, Any]) -> None:
        self._catalog.save(MANIFESTS, {_UNSAFE.sub("_", manifest["run_id"]): manifest})

    def _manifest(self, run_params: dict[str, Any], pipeline: Pipeline) -> dict[str, Any]:
        seconds = time.perf_counter() - self._start
        nodes = [node for node in pipeline.nodes if node.name in self._saved]
        outputs = {name for node in nodes for name in self._saved[node.name]}
        inputs = {name for node in nodes for name in node.inputs} - outputs
        return {
            "run_id": run_params["run_id"],
            "finished_at": datetime.now(tz=UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "git_revision": git_revision(self._project_path),
            "versions": package_versions(),
            "parameters": _for_json(to_jsonable_python(self._catalog.load(PARAMETERS))),
            "inputs": self._contents(inputs),
            "nodes": {
                node.name: {
                    "seconds": round(self._seconds[node.name], 3),
                    "rows": self._rows[node.name],
                    "inputs": node.inputs,
                    "outputs": list(self._saved[node.name]),
                }
                for node in nodes
            },
            "outputs": self._contents(outputs),
        }

    def _contents(self, names: Iterable[str]) -> dict[str, Any]:
        """Digest the files of datasets, and tell the tags of those in a store."""
        contents = {
            name: self._replaced[name] if name in self._replaced else self._content(name)
            for name in sorted(names)
        }
        return {name: content for name, content in contents.items() if content is not None}

    def _content(self, name: str) -> Any:
        dataset: Any = self._catalog[name]
        if hasattr(type(dataset), "tag"):  # the property itself asks the store
            return {"tag": dataset.tag}
        place = getattr(dataset, "path", None) or _fixed_place(dataset)
        if place is None or not place.exists():
            return None  # in memory, or on another machine
        place = place.absolute()
        digests = digest_path(place)
        if place.is_dir() and name in self._partitions:
            digests = [
                digest
                for digest in digests
                if _partition(place, digest.path, self._partitions[name])
            ]
        return [digest._asdict() for digest in digests]


def _is_unchanged(data: Any) -> bool:
    """Tell a layer that stays as it is, which ChunkedParquetDataset does not write."""
    import polars as pl  # not before there is data: every command of Kedro loads the hooks

    return isinstance(data, pl.LazyFrame)


def _for_json(parameters: Any) -> Any:
    """Take queries and passwords out of addresses, and write infinity as text."""
    match parameters:
        case dict():
            return {name: _for_json(value) for name, value in parameters.items()}
        case list():
            return [_for_json(value) for value in parameters]
        case str() if is_remote(parameters):
            return shown(parameters)
        case float() if not isfinite(parameters):
            return str(parameters)
    return parameters


def _fixed_place(dataset: Any) -> Path | None:
    """Where a dataset always is; one that works its place out may have to fetch it first."""
    attributes = getattr(dataset, "__dict__", {})
    place = attributes.get("path") or attributes.get("_path")
    return Path(place) if place else None


def _partition(folder: Path, path: str, partitions: set[str]) -> bool:
    """Tell whether a file of a folder is one of these partitions, with or without suffix."""
    name = Path(path).relative_to(folder).as_posix()
    return any(name == one or name.startswith(f"{one}.") for one in partitions)


def _say_where(catalog: DataCatalog, outputs: Mapping[str, Any]) -> None:
    for name in (*_SHOWN_AT_THE_END, MANIFEST):
        if name == MANIFEST or name in outputs:
            dataset: Any = catalog[name]
            place = outputs[name]["tag"] if name == SERVICE else dataset.path
            logger.info("%-18s %s", name, place)
    if SERVICE in outputs:
        logger.info("to serve it: bentoml serve %s", outputs[SERVICE]["tag"])
