"""A log file for each stage of a run; the stage of a node is its tag."""

import logging
from pathlib import Path

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.pipeline import Node

from stock_volume.failures import full_traceback
from stock_volume.hooks.names import LOGS_FOLDER

logger = logging.getLogger(__name__)


class StageLogHook:
    """Writes the log of each stage to its own file."""

    def __init__(self) -> None:
        """Start outside any stage."""
        self._folder = Path(LOGS_FOLDER)
        self._stage = ""
        self._handler: logging.Handler | None = None
        self._begun: set[str] = set()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Put the logs in the project's folder."""
        self._folder = Path(context.project_path) / LOGS_FOLDER

    @hook_impl
    def before_pipeline_run(self) -> None:
        """Overwrite the logs of the previous run."""
        self._begun.clear()

    @hook_impl
    def before_dataset_loaded(self, dataset_name: str, node: Node) -> None:  # noqa: ARG002
        """Switch to the log of the node's stage before its first message."""
        stage = min(node.tags, default="")
        if stage and stage != self._stage:
            self._close()
            self._open(stage)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Close the log of the last stage."""
        self._close()

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Write the traceback to the log of the failed stage only: the command reports it, too."""
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
            self._folder / f"{stage}.log",
            mode=mode,
            encoding="utf-8",
            errors="backslashreplace",  # names of files need not be UTF-8
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
