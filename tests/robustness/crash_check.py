"""``make crash-check``: runs and updates that are killed, or that cannot write.

Each trial disturbs a command that replaces the layers of an earlier one, completes it, and compares
every file with an undisturbed command. A trial survives if all hashes are equal, no half-written
file is left, and every version in the store is whole. A command that cannot write must also end
with one message that names the file, without a traceback.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from stock_volume.bars.sample import lay_out_sample

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

CUT: Final = "2013-02-01"
"""Last session before an update; the sample goes on for a month."""

COMPARED: Final = ("*.parquet", "*.joblib", "*_metrics.json", "backtest_plan.json", "metrics.json")
"""Files that depend on bars and parameters only: neither on tags nor on the time."""

STAGED: Final = "recent_*"
"""What the latest update received: a repeated update receives less."""

CONTENTS: Final = "contents.json"
"""Lists the parts of a layer that Dask's workers wrote, whose names are random."""

DASK_SCRATCH: Final = "dask-scratch-space"
"""Folder that Dask shares among all clusters of a machine; a new one purges what others left."""

SMALLEST_FILE, LARGEST_FILE = 2**12, 2**20
"""Bounds of the largest file that a full disk still takes; most layers of the sample are larger."""


@dataclass(frozen=True)
class Command:
    """A ``kedro run``.

    Attributes:
        params: Its parameters, except where files are.
        options: Its other options.
        source: Folder of its bars, below the folder of the case; the embedded sample if empty.
    """

    params: Mapping[str, object]
    options: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True)
class Case:
    """A command that replaces layers.

    Attributes:
        before: The command that makes the older layers.
        disturbed: The command that is disturbed.
        completing: Options with which the same command is completed.
    """

    before: Command
    disturbed: Command
    completing: tuple[str, ...] = ("--only-missing-outputs",)


ON_DASK: Final = ("--env", "dask", "--pipelines", "data_processing,feature_engineering")
TWO_WORKERS: Final = {"dask.workers": 2, "ingestion.chunk_mib": 0.001}
CASES: Final = {
    "run": Case(Command(BEFORE), Command(AFTER)),
    "update": Case(
        Command(SMALL, source="old"),
        Command(SMALL, ("--pipelines", "update"), source="new"),
        completing=(),
    ),
    "stages on Dask": Case(
        Command(BEFORE | TWO_WORKERS, ON_DASK), Command(AFTER | TWO_WORKERS, ON_DASK)
    ),
}


@dataclass
class Prepared:
    """A case with its older layers.

    Attributes:
        folder: Where they, the store and the sources are.
        expected: Hashes after the undisturbed command.
        seconds: How long the undisturbed command took.
    """

    case: Case
    folder: Path
    expected: dict[str, str] = field(default_factory=dict)
    seconds: float = 0


def start(
    command: Command, folder: Path, *options: str, largest_file: int = resource.RLIM_INFINITY
) -> "subprocess.Popen[str]":
    """Start a command in a process group of its own, so that its children can be killed with it."""
    given = {"data_root": folder / "data", **command.params}
    if command.source:
        given["source"] = folder / command.source
    params = ",".join(f"{name}={value}" for name, value in given.items())
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [KEDRO, "run", *command.options, *options, "--params", params],
        cwd=PROJECT,
        env={**os.environ, "BENTOML_HOME": str(folder / "store"), "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: resource.setrlimit(  # noqa: PLW1509 (this program has no threads)
            resource.RLIMIT_FSIZE, (largest_file, largest_file)
        ),
    )


def complete(command: Command, folder: Path, *options: str) -> None:
    """Run a command to the end.

    Raises:
        RuntimeError: The command failed.
    """
    process = start(command, folder, *options)
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(output[-2000:])


def hashes(data_root: Path) -> dict[str, str]:
    """Digest the files that depend on bars and parameters only."""
    parted = {path.parent for path in data_root.rglob(CONTENTS)}
    paths = {
        path
        for pattern in COMPARED
        for path in data_root.rglob(pattern)
        if path.parent not in parted and not path.match(STAGED)
    }
    found = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    found |= {folder: _digest_parts(folder) for folder in parted if not folder.match(STAGED)}
    return {path.relative_to(data_root).as_posix(): found[path] for path in sorted(found)}


def _digest_parts(folder: Path) -> str:
    """Digest the parts that are listed, in order."""
    parts = json.loads((folder / CONTENTS).read_text(encoding="utf-8"))["parts"]
    digests = [hashlib.sha256((folder / part["file"]).read_bytes()).hexdigest() for part in parts]
    return " ".join(digests)


def list_differing(found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """List the files whose hashes differ, or that only one side has."""
    names = sorted({*found, *expected})
    return [name for name in names if found.get(name) != expected.get(name)]


def find_damage(folder: Path, expected: Mapping[str, str]) -> list[str]:
    """List what is wrong after a disturbed command was completed."""
    damage = [f"{name} differs" for name in list_differing(hashes(folder / "data"), expected)]
    damage += [f"{path} is left" for path in (folder / "data").rglob(".*.partial")]
    store = folder / "store"
    damage += [f"{path} is left" for path in store.glob(".*.partial")]
    damage += [f"{path} is left" for path in _list_temporary(folder / "tmp")]
    versions = [path for path in store.glob("models/*/*") if path.is_dir()]
    return damage + [f"{path} is half" for path in versions if not (path / "model.yaml").exists()]


def _list_temporary(folder: Path) -> list[Path]:
    """List temporary files, except the locks that Dask keeps."""
    left = [path for path in folder.iterdir() if path.name != DASK_SCRATCH]
    return left + [path for path in folder.glob(f"{DASK_SCRATCH}/*") if path.suffix != ".lock"]


def kill(prepared: Prepared, folder: Path, chance: random.Random) -> tuple[str, list[str]]:
    """Kill the command, with all of its processes, at a random moment."""
    seconds = chance.uniform(0.1, 1.0) * prepared.seconds
    process = start(prepared.case.disturbed, folder)
    time.sleep(seconds)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=10 * prepared.seconds)
    return f"after {seconds:.1f} s", []


