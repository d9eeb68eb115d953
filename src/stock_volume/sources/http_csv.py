"""CSV files over HTTP, one a symbol, by an address with a place for it."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, field_validator

from stock_volume.errors import SourceError
from stock_volume.progress import progress
from stock_volume.sources.requested import Answers, Request, RequestedSource
from stock_volume.sources.retry import RetryParameters, attempts, seconds_asked_for

if TYPE_CHECKING:
    import httpx

_EARLIEST: Final = date(1900, 1, 1)
_GONE: Final = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
_REFUSED: Final = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


class HttpCsvParameters(BaseModel):
    """What to ask which server.

    Attributes:
        url: Address with ``{symbol}``, and perhaps ``{since}`` and ``{until}``, dates.
        columns: The server's names of the columns that it calls otherwise: ours by theirs.
        headers: Sent with each request, such as a key.
        connections: Requests at once.
        seconds: Time limit of one answer, from its request to its last byte.
        max_mib: Largest answer, in MiB.
        max_failed_share: Share of the symbols that may fail; more fail the whole.
        retry: How often a failed request is repeated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    columns: dict[str, str] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    connections: int = Field(default=4, ge=1)
    seconds: float = Field(default=30.0, gt=0)
    max_mib: float = Field(default=64.0, gt=0)
    max_failed_share: float = Field(default=0.1, ge=0, le=1)
    retry: RetryParameters = RetryParameters()

    @field_validator("url")
    @classmethod
    def _has_a_place_for_the_symbol(cls, url: str) -> str:
        try:
            asked = _address(url, Request("A"), date.max)
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError("knows {symbol}, {since} and {until} only") from error
        if asked == _address(url, Request("B"), date.max):
            raise ValueError("has no place for {symbol}")
        return url


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
        super().__init__(symbols, landing)
        self._parameters = parameters

    def fetch(self, requests: Sequence[Request]) -> Answers:
        """Ask the server for some symbols, several at once.

        Args:
            requests: One a symbol.

        Returns:
            The answers.

        Raises:
            SourceError: The server refused, or failed for more symbols than may be absent.
        """
        try:
            import httpx
        except ModuleNotFoundError as error:
            raise SourceError(
                "sources on other machines need an extra: pip install 'stock_volume[remote]'"
            ) from error
        parameters = self._parameters
        files: dict[str, bytes] = {}
        absent: dict[str, str] = {}
        limits = httpx.Limits(max_connections=parameters.connections)
        with (
            httpx.Client(
                headers=parameters.headers,
                timeout=parameters.seconds,
                limits=limits,
                follow_redirects=True,
            ) as client,
            ThreadPoolExecutor(parameters.connections) as pool,
            progress("fetching bars", len(requests), "files") as advance,
        ):
            answers = pool.map(lambda request: _answer(client, request, parameters), requests)
            try:
                for request, answer in zip(requests, answers, strict=True):
                    if isinstance(answer, bytes):
                        files[request.symbol] = _with_our_names(answer, parameters.columns)
                        advance(1, answer.count(b"\n"))
                    else:
                        absent[request.symbol] = answer
                        advance(1)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if not files or len(absent) > parameters.max_failed_share * len(requests):
            symbol, reason = next(iter(absent.items()))
            raise SourceError(
                f"{parameters.url}: {len(absent)} of {len(requests)} symbols could not be "
                f"fetched; first {symbol}: {reason}"
            )
        return Answers(files, absent)


def _address(url: str, request: Request, until: date) -> str:
    return url.format(
        symbol=quote(request.symbol, safe=""),
        since=(request.since or _EARLIEST).isoformat(),
        until=until.isoformat(),
    )


class _AnswerError(Exception):
    """An answer that may be better next time.

    Attributes:
        wait: Seconds that the server asks for; None if it says nothing.
    """

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


def _answer(client: "httpx.Client", request: Request, parameters: HttpCsvParameters) -> bytes | str:
    """Ask for one symbol: its file, or why there is none."""
    import httpx

    def again(error: Exception) -> bool | float:
        if isinstance(error, _AnswerError) and error.wait is not None:
            return error.wait
        return isinstance(error, (httpx.TransportError, _AnswerError))

    address = _address(parameters.url, request, datetime.now(tz=UTC).date())
    try:
        for attempt in attempts(parameters.retry, again):
            with attempt:
                return _ask(client, address, parameters)
    except (httpx.TransportError, _AnswerError) as error:
        return f"{str(error) or type(error).__name__}, {parameters.retry.attempts} times"
    raise AssertionError("unreachable")


def _ask(client: "httpx.Client", address: str, parameters: HttpCsvParameters) -> bytes | str:
    deadline = time.monotonic() + parameters.seconds
    with client.stream("GET", address) as response:
        status = response.status_code
        if status in _REFUSED:
            raise SourceError(f"{address}: HTTP {status}; give a key under `headers`")
        if status in _GONE:
            return f"HTTP {status}"
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            wait = seconds_asked_for(response.headers.get("retry-after"))
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
    return b"".join(parts)


def _with_our_names(content: bytes, ours: Mapping[str, str]) -> bytes:
    """Rename the columns that the server calls otherwise."""
    if not ours:
        return content
    header, line_end, body = content.partition(b"\n")
    names = header.decode("utf-8-sig", errors="replace").rstrip("\r").split(",")
    renamed = ",".join(ours.get(name.strip(), name) for name in names)
    return renamed.encode() + line_end + body
