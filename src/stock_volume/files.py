"""Paths and names of files, atomic writes, and abandoned folders."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_UNSAFE_CHARACTERS: Final = re.compile(r"[^\w.-]")
"""Characters unsafe in file names."""

_ESCAPED_BYTE: Final = re.compile(rb"\\x([89a-f][0-9a-f])")
"""A byte that is not ASCII, as ``path_to_text`` writes it."""

_ABANDONED_SECONDS: Final = 3600.0
"""Age at which a folder that takes seconds to write is no longer being written."""


def path_to_text(path: str | Path) -> str:
    r"""Write a path as text.

    Args:
        path: The path. Its bytes need not be UTF-8.

    Returns:
        The path with forward slashes, and with escapes such as ``\xe9`` for bytes that are not
        UTF-8.
    """
    return os.fsencode(Path(path).as_posix()).decode("utf-8", errors="backslashreplace")


def text_to_path(text: str) -> Path:
    """Return the path that ``path_to_text`` wrote.

    Args:
        text: The path as text.

    Returns:
        The path. If a file has this name with its backslashes, that file is meant.
    """
    path = Path(text)
    if path.exists() or not _ESCAPED_BYTE.search(text.encode()):
        return path
    return Path(os.fsdecode(_ESCAPED_BYTE.sub(_unescape, text.encode())))


def _unescape(escaped: re.Match[bytes]) -> bytes:
    return bytes.fromhex(escaped[1].decode())


def files_below(folder: Path) -> Iterator[str]:
    """List the files of a folder and of those below it, each folder once though links loop.

    Args:
        folder: The folder. Links to folders are followed.

    Yields:
        Paths of files, and of links that lead nowhere.

    Raises:
        OSError: A folder cannot be listed.
    """
    seen: set[tuple[int, int]] = set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        status = os.stat(parent)  # noqa: PTH116 (thousands of times)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        # A folder itself before a link to it: its files keep their names.
        folders.sort(key=lambda name: (os.path.islink(f"{parent}/{name}"), name))  # noqa: PTH114
        for path in (f"{parent}/{file}" for file in files):
            # A link that leads nowhere is a file that cannot be read; a pipe is no file.
            if os.path.isfile(path) or not os.path.exists(path):  # noqa: PTH110, PTH113
                yield path


def _raise(error: OSError) -> None:
    raise error


def partial_path(path: Path) -> Path:
    """Return the hidden sibling path that holds a file until it is complete."""
    return path.with_name(f".{path.name}.partial")


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Write a file under a temporary name and rename it on success.

    Readers see the previous file or the complete new one, never a part, also after a loss of
    power. On an error the temporary file is removed.

    Args:
        path: Final path of the file; missing parent folders are created.

    Yields:
        The temporary path to write to.
    """
    aside = partial_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield aside
        replace_durably(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def replace_durably(aside: Path, path: Path) -> None:
    """Rename a complete file, and return when both content and name are on the disk.

    Args:
        aside: The temporary path, in the same folder.
        path: Final path of the file.
    """
    sync(aside)  # a file system may write the new name before the content
    aside.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk.

    Args:
        path: The file or folder.
    """
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_abandoned(folder: Path) -> bool:
    """Return whether a folder is too old for a process to be still writing it.

    Args:
        folder: A folder that takes seconds to write.
    """
    return time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS


def replace_unsafe_characters(name: str) -> str:
    """Replace each character that is unsafe in a file name with an underscore.

    Args:
        name: Any text.

    Returns:
        The name, with letters, digits, ``_``, ``.`` and ``-`` only.
    """
    return _UNSAFE_CHARACTERS.sub("_", name)
