"""Archives on other machines, by any address that fsspec knows."""

import errno
import hashlib
import json
import logging
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from stock_volume.bars.archive import ETFS_FOLDER, STOCKS_FOLDER, is_content
from stock_volume.concurrency import map_ahead
from stock_volume.errors import SourceError
from stock_volume.files import write_atomically
from stock_volume.progress import progress, transfer
from stock_volume.sources.address import (
    is_same_server,
    list_secrets,
    redact_address,
    redact_text,
    strip_secrets,
)
from stock_volume.sources.answer import is_page_or_json, quote_beginning
from stock_volume.sources.retry import RetryParameters, attempts, is_transient_status

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.client_middlewares import ClientMiddlewareType

logger = logging.getLogger(__name__)

_CONNECTIONS: Final = 32
_FILES_PER_CHECKPOINT: Final = 200
_TIMEOUT_SECONDS: Final = 60.0
"""How long a server may say nothing."""

INSPECTED_BYTES: Final = 16_384
"""Bytes of a file that show whether it is one of bars."""

_NAME_LENGTH: Final = 100
_UNSAFE: Final = re.compile(r"[^\w.-]")
"""What the name of a file had better not have."""

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
"""What file systems call the fields, in lower case, that change when a file does."""


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
    address = strip_secrets(url)
    name = _file_name(PurePosixPath(address.rstrip("/")).stem)
    # The name is that of the place: the query of a signed address is another each time.
    folder = landing / f"{name}-{hashlib.sha256(address.encode()).hexdigest()[:8]}"
    try:
        return _update_copy(url, options, folder, retry or RetryParameters())
    except ImportError as error:
        raise SourceError(
            f"{redact_address(url)}: {error}; install an extra: pip install 'stock_volume[s3]' "
            "(or gcs, remote)"
        ) from error
    except SourceError:
        raise
    except Exception as error:  # noqa: BLE001 (each file system has errors of its own)
        # Not from the error: it may hold the whole address.
        raise SourceError(f"{redact_address(url)}: {_explain(error, landing)}") from None


def _file_name(name: str) -> str:
    return _UNSAFE.sub("_", name)[-_NAME_LENGTH:] or "archive"


def _update_copy(
    url: str, options: Mapping[str, Any], folder: Path, retry: RetryParameters
) -> Path:
    import fsspec

    # It logs whole addresses.
    logging.getLogger("fsspec").setLevel(logging.WARNING)
    if url.startswith(("http://", "https://")):
        options = _complete_http_options(url, options)
    file_system, root = fsspec.core.url_to_fs(url, use_listings_cache=False, **options)
    is_folder = url.endswith("/") and "?" not in url
    if "?" not in root:
        root = root.rstrip("/")
    for attempt in attempts(retry, _is_transient):
        with attempt:
            infos = _list_archive_files(file_system, root, is_folder=is_folder)
    if not infos:
        raise SourceError(f"{redact_address(url)}: no file of bars in it")
    is_file = root in infos
    names = {path: _name_copy(path, root, is_file=is_file) for path in infos}
    versions = {name: _read_version(infos[path]) for path, name in names.items()}
    known_path = folder.with_name(f".{folder.name}.json")
    known = json.loads(known_path.read_text("utf-8")) if known_path.is_file() else {}
    changed = {
        path: folder / name
        for path, name in names.items()
        if versions[name] is None
        or known.get(name) != versions[name]
        or not (folder / name).is_file()
    }
    try:
        if is_file:
            fetched = _fetch_tracking_bytes(file_system, infos, changed, retry)
        else:
            fetched = _fetch_tracking_files(file_system, changed, retry)
        for number, path in enumerate(fetched, 1):
            known[names[path]] = versions[names[path]]
            if number % _FILES_PER_CHECKPOINT == 0:
                _write_json(known_path, known)
    finally:
        _write_json(known_path, known)
    _remove_stale_files(folder, {folder / name for name in versions})
    logger.info("%s: %d of %d files fetched anew", redact_address(url), len(changed), len(names))
    return folder / names[root] if is_file else folder


