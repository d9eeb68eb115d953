"""Recent bars of Yahoo Finance, by yfinance."""

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

BATCH: Final = 100
"""Symbols asked for at once."""

_DELISTED_SHARE: Final = 0.1
"""Share of a batch that may be delisted; where more are not answered, Yahoo blocks the client."""

_SETTLED: Final = timedelta(minutes=30)
"""How long after its close a session's volume is still counted up."""


class YahooSource(RequestedSource):
    """Yahoo Finance: prices as traded but for splits, and adjusted closes, to the last session."""

    hint = (
        ". Without network, or when Yahoo blocks it, yfinance answers nothing: look at its "
        "messages above, and run again later. Symbols that are delisted have no bars either: "
        "raise max_failed_share if they are many"
    )

    def __init__(
        self,
        symbols: Sequence[str] | str | None,
        landing: Path,
        max_failed_share: float = 0.1,
        retry: RetryParameters | None = None,
        exchange: Exchange = NYSE,
    ) -> None:
        """Keep what to ask for.

        Args:
            symbols: Symbols of a first run, or the path of a listing.
            landing: Folder in which answers are kept.
            max_failed_share: Share of the symbols that may have no bars; more fail the whole.
            retry: How often symbols without any bar are asked for again.
            exchange: Exchange of the symbols.
        """
        super().__init__("Yahoo Finance", symbols, landing, max_failed_share)
        # A block passes in minutes, not in seconds.
        self._retry = retry or RetryParameters(attempts=4, wait_seconds=5)
        self._exchange = exchange

    def fetch(self, requests: Sequence[Request]) -> Generator[Answer]:
        """Ask Yahoo for some symbols, a batch at a time.

        Args:
            requests: One a symbol.

        Yields:
            In their order, a file of bars each, or why there is none.
        """
        last = last_settled_session(self._exchange, datetime.now().astimezone())
        for start in range(0, len(requests), BATCH):
            batch = requests[start : start + BATCH]
            files = self._files(batch, last)
            for request in batch:
                yield files.get(request.symbol, "Yahoo answers no bars")

    def _files(self, batch: Sequence[Request], last: date) -> dict[str, bytes]:
        """Ask for a batch, and for those of it that are not answered again while it may help."""
        files: dict[str, bytes] = {}
        missing = batch
        with suppress(_MissingError):
            for attempt in attempts(self._retry, _may_come):
                with attempt:
                    answered = _answered(missing, last)
                    is_first = missing is batch
                    files |= answered
                    missing = [request for request in missing if request.symbol not in answered]
                    if missing:
                        raise _MissingError(
                            f"Yahoo answers nothing of {len(missing)} of {len(batch)} symbols",
                            may_come=is_first or bool(answered) or _may_be_block(missing, batch),
                        )
        return files


class _MissingError(Exception):
    """No bar of some symbols: they are delisted, or Yahoo blocks a client.

    Attributes:
        may_come: Whether it may help to ask again.
    """

    def __init__(self, message: str, *, may_come: bool) -> None:
        super().__init__(message)
        self.may_come = may_come


def _may_be_block(missing: Sequence[Request], batch: Sequence[Request]) -> bool:
    """Return whether more symbols are missing than may be delisted: one or a tenth."""
    return len(missing) == len(batch) or len(missing) > max(1, _DELISTED_SHARE * len(batch))


def _may_come(error: Exception) -> bool:
    return isinstance(error, _MissingError) and error.may_come


def _answered(requests: Sequence[Request], last: date) -> dict[str, bytes]:
    """Ask once for some symbols; those without any bar are left out."""
    bars = _download(requests, last)
    files = {request.symbol: _as_csv(bars, request.symbol, last) for request in requests}
    return {symbol: file for symbol, file in files.items() if file}


def last_settled_session(exchange: Exchange, now: datetime) -> date:
    """Find the last session whose bar is complete.

    Args:
        exchange: The exchange.
        now: With a time zone.

    Returns:
        The session that closed half an hour ago or earlier.
    """
    return exchange.last_session(now - _SETTLED)


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
    # yfinance leaves the end out.
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


def _as_csv(bars: "pd.DataFrame | None", symbol: str, last: date) -> bytes:
    """Write one symbol's bars as the Kaggle archive has them; nothing without bars."""
    if bars is None or symbol not in bars.columns.get_level_values(0):
        return b""
    # yfinance lines the symbols of a batch up by date: rows without any value are its own.
    own = bars[symbol].reindex(columns=columns.BAR[1:]).dropna(how="all")
    own = own[own.index.date <= last]
    if own.empty:
        return b""
    own.index = own.index.strftime("%Y-%m-%d")
    text: str = own.to_csv(index_label=columns.DATE, lineterminator="\n")
    return text.encode()
