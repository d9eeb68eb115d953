"""The verdict of the monitoring: the last message of a run, and its exit code."""

import logging
from typing import Final

import click
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline

from stock_volume.hooks.names import FORECAST_LOGS, MONITORING
from stock_volume.monitoring.parameters import Verdict
from stock_volume.monitoring.report import MonitoringReport

logger = logging.getLogger(__name__)

_LEVELS: Final = {
    Verdict.OK: logging.INFO,
    Verdict.WATCH: logging.WARNING,
    Verdict.RETRAIN: logging.WARNING,
}


class VerdictHook:
    """Logs the verdict of the monitoring, and ends ``kedro run`` with its exit code."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Use an empty log if no forecast has been logged yet.

        A partitioned dataset without partitions refuses to load, and the verdict explains
        the lack of forecasts in plain words.
        """
        for name in FORECAST_LOGS & pipeline.inputs():
            if not catalog.exists(name):
                logger.warning("%s: no forecast has been logged yet", name)
                catalog[name] = MemoryDataset({})

    # Last of all hooks: the others have closed their logs and written the manifest by then.
    @hook_impl(trylast=True)
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Log the verdict, and exit with its code if ``kedro run`` started the run.

        Raises:
            SystemExit: ``kedro run`` started the run, and the parameter ``monitor.exit_codes``
                has a code other than 0 for the verdict.
        """
        if MONITORING not in pipeline.all_outputs():
            return
        report: MonitoringReport = catalog.load(MONITORING)
        verdict = report.verdict
        for reason in report.reasons:
            logger.log(_LEVELS[verdict], "monitoring, %s: %s", verdict.value, reason)
        code: int = getattr(report.parameters.exit_codes, verdict.value)
        if code and _is_started_by_kedro_run():
            raise SystemExit(code)


def _is_started_by_kedro_run() -> bool:
    """Return whether the process exists for this run; a server or a notebook goes on."""
    context = click.get_current_context(silent=True)
    return context is not None and context.command.name == "run"
