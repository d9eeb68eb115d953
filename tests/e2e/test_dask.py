"""Runs on a Dask scheduler and two workers, each a process of its own."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import joblib
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.e2e.runs import PROJECT, Run, free_port, kedro_run
from tests.unit.s3 import s3_server

pytest.importorskip("distributed", reason="the extra dask is not installed")

STAGES = "--pipelines", "data_processing,feature_engineering"
BY_SYMBOL = ["02_intermediate/prices", "04_feature/features", "04_feature/forecast_features"]
COMPUTED = [
    *BY_SYMBOL,
    "02_intermediate/quarantine",
    "02_intermediate/files",
    "03_primary/sessions",
]
PREDICTED = ["07_model_output/backtest", "07_model_output/forecasts"]
MAPPED = {"sum_bars", "add_features", "features_in_window"}
KILLED_IN = {"ingest", *MAPPED, *(f"write {Path(layer).name}" for layer in BY_SYMBOL)}
HERE = Path(__file__).parent
FAST_START = {"DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD": "forkserver"}
A_PART_A_SYMBOL = {"ingestion.chunk_mib": 0.001}


@contextmanager
def process(*command: object, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-m", *map(str, command)],
        cwd=PROJECT,
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        try:
            yield running
        finally:
            running.terminate()


@contextmanager
def cluster(killed: Path, **variables: str) -> Iterator[str]:
    """A scheduler and two workers, which are killed once in each stage, on loopback."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    killed.mkdir()
    given = {"KILLED": str(killed), **FAST_START, **variables}
    scheduler = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port]
    worker = ["distributed.cli.dask_worker", "--nworkers", 2, "--nthreads", 1]
    preload = "--preload", HERE / "killer.py", "--preload-nanny", HERE / "quick_start.py"
    options = "--memory-limit", 0, "--no-dashboard"
    with ExitStack() as stack:
        stack.enter_context(process(*scheduler, "--dashboard-address", "127.0.0.1:0", **given))
        stack.enter_context(process(*worker, *preload, *options, address, **given))
        yield address


def run_on(
    address: str, *arguments: str, folder: Path, variables: Mapping[str, str], **params: object
) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"DASK_SCHEDULER_ADDRESS": address, **variables}.items():
            patch.setenv(name, value)
        run = kedro_run(
            folder / "data",
            folder / "store",
            *("--env", "dask", *arguments),
            params={**A_PART_A_SYMBOL, **params},
        )
    assert run.process.returncode == 0, run.output
    return run


class Layers(NamedTuple):
    """The folders of the layers of a run, at any address."""

    root: str
    fs_args: dict[str, Any]
    storage_options: dict[str, str]

    def parts(self, layer: str) -> list[dict[str, Any]]:
        file_system, path = fsspec.url_to_fs(f"{self.root}/{layer}/contents.json", **self.fs_args)
        file_system.invalidate_cache()
        parts: list[dict[str, Any]] = json.loads(file_system.cat_file(path))["parts"]
        return parts

    def files(self, layer: str) -> set[str]:
        file_system, path = fsspec.url_to_fs(f"{self.root}/{layer}", **self.fs_args)
        file_system.invalidate_cache()
        return {name.rpartition("/")[2] for name in file_system.ls(path, detail=False)}

    def frame(self, layer: str) -> pl.DataFrame:
        files = [f"{self.root}/{layer}/{part['file']}" for part in self.parts(layer)]
        return pl.read_parquet(files, storage_options=self.storage_options or None)


class OnDask(NamedTuple):
    """A run on Dask: its layers, its scheduler, and the stages that lost a worker."""

    run: Run
    layers: Layers
    address: str
    killed: Path

    def stages_killed(self) -> set[str]:
        return {path.name for path in self.killed.iterdir()}


@pytest.fixture(scope="module")
def s3() -> Iterator[tuple[Layers, dict[str, str]]]:
    """A folder on an S3 server on this machine, and the variables that name the server."""
    with s3_server("layers") as server:
        yield Layers("s3://layers/run", server.fsspec, server.polars), server.variables


