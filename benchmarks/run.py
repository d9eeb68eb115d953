"""Compare our stages with the original's, on the same files, in one session.

Usage: python benchmarks/run.py ARCHIVE.zip [--rounds N]

Each stage runs in a separate process, alternating between the two implementations, for N
rounds. Figures are medians over the rounds, except that peak memory is the maximum. The time
includes reading and writing files, but not importing libraries.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from measure import bento_environment

HERE = Path(__file__).parent
PROJECT = HERE.parent
RESULTS = HERE / "results" / "latest.json"
STAGES = ("ingest", "features", "train")
WAYS = ("original", "ours")
MEMBERS = (".csv",)

Figures = dict[str, Any]


def main() -> None:
    """Measure, print and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if not arguments.archive.is_file():
        parser.error(f"{arguments.archive}: no such archive")
    with tempfile.TemporaryDirectory() as scratch:
        results = measure_all(arguments.archive, Path(scratch), arguments.rounds)
    print_table(results)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2), encoding="utf-8")


def measure_all(archive: Path, scratch: Path, rounds: int) -> dict[str, Any]:
    """Run every stage in both implementations.

    Args:
        archive: A zip in the Kaggle layout.
        scratch: Folder for the files of the stages.
        rounds: Number of runs of each stage.

    Returns:
        Figures by stage and implementation, and figures of complete Kedro runs.
    """
    source = scratch / "archive"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(source, [name for name in packed.namelist() if name.endswith(MEMBERS)])
    results: dict[str, Any] = {}
    for stage in STAGES:
        runs: dict[str, list[Figures]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way in WAYS:
                runs[way].append(run_stage(way, stage, source, scratch))
        results[stage] = {way: summarise(figures) for way, figures in runs.items()}
    whole = [run_kedro(source, scratch / f"layers-{number}") for number in range(rounds)]
    results["kedro"] = summarise(whole)
    return results


def run_stage(way: str, stage: str, archive: Path, scratch: Path) -> Figures:
    """Run one stage in a separate process.

    Args:
        way: The implementation, one of ``WAYS``.
        stage: One of ``STAGES``.
        archive: The unpacked archive.
        scratch: Folder for the files of the stages.

    Returns:
        The figures that the stage printed.
    """
    folder = scratch / way
    folder.mkdir(exist_ok=True)
    # Both implementations train on our features, so that their errors are on the same rows.
    read, written = {
        "ingest": (archive, folder / "prices.parquet"),
        "features": (folder / "prices.parquet", folder / "features.parquet"),
        "train": (scratch / "ours" / "features.parquet", folder / "model"),
    }[stage]
    output = subprocess.run(
        [sys.executable, HERE / f"{way}.py", stage, read, written],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    figures: Figures = json.loads(output.splitlines()[-1])
    print(f"{stage:9} {way:9} {figures['wall']:7.2f} s {figures['peak_mib']:7.0f} MiB", flush=True)
    return figures


def run_kedro(
    archive: Path, layers: Path, to_nodes: str | None = "packaging.register_estimator"
) -> Figures:
    """Run the whole project once with ``kedro run``.

    Args:
        archive: The archive, a zip or unpacked.
        layers: Folder for the layers.
        to_nodes: Last node to run; None for all.

    Returns:
        Wall seconds of the command, of its nodes and of the rest, CPU seconds and peak memory.
    """
    environment = {**os.environ, **bento_environment(layers / "store")}
    start = time.perf_counter()
    process = subprocess.Popen(
        [
            Path(sys.executable).with_name("kedro"),
            "run",
            "--params",
            f"source={archive},data_root={layers}",
            *(["--to-nodes", to_nodes] if to_nodes else []),
        ],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise SystemExit(f"kedro run failed with status {status}")
    manifest = json.loads((layers / "08_reporting" / "run_manifest.json").read_text("utf-8"))
    nodes = sum(node["seconds"] for node in manifest["nodes"].values())
    print(f"kedro run           {wall:7.2f} s, of which nodes {nodes:.2f} s", flush=True)
    return {
        "wall": wall,
        "nodes": nodes,
        "overhead": wall - nodes,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
    }


def summarise(runs: list[Figures]) -> Figures:
    """Return the medians of the figures, and the maximum of peak memory."""
    summary = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    summary["peak_mib"] = max(run["peak_mib"] for run in runs)
    return summary


def print_table(results: dict[str, Any]) -> None:
    """Print the figures and ratios as a Markdown table."""
    print(
        "\n| stage | implementation | wall s | CPU s | peak MiB | peak above libraries MiB "
        "| times faster | memory | MAE | MSE |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    for stage in STAGES:
        reference = results[stage]["original"]
        for way in WAYS:
            figures = results[stage][way]
            ratios = (
                f"{reference['wall'] / figures['wall']:.2f} "
                f"| {figures['peak_mib'] / reference['peak_mib']:.3f}"
            )
            errors = f"{figures['mae']:,.0f} | {figures['mse']:.4g}" if "mae" in figures else " | "
            print(
                f"| {stage} | {way} | {figures['wall']:.2f} | {figures['cpu']:.2f} "
                f"| {figures['peak_mib']:.0f} | {figures['peak_mib'] - figures['loaded_mib']:.0f} "
                f"| {ratios} | {errors} |"
            )
    kedro = results["kedro"]
    print(
        f"\nkedro run: {kedro['wall']:.2f} s, nodes {kedro['nodes']:.2f} s, "
        f"overhead {kedro['overhead']:.2f} s, peak {kedro['peak_mib']:.0f} MiB"
    )


if __name__ == "__main__":
    main()
