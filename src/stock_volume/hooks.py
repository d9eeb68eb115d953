"""What happens around a run: a log of each stage, a manifest, and a closing word."""

import logging
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from pydantic_core import to_jsonable_python

from stock_volume.lineage import digest_path, git_revision, package_versions

logger = logging.getLogger(__name__)

LOGS_FOLDER: Final = "logs"
MANIFEST: Final = "run_manifest"
PARAMETERS: Final = "parameters"
SERVICE: Final = "service_bento"
_SHOWN_AT_THE_END: Final = (
    "prices",
    "features",
    "backtest",
    "forecasts",
    "report",
    "model_card",
    "lightgbm_predictor",
    "forecaster",
    "tuned_parameters",
    SERVICE,
)


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
        """Leave the error in the log of the stage that failed."""
        logger.error("%s: %s", type(error).__name__, error)
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
        self._reset()

    def _reset(self, start: float = 0.0) -> None:
        self._start = start
        self._started: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._rows: dict[str, dict[str, int]] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Learn where the project is."""
        self._project_path = Path(context.project_path)

    @hook_impl
    def before_pipeline_run(self) -> None:
        """Start the clock."""
        self._reset(time.perf_counter())

    @hook_impl
    def before_dataset_loaded(self, dataset_name: str, node: Node) -> None:  # noqa: ARG002
        """Note when a node's first input is about to be loaded."""
        self._note_start(node)

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Note when a node without inputs is about to run."""
        self._note_start(node)

    def _note_start(self, node: Node) -> None:
        if node.name not in self._started:
            self._started[node.name] = time.perf_counter()

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Note the time since, and the rows of a frame or of a chunk of one."""
        self._seconds[node.name] = time.perf_counter() - self._started[node.name]
        rows = self._rows.setdefault(node.name, {})
        if hasattr(data, "height"):
            rows[dataset_name] = rows.get(dataset_name, 0) + data.height

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Write the manifest and say where everything is."""
        ran = Pipeline(node for node in pipeline.nodes if node.name in self._seconds)
        if MANIFEST not in catalog or not ran.nodes:
            return  # a run that found nothing missing leaves the manifest of what there is
        seconds = time.perf_counter() - self._start
        manifest = {
            "run_id": run_params["run_id"],
            "finished_at": datetime.now(tz=UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "git_revision": git_revision(self._project_path),
            "versions": package_versions(),
            "parameters": to_jsonable_python(catalog.load(PARAMETERS)),
            "inputs": _contents(catalog, ran.inputs()),
            "nodes": {
                node.name: {
                    "seconds": round(self._seconds[node.name], 3),
                    "rows": self._rows[node.name],
                }
                for node in ran.nodes
            },
            "outputs": _contents(catalog, ran.all_outputs()),
        }
        catalog.save(MANIFEST, manifest)
        _say_where(catalog, manifest["outputs"])


def _contents(catalog: DataCatalog, names: Iterable[str]) -> dict[str, Any]:
    """Digest the files of datasets, and tell the tags of those in a store."""
    contents: dict[str, Any] = {}
    for name in sorted(names):
        dataset: Any = catalog[name]
        if hasattr(type(dataset), "tag"):  # the property itself asks the store
            contents[name] = {"tag": dataset.tag}
        elif hasattr(dataset, "path"):
            contents[name] = [digest._asdict() for digest in digest_path(dataset.path)]
    return contents


def _say_where(catalog: DataCatalog, outputs: Mapping[str, Any]) -> None:
    for name in (*_SHOWN_AT_THE_END, MANIFEST):
        if name == MANIFEST or name in outputs:
            dataset: Any = catalog[name]
            place = outputs[name]["tag"] if name == SERVICE else dataset.path
            logger.info("%-18s %s", name, place)
    if SERVICE in outputs:
        logger.info("to serve it: bentoml serve %s", outputs[SERVICE]["tag"])
