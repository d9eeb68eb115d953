"""Time the trees of small and large boosters by how many threads grow them and how these wait.

Usage: python benchmarks/threads.py

OpenMP reads how threads wait when it is loaded, so each way is measured in a process of its own.
Prints milliseconds per tree, also beside another process that trains in the same way.
"""

import json
import os
import subprocess
import sys
import time
from typing import Final

from stock_volume.boosters import Block, bin_rows
from stock_volume.forecaster.parameters import ForecasterParameters
from stock_volume.forecaster.settings import mean_settings

ROWS: Final = (3_000, 30_000, 100_000)
FEATURES: Final = 150
TREES: Final = 15
CORES: Final = os.cpu_count() or 1
CHILD: Final = "--child"
WAYS: Final[dict[str, tuple[int, dict[str, str]]]] = {
    "one thread": (1, {}),
    "all cores, asleep while they wait": (CORES, {"GOMP_SPINCOUNT": "0"}),
    "all cores, spinning while they wait": (CORES, {"GOMP_SPINCOUNT": "300000"}),
    "all cores, as boosters.py sets it": (CORES, {}),
}


def time_trees(threads: int) -> list[float]:
    """Fit a booster to random rows of each number.

    Args:
        threads: Number of threads.

    Returns:
        Milliseconds per tree.
    """
    import numpy as np

    random = np.random.default_rng(0)
    timed = []
    for rows in ROWS:
        inputs = random.normal(size=(rows, FEATURES)).astype(np.float32)
        target = inputs[:, 0] + random.normal(size=rows)
        settings = mean_settings(
            rows, ForecasterParameters(n_estimators=TREES, num_threads=threads)
        )
        names = [f"x{number}" for number in range(FEATURES)]
        blocks = [Block(rows, lambda inputs=inputs: inputs)]  # type: ignore[misc]
        training = bin_rows(blocks, target, np.ones(rows), names, settings)
        start = time.perf_counter()
        training.fit(settings)
        timed.append(1e3 * (time.perf_counter() - start) / TREES)
    return timed


def start(threads: int, variables: dict[str, str]) -> "subprocess.Popen[str]":
    """Start a process that times trees."""
    inherited = {name: value for name, value in os.environ.items() if "OMP_" not in name}
    return subprocess.Popen(
        [sys.executable, __file__, CHILD, str(threads)],
        env={**inherited, **variables},
        stdout=subprocess.PIPE,
        text=True,
    )


def main() -> None:
    """Print a table."""
    print(f"| ms per tree of | {' | '.join(f'{rows:,} rows' for rows in ROWS)} |")
    print(f"|---|{'---:|' * len(ROWS)}")
    for beside in (0, 1):
        for name, (threads, variables) in WAYS.items():
            processes = [start(threads, variables) for _ in range(1 + beside)]
            outputs = [process.communicate()[0] for process in processes]
            timed = json.loads(outputs[0])
            label = name + (", beside another training" if beside else "")
            print(f"| {label} | {' | '.join(f'{one:.1f}' for one in timed)} |", flush=True)


if __name__ == "__main__":
    if CHILD in sys.argv:
        print(json.dumps(time_trees(int(sys.argv[-1]))))
    else:
        main()
