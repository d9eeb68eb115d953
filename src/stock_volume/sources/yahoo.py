"""Bars of Yahoo Finance, fetched with yfinance."""

from collections.abc import Generator, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stock_volume import columns
from stock_volume.errors import SourceError
from stock_volume.exchange import NYSE, Exchange
from stock_volume.sources.requested import Answer, Request, RequestedSource
from stock_volume.sources.retry import RetryParameters, attempts

if TYPE_CHECKING:
    import pandas as pd

BATCH_SIZE: Final = 100
"""Symbols per request."""

_MAX_DELISTED_SHARE: Final = 0.1
"""Share of a batch that may be delisted; if more are missing, Yahoo blocks the client."""

_SETTLING_TIME: Final = timedelta(minutes=30)
"""Time after the close during which a session's volume may still change."""


class YahooSource(RequestedSource):
    """Yahoo Finance: split-adjusted prices and adjusted closes, up to the last session."""

    hint = (
        ". Without network, or when Yahoo blocks it, yfinance answers nothing: look at its "
        "messages above, and run again later. Symbols that are delisted have no bars either: "
        "raise max_failed_share if they are many"
    )

    def __init__(
        self,
        symbols: Sequence[str] | str | None = None,
        *,
        landing: str | Path,
        max_failed_share: float = 0.1,
        retry: RetryParameters | None = None,
        exchange: Exchange | str = NYSE,
    ) -> None:
        """Configure the source.

        Args:
            symbols: Symbols of a first run, or the path of a listing.
            landing: Folder of the fetched archives.
            max_failed_share: Maximum share of symbols without bars; beyond it the fetch fails.
            retry: Retries of symbols without any bar.
            exchange: Exchange of the symbols, or its code.
        """
        super().__init__("Yahoo Finance", symbols, landing, max_failed_share)
        # Yahoo lifts a block after minutes, not seconds.
        self._retry = retry or RetryParameters(attempts=4, wait_seconds=5)
        self._exchange = Exchange.model_validate(exchange)

    def fetch(self, requests: Sequence[Request]) -> Generator[Answer]:
        """Fetch the bars of some symbols, one batch at a time.

        Args:
            requests: One per symbol.

        Yields:
            For each request, in order, a file of bars or the reason why there is none.
        """
        last = find_last_settled_session(self._exchange, datetime.now().astimezone())
        for start in range(0, len(requests), BATCH_SIZE):
            batch = requests[start : start + BATCH_SIZE]
            files = self._fetch_batch(batch, last)
            for request in batch:
                yield files.get(request.symbol, "Yahoo answers no bars")

    def _fetch_batch(self, batch: Sequence[Request], last: date) -> dict[str, bytes]:
        """Fetch a batch, retrying missing symbols while that may help."""
        files: dict[str, bytes] = {}
        missing = batch
        with suppress(_MissingError):
            for attempt in attempts(self._retry, _is_transient):
                with attempt:
                    answered = _fetch_once(missing, last)
                    is_first = missing is batch
                    files |= answered
                    missing = [request for request in missing if request.symbol not in answered]
                    if missing:
                        raise _MissingError(
                            f"Yahoo answers nothing of {len(missing)} of {len(batch)} symbols",
                            is_transient=is_first
                            or bool(answered)
                            or _may_be_block(missing, batch),
                        )
        return files


class _MissingError(Exception):
    """Some symbols have no bars: they are delisted, or Yahoo blocks the client.

    Attributes:
        is_transient: Whether a retry may help.
    """

    def __init__(self, message: str, *, is_transient: bool) -> None:
        super().__init__(message)
        self.is_transient = is_transient


def _may_be_block(missing: Sequence[Request], batch: Sequence[Request]) -> bool:
    """Return whether more symbols are missing than are likely delisted: one or a tenth."""
    return len(missing) == len(batch) or len(missing) > max(1, _MAX_DELISTED_SHARE * len(batch))


def _is_transient(error: Exception) -> bool:
    return isinstance(error, _MissingError) and error.is_transient


def _fetch_once(requests: Sequence[Request], last: date) -> dict[str, bytes]:
    """Fetch some symbols once, omitting symbols without bars."""
    bars = _download(requests, last)
    files = {request.symbol: _format_csv(bars, request.symbol, last) for request in requests}
    return {symbol: file for symbol, file in files.items() if file}


def find_last_settled_session(exchange: Exchange, now: datetime) -> date:
    """Find the last session whose bar is complete.

    Args:
        exchange: The exchange.
        now: Current time, with a time zone.

    Returns:
        The last session that closed at least half an hour ago.
    """
    return exchange.last_session(now - _SETTLING_TIME)


def _download(requests: Sequence[Request], last: date) -> "pd.DataFrame":
    try:
        import yfinance
    except ModuleNotFoundError as error:
        raise SourceError(
            "Yahoo's bars need the extra: pip install 'stock_volume[yahoo]'"
        ) from error
    symbols = [request.symbol for request in requests]
    sinces = [request.since for request in requests]
    known = [since for since in sinces if since is not None]
    # yfinance excludes the end date.
    span = (
        {"start": min(known), "end": last + timedelta(days=1)}
        if len(known) == len(sinces)
        else {"period": "max"}
    )
    return yfinance.download(
        symbols,
        **span,
        auto_adjust=False,
        actions=False,
        group_by="ticker",
        progress=False,
        threads=2,
        multi_level_index=True,
    )


def _format_csv(bars: "pd.DataFrame | None", symbol: str, last: date) -> bytes:
    """Format one symbol's bars as CSV in the Kaggle layout; empty without bars."""
    if bars is None or symbol not in bars.columns.get_level_values(0):
        return b""
    # yfinance aligns the symbols of a batch by date: rows without any value are padding.
    own = bars[symbol].reindex(columns=columns.BAR[1:]).dropna(how="all")
    own = own[own.index.date <= last]
    if own.empty:
        return b""
    own.index = own.index.strftime("%Y-%m-%d")
    text: str = own.to_csv(index_label=columns.DATE, lineterminator="\n")
    return text.encode()
