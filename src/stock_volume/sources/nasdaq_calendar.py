"""Coming releases of earnings from Nasdaq's public calendar, one request per day."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, TypeAdapter

from stock_volume.exchange import Exchange
from stock_volume.progress import progress
from stock_volume.sources.json_server import JsonServer, JsonServerParameters, check_document

CALENDAR_URL: Final = "https://api.nasdaq.com/api/calendar/earnings"
DAYS_AHEAD: Final = 55
"""The calendar has few releases further ahead."""

_HEADERS: Final = {
    "User-Agent": "Mozilla/5.0 (compatible; stock_volume)",
    "Accept": "application/json",
}
_HINT: Final = "; the calendar is unofficial and may refuse clients: try again later"


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True)

    symbol: str
    time: str = ""


class _Data(BaseModel):
    rows: tuple[_Row, ...] | None = None


class _Document(BaseModel):
    data: _Data | None = None


_DOCUMENT: Final = TypeAdapter(_Document)


class NasdaqCalendar:
    """Releases of the coming weeks, as the exchange announces them."""

    def __init__(
        self,
        exchange: Exchange | str,
        url: str = CALENDAR_URL,
        days_ahead: int = DAYS_AHEAD,
        server: JsonServerParameters | Mapping[str, Any] | None = None,
    ) -> None:
        """Configure the source.

        Args:
            exchange: The exchange, whose sessions are asked for.
            url: Address of the calendar.
            days_ahead: Number of days to ask for.
            server: Limits of the requests.
        """
        self._exchange = Exchange.model_validate(exchange)
        self._url, self._days_ahead = url, days_ahead
        self._parameters = JsonServerParameters.model_validate(server or {})

    def fetch(self, now: datetime) -> list[tuple[str, date, str]]:
        """Fetch the releases that are announced at a moment.

        Args:
            now: The moment.

        Returns:
            Symbol, date and time as the calendar has it, one row per release.

        Raises:
            SourceError: The server refuses access, or sends something else.
        """
        today = now.astimezone(self._exchange.zone).date()
        days = self._exchange.sessions(today, today + timedelta(days=self._days_ahead)).to_list()
        rows = []
        with (
            JsonServer(_HEADERS, self._parameters, _HINT) as server,
            progress("reading the calendar", len(days), "days") as advance,
        ):
            for day in days:
                address = f"{self._url}?date={day}"
                rows += [
                    (row.symbol, day, row.time) for row in _rows(server.fetch(address), address)
                ]
                advance(1)
        return rows


def _rows(document: Any, address: str) -> tuple[_Row, ...]:
    data = check_document(_DOCUMENT, document or {}, address, "a calendar").data
    return (data.rows if data else None) or ()
