"""Outputs that belong to other inputs, parameters or code, and runs that did not finish."""

import logging
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, Final

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from stock_volume.errors import StockVolumeError
from stock_volume.files import replace_unsafe_characters
from stock_volume.hooks.catalog import (
    list_computed,
    load_manifests,
    next_sequence,
    read_content,
    recorded_parameters,
)
from stock_volume.hooks.names import MANIFESTS, RunParams, pipeline_names
from stock_volume.lineage.digests import Environment
from stock_volume.lineage.freshness import Present, Step, find_stale, find_unfinished
from stock_volume.lineage.history import History
from stock_volume.lineage.manifest import Content, RunManifest, clear_parameters

logger = logging.getLogger(__name__)

_BUILDS_ON_LAYERS: Final = frozenset({"monitor", "update"})
"""Pipelines that use the layers of earlier runs as they are."""


class UnfinishedRunError(StockVolumeError):
    """An earlier run did not finish, so the layers do not belong together."""


class FreshnessHook:
    """Runs nodes again whose outputs are out of date, and refuses to build on a half-done run."""

    def __init__(self) -> None:
        """Start without a verified manifest."""
        self._verified: RunManifest | None = None

    @hook_impl
    def before_pipeline_run(
        self, run_params: RunParams, pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Compare outputs with the manifests, or look for a run that did not finish.

        Raises:
            UnfinishedRunError: An update or the monitoring would use layers of which an
                unfinished run has renewed only some.
            UnknownOriginError: With ``--only-missing-outputs``, an output has content that no
                recorded run made.
        """
        self._verified = None
        if MANIFESTS not in catalog:
            return
        history = History(load_manifests(catalog))
        unfinished = find_unfinished(history.runs, pipeline_names(run_params))
        if not run_params.get("only_missing_outputs"):
            _check_finished(unfinished, run_params, pipeline)
        elif not self._hide_stale(pipeline, catalog, history) and unfinished:
            self._verified = _record_check(run_params, pipeline, next_sequence(catalog))

    @hook_impl
    def after_pipeline_run(self, catalog: DataCatalog) -> None:
        """Record that all outputs are current, so that an unfinished run no longer matters."""
        if self._verified is not None:
            catalog.save(
                MANIFESTS, {replace_unsafe_characters(self._verified.run_id): self._verified}
            )

    def _hide_stale(self, pipeline: Pipeline, catalog: DataCatalog, history: History) -> bool:
        """Let Kedro find that stale outputs are missing; their files stay until replaced."""
        environment = Environment.current()
        present = Present(
            contents=cache(partial(_read_existing, catalog)),
            parameters=clear_parameters(recorded_parameters(catalog), list_computed(catalog)),
            code=environment.code,
            versions=environment.versions,
        )
        steps = [_step(node, catalog) for node in pipeline.nodes]
        stale = find_stale(steps, present, history)
        for step in steps:
            if step.name in stale:
                logger.info("%s runs: %s", step.name, stale[step.name])
                for output in step.outputs:
                    dataset: Any = catalog[output]
                    dataset.exists = _is_hidden
        return bool(stale)


def _is_hidden() -> bool:
    return False


def _step(node: Node, catalog: DataCatalog) -> Step:
    outputs = [name for name in node.outputs if not isinstance(catalog.get(name), MemoryDataset)]
    return Step(node.name, tuple(node.inputs), tuple(outputs))


def _read_existing(catalog: DataCatalog, name: str) -> Content | None:
    return read_content(catalog, name) if catalog.exists(name) else None


def _check_finished(
    unfinished: RunManifest | None, run_params: RunParams, pipeline: Pipeline
) -> None:
    if unfinished is None or unfinished.remaining() <= {node.name for node in pipeline.nodes}:
        return
    message = (
        f"the run {unfinished.run_id} did not finish, so layers of before and after it do not "
        "belong together; run `kedro run --only-missing-outputs` with its parameters to complete "
        f"it, or `kedro run` (it lacks {', '.join(sorted(unfinished.remaining()))})"
    )
    if _BUILDS_ON_LAYERS.intersection(pipeline_names(run_params)):
        raise UnfinishedRunError(message)
    logger.warning(message)


def _record_check(run_params: RunParams, pipeline: Pipeline, sequence: int) -> RunManifest:
    """Make a manifest of a run that found all its outputs current and ran no node."""
    return RunManifest(
        run_id=run_params["run_id"],
        sequence=sequence,
        finished_at=datetime.now(tz=UTC).replace(microsecond=0),
        pipelines=pipeline_names(run_params),
        planned=tuple(node.name for node in pipeline.nodes),
        inputs={},
        nodes={},
        outputs={},
    )
