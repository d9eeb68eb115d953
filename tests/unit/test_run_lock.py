"""The lock on a data root, between processes and within one."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stock_volume.run_lock import HOLDER_FILE, LOCK_FILE, LockedError, RunLock

HOLD = """
import sys, time
from pathlib import Path
from stock_volume.run_lock import RunLock

lock = RunLock.acquire(Path(sys.argv[1]), "theirs")
print("locked", flush=True)
time.sleep(60)
"""


def test_second_run_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    """The message has the data root, and process, host and start of the run that has the lock."""
    lock = RunLock.acquire(tmp_path, "first")
    with pytest.raises(LockedError) as refused:
        RunLock.acquire(tmp_path, "second")
    lock.release()
    message = str(refused.value)
    assert str(tmp_path) in message
    assert f"process {os.getpid()} on {socket.gethostname()}" in message
    assert re.search(r"started \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", message)


def test_released_lock_is_free(tmp_path: Path) -> None:
    """After a release the next run gets the lock; only the lock file stays."""
    for run_id in ("first", "second"):
        RunLock.acquire(tmp_path, run_id).release()
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_FILE]


def test_data_roots_are_locked_one_by_one(tmp_path: Path) -> None:
    """Runs on different data roots do not wait for each other; a missing one is created."""
    locks = [RunLock.acquire(tmp_path / name, "run") for name in ("one", "two")]
    for lock in locks:
        lock.release()


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    """The operating system releases the lock of a killed run, and its description is replaced."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(LockedError, match=f"process {process.pid} on"):
            RunLock.acquire(tmp_path, "ours")
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / HOLDER_FILE).exists()
    lock = RunLock.acquire(tmp_path, "ours")
    assert '"run_id":"ours"' in (tmp_path / HOLDER_FILE).read_text(encoding="utf-8")
    lock.release()


def test_lock_without_a_description_is_refused_too(tmp_path: Path) -> None:
    """A run that has only just begun may not have described itself yet."""
    lock = RunLock.acquire(tmp_path, "first")
    (tmp_path / HOLDER_FILE).write_text("{")
    with pytest.raises(LockedError, match="no details yet"):
        RunLock.acquire(tmp_path, "second")
    lock.release()


def test_run_may_wait(tmp_path: Path) -> None:
    """A run with patience is refused only after that time."""
    lock = RunLock.acquire(tmp_path, "first")
    with pytest.raises(LockedError):
        RunLock.acquire(tmp_path, "second", wait_seconds=0.2)
    lock.release()
    RunLock.acquire(tmp_path, "second", wait_seconds=0.2).release()
