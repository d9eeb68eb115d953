"""CSV files over HTTP, one per symbol, from an address template."""

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
from stock_volume.json_value import Json
from stock_volume.sources.address import (
    list_headers_to_strip,
    list_secret_headers,
    list_secrets,
    redact_address,
    redact_text,
)
from stock_volume.sources.answer import explain_no_bars
from stock_volume.sources.requested import Answer, Request, RequestedSource
from stock_volume.sources.retry import (
    REMOTE_EXTRA_MISSING,
    RetryParameters,
    attempts,
    is_transient_status,
    parse_retry_after,
)

if TYPE_CHECKING:
    import httpx

_EARLIEST: Final = date(1900, 1, 1)
_REFUSAL_STATUSES: Final = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_PLACEHOLDERS: Final = {"symbol", "since", "until"}
_QUEUED_PER_CONNECTION: Final = 8
"""Answers per connection that may wait for an earlier one."""

_HEADER_NAME: Final = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)


class HttpCsvParameters(BaseModel):
    """Server, address template and limits of a CSV source.

    Attributes:
        url: Address with ``{symbol}`` and, optionally, the dates ``{since}`` and
            ``{until}`` and names of credentials.
        columns: Our column names, by the server's names where they differ.
        headers: Headers of each request.
        credentials: Values of ``{name}`` in the address; the others are sent as headers.
        connections: Maximum concurrent requests.
        seconds: Time limit of a response, from its request to its last byte.
        max_mib: Maximum size of a response, in MiB.
        max_failed_share: Maximum share of failed symbols; beyond it the fetch fails.
        retry: Retries of failed requests.
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
    def _check_request(self) -> Self:
        named = _parse_places(self.url)
        if named - _PLACEHOLDERS - self.credentials.keys():
            raise ValueError(
                "url: only {symbol}, {since}, {until} and names of credentials may be in braces"
            )
        if "symbol" not in named:
            raise ValueError("url: {symbol} is missing")
        servers = {
            _parse_server(self.build_url(Request(symbol), date.max)) for symbol in ("A", "B")
        }
        if len(servers) > 1:
            raise ValueError("url: {symbol} may not be a part of the server's name")
        for name, value in self.build_headers().items():
            # httpx shows what it refuses, keys included.
            if not _HEADER_NAME.fullmatch(name) or not _is_header_value(value):
                raise ValueError(f"header {name!r}: only printable ASCII, no space around it")
        return self

    def build_url(self, request: Request, until: date) -> str:
        """Fill in the address template.

        Args:
            request: Symbol and first date.
            until: The last date.

        Returns:
            The address, secrets included.
        """
        values = {
            **{name: value.get_secret_value() for name, value in self.credentials.items()},
            "symbol": request.symbol,
            "since": (request.since or _EARLIEST).isoformat(),
            "until": until.isoformat(),
        }
        return self.url.format_map({name: quote(value, "") for name, value in values.items()})

    def build_headers(self) -> dict[str, str]:
        """Build the headers of a request, secret ones included."""
        credentials = {
            name: value.get_secret_value()
            for name, value in self.credentials.items()
            if name not in _parse_places(self.url)
        }
        return {**self.headers, **credentials}

    def list_secrets(self) -> frozenset[str]:
        """List secrets that the server may echo and no message may show."""
        return list_secrets(
            self.url,
            [
                *(value.get_secret_value() for value in self.credentials.values()),
                *list_secret_headers(self.headers).values(),
            ],
        )


def _parse_places(url: str) -> set[str]:
    """Parse the placeholders of an address, with any format specification they have."""
    try:
        return {
            f"{name}:{spec}!{conversion}" if spec or conversion else name
            for _, name, spec, conversion in Formatter().parse(url)
            if name is not None
        }
    except ValueError:  # a brace without its pair
        return {"{"}


def _parse_server(address: str) -> str:
    error = ValueError("url: must begin with http:// or https:// and a server's name")
    try:
        parts = urlsplit(address)
        sound = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # its message may contain the password
        raise error from None
    if not sound or not address.isprintable():
        raise error
    return parts.netloc


def _is_header_value(value: str) -> bool:
    return value.isascii() and value.isprintable() and value == value.strip()


class HttpCsvSource(RequestedSource):
    """A server with one CSV file per symbol."""

    def __init__(
        self,
        server: HttpCsvParameters | Mapping[str, Json],
        symbols: Sequence[str] | str | None = None,
        *,
        landing: str | Path,
        credentials: Mapping[str, str] | None = None,
    ) -> None:
        """Configure the source.

        Args:
            server: Server, address template and limits, or fields of them.
            symbols: Symbols of a first run, or the path of a listing.
            landing: Folder of the fetched archives.
            credentials: Values of ``{name}`` in the address, and of headers, unless
                ``server`` has them.

        Raises:
            ValidationError: A parameter is invalid; the message shows no value.
        """
        if isinstance(server, Mapping):
            server = HttpCsvParameters.model_validate({"credentials": credentials or {}, **server})
        super().__init__(redact_address(server.url), symbols, landing, server.max_failed_share)
        self._parameters = server

    def fetch(self, requests: Sequence[Request]) -> Generator[Answer]:
        """Fetch the bars of some symbols concurrently.

        Args:
            requests: One per symbol.

        Yields:
            For each request, in order, a file of bars or the reason why there is none.

        Raises:
            SourceError: The server refuses access.
        """
        parameters = self._parameters
        workers = parameters.connections
        with _open_client(parameters) as client:
            fetch_symbol = partial(_fetch_symbol, client, parameters=parameters)
            yield from map_ahead(
                fetch_symbol, requests, workers, ahead=_QUEUED_PER_CONNECTION * workers
            )


def _open_client(parameters: HttpCsvParameters) -> "httpx.Client":
    try:
        import httpx
    except ModuleNotFoundError as error:
        raise SourceError(REMOTE_EXTRA_MISSING) from error
    # httpx logs each address with its query.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    headers = parameters.build_headers()
    home = httpx.URL(parameters.build_url(Request("A"), date.max))
    return httpx.Client(
        headers=headers,
        timeout=parameters.seconds,
        limits=httpx.Limits(max_connections=parameters.connections),
        follow_redirects=True,
        event_hooks={"request": [_make_redirect_hook(home, headers)]},
    )


def _make_redirect_hook(
    home: "httpx.URL", headers: Mapping[str, str]
) -> Callable[["httpx.Request"], None]:
    """Make a hook that strips secret headers from requests redirected to another server."""

    def strip(request: "httpx.Request") -> None:
        for name in list_headers_to_strip(str(home), str(request.url), headers):
            request.headers.pop(name, None)

    return strip


class _AnswerError(Exception):
    """A response that a retry may improve.

    Attributes:
        wait: Seconds that the server asks to wait; None if it does not.
    """

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


def _fetch_symbol(
    client: "httpx.Client", request: Request, parameters: HttpCsvParameters
) -> Answer:
    """Fetch one symbol's file, or the reason why there is none."""
    import httpx

    tries = 0

    def should_retry(error: Exception) -> bool | float:
        if isinstance(error, _AnswerError) and error.wait is not None:
            return error.wait
        is_transient = isinstance(error, (httpx.TransportError, httpx.DecodingError, _AnswerError))
        return is_transient and not isinstance(error, httpx.UnsupportedProtocol)

    try:
        for attempt in attempts(parameters.retry, should_retry):
            with attempt:
                tries += 1
                return _request_file(client, request, parameters)
    except (httpx.HTTPError, httpx.InvalidURL, _AnswerError) as error:
        reason = redact_text(str(error)) or type(error).__name__
        return f"{reason}, {tries} times" if tries > 1 else reason
    raise AssertionError("unreachable")


