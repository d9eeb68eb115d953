"""Checks before a route reads a request: key, query names, media type, size, time, concurrency."""

import asyncio
import json
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from fastapi import HTTPException, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect

from stock_volume.errors import StockVolumeError
from stock_volume.json_value import Json
from stock_volume.serving.bodies import InvalidValue
from stock_volume.serving.compression import compressed
from stock_volume.serving.problems import (
    RETRY_AFTER,
    ProblemError,
    unprocessable,
)

API_KEY: Final = "STOCK_VOLUME_API_KEY"
"""Environment variable of the API key; without it data routes need no key."""

KEY_HEADER: Final = "X-API-Key"
BODY_SECONDS: Final = 15.0
"""Time limit for a body to arrive."""

SLOTS: Final = 2
"""Maximum concurrent forecast requests: one of 3,000 bars takes about 20 MiB."""

MAX_WAITING: Final = 64
WAIT_SECONDS: Final = 10.0

_MAX_NAMES: Final = 16
"""Maximum names of one JSON object; a bar, the largest object of the API, has seven."""

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Bounds(NamedTuple):
    """Bounds of a route's bodies.

    Attributes:
        max_bytes: Largest size.
        slotted: Whether the number of concurrent requests is limited.
    """

    max_bytes: int
    slotted: bool = False


BOUNDS: Final = {
    "/predict": Bounds(4 * 2**10),
    "/predict/batch": Bounds(2**20),
    "/forecast": Bounds(2**20, slotted=True),
}
"""Bounds by path; no other route reads a body."""


class InvalidKeyError(StockVolumeError):
    """An API key that cannot be sent in a header."""


def usable_key(text: str | None) -> bytes | None:
    """Read the API key of the environment.

    Args:
        text: The value of the variable; a mounted file often ends with a line break.

    Returns:
        The key; None if none is set.

    Raises:
        InvalidKeyError: It is blank, or not printable ASCII.
    """
    if not text:
        return None
    key = text.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise InvalidKeyError(
            f"{API_KEY} must be printable ASCII and more than blanks; leave it empty for no key"
        )
    return key.encode("ascii")


def environment_key() -> str | None:
    """Look up the API key of the environment."""
    return os.environ.get(API_KEY)


class Slots:
    """Limits concurrent requests that need much memory; others wait for a bounded time."""

    def __init__(self) -> None:
        """Start with all slots free."""
        self._free = asyncio.Semaphore(SLOTS)
        self._waiting = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold a slot.

        Raises:
            HTTPException: Too many requests wait already, or no slot became free in time.
        """
        if self._waiting >= MAX_WAITING:
            raise _busy_error()
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise _busy_error() from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()


def guarded_route(key: bytes | None) -> type[APIRoute]:
    """Make the class of an application's data routes.

    Args:
        key: The API key that they require; None for no key.

    Returns:
        The class.
    """
    slots = Slots()

    class GuardedRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            answer = super().get_route_handler()
            names = frozenset(field.alias for field in self.dependant.query_params)
            bounds = BOUNDS.get(self.path) if self.body_field else None

            async def handle(request: Request) -> Response:
                if key is not None:
                    _check_key(request, key)
                query = request.query_params
                if query:
                    _check_query(query, names)
                if bounds is None:
                    return compressed(request, await answer(request))
                body = await _read_body(request, bounds.max_bytes)
                if not bounds.slotted:
                    return compressed(request, await answer(_ReadRequest(request, body)))
                async with slots.one():
                    return compressed(request, await answer(_ReadRequest(request, body)))

            return handle

    return GuardedRoute


class _ReadRequest(Request):
    """A request whose body has been read and parsed already."""

    def __init__(self, request: Request, body: bytes) -> None:
        super().__init__(request.scope, request.receive)
        self._read = body
        self._parsed = _parse(body) if body else None

    async def body(self) -> bytes:
        return self._read

    async def json(self) -> Any:
        return self._parsed


def _check_key(request: Request, key: bytes) -> None:
    given = request.headers.get(KEY_HEADER, "").encode("latin-1")
    # In constant time: the duration must not reveal how much of the key is right.
    if not secrets.compare_digest(given, key):
        raise HTTPException(
            HTTPStatus.UNAUTHORIZED,
            f"the header {KEY_HEADER} is missing or wrong",
            {"WWW-Authenticate": 'ApiKey realm="stock_volume"'},
        )


def _check_query(query: QueryParams, names: frozenset[str]) -> None:
    given = query.keys()
    if given <= names and len(query.multi_items()) == len(given):
        return
    known = ", ".join(sorted(names)) or "none"
    errors = [
        InvalidValue(field=name, message=f"is no parameter of this address; it takes {known}")
        for name in given
        if name not in names
    ]
    errors += [
        InvalidValue(field=name, message="is given more than once")
        for name in given
        if name in names and len(query.getlist(name)) > 1
    ]
    raise ProblemError(unprocessable(errors))


async def _read_body(request: Request, max_bytes: int) -> bytes:
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


def _parse(body: bytes) -> Any:
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
        HTTPStatus.SERVICE_UNAVAILABLE, "too many forecasts are being made", RETRY_AFTER
    )
