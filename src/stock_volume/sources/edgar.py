"""Releases of earnings from the SEC's EDGAR: reports on form 8-K with item 2.02.

Documents: ``company_tickers.json`` (symbol to CIK) and ``submissions/CIK##########.json``, which
lists the latest filings of a company and names files with the earlier ones.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final, NamedTuple, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    TypeAdapter,
    model_validator,
)

from stock_volume.events.rules import POST, PRE
from stock_volume.exchange import NYSE
from stock_volume.progress import progress
from stock_volume.sources.json_server import JsonServer, JsonServerParameters, check_document

logger = logging.getLogger(__name__)

TICKERS_URL: Final = "https://www.sec.gov/files/company_tickers.json"
SUBMISSIONS_URL: Final = "https://data.sec.gov/submissions/"

_HINT: Final = (
    "; the SEC refuses requests without a contact: --params contact='Name name@example.org'; it "
    "also blocks clients for some minutes after more than ten requests a second"
)
_FORM: Final = "8-K"
_RESULTS: Final = "2.02"
_FORMER_RESULTS: Final = "12"
_RENUMBERED: Final = date(2004, 8, 23)
"""From then on item 12, results of operations, is item 2.02."""

_OPENS, _CLOSES = time(6), time(22)
"""EDGAR accepts filings between these hours of New York."""

_SHOWN: Final = 10

EventRow = tuple[str, date, str]
"""Symbol, date and time of an event."""


class _Ticker(BaseModel):
    ticker: str
    cik_str: int = Field(ge=0, lt=10**10)


class _Filing(NamedTuple):
    form: str
    items: str
    accepted: datetime


def _read_moment(text: object) -> datetime:
    if not isinstance(text, str):
        raise ValueError("expected text")  # noqa: TRY004 (pydantic reports ValueError)
    moment = datetime.fromisoformat(text)
    if not MINYEAR < moment.year < MAXYEAR:
        raise ValueError("time zones would move it out of the calendar")
    return moment


class _Filings(BaseModel):
    """Columns of a table."""

    form: tuple[str, ...]
    items: tuple[str, ...]
    accepted: tuple[Annotated[datetime, BeforeValidator(_read_moment)], ...] = Field(
        alias="acceptanceDateTime"
    )

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if not len(self.form) == len(self.items) == len(self.accepted):
            raise ValueError("the columns have different lengths")
        return self

    def filings(self) -> Iterator[_Filing]:
        return map(_Filing, self.form, self.items, self.accepted)


class _File(BaseModel):
    name: str = Field(pattern=r"^[\w.-]+$")


class _CompanyFilings(BaseModel):
    recent: _Filings
    files: tuple[_File, ...]


class _Company(BaseModel):
    filings: _CompanyFilings


_TICKERS: Final = TypeAdapter(dict[str, _Ticker])
_COMPANY: Final = TypeAdapter(_Company)
_FILINGS: Final = TypeAdapter(_Filings)


class EdgarEvents:
    """Releases of earnings, as filed with the SEC."""

    def __init__(
        self,
        contact: str | None,
        tickers_url: str = TICKERS_URL,
        submissions_url: str = SUBMISSIONS_URL,
        server: JsonServerParameters | Mapping[str, Any] | None = None,
    ) -> None:
        """Configure the source.

        Args:
            contact: Name and e-mail address, which the SEC requires in the User-Agent.
            tickers_url: Address of the table of symbols.
            submissions_url: Address of the folder of submissions.
            server: Limits of the requests.

        Raises:
            ValueError: There is no contact.
        """
        if not contact or "@" not in contact:
            raise ValueError(
                "events from EDGAR need a contact, which the SEC requires of every client: "
                "--params contact='Name name@example.org'"
            )
        self._contact = contact
        self._tickers_url, self._submissions_url = tickers_url, submissions_url
        self._parameters = JsonServerParameters.model_validate(server or {})

    def fetch(self, symbols: Sequence[str]) -> list[EventRow]:
        """Fetch the releases of symbols.

        Args:
            symbols: The symbols.

        Returns:
            One row per release; none of symbols that the SEC does not list.

        Raises:
            SourceError: The server refuses access, or sends something else.
        """
        headers = {"User-Agent": self._contact, "Accept-Encoding": "gzip"}
        with JsonServer(headers, self._parameters, _HINT) as server:
            document = server.fetch(self._tickers_url)
            table = check_document(_TICKERS, document, self._tickers_url, "a table of symbols")
            ciks = {row.ticker.upper(): row.cik_str for row in table.values()}
            known = {symbol: ciks[_plain(symbol)] for symbol in symbols if _plain(symbol) in ciks}
            logger.info("EDGAR lists %d of %d symbols", len(known), len(symbols))
            with progress("reading EDGAR", len(known), "symbols") as advance:
                rows = []
                for symbol, cik in known.items():
                    rows += self._fetch_symbol(server, symbol, cik)
                    advance(1)
        return rows

    def _fetch_symbol(self, server: JsonServer, symbol: str, cik: int) -> list[EventRow]:
        filings = list(self._list_filings(server, cik))
        in_new_york = is_new_york_time([filing.accepted for filing in filings])
        moments = {
            local_time(filing.accepted, in_new_york=in_new_york)
            for filing in filings
            if filing.form == _FORM and _has_results(filing)
        }
        closes = NYSE.close
        return [
            (symbol, moment.date(), POST if moment.time() >= closes else PRE)
            for moment in sorted(moments)
        ]

    def _list_filings(self, server: JsonServer, cik: int) -> Iterator[_Filing]:
        address = f"{self._submissions_url}CIK{cik:010}.json"
        document = server.fetch(address)
        if document is None:
            return
        filings = check_document(_COMPANY, document, address, "a list of filings").filings
        yield from filings.recent.filings()
        for file in filings.files:
            address = f"{self._submissions_url}{file.name}"
            document = server.fetch(address)
            if document is not None:
                older = check_document(_FILINGS, document, address, "a list of filings")
                yield from older.filings()


def _plain(symbol: str) -> str:
    """Spell a symbol as EDGAR does: share classes after a hyphen."""
    return symbol.upper().replace(".", "-").replace("/", "-")


def _has_results(filing: _Filing) -> bool:
    numbers = filing.items.split(",")
    return _RESULTS in numbers or (
        _FORMER_RESULTS in numbers and filing.accepted.date() < _RENUMBERED
    )


def local_time(accepted: datetime, *, in_new_york: bool) -> datetime:
    """Convert a time of acceptance to New York.

    Args:
        accepted: As EDGAR writes it, marked as UTC.
        in_new_york: Whether it is New York time in truth.

    Returns:
        The moment on New York's clock.
    """
    if in_new_york:
        return accepted.replace(tzinfo=NYSE.zone)
    return accepted.replace(tzinfo=accepted.tzinfo or UTC).astimezone(NYSE.zone)


def is_new_york_time(accepted: Sequence[datetime]) -> bool:
    """Decide whether a company's times of acceptance are New York times marked as UTC.

    EDGAR accepts filings from 6 to 22 o'clock in New York. The reading with fewer times outside
    these hours is right; without a difference, the mark is.

    Args:
        accepted: All times of acceptance of a company.

    Returns:
        Whether they are in New York time.
    """
    outside = [
        sum(_is_outside(local_time(moment, in_new_york=reading)) for moment in accepted)
        for reading in (False, True)
    ]
    return outside[1] < outside[0]


def _is_outside(moment: datetime) -> bool:
    # EDGAR stamps filings at the last second of the day a little later.
    latest = (datetime.combine(date.min, _CLOSES) + timedelta(minutes=5)).time()
    return not _OPENS <= moment.time() <= latest
