"""Compares the files of two data roots that depend on bars and parameters only.

usage: python -m tests.robustness.compare DATA_ROOT EXPECTED
"""

import sys
from pathlib import Path

from tests.robustness.crash_check import hashes, list_differing


def main(data_root: str, expected: str) -> int:
    """Print which files differ, and return the exit code."""
    made, wanted = hashes(Path(data_root)), hashes(Path(expected))
    differing = list_differing(made, wanted)
    for name in differing:
        print(f"{name} differs")
    matching = sum(made.get(name) == digest for name, digest in wanted.items())
    print(f"{matching} of {len(wanted)} files match")
    return int(bool(differing) or not wanted)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
