"""The end of a run."""

import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import rich
from kedro.io import DataCatalog, MemoryDataset
from rich.console import Console

from stock_volume.console import WatchedHandler
from stock_volume.datasets import AtomicDataset
from stock_volume.hooks import ClosingHook
from tests.unit.reporting.reported import findings_of, layers, metrics_of

FORECASTS = layers().forecasts
METRICS = metrics_of()


class Tagged(MemoryDataset):
    tag = "stock_volume:abc"


def catalog(folder: Path) -> DataCatalog:
    text = {"type": "text.TextDataset"}
    return DataCatalog(
        {
            "forecasts": MemoryDataset(FORECASTS, copy_mode="assign"),
            "forecaster_metrics": MemoryDataset(METRICS, copy_mode="assign"),
            "findings": MemoryDataset(findings_of(), copy_mode="assign"),
            "report_html": AtomicDataset(str(folder / "report.html"), text),
            "service_bento": Tagged("tag"),
        }
    )


def close(folder: Path, *saved: str) -> None:
    hook = ClosingHook()
    hook.before_pipeline_run()
    for name in saved:
        hook.after_dataset_saved(name)
    hook.after_pipeline_run(catalog(folder))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    output = io.StringIO()
    monkeypatch.setattr(rich, "get_console", lambda: Console(file=output, width=140))
    handler = WatchedHandler()
    logging.getLogger().addHandler(handler)
    yield output
    logging.getLogger().removeHandler(handler)


def test_a_run_ends_with_its_results(
    terminal: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many symbols, three of them, the verdict, the report and the command that serves."""
    monkeypatch.chdir(tmp_path)
    close(tmp_path, "forecasts", "forecaster_metrics", "findings", "report_html", "service_bento")
    text = terminal.getvalue()
    first, *examples = text.strip().splitlines()[:4]
    assert first == "12 symbols are forecast for Tuesday 24 April 2018:"
    assert [line.split()[0] for line in examples] == ["S11", "S10", "S09"]
    assert all("in 8 of 10 cases" in line for line in examples)
    assert "+1,100 % on its 30-day mean" in examples[0]
    assert "The typical miss is" in text
    assert "report   report.html\n" in text
    assert "serve    bentoml serve stock_volume:abc\n" in text
    assert re.search(r"^done in  \d+ s; log in logs/$", text, re.MULTILINE)
    assert all(len(line) <= 100 for line in text.splitlines())


def test_only_what_was_made_is_described(terminal: io.StringIO, tmp_path: Path) -> None:
    """An update has no new errors; its examples are the largest forecasts."""
    close(tmp_path, "forecasts")
    text = terminal.getvalue()
    largest = FORECASTS.collect().sort("forecast", descending=True)["Symbol"].head(3).to_list()
    assert [line.split()[0] for line in text.strip().splitlines()[1:4]] == largest
    assert "typical miss" not in text
    assert "report" not in text
    assert "30-day mean" not in text


def test_a_log_has_the_results_but_places_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a terminal the results are lines of the log; the manifest's hook logs the places."""
    with caplog.at_level(logging.INFO, "stock_volume"):
        close(tmp_path, "forecasts", "forecaster_metrics", "findings", "service_bento")
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "12 symbols are forecast for Tuesday 24 April 2018:"
    assert "The typical miss is" in lines[-1]
    assert not any("bentoml serve" in line for line in lines)
