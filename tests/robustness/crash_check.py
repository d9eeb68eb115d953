"""``make crash-check``: SIGKILL at random moments of a run, then ``--only-missing-outputs``.

Each trial starts from the complete layers of one set of parameters, kills a run with another set,
completes it, and compares every file with an undisturbed run of the other set. A trial survives
if the hashes are equal, no half-written file is left, and every version in the store is whole.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).parents[2]
KEDRO: Final = Path(sys.executable).with_name("kedro")

SMALL: Final = {
    "forecaster.num_threads": 1,
    "forecaster.n_estimators": 40,
    "forecaster.num_leaves": 15,
    "forecaster.learning_rate": 0.1,
    "forecaster.quantile_trees": 10,
    "backtest.resamples": 20,
}
BEFORE: Final = {**SMALL, "forecaster.random_state": 1}
AFTER: Final = {
    **SMALL,
    "forecaster.random_state": 2,
    "features.window_days": 20,
    "ingestion.closed_days": "reject",
}
"""Changes layers of every stage."""

COMPARED: Final = ("*.parquet", "*.joblib", "*_metrics.json", "backtest_plan.json", "metrics.json")
"""Files that depend on bars and parameters only: neither on tags nor on the time."""


def start(
    data_root: Path, store: Path, params: Mapping[str, object], *options: str
) -> "subprocess.Popen[str]":
    """Start a run in a process group of its own, so that its children can be killed with it."""
    given = ",".join(f"{name}={value}" for name, value in params.items())
    return subprocess.Popen(
        [KEDRO, "run", *options, "--params", f"data_root={data_root},{given}"],
        cwd=PROJECT,
        env={**os.environ, "BENTOML_HOME": str(store), "TMPDIR": str(data_root.parent / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def complete(data_root: Path, store: Path, params: Mapping[str, object], *options: str) -> str:
    """Run to the end, and return the output.

    Raises:
        RuntimeError: The run failed.
    """
    process = start(data_root, store, params, *options)
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(output[-2000:])
    return output


def hashes(data_root: Path) -> dict[str, str]:
    """Digest the files that depend on bars and parameters only."""
    paths = {path for pattern in COMPARED for path in data_root.rglob(pattern)}
    return {
        path.relative_to(data_root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(paths)
    }


def find_damage(data_root: Path, store: Path, expected: Mapping[str, str]) -> list[str]:
    """List what is wrong after a killed run was completed."""
    found = hashes(data_root)
    damage = [
        f"{name} differs"
        for name in sorted({*found, *expected})
        if found.get(name) != expected.get(name)
    ]
    damage += [f"{path} is left" for path in data_root.rglob(".*.partial")]
    damage += [f"{path} is left" for path in store.glob(".*.partial")]
    damage += [f"{path} is left" for path in (data_root.parent / "tmp").iterdir()]
    versions = [path for path in store.glob("models/*/*") if path.is_dir()]
    return damage + [f"{path} is half" for path in versions if not (path / "model.yaml").exists()]


def crash(folder: Path, seconds: float, longest: float, expected: Mapping[str, str]) -> list[str]:
    """Kill a run, complete it, and list what is wrong."""
    data_root, store = folder / "data", folder / "store"
    process = start(data_root, store, AFTER)
    time.sleep(seconds)
    ended = process.poll() is not None
    if not ended:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=longest)
    complete(data_root, store, AFTER, "--only-missing-outputs")
    return find_damage(data_root, store, expected)


def prepare(folder: Path, params: Mapping[str, object]) -> tuple[dict[str, str], float]:
    """Make undisturbed layers; return their hashes, and how long it took."""
    (folder / "tmp").mkdir(parents=True)
    began = time.monotonic()
    complete(folder / "data", folder / "store", params)
    return hashes(folder / "data"), time.monotonic() - began


def main() -> int:
    """Run the trials and print a table; return 1 if one did not survive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    moments = random.Random(options.seed)  # noqa: S311 (moments, no secrets)
    survived = 0
    with tempfile.TemporaryDirectory(prefix="crash-check-") as name:
        folder = Path(name)
        prepare(folder / "before", BEFORE)
        expected, longest = prepare(folder / "after", AFTER)
        for number in range(options.tries):
            trial = folder / "trial"
            shutil.copytree(folder / "before", trial)
            seconds = moments.uniform(0.1, 1.0) * longest
            damage = crash(trial, seconds, 10 * longest, expected)
            survived += not damage
            outcome = "; ".join(damage[:3]) or "equal"
            print(f"{number + 1:3}  killed after {seconds:5.1f} s  {outcome}", flush=True)
            shutil.rmtree(trial)
    print(f"\n{'attack':40} {'tries':>5} {'survivors':>9}")
    print(f"{'SIGKILL of a run over older outputs':40} {options.tries:5} {survived:9}")
    return int(survived < options.tries)


if __name__ == "__main__":
    sys.exit(main())