def fill_disk(prepared: Prepared, folder: Path, chance: random.Random) -> tuple[str, list[str]]:
    """Let no file become larger than a random size, as on a disk that is full."""
    largest = chance.randint(SMALLEST_FILE, LARGEST_FILE)
    process = start(prepared.case.disturbed, folder, largest_file=largest)
    output, _ = process.communicate(timeout=10 * prepared.seconds)
    moment = f"files up to {largest / 1024:.0f} KiB"
    return moment, _judge_failure(output, process.returncode, folder) if process.returncode else []


def forbid_writing(
    prepared: Prepared, folder: Path, _chance: random.Random
) -> tuple[str, list[str]]:
    """Make the data root read-only: nothing may change."""
    before = hashes(folder / "data")
    with read_only(folder / "data"):
        process = start(prepared.case.disturbed, folder)
        output, _ = process.communicate(timeout=10 * prepared.seconds)
    damage = _judge_failure(output, process.returncode, folder)
    return "from the start", damage + ["changed"] * (hashes(folder / "data") != before)


def _judge_failure(output: str, returncode: int, folder: Path) -> list[str]:
    """Check that a command failed with a message that names a file."""
    damage = [] if returncode == 1 else [f"ended with {returncode}"]
    if "Traceback (most recent call last)" in output:
        damage.append("prints a traceback")
    if str(folder) not in "".join(output.split()):  # the log breaks lines
        damage.append("names no file")
    return damage


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody write below a folder; against root, only a mount helps."""
    if os.geteuid():
        subprocess.run(["chmod", "-R", "a-w", folder], check=True)  # noqa: S607
        yield
        subprocess.run(["chmod", "-R", "u+w", folder], check=True)  # noqa: S607
        return
    subprocess.run(["mount", "--bind", folder, folder], check=True)  # noqa: S607
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)  # noqa: S607
        yield
    finally:
        subprocess.run(["umount", folder], check=True)  # noqa: S607


Disturbance = Callable[[Prepared, Path, random.Random], tuple[str, list[str]]]
ATTACKS: Final[dict[str, tuple[str, Disturbance]]] = {
    "SIGKILL of a run": ("run", kill),
    "SIGKILL of an update": ("update", kill),
    "SIGKILL of stages on Dask": ("stages on Dask", kill),
    "full disk during a run": ("run", fill_disk),
    "full disk during an update": ("update", fill_disk),
    "read-only data root": ("run", forbid_writing),
}


def prepare(case: Case, folder: Path) -> Prepared:
    """Make the older layers, and find what the undisturbed command makes of them."""
    prepared = Prepared(case, folder / "before")
    prepared.folder.mkdir(parents=True)
    lay_out_sample(prepared.folder / "new")
    shutil.copytree(prepared.folder / "new", prepared.folder / "old")
    for path in (prepared.folder / "old").rglob("stocks/*.csv"):
        header, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text(header + "".join(row for row in rows if row[:10] <= CUT), encoding="utf-8")
    complete(case.before, prepared.folder)
    trial = copy_before(prepared, folder / "undisturbed")
    began = time.monotonic()
    complete(case.disturbed, trial)
    prepared.seconds = time.monotonic() - began
    prepared.expected = hashes(trial / "data")
    return prepared


def copy_before(prepared: Prepared, folder: Path) -> Path:
    """Copy older layers, store and sources."""
    return shutil.copytree(prepared.folder, folder)


def attack(prepared: Prepared, disturb: Disturbance, folder: Path, chance: random.Random) -> bool:
    """Disturb a command, complete it, print what is wrong, and return whether nothing is."""
    trial = copy_before(prepared, folder)
    moment, damage = disturb(prepared, trial, chance)
    complete(prepared.case.disturbed, trial, *prepared.case.completing)
    damage += find_damage(trial, prepared.expected)
    print(f"  {moment:20} {'; '.join(damage[:3]) or 'equal'}", flush=True)
    shutil.rmtree(trial)
    return not damage


def main() -> int:
    """Run the trials and print a table; return 1 if one did not survive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=30, help="of each attack")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--attacks", nargs="+", default=list(ATTACKS), choices=list(ATTACKS))
    options = parser.parse_args()
    survivors: dict[str, int] = {}
    prepared: dict[str, Prepared] = {}
    with tempfile.TemporaryDirectory(prefix="crash-check-") as name:
        for title in options.attacks:
            case, disturb = ATTACKS[title]
            if case not in prepared:
                prepared[case] = prepare(CASES[case], Path(name, case))
            print(title, flush=True)
            chance = random.Random(f"{title} {options.seed}")  # noqa: S311 (moments, no secrets)
            trials = [
                attack(prepared[case], disturb, Path(name, "trial"), chance)
                for _ in range(options.tries)
            ]
            survivors[title] = sum(trials)
    print(f"\n{'attack':30} {'tries':>5} {'survivors':>9}")
    for title, number in survivors.items():
        print(f"{title:30} {options.tries:5} {number:9}")
    return int(any(number < options.tries for number in survivors.values()))


if __name__ == "__main__":
    sys.exit(main())
