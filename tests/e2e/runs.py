"""Runs of the whole project through its commands, each in a process of its own."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pandas as pd
import pytest

from stock_volume.stored_model import SERVED_NAMES
from tests.e2e.commands import run_kedro

PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SMALL_ESTIMATOR = {"estimator.n_estimators": 100}
SMALL_FORECASTER = {
    "forecaster.num_threads": 1,
    "forecaster.n_estimators": 60,
    "forecaster.num_leaves": 15,
    "forecaster.learning_rate": 0.1,
    "forecaster.quantile_trees": 20,
    "forecaster.horizons": "[2]",
    "forecaster.totals": "[5]",
    "backtest.resamples": 50,
}


FOREIGN_MODELS = """
import shutil, sys
import bentoml

for name in sys.argv[1:]:
    held = bentoml.models.get(name)
    with bentoml.models.create(name, metadata=held.info.metadata) as model:
        ignored = shutil.ignore_patterns("model.yaml")
        shutil.copytree(held.path, model.path, dirs_exist_ok=True, ignore=ignored)
"""


@dataclass(frozen=True)
class Run:
    """A run of ``kedro run`` and where it left what."""

    data_root: Path
    store: Path
    process: subprocess.CompletedProcess[str]

    @property
    def output(self) -> str:
        return self.process.stdout + self.process.stderr

    def path(self, *parts: str) -> Path:
        return self.data_root.joinpath(*parts)

    def report(self, name: str) -> Any:
        return json.loads(self.path("08_reporting", name).read_text(encoding="utf-8"))


def copy_store(run: Run, folder: Path) -> Run:
    """Give a run a copy of its store, without what servers of the store write meanwhile."""
    ignored = shutil.ignore_patterns("__pycache__", "*.log")
    return replace(run, store=shutil.copytree(run.store, folder / "store", ignore=ignored))


def environment(store: Path) -> dict[str, str]:
    return {
        **os.environ,
        "BENTOML_HOME": str(store),
        "BENTOML_DO_NOT_TRACK": "True",
        "DO_NOT_TRACK": "1",
    }


def join_params(params: Mapping[str, object]) -> str:
    """Write parameters as ``--params`` takes them."""
    return ",".join(f"{key}={value}" for key, value in params.items())


def kedro_run(
    data_root: Path,
    store: Path,
    *arguments: str,
    params: Mapping[str, object] | None = None,
) -> Run:
    """Run the project; its layers go below ``data_root``, its models into ``store``.

    The boosters are small and use one thread, unless ``params`` change that.
    """
    given = {"data_root": data_root, **SMALL_ESTIMATOR, **SMALL_FORECASTER, **(params or {})}
    process = run_kedro(
        *("run", *arguments),
        *("--params", join_params(given)),
        folder=PROJECT,
        variables=environment(store),
    )
    return Run(data_root, store, process)


def pinned(run: Run) -> dict[str, str]:
    """Tags of the run's models, by the parts of ``/models``, as the manifest names them."""
    outputs = run.report("run_manifest.json")["outputs"]
    return {
        part: outputs[f"{part}_model"]["tag"] for part in ("estimator", "forecaster", "snapshot")
    }


def served(client: httpx.Client) -> dict[str, str]:
    """Tags of the models that answer."""
    about = client.get("/models").raise_for_status().json()
    return {part: about[part]["tag"] for part in ("estimator", "forecaster", "snapshot")}


def add_foreign_models(store: Path) -> None:
    """Put newer versions of all models into a store, as a run that was stopped leaves them."""
    subprocess.run(
        [sys.executable, "-c", FOREIGN_MODELS, *SERVED_NAMES],
        env=environment(store),
        capture_output=True,
        check=True,
    )


def bentoml_command(store: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of BentoML that ends by itself."""
    return subprocess.run(
        [BIN / "bentoml", *arguments],
        cwd=folder,
        env=environment(store),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Server(NamedTuple):
    """A server in a process of its own, and a client of it."""

    client: httpx.Client
    process: subprocess.Popen[bytes]


@contextmanager
def serving(run: Run, folder: Path, *what: str) -> Iterator[httpx.Client]:
    """Serve in a process of its own, and end it."""
    with starting(run, folder, *what) as server:
        yield server.client


@contextmanager
def starting(run: Run, folder: Path, *what: str) -> Iterator[Server]:
    """Serve in a process of its own that may be stopped, and end it."""
    port = free_port()
    log = run.store / f"serve-{port}.log"
    command = [str(BIN / "bentoml"), "serve", *what, "--host", "127.0.0.1", "--port", str(port)]
    with (
        log.open("w", encoding="utf-8") as output,
        subprocess.Popen(
            command, cwd=folder, env=environment(run.store), stdout=output, stderr=output
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client,
    ):
        try:
            wait_until_ready(client, process, log)
            yield Server(client, process)
        finally:
            process.terminate()


def wait_until_ready(
    client: httpx.Client, process: subprocess.Popen[bytes], log: Path, seconds: float = 60
) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/readyz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"not ready:\n{log.read_text(encoding='utf-8')}")


def assert_features_match_pandas(run: Run) -> None:
    """Compare every feature of a run with plain pandas' rolling windows."""
    features = pd.read_parquet(run.path("04_feature", "features.parquet"))
    for _, bars in features.groupby("Symbol"):
        by_date = bars.set_index(pd.DatetimeIndex(bars["Date"]))
        mean = by_date["Volume"].rolling("30D").mean()
        median = by_date["Adj Close"].rolling("30D").median()
        np.testing.assert_allclose(bars["vol_moving_avg"], mean, rtol=1e-9, atol=1e-3)
        np.testing.assert_allclose(bars["adj_close_rolling_med"], median, rtol=1e-12)
