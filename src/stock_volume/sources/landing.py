"""Fetched files of bars, laid down as one archive in the Kaggle layout."""

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from stock_volume.bars.archive import ETFS_FOLDER, STOCKS_FOLDER
from stock_volume.files import aside_of

_NAME_LENGTH: Final = 16
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def member_name(symbol: str, *, is_etf: bool) -> str:
    """Name a symbol's file in an archive.

    Args:
        symbol: The symbol.
        is_etf: Whether it is an ETF.

    Returns:
        Its path in the Kaggle layout.
    """
    return f"{ETFS_FOLDER if is_etf else STOCKS_FOLDER}/{symbol}.csv"


def land(files: Mapping[str, bytes], folder: Path) -> Path:
    """Keep fetched files as a zip that is named by its content.

    The same files make the same bytes and thus the same name: what was fetched before
    leaves no second copy, and what a run was made from is never overwritten.

    Args:
        files: Content by name.
        folder: Where the archive belongs; it is made.

    Returns:
        The archive.
    """
    folder.mkdir(parents=True, exist_ok=True)
    aside = aside_of(folder / "landing.zip")
    try:
        with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(files):
                member = zipfile.ZipInfo(name, _EPOCH)
                archive.writestr(member, files[name], zipfile.ZIP_DEFLATED)
        with aside.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        return aside.replace(folder / f"{digest[:_NAME_LENGTH]}.zip")
    finally:
        aside.unlink(missing_ok=True)
