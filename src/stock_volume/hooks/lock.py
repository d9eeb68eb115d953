"""The lock on the data root, from the start of a run to its end."""

import os
import threading
from collections.abc import Generator
from math import inf
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog

from stock_volume.errors import StockVolumeError
from stock_volume.hooks.names import MANIFEST, RunParams
from stock_volume.run_lock import WAIT_VARIABLE, RunLock


class LockHook:
    """Lets one run at a time use a data root, and removes what killed runs left half written."""

    def __init__(self) -> None:
        """Start without a lock."""
        self._held: RunLock | None = None

    # Around all other hooks: none may read or write before the lock is there, or after it is gone.
    @hook_impl(wrapper=True, tryfirst=True)
    def before_pipeline_run(
        self, run_params: RunParams, catalog: DataCatalog
    ) -> Generator[None, Any, Any]:
        """Lock the data root.

        Raises:
            LockedError: Another run has the lock.
        """
        data_root = find_data_root(catalog)
        if data_root is None:
            return (yield)
        self._release_abandoned()
        lock = RunLock.acquire(data_root, run_params["run_id"], _wait_seconds())
        self._held = lock
        try:
            _delete_partial_files(data_root)
            return (yield)
        except BaseException:  # Kedro calls no hook after this
            self._release()
            raise

    @hook_impl(wrapper=True, tryfirst=True)
    def after_pipeline_run(self) -> Generator[None, Any, Any]:
        """Release the lock after all other hooks."""
        try:
            return (yield)
        finally:
            self._release()

    @hook_impl(wrapper=True, tryfirst=True)
    def on_pipeline_error(self) -> Generator[None, Any, Any]:
        """Release the lock after all other hooks."""
        try:
            return (yield)
        finally:
            self._release()

    def _release(self) -> None:
        if self._held is not None:
            self._held.release()
            self._held = None

    def _release_abandoned(self) -> None:
        """Release the lock of a run that Ctrl-C ended in a notebook: Kedro called no hook."""
        if self._held is not None and self._held.thread == threading.get_ident():
            self._release()


def find_data_root(catalog: DataCatalog) -> Path | None:
    """Find the folder of all layers.

    Args:
        catalog: The catalog of a run.

    Returns:
        The folder; None if the catalog has no manifest.
    """
    if MANIFEST not in catalog:
        return None
    manifest: Any = catalog[MANIFEST]
    path: Path = manifest.path
    return path.parent.parent


def _wait_seconds() -> float:
    text = os.environ.get(WAIT_VARIABLE) or "0"
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < inf:
        raise StockVolumeError(f"{WAIT_VARIABLE}={text}: must be a number of seconds, at least 0")
    return seconds


def _delete_partial_files(data_root: Path) -> None:
    """Delete the files that killed runs were writing; fetched files are resumed, so they stay."""
    for path in data_root.glob("0[2-9]_*/**/.*.partial"):
        path.unlink(missing_ok=True)
