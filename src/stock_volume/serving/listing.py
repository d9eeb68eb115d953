"""The answer that lists all symbols with their forecasts."""

from bisect import bisect_right
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from stock_volume.serving.compression import StoredJson, compress
from stock_volume.serving.conversion import overview_answer
from stock_volume.snapshot.lookup import SymbolLookup

_GZIP_LEVEL: Final = 6


class Listing:
    """Writes and compresses the list once, and again whenever a session that it has is over."""

    def __init__(self, lookup: SymbolLookup, model: str) -> None:
        """Configure the list.

        Args:
            lookup: Knows the symbols and their forecasts.
            model: Tag of the forecaster.
        """
        self._lookup, self._model = lookup, model
        self._closing_times = lookup.closing_times
        self._written = lru_cache(maxsize=1)(self._write)

    def answer(self) -> StoredJson:
        """Answer the list."""
        over = bisect_right(self._closing_times, datetime.now(tz=UTC))
        return StoredJson(*self._written(over))

    def _write(self, over: int) -> tuple[bytes, bytes]:
        """Write the list as JSON, plain and compressed.

        Args:
            over: Number of sessions that are over, which are the stale ones.
        """
        del over  # the key of what is kept
        overview = overview_answer(self._lookup.overview(), self._model)
        content = overview.model_dump_json().encode()
        return content, compress(content, _GZIP_LEVEL)
