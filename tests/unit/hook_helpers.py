"""Runs of small pipelines with one hook."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

logger = logging.getLogger("stock_volume.test")


def run(folder: Path, pipeline: Pipeline, catalog: DataCatalog, hook: object) -> None:
    """Run a pipeline as a session does, with one hook."""
    manager = _create_hook_manager()
    manager.register(hook)
    context = SimpleNamespace(project_path=folder)
    around: dict[str, Any] = {
        "run_params": {"run_id": "2020-01-02T00.00.00", "runner": str(SequentialRunner())},
        "pipeline": pipeline,
        "catalog": catalog,
    }
    manager.hook.after_context_created(context=context)
    manager.hook.before_pipeline_run(**around)
    try:
        result = SequentialRunner().run(pipeline, catalog, manager)
    except Exception as error:
        manager.hook.on_pipeline_error(error=error, **around)
        raise
    manager.hook.after_pipeline_run(run_result=result, **around)


def words(text: str) -> Callable[[object], str]:
    """Make a function that logs a text and returns it."""

    def say(_: object) -> str:
        logger.warning(text)
        return text

    return say


def stages(*texts: str) -> Pipeline:
    """Make a pipeline of nodes in a row, each logging a text ``stage: word``."""
    names = ["start", *(f"after_{number}" for number in range(len(texts)))]
    return Pipeline(
        [
            Node(
                words(text),
                source,
                target,
                name=f"node_{target}",
                tags=text.partition(":")[0] or None,
            )
            for text, source, target in zip(texts, names, names[1:], strict=False)
        ]
    )


def start() -> DataCatalog:
    return DataCatalog({"start": MemoryDataset("go")})


def fail(_: object) -> str:
    raise ArithmeticError("nothing adds up")
