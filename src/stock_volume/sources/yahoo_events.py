"""Releases of earnings from Yahoo Finance, fetched with yfinance, a page of 100 at a time."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Final, NamedTuple

from stock_volume.errors import SourceError
from stock_volume.events.rules import POST, PRE
from stock_volume.progress import progress
from stock_volume.sources.retry import RetryParameters, attempts

if TYPE_CHECKING:
    import pandas as pd

PAGE_ROWS: Final = 100
"""Releases per page, the most that Yahoo gives."""

_MAX_PAGES: Final = 5
_OPEN: Final = time(9, 30)
_CLOSE: Final = time(16)
_REPORTED: Final = "Reported EPS"
_BLOCKED: Final = (
    "Yahoo Finance answers no dates of earnings for any of {count} symbols. It may block this "
    "client: look at the messages of yfinance above, and run again later"
)


class YahooRelease(NamedTuple):
    """A release.

    Attributes:
        symbol: The symbol.
        date: Its date in New York; None where Yahoo's cannot be read, for the rules to judge.
        time: ``pre``, ``post``, or "" if it is unknown or during the session.
        reported: Whether it has taken place.
    """

    symbol: str
    date: date | None
    time: str
    reported: bool


class YahooEvents:
    """Past releases, and coming ones as far as Yahoo has them."""

    def __init__(self, retry: RetryParameters | None = None) -> None:
        """Configure the source.

        Args:
            retry: Retries of failed requests.
        """
        # Yahoo lifts a block after minutes, not seconds.
        self._retry = retry or RetryParameters(attempts=4, wait_seconds=5)

    def fetch(self, symbols: Sequence[str]) -> list[YahooRelease]:
        """Fetch the releases of symbols.

        Args:
            symbols: The symbols.

        Returns:
            The releases; a symbol without any, such as a fund, has none.

        Raises:
            SourceError: yfinance is not installed, or Yahoo has answered nothing at all.
        """
        releases = []
        with progress("reading Yahoo's dates of earnings", len(symbols), "symbols") as advance:
            for symbol in symbols:
                releases += list(self._fetch_symbol(symbol))
                advance(1)
        if symbols and not releases:
            raise SourceError(_BLOCKED.format(count=len(symbols)))
        return releases

    def _fetch_symbol(self, symbol: str) -> Iterator[YahooRelease]:
        for page in range(_MAX_PAGES):
            rows = self._fetch_page(symbol, page * PAGE_ROWS)
            if rows is None:
                return
            yield from _read_rows(symbol, rows)
            if len(rows) < PAGE_ROWS:
                return

    def _fetch_page(self, symbol: str, offset: int) -> "pd.DataFrame | None":
        try:
            from yfinance import Ticker
        except ModuleNotFoundError as error:
            raise SourceError(
                "Yahoo's dates of earnings need the extra: pip install 'stock_volume[yahoo]'"
            ) from error
        try:
            for attempt in attempts(self._retry, _is_transient):
                with attempt:
                    # A new object for each page: yfinance keeps answers without regard to the page.
                    return Ticker(symbol).get_earnings_dates(limit=PAGE_ROWS, offset=offset)
        except Exception as error:
            # yfinance raises many types, some defined by its dependencies.
            raise SourceError(f"Yahoo's dates of earnings of {symbol}: {error}") from error
        raise AssertionError("unreachable")


def _is_transient(error: Exception) -> bool:
    return not isinstance(error, ImportError)


def _read_rows(symbol: str, rows: "pd.DataFrame") -> Iterator[YahooRelease]:
    from pandas import isna  # pandas is there: yfinance needs it

    if _REPORTED not in rows:
        raise SourceError(f"Yahoo's dates of earnings of {symbol}: no column {_REPORTED!r}")
    for moment, reported in zip(rows.index, rows[_REPORTED].notna(), strict=True):
        if isna(moment):
            yield YahooRelease(symbol, None, "", bool(reported))
            continue
        local: datetime = moment.tz_convert("America/New_York").to_pydatetime()
        yield YahooRelease(symbol, local.date(), _time_of_day(local.time()), bool(reported))


def _time_of_day(local: time) -> str:
    if local == time(0):  # Yahoo has no time
        return ""
    if local < _OPEN:
        return PRE
    return POST if local >= _CLOSE else ""
