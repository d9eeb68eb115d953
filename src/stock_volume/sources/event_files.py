"""Sources of events: files, EDGAR for the past, a calendar for the coming weeks, and Yahoo.

What is fetched becomes a CSV file in the landing folder. What is announced is kept with each fetch:
it records when a date became known, and dates that vanish stay.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from stock_volume import columns
from stock_volume.errors import SourceError
from stock_volume.events.source import EventFile, EventFiles
from stock_volume.exchange import NYSE, Exchange
from stock_volume.files import write_atomically
from stock_volume.json_value import Json
from stock_volume.sources.address import (
    EDGAR,
    EVENT_SERVICES,
    NASDAQ,
    YAHOO,
    is_remote,
    is_same_server,
    redact_address,
)
from stock_volume.sources.edgar import EdgarEvents
from stock_volume.sources.landing import land
from stock_volume.sources.nasdaq_calendar import NasdaqCalendar
from stock_volume.sources.remote import mirror_file
from stock_volume.sources.yahoo_events import YahooEvents, YahooRelease

_EDGAR_FILE: Final = "edgar.csv"
_YAHOO_FILE: Final = "yahoo.csv"


class EventFileSource:
    """Files of events and services that have some; the later ones matter more.

    Attributes:
        name: The files without secrets; "none" without any.
    """

    def __init__(
        self,
        files: str | Sequence[str] | None,
        landing: str | Path,
        contact: str | None = None,
        exchange: Exchange | str = NYSE,
        credentials: Mapping[str, Json] | None = None,
    ) -> None:
        """Configure the source.

        Args:
            files: Paths or fsspec addresses of files, ``edgar``, ``nasdaq`` or ``yahoo``; None for
                no events.
            landing: Folder of what is fetched.
            contact: Name and e-mail address, for EDGAR.
            exchange: Exchange of the symbols, or its code.
            credentials: Options of the addresses' file system.

        Raises:
            ValueError: EDGAR is to be asked, and there is no contact; or there are credentials
                and addresses of several servers.
        """
        self._files = [files] if isinstance(files, str) else list(files or [])
        self._landing = Path(landing)
        self._landed: Path | None = None
        self._copies: dict[str, Path] = {}
        self._credentials = credentials or {}
        _check_servers([file for file in self._files if is_remote(file)], self._credentials)
        self._edgar = EdgarEvents(contact) if EDGAR in self._files else None
        self._calendar = NasdaqCalendar(exchange) if NASDAQ in self._files else None
        self._yahoo = YahooEvents() if YAHOO in self._files else None
        self.name = ", ".join(map(redact_address, self._files)) or "none"

    @property
    def path(self) -> Path | None:
        """The file, or a zip of several once they are read; None without files.

        A remote file is fetched first if necessary.
        """
        single = len(self._files) == 1 and self._files[0] not in EVENT_SERVICES
        return self._find(self._files[0]) if single else self._landed

    def exists(self) -> bool:
        """Return whether all local files exist; services and addresses are not asked."""
        others = EVENT_SERVICES
        paths = [Path(file) for file in self._files if file not in others and not is_remote(file)]
        return all(path.expanduser().is_file() for path in paths)

    def open(self) -> "EventFileSource":
        """Return the source: its files are read at once."""
        self._landed = None
        self._copies.clear()
        return self

    def read(self, symbols: pl.DataFrame) -> EventFiles:
        """Read the files, and ask the services.

        Args:
            symbols: The symbols with bars, of which EDGAR and Yahoo are asked.

        Returns:
            The files, in order.

        Raises:
            SourceError: A file cannot be read, or a service does not answer.
        """
        files = [one for file in self._files for one in self._read(file, symbols)]
        if self._files and self.path is None:
            numbered = ((f"{n}/{file.name}", file.content) for n, file in enumerate(files, start=1))
            self._landed = land(numbered, self._landing)
        return EventFiles(files)

    def _read(self, file: str, symbols: pl.DataFrame) -> list[EventFile]:
        if self._edgar is not None and file == EDGAR:
            rows = self._edgar.fetch(symbols[columns.SYMBOL].to_list())
            return [EventFile(_EDGAR_FILE, _write_csv((*row, "", "", "true") for row in rows))]
        if self._calendar is not None and file == NASDAQ:
            return self._read_calendar(self._calendar, datetime.now(tz=UTC))
        if self._yahoo is not None and file == YAHOO:
            releases = self._yahoo.fetch(symbols[columns.SYMBOL].to_list())
            return self._read_yahoo(releases, datetime.now(tz=UTC))
        return [_read_file(self._find(file))]

    def _find(self, file: str) -> Path:
        """Return the path of a file, which is copied first if it is at an address."""
        if not is_remote(file):
            return Path(file).expanduser()
        if file not in self._copies:
            self._copies[file] = mirror_file(file, self._credentials, self._landing)
        return self._copies[file]

    def _read_calendar(self, calendar: NasdaqCalendar, now: datetime) -> list[EventFile]:
        """Fetch today's calendar, keep it, and read all that were kept."""
        known = now.replace(microsecond=0).isoformat()
        rows = [(*row, "", known, "") for row in calendar.fetch(now)]
        return self._keep(NASDAQ, rows, now)

    def _read_yahoo(self, releases: Sequence[YahooRelease], now: datetime) -> list[EventFile]:
        """Keep the coming releases, and read all that were kept, after the past ones."""
        known = now.replace(microsecond=0).isoformat()
        past = [(*one[:3], "", "", "true") for one in releases if one.reported]
        coming = [(*one[:3], "", known, "") for one in releases if not one.reported]
        return [EventFile(_YAHOO_FILE, _write_csv(past)), *self._keep(YAHOO, coming, now)]

    def _keep(self, service: str, rows: Iterable[Sequence[Any]], now: datetime) -> list[EventFile]:
        """Keep what a service announces at a moment, and read all that was kept."""
        folder = self._landing / service
        with write_atomically(folder / f"{now:%Y-%m-%dT%H%M%S.%fZ}.csv") as aside:
            aside.write_bytes(_write_csv(rows))
        return [_read_file(path) for path in sorted(folder.glob("*.csv"))]


def _check_servers(addresses: Sequence[str], credentials: Mapping[str, Json]) -> None:
    """Refuse credentials that more than one server would receive."""
    web = [address for address in addresses if address.startswith(("http://", "https://"))]
    if credentials and not all(is_same_server(web[0], address) for address in web):
        raise ValueError("the addresses are of several servers, which must not share credentials")


def _write_csv(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns.EVENT)
    writer.writerows(rows)
    return text.getvalue().encode()


def _read_file(path: Path) -> EventFile:
    try:
        return EventFile(path.name, path.read_bytes())
    except OSError as error:
        reason = f"{path}: {error.strerror or error}, expected a file of events"
        raise SourceError(reason) from error
