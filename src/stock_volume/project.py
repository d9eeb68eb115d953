"""The files of the project that are not modules: in a checkout, or inside an installed wheel."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Final

from stock_volume.files import is_abandoned

PACKAGE: Final = Path(__file__).parent
_CHECKOUT: Final = PACKAGE.parents[1]
_PACKAGED: Final = PACKAGE / "_project"
"""Folder of a wheel with the project's files; deploy/hatch_build.py fills it."""

_CONF: Final = "conf"
_SOURCES: Final = "src"
_COPY: Final = f"{PACKAGE.name}-build-"


def modules() -> list[Path]:
    """List the modules of the package.

    Returns:
        Their files, sorted.
    """
    files = sorted(PACKAGE.rglob("*.py"))
    return [file for file in files if not file.is_relative_to(_PACKAGED)]


def project_file(name: str) -> str:
    """Find a file of the project.

    Args:
        name: Its path in a checkout.

    Returns:
        Its absolute path.
    """
    return str((_PACKAGED if _PACKAGED.is_dir() else _CHECKOUT) / name)


def configuration_folder() -> str:
    """Return Kedro's folder of configuration.

    Returns:
        In a checkout, a path relative to the project; in a wheel, the absolute path of its own.
    """
    return project_file(_CONF) if _PACKAGED.is_dir() else _CONF


@contextmanager
def build_context(project: Path) -> Iterator[Path]:
    """Find the folder that a Bento is built from.

    Args:
        project: Folder of the bentofile. A wheel's has no sources.

    Yields:
        The folder itself if it has sources; otherwise a temporary copy, with this package. BentoML
        builds from no hidden folder, such as the one that a wheel or a store may be in.
    """
    if (project / _SOURCES).is_dir():
        yield project
        return
    _delete_abandoned_copies()
    with TemporaryDirectory(prefix=_COPY) as scratch:
        context = Path(scratch, project.name)
        shutil.copytree(project, context)
        shutil.copytree(
            PACKAGE,
            context / _SOURCES / PACKAGE.name,
            ignore=shutil.ignore_patterns(_PACKAGED.name, "__pycache__"),
        )
        yield context


def _delete_abandoned_copies() -> None:
    """Delete the copies of builds that were killed."""
    for copy in Path(gettempdir()).glob(f"{_COPY}*"):
        with suppress(OSError):  # another user's, or another run deletes it
            if is_abandoned(copy):
                shutil.rmtree(copy)
