"""Checks before a route answers: API key, query names, and the body that ``reading`` reads."""

import os
import secrets
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final

from fastapi import HTTPException, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams

from stock_volume.errors import StockVolumeError
from stock_volume.serving.bodies import InvalidValue
from stock_volume.serving.compression import compressed
from stock_volume.serving.loading import ModelLoader
from stock_volume.serving.problems import ProblemError, unprocessable
from stock_volume.serving.reading import MAX_BYTES, BodyReader, Slots

API_KEY: Final = "STOCK_VOLUME_API_KEY"
"""Environment variable of the API key; without it data routes need no key."""

KEY_HEADER: Final = "X-API-Key"
LOAD_SECONDS: Final = 10.0
"""Maximum time that a request waits for the models."""

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


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


def guarded_route(loader: ModelLoader, slots: Slots, key: bytes | None) -> type[APIRoute]:
    """Make the class of an application's data routes.

    Args:
        loader: Loads the models, for which requests wait.
        slots: Limits the concurrent requests with large bodies.
        key: The API key that they require; None for no key.

    Returns:
        The class.
    """

    class GuardedRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            answer = super().get_route_handler()
            names = frozenset(field.alias for field in self.dependant.query_params)
            field = self.body_field
            reader = BodyReader(field.validate, MAX_BYTES[self.path], slots) if field else None

            async def handle(request: Request) -> Response:
                if key is not None:
                    _check_key(request, key)
                if request.query_params:
                    _check_query(request.query_params, names)
                if not loader.is_ready:
                    await loader.wait_beside(LOAD_SECONDS)
                if reader is None:
                    return compressed(request, await answer(request))
                async with reader.read(request) as read:
                    return compressed(request, await answer(read))

            return handle

    return GuardedRoute


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
