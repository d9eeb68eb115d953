"""What ``kedro run`` and its siblings do with parameters and errors, each in its own process."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import polars as pl
import pytest

from stock_volume.run_lock import RunLock
from tests.e2e.runs import BIN, PROJECT, Run, environment

LOGS = PROJECT / "logs"


def command(
    store: Path, *arguments: str | Path, cwd: Path = PROJECT, home: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments,
        cwd=cwd,
        env=environment(store) | ({"HOME": str(home)} if home else {}),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_run_from_a_subfolder_with_paths_as_typed(tmp_path: Path, sample_run: Run) -> None:
    """``~`` is home, blanks, # and braces stay, and the command lineage takes the same."""
    done = command(
        tmp_path,
        *(BIN / "kedro", "run", "--pipelines", "data_processing"),
        *("--params", "data_root=~/Run #2 {b},source=sample,ingestion.chunk_mib=2.5"),
        cwd=PROJECT / "docs" / "sources",
        home=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    layer = "02_intermediate/prices.parquet"
    made = tmp_path / "Run #2 {b}"
    assert pl.read_parquet(made / layer, glob=False).equals(pl.read_parquet(sample_run.path(layer)))
    lineage = command(
        tmp_path,
        *(BIN / "kedro", "lineage", "prices", "--data-root", "~/Run #2 {b}"),
        cwd=PROJECT / "docs" / "sources",
        home=tmp_path,
    )
    assert lineage.returncode == 0, lineage.stderr
    assert "chunk_mib=2.5" in lineage.stdout


def test_texts_are_utf8_in_any_locale(tmp_path: Path, sample_run: Run) -> None:
    """Reports have superscripts and dashes, which the encoding of a locale may lack."""
    data = shutil.copytree(sample_run.data_root, tmp_path / "data")
    ascii_only = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [BIN / "kedro", "run", "--namespaces", "reporting", "--params", f"data_root={data}"],
        cwd=PROJECT,
        env=environment(sample_run.store) | ascii_only,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("report.md", "report.html", "model_card.md"):
        text = (data / "08_reporting" / name).read_text(encoding="utf-8")
        assert not text.isascii()


@pytest.mark.parametrize("start", [[BIN / "kedro", "run"], [BIN / "stock_volume", "run"]])
def test_a_known_error_is_one_paragraph(tmp_path: Path, start: list[str | Path]) -> None:
    """It names file and node, its traceback is in the log, and the exit code is 1."""
    root = tmp_path / "data"
    done = command(
        tmp_path, *start, "--params", f"data_root={root}", "--params", "source=no such/bars #1.zip"
    )
    log = LOGS / "error.log"
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: {PROJECT}/no such/bars #1.zip: no such file or folder "
        f"(in the node data_processing.ingest_bars). Traceback: {log}; --verbose shows it.\n"
    )
    assert "Traceback" not in done.stdout
    assert "ERROR" not in done.stdout
    for name in (log, LOGS / "data_processing.log"):
        assert "Traceback (most recent call last)" in name.read_text(encoding="utf-8")


def test_an_unknown_parameter_runs_nothing(tmp_path: Path) -> None:
    """A mistyped source does not become the sample."""
    done = command(tmp_path, BIN / "kedro", "run", "--params", f"data_root={tmp_path}/a,sourse=X")
    assert done.returncode == 1
    assert "no parameter sourse; did you mean source?" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Running node" not in done.stdout
    assert not (tmp_path / "a").exists()


def test_interrupting_a_run_is_quiet(tmp_path: Path) -> None:
    """Ctrl-C leaves no traceback."""
    with subprocess.Popen(
        [BIN / "kedro", "run", "--params", f"data_root={tmp_path}/a"],
        cwd=PROJECT,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Running node" in line:
                break
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "")


def test_make_passes_paths_as_typed() -> None:
    """Blanks, # and commas reach the command; a data root alone is enough."""
    makefile = "include Makefile\nprinted:\n\t@printf '<%s>' run $(PARAMS)\n"
    for given, expected in (
        (["DATA_ROOT=/x/Run #2, b"], "<run><--params><data_root=/x/Run #2, b>"),
        (["SOURCE=it's a.zip"], "<run><--params><source=it's a.zip>"),
        (["SOURCE=a", "DATA_ROOT=b"], "<run><--params><source=a><--params><data_root=b>"),
        ([], "<run>"),
    ):
        done = subprocess.run(
            ["make", "--silent", "-f", "-", "printed", *given],  # noqa: S607
            cwd=PROJECT,
            input=makefile,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == expected


def test_second_run_on_a_data_root_ends_at_once(tmp_path: Path) -> None:
    """The message names the first run; update and monitor are refused like a full run."""
    root = tmp_path / "data"
    lock = RunLock.acquire(root, "first")
    for pipelines in ("data_processing", "update,monitor"):
        done = command(
            tmp_path,
            *(BIN / "kedro", "run", "--pipelines", pipelines, "--params", f"data_root={root}"),
        )
        assert done.returncode == 1
        assert f"{root}: another run is using this data root (process {os.getpid()} on " in (
            done.stderr
        )
        assert "fault of stock_volume" not in done.stderr
    lock.release()
    assert [path.name for path in root.iterdir()] == [".lock"]
