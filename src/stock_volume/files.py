"""Names of files, and writing them so that no reader ever sees half a file."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_UNSAFE_IN_FILE_NAMES: Final = re.compile(r"[^\w.-]")


def safe_file_name(name: str) -> str:
    """Replace characters that are unsafe in file names.

    Args:
        name: Any text.

    Returns:
        The text with an underscore for each unsafe character.
    """
    return _UNSAFE_IN_FILE_NAMES.sub("_", name)


def aside_of(path: Path) -> Path:
    """Return the path of the hidden sibling that holds a file until it is complete."""
    return path.with_name(f".{path.name}.partial")


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Write a file beside its path and, on success, rename it.

    Args:
        path: Path of the complete file; its folder is created.

    Yields:
        The path to write to.
    """
    aside = aside_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
