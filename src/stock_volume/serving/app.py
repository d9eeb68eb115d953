"""What all routes of the service share: bodies of answers, and refusals."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel

PROBLEM_JSON = "application/problem+json"


class VolumeEstimate(BaseModel):
    """An estimate of a day's volume.

    Attributes:
        volume: In shares.
        model: Tag of the model that answers.
        note: What kind of figure this is.
    """

    volume: int
    model: str
    note: str = "an estimate for the day that the two averages end on, not a forecast"


class InvalidValue(BaseModel):
    """A value that was refused.

    Attributes:
        field: Name of the parameter.
        message: The bound it breaks.
    """

    field: str
    message: str


class Problem(BaseModel):
    """A problem detail (RFC 9457).

    Attributes:
        type: URI of the kind of problem.
        title: The kind of problem, in words.
        status: HTTP status code.
        detail: What is wrong with this request.
        errors: Each value that was refused.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[InvalidValue] = []


def create_app() -> FastAPI:
    """Make an application that refuses bad values by a problem detail.

    Returns:
        The application, without routes.
    """
    app = FastAPI(title="stock_volume", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(RequestValidationError, _refuse)
    return app


async def _refuse(_request: Request, error: Exception) -> JSONResponse:
    """Answer a bad request; the values themselves (NaN, for one) may not be JSON."""
    details: list[dict[str, Any]] = list(error.errors())  # type: ignore[attr-defined]
    errors = [
        InvalidValue(field=str(detail["loc"][-1]), message=detail["msg"]) for detail in details
    ]
    problem = Problem(
        title="Unprocessable Content",
        status=422,
        detail="; ".join(f"{one.field}: {one.message}" for one in errors),
        errors=errors,
    )
    return JSONResponse(problem.model_dump(), status_code=422, media_type=PROBLEM_JSON)
