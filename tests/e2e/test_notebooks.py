"""The notebooks run from a clean kernel on the run of the sample."""

import resource
from pathlib import Path

import pytest
from nbclient import NotebookClient
from nbformat import read
from nbformat.v4 import new_code_cell

from tests.e2e.runs import PROJECT, Run, environment

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
LOAD = "%load_ext kedro.ipython"
SECONDS = 60
"""Of computing; a busy machine may take several times as long."""


def seconds_of_kernels() -> float:
    """Return the seconds that ended processes, and those they started, have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_there_are_notebooks() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path: Path) -> None:
    """Outputs would go stale, and bloat each diff."""
    for cell in read(path, as_version=4).cells:  # type: ignore[no-untyped-call]
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_in_a_minute(
    sample_run: Run, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each cell runs, its assertions hold, and it shows figures or tables."""
    for name, value in environment(sample_run.store).items():
        monkeypatch.setenv(name, value)
    notebook = read(path, as_version=4)  # type: ignore[no-untyped-call]
    places = [place for place, cell in enumerate(notebook.cells) if cell.source == LOAD]
    assert len(places) == 1
    # The layers of this run in place of those in the project's folder.
    line = f"%reload_kedro --params data_root={sample_run.data_root}"
    reload = new_code_cell(line)  # type: ignore[no-untyped-call]
    notebook.cells.insert(places[0] + 1, reload)
    before = seconds_of_kernels()
    NotebookClient(
        notebook, timeout=5 * SECONDS, resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    assert 1 < seconds_of_kernels() - before < SECONDS
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any(output.output_type == "execute_result" for output in shown)
