"""Measuring of a stage from inside the process that runs it alone."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Stage = Callable[[Path, Path], dict[str, Any]]
"""Takes where to read and where to write; returns figures besides the measured ones."""


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
    """Measure what is done inside.

    Args:
        figures: Where wall and CPU seconds and the peak of memory (MiB) go.

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
    """Tell BentoML where its store is, and that nobody is to be counted."""
    return {
        "BENTOML_HOME": str(store),
        "BENTOML_DO_NOT_TRACK": "True",
        "DO_NOT_TRACK": "1",
    }


def main(stages: dict[str, Stage]) -> None:
    """Run the stage named on the command line, and print its figures as JSON.

    Args:
        stages: The stages by name.
    """
    name, source, target = sys.argv[1:]
    print(json.dumps(stages[name](Path(source), Path(target))))
