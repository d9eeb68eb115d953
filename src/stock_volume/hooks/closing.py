"""The end of a run: what is forecast, how well, and where the results are."""

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog

from stock_volume.console import is_watched, print_line, print_wrapped
from stock_volume.hooks.names import LOGS_FOLDER, SERVICE

logger = logging.getLogger(__name__)

_FORECASTS: Final = "forecasts"
_METRICS: Final = "forecaster_metrics"
_FINDINGS: Final = "findings"
_REPORTS: Final = ("report_html", "update_report", "monitoring")
_INDENT: Final = "  "
_LABEL: Final = 9
"""Width of the labels before places."""


class ClosingHook:
    """Says at the end of a run what it has made."""

    def __init__(self) -> None:
        """Start before any run."""
        self._start = 0.0
        self._saved: set[str] = set()

    @hook_impl
    def before_pipeline_run(self) -> None:
        """Start the clock."""
        self._start = time.perf_counter()
        self._saved.clear()

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        """Remember what the run has made."""
        self._saved.add(dataset_name)

    @hook_impl
    def after_pipeline_run(self, catalog: DataCatalog) -> None:
        """Print the results, or log those that the manifest's hook does not name."""
        results = [*_describe_forecasts(self._saved, catalog), *_judge(self._saved, catalog)]
        if not is_watched():
            for line in results:
                logger.info(line)
            return
        print_line("")
        for line in results:
            print_wrapped(line, indent=_INDENT)
        for line in _list_places(self._saved, catalog):
            print_line(line)
        seconds = time.perf_counter() - self._start
        print_line(f"{'done in':<{_LABEL}}{seconds:,.0f} s; log in {LOGS_FOLDER}/")


def _describe_forecasts(saved: set[str], catalog: DataCatalog) -> Iterator[str]:
    if _FORECASTS in saved:
        from stock_volume.reporting.closing import describe_forecasts

        findings: Any = catalog.load(_FINDINGS) if _FINDINGS in saved else None
        yield from describe_forecasts(catalog.load(_FORECASTS).collect(), findings)


def _judge(saved: set[str], catalog: DataCatalog) -> Iterator[str]:
    if _METRICS in saved:
        from stock_volume.reporting.verdict import in_sentences, judge

        yield " ".join(in_sentences(judge(catalog.load(_METRICS))))


def _list_places(saved: set[str], catalog: DataCatalog) -> Iterator[str]:
    for name in _REPORTS:
        if name in saved:
            dataset: Any = catalog[name]
            yield f"{'report':<{_LABEL}}{_shorten(dataset.path)}"
    if SERVICE in saved:
        service: Any = catalog[SERVICE]
        yield f"{'serve':<{_LABEL}}bentoml serve {service.tag}"


def _shorten(path: Path) -> str:
    """Write a path relative to the current folder, if it is below it."""
    return os.path.relpath(path) if path.absolute().is_relative_to(Path.cwd()) else str(path)
