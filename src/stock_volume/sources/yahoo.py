"""Recent bars of Yahoo Finance, by yfinance."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from stock_volume import columns
from stock_volume.errors import SourceError
from stock_volume.features.calendar import EXCHANGE
from stock_volume.progress import progress
from stock_volume.sources.requested import Answers, Request, RequestedSource

if TYPE_CHECKING:
    import pandas as pd

BATCH: Final = 100
"""Symbols asked for at once."""

_SETTLED: Final = timedelta(minutes=30)
"""How long after its close a session's volume is still counted up."""


class YahooSource(RequestedSource):
    """Yahoo Finance: prices as traded but for splits, and adjusted closes, to the last session."""

    def fetch(self, requests: Sequence[Request]) -> Answers:
        """Ask Yahoo for some symbols, a batch at a time.

        Args:
            requests: One a symbol.

        Returns:
            The answers.

        Raises:
            SourceError: Nothing was answered.
        """
        last = last_settled_session(datetime.now().astimezone())
        files: dict[str, bytes] = {}
        absent: dict[str, str] = {}
        with progress("fetching bars", len(requests), "symbols") as advance:
            for start in range(0, len(requests), BATCH):
                batch = requests[start : start + BATCH]
                bars = _download(batch, last)
                for symbol in (request.symbol for request in batch):
                    text = _as_csv(bars, symbol, last)
                    if text:
                        files[symbol] = text
                    else:
                        absent[symbol] = "Yahoo answers no bars"
                advance(len(batch))
        if not files:
            raise SourceError(
                f"Yahoo answered no bar of any of {len(requests)} symbols. Without network, or "
                "when it blocks a client, yfinance gives an empty answer: look at its messages "
                "above, and run again later"
            )
        return Answers(files, absent)


def last_settled_session(now: datetime) -> date:
    """Tell the last session whose bar is complete.

    Args:
        now: With a time zone.

    Returns:
        The session that closed half an hour ago or earlier.
    """
    import exchange_calendars

    closes = exchange_calendars.get_calendar(EXCHANGE).closes
    session: date = closes[closes <= now - _SETTLED].index[-1].date()
    return session


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
