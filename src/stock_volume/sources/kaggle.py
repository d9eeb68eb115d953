"""The Kaggle archive, downloaded with kagglehub, which resumes and verifies downloads."""

import contextlib
import io
import re
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from stock_volume.bars.archive import BarArchive
from stock_volume.errors import SourceError
from stock_volume.sources.address import redact_text
from stock_volume.sources.answer import INSPECTED_BYTES, is_page_or_json, quote_beginning
from stock_volume.sources.archive import open_with_warning
from stock_volume.sources.retry import RetryParameters, attempts, is_transient_status

_VERSIONED: Final = re.compile(r"[\w-]+/[\w-]+/versions/\d+")
_MANUAL_DOWNLOAD: Final = (
    "or download the archive in a browser and name it: kedro run --params source=archive.zip"
)
_MAKE_A_KEY: Final = (
    "Make an API token in your Kaggle settings and put it into KAGGLE_API_TOKEN, or kaggle.json "
    "into ~/.kaggle"
)
_DAMAGE_ERRORS: Final = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError)


class KaggleSource:
    """A version of a Kaggle dataset, downloaded into kagglehub's cache.

    Attributes:
        name: ``owner/dataset/versions/number``.
    """

    def __init__(self, handle: str, seconds: float = 15.0) -> None:
        """Configure the source.

        Args:
            handle: ``owner/dataset/versions/number``.
            seconds: Time limit of each request.
        """
        self.name = handle
        self._seconds = seconds

    @property
    def path(self) -> Path:
        """Folder of the files, which are downloaded first if necessary."""
        return download(self.name, self._seconds)

    def exists(self) -> bool:
        """Return True: Kaggle is requested later."""
        return True

    def open(self) -> BarArchive:
        """Open the archive, downloading it first if necessary.

        Returns:
            The archive, with its files listed and none read.
        """
        return open_with_warning(self.path)


def download(handle: str, seconds: float, retry: RetryParameters | None = None) -> Path:
    """Download a version of a dataset, unless kagglehub's cache has it.

    Args:
        handle: ``owner/dataset/versions/number``; without the number a cached copy would
            not be found offline.
        seconds: Time limit of each request; kagglehub has none.
        retry: Retries of failed requests; a download resumes where it broke.

    Returns:
        Folder of the files, in kagglehub's cache (``KAGGLEHUB_CACHE``).

    Raises:
        SourceError: The handle has no version, kagglehub is not installed, Kaggle cannot be
            reached or refuses access, or the download cannot be stored.
    """
    if not _VERSIONED.fullmatch(handle):
        raise SourceError(f"{handle}: name the version too: owner/dataset/versions/number")
    try:
        import kagglehub
    except ModuleNotFoundError as error:
        raise SourceError(
            "the Kaggle archive needs the extra: pip install 'stock_volume[kaggle]'"
        ) from error
    cached = _find_cached(handle)
    if cached:
        return cached
    try:
        for attempt in attempts(retry or RetryParameters(), _is_transient):
            with (
                attempt,
                _remove_damaged_download(handle),
                _limit_request_time(seconds),
                _hide_progress_bar(),
            ):
                return Path(kagglehub.dataset_download(handle))
    except SourceError:
        raise
    except Exception as error:  # noqa: BLE001 (kagglehub raises any kind)
        # Not chained: the error may contain a signed address.
        raise SourceError(f"{handle}: {_explain(error)}") from None
    raise AssertionError("unreachable")


def _find_cached(handle: str) -> Path | None:
    """Find a complete cached copy, without the client and logs of kagglehub's download."""
    from kagglehub.cache import Cache
    from kagglehub.handle import parse_dataset_handle

    path = Cache().load_from_cache(parse_dataset_handle(handle))
    return Path(path) if path else None


