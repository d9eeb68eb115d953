"""A short version of ``make fuzz``: what once failed, bombs, and a few new mutations."""

import random
from pathlib import Path

import pytest

from tests.robustness.fuzz import ATTACKS, BARS, CORPUS, LISTING, archive_of, judge, read_archive

HEADER = BARS.partition(b"\n")[0] + b"\n"
FAILED_ONCE = sorted(CORPUS.glob("*-*-*")) if CORPUS.exists() else []


@pytest.mark.parametrize("attack", ATTACKS)
def test_mutated_input_is_read_or_refused(attack: str) -> None:
    """Nothing but an error of this project ends the reading, and no row is lost."""
    make, read = ATTACKS[attack]
    chance = random.Random(attack)  # noqa: S311 (inputs, no secrets)
    for _ in range(15):
        assert judge(read, make(chance)) == ""


@pytest.mark.parametrize("path", FAILED_ONCE, ids=lambda path: path.name)
def test_input_that_once_failed_is_read_or_refused(path: Path) -> None:
    """What ``make fuzz`` has found stays fixed."""
    _, read = ATTACKS[path.name.partition("-")[0]]
    assert judge(read, path.read_bytes()) == ""


@pytest.mark.parametrize(
    ("bars", "listing"),
    [
        (HEADER + b"\n" * 2**22, LISTING),
        (HEADER + b"x\n" * 600_000, LISTING),
        (BARS, LISTING + b"A,B,N\n" * 2**21),
        (HEADER + b"," * 2**22, LISTING),
    ],
    ids=["newlines", "rubbish", "listing", "commas"],
)
def test_small_bomb_is_read_or_refused(bars: bytes, listing: bytes) -> None:
    """A few kilobytes of zip take neither more than 10 seconds nor more than 1 GiB."""
    content = archive_of(bars, listing)
    assert len(content) < 2**16
    assert judge(read_archive, content) == ""
