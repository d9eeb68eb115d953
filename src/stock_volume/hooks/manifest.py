"""The manifest of each run, and where its results are."""

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import Node, Pipeline

from stock_volume.files import replace_unsafe_characters
from stock_volume.hooks.catalog import (
    fixed_path,
    list_computed,
    next_sequence,
    read_content,
    recorded_parameters,
)
from stock_volume.hooks.names import (
    MANIFEST,
    MANIFESTS,
    SERVICE,
    RunParams,
    is_sequential,
    pipeline_names,
)
from stock_volume.lineage.digests import Environment
from stock_volume.lineage.manifest import Content, NodeRecord, RunManifest, StoredTag

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
        self._reset(DataCatalog())

    def _reset(
        self,
        catalog: DataCatalog,
        pipeline: Pipeline | None = None,
        run_params: RunParams | None = None,
    ) -> None:
        self._start = 0.0
        self._catalog = catalog
        self._run_params = run_params or RunParams(run_id="", runner=None)
        self._pipeline = pipeline or Pipeline([])
        self._paths = {name: fixed_path(catalog.get(name)) for name in self._pipeline.datasets()}
        self._environment: Environment | None = None
        self._is_begun = False
        self._sequence = 0
        self._started: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._rows: dict[str, dict[str, int]] = defaultdict(dict)
        self._saved: dict[str, dict[str, None]] = defaultdict(dict)
        self._partitions: dict[str, set[str]] = defaultdict(set)
        self._known: dict[str, Content | None] = {}
        self._used: set[str] = set()

    @hook_impl
    def before_pipeline_run(
        self, run_params: RunParams, pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Start the clock."""
        self._reset(catalog, pipeline, run_params)
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
            # Kedro calls no hook when the files of a node are in place: they are when another
            # node starts, unless nodes run side by side.
            if self._saved and is_sequential(self._run_params):
                self._keep_progress()
            self._started[node.name] = time.perf_counter()

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Mark the run as incomplete, and digest what was at this path, before it is replaced."""
        if _is_unchanged(data):
            return
        path = self._paths.get(dataset_name)
        if path and dataset_name not in self._used:
            for name in self._used - self._known.keys():
                if self._paths.get(name) == path:
                    self._known[name] = self._content(name)
        self._used.add(dataset_name)
        if not self._is_begun:
            self._is_begun = True
            self._sequence = next_sequence(self._catalog)
            self._keep_progress()

    def _keep_progress(self) -> None:
        """Keep a manifest of the completed nodes: if the process is killed, it is the last."""
        if MANIFESTS in self._catalog:
            self._keep(self._manifest(is_complete=False))

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
    def after_pipeline_run(self, catalog: DataCatalog) -> None:
        """Write the manifest and log where the results are."""
        if MANIFEST not in catalog or not self._saved:
            return  # a run that saved nothing leaves the manifest of the existing results
        manifest = self._manifest(is_complete=True)
        if MANIFESTS in catalog:
            self._keep(manifest)
        catalog.save(MANIFEST, manifest)
        _log_places(catalog, manifest.outputs)

    # After the other hooks: if this fails (a full disk), they have done their part.
    @hook_impl(trylast=True)
    def on_pipeline_error(self) -> None:
        """Keep a manifest of the completed nodes: later runs may use their outputs."""
        failed = next(reversed(self._started), None)
        self._saved.pop(str(failed), None)
        if MANIFESTS in self._catalog and self._is_begun:
            try:
                self._keep(self._manifest(is_complete=False, failed=failed))
            except (DatasetError, OSError) as error:  # the disk may be what failed
                logger.warning("the manifest of the failed run cannot be written: %s", error)

    def _keep(self, manifest: RunManifest) -> None:
        self._catalog.save(MANIFESTS, {replace_unsafe_characters(manifest.run_id): manifest})

    def _manifest(self, *, is_complete: bool, failed: str | None = None) -> RunManifest:
        nodes = [node for node in self._pipeline.nodes if node.name in self._saved]
        outputs = {name for node in nodes for name in self._saved[node.name]}
        inputs = {name for node in nodes for name in node.inputs} - outputs
        environment = self._environment = self._environment or Environment.current()
        return RunManifest(
            run_id=self._run_params["run_id"],
            sequence=self._sequence,
            finished_at=datetime.now(tz=UTC).replace(microsecond=0),
            is_complete=is_complete,
            pipelines=pipeline_names(self._run_params),
            planned=tuple(node.name for node in self._pipeline.nodes),
            seconds=round(time.perf_counter() - self._start, 3),
            git_revision=environment.git_revision,
            code=environment.code,
            versions=environment.versions,
            parameters=recorded_parameters(self._catalog),
            computed=tuple(list_computed(self._catalog)),
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
        """Return contents by name, each digested once: when its node or the run had ended."""
        for name in names:
            if name not in self._known:
                self._known[name] = self._content(name)
        contents = {name: self._known[name] for name in sorted(names)}
        return {name: content for name, content in contents.items() if content is not None}

    def _content(self, name: str) -> Content | None:
        """Digest a dataset; of a folder that the run adds files to, only these files."""
        content = read_content(self._catalog, name)
        saved = self._partitions.get(name)
        path = fixed_path(self._catalog[name])
        if not saved or isinstance(content, StoredTag | None):
            return content
        if not isinstance(path, Path) or not path.is_dir():
            return content
        folder = path.absolute()
        return tuple(one for one in content if _is_partition(folder, one.path, saved))


def _is_unchanged(data: Any) -> bool:
    """Return whether a layer stays as it is: ChunkedParquetDataset does not write lazy frames."""
    import polars as pl  # not before there is data: every command of Kedro loads the hooks

    return isinstance(data, pl.LazyFrame)


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
