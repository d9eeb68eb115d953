"""Archives of fetched files, in the Kaggle layout."""

import hashlib
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from stock_volume.bars.archive import ETFS_FOLDER, STOCKS_FOLDER
from stock_volume.files import partial_path

_NAME_LENGTH: Final = 16
_MAX_SYMBOL_LENGTH: Final = 100
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def can_name_file(symbol: str) -> bool:
    """Return whether a symbol is a valid file name.

    Ingestion would skip other names, or they would lead out of the folder.

    Args:
        symbol: The symbol.

    Returns:
        Whether it is short and printable, has no leading dot and no path separator.
    """
    return (
        0 < len(symbol) <= _MAX_SYMBOL_LENGTH
        and symbol.isprintable()
        and not symbol.startswith(".")
        and not {"/", "\\"} & set(symbol)
    )


def name_member(symbol: str, *, is_etf: bool) -> str:
    """Build the name of a symbol's file in an archive.

    Args:
        symbol: The symbol.
        is_etf: Whether it is an ETF.

    Returns:
        Its path in the Kaggle layout.
    """
    return f"{ETFS_FOLDER if is_etf else STOCKS_FOLDER}/{symbol}.csv"


def land(files: Iterable[tuple[str, bytes]], folder: Path) -> Path:
    """Write fetched files to a zip whose name is a digest of its content.

    The same files in the same order make the same bytes and so the same name: repeated
    fetches leave one copy, and no run's input is ever overwritten.

    Args:
        files: Names and contents; each is written before the next is requested.
        folder: Folder of the archive; created if missing.

    Returns:
        Path of the archive.
    """
    folder.mkdir(parents=True, exist_ok=True)
    aside = partial_path(folder / "landing.zip")
    try:
        with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files:
                member = zipfile.ZipInfo(name, _EPOCH)
                archive.writestr(member, content, zipfile.ZIP_DEFLATED)
        with aside.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        return aside.replace(folder / f"{digest[:_NAME_LENGTH]}.zip")
    finally:
        aside.unlink(missing_ok=True)
