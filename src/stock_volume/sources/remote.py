"""Archives on other machines, by any address that fsspec knows."""

import hashlib
import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any, Final

from stock_volume.bars.archive import is_content
from stock_volume.errors import SourceError
from stock_volume.files import aside_of, written_aside
from stock_volume.progress import progress
from stock_volume.sources.retry import RetryParameters, attempts

logger = logging.getLogger(__name__)

_BATCH: Final = 200
_VERSION_KEYS: Final = (
    "etag",
    "md5hash",
    "content-md5",
    "generation",
    "lastmodified",
    "last-modified",
    "last_modified",
    "mtime",
    "updated",
)
"""What file systems call the fields, in lower case, that change when a file does."""


def is_remote(source: str) -> bool:
    """Tell an address from a path.

    Args:
        source: An address such as ``s3://bucket/archive.zip``, or a path.

    Returns:
        Whether it names a protocol.
    """
    return "://" in source


def mirror(
    url: str, options: Mapping[str, Any], landing: Path, retry: RetryParameters | None = None
) -> Path:
    """Bring a copy of a remote archive up to date.

    Files whose size and version are those of the last time are not fetched again; each
    file is written aside and then renamed, and files that are no longer there are removed.

    Args:
        url: Address of a zip file, or of a folder in the Kaggle layout; over HTTP a folder
            is told by a slash at the end.
        options: Of the file system: credentials, endpoint.
        landing: Folder of copies; this archive's has a name of its own in it.
        retry: How often a failed request is repeated.

    Returns:
        The copy: a zip file or folder.

    Raises:
        SourceError: The address cannot be read, or a package for it is missing.
    """
    name = PurePosixPath(url.rstrip("/")).stem or "archive"
    folder = landing / f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    retry = retry or RetryParameters()
    try:
        return _mirrored(url, options, folder, retry)
    except ImportError as error:
        raise SourceError(
            f"{url}: {error}; install an extra: pip install 'stock_volume[s3]' (or gcs, remote)"
        ) from error
    except SourceError:
        raise
    except Exception as error:  # each file system has errors of its own
        raise SourceError(f"{url}: {_reason(error)}") from error


def _mirrored(url: str, options: Mapping[str, Any], folder: Path, retry: RetryParameters) -> Path:
    import fsspec

    file_system, root = fsspec.core.url_to_fs(url, use_listings_cache=False, **options)
    for attempt in attempts(retry, _may_pass):
        with attempt:
            versions = _listing(file_system, root, is_folder=url.endswith("/"))
    if not versions:
        raise SourceError(f"{url}: no file of bars in it")
    known_path = folder.with_name(f".{folder.name}.json")
    known = json.loads(known_path.read_text("utf-8")) if known_path.is_file() else {}
    copies = {path: folder / _inside(path, root) for path in versions}
    changed = [
        path
        for path, version in versions.items()
        if version is None or known.get(path) != version or not copies[path].is_file()
    ]
    with progress("fetching bars", len(changed), "files") as advance:
        for start in range(0, len(changed), _BATCH):
            batch = changed[start : start + _BATCH]
            for attempt in attempts(retry, _may_pass):
                with attempt:
                    _fetch(file_system, {path: copies[path] for path in batch})
            known |= {path: versions[path] for path in batch}
            with written_aside(known_path) as aside:
                aside.write_text(json.dumps(known), encoding="utf-8")
            advance(len(batch))
    _remove_others(folder, set(copies.values()))
    logger.info("%s: %d of %d files fetched anew", url, len(changed), len(copies))
    only = next(iter(copies.values()))
    return only if root.rstrip("/") in versions else folder


def _listing(file_system: Any, root: str, *, is_folder: bool) -> dict[str, str | None]:
    """List the wanted files: a version each, None where it cannot be told."""
    root = root.rstrip("/")
    if not is_folder:
        info = file_system.info(root)
        if info["type"] == "file":
            return {root: _version(info)}
    found = file_system.find(root, detail=True)
    return {path: _version(info) for path, info in found.items() if is_content(path)}


def _version(info: Mapping[str, Any]) -> str | None:
    telling = {
        key: str(value)
        for key, value in info.items()
        if key.lower() in _VERSION_KEYS and value is not None
    }
    return json.dumps({"size": info.get("size"), **telling}, sort_keys=True) if telling else None


def _inside(path: str, root: str) -> str:
    """Name a file below the root, whose own name stands for itself."""
    inside = path.removeprefix(root.rstrip("/")).lstrip("/") or PurePosixPath(path).name
    if ".." in PurePosixPath(inside).parts:
        raise SourceError(f"{path}: leads out of {root}")
    return inside


def _fetch(file_system: Any, copies: Mapping[str, Path]) -> None:
    """Fetch some files at once, and then move them into place."""
    for copy in copies.values():
        copy.parent.mkdir(parents=True, exist_ok=True)
    asides = [str(aside_of(copy)) for copy in copies.values()]
    file_system.get(list(copies), asides)
    for copy in copies.values():
        aside_of(copy).replace(copy)


def _remove_others(folder: Path, wanted: set[Path]) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path not in wanted:
            path.unlink()


def _status(error: BaseException | None) -> int | None:
    """Find the HTTP status behind an error: fsspec calls each failure a missing file."""
    while error is not None:
        status = getattr(error, "status", None)
        if isinstance(status, int):
            return status
        error = error.__cause__
    return None


def _may_pass(error: Exception) -> bool:
    """Tell whether an error may pass: a refusal will not."""
    status = _status(error)
    if status is not None:
        return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return not isinstance(
        error, (FileNotFoundError, PermissionError, ImportError, ValueError, SourceError)
    )


def _reason(error: Exception) -> str:
    status = _status(error)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} or isinstance(
        error, PermissionError
    ):
        return f"access refused ({status or error}); give credentials, see docs/sources.md"
    if status not in {None, HTTPStatus.NOT_FOUND}:
        return f"cannot be read: HTTP {status}"
    if isinstance(error, FileNotFoundError):
        return f"nothing there ({error})"
    return f"cannot be read: {str(error) or type(error).__name__}"
