"""Compares the files of two data roots that depend on bars and parameters only.

usage: python -m tests.robustness.compare DATA_ROOT EXPECTED
"""

import sys
from pathlib import Path

from tests.robustness.crash_check import hashes


def main(data_root: str, expected: str) -> int:
    """Print which files differ, and return the exit code."""
    made, wanted = hashes(Path(data_root)), hashes(Path(expected))
    differing = sorted(name for name in {*made, *wanted} if made.get(name) != wanted.get(name))
    for name in differing:
        print(f"{name} differs")
    print(f"files: {len(wanted) - len(differing)} of {len(wanted)} equal those of kedro run")
    return int(bool(differing) or not wanted)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
