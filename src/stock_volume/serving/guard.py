"""What a request must pass before its route reads it: key, names, media type, size, time, slot."""

import asyncio
import gzip
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
from stock_volume.serving.answers import InvalidValue
from stock_volume.serving.problems import (
    RETRY_AFTER,
    ProblemError,
    unprocessable,
)

API_KEY: Final = "STOCK_VOLUME_API_KEY"
"""Environment variable of the key that data routes ask for; without it they ask for none."""

KEY_HEADER: Final = "X-API-Key"
BODY_SECONDS: Final = 15.0
"""How long a body may take to arrive."""

SLOTS: Final = 2
"""Bodies that are made forecasts of at a time: one of 3,000 bars takes some 20 MiB meanwhile."""

MOST_WAITING: Final = 64
WAIT_SECONDS: Final = 10.0

_MOST_NAMES: Final = 16
"""In one JSON object; a bar, the largest that is asked for, has seven."""

_LEAST_GZIPPED: Final = 4096
_GZIP_LEVEL: Final = 4
_GZIP: Final = re.compile(r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))", re.IGNORECASE)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Bounds(NamedTuple):
    """Bounds of a route's bodies.

    Attributes:
        most_bytes: Size.
        slotted: Whether few are answered at a time.
    """

    most_bytes: int
    slotted: bool = False


BOUNDS: Final = {
    "/predict": Bounds(4 * 2**10),
    "/predict/batch": Bounds(2**20),
    "/forecast": Bounds(2**20, slotted=True),
}
"""By path; no other route reads a body."""


class InvalidKeyError(StockVolumeError):
    """An API key that no header could bring."""


def usable_key(text: str | None) -> bytes | None:
    """Read the API key of the environment.

    Args:
        text: As it is set; a mounted file often ends with a line break.

    Returns:
        The key; None where none is set.

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
    """Lets few requests at a time do what takes much memory; others wait, but not for long."""

    def __init__(self) -> None:
        """Start with all slots free."""
        self._free = asyncio.Semaphore(SLOTS)
        self._waiting = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold a slot.

        Raises:
            HTTPException: Too many wait already, or none became free in time.
        """
        if self._waiting >= MOST_WAITING:
            raise _busy()
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise _busy() from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()


def guarded_route(key: bytes | None) -> type[APIRoute]:
    """Make the class of an application's data routes.

    Args:
        key: What they ask for; None for nothing.

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
                    _check_names(query, names)
                if bounds is None:
                    return _packed(request, await answer(request))
                body = await _body(request, bounds.most_bytes)
                if not bounds.slotted:
                    return _packed(request, await answer(_ReadRequest(request, body)))
                async with slots.one():
                    return _packed(request, await answer(_ReadRequest(request, body)))

            return handle

    return GuardedRoute


class _ReadRequest(Request):
    """A request whose body has been read, and stays as it was read."""

    def __init__(self, request: Request, body: bytes) -> None:
        super().__init__(request.scope, request.receive)
        self._read = body
        self._parsed = _parsed(body) if body else None

    async def body(self) -> bytes:
        return self._read

    async def json(self) -> Any:
        return self._parsed


def _check_key(request: Request, key: bytes) -> None:
    given = request.headers.get(KEY_HEADER, "").encode("latin-1")
    # In constant time: how long it takes must not tell how much of the key is right.
    if not secrets.compare_digest(given, key):
        raise HTTPException(
            HTTPStatus.UNAUTHORIZED,
            f"the header {KEY_HEADER} is missing or wrong",
            {"WWW-Authenticate": 'ApiKey realm="stock_volume"'},
        )


def _check_names(query: QueryParams, names: frozenset[str]) -> None:
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


async def _body(request: Request, most_bytes: int) -> bytes:
    headers = request.headers
    declared = headers.get("content-length", "0")
    if declared == "0" and "transfer-encoding" not in headers:
        return b""
    if declared.isdigit() and int(declared) > most_bytes:
        raise _too_large(most_bytes)
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
                if size > most_bytes:
                    raise _too_large(most_bytes)
                pieces.append(piece)
    except TimeoutError:
        # What else comes on this connection may be the rest of the body.
        raise HTTPException(
            HTTPStatus.REQUEST_TIMEOUT,
            f"the body did not arrive within {BODY_SECONDS:g} seconds",
            {"Connection": "close"},
        ) from None
    except ClientDisconnect:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the body broke off") from None
    return b"".join(pieces)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _unfit(f"is not JSON: {error.msg} at {place}") from None
    except UnicodeDecodeError:
        raise _unreadable("the body is not text in UTF-8") from None
    except RecursionError:
        raise _unreadable("the body is nested too deeply") from None
    except ValueError:
        raise _unreadable("a number of the body has too many digits") from None


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object, whose names are few and distinct: each one is a chance to be refused."""
    made = dict(pairs)
    if len(made) == len(pairs) <= _MOST_NAMES:
        return made
    if len(pairs) > _MOST_NAMES:
        raise _unfit(f"has an object of {len(pairs):,} names; none is asked for with so many")
    names = [name for name, _ in pairs]
    twice = next(name for name in names if names.count(name) > 1)
    raise _unfit(f"has an object with the name {json.dumps(twice)} more than once")


def _unfit(message: str) -> ProblemError:
    return ProblemError(unprocessable([InvalidValue(field="body", message=message)]))


def _unreadable(words: str) -> HTTPException:
    return HTTPException(HTTPStatus.BAD_REQUEST, words)


def _too_large(most_bytes: int) -> HTTPException:
    return HTTPException(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {most_bytes:,} bytes"
    )


def _busy() -> HTTPException:
    return HTTPException(
        HTTPStatus.SERVICE_UNAVAILABLE, "too many forecasts are being made", RETRY_AFTER
    )


def _packed(request: Request, response: Response) -> Response:
    """Compress a large answer, where the client takes it so."""
    size = len(response.body)
    if size < _LEAST_GZIPPED:
        return response
    response.headers["Vary"] = "Accept-Encoding"
    if _GZIP.search(request.headers.get("accept-encoding", "")):
        response.body = gzip.compress(bytes(response.body), _GZIP_LEVEL, mtime=0)
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Content-Length"] = str(len(response.body))
    return response
