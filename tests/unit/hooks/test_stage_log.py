"""The log of each stage, through runs of small pipelines."""

import logging
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from stock_volume.hooks import StageLogHook
from tests.unit.hook_helpers import fail, run, stages, start


def log_lines(folder: Path) -> dict[str, list[str]]:
    """Return the messages in the log of each stage."""
    return {
        log.name: [
            line.split("stock_volume.test: ")[1]
            for line in log.read_text(encoding="utf-8").splitlines()
            if "stock_volume.test" in line
        ]
        for log in (folder / "logs").iterdir()
    }


def test_each_stage_has_a_log_of_its_own(tmp_path: Path) -> None:
    """Messages of a stage's nodes are in its log, in order, and in no other log."""
    run(tmp_path, stages("one: a", "one: b", "two: c"), start(), StageLogHook())
    assert log_lines(tmp_path) == {"one.log": ["one: a", "one: b"], "two.log": ["two: c"]}


def test_a_line_of_a_log_has_time_level_and_logger(tmp_path: Path) -> None:
    """Each line has time, level, logger and message."""
    run(tmp_path, stages("one: a"), start(), StageLogHook())
    (line,) = [
        line
        for line in (tmp_path / "logs/one.log").read_text(encoding="utf-8").splitlines()
        if "one: a" in line
    ]
    assert line.endswith(" WARNING stock_volume.test: one: a")
    assert datetime.fromisoformat(line.split(",")[0])


def test_a_run_overwrites_its_logs(tmp_path: Path) -> None:
    """A log is overwritten by the next run of its stage, and left alone by other stages."""
    hook = StageLogHook()
    run(tmp_path, stages("one: a", "two: b"), start(), hook)
    run(tmp_path, stages("two: c"), start(), hook)
    assert log_lines(tmp_path) == {"one.log": ["one: a"], "two.log": ["two: c"]}


def test_a_node_without_a_tag_has_no_log(tmp_path: Path) -> None:
    """Without a stage, no log is written."""
    run(tmp_path, stages(": untagged"), start(), StageLogHook())
    assert not (tmp_path / "logs").exists()


def test_the_traceback_is_in_the_log_of_the_stage_that_failed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log of the failed stage has it, other logs do not, and the exception is raised."""
    failing = Pipeline([Node(fail, "after_0", "never", name="fail", tags="two")])
    with pytest.raises(ArithmeticError):
        run(tmp_path, stages("one: a") + failing, start(), StageLogHook())
    log = (tmp_path / "logs/two.log").read_text(encoding="utf-8")
    assert "Traceback (most recent call last):" in log
    assert "ArithmeticError: nothing adds up" in log
    assert "adds up" not in (tmp_path / "logs/one.log").read_text(encoding="utf-8")
    assert not [record for record in caplog.records if record.name.startswith("stock_volume.hooks")]


@pytest.mark.parametrize("fails", [False, True], ids=["done", "failed"])
def test_no_handler_stays_behind(tmp_path: Path, fails: bool) -> None:  # noqa: FBT001
    """After a run, the root logger has the same handlers as before."""
    before = list(logging.getLogger().handlers)
    catalog = DataCatalog({"start": MemoryDataset()}) if fails else start()
    try:
        run(tmp_path, stages("one: a", "two: b"), catalog, StageLogHook())
    except Exception:  # noqa: BLE001
        assert fails
    assert logging.getLogger().handlers == before


def test_a_log_takes_names_that_are_not_utf8(tmp_path: Path) -> None:
    """Bytes of a file's name that are not UTF-8 are escaped."""
    hook = StageLogHook()
    context: Any = SimpleNamespace(project_path=tmp_path)
    hook.after_context_created(context)
    hook.before_dataset_loaded("a", Node(fail, "a", "b", name="fail", tags="one"))
    hook.on_pipeline_error(error=OSError("caf\udce9.csv: no such file"))
    log = (tmp_path / "logs/one.log").read_text(encoding="utf-8")
    assert r"OSError: caf\udce9.csv: no such file" in log
