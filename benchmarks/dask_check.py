"""Compare runs on Dask with a run on one machine: layers to the last bit, and time by worker.

Usage: ``python benchmarks/dask_check.py [SOURCE] [--models]``. Each run is a process of its own,
with a scheduler and its workers as further processes on this machine. Ingestion and features run
without Dask, with one worker and with two. With ``--models``, the forecaster is also trained and
tested, once on one machine and once by two workers together.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import polars as pl

PROJECT: Final = Path(__file__).parents[1]
KEDRO: Final = Path(sys.executable).with_name("kedro")
LAYERS: Final = (
    "02_intermediate/prices",
    "02_intermediate/quarantine",
    "02_intermediate/files",
    "03_primary/sessions",
    "04_feature/features",
    "04_feature/forecast_features",
)
NODES: Final = (
    "data_processing.ingest_bars",
    "feature_engineering.engineer_features",
    "feature_engineering.describe_sessions",
    "feature_engineering.engineer_forecast_features",
)
MODEL_NODES: Final = ",".join(
    f"modelling.{name}" for name in ("plan_windows", "backtest_forecaster", "evaluate_forecaster")
)
MAX_DIFFERENCE: Final = 0.2
"""Largest difference of eta-R2, in percent: 0.002."""


def run(root: Path, source: str, workers: int, *options: str, **params: object) -> float:
    """Run the project; return the seconds of the whole command."""
    given = {"data_root": root, "source": source, **params}
    arguments = ["--env", "dask"] if workers else []
    if workers:
        given |= {"dask.workers": workers}
    command: list[str | Path] = [KEDRO, "run", *arguments, *options, "--params"]
    text = ",".join(f"{name}={value}" for name, value in given.items())
    variables = {**os.environ, "BENTOML_HOME": str(root.parent / "bentoml")}
    start = time.perf_counter()
    subprocess.run([*command, text], cwd=PROJECT, env=variables, check=True)
    return time.perf_counter() - start


def read(root: Path, layer: str) -> pl.LazyFrame:
    """Scan a layer, be it a file or a folder of parts."""
    file = root / f"{layer}.parquet"
    if file.exists():
        return pl.scan_parquet(file, glob=False)
    contents = json.loads((root / layer / "contents.json").read_text())
    return pl.scan_parquet([root / layer / part["file"] for part in contents["parts"]], glob=False)


def report(root: Path, name: str) -> Any:
    """Read a report of a run."""
    return json.loads((root / name).read_text())


def compare(root: Path, other: Path) -> bool:
    """Compare all layers to the last bit."""
    equal = True
    for layer in LAYERS:
        same = read(root, layer).collect().equals(read(other, layer).collect())
        equal &= same
        print(f"{layer:32} {'equal' if same else 'DIFFERENT'}")
    return equal


def check_models(folder: Path, source: str) -> bool:
    """Backtest on one machine and on two workers that train together, and compare eta-R2."""
    found = []
    for workers, params in ((0, {}), (2, {"dask.rows_alone": 0})):
        root = folder / str(workers)
        seconds = run(root, source, workers, "--nodes", MODEL_NODES, **params)
        found.append(report(root, "06_models/forecaster_metrics.json")["eta_r2"])
        print(f"{workers} workers: backtest eta-R2 {found[-1]:.3f} %, {seconds:.1f} s")
    return bool(abs(found[0] - found[1]) <= MAX_DIFFERENCE)


def main() -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", default="sample")
    parser.add_argument("--models", action="store_true")
    arguments = parser.parse_args()
    source = arguments.source
    if Path(source).exists():
        source = str(Path(source).resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = []
        for workers in (0, 1, 2):
            root = folder / str(workers)
            stages = "--pipelines", "data_processing,feature_engineering"
            total = run(root, source, workers, *stages)
            nodes = report(root, "08_reporting/run_manifest.json")["nodes"]
            table.append((workers, total, [nodes[node]["seconds"] for node in NODES]))
        passed = compare(folder / "0", folder / "1") & compare(folder / "0", folder / "2")
        rows = read(folder / "0", LAYERS[0]).select(pl.len()).collect().item()
        print(f"\n{rows:,} bars; seconds of the command, and of its nodes:")
        print("workers   total  " + "  ".join(node.rpartition(".")[2] for node in NODES))
        for workers, total, seconds in table:
            print(f"{workers:7} {total:7.1f}  " + "  ".join(f"{one:.1f}" for one in seconds))
        if arguments.models:
            passed &= check_models(folder, source)
    print("passed" if passed else "FAILED")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
