"""The verdict as last message and exit code, through runs of a small pipeline."""

import logging
from contextlib import nullcontext
from typing import Any, Final

import click
import polars as pl
import pytest
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner, ThreadRunner
from kedro_datasets.partitions import PartitionedDataset

from stock_volume.hooks import VerdictHook
from stock_volume.hooks.names import MONITORING
from stock_volume.monitoring.parameters import ExitCodes, MonitorParameters, Verdict
from stock_volume.monitoring.report import MonitoringReport

FORECAST_LOG = "forecast_log"

CODES: Final = {"ok": 0, "watch": 3, "retrain": 4}


def _pipeline(verdict: str, codes: dict[str, int]) -> Pipeline:
    def monitor(log: dict[str, Any]) -> MonitoringReport:
        fields: dict[str, Any] = {  # those that the hook reads
            "verdict": Verdict(verdict),
            "reasons": (f"{len(log)} logged", "second"),
            "parameters": MonitorParameters(exit_codes=ExitCodes(**codes)),
        }
        return MonitoringReport.model_construct(**fields)

    return Pipeline([Node(monitor, FORECAST_LOG, MONITORING, name="monitor")])


def _run(pipeline: Pipeline, catalog: DataCatalog, runner: Any = None) -> None:
    manager = _create_hook_manager()
    manager.register(VerdictHook())
    around: dict[str, Any] = {"run_params": {}, "pipeline": pipeline, "catalog": catalog}
    manager.hook.before_pipeline_run(**around)
    result = (runner or SequentialRunner()).run(pipeline, catalog, manager)
    manager.hook.after_pipeline_run(run_result=result, **around)


def _catalog(log: Any = None) -> DataCatalog:
    return DataCatalog(
        {
            FORECAST_LOG: MemoryDataset({"2021-01-04": 1} if log is None else log),
            MONITORING: MemoryDataset(),
        }
    )


@pytest.mark.parametrize("runner", [SequentialRunner(), ThreadRunner()])
@pytest.mark.parametrize("verdict", ["watch", "retrain"])
def test_a_code_ends_the_process(verdict: str, runner: Any) -> None:
    """``kedro run`` exits with the code that the parameters assign to the verdict."""
    with click.Context(click.Command("run")), pytest.raises(SystemExit) as exit_:
        _run(_pipeline(verdict, CODES), _catalog(), runner)
    assert exit_.value.code == CODES[verdict]


@pytest.mark.parametrize("command", [None, "start"], ids=["a program", "kedro server start"])
def test_only_kedro_run_is_ended(command: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """A server or a notebook continues after a run, and the verdict is logged all the same."""
    context = click.Context(click.Command(command)) if command else nullcontext()
    with context, caplog.at_level(logging.INFO, "stock_volume.hooks.verdict"):
        _run(_pipeline("retrain", CODES), _catalog())
    assert "monitoring, retrain: second" in caplog.text


@pytest.mark.parametrize("verdict", ["ok", "watch", "retrain"])
def test_a_code_of_0_lets_the_run_end(verdict: str) -> None:
    """By default no verdict ends the process."""
    with click.Context(click.Command("run")):
        _run(_pipeline(verdict, {}), _catalog())


@pytest.mark.parametrize(
    ("verdict", "level"), [("ok", "INFO"), ("watch", "WARNING"), ("retrain", "WARNING")]
)
def test_the_verdict_is_logged_with_its_reasons(
    verdict: str, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each reason is one message with the verdict, a warning unless the verdict is ok."""
    with caplog.at_level(logging.INFO, "stock_volume.hooks.verdict"):
        _run(_pipeline(verdict, {}), _catalog())
    lines = [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name == "stock_volume.hooks.verdict"
    ]
    assert lines == [
        (level, f"monitoring, {verdict}: 1 logged"),
        (level, f"monitoring, {verdict}: second"),
    ]


def test_a_run_without_monitoring_is_left_alone() -> None:
    """An old report in the catalog does not end a run that did not monitor."""
    pipeline = Pipeline([Node(lambda log: log, FORECAST_LOG, "other", name="other")])
    catalog = DataCatalog(
        {
            FORECAST_LOG: MemoryDataset({"2021-01-04": 1}),
            "other": MemoryDataset(),
            MONITORING: MemoryDataset({"verdict": "retrain"}),
        }
    )
    _run(pipeline, catalog)


@pytest.mark.parametrize("made", [False, True], ids=["no folder", "empty folder"])
def test_a_missing_log_is_empty(
    made: bool,  # noqa: FBT001
    tmp_path: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A partitioned dataset without partitions refuses to load; the run warns and continues."""
    folder = tmp_path / "log"
    if made:
        folder.mkdir()
    catalog = _catalog()
    catalog[FORECAST_LOG] = PartitionedDataset(
        path=str(folder),
        dataset={"type": "polars.EagerPolarsDataset", "file_format": "parquet"},
        filename_suffix=".parquet",
    )
    _run(_pipeline("watch", {}), catalog)
    assert "no forecast has been logged yet" in caplog.text
    assert catalog.load(MONITORING).reasons[0] == "0 logged"


def test_an_existing_log_is_left_alone(tmp_path: Any) -> None:
    """The partitions reach the node unchanged."""
    pl.DataFrame({"Symbol": ["A"]}).write_parquet(tmp_path / "2021-01-04.parquet")
    catalog = _catalog()
    catalog[FORECAST_LOG] = PartitionedDataset(
        path=str(tmp_path),
        dataset={"type": "polars.EagerPolarsDataset", "file_format": "parquet"},
        filename_suffix=".parquet",
    )
    _run(_pipeline("ok", {}), catalog)
    assert catalog.load(MONITORING).reasons[0] == "1 logged"


def test_a_log_that_the_run_writes_is_not_replaced() -> None:
    """If an update runs first in the same run, its log is used."""
    pipeline = Pipeline(
        [Node(lambda start: {"a": start, "b": start}, "start", FORECAST_LOG, name="update")]
    ) + _pipeline("ok", {})
    catalog = DataCatalog(
        {"start": MemoryDataset(1), FORECAST_LOG: MemoryDataset(), MONITORING: MemoryDataset()}
    )
    _run(pipeline, catalog)
    assert catalog.load(MONITORING).reasons[0] == "2 logged"
