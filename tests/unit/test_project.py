"""The files of the project, in a checkout and in a wheel."""

import os
from pathlib import Path

import pytest

from stock_volume import project
from stock_volume.project import (
    PACKAGE,
    build_context,
    configuration_folder,
    modules,
    project_file,
)

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package as a wheel installs it."""
    package = tmp_path / "stock_volume"
    files = package / "_project"
    (files / "conf" / "base").mkdir(parents=True)
    (files / "bentofile.yaml").touch()
    (files / "service.py").touch()
    (package / "__init__.py").touch()
    (package / "__pycache__").mkdir()
    (package / "page").mkdir()
    (package / "page" / "index.html").touch()
    monkeypatch.setattr(project, "PACKAGE", package)
    monkeypatch.setattr(project, "_PACKAGED", files)
    return package


def test_a_checkout_has_its_files() -> None:
    """Kedro finds the configuration in the project, whatever the folder is called."""
    assert project_file("bentofile.yaml") == str(CHECKOUT / "bentofile.yaml")
    assert configuration_folder() == "conf"
    with build_context(CHECKOUT) as context:
        assert context == CHECKOUT
    assert modules() == sorted(PACKAGE.rglob("*.py"))


def test_a_wheel_has_its_own(wheel: Path) -> None:
    """The project's files are beside the modules, and not counted among them."""
    assert project_file("bentofile.yaml") == str(wheel / "_project" / "bentofile.yaml")
    assert configuration_folder() == str(wheel / "_project" / "conf")
    assert modules() == [wheel / "__init__.py"]


def test_a_wheel_builds_bentos_of_its_modules(wheel: Path) -> None:
    """The files and the modules are laid out as in a checkout, in a folder that does not stay."""
    with build_context(wheel / "_project") as context:
        assert sorted(
            file.relative_to(context).as_posix() for file in context.rglob("*") if file.is_file()
        ) == [
            "bentofile.yaml",
            "service.py",
            "src/stock_volume/__init__.py",
            "src/stock_volume/page/index.html",
        ]
        assert not list(context.rglob("__pycache__"))
    assert not context.parent.exists()


def test_copies_of_killed_builds_are_deleted(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build deletes what others left, but not what another is building from, nor other files."""
    temporary = tmp_path / "tmp"
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    old, new, other = (
        temporary / name
        for name in ("stock_volume-build-a", "stock_volume-build-b", "stock_volume")
    )
    for folder in (old, new, other):
        (folder / "_project").mkdir(parents=True)
    for folder in (old, other):
        os.utime(folder, (0, 0))
    with build_context(wheel / "_project") as context:
        assert context.parent.parent == temporary
    assert sorted(temporary.iterdir()) == [other, new]
