"""Writing of files so that no reader ever meets half of one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def partial_path(path: Path) -> Path:
    """Name the hidden sibling that a file is written to before it is complete."""
    return path.with_name(f".{path.name}.partial")


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Write a file beside its place and, if all goes well, move it there at once.

    Args:
        path: Where the complete file belongs; its folder is made.

    Yields:
        The path to write to.
    """
    aside = partial_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
