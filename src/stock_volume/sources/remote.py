"""Copies of remote archives and files at any address that fsspec supports."""

import errno
import hashlib
import json
import logging
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict

from stock_volume.bars.archive import ETFS_FOLDER, STOCKS_FOLDER, is_content
from stock_volume.concurrency import map_ahead
from stock_volume.errors import SourceError
from stock_volume.files import replace_unsafe_characters, write_atomically
from stock_volume.progress import progress, transfer
from stock_volume.sources.address import (
    list_headers_to_strip,
    list_secret_headers,
    list_secrets,
    redact_address,
    redact_text,
    strip_secrets,
)
from stock_volume.sources.answer import INSPECTED_BYTES, is_page_or_json, quote_beginning
from stock_volume.sources.retry import RetryParameters, attempts, is_transient_status

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.client_middlewares import ClientMiddlewareType

logger = logging.getLogger(__name__)

_CONNECTIONS: Final = 32
_FILES_PER_CHECKPOINT: Final = 200
_TIMEOUT_SECONDS: Final = 60.0
"""Longest silence of a server."""

_NAME_LENGTH: Final = 100
_LOCAL_ERRNOS: Final = {
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
}
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
"""Fields of file systems, in lower case, that change with a file's content."""


Options = Mapping[str, Any]
"""Arguments of a file system of fsspec: credentials, endpoint, and objects of its library."""


class FileInfo(TypedDict, total=False):
    """What file systems know of a file; most also have fields that change with its content."""

    name: str
    size: int | None
    type: str


class _Expected(NamedTuple):
    """What an address should have.

    Attributes:
        noun: What the files hold, for messages.
        is_archive: Whether it is a zip file or a folder, rather than any file.
    """

    noun: str
    is_archive: bool


_ARCHIVE: Final = _Expected("bars", is_archive=True)
_FILE: Final = _Expected("events", is_archive=False)


def mirror(url: str, options: Options, landing: Path, retry: RetryParameters | None = None) -> Path:
    """Update the local copy of a remote archive.

    Files with the recorded size and version are not fetched again. Each file is written
    atomically, and files that the archive no longer has are removed.

    Args:
        url: Address of a zip file, or of a folder in the Kaggle layout; over HTTP a
            folder ends with a slash.
        options: Options of the file system: credentials, endpoint.
        landing: Folder of all copies; each archive has its own name in it.
        retry: Retries of failed requests.

    Returns:
        Path of the copy: a zip file or folder.

    Raises:
        SourceError: The address cannot be read, or a package for it is not installed.
    """
    return _mirror(url, options, landing, retry or RetryParameters(), _ARCHIVE)


def mirror_file(
    url: str, options: Options, landing: Path, retry: RetryParameters | None = None
) -> Path:
    """Update the local copy of a remote file, as ``mirror`` does that of an archive.

    Args:
        url: Address of a CSV or Parquet file.
        options: Options of the file system: credentials, endpoint.
        landing: Folder of all copies; each file has its own folder in it.
        retry: Retries of failed requests.

    Returns:
        Path of the copy.

    Raises:
        SourceError: The address cannot be read, is one of a folder, or answers with a page; or a
            package for it is not installed.
    """
    return _mirror(url, options, landing, retry or RetryParameters(), _FILE)


def _mirror(
    url: str, options: Options, landing: Path, retry: RetryParameters, expected: _Expected
) -> Path:
    address = strip_secrets(url)
    name = _file_name(PurePosixPath(address.rstrip("/")).stem)
    # Named without the query, which differs each time an address is signed.
    folder = landing / f"{name}-{hashlib.sha256(address.encode()).hexdigest()[:8]}"
    try:
        return _update_copy(url, options, folder, retry, expected)
    except ImportError as error:
        raise SourceError(
            f"{redact_address(url)}: {error}; install an extra: pip install 'stock_volume[s3]' "
            "(or gcs, remote)"
        ) from error
    except SourceError:
        raise
    except Exception as error:  # noqa: BLE001 (each file system raises its own errors)
        # Not chained: the error may contain the whole address.
        raise SourceError(f"{redact_address(url)}: {_explain(error, landing)}") from None


def _file_name(name: str) -> str:
    return replace_unsafe_characters(name)[-_NAME_LENGTH:] or "archive"


