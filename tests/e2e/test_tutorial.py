"""The tutorial's steps on the sample, and what it says that they print."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from tests.e2e.runs import PROJECT, Run, kedro_run
from tests.unit.document_commands import find_blocks, find_commands

TUTORIAL = "docs/tutorial.md"
EXPLORING = "docs/exploring.md"


def printed(code: str) -> str:
    """Run Python code, and return what it prints."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, TUTORIAL, "exec"), {})  # noqa: S102 (a document of ours)
    return output.getvalue()


def without_digits(text: str) -> str:
    return re.sub(r"\d", "9", text)


def test_layers_are_read_as_shown(sample_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code runs on the layers of a run; only digits differ from the document."""
    monkeypatch.chdir(sample_run.data_root.parent)
    assert sample_run.data_root.name == "data"
    first, _ = find_blocks(TUTORIAL, "python")
    shown = find_blocks(TUTORIAL, "")[1]
    assert without_digits(printed(first)) == without_digits(shown)
    (other,) = find_blocks(EXPLORING, "python")
    assert "AAPL" in printed(other)


def test_own_bars_are_judged_as_shown(
    sample_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file in the document has the defects that the document shows."""
    monkeypatch.chdir(tmp_path)
    stocks = tmp_path / "my_bars/stocks"
    stocks.mkdir(parents=True)
    (bars,) = find_blocks(TUTORIAL, "csv")
    (stocks / "ACME.csv").write_text(bars, encoding="utf-8")
    (command,) = [one for one in find_commands(TUTORIAL) if "data_processing" in one.words]
    assert shlex.join(command.words[:2]) == "kedro run"
    pipeline = command.words[2:4]
    run = kedro_run(
        tmp_path / "my_data", sample_run.store, *pipeline, params={"source": tmp_path / "my_bars"}
    )
    assert run.process.returncode == 0, run.output
    imports, second = "import polars as pl\n", find_blocks(TUTORIAL, "python")[1]
    assert printed(imports + second) == find_blocks(TUTORIAL, "")[3]


def test_the_named_files_exist(sample_run: Run) -> None:
    """The documents name files that a run makes, below data."""
    text = "".join((PROJECT / name).read_text(encoding="utf-8") for name in (TUTORIAL, EXPLORING))
    named = set(re.findall(r"data/(0\d_\w+/[\w.]+)", text))
    assert "08_reporting/report.html" in named
    assert [name for name in sorted(named) if not sample_run.path(name).exists()] == []
