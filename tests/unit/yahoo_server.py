"""A server on this machine in Yahoo's place, for yfinance."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

from yfinance.cache import _TzCacheDummy

from tests.unit.servers import Answer, Server, answering


@contextmanager
def in_place_of_yahoo(answer: Callable[..., Answer]) -> Iterator[Server]:
    """Let yfinance ask a server of ours, without a cookie, and keep nothing.

    A cache would stay in the folder of the test that opened it first.

    Args:
        answer: As for ``answering``.

    Yields:
        The server.
    """
    with (
        answering(answer) as server,
        mock.patch("yfinance.data.YfData._get_cookie_and_crumb", return_value=("c", "basic")),
        mock.patch("yfinance.cache._TzCacheManager._tz_cache", _TzCacheDummy()),
        mock.patch("yfinance.scrapers.history._BASE_URL_", server.url),
        mock.patch("yfinance.base._BASE_URL_", server.url),
    ):
        yield server
