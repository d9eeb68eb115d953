"""Measure a stage from inside the separate process that runs it."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Stage = Callable[[Path, Path], dict[str, Any]]
"""Takes the paths to read and to write; returns figures in addition to the measured ones."""


def memory_mib(field: str) -> float:
    """Read one memory figure of this process.

    Args:
        field: ``VmHWM`` for the peak, ``VmRSS`` for now.

    Returns:
        MiB.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise LookupError(field)


@contextmanager
def measured(figures: dict[str, Any]) -> Iterator[None]:
    """Measure the body of the ``with`` statement.

    Args:
        figures: Receives wall and CPU seconds, and memory before the work and at its peak (MiB).

    Yields:
        Nothing.
    """
    figures["loaded_mib"] = memory_mib("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    figures["wall"] = time.perf_counter() - wall
    figures["cpu"] = time.process_time() - cpu
    figures["peak_mib"] = memory_mib("VmHWM")


def bento_environment(store: Path) -> dict[str, str]:
    """Return variables that set BentoML's store and turn its usage statistics off."""
    return {
        "BENTOML_HOME": str(store),
        "BENTOML_DO_NOT_TRACK": "True",
        "DO_NOT_TRACK": "1",
    }


def main(stages: dict[str, Stage]) -> None:
    """Run the stage named on the command line and print its figures as JSON.

    Args:
        stages: The stages by name.
    """
    name, source, target = sys.argv[1:]
    print(json.dumps(stages[name](Path(source), Path(target))))
