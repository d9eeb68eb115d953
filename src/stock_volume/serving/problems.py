"""Refusals: every error that a request can meet, in the one shape of RFC 9457."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from stock_volume.errors import StockVolumeError
from stock_volume.serving.bodies import NO_DATE, InvalidValue, Problem
from stock_volume.serving.loading import NotReadyError
from stock_volume.snapshot.lookup import NothingKnownError, UnknownSymbolError
from stock_volume.snapshot.own_bars import InvalidBarsError

PROBLEM_JSON: Final = "application/problem+json"
RETRY_AFTER: Final = {"retry-after": "2"}
"""Header of refusals that pass."""

CLIENT_GONE: Final = 499
"""nginx's status for a client that disconnected before the answer."""

_MAX_ERRORS: Final = 100
"""Bad rows that an answer lists; a longer list is cut."""

_NAMELESS: Final = {"body", "query", "path", "symbols", "bars"}
"""Parts of a request; as the first part of a location they mean nothing to a user."""


_TITLES: Final[dict[int, str]] = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Content Too Large",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "Range Not Satisfiable",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Unprocessable Content",
}
"""Of RFC 9110, where this Python still has older ones."""

_WORDS: Final = {
    "bool_type": "is neither true nor false",
    "date_from_datetime_inexact": NO_DATE,
    "date_from_datetime_parsing": NO_DATE,
    "date_parsing": NO_DATE,
    "date_type": NO_DATE,
    "dict_type": "is not an object",
    "extra_forbidden": "is not a field that is known here",
    "finite_number": "is not a finite number",
    "float_parsing": "is not a number",
    "float_type": "is not a number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be greater than or equal to {ge}",
    "int_from_float": "is not a whole number",
    "int_parsing": "is not a whole number",
    "int_parsing_size": "is not a whole number of usual size",
    "int_type": "is not a whole number",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be less than or equal to {le}",
    "list_type": "is not a list",
    "missing": "is missing",
    "model_attributes_type": "is not an object",
    "model_type": "is not an object",
    "string_pattern_mismatch": "must be printable ASCII without a space, and more than dots",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_type": "is not text",
    "string_unicode": "is not text that UTF-8 can write",
    "too_long": "must have at most {max_length} items",
    "too_short": "must have at least {min_length} items, not {actual_length}",
    "value_error": "{error}",
}
"""What is wrong with a value, by pydantic's name for it."""


class ProblemError(StockVolumeError):
    """A refusal that is put into words already."""

    def __init__(self, problem: Problem) -> None:
        """Keep the problem detail."""
        super().__init__(problem.detail)
        self.problem = problem


def problem(status: int, detail: str, **more: Any) -> Problem:
    """Make a problem detail.

    Args:
        status: HTTP status code.
        detail: What is wrong with this request.
        more: Other fields of ``Problem``.

    Returns:
        The problem.
    """
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    return Problem(title=title, status=status, detail=detail, **more)


def problem_body(one: Problem) -> bytes:
    """Write a problem as JSON, in ASCII: a request's text may not be valid Unicode."""
    return json.dumps(one.model_dump()).encode("ascii")


def answer_with(one: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Answer a request by a problem detail.

    Args:
        one: The problem.
        headers: More headers.

    Returns:
        The response.
    """
    return Response(
        problem_body(one), status_code=one.status, headers=headers, media_type=PROBLEM_JSON
    )


def unprocessable(errors: list[InvalidValue]) -> Problem:
    """Name the values that are refused.

    Args:
        errors: At least one.

    Returns:
        The problem, which shows the first ones of many.
    """
    shown = errors[:_MAX_ERRORS]
    detail = "; ".join(f"{one.field}: {one.message}" for one in shown)
    if len(errors) > len(shown):
        detail += f"; and {len(errors) - len(shown)} more"
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=shown)


def symbol_problem(
    error: UnknownSymbolError | NothingKnownError, *, with_near: bool = True
) -> Problem:
    """Explain why a symbol cannot be answered.

    Args:
        error: Why.
        with_near: Whether to look for symbols with similar spelling.

    Returns:
        The problem.
    """
    near = error.near() if with_near and isinstance(error, UnknownSymbolError) else []
    return problem(HTTPStatus.NOT_FOUND, str(error), near=near)


def add_handlers(app: FastAPI) -> None:
    """Let an application answer every error by a problem detail.

    Args:
        app: The application.
    """
    for kind, handler in (
        (RequestValidationError, _refuse_values),
        (HTTPException, _refuse_plainly),
        (UnknownSymbolError, _know_nothing),
        (NothingKnownError, _know_nothing),
        (InvalidBarsError, _refuse_bars),
        (NotReadyError, _ask_for_patience),
        (ProblemError, _refuse),
        (ClientDisconnect, _give_up),
    ):
        app.add_exception_handler(kind, handler)


async def _refuse(_request: Request, error: Exception) -> Response:
    return answer_with(error.problem)  # type: ignore[attr-defined]


async def _give_up(_request: Request, _error: Exception) -> Response:
    """Answer a client that has gone: nothing is sent, and the status is counted."""
    return Response(status_code=CLIENT_GONE, media_type=PROBLEM_JSON)


async def _refuse_values(_request: Request, error: Exception) -> Response:
    """Name each bad value; the values themselves (NaN, for one) may not be JSON."""
    details = list(error.errors())  # type: ignore[attr-defined]
    errors = [
        InvalidValue(field=_field(detail["loc"]), message=_message(detail)) for detail in details
    ]
    return answer_with(unprocessable(errors))


async def _refuse_bars(_request: Request, error: Exception) -> Response:
    """Name each bar that breaks a rule."""
    broken = error.broken  # type: ignore[attr-defined]
    errors = [
        InvalidValue(field=f"bars.{bar.place}", message=f"{bar.rule}: {bar.reason}")
        for bar in broken
    ]
    return answer_with(unprocessable(errors or [InvalidValue(field="bars", message=str(error))]))


def _field(location: tuple[int | str, ...]) -> str:
    """Name a value as the request does: ``rows.3.name`` for that of a list."""
    parts = list(location)
    while len(parts) > 1 and parts[0] in _NAMELESS and not isinstance(parts[1], int):
        parts.pop(0)
    return ".".join(str(part) for part in parts)


def _message(detail: ErrorDetails) -> str:
    words = _WORDS.get(detail["type"])
    if words is None:
        return str(detail["msg"])
    return words.format_map({name: _shown(value) for name, value in detail.get("ctx", {}).items()})


def _shown(value: object) -> str:
    """Write a bound: with thousands apart, and without the point of a whole number."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


async def _refuse_plainly(request: Request, error: Exception) -> Response:
    status: int = error.status_code  # type: ignore[attr-defined]
    detail: Any = error.detail  # type: ignore[attr-defined]
    headers: Mapping[str, str] = error.headers or {}  # type: ignore[attr-defined]
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": _methods_at(request, headers.get("Allow", ""))}
    return answer_with(problem(status, str(detail)), headers)


def _methods_at(request: Request, named: str) -> str:
    """List the methods of all routes at a path; the router lists only the methods of the first."""
    path = getattr(request.scope.get("route"), "path", "")
    described = request.app.openapi()["paths"].get(path, {})
    return ", ".join(sorted(method.upper() for method in described)) or named


async def _know_nothing(_request: Request, error: Exception) -> Response:
    return answer_with(symbol_problem(error))  # type: ignore[arg-type]


async def _ask_for_patience(_request: Request, error: Exception) -> Response:
    return answer_with(problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)), RETRY_AFTER)
