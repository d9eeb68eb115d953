"""The verdict of the monitoring, as the last word of a run and as its exit code."""

import logging
from typing import Final

import click
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline

from stock_volume.monitoring.parameters import Verdict
from stock_volume.monitoring.report import MonitoringReport

logger = logging.getLogger(__name__)

MONITORING: Final = "monitoring"
FORECAST_LOGS: Final = {"forecast_log", "held_forecast_log"}

_LEVELS: Final = {
    Verdict.OK: logging.INFO,
    Verdict.WATCH: logging.WARNING,
    Verdict.RETRAIN: logging.WARNING,
}


class VerdictHook:
    """Says what the monitoring found, and exits by it."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Let a run without any logged forecast go on, with an empty log.

        A dataset of partitions refuses to load where there is none; the verdict says so
        in plain words.
        """
        for name in FORECAST_LOGS & pipeline.inputs():
            if not catalog.exists(name):
                logger.warning("%s: no forecast has been logged yet", name)
                catalog[name] = MemoryDataset({})

    # Last of all hooks: the others have ended their logs and written the manifest by then.
    @hook_impl(trylast=True)
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Log the verdict; exit by its code, where the process is there for this run alone.

        Raises:
            SystemExit: ``kedro run`` runs it, and the parameter ``monitor.exit_codes`` has a
                code other than 0 for the verdict.
        """
        if MONITORING not in pipeline.all_outputs():
            return
        report: MonitoringReport = catalog.load(MONITORING)
        verdict = report.verdict
        for reason in report.reasons:
            logger.log(_LEVELS[verdict], "monitoring, %s: %s", verdict.value, reason)
        code: int = getattr(report.parameters.exit_codes, verdict.value)
        if code and _is_by_kedro_run():
            raise SystemExit(code)


def _is_by_kedro_run() -> bool:
    """Tell a run by the command from one by Kedro's server, a notebook or another program."""
    context = click.get_current_context(silent=True)
    return context is not None and context.command.name == "run"
