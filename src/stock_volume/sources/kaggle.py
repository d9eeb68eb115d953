"""The Kaggle archive, by kagglehub: it resumes a broken download and checks what it got."""

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from stock_volume.errors import SourceError
from stock_volume.sources.retry import RetryParameters, attempts

_VERSIONED: Final = re.compile(r"[\w-]+/[\w-]+/versions/\d+")
_BY_HAND: Final = (
    "or download the archive in a browser and name it: kedro run --params source=archive.zip"
)
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500


def download(handle: str, seconds: float, retry: RetryParameters | None = None) -> Path:
    """Download a version of a dataset, unless it is in kagglehub's cache.

    Args:
        handle: ``owner/dataset/versions/number``: a cached copy is found without network by
            its number only.
        seconds: Time limit of the first request; kagglehub has none of its own.
        retry: How often a failed request is repeated; a download goes on where it broke.

    Returns:
        The folder with its files, in kagglehub's cache (``KAGGLEHUB_CACHE``).

    Raises:
        SourceError: The handle names no version, kagglehub is missing, or Kaggle cannot be
            reached or refuses.
    """
    if not _VERSIONED.fullmatch(handle):
        raise SourceError(f"{handle}: name the version too: owner/dataset/versions/number")
    try:
        import kagglehub
    except ModuleNotFoundError as error:
        raise SourceError(
            "the Kaggle archive needs the extra: pip install 'stock_volume[kaggle]'"
        ) from error
    import requests
    from kagglehub.exceptions import DataCorruptionError, KaggleApiHTTPError

    cached = _cached(handle)
    if cached:
        return cached
    try:
        for attempt in attempts(retry or RetryParameters(), _may_pass):
            with attempt:
                _reach(seconds)
                with _quiet_in_logs():
                    return Path(kagglehub.dataset_download(handle))
    except KaggleApiHTTPError as error:
        raise SourceError(_refusal(handle, error)) from error
    except DataCorruptionError as error:
        raise SourceError(f"{handle}: what arrived is not what Kaggle sent; run again") from error
    except requests.RequestException as error:
        raise SourceError(
            f"{handle}: Kaggle cannot be reached ({error}). Check the network or the proxy, and "
            f"run again: a download goes on where it broke; {_BY_HAND}"
        ) from error
    raise AssertionError("unreachable")


def _cached(handle: str) -> Path | None:
    """Look for a complete copy; kagglehub would first build a client and log."""
    from kagglehub.cache import Cache
    from kagglehub.handle import parse_dataset_handle

    path = Cache().load_from_cache(parse_dataset_handle(handle))
    return Path(path) if path else None


def _reach(seconds: float) -> None:
    """Make the first request ourselves: any answer will do."""
    import requests
    from kagglesdk.kaggle_env import get_endpoint, get_env

    requests.head(get_endpoint(get_env()), timeout=seconds).close()


def _may_pass(error: Exception) -> bool:
    import requests
    from kagglehub.exceptions import DataCorruptionError

    if isinstance(error, requests.HTTPError) and error.response is not None:
        status = error.response.status_code
        return bool(status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR)
    return isinstance(error, (requests.RequestException, DataCorruptionError))


def _refusal(handle: str, error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in {401, 403}:
        return (
            f"{handle}: Kaggle refuses ({status}). Make an API token in your Kaggle settings and "
            "put it into KAGGLE_API_TOKEN, or kaggle.json into ~/.kaggle, and accept the "
            f"dataset's terms on its page; {_BY_HAND}"
        )
    if status == 404:  # noqa: PLR2004
        return f"{handle}: Kaggle has no such dataset or version (404)"
    return f"{handle}: Kaggle answers {status}; run again later; {_BY_HAND}"


@contextlib.contextmanager
def _quiet_in_logs() -> Iterator[None]:
    """Hide kagglehub's own progress bar where nobody watches it."""
    if sys.stderr.isatty():
        yield
    else:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
