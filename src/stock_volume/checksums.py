"""Checksums of the files in a folder, in the format of ``sha256sum``."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from stock_volume.errors import StockVolumeError
from stock_volume.lineage.digests import digest_file

CHECKSUMS_FILE: Final = "SHA256SUMS"
"""File in the folder; ``sha256sum --check SHA256SUMS`` verifies it by hand."""

_LINE: Final = re.compile(r"([0-9a-f]{64})  (.+)")


class DamagedFolderError(StockVolumeError):
    """A folder is incomplete, or its files have changed since it was written."""


def write_checksums(folder: Path, exclude: Collection[str] = ()) -> None:
    """Write the checksums of all files below a folder, or write them again.

    Args:
        folder: The folder.
        exclude: Names of files in it that may still change.
    """
    paths = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    left_out = {*exclude, CHECKSUMS_FILE}
    lines = [
        f"{digest_file(folder / path).sha256}  {path.as_posix()}\n"
        for path in paths
        if path.as_posix() not in left_out
    ]
    (folder / CHECKSUMS_FILE).write_text("".join(lines), encoding="utf-8")


def verify_checksums(folder: Path) -> None:
    """Compare the files of a folder with its checksums; it may have other files, too.

    Args:
        folder: The folder.

    Raises:
        DamagedFolderError: A file, or the list of checksums, is missing or has changed.
    """
    path = folder / CHECKSUMS_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        raise DamagedFolderError(
            f"{folder}: has no {CHECKSUMS_FILE}, so it is incomplete, or an earlier version of "
            "stock_volume made it; make it again"
        ) from None
    for line in lines:
        entry = _LINE.fullmatch(line)
        if entry is None:
            raise DamagedFolderError(f"{path}: {line!r} is no checksum; make the folder again")
        file = folder / entry[2]
        if not file.is_file() or digest_file(file).sha256 != entry[1]:
            state = "has changed" if file.is_file() else "is missing"
            raise DamagedFolderError(f"{file}: {state} since it was written; make it again")