@contextlib.contextmanager
def _remove_damaged_download(handle: str) -> Iterator[None]:
    """Remove a download that cannot be unpacked, because kagglehub would reuse it.

    If it is a page or a note, its first words are added to the error.
    """
    from kagglehub.cache import Cache
    from kagglehub.handle import parse_dataset_handle

    try:
        yield
    except Exception as error:
        archive = Path(Cache().get_archive_path(parse_dataset_handle(handle)))
        if _is_damage(error) and archive.is_file():
            with archive.open("rb") as file:
                beginning = file.read(INSPECTED_BYTES)
            if is_page_or_json(beginning):
                error.add_note(f"it says: {quote_beginning(beginning)}")
            archive.unlink()
        raise


@contextlib.contextmanager
def _limit_request_time(seconds: float) -> Iterator[None]:
    """Set a time limit for requests without one, as Kaggle's client sends them."""
    from requests.adapters import HTTPAdapter

    send = HTTPAdapter.send

    def send_with_timeout(  # noqa: PLR0913, PLR0917 (as HTTPAdapter has them)
        self: HTTPAdapter,
        request: Any,
        stream: bool = False,  # noqa: FBT001, FBT002
        timeout: Any = None,
        verify: Any = True,  # noqa: FBT002
        cert: Any = None,
        proxies: Any = None,
    ) -> Any:
        return send(self, request, stream, timeout or seconds, verify, cert, proxies)

    HTTPAdapter.send = send_with_timeout  # type: ignore[method-assign]
    try:
        yield
    finally:
        HTTPAdapter.send = send  # type: ignore[method-assign]


def _is_transient(error: Exception) -> bool:
    import requests
    from kagglehub.exceptions import DataCorruptionError

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return is_transient_status(error.response.status_code)
    is_request_error = isinstance(error, (requests.RequestException, DataCorruptionError))
    return is_request_error or _is_damage(error)


def _explain(error: Exception) -> str:
    """Explain an error of kagglehub and how to fix it."""
    import requests
    from kagglehub.config import get_cache_folder
    from kagglehub.exceptions import DataCorruptionError, KaggleApiHTTPError

    text = redact_text(str(error)) or type(error).__name__
    text = "; ".join([text, *getattr(error, "__notes__", [])])
    if isinstance(error, KaggleApiHTTPError):
        reason = _explain_refusal(error)
    elif isinstance(error, DataCorruptionError):
        reason = "the download is corrupt; run again"
    elif isinstance(error, requests.RequestException):
        reason = (
            f"Kaggle cannot be reached ({text}). Check the network or the proxy, and run again: "
            f"a download resumes where it broke; {_MANUAL_DOWNLOAD}"
        )
    elif _is_damage(error):
        reason = f"cannot be unpacked ({text}) and was removed; run again, {_MANUAL_DOWNLOAD}"
    elif isinstance(error, OSError):
        reason = (
            f"cannot be stored ({text}); fix that in {get_cache_folder()}, or name another folder "
            "in KAGGLEHUB_CACHE"
        )
    elif "credentials" in text:
        reason = f"{text}. Fix that file or remove it. {_MAKE_A_KEY}"
    else:
        reason = f"{type(error).__name__}: {text}; {_MANUAL_DOWNLOAD}"
    return reason


def _is_damage(error: Exception) -> bool:
    return isinstance(error, _DAMAGE_ERRORS) or "archive type" in str(error)


def _explain_refusal(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in {401, 403}:
        return (
            f"Kaggle refuses ({status}). {_MAKE_A_KEY}, and accept the dataset's terms on its "
            f"page; {_MANUAL_DOWNLOAD}"
        )
    if status == 404:  # noqa: PLR2004
        return "Kaggle has no such dataset or version (404)"
    return f"Kaggle answers {status}; run again later, {_MANUAL_DOWNLOAD}"


@contextlib.contextmanager
def _hide_progress_bar() -> Iterator[None]:
    """Hide kagglehub's progress bar unless the output is a terminal."""
    if sys.stderr.isatty():
        yield
    else:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
