"""Atomic writes and safe names of files."""

import os
from pathlib import Path

import pytest

from stock_volume.files import (
    path_to_text,
    replace_unsafe_characters,
    text_to_path,
    write_atomically,
)


def write_half(path: Path) -> None:
    """Fail in the middle of a write."""
    with write_atomically(path) as aside:
        aside.write_text("half")
        raise OSError("full")


def test_an_error_leaves_the_previous_file(tmp_path: Path) -> None:
    """A failed write leaves the previous file and no temporary one."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="full"):
        write_half(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_complete_write_replaces_the_file(tmp_path: Path) -> None:
    """Missing folders are created, and the file appears on success."""
    path = tmp_path / "new" / "a.txt"
    with write_atomically(path) as aside:
        aside.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"


@pytest.mark.parametrize(
    ("name", "safe"), [("a/b:c.zip", "a_b_c.zip"), ("2024-01-02T03:04", "2024-01-02T03_04")]
)
def test_unsafe_characters_become_underscores(name: str, safe: str) -> None:
    """Only letters, digits, underscores, dots and hyphens stay."""
    assert replace_unsafe_characters(name) == safe


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"A.csv", "A.csv"),
        ("\u00e9 \u4e2d.csv".encode(), "\u00e9 \u4e2d.csv"),
        (b"caf\xe9\xff.csv", r"caf\xe9\xff.csv"),
        (rb"caf\xe9.csv", r"caf\xe9.csv"),  # a backslash on the disk
    ],
)
def test_path_is_text_and_back(tmp_path: Path, name: bytes, text: str) -> None:
    """The text is UTF-8 whatever the bytes of the name, and leads to the file."""
    path = tmp_path / os.fsdecode(name)
    path.touch()
    written = path_to_text(path)
    assert written == f"{tmp_path.as_posix()}/{text}"
    assert written.encode()
    assert text_to_path(written) == path
