"""Archives on other machines, by any address that fsspec knows."""

import errno
import hashlib
import json
import logging
import zipfile
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from stock_volume.bars.archive import ETFS_FOLDER, STOCKS_FOLDER, is_content
from stock_volume.concurrency import map_ahead
from stock_volume.errors import SourceError
from stock_volume.files import safe_file_name, written_aside
from stock_volume.progress import progress, transfer
from stock_volume.sources.address import (
    is_same_server,
    redacted,
    secret_words,
    shown,
    without_secrets,
)
from stock_volume.sources.answer import is_page_or_json, quoted
from stock_volume.sources.retry import RetryParameters, attempts, status_may_pass

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.client_middlewares import ClientMiddlewareType

logger = logging.getLogger(__name__)

_CONNECTIONS: Final = 32
_REMEMBERED_AT_ONCE: Final = 200
_SECONDS: Final = 60.0
"""How long a server may say nothing."""

_LOOKED_AT: Final = 16_384
"""Bytes of a file that show whether it is one of bars."""

_NAME_LENGTH: Final = 100

_OF_THIS_MACHINE: Final = {
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
    address = without_secrets(url)
    name = _file_name(PurePosixPath(address.rstrip("/")).stem)
    # The name is that of the place: the query of a signed address is another each time.
    folder = landing / f"{name}-{hashlib.sha256(address.encode()).hexdigest()[:8]}"
    try:
        return _mirrored(url, options, folder, retry or RetryParameters())
    except ImportError as error:
        raise SourceError(
            f"{shown(url)}: {error}; install an extra: pip install 'stock_volume[s3]' "
            "(or gcs, remote)"
        ) from error
    except SourceError:
        raise
    except Exception as error:  # noqa: BLE001 (each file system has errors of its own)
        # Not from the error: it may hold the whole address.
        raise SourceError(f"{shown(url)}: {_reason(error, landing)}") from None


def _file_name(name: str) -> str:
    return safe_file_name(name)[-_NAME_LENGTH:] or "archive"


def _mirrored(url: str, options: Mapping[str, Any], folder: Path, retry: RetryParameters) -> Path:
    import fsspec

    # It logs whole addresses.
    logging.getLogger("fsspec").setLevel(logging.WARNING)
    if url.startswith(("http://", "https://")):
        options = _for_http(url, options)
    file_system, root = fsspec.core.url_to_fs(url, use_listings_cache=False, **options)
    is_folder = url.endswith("/") and "?" not in url
    if "?" not in root:
        root = root.rstrip("/")
    for attempt in attempts(retry, _may_pass):
        with attempt:
            infos = _listing(file_system, root, is_folder=is_folder)
    if not infos:
        raise SourceError(f"{shown(url)}: no file of bars in it")
    is_file = root in infos
    names = {path: _inside(path, root, is_file=is_file) for path in infos}
    versions = {name: _version(infos[path]) for path, name in names.items()}
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
            fetched = _fetched_with_bytes_shown(file_system, infos, changed, retry)
        else:
            fetched = _fetched_with_files_shown(file_system, changed, retry)
        for number, path in enumerate(fetched, 1):
            known[names[path]] = versions[names[path]]
            if number % _REMEMBERED_AT_ONCE == 0:
                _write_json(known_path, known)
    finally:
        _write_json(known_path, known)
    _remove_others(folder, {folder / name for name in versions})
    logger.info("%s: %d of %d files fetched anew", shown(url), len(changed), len(names))
    return folder / names[root] if is_file else folder


def _for_http(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the options of fsspec's HTTP."""
    import aiohttp

    # Its own limit is five minutes for a whole file, however large.
    patience = aiohttp.ClientTimeout(total=None, sock_connect=_SECONDS, sock_read=_SECONDS)
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


def _fetched_with_bytes_shown(
    file_system: Any,
    infos: Mapping[str, Mapping[str, Any]],
    copies: Mapping[str, Path],
    retry: RetryParameters,
) -> Iterator[str]:
    for path, copy in copies.items():
        with transfer("fetching bars", infos[path].get("size")) as show:
            _fetch(file_system, path, copy, retry, show)
        yield path


def _fetched_with_files_shown(
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

    with written_aside(copy) as aside:
        for attempt in attempts(retry, _may_pass):
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
        beginning = file.read(_LOOKED_AT)
    is_member = is_content(without_secrets(path))
    if not is_page_or_json(beginning) if is_member else zipfile.is_zipfile(answer):
        return
    words = quoted(beginning, _secrets_of(file_system, path)) or "nothing"
    name = f"{PurePosixPath(path).name}: " if is_member else ""
    expected = "a CSV file" if is_member else "a zip archive"
    raise _AnswerError(f"{name}HTTP 200, but not {expected}: {words}")


def _secrets_of(file_system: Any, path: str) -> frozenset[str]:
    options = file_system.storage_options
    headers = [options.get("headers", {}), options.get("client_kwargs", {}).get("headers", {})]
    return secret_words(path, [str(value) for each in headers for value in each.values()])


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with written_aside(path) as aside:
        aside.write_text(json.dumps(content), encoding="utf-8")


def _listing(file_system: Any, root: str, *, is_folder: bool) -> dict[str, Mapping[str, Any]]:
    """List the wanted files, with what is told of each."""
    if not is_folder:
        info = file_system.info(root)
        if info["type"] == "file":
            return {root: info}
    found = _found(file_system, root)
    others = sorted(path for path in found if not is_content(path))
    if others:
        logger.warning(
            "%s: %d files are not fetched, being neither a symbol's bars nor the listing; first %s",
            shown(root),
            len(others),
            shown(others[0]),
        )
    return {path: info for path, info in found.items() if is_content(path)}


def _found(file_system: Any, root: str) -> dict[str, Mapping[str, Any]]:
    """Find all files below a root; over HTTP, where a page lists a folder, it may be a note."""
    if not _is_http(file_system):
        return dict(file_system.find(root, detail=True))
    found = file_system.find(root, detail=True, withdirs=True)
    files = {
        path: info
        for path, info in found.items()
        if info["type"] == "file" and path.rstrip("/") != root
    }
    for path in found.keys() - files.keys() - {root}:
        is_of_bars = PurePosixPath(path).name.lower() in {STOCKS_FOLDER, ETFS_FOLDER}
        if is_of_bars and not any(is_content(file) for file in files if file.startswith(path)):
            raise _AnswerError(
                f"{shown(path)} is linked to, and its page lists no CSV file; if it is empty "
                "indeed, remove it there"
            )
    return files


def _version(info: Mapping[str, Any]) -> str | None:
    telling = {
        key: str(value)
        for key, value in info.items()
        if key.lower() in _VERSION_KEYS and value is not None
    }
    return json.dumps({"size": info.get("size"), **telling}, sort_keys=True) if telling else None


def _inside(path: str, root: str, *, is_file: bool) -> str:
    """Name a file below the root, whose own name stands for itself."""
    if is_file:
        return _file_name(PurePosixPath(without_secrets(path)).name)
    inside = path.removeprefix(root).lstrip("/")
    if ".." in PurePosixPath(inside).parts:
        raise SourceError(f"{shown(path)}: leads out of {shown(root)}")
    return inside


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
    """Tell whether an error may pass: a refusal will not, nor will a full disk."""
    status = _status(error)
    if status is not None:
        return status_may_pass(status)
    return not _is_of_this_machine(error) and not isinstance(
        error,
        (FileNotFoundError, PermissionError, ImportError, TypeError, ValueError, SourceError),
    )


def _is_of_this_machine(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _OF_THIS_MACHINE


def _reason(error: Exception, landing: Path) -> str:
    status = _status(error)
    text = redacted(str(error)) or type(error).__name__
    if _is_of_this_machine(error):
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
