"""Available memory: the least of what the machine, the container and the process allow."""

import logging
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from stock_volume import memory
from stock_volume.boosters import estimate_memory
from stock_volume.memory import MIB, available_memory, warn_if_short


@pytest.fixture
def limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Files of a container's limit and use, in place of the machine's."""
    paths = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr(memory, "_CGROUPS", (tuple(map(str, paths)),))
    return paths


def test_a_machine_without_limits_offers_what_is_free(limits: tuple[Path, Path]) -> None:
    """Without a container, what the machine has free is available, give or take other programs."""
    assert not any(path.exists() for path in limits)
    assert available_memory() == pytest.approx(psutil.virtual_memory().available, rel=0.2)


@pytest.mark.parametrize(("limit", "expected"), [("300000", 200_000), ("max", None)])
def test_a_container_offers_what_is_left_of_its_limit(
    limits: tuple[Path, Path], limit: str, expected: int | None
) -> None:
    """The limit less the use is available; `max` is no limit."""
    for path, text in zip(limits, (limit, "100000"), strict=True):
        path.write_text(text + "\n", encoding="ascii")
    assert expected in {None, available_memory()}
    assert (available_memory() > MIB) == (expected is None)


@pytest.mark.skipif(sys.platform != "linux", reason="ulimit -v")
def test_a_process_offers_what_it_may_map() -> None:
    """With `ulimit -v`, what the process may still map is available."""
    code = """
import resource
from stock_volume.memory import available_memory
limit = 2**31
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
assert 2**27 < available_memory() < limit
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("available", "warnings"), [(10 * MIB - 1, 1), (10 * MIB, 0)])
def test_a_shortage_is_warned_of(
    available: int, warnings: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning names the work, both amounts and what to set."""
    monkeypatch.setattr(memory, "available_memory", lambda: available)
    with caplog.at_level(logging.WARNING):
        warn_if_short(10 * MIB, "training", "lower forecaster.max_rows")
    expected = ["training needs about 10 MiB of memory, and 9 MiB are available: lower "]
    texts = [message.partition("forecaster")[0] for message in caplog.messages]
    assert texts == expected * warnings


def test_estimate_grows_with_rows_and_features() -> None:
    """Two million rows of 222 features, a million for a booster, need about two gigabytes."""
    assert 1.5e9 < estimate_memory(2_000_000, 1_000_000, 222, 100_000) < 2.5e9
    assert estimate_memory(1_000, 1_000, 222, 1_000) < 10e6