@pytest.fixture(scope="module")
def on_s3(
    s3: tuple[Layers, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OnDask]:
    """Ingestion and features with all layers on S3."""
    layers, variables = s3
    folder = tmp_path_factory.mktemp("dask")
    with cluster(folder / "killed", **variables) as address:
        run = run_on(address, *STAGES, folder=folder, variables=variables, layers=layers.root)
        yield OnDask(run, layers, address, folder / "killed")


@pytest.mark.parametrize("layer", COMPUTED)
def test_layers_equal_one_machine(layer: str, sample_run: Run, on_s3: OnDask) -> None:
    """Each layer equals that of a run without Dask to the last bit, although workers died."""
    expected = pl.read_parquet(sample_run.path(f"{layer}.parquet"))
    assert_frame_equal(on_s3.layers.frame(layer), expected, check_exact=True)


def test_a_worker_is_killed_in_each_stage(on_s3: OnDask) -> None:
    """Every stage lost a worker while it ran a task, and every part was written once."""
    assert on_s3.stages_killed() >= KILLED_IN
    for layer in BY_SYMBOL:
        parts = on_s3.layers.parts(layer)
        assert [part["symbols"][0] for part in parts] == ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
        assert on_s3.layers.files(layer) == {"contents.json", *(part["file"] for part in parts)}


def test_manifests_digest_the_parts_on_s3(on_s3: OnDask) -> None:
    """No layer is on this machine; the manifest has the digest and the rows of every part."""
    run, layers, *_ = on_s3
    assert not run.path("02_intermediate").exists()
    manifest: Mapping[str, Any] = run.report("run_manifest.json")
    assert {Path(layer).name for layer in COMPUTED} - {"features"} <= manifest["outputs"].keys()
    file_system = fsspec.filesystem("s3", **layers.fs_args)
    for digest in manifest["outputs"]["prices"]:
        content = file_system.cat_file(digest["path"])
        assert digest["sha256"] == hashlib.sha256(content).hexdigest()
    ingestion = manifest["nodes"]["data_processing.ingest_bars"]
    assert ingestion["rows"] == {"prices": 12154, "quarantine": 0, "files": 5}


def test_the_log_shows_progress_and_the_dashboard(on_s3: OnDask) -> None:
    """The log has the dashboard's address and each layer's parts, and no messages of Dask's."""
    output = on_s3.run.output
    assert re.search(rf"dask: [12] workers of {on_s3.address}, dashboard at http://\S+:\d+", output)
    assert "prices: 12154 rows in 5 parts" in output
    assert "INFO    distributed" not in output


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnDask]:
    """The default pipeline, with all layers on disk."""
    folder = tmp_path_factory.mktemp("whole")
    with cluster(folder / "killed") as address:
        run = run_on(address, folder=folder, variables={})
        layers = Layers(run.data_root.as_posix(), {}, {})
        yield OnDask(run, layers, address, folder / "killed")


@pytest.mark.slow
@pytest.mark.parametrize("layer", COMPUTED + PREDICTED)
def test_the_default_run_equals_one_machine(layer: str, sample_run: Run, whole_run: OnDask) -> None:
    """Layers and forecasts are the same as without Dask."""
    expected = pl.read_parquet(sample_run.path(f"{layer}.parquet"))
    assert_frame_equal(whole_run.layers.frame(layer), expected, check_exact=True)


@pytest.mark.slow
def test_training_survives_the_loss_of_a_worker(whole_run: OnDask) -> None:
    """Two workers train together; the forecaster is the same if one is killed meanwhile."""
    run, _, address, killed = whole_run
    node = "--nodes", "modelling.fit_forecaster"
    texts = []
    for _ in range(2):
        params = {"dask.rows_alone": 0}
        run_on(address, *node, folder=run.data_root.parent, variables={}, **params)
        texts.append(joblib.load(run.path("06_models", "forecaster.joblib")).boosters)
    assert (killed / "training").exists()
    assert texts[0] == texts[1]


@pytest.mark.slow
def test_an_update_rewrites_the_parts_with_news(
    sample_run: Run, whole_run: OnDask, tmp_path: Path
) -> None:
    """A corrected bar changes one part of the prices; the layers equal one machine's."""
    run, layers, address, _ = whole_run
    source = shutil.copytree(run.path("01_raw", "sample"), tmp_path / "source")
    _correct_last_bar(source / "stocks" / "IBM.csv")
    alone = Run(
        shutil.copytree(sample_run.data_root, tmp_path / "alone" / "data"),
        sample_run.store,
        sample_run.process,
    )
    update = "--pipelines", "update"
    one = kedro_run(alone.data_root, alone.store, *update, params={"source": source})
    assert one.process.returncode == 0, one.output
    before = {layer: layers.parts(layer) for layer in BY_SYMBOL}
    run_on(address, *update, folder=run.data_root.parent, variables={}, source=source)
    for layer in COMPUTED:
        expected = pl.read_parquet(alone.path(f"{layer}.parquet"))
        assert_frame_equal(layers.frame(layer), expected, check_exact=True)
    for layer in BY_SYMBOL[:2]:
        after = layers.parts(layer)
        kept = [part["symbols"][0] for part in after if part in before[layer]]
        assert kept == ["AAPL", "FB", "GOOG", "MSFT"]


def _correct_last_bar(path: Path) -> None:
    lines = path.read_text().splitlines()
    *fields, volume = lines[-1].split(",")
    lines[-1] = ",".join([*fields, str(int(volume) + 1000)])
    path.write_text("\n".join(lines) + "\n")
