"""The lock on a data root: two runs that write the same layers never run at the same time."""

import os
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from stock_volume.errors import StockVolumeError
from stock_volume.files import write_atomically

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK_FILE: Final = ".lock"
"""File in the data root that the operating system locks; it stays there after a run."""

HOLDER_FILE: Final = ".lock.json"
"""File beside it that describes the run that has the lock."""

WAIT_VARIABLE: Final = "STOCK_VOLUME_LOCK_SECONDS"
"""Environment variable: how long a run waits for another to end; by default it does not."""


class LockedError(StockVolumeError):
    """Another run writes to the data root."""


class Holder(BaseModel):
    """The run that has a lock."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    process: int
    host: str
    started_at: AwareDatetime

    @classmethod
    def of(cls, run_id: str) -> Self:
        """Describe a run of this process that starts now.

        Args:
            run_id: Kedro's identifier of the run.

        Returns:
            The description.
        """
        return cls(
            run_id=run_id,
            process=os.getpid(),
            host=socket.gethostname(),
            started_at=datetime.now(tz=UTC).replace(microsecond=0),
        )

    def __str__(self) -> str:
        """Return the process, the host and the start."""
        start = f"{self.started_at:%Y-%m-%d %H:%M:%S} UTC"
        return f"process {self.process} on {self.host}, started {start}"


@dataclass(frozen=True, slots=True)
class RunLock:
    """A lock that a run has; the operating system releases it if the process dies.

    Attributes:
        thread: Identifier of the thread of the run.
    """

    thread: int
    _lock: "BaseFileLock"
    _holder_file: Path

    @classmethod
    def acquire(cls, data_root: Path, run_id: str, wait_seconds: float = 0) -> Self:
        """Lock a data root.

        Args:
            data_root: The folder of all layers; it is created if it is missing.
            run_id: Kedro's identifier of the run.
            wait_seconds: How long to wait for another run to end.

        Returns:
            The lock.

        Raises:
            LockedError: Another run has the lock; the message names it.
            OSError: The data root cannot be written to.
        """
        from filelock import FileLock, Timeout

        data_root.mkdir(parents=True, exist_ok=True)
        # Not a singleton, and not reentrant: a second run of this process is another run.
        lock = FileLock(data_root / LOCK_FILE, thread_local=False)
        holder_file = data_root / HOLDER_FILE
        try:
            lock.acquire(timeout=wait_seconds)
        except Timeout:
            raise LockedError(_describe_conflict(data_root, holder_file)) from None
        held = cls(threading.get_ident(), lock, holder_file)
        try:
            with write_atomically(holder_file) as aside:
                aside.write_text(Holder.of(run_id).model_dump_json(), encoding="utf-8")
        except BaseException:
            held.release()
            raise
        return held

    def release(self) -> None:
        """Release the lock."""
        with suppress(OSError):  # the data root is gone, or read-only by now
            self._holder_file.unlink(missing_ok=True)
        self._lock.release()


def _describe_conflict(data_root: Path, holder_file: Path) -> str:
    try:
        holder = str(Holder.model_validate_json(holder_file.read_bytes()))
    except (OSError, ValidationError):  # it has just begun, or just ended
        holder = "no details yet"
    return (
        f"{data_root}: another run is using this data root ({holder}); wait until it ends, or use "
        f"another data_root. With {WAIT_VARIABLE}=600, a run waits up to 600 seconds"
    )
