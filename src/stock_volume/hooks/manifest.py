"""The manifest of each run, and where its results are."""

import logging
import time
from collections import defaultdict
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

from stock_volume.files import replace_unsafe_characters
from stock_volume.hooks.names import MANIFEST, MANIFESTS, SERVICE, RunParams
from stock_volume.lineage.digests import digest_path, git_revision, package_versions
from stock_volume.lineage.manifest import (
    ALL_PARAMETERS,
    Content,
    NodeRecord,
    RunManifest,
    StoredTag,
)
from stock_volume.sources.address import is_remote, redact_address

logger = logging.getLogger(__name__)

_RESULTS: Final = (
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
"""Datasets whose places are logged at the end of a run."""


class RunManifestHook:
    """Records what a run loaded and saved, and writes its manifest."""

    def __init__(self) -> None:
        """Start with empty records."""
        self._project_path = Path()
        self._reset(DataCatalog())

    def _reset(self, catalog: DataCatalog, names: Iterable[str] = ()) -> None:
        self._start = 0.0
        self._catalog = catalog
        self._paths = {name: _fixed_path(catalog.get(name)) for name in names}
        self._started: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._rows: dict[str, dict[str, int]] = defaultdict(dict)
        self._saved: dict[str, dict[str, None]] = defaultdict(dict)
        self._partitions: dict[str, set[str]] = defaultdict(set)
        self._replaced: dict[str, Content | None] = {}
        self._used: set[str] = set()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember the project's folder."""
        self._project_path = Path(context.project_path)

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Start the clock."""
        self._reset(catalog, pipeline.datasets())
        self._start = time.perf_counter()

    @hook_impl
    def before_dataset_loaded(self, dataset_name: str, node: Node) -> None:
        """Record the start of a node: it is about to load its first input."""
        self._used.add(dataset_name)
        self._record_start(node)

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Record the start of a node without inputs."""
        self._record_start(node)

    def _record_start(self, node: Node) -> None:
        if node.name not in self._started:
            self._started[node.name] = time.perf_counter()

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Digest what the run has read from or written to this path, before it is replaced."""
        if _is_unchanged(data):
            return
        path = self._paths.get(dataset_name)
        if path and dataset_name not in self._used:
            for name in self._used - self._replaced.keys():
                if self._paths.get(name) == path:
                    self._replaced[name] = self._content(name)
        self._used.add(dataset_name)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Record time, rows and partitions of an output or of a chunk of one."""
        if _is_unchanged(data):
            return
        self._seconds[node.name] = time.perf_counter() - self._started[node.name]
        self._saved[node.name][dataset_name] = None
        if hasattr(data, "height"):
            rows = self._rows[node.name]
            rows[dataset_name] = rows.get(dataset_name, 0) + data.height
        if isinstance(data, Mapping):
            self._partitions[dataset_name].update(map(str, data))

    @hook_impl
    def after_pipeline_run(
        self, run_params: RunParams, pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Write the manifest and log where the results are."""
        if MANIFEST not in catalog or not self._saved:
            return  # a run that saved nothing leaves the manifest of the existing results
        manifest = self._manifest(run_params["run_id"], pipeline)
        if MANIFESTS in catalog:
            self._keep(manifest)
        catalog.save(MANIFEST, manifest)
        _log_places(catalog, manifest.outputs)

    # After the other hooks: if this fails (a full disk), they have done their part.
    @hook_impl(trylast=True)
    def on_pipeline_error(self, run_params: RunParams, pipeline: Pipeline) -> None:
        """Keep a manifest of the completed nodes: later runs may use their outputs."""
        failed = next(reversed(self._started), None)
        self._saved.pop(str(failed), None)
        if MANIFESTS in self._catalog and self._saved:
            self._keep(self._manifest(run_params["run_id"], pipeline, failed))

    def _keep(self, manifest: RunManifest) -> None:
        self._catalog.save(MANIFESTS, {replace_unsafe_characters(manifest.run_id): manifest})

    def _manifest(self, run_id: str, pipeline: Pipeline, failed: str | None = None) -> RunManifest:
        seconds = time.perf_counter() - self._start
        nodes = [node for node in pipeline.nodes if node.name in self._saved]
        outputs = {name for node in nodes for name in self._saved[node.name]}
        inputs = {name for node in nodes for name in node.inputs} - outputs
        return RunManifest(
            run_id=run_id,
            finished_at=datetime.now(tz=UTC).replace(microsecond=0),
            seconds=round(seconds, 3),
            git_revision=git_revision(self._project_path),
            versions=package_versions(),
            parameters=_for_manifest(to_jsonable_python(self._catalog.load(ALL_PARAMETERS))),
            inputs=self._contents(inputs),
            nodes={node.name: self._node_record(node) for node in nodes},
            outputs=self._contents(outputs),
            failed=failed,
        )

    def _node_record(self, node: Node) -> NodeRecord:
        return NodeRecord(
            seconds=round(self._seconds[node.name], 3),
            rows=self._rows[node.name],
            inputs=tuple(node.inputs),
            outputs=tuple(self._saved[node.name]),
        )

    def _contents(self, names: Iterable[str]) -> dict[str, Content]:
        contents = {
            name: self._replaced[name] if name in self._replaced else self._content(name)
            for name in sorted(names)
        }
        return {name: content for name, content in contents.items() if content is not None}

    def _content(self, name: str) -> Content | None:
        """Digest the files of a dataset, or look up its tag; None if it has neither."""
        dataset: Any = self._catalog[name]
        if hasattr(type(dataset), "tag"):  # on the instance, the property would ask the store
            return StoredTag(tag=dataset.tag)
        path = getattr(dataset, "path", None) or _fixed_path(dataset)
        if path is None or not path.exists():
            return None  # in memory, or on another machine
        path = path.absolute()
        digests = digest_path(path)
        if path.is_dir() and name in self._partitions:
            saved = self._partitions[name]
            digests = [one for one in digests if _is_partition(path, one.path, saved)]
        return tuple(digests)


def _is_unchanged(data: Any) -> bool:
    """Return whether a layer stays as it is: ChunkedParquetDataset does not write lazy frames."""
    import polars as pl  # not before there is data: every command of Kedro loads the hooks

    return isinstance(data, pl.LazyFrame)


def _for_manifest(parameters: Any) -> Any:
    """Remove queries and passwords from addresses, and write infinity as text."""
    match parameters:
        case dict():
            return {name: _for_manifest(value) for name, value in parameters.items()}
        case list():
            return [_for_manifest(value) for value in parameters]
        case str() if is_remote(parameters):
            return redact_address(parameters)
        case float() if not isfinite(parameters):
            return str(parameters)
    return parameters


def _fixed_path(dataset: Any) -> Path | None:
    """Return the path that a dataset is configured with; others may have to fetch their files."""
    attributes = getattr(dataset, "__dict__", {})
    path = attributes.get("path") or attributes.get("_path")
    return Path(path) if path else None


def _is_partition(folder: Path, path: str, partitions: set[str]) -> bool:
    """Return whether a file of a folder is one of these partitions, with or without suffix."""
    name = Path(path).relative_to(folder).as_posix()
    return any(name == one or name.startswith(f"{one}.") for one in partitions)


def _log_places(catalog: DataCatalog, outputs: Mapping[str, Content]) -> None:
    for name in (*_RESULTS, MANIFEST):
        content = outputs.get(name)
        if isinstance(content, StoredTag):
            logger.info("%-18s %s", name, content.tag)
        elif content is not None or name == MANIFEST:
            dataset: Any = catalog[name]
            logger.info("%-18s %s", name, dataset.path)
    service = outputs.get(SERVICE)
    if isinstance(service, StoredTag):
        logger.info("to serve it: bentoml serve %s", service.tag)
