"""Digests of files, the revision of the code, and the versions of packages."""

import hashlib
import json
import logging
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, JsonValue

from stock_volume.files import files_below, path_to_text
from stock_volume.project import PACKAGE, modules

logger = logging.getLogger(__name__)

UNKNOWN_REVISION: Final = "unknown"
_CHUNK_BYTES: Final = 2**20
_PACKAGES: Final = (
    "stock_volume",
    "kedro",
    "kedro-datasets",
    "polars",
    "pyarrow",
    "pandera",
    "exchange-calendars",
    "numpy",
    "scikit-learn",
    "lightgbm",
    "joblib",
    "bentoml",
)
"""The packages whose version can change a result."""


class Environment(NamedTuple):
    """The code and the packages of a run.

    Attributes:
        git_revision: Commit of the code.
        code: Fingerprint of this package's modules.
        versions: Versions of Python and of the packages that can change a result.
    """

    git_revision: str
    code: str
    versions: dict[str, str]

    @classmethod
    def current(cls) -> Self:
        """Describe the present environment."""
        return cls(git_revision(), code_digest(), package_versions())


class FileDigest(BaseModel):
    """A file and the digest of its content."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    path: str
    r"""Path of the file, with forward slashes, and with escapes such as ``\xe9`` for bytes that
    are not UTF-8."""

    size: int
    """Size in bytes."""

    sha256: str
    """SHA-256 of the content, in hexadecimal."""


def digest_file(path: Path) -> FileDigest:
    """Digest one file.

    Args:
        path: Path of the file.

    Returns:
        The digest.
    """
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            sha256.update(chunk)
    return FileDigest(path=path_to_text(path), size=path.stat().st_size, sha256=sha256.hexdigest())


def digest_path(path: Path) -> list[FileDigest]:
    """Digest a file, or every file below a folder.

    Args:
        path: Path of the file or folder.

    Returns:
        The digests, sorted by path. Links are followed. Unreadable files in a folder are skipped
        with a warning; ingestion has already set them aside.

    Raises:
        OSError: The file cannot be read, or a folder cannot be listed.
    """
    if not path.is_dir():
        return [digest_file(path)]
    files = (file for file in sorted(map(Path, files_below(path))) if file.is_file())
    return [digest for digest in map(_digest_if_readable, files) if digest is not None]


def _digest_if_readable(file: Path) -> FileDigest | None:
    try:
        return digest_file(file)
    except OSError as error:
        logger.warning("%s has no digest: %s", path_to_text(file), error.strerror)
        return None


def fingerprint(digests: Iterable[tuple[str, str | None]]) -> str:
    """Combine the digests of a data set into one.

    Args:
        digests: Name and SHA-256 of each file; None where it could not be read.

    Returns:
        SHA-256 over the sorted lines ``sha256  name``, in hexadecimal.
    """
    lines = sorted(f"{sha256}  {name}\n" for name, sha256 in digests)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def parameters_digest(value: JsonValue) -> str:
    """Digest the value of a parameter.

    Args:
        value: The value.

    Returns:
        SHA-256 over its JSON with sorted keys, in hexadecimal.
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def code_digest() -> str:
    """Digest the source code of this package.

    Returns:
        Fingerprint of its modules, in hexadecimal; equal for equal code, wherever it is.
    """
    return fingerprint(
        (module.relative_to(PACKAGE).as_posix(), digest_file(module).sha256) for module in modules()
    )


def package_versions() -> dict[str, str]:
    """List the versions of Python and of the packages that can change a result.

    Returns:
        Versions by name, without packages that are not installed.
    """
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def git_revision(folder: Path = PACKAGE) -> str:
    """Return the revision of the code.

    Args:
        folder: A folder of the checkout; this package's by default.

    Returns:
        The commit, with ``-dirty`` appended if tracked files differ from it; ``unknown`` outside
        a checkout, and for a folder that the checkout does not track, as an environment in it.
    """
    try:
        subprocess.run(  # nosec B607
            ["git", "ls-files", "--error-unmatch", "."],  # noqa: S607
            cwd=folder,
            capture_output=True,
            check=True,
        )
        answer = subprocess.run(  # nosec B607
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],  # noqa: S607
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN_REVISION
    return answer.stdout.strip()
