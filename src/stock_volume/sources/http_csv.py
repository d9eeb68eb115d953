"""CSV files over HTTP, one a symbol, by an address with a place for it."""

import csv
import io
import logging
import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from stock_volume.concurrency import map_ahead
from stock_volume.errors import SourceError
from stock_volume.sources.address import is_same_server, redacted, secret_words, shown
from stock_volume.sources.answer import no_bars_reason
from stock_volume.sources.requested import Answer, Request, RequestedSource
from stock_volume.sources.retry import RetryParameters, attempts, seconds_asked_for, status_may_pass

if TYPE_CHECKING:
    import httpx

_EARLIEST: Final = date(1900, 1, 1)
_REFUSED: Final = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_PLACES: Final = {"symbol", "since", "until"}
_AHEAD: Final = 8
"""Answers that may wait for an earlier one, a connection."""

_HEADER_NAME: Final = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_NEVER_SECRET: Final = {"accept", "user-agent"}
"""Headers that another server may see, to which one redirects."""


class HttpCsvParameters(BaseModel):
    """What to ask which server.

    Attributes:
        url: Address with ``{symbol}``, perhaps ``{since}`` and ``{until}``, dates, and names
            of credentials.
        columns: The server's names of the columns that it calls otherwise: ours by theirs.
        headers: Sent with each request.
        credentials: Values of what stands as ``{name}`` in the address; the others are headers.
        connections: Requests at once.
        seconds: Time limit of one answer, from its request to its last byte.
        max_mib: Largest answer, in MiB.
        max_failed_share: Share of the symbols that may fail; more fail the whole.
        retry: How often a failed request is repeated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: str = Field(repr=False)
    columns: dict[str, str] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    credentials: dict[str, SecretStr] = Field(default_factory=dict)
    connections: int = Field(default=4, ge=1)
    seconds: float = Field(default=30.0, gt=0)
    max_mib: float = Field(default=64.0, gt=0)
    max_failed_share: float = Field(default=0.1, ge=0, le=1)
    retry: RetryParameters = RetryParameters()

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        named = _named(self.url)
        if named - _PLACES - self.credentials.keys():
            raise ValueError(
                "url: knows {symbol}, {since}, {until} and the names of credentials only"
            )
        if "symbol" not in named:
            raise ValueError("url: has no place for {symbol}")
        servers = {_server(self.address(Request(symbol), date.max)) for symbol in ("A", "B")}
        if len(servers) > 1:
            raise ValueError("url: {symbol} may not be a part of the server's name")
        for name, value in self.sent_headers().items():
            # httpx shows what it refuses, keys included.
            if not _HEADER_NAME.fullmatch(name) or not _is_header(value):
                raise ValueError(f"header {name!r}: only printable ASCII, no space around it")
        return self

    def address(self, request: Request, until: date) -> str:
        """Fill the places in the address.

        Args:
            request: What to ask for.
            until: The last date.

        Returns:
            The address, which holds secrets.
        """
        values = {
            **{name: value.get_secret_value() for name, value in self.credentials.items()},
            "symbol": request.symbol,
            "since": (request.since or _EARLIEST).isoformat(),
            "until": until.isoformat(),
        }
        return self.url.format_map({name: quote(value, "") for name, value in values.items()})

    def sent_headers(self) -> dict[str, str]:
        """Tell the headers of a request, those that are secret included."""
        secret = {
            name: value.get_secret_value()
            for name, value in self.credentials.items()
            if name not in _named(self.url)
        }
        return {**self.headers, **secret}

    def secrets(self) -> frozenset[str]:
        """List what the server may repeat in its answers and no message may show."""
        return secret_words(
            self.url,
            [
                *(value.get_secret_value() for value in self.credentials.values()),
                *(text for name, text in self.headers.items() if name.lower() not in _NEVER_SECRET),
            ],
        )


def _named(url: str) -> set[str]:
    """Name the places in an address, each with whatever is wrong about it."""
    try:
        return {
            f"{name}:{spec}!{conversion}" if spec or conversion else name
            for _, name, spec, conversion in Formatter().parse(url)
            if name is not None
        }
    except ValueError:  # a brace without its pair
        return {"{"}


def _server(address: str) -> str:
    error = ValueError("url: begins with neither http:// nor https:// and a server's name")
    try:
        parts = urlsplit(address)
        sound = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # which may name the password
        raise error from None
    if not sound or not address.isprintable():
        raise error
    return parts.netloc


def _is_header(value: str) -> bool:
    return value.isascii() and value.isprintable() and value == value.strip()


class HttpCsvSource(RequestedSource):
    """A server that has a CSV file a symbol."""

    def __init__(
        self, parameters: HttpCsvParameters, symbols: Sequence[str] | str | None, landing: Path
    ) -> None:
        """Keep whom to ask.

        Args:
            parameters: The server.
            symbols: Symbols of a first run, or the path of a listing.
            landing: Folder in which answers are kept.
        """
        super().__init__(shown(parameters.url), symbols, landing, parameters.max_failed_share)
        self._parameters = parameters

    def fetch(self, requests: Sequence[Request]) -> Generator[Answer]:
        """Ask the server for some symbols, several at once.

        Args:
            requests: One a symbol.

        Yields:
            In their order, a file of bars each, or why there is none.

        Raises:
            SourceError: The server refused.
        """
        parameters = self._parameters
        workers = parameters.connections
        with _client(parameters) as client:
            ask = partial(_answer, client, parameters=parameters)
            yield from map_ahead(ask, requests, workers, ahead=_AHEAD * workers)


def _client(parameters: HttpCsvParameters) -> "httpx.Client":
    try:
        import httpx
    except ModuleNotFoundError as error:
        raise SourceError(
            "sources on other machines need an extra: pip install 'stock_volume[remote]'"
        ) from error
    # It logs each address with its query.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    headers = parameters.sent_headers()
    home = httpx.URL(parameters.address(Request("A"), date.max))
    return httpx.Client(
        headers=headers,
        timeout=parameters.seconds,
        limits=httpx.Limits(max_connections=parameters.connections),
        follow_redirects=True,
        event_hooks={"request": [_keeping_from_others(home, headers)]},
    )


def _keeping_from_others(
    home: "httpx.URL", headers: Mapping[str, str]
) -> Callable[["httpx.Request"], None]:
    """Make a hook that takes our headers off a request to which another server is redirected to.

    httpx itself takes off ``Authorization`` only.
    """

    def strip(request: "httpx.Request") -> None:
        if not is_same_server(str(home), str(request.url)):
            for name in headers:
                if name.lower() not in _NEVER_SECRET:
                    request.headers.pop(name, None)

    return strip


class _AnswerError(Exception):
    """An answer that may be better next time.

    Attributes:
        wait: Seconds that the server asks for; None if it says nothing.
    """

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


def _answer(client: "httpx.Client", request: Request, parameters: HttpCsvParameters) -> Answer:
    """Ask for one symbol: its file, or why there is none."""
    import httpx

    asked = 0

    def again(error: Exception) -> bool | float:
        if isinstance(error, _AnswerError) and error.wait is not None:
            return error.wait
        may_pass = isinstance(error, (httpx.TransportError, httpx.DecodingError, _AnswerError))
        return may_pass and not isinstance(error, httpx.UnsupportedProtocol)

    try:
        for attempt in attempts(parameters.retry, again):
            with attempt:
                asked += 1
                return _ask(client, request, parameters)
    except (httpx.HTTPError, httpx.InvalidURL, _AnswerError) as error:
        reason = redacted(str(error)) or type(error).__name__
        return f"{reason}, {asked} times" if asked > 1 else reason
    raise AssertionError("unreachable")


def _ask(client: "httpx.Client", request: Request, parameters: HttpCsvParameters) -> Answer:
    address = parameters.address(request, datetime.now(tz=UTC).date())
    deadline = time.monotonic() + parameters.seconds
    with client.stream("GET", address) as response:
        status = response.status_code
        if status in _REFUSED:
            raise SourceError(
                f"{shown(parameters.url)}: HTTP {status} for {request.symbol}; give a key under "
                "`credentials`, see docs/sources/http.md"
            )
        wait = seconds_asked_for(response.headers.get("retry-after"))
        if status_may_pass(status):
            raise _AnswerError(f"HTTP {status}", wait)
        if status != HTTPStatus.OK:
            return f"HTTP {status}"
        parts, size = [], 0
        for part in response.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > parameters.max_mib * 2**20:
                return f"longer than max_mib = {parameters.max_mib:g} allows"
            if time.monotonic() > deadline:  # httpx limits the wait for a part, not for all
                raise _AnswerError(f"not complete after {parameters.seconds:g} seconds")
    content = _with_our_names(b"".join(parts), parameters.columns)
    reason = no_bars_reason(content, parameters.secrets())
    if reason:
        # Servers that limit requests often say so with a status of success.
        raise _AnswerError(f"HTTP {status}, but {reason}", wait)
    return content


def _with_our_names(content: bytes, ours: Mapping[str, str]) -> bytes:
    """Rename the columns that the server calls otherwise."""
    header, line_end, body = content.partition(b"\n")
    try:
        text = header.decode("utf-8-sig", errors="replace").rstrip("\r")
        names = next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error:  # whatever it is, it is no header, which reading it will tell
        names = []
    if not ours.keys() & {name.strip() for name in names}:
        return content
    renamed = io.StringIO()
    csv.writer(renamed, lineterminator="").writerow(ours.get(name.strip(), name) for name in names)
    return renamed.getvalue().encode() + line_end + body
