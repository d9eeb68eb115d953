"""``make fuzz GUIDED=SECONDS``: inputs that atheris derives from what they reach in the code.

usage: python -m tests.robustness.guided SECONDS [ATTACK ...]

Each attack starts from a few mutated inputs, in a process of its own. An input that fails is
written to the corpus, as ``make fuzz`` does, and ends its attack.
"""

import logging
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["stock_volume"]):
    from tests.robustness.fuzz import ATTACKS, judge, keep

SEEDS: Final = 50
LONGEST: Final = 20_000
"""Bytes of an input."""


def attack(name: str, seconds: int, folder: Path) -> None:
    """Attack until the time is over or an input fails; does not return.

    Args:
        name: A key of ``ATTACKS``.
        seconds: The time.
        folder: An empty folder for the inputs that reach something new.
    """
    make, read = ATTACKS[name]
    logging.disable(logging.CRITICAL)

    def test_one_input(content: bytes) -> None:
        if problem := judge(read, content):
            title = f"{name}-guided-{random.Random(content).getrandbits(32)}"  # noqa: S311
            keep(title, content)
            raise AssertionError(f"{title}: {problem}")

    chance = random.Random(name)  # noqa: S311 (inputs, no secrets)
    for number in range(SEEDS):
        (folder / str(number)).write_bytes(make(chance))
    limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-rss_limit_mb=0"]
    atheris.Setup([sys.argv[0], *limits, str(folder)], test_one_input)
    atheris.Fuzz()


def main(seconds: str, *names: str) -> int:
    """Run each attack in a process, and print a table; return 1 if an input failed."""
    print(f"{'attack':12} {'tries':>7} outcome")
    failed = 0
    for name in names or ATTACKS:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            process = (sys.executable, "-m", "tests.robustness.guided", "--attack")
            done = subprocess.run(
                [*process, name, seconds, folder], capture_output=True, text=True, check=False
            )
        lines = done.stderr.splitlines()
        tries = [line.split()[1] for line in lines if line.startswith("Done ")]
        problems = [line for line in lines if "AssertionError" in line]
        failed += bool(done.returncode)
        outcome = problems[-1] if problems else "ok" if not done.returncode else lines[-1]
        print(f"{name:12} {tries[0] if tries else '':>7} {outcome}", flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    if sys.argv[1] == "--attack":
        attack(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    sys.exit(main(*sys.argv[1:]))
