"""The wheel, installed in a folder of its own, without the checkout."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.e2e.runs import (
    PROJECT,
    SMALL_ESTIMATOR,
    SMALL_FORECASTER,
    Run,
    environment,
    join_params,
    serving,
)

PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel; its dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir")
    subprocess.run([*PIP, "wheel", *options, folder, PROJECT], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*PIP, "install", "--no-deps", "--target", folder / "site", wheel], check=True)
    return folder / "site"


def command(installed: Path, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "stock_volume", *map(str, arguments)],
        cwd=folder,
        env=environment(folder / "store") | {"PYTHONPATH": str(installed), "BENTOML_HOME": "store"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_the_commands(installed: Path, tmp_path: Path) -> None:
    """The command needs neither a checkout nor Kedro's."""
    done = command(installed, tmp_path, "--help")
    assert done.returncode == 0, done.stderr
    assert {"run", "lineage"} <= set(done.stdout.split())
    version = command(installed, tmp_path, "--version")
    assert version.stdout.startswith("stock_volume, version ")


def test_data_and_logs_are_in_the_current_folder(installed: Path, tmp_path: Path) -> None:
    """The configuration is the wheel's, and what a run makes is below the current folder."""
    done = command(installed, tmp_path, "run", "--pipelines", "data_processing")
    assert done.returncode == 0, done.stderr
    assert "INFO    stock_volume" in done.stdout
    prices = pl.read_parquet(tmp_path / "data" / "02_intermediate" / "prices.parquet")
    assert prices.height == 12_154
    assert (tmp_path / "logs" / "data_processing.log").exists()
    traced = command(installed, tmp_path, "lineage", "prices")
    assert traced.returncode == 0, traced.stderr
    assert "by data_processing.ingest_bars" in traced.stdout
    wrong = command(installed, tmp_path, "run", "--env", "nowhere")
    assert "There are: base, dask, http, kaggle, local, yahoo" in wrong.stderr


@pytest.mark.slow
def test_a_bento_of_the_wheel_is_served(installed: Path, tmp_path: Path) -> None:
    """A run ends with a Bento of the wheel's own modules and page."""
    params = join_params(SMALL_ESTIMATOR | SMALL_FORECASTER)
    done = command(installed, tmp_path, "run", "--params", params)
    assert done.returncode == 0, done.stderr
    run = Run(tmp_path / "data", tmp_path / "store", done)
    with serving(run, tmp_path, "stock_volume:latest") as client:
        assert client.get("/forecast/AAPL").is_success
        assert "<main" in client.get("/").text