def _request_file(
    client: "httpx.Client", request: Request, parameters: HttpCsvParameters
) -> Answer:
    address = parameters.build_url(request, datetime.now(tz=UTC).date())
    deadline = time.monotonic() + parameters.seconds
    with client.stream("GET", address) as response:
        status = response.status_code
        if status in _REFUSAL_STATUSES:
            raise SourceError(
                f"{redact_address(parameters.url)}: HTTP {status} for {request.symbol}; give a "
                "key under `credentials`, see docs/sources/http.md"
            )
        wait = parse_retry_after(response.headers.get("retry-after"))
        if is_transient_status(status):
            raise _AnswerError(f"HTTP {status}", wait)
        if status != HTTPStatus.OK:
            return f"HTTP {status}"
        parts, size = [], 0
        for part in response.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > parameters.max_mib * 2**20:
                return f"longer than max_mib = {parameters.max_mib:g} allows"
            if time.monotonic() > deadline:  # httpx limits each part, not the whole
                raise _AnswerError(f"not complete after {parameters.seconds:g} seconds")
    content = _rename_columns(b"".join(parts), parameters.columns)
    reason = explain_no_bars(content, parameters.list_secrets())
    if reason:
        # Servers that limit requests often report it with status 200.
        raise _AnswerError(f"HTTP {status}, but {reason}", wait)
    return content


def _rename_columns(content: bytes, ours: Mapping[str, str]) -> bytes:
    """Rename the server's columns to ours."""
    header, line_end, body = content.partition(b"\n")
    try:
        text = header.decode("utf-8-sig", errors="replace").rstrip("\r")
        names = next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error:  # not a header; parsing the file reports it
        names = []
    if not ours.keys() & {name.strip() for name in names}:
        return content
    renamed = io.StringIO()
    csv.writer(renamed, lineterminator="").writerow(ours.get(name.strip(), name) for name in names)
    return renamed.getvalue().encode() + line_end + body
