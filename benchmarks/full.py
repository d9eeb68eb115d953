"""Measure the whole product on a market of the full archive's size, beside other methods.

Usage: python benchmarks/full.py ARCHIVE.zip [--files 8049] [--without-others] [--stages FILE]

Makes the market (see market.py), runs each stage of each method once in a separate process, then
`kedro run` from the zip to the Bento, once on a quarter of the files and once on all of them, and
writes benchmarks/RESULTS.md. With --stages, the figures of the methods are kept in a file, and
another method that it has is not measured again.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
from market import FULL_ARCHIVE_FILES, make_market
from run import HERE, PROJECT, run_kedro

RESULTS: Final = HERE / "RESULTS.md"
PACKAGES: Final = ("kedro", "polars", "lightgbm", "pyarrow", "pandas", "numpy")
MLFORECAST: Final = "mlforecast==1.1.0"
UV: Final = Path(sys.executable).with_name("uv")
GIB: Final = 1024.0
FORECAST_FEATURES: Final = "feature_engineering.engineer_forecast_features"

Figures = dict[str, Any]


class Target(NamedTuple):
    """An upper bound on a ratio or a figure.

    Attributes:
        what: What is bounded.
        value: What was measured; None if a part of it failed.
        bound: The bound.
    """

    what: str
    value: float | None
    bound: float

    def __str__(self) -> str:
        """Write a row of a table."""
        value = "failed" if self.value is None else f"{self.value:.2f}"
        met = self.value is not None and self.value <= self.bound
        return f"| {self.what} | {value} | at most {self.bound:g} | {'yes' if met else 'no'} |"


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--files", type=int, default=FULL_ARCHIVE_FILES)
    parser.add_argument("--without-others", action="store_true", help="only kedro run")
    parser.add_argument("--stages", type=Path, help="JSON file that keeps the figures of methods")
    parser.add_argument("--scratch", type=Path, help="folder for the market and the layers")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        folder = Path(scratch)
        market = folder / "market.zip"
        make_market(arguments.archive, market, arguments.files)
        stages = {}
        if not arguments.without_others:
            stages = measure_stages(market, folder, arguments.stages or folder / "stages.json")
        part = folder / "quarter.zip"
        make_market(arguments.archive, part, arguments.files // 4)
        quarter = run_whole(part, folder / "quarter")
        whole = run_whole(market, folder / "layers")
        nodes = read_nodes(folder / "layers")
    text = write_results(arguments.files, stages, quarter, whole, nodes)
    print(text)
    RESULTS.write_text(text, encoding="utf-8")


def measure_stages(market: Path, folder: Path, kept: Path) -> dict[str, dict[str, Figures]]:
    """Run our stages, and the stages of each other method that has not been measured.

    Args:
        market: The zip.
        folder: Folder for their files.
        kept: JSON file of the figures, which is written after each method.

    Returns:
        Figures by method and stage; a stage that failed has an ``error``.
    """
    unpacked = folder / "unpacked"
    with zipfile.ZipFile(market) as packed:
        packed.extractall(unpacked)
    script = {way: [sys.executable, HERE / f"{way}.py"] for way in ("ours", "bare", "original")}
    script["mlforecast"] = [
        *(UV, "run", "--isolated", "--no-project", "--with", MLFORECAST, "--with", "polars"),
        *("python", HERE / "with_mlforecast.py"),
    ]
    prices = {way: folder / way / "prices.parquet" for way in script}
    features = {way: folder / way / "features.parquet" for way in script}
    results: dict[str, dict[str, Figures]] = {}
    if kept.exists():
        results = json.loads(kept.read_text("utf-8"))
    for way, command in script.items():
        if way in results and way != "ours":
            continue
        (folder / way).mkdir()
        paths = {
            "ingest": (unpacked, prices[way]),
            # All but the original compute the features of the same bars.
            "features": (prices["original" if way == "original" else "ours"], features[way]),
            "train": (features[way], folder / way / "model"),
        }
        stages = {"bare": ("ingest", "features"), "mlforecast": ("features",)}
        results[way] = {
            stage: run_process([*command, stage, *paths[stage]])
            for stage in stages.get(way, tuple(paths))
        }
        kept.write_text(json.dumps(results, indent=1), "utf-8")
    return results


def run_process(command: list[Any]) -> Figures:
    """Run a stage that may fail, as one that runs out of memory does."""
    print(*command[-3:], flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {"error": f"exit code {done.returncode}: {lines[-1] if lines else 'no message'}"}
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def run_whole(market: Path, layers: Path) -> Figures:
    """Run the whole project, and count the rows that it read."""
    figures = run_kedro(market, layers, to_nodes=None)
    quality = json.loads((layers / "08_reporting" / "data_quality.json").read_text("utf-8"))
    return {**figures, "rows": quality["rows"]["read"]}


def read_nodes(layers: Path) -> dict[str, float]:
    """Read the seconds of each node of a run from its manifest."""
    manifest = json.loads((layers / "08_reporting" / "run_manifest.json").read_text("utf-8"))
    return {name: node["seconds"] for name, node in manifest["nodes"].items()}


def write_results(
    files: int,
    stages: Mapping[str, Mapping[str, Figures]],
    quarter: Figures,
    whole: Figures,
    nodes: Mapping[str, float],
) -> str:
    """Write the figures as Markdown."""
    parts = [
        "# Results on a market of the full archive's size",
        "",
        "Written by `make bench-full`. One run; compare ratios, not seconds of other machines.",
        "",
        *describe_machine(files),
        "",
        *(line for line in describe_stages(stages)),
        "## `kedro run`, from the zip to the Bento",
        "",
        "| market | rows | minutes | minutes of CPU | GiB at the peak |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {market} | {run['rows']:,} | {run['wall'] / 60:.1f} | {run['cpu'] / 60:.1f} "
            f"| {run['peak_mib'] / GIB:.2f} |"
            for market, run in (("a quarter of the files", quarter), ("all files", whole))
        ),
        "",
        "The nodes of the run on all files:",
        "",
        "| node | s |",
        "|---|---:|",
        *(f"| {name} | {seconds:.0f} |" for name, seconds in nodes.items() if seconds >= 1),
        "",
        "## Targets",
        "",
        "| target | measured | bound | met |",
        "|---|---:|---|---|",
        *map(str, list_targets(stages, quarter, whole, nodes)),
    ]
    return "\n".join(parts) + "\n"


def describe_machine(files: int) -> list[str]:
    """Describe what was measured on."""
    revision = subprocess.run(
        ["git", "-C", PROJECT, "rev-parse", "--short", "HEAD"],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    memory = psutil.virtual_memory().total / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return [
        f"- {files:,} files; {datetime.now(UTC):%Y-%m-%d}; revision {revision}",
        f"- {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}",
        f"- Python {platform.python_version()}, {versions}",
        f"- load of the machine at the end: {os.getloadavg()[0]:.1f}",
    ]


def describe_stages(stages: Mapping[str, Mapping[str, Figures]]) -> list[str]:
    """Tabulate the stages of each method."""
    if not stages:
        return []
    lines = [
        "## Stages",
        "",
        "| stage | method | wall s | CPU s | peak GiB | rows |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for stage in ("ingest", "features", "train"):
        for way, measured in stages.items():
            figures = measured.get(stage)
            if figures is None:
                continue
            lines.append(
                f"| {stage} | {way} | {figures['error']} | | | |"
                if "error" in figures
                else f"| {stage} | {way} | {figures['wall']:.1f} | {figures['cpu']:.1f} "
                f"| {figures['peak_mib'] / GIB:.2f} | {figures['rows']:,} |"
            )
    return [*lines, ""]


def list_targets(
    stages: Mapping[str, Mapping[str, Figures]],
    quarter: Figures,
    whole: Figures,
    nodes: Mapping[str, float],
) -> list[Target]:
    """Compare what was measured with its bounds."""

    def growth(figure: str) -> float:
        return float(whole[figure] / quarter[figure])

    targets = [
        Target("kedro run, minutes", whole["wall"] / 60, 25),
        Target("kedro run, GiB at the peak", whole["peak_mib"] / GIB, 4),
        Target("the forecaster's features, seconds", nodes[FORECAST_FEATURES], 200),
        Target("time of a row, all files over a quarter", growth("wall") / growth("rows"), 1.1),
        Target("memory, all files over a quarter", growth("peak_mib"), 1.3),
    ]
    if not stages:
        return targets
    every = ("ingest", "features", "train")
    return [
        *targets,
        Target("ingestion over bare Polars", ratio(stages, "ours", "bare", ("ingest",)), 2),
        Target("features over bare Polars", ratio(stages, "ours", "bare", ("features",)), 1.5),
        Target("features over mlforecast", ratio(stages, "ours", "mlforecast", ("features",)), 1),
        Target("all stages over the original", ratio(stages, "ours", "original", every), 0.2),
    ]


def ratio(
    stages: Mapping[str, Mapping[str, Figures]], one: str, other: str, names: tuple[str, ...]
) -> float | None:
    """Divide the wall seconds of two methods; None if a stage of either failed."""
    of_both = [[stages[way][name] for name in names] for way in (one, other)]
    if any("error" in figures for figures in (*of_both[0], *of_both[1])):
        return None
    seconds = [sum(figures["wall"] for figures in of_one) for of_one in of_both]
    return float(seconds[0] / seconds[1])


if __name__ == "__main__":
    main()
