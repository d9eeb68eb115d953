"""The application: its routes, who may use them, and its pages."""

import os
import secrets
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, HTTPException
from fastapi.openapi.utils import get_openapi
from fastapi.params import Depends as Dependency
from fastapi.responses import FileResponse, Response
from fastapi.security import APIKeyHeader
from fastapi.staticfiles import StaticFiles
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from stock_volume import __version__
from stock_volume.serving.loading import ModelLoader
from stock_volume.serving.problems import add_handlers
from stock_volume.serving.routes import data_routes

API_KEY: Final = "STOCK_VOLUME_API_KEY"
"""Environment variable of the key that data routes ask for; without it they ask for none."""

# prometheus_client looks at it when it is imported, and not again.
_SHARED_COUNTERS: Final = "PROMETHEUS_MULTIPROC_DIR" in os.environ

_PAGE: Final = Path(__file__).parent / "page"
_DESCRIPTION: Final = (
    "Forecasts of the next session's trading volume, and estimates of a day's from two averages. "
    "Volumes are in shares. Every error is a problem detail (RFC 9457). The page is at [/](/)."
)
# Swagger UI, which BentoML ships, writes styles into its page.
_DOCS_POLICY: Final = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)


def create_app(loader: ModelLoader, api_key: str | None = None) -> FastAPI:
    """Make the application.

    Args:
        loader: Gives the models, once they are loaded.
        api_key: Asked for by all data routes; None for that of the environment, if any.

    Returns:
        The application.
    """
    app = FastAPI(
        title="stock_volume",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
    )
    add_handlers(app)
    key = api_key or os.environ.get(API_KEY)
    app.include_router(data_routes(loader, [_asking_for(key)] if key else []))
    _add_pages(app)
    return app


def _asking_for(key: str) -> Dependency:
    header = APIKeyHeader(name="X-API-Key", auto_error=False)
    expected = key.encode()

    async def check(given: Annotated[str | None, Depends(header)]) -> None:
        # In constant time: how long it takes must not tell how much of the key is right.
        if not secrets.compare_digest((given or "").encode(), expected):
            raise HTTPException(
                HTTPStatus.UNAUTHORIZED,
                "the header X-API-Key is missing or wrong",
                {"WWW-Authenticate": 'ApiKey realm="stock_volume"'},
            )

    return Dependency(check)


def _add_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(_PAGE / "docs.html", headers={"Content-Security-Policy": _DOCS_POLICY})

    @app.get("/metrics", tags=["server"], response_class=Response, responses=_plain("Counters"))
    def metrics() -> Response:
        """Count requests, seconds, forecasts and refusals, for Prometheus."""
        return Response(generate_latest(_registry()), media_type=CONTENT_TYPE_LATEST)

    app.mount("/static", StaticFiles(directory=_PAGE))

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            schema["paths"].update(_bentoml_paths())
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's way to extend it


def _registry() -> Collector:
    """Give the counters of this process, or of all workers where they share a folder."""
    if not _SHARED_COUNTERS:
        return REGISTRY
    shared = CollectorRegistry()
    MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
    return shared


def _plain(words: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": words, "content": {"text/plain": {"schema": {"type": "string"}}}}}


def _bentoml_paths() -> dict[str, Any]:
    """Describe what BentoML answers itself."""
    alive, ready = _plain("The server runs"), _plain("The models are loaded")
    ready[503] = {"description": "They are not, yet or at all"}
    return {
        path: {
            "get": {
                "tags": ["server"],
                "summary": words,
                "responses": {str(status): answer for status, answer in responses.items()},
            }
        }
        for path, words, responses in (
            ("/livez", "Tell whether the server runs", alive),
            ("/readyz", "Tell whether requests can be answered", ready),
        )
    }
