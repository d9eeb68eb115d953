"""Compare an update with a run on all bars: the cost, and whether the layers are equal.

Usage: python benchmarks/update.py archive.zip [--sessions 18] [--training]

The archive is cut before its last sessions. The first part is run and then updated from the full
archive, twice. With ``--training`` the parameters are the defaults; without it the models are
small, since an update trains none.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import polars as pl
from measure import bento_environment
from polars.testing import assert_frame_equal

from stock_volume import columns
from stock_volume.bars.archive import open_archive

PROJECT = Path(__file__).parents[1]
SMALL = (
    "forecaster.n_estimators=60",
    "forecaster.num_leaves=15",
    "forecaster.quantile_trees=20",
    "backtest.resamples=50",
)
LAYERS = (
    "02_intermediate/prices",
    "03_primary/sessions",
    "04_feature/features",
    "04_feature/forecast_features",
)


def main() -> None:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--sessions", type=int, default=18, help="sessions that the update adds")
    parser.add_argument("--training", action="store_true", help="train with the default parameters")
    arguments = parser.parse_args()
    models = () if arguments.training else SMALL
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        whole, part = scratch / "whole", scratch / "part"
        run("run on all bars", arguments.archive, whole, models)
        last = cut(arguments.archive, whole, scratch / "part.zip", arguments.sessions)
        run(f"run on bars up to {last}", scratch / "part.zip", part, models)
        run("update", arguments.archive, part, models, "--pipelines", "update")
        run("update without new data", arguments.archive, part, models, "--pipelines", "update")
        run("monitor", arguments.archive, part, (), "--pipelines", "monitor")
        for layer in LAYERS:
            frames = [pl.read_parquet(root / f"{layer}.parquet") for root in (whole, part)]
            assert_frame_equal(*frames, check_exact=True)
            print(f"{layer}: equal, {frames[0].height:,} rows")


def cut(archive: Path, layers: Path, target: Path, sessions: int) -> str:
    """Copy an archive without its latest sessions.

    Args:
        archive: The archive.
        layers: Data root of a run on the archive.
        target: The zip to write.
        sessions: Number of sessions to leave out.

    Returns:
        The last remaining session.
    """
    days = pl.scan_parquet(layers / "02_intermediate" / "prices.parquet").select(
        pl.col(columns.DATE).unique().sort()
    )
    last = str(days.collect()[columns.DATE][-sessions - 1])
    source = open_archive(archive)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as zipped:
        if source.listing:
            zipped.writestr(source.listing, source.read(source.listing))
        for file in source.files:
            header, *rows = source.read(file.name).splitlines()
            kept = [row for row in rows if row[:10] <= last.encode()]
            zipped.writestr(file.name, b"\n".join([header, *kept, b""]))
    return last


def run(what: str, source: Path, root: Path, models: tuple[str, ...], *arguments: str) -> None:
    """Run Kedro in a separate process and print its time and peak memory."""
    params = (f"source={source.absolute()}", f"data_root={root}", *models)
    kedro = str(Path(sys.executable).with_name("kedro"))
    start = time.perf_counter()
    with subprocess.Popen(
        [kedro, "run", *arguments, "--params", ",".join(params)],
        cwd=PROJECT,
        env={**os.environ, **bento_environment(root / "store")},
        stdout=subprocess.DEVNULL,
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{what} failed")
    wall = time.perf_counter() - start
    print(f"{what}: {wall:.1f} s, peak {peak_mib(usage):.0f} MiB", flush=True)


def peak_mib(usage: resource.struct_rusage) -> float:
    """Return the peak memory of a process in MiB; Linux reports KiB."""
    return usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