def _update_copy(
    url: str, options: Options, folder: Path, retry: RetryParameters, expected: _Expected
) -> Path:
    file_system, root = _open_file_system(url, options)
    is_folder = url.endswith("/") and "?" not in url
    for attempt in attempts(retry, _is_transient):
        with attempt:
            infos = _list_archive_files(file_system, root, is_folder=is_folder)
    if not infos:
        raise SourceError(f"{redact_address(url)}: no file of bars in it")
    is_file = root in infos
    if not is_file and not expected.is_archive:
        raise SourceError(f"{redact_address(url)}: is a folder, expected a file")
    names = {path: _name_copy(path, root, is_file=is_file) for path in infos}
    versions = {name: _read_version(infos[path]) for path, name in names.items()}
    record = _VersionRecord(folder)
    changed = {
        path: folder / name
        for path, name in names.items()
        if not record.is_current(name, versions[name])
    }
    if is_file:
        fetched = _fetch_tracking_bytes(file_system, infos, changed, retry, expected)
    else:
        fetched = _fetch_tracking_files(file_system, changed, retry)
    record.add((names[path], versions[names[path]]) for path in fetched)
    _remove_stale_files(folder, {folder / name for name in versions})
    logger.info("%s: fetched %d of %d files", redact_address(url), len(changed), len(names))
    return folder / names[root] if is_file else folder


def _open_file_system(url: str, options: Options) -> tuple[Any, str]:
    """Open the file system of an address, and find the root within it."""
    import fsspec

    # fsspec logs whole addresses.
    logging.getLogger("fsspec").setLevel(logging.WARNING)
    if url.startswith(("http://", "https://")):
        options = _complete_http_options(url, options)
    file_system, root = fsspec.core.url_to_fs(url, use_listings_cache=False, **options)
    return file_system, root if "?" in root else root.rstrip("/")


class _VersionRecord:
    """Versions of the copied files, stored beside the folder of the copy."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder.with_name(f".{folder.name}.json")
        self._versions: dict[str, str | None] = (
            json.loads(self._path.read_text("utf-8")) if self._path.is_file() else {}
        )

    def is_current(self, name: str, version: str | None) -> bool:
        """Return whether the copy of a file exists in this version."""
        return (
            version is not None
            and self._versions.get(name) == version
            and (self._folder / name).is_file()
        )

    def add(self, versions: Iterable[tuple[str, str | None]]) -> None:
        """Record fetched files, saving at intervals and after an error."""
        try:
            for number, (name, version) in enumerate(versions, 1):
                self._versions[name] = version
                if number % _FILES_PER_CHECKPOINT == 0:
                    self._save()
        finally:
            self._save()

    def _save(self) -> None:
        with write_atomically(self._path) as aside:
            aside.write_text(json.dumps(self._versions), encoding="utf-8")


def _complete_http_options(url: str, options: Options) -> Options:
    """Complete the options of fsspec's HTTP file system."""
    import aiohttp

    # The default limit is five minutes for a whole file, however large.
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=_TIMEOUT_SECONDS, sock_read=_TIMEOUT_SECONDS
    )
    client = options.get("client_kwargs", {})
    headers = {**client.get("headers", {}), **options.get("headers", {})}
    strip = _make_redirect_middleware(url, headers)
    return {
        "encoded": "?" in url,  # the signature covers the encoding
        "skip_instance_cache": True,
        **options,
        "client_kwargs": {"timeout": timeout, "middlewares": (strip,), **client},
    }


def _make_redirect_middleware(url: str, headers: Mapping[str, str]) -> "ClientMiddlewareType":
    """Make a middleware that strips secret headers from requests redirected to another server."""
    import yarl

    home = str(yarl.URL(url))

    async def strip(
        request: "aiohttp.ClientRequest", send: "aiohttp.ClientHandlerType"
    ) -> "aiohttp.ClientResponse":
        for name in list_headers_to_strip(home, str(request.url), headers):
            request.headers.popall(name, None)
        return await send(request)

    return strip


def _fetch_tracking_bytes(
    file_system: Any,
    infos: Mapping[str, FileInfo],
    copies: Mapping[str, Path],
    retry: RetryParameters,
    expected: _Expected,
) -> Iterator[str]:
    for path, copy in copies.items():
        with transfer(f"fetching {expected.noun}", infos[path].get("size")) as show:
            _fetch(file_system, path, copy, retry, expected, show)
        yield path


def _fetch_tracking_files(
    file_system: Any, copies: Mapping[str, Path], retry: RetryParameters
) -> Iterator[str]:
    # File systems with one connection, such as SFTP, serve one thread.
    workers = _CONNECTIONS if file_system.async_impl else 1

    def fetch(path: str) -> str:
        _fetch(file_system, path, copies[path], retry)
        return path

    with progress("fetching bars", len(copies), "files") as advance:
        for path in map_ahead(fetch, copies, workers):
            yield path
            advance(1)


def _fetch(  # noqa: PLR0913, PLR0917 (how and what is fetched, from where to where)
    file_system: Any,
    path: str,
    copy: Path,
    retry: RetryParameters,
    expected: _Expected = _ARCHIVE,
    show: Callable[[float], None] = lambda _: None,
) -> None:
    from fsspec.callbacks import Callback

    with write_atomically(copy) as aside:
        for attempt in attempts(retry, _is_transient):
            with attempt:
                watch = Callback(hooks={"show": lambda size, value: show(value)})  # noqa: ARG005
                file_system.get_file(path, str(aside), callback=watch)
                if _is_http(file_system):
                    _check_answer(file_system, path, aside, expected)


