"""JSON documents over HTTP, at a limited pace."""

import json
import logging
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from stock_volume.errors import SourceError
from stock_volume.sources.address import redact_address, redact_text
from stock_volume.sources.answer import quote_beginning
from stock_volume.sources.retry import (
    REMOTE_EXTRA_MISSING,
    RetryParameters,
    attempts,
    is_transient_status,
    parse_retry_after,
)

Model = TypeVar("Model")

_REFUSALS: Final = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


class JsonServerParameters(BaseModel):
    """Limits of the requests to a server.

    Attributes:
        per_second: Maximum number of requests per second.
        seconds: Longest silence of the server.
        max_mib: Maximum size of a document, in MiB.
        retry: Retries of failed requests.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_second: float = Field(default=5.0, gt=0, le=10)
    seconds: float = Field(default=30.0, gt=0)
    max_mib: float = Field(default=64.0, gt=0)
    retry: RetryParameters = RetryParameters()


class _AnswerError(Exception):
    """An answer that a retry may improve."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class JsonServer:
    """A server of JSON documents; use it as a context manager."""

    def __init__(
        self, headers: Mapping[str, str], parameters: JsonServerParameters, hint: str
    ) -> None:
        """Open a client.

        Args:
            headers: Headers of each request.
            parameters: Limits.
            hint: What to do where the server refuses access.

        Raises:
            SourceError: The package for requests is not installed.
        """
        try:
            import httpx
        except ModuleNotFoundError as error:
            raise SourceError(REMOTE_EXTRA_MISSING) from error
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self._client = httpx.Client(
            headers=dict(headers), timeout=parameters.seconds, follow_redirects=True
        )
        self._transient = (httpx.TransportError, httpx.DecodingError, _AnswerError)
        self._parameters = parameters
        self._hint = hint
        self._next = 0.0

    def __enter__(self) -> Self:
        """Return the server."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the connections."""
        self._client.close()

    def fetch(self, address: str) -> Any | None:
        """Fetch a document.

        Args:
            address: Its address.

        Returns:
            The document; None if the server has none there.

        Raises:
            SourceError: The server refuses access, or has not sent JSON after all attempts.
        """
        try:
            for attempt in attempts(self._parameters.retry, self._should_retry):
                with attempt:
                    return self._request(address)
        except self._transient as error:
            reason = redact_text(str(error)) or type(error).__name__
            raise SourceError(f"{redact_address(address)}: {reason}") from None
        raise AssertionError("unreachable")

    def _should_retry(self, error: Exception) -> bool | float:
        if isinstance(error, _AnswerError) and error.wait is not None:
            return error.wait
        return isinstance(error, self._transient)

    def _request(self, address: str) -> Any | None:
        time.sleep(max(0.0, self._next - time.monotonic()))
        self._next = time.monotonic() + 1 / self._parameters.per_second
        with self._client.stream("GET", address) as response:
            status = response.status_code
            if status == HTTPStatus.NOT_FOUND:
                return None
            if status in _REFUSALS:
                raise SourceError(f"{redact_address(address)}: HTTP {status}{self._hint}")
            if is_transient_status(status):
                wait = parse_retry_after(response.headers.get("retry-after"))
                raise _AnswerError(f"HTTP {status}", wait)
            if status != HTTPStatus.OK:
                raise SourceError(f"{redact_address(address)}: HTTP {status}")
            return _parse(self._read(response, address))

    def _read(self, response: Any, address: str) -> bytes:
        parts, size = [], 0
        for part in response.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > self._parameters.max_mib * 2**20:
                raise SourceError(f"{redact_address(address)}: longer than max_mib allows")
        return b"".join(parts)


def check_document(model: TypeAdapter[Model], document: Any, address: str, what: str) -> Model:
    """Check the form of a document.

    Args:
        model: Its expected form.
        document: The document.
        address: Its address, for the message.
        what: What it is expected to be, for the message.

    Returns:
        The checked document.

    Raises:
        SourceError: It has another form; the message names the field.
    """
    try:
        return model.validate_python(document)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(map(str, problem["loc"]))
        raise SourceError(f"{address}: not {what} ({place}: {problem['msg']})") from error


def _parse(content: bytes) -> Any:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):  # nested too deeply
        document = None
    if document is None:
        raise _AnswerError(f"no JSON document, but {quote_beginning(content)!r}")
    return document
