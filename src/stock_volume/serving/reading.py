"""Reading of bodies: their media type, size, time, memory, concurrency and values."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeVar, TypeVarTuple

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.requests import ClientDisconnect

from stock_volume.json_value import Json
from stock_volume.serving.bodies import InvalidValue
from stock_volume.serving.problems import RETRY_AFTER, ProblemError, unprocessable

MAX_BYTES: Final = {"/predict": 4 * 2**10, "/predict/batch": 2**20, "/forecast": 2**20}
"""Maximum size of a body by path; no other route reads a body."""

BODY_SECONDS: Final = 15.0
"""Time limit for a body to arrive."""

SLOTS: Final = 2
"""Maximum concurrent requests with large bodies: one of 3,000 bars takes about 20 MiB."""

LARGE_BODY: Final = 16 * 2**10
"""Size above which a body needs a slot; smaller ones are parsed in less than a millisecond."""

MAX_HELD_BYTES: Final = 128 * 2**20
"""Maximum size of all bodies in memory: those that arrive, that wait and that are answered."""

WAIT_SECONDS: Final = 20.0
"""Maximum time that a body waits for a slot."""

_MAX_NAMES: Final = 8
"""Maximum names of one JSON object; a bar, the largest object of the API, has seven."""

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class Slots:
    """Limits the concurrent requests with large bodies; others wait, in bounded time and memory."""

    def __init__(self) -> None:
        """Start with all slots free."""
        self._free = asyncio.Semaphore(SLOTS)
        self._threads = CapacityLimiter(SLOTS)
        self._held_bytes = 0

    @contextmanager
    def holding(self) -> Iterator[Callable[[int], None]]:
        """Count the bytes of a body for as long as it is in memory.

        Yields:
            Counts another piece; raises HTTPException if there is no room for it.
        """
        own = 0

        def add(size: int) -> None:
            nonlocal own
            if self._held_bytes + size > MAX_HELD_BYTES:
                raise _busy_error()
            self._held_bytes += size
            own += size

        try:
            yield add
        finally:
            self._held_bytes -= own

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold a slot.

        Raises:
            HTTPException: No slot became free in time.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise _busy_error() from None
        try:
            yield
        finally:
            self._free.release()

    async def run(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Call a function in one of the threads that only requests with bodies use.

        Args:
            function: It takes milliseconds, for which the event loop must not wait.
            arguments: Its arguments.

        Returns:
            Its result.
        """
        return await run_sync(function, *arguments, limiter=self._threads)


@dataclass(frozen=True)
class BodyReader:
    """Reads the bodies of a route.

    Attributes:
        validate: ``validate`` of FastAPI's description of the body.
        max_bytes: Its maximum size.
        slots: Limits the concurrent requests with large bodies.
    """

    validate: Callable[..., tuple[Any, list[Any]]]
    max_bytes: int
    slots: Slots

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[Request]:
        """Read the body of a request, and hold a slot until it is answered if it is large.

        Args:
            request: The request.

        Yields:
            The request, whose body FastAPI finds parsed and valid.

        Raises:
            ClientDisconnect: The client left while its body waited for a slot.
            HTTPException: The body is refused, or the server is overloaded.
            ProblemError: It is not JSON, or has too many or repeated names.
            RequestValidationError: Its values are not valid.
        """
        with self.slots.holding() as add:
            body = await _receive_body(request, self.max_bytes, add)
            if len(body) <= LARGE_BODY:
                yield _ReadRequest(request, body, self._validated(body))
                return
            async with self.slots.one():
                if await request.is_disconnected():
                    raise ClientDisconnect
                value = await self.slots.run(self._validated, body)
                yield _ReadRequest(request, body, value)

    def _validated(self, body: bytes) -> Any:
        if not body:
            return None
        value, errors = self.validate(parse_json(body), {}, loc=("body",))
        if errors:
            raise RequestValidationError(errors)
        return value


class _ReadRequest(Request):
    """A request whose body has been read already."""

    def __init__(self, request: Request, body: bytes, value: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._bytes = body
        self._value = value

    async def body(self) -> bytes:
        return self._bytes

    async def json(self) -> Any:
        return self._value


async def _receive_body(request: Request, max_bytes: int, add: Callable[[int], None]) -> bytes:
    headers = request.headers
    declared = headers.get("content-length", "0")
    if declared == "0" and "transfer-encoding" not in headers:
        return b""
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large_error(max_bytes)
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "the body must not be compressed",
            {"Accept-Encoding": "identity"},
        )
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if not re.fullmatch(r"application/(?:json|\S+\+json)", kind):
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the body must be application/json, not {kind or 'of a type that is not named'}",
        )
    pieces, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                size += len(piece)
                if size > max_bytes:
                    raise _too_large_error(max_bytes)
                add(len(piece))
                pieces.append(piece)
    except TimeoutError:
        # Anything that follows on this connection may be the rest of the body.
        raise HTTPException(
            HTTPStatus.REQUEST_TIMEOUT,
            f"the body did not arrive within {BODY_SECONDS:g} seconds",
            {"Connection": "close"},
        ) from None
    except ClientDisconnect:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the body broke off") from None
    return b"".join(pieces)


def parse_json(body: bytes) -> Any:
    """Parse a body.

    Args:
        body: The body, not empty.

    Returns:
        Its value.

    Raises:
        HTTPException: It cannot be read.
        ProblemError: It is not JSON, or has an object with too many or repeated names.
    """
    try:
        return json.loads(body, object_pairs_hook=_make_object)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _invalid_body(f"is not JSON: {error.msg} at {place}") from None
    except UnicodeDecodeError:
        raise _unreadable_error("the body is not text in UTF-8") from None
    except RecursionError:
        raise _unreadable_error("the body is nested too deeply") from None
    except ValueError:
        raise _unreadable_error("a number of the body has too many digits") from None


def _make_object(pairs: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    """Make an object, after checking that its names are few and distinct."""
    made = dict(pairs)
    if len(made) == len(pairs) <= _MAX_NAMES:
        return made
    if len(pairs) > _MAX_NAMES:
        raise _invalid_body(
            f"has an object of {len(pairs):,} names; no object of this API has so many"
        )
    names = [name for name, _ in pairs]
    twice = next(name for name in names if names.count(name) > 1)
    raise _invalid_body(f"has an object with the name {json.dumps(twice)} more than once")


def _invalid_body(message: str) -> ProblemError:
    return ProblemError(unprocessable([InvalidValue(field="body", message=message)]))


def _unreadable_error(words: str) -> HTTPException:
    return HTTPException(HTTPStatus.BAD_REQUEST, words)


def _too_large_error(max_bytes: int) -> HTTPException:
    return HTTPException(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {max_bytes:,} bytes"
    )


def _busy_error() -> HTTPException:
    return HTTPException(
        HTTPStatus.SERVICE_UNAVAILABLE, "too many large requests are being answered", RETRY_AFTER
    )
