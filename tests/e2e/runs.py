"""Runs of the whole project through its commands, each in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SMALL_FORECASTER = {
    "forecaster.num_threads": 1,
    "forecaster.n_estimators": 60,
    "forecaster.num_leaves": 15,
    "forecaster.learning_rate": 0.1,
    "forecaster.quantile_trees": 20,
    "backtest.resamples": 50,
}


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


def environment(store: Path) -> dict[str, str]:
    return {
        **os.environ,
        "BENTOML_HOME": str(store),
        "BENTOML_DO_NOT_TRACK": "True",
        "DO_NOT_TRACK": "1",
    }


def kedro_run(
    data_root: Path,
    store: Path,
    *arguments: str,
    params: Mapping[str, object] | None = None,
) -> Run:
    """Run the project; its layers go below ``data_root``, its models into ``store``.

    The forecaster's boosters are small and of one thread, but for other ``params``.
    """
    given = {"data_root": data_root, **SMALL_FORECASTER, **(params or {})}
    process = subprocess.run(
        [
            BIN / "kedro",
            "run",
            *arguments,
            "--params",
            ",".join(f"{key}={value}" for key, value in given.items()),
        ],
        cwd=PROJECT,
        env=environment(store),
        capture_output=True,
        text=True,
        check=False,
    )
    return Run(data_root, store, process)


def assert_features_match_pandas(run: Run) -> None:
    """Compare every feature of a run with plain pandas' rolling windows."""
    features = pd.read_parquet(run.path("04_feature", "features.parquet"))
    for _, bars in features.groupby("Symbol"):
        by_date = bars.set_index(pd.DatetimeIndex(bars["Date"]))
        mean = by_date["Volume"].rolling("30D").mean()
        median = by_date["Adj Close"].rolling("30D").median()
        np.testing.assert_allclose(bars["vol_moving_avg"], mean, rtol=1e-9, atol=1e-3)
        np.testing.assert_allclose(bars["adj_close_rolling_med"], median, rtol=1e-12)
