"""Runs on a Dask scheduler and two workers, each a process of its own."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import fsspec
import joblib
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.e2e.runs import PROJECT, Run, free_port, kedro_run

pytest.importorskip("distributed", reason="the extra dask is not installed")

BY_SYMBOL = ["02_intermediate/prices", "04_feature/features", "04_feature/forecast_features"]
LAYERS = [
    *BY_SYMBOL,
    "02_intermediate/quarantine",
    "02_intermediate/files",
    "03_primary/sessions",
    "07_model_output/backtest",
    "07_model_output/forecasts",
]
MAPPED = {"sum_bars", "add_features", "features_in_window"}
STAGES = {"ingest", *MAPPED, *(f"write {Path(layer).name}" for layer in BY_SYMBOL)}
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
def cluster(*options: object, **variables: str) -> Iterator[str]:
    """A scheduler and two workers on the loopback interface."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    scheduler = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port]
    worker = ["distributed.cli.dask_worker", "--nthreads", 1, "--memory-limit", 0]
    with ExitStack() as stack:
        stack.enter_context(process(*scheduler, "--no-dashboard", **variables))
        for _ in range(2):
            stack.enter_context(process(*worker, "--no-dashboard", *options, address, **variables))
        yield address


def run_on(address: str, *arguments: str, folder: Path, **params: object) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DASK_SCHEDULER_ADDRESS", address)
        run = kedro_run(
            folder / "data",
            folder / "store",
            *("--env", "dask", *arguments),
            params={**A_PART_A_SYMBOL, **params},
        )
    assert run.process.returncode == 0, run.output
    return run


def contents(run: Run, layer: str) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = json.loads(run.path(layer, "contents.json").read_text())["parts"]
    return parts


def frame(run: Run, layer: str) -> pl.DataFrame:
    return pl.read_parquet([run.path(layer, part["file"]) for part in contents(run, layer)])


@pytest.fixture(scope="module")
def dask_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, str, Path]]:
    """A run on workers that are killed once at the first task of each stage."""
    folder = tmp_path_factory.mktemp("dask")
    killed = folder / "killed"
    killed.mkdir()
    preload = Path(__file__).with_name("killer.py")
    with cluster("--preload", preload, KILLED=str(killed)) as address:
        yield run_on(address, folder=folder), address, killed


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_equal_those_of_one_machine(
    layer: str, sample_run: Run, dask_run: tuple[Run, str, Path]
) -> None:
    """Each layer equals that of a run without Dask to the last bit, although workers died."""
    expected = pl.read_parquet(sample_run.path(f"{layer}.parquet"))
    assert_frame_equal(frame(dask_run[0], layer), expected, check_exact=True)


def test_a_worker_is_killed_in_each_stage(dask_run: tuple[Run, str, Path]) -> None:
    """Every stage lost a worker while it ran a task, and every part was written."""
    run, _, killed = dask_run
    assert {path.name for path in killed.iterdir()} >= STAGES
    for layer in BY_SYMBOL:
        parts = contents(run, layer)
        assert len(parts) == 5
        on_disk = {path.name for path in run.path(layer).iterdir()}
        assert on_disk == {"contents.json", *(part["file"] for part in parts)}


def test_manifests_digest_the_parts(dask_run: tuple[Run, str, Path]) -> None:
    """The manifest has the digest and the rows of every part."""
    manifest: Mapping[str, Any] = dask_run[0].report("run_manifest.json")
    for digest in manifest["outputs"]["prices"]:
        content = Path(digest["path"]).read_bytes()
        assert digest["sha256"] == hashlib.sha256(content).hexdigest()
    ingestion = manifest["nodes"]["data_processing.ingest_bars"]
    assert ingestion["rows"] == {"prices": 12154, "quarantine": 0, "files": 5}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3 server on this machine with the bucket ``layers``; variables name it."""
    from moto.server import ThreadedMotoServer

    started = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    started.start()
    host, port = started.get_host_and_port()
    address = f"http://{host}:{port}"
    variables = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
        "AWS_ALLOW_HTTP": "true",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir("layers")
    yield "s3://layers/run"
    started.stop()


def test_layers_on_s3(server: str, sample_run: Run, tmp_path: Path) -> None:
    """Workers read and write parts on S3; the layers equal those of one machine."""
    stages = "--pipelines", "data_processing,feature_engineering"
    with cluster() as address:
        run = run_on(address, *stages, folder=tmp_path, layers=server)
    assert not run.path("02_intermediate").exists()
    for layer in [*BY_SYMBOL, "03_primary/sessions"]:
        file_system = fsspec.filesystem("s3", skip_instance_cache=True)
        listed = json.loads(file_system.cat_file(f"{server}/{layer}/contents.json"))["parts"]
        made = pl.read_parquet([f"{server}/{layer}/{part['file']}" for part in listed])
        expected = pl.read_parquet(sample_run.path(f"{layer}.parquet"))
        assert_frame_equal(made, expected, check_exact=True)
    outputs = run.report("run_manifest.json")["outputs"]
    assert outputs["prices"][0]["path"].startswith(f"{server}/02_intermediate/prices/part-00000")


def test_training_survives_the_loss_of_a_worker(dask_run: tuple[Run, str, Path]) -> None:
    """Two workers train together; the forecaster is the same if one is killed meanwhile."""
    run, address, killed = dask_run
    node = "--nodes", "modelling.fit_forecaster"
    texts = []
    for _ in range(2):
        run_on(address, *node, folder=run.data_root.parent, **{"dask.rows_alone": 0})
        texts.append(joblib.load(run.path("06_models", "forecaster.joblib")).boosters)
    assert (killed / "training").exists()
    assert texts[0] == texts[1]


def test_an_update_rewrites_the_parts_with_news(
    sample_run: Run, dask_run: tuple[Run, str, Path], tmp_path: Path
) -> None:
    """A corrected bar changes one part of the prices; the layers equal one machine's."""
    run, address, _ = dask_run
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
    before = {layer: contents(run, layer) for layer in BY_SYMBOL}
    run_on(address, *update, folder=run.data_root.parent, source=source)
    for layer in [*BY_SYMBOL, "03_primary/sessions", "02_intermediate/files"]:
        expected = pl.read_parquet(alone.path(f"{layer}.parquet"))
        assert_frame_equal(frame(run, layer), expected, check_exact=True)
    for layer in BY_SYMBOL[:2]:
        after = contents(run, layer)
        kept = [part["symbols"][0] for part in after if part in before[layer]]
        assert kept == ["AAPL", "FB", "GOOG", "MSFT"]


def _correct_last_bar(path: Path) -> None:
    lines = path.read_text().splitlines()
    *fields, volume = lines[-1].split(",")
    lines[-1] = ",".join([*fields, str(int(volume) + 1000)])
    path.write_text("\n".join(lines) + "\n")
