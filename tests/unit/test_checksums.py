"""Checksums of the files in a folder."""

import subprocess
from pathlib import Path

import pytest

from stock_volume.checksums import (
    CHECKSUMS_FILE,
    DamagedFolderError,
    verify_checksums,
    write_checksums,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "model.txt").write_text("tree")
    (tmp_path / "deep" / "é x.json").write_text("{}")
    (tmp_path / "model.yaml").write_text("name: a")
    write_checksums(tmp_path, exclude=["model.yaml"])
    return tmp_path


def test_sha256sum_can_read_them(folder: Path) -> None:
    """They are in the format of the command of that name."""
    command = ["/usr/bin/env", "sha256sum", "--check", "--quiet", CHECKSUMS_FILE]
    subprocess.run(command, cwd=folder, check=True)


def test_complete_folder_is_verified(folder: Path) -> None:
    """Files that are not listed may change, and others may be added."""
    (folder / "model.yaml").write_text("name: b")
    (folder / "__pycache__").mkdir()
    verify_checksums(folder)


def test_checksums_are_written_again_after_a_change(folder: Path) -> None:
    """The list of checksums does not list itself."""
    (folder / "model.txt").write_text("another tree")
    write_checksums(folder, exclude=["model.yaml"])
    verify_checksums(folder)
    assert CHECKSUMS_FILE not in (folder / CHECKSUMS_FILE).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["model.txt", "deep/é x.json", CHECKSUMS_FILE])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    """Half a folder is not accepted."""
    (folder / name).unlink()
    with pytest.raises(DamagedFolderError, match=name):
        verify_checksums(folder)


@pytest.mark.parametrize("text", ["tre", "tref", ""])
def test_changed_file_is_named(folder: Path, text: str) -> None:
    """A file with other content is not accepted, whatever its size."""
    (folder / "model.txt").write_text(text)
    with pytest.raises(DamagedFolderError, match=r"model\.txt: has changed"):
        verify_checksums(folder)


@pytest.mark.parametrize("content", [b"abc  model.txt\n", b"\xff", b"model.txt\n"])
def test_damaged_list_is_an_error(folder: Path, content: bytes) -> None:
    """A list that cannot be read verifies nothing."""
    (folder / CHECKSUMS_FILE).write_bytes(content)
    with pytest.raises(DamagedFolderError, match=CHECKSUMS_FILE):
        verify_checksums(folder)