class _AnswerError(Exception):
    """A response with a status of success and the wrong content."""


def _is_http(file_system: Any) -> bool:
    return "http" in file_system.protocol


def _check_answer(file_system: Any, path: str, answer: Path, expected: _Expected) -> None:
    """Reject a response with status 200 that is a note or a page in place of a file."""
    with answer.open("rb") as file:
        beginning = file.read(INSPECTED_BYTES)
    is_member = not expected.is_archive or is_content(strip_secrets(path))
    if not is_page_or_json(beginning) if is_member else zipfile.is_zipfile(answer):
        return
    words = quote_beginning(beginning, _list_request_secrets(file_system, path)) or "nothing"
    name = f"{PurePosixPath(strip_secrets(path)).name}: " if is_member else ""
    wanted = "a CSV file" if is_member else "a zip archive"
    raise _AnswerError(f"{name}HTTP 200, but not {wanted}: {words}")


def _list_request_secrets(file_system: Any, path: str) -> frozenset[str]:
    options = file_system.storage_options
    headers = [options.get("headers", {}), options.get("client_kwargs", {}).get("headers", {})]
    values = [str(value) for each in headers for value in list_secret_headers(each).values()]
    return list_secrets(path, values)


def _list_archive_files(file_system: Any, root: str, *, is_folder: bool) -> dict[str, FileInfo]:
    """List the archive's files with the information that the file system has of each."""
    if not is_folder:
        info = file_system.info(root)
        if info["type"] == "file":
            return {root: info}
    entries = _find_files(file_system, root)
    others = sorted(path for path in entries if not is_content(path))
    if others:
        logger.warning(
            "%s: %d files are not fetched, being neither a symbol's bars nor the listing; first %s",
            redact_address(root),
            len(others),
            redact_address(others[0]),
        )
    return {path: info for path, info in entries.items() if is_content(path)}


def _find_files(file_system: Any, root: str) -> dict[str, FileInfo]:
    """Find all files below a root; over HTTP, check that each folder's page lists files."""
    if not _is_http(file_system):
        return dict(file_system.find(root, detail=True))
    entries = file_system.find(root, detail=True, withdirs=True)
    files = {
        path: info
        for path, info in entries.items()
        if info["type"] == "file" and path.rstrip("/") != root
    }
    for path in entries.keys() - files.keys() - {root}:
        is_of_bars = PurePosixPath(path).name.lower() in {STOCKS_FOLDER, ETFS_FOLDER}
        if is_of_bars and not any(is_content(file) for file in files if file.startswith(path)):
            raise _AnswerError(
                f"{redact_address(path)} is linked to, and its page lists no CSV file; if it is "
                "empty, remove it from the server"
            )
    return files


def _read_version(info: FileInfo) -> str | None:
    fields = {
        key: str(value)
        for key, value in info.items()
        if key.lower() in _VERSION_KEYS and value is not None
    }
    return json.dumps({"size": info.get("size"), **fields}, sort_keys=True) if fields else None


def _name_copy(path: str, root: str, *, is_file: bool) -> str:
    """Name the copy of a file by its path below the root; a root that is a file, by its name."""
    if is_file:
        return _file_name(PurePosixPath(strip_secrets(path)).name)
    inside = path.removeprefix(root).lstrip("/")
    if ".." in PurePosixPath(inside).parts:
        raise SourceError(f"{redact_address(path)}: leads out of {redact_address(root)}")
    return inside


def _remove_stale_files(folder: Path, current: set[Path]) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path not in current:
            path.unlink()


def _find_status(error: BaseException | None) -> int | None:
    """Find the HTTP status behind an error, as fsspec reports each failure as a missing file."""
    while error is not None:
        status = getattr(error, "status", None)
        if isinstance(status, int):
            return status
        error = error.__cause__
    return None


def _is_transient(error: Exception) -> bool:
    """Return whether a retry may help, unlike after a refusal or with a full disk."""
    status = _find_status(error)
    if status is not None:
        return is_transient_status(status)
    return not _is_local_error(error) and not isinstance(
        error,
        (FileNotFoundError, PermissionError, ImportError, TypeError, ValueError, SourceError),
    )


def _is_local_error(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _LOCAL_ERRNOS


def _explain(error: Exception, landing: Path) -> str:
    status = _find_status(error)
    text = redact_text(str(error)) or type(error).__name__
    if _is_local_error(error):
        return f"cannot be stored in {landing}: {text}"
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} or isinstance(
        error, PermissionError
    ):
        return f"access refused ({status or text}); give credentials, see docs/sources/address.md"
    if status not in {None, HTTPStatus.NOT_FOUND}:
        return f"cannot be read: HTTP {status}"
    if isinstance(error, FileNotFoundError):
        return "nothing there"
    return f"cannot be read: {text}"