def _complete_http_options(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the options of fsspec's HTTP."""
    import aiohttp

    # Its own limit is five minutes for a whole file, however large.
    patience = aiohttp.ClientTimeout(
        total=None, sock_connect=_TIMEOUT_SECONDS, sock_read=_TIMEOUT_SECONDS
    )
    client = options.get("client_kwargs", {})
    headers = {**client.get("headers", {}), **options.get("headers", {})}
    keep = _keeping_from_others(url, headers)
    return {
        "encoded": "?" in url,  # a signed address has to arrive as it was signed
        "skip_instance_cache": True,
        **options,
        "client_kwargs": {"timeout": patience, "middlewares": (keep,), **client},
    }


def _keeping_from_others(url: str, headers: Mapping[str, str]) -> "ClientMiddlewareType":
    """Make a middleware that takes our headers off a request to another server.

    A server may redirect to one; aiohttp itself takes off ``Authorization`` only.
    """
    import yarl

    home = str(yarl.URL(url))

    async def strip(
        request: "aiohttp.ClientRequest", send: "aiohttp.ClientHandlerType"
    ) -> "aiohttp.ClientResponse":
        if not is_same_server(home, str(request.url)):
            for name in headers:
                request.headers.popall(name, None)
        return await send(request)

    return strip


def _fetch_tracking_bytes(
    file_system: Any,
    infos: Mapping[str, Mapping[str, Any]],
    copies: Mapping[str, Path],
    retry: RetryParameters,
) -> Iterator[str]:
    for path, copy in copies.items():
        with transfer("fetching bars", infos[path].get("size")) as show:
            _fetch(file_system, path, copy, retry, show)
        yield path


def _fetch_tracking_files(
    file_system: Any, copies: Mapping[str, Path], retry: RetryParameters
) -> Iterator[str]:
    # One connection, as of SFTP, is for one thread.
    workers = _CONNECTIONS if file_system.async_impl else 1

    def fetch(path: str) -> str:
        _fetch(file_system, path, copies[path], retry)
        return path

    with progress("fetching bars", len(copies), "files") as advance:
        for path in map_ahead(fetch, copies, workers):
            yield path
            advance(1)


def _fetch(
    file_system: Any,
    path: str,
    copy: Path,
    retry: RetryParameters,
    show: Callable[[float], None] = lambda _: None,
) -> None:
    from fsspec.callbacks import Callback

    with write_atomically(copy) as aside:
        for attempt in attempts(retry, _is_transient):
            with attempt:
                watch = Callback(hooks={"show": lambda size, value: show(value)})  # noqa: ARG005
                file_system.get_file(path, str(aside), callback=watch)
                if _is_http(file_system):
                    _check_answer(file_system, path, aside)


class _AnswerError(Exception):
    """An answer that the server calls a success and that is something else."""


def _is_http(file_system: Any) -> bool:
    return "http" in file_system.protocol


def _check_answer(file_system: Any, path: str, answer: Path) -> None:
    """Refuse an answer with status 200 that is a note or a page in place of a file."""
    with answer.open("rb") as file:
        beginning = file.read(INSPECTED_BYTES)
    is_member = is_content(strip_secrets(path))
    if not is_page_or_json(beginning) if is_member else zipfile.is_zipfile(answer):
        return
    words = quote_beginning(beginning, _list_request_secrets(file_system, path)) or "nothing"
    name = f"{PurePosixPath(path).name}: " if is_member else ""
    expected = "a CSV file" if is_member else "a zip archive"
    raise _AnswerError(f"{name}HTTP 200, but not {expected}: {words}")


def _list_request_secrets(file_system: Any, path: str) -> frozenset[str]:
    options = file_system.storage_options
    headers = [options.get("headers", {}), options.get("client_kwargs", {}).get("headers", {})]
    return list_secrets(path, [str(value) for each in headers for value in each.values()])


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with write_atomically(path) as aside:
        aside.write_text(json.dumps(content), encoding="utf-8")


def _list_archive_files(
    file_system: Any, root: str, *, is_folder: bool
) -> dict[str, Mapping[str, Any]]:
    """List the wanted files, with what is told of each."""
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


def _find_files(file_system: Any, root: str) -> dict[str, Mapping[str, Any]]:
    """Find all files below a root; over HTTP, where a page lists a folder, it may be a note."""
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
                f"{redact_address(path)} is linked to, and its page lists no CSV file; if it is empty "
                "indeed, remove it there"
            )
    return files


def _read_version(info: Mapping[str, Any]) -> str | None:
    fields = {
        key: str(value)
        for key, value in info.items()
        if key.lower() in _VERSION_KEYS and value is not None
    }
    return json.dumps({"size": info.get("size"), **fields}, sort_keys=True) if fields else None


def _name_copy(path: str, root: str, *, is_file: bool) -> str:
    """Name a file below the root, whose own name stands for itself."""
    if is_file:
        return _file_name(PurePosixPath(strip_secrets(path)).name)
    inside = path.removeprefix(root).lstrip("/")
    if ".." in PurePosixPath(inside).parts:
        raise SourceError(f"{redact_address(path)}: leads out of {redact_address(root)}")
    return inside


def _remove_stale_files(folder: Path, wanted: set[Path]) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path not in wanted:
            path.unlink()


def _find_status(error: BaseException | None) -> int | None:
    """Find the HTTP status behind an error: fsspec calls each failure a missing file."""
    while error is not None:
        status = getattr(error, "status", None)
        if isinstance(status, int):
            return status
        error = error.__cause__
    return None


def _is_transient(error: Exception) -> bool:
    """Tell whether an error may pass: a refusal will not, nor will a full disk."""
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
        return f"cannot be kept in {landing}: {text}"
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} or isinstance(
        error, PermissionError
    ):
        return f"access refused ({status or text}); give credentials, see docs/sources/address.md"
    if status not in {None, HTTPStatus.NOT_FOUND}:
        return f"cannot be read: HTTP {status}"
    if isinstance(error, FileNotFoundError):
        return "nothing there"
    return f"cannot be read: {text}"
