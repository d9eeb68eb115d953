"""Refusals: every error that a request can meet, in the one shape of RFC 9457."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from stock_volume.errors import StockVolumeError
from stock_volume.forecaster.book import NothingKnownError, UnknownSymbolError
from stock_volume.forecaster.fresh import InvalidBarsError
from stock_volume.serving.answers import InvalidValue, Problem
from stock_volume.serving.loading import NotReadyError

PROBLEM_JSON: Final = "application/problem+json"
_RETRY_SECONDS: Final = "2"
_MOST_ERRORS: Final = 100
"""A long list of bad rows is told by its first ones."""

_NAMELESS: Final = {"body", "query", "path", "symbols", "bars"}
"""Where a value stands; the first such part of its location says nothing to a user."""


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
    return Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, **more)


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


def symbol_problem(
    error: UnknownSymbolError | NothingKnownError, *, with_near: bool = True
) -> Problem:
    """Say why there is nothing to tell of a symbol.

    Args:
        error: Why.
        with_near: Whether symbols spelt alike are looked for.

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
    ):
        app.add_exception_handler(kind, handler)


async def _refuse(_request: Request, error: Exception) -> Response:
    return answer_with(error.problem)  # type: ignore[attr-defined]


async def _refuse_values(_request: Request, error: Exception) -> Response:
    """Name each bad value; the values themselves (NaN, for one) may not be JSON."""
    details = list(error.errors())  # type: ignore[attr-defined]
    errors = [
        InvalidValue(field=_field(detail["loc"]), message=_message(detail)) for detail in details
    ]
    return answer_with(_unprocessable(errors))


async def _refuse_bars(_request: Request, error: Exception) -> Response:
    """Name each bar that breaks a rule."""
    broken = error.broken  # type: ignore[attr-defined]
    errors = [
        InvalidValue(field=f"bars.{bar.place}", message=f"{bar.rule}: {bar.reason}")
        for bar in broken
    ]
    return answer_with(_unprocessable(errors or [InvalidValue(field="bars", message=str(error))]))


def _unprocessable(errors: list[InvalidValue]) -> Problem:
    shown = errors[:_MOST_ERRORS]
    detail = "; ".join(f"{one.field}: {one.message}" for one in shown)
    if len(errors) > len(shown):
        detail += f"; and {len(errors) - len(shown)} more"
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=shown)


def _field(location: tuple[int | str, ...]) -> str:
    """Name a value as the request does: ``rows.3.name`` for that of a list."""
    parts = list(location)
    while len(parts) > 1 and parts[0] in _NAMELESS and not isinstance(parts[1], int):
        parts.pop(0)
    return ".".join(str(part) for part in parts)


def _message(detail: Mapping[str, Any]) -> str:
    if detail["type"] == "json_invalid":
        return f"is not JSON: {detail['ctx']['error']}"
    return str(detail["msg"])


async def _refuse_plainly(request: Request, error: Exception) -> Response:
    status: int = error.status_code  # type: ignore[attr-defined]
    detail: Any = error.detail  # type: ignore[attr-defined]
    headers: Mapping[str, str] = error.headers or {}  # type: ignore[attr-defined]
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": _methods_at(request, headers.get("Allow", ""))}
    return answer_with(problem(status, str(detail)), headers)


def _methods_at(request: Request, named: str) -> str:
    """List the methods of all routes at a path; the router names those of the first alone."""
    path = getattr(request.scope.get("route"), "path", "")
    described = request.app.openapi()["paths"].get(path, {})
    return ", ".join(sorted(method.upper() for method in described)) or named


async def _know_nothing(_request: Request, error: Exception) -> Response:
    return answer_with(symbol_problem(error))  # type: ignore[arg-type]


async def _ask_for_patience(_request: Request, error: Exception) -> Response:
    return answer_with(
        problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)), {"Retry-After": _RETRY_SECONDS}
    )
