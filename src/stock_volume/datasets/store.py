"""Atomic saves into the BentoML store, which itself copies file by file into place."""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from stock_volume.errors import StockVolumeError
from stock_volume.files import is_abandoned, sync, write_atomically

if TYPE_CHECKING:
    from bentoml._internal.store import Store

logger = logging.getLogger(__name__)

StoreT = TypeVar("StoreT", bound="Store[Any]")

_LOCK_SECONDS: Final = 600.0
"""How long a save waits for saves of other runs into the same store, which take seconds."""


class StoreError(StockVolumeError):
    """A version cannot be saved into the store."""


@contextmanager
def staging(store: StoreT, name: str, description: str) -> Iterator[StoreT]:
    """Give an empty store, and move the versions saved into it into the store by renames.

    Readers see all of a version or nothing of it. If the process is killed, the next save
    deletes what it left, including the temporary folders of BentoML.

    Args:
        store: The store of models or of Bentos.
        name: Name of the versions.
        description: File that every version has.

    Yields:
        The empty store, on the same file system.

    Raises:
        StoreError: Files cannot be written, or another run has been saving for ten minutes.
    """
    from filelock import FileLock, Timeout

    target = Path(store._path).absolute()  # noqa: SLF001 (BentoML has no public name for it)
    aside = target.with_name(f".{target.name}.partial")
    target.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(target.with_name(f".{target.name}.lock"), timeout=_LOCK_SECONDS):
            shutil.rmtree(aside, ignore_errors=True)
            _delete_half_versions(target / name, description)
            try:
                aside.mkdir()
                with _temporary_folders_in(aside):
                    yield type(store)(aside / "store")
                _put_in_place(aside / "store" / name, target / name)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    except shutil.Error as error:  # of copytree: a list of source, target and reason
        reasons = [reason for *_, reason in error.args[0]]
        raise StoreError(f"{target}: cannot save a version of {name}: {reasons[0]}") from error
    except Timeout:
        raise StoreError(f"{target}: another run is saving into this store") from None


def _put_in_place(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for version in sorted(path for path in source.iterdir() if path.is_dir()):
        for path in version.rglob("*"):
            sync(path)
        version.rename(target / version.name)
        sync(target)
        with write_atomically(target / "latest") as aside:
            aside.write_text(version.name, encoding="utf-8")


def _delete_half_versions(folder: Path, description: str) -> None:
    """Delete versions without their description, on which BentoML's commands fail.

    Earlier versions of this package left them if they were killed during a copy.
    """
    for version in folder.glob("*/"):
        if not (version / description).exists() and is_abandoned(version):
            logger.warning("%s: half a version without %s; deleted", version, description)
            shutil.rmtree(version)


@contextmanager
def _temporary_folders_in(folder: Path) -> Iterator[None]:
    """Let BentoML create its temporary folders in another one, which is deleted in any case."""
    from bentoml._internal.configuration.containers import BentoMLContainer

    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        with BentoMLContainer.tmp_bento_store_dir.patch(str(folder)):
            yield
    finally:
        tempfile.tempdir = before
