"""Atomic writes and safe names of files."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_UNSAFE_CHARACTERS: Final = re.compile(r"[^\w.-]")
"""Characters unsafe in file names."""


def partial_path(path: Path) -> Path:
    """Return the hidden sibling path that holds a file until it is complete."""
    return path.with_name(f".{path.name}.partial")


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Write a file under a temporary name and rename it on success.

    Readers see the previous file or the complete new one, never a part. On an error the
    temporary file is removed.

    Args:
        path: Final path of the file; missing parent folders are created.

    Yields:
        The temporary path to write to.
    """
    aside = partial_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def replace_unsafe_characters(name: str) -> str:
    """Replace each character that is unsafe in a file name with an underscore.

    Args:
        name: Any text.

    Returns:
        The name, with letters, digits, ``_``, ``.`` and ``-`` only.
    """
    return _UNSAFE_CHARACTERS.sub("_", name)
