"""The application: its routes, who may use them, and its pages."""

import os
from http import HTTPStatus
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.middleware.gzip import GZipMiddleware

from stock_volume import __version__
from stock_volume.json_value import Json
from stock_volume.serving.guard import (
    KEY_HEADER,
    environment_key,
    guarded_route,
    usable_key,
)
from stock_volume.serving.loading import ModelLoader
from stock_volume.serving.problems import add_handlers
from stock_volume.serving.reading import Slots
from stock_volume.serving.routes import Responses, data_routes, refusals

# prometheus_client looks at it when it is imported, and not again.
_SHARED_COUNTERS: Final = "PROMETHEUS_MULTIPROC_DIR" in os.environ

_PAGE: Final = Path(__file__).parent / "page"
_DESCRIPTION: Final = (
    "Forecasts of the next session's trading volume, and estimates of a day's from two averages. "
    "Volumes are in shares. Every error is a problem detail (RFC 9457). The page is [here](.)."
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

    Raises:
        InvalidKeyError: The key is none that a header can bring.
    """
    key = usable_key(api_key or environment_key())
    app = FastAPI(
        title="stock_volume",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    add_handlers(app)
    slots = Slots()
    data = data_routes(loader, slots, guarded_route(loader, slots, key))
    app.include_router(data)
    _add_pages(app)
    _describe(app, guarded={getattr(route, "path", "") for route in data.routes} if key else set())
    return app


def _add_pages(app: FastAPI) -> None:
    files = StaticFiles(directory=_PAGE)

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        response = await files.get_response("docs.html", request.scope)
        response.headers["Content-Security-Policy"] = _DOCS_POLICY
        return response

    @app.get("/metrics", tags=["server"], response_class=Response, responses=_plain("Counters"))
    def metrics() -> Response:
        """Count requests, seconds, forecasts and refusals, for Prometheus."""
        return Response(generate_latest(_registry()), media_type=CONTENT_TYPE_LATEST)

    app.mount("/static", GZipMiddleware(files, minimum_size=1024, compresslevel=6))


def _describe(app: FastAPI, guarded: set[str]) -> None:
    """Add to the description what FastAPI cannot know.

    Args:
        app: The application.
        guarded: Paths of the routes that ask for a key.
    """

    def openapi() -> dict[str, Json]:
        if not app.openapi_schema:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            if guarded:
                schema["components"]["securitySchemes"] = {
                    "key": {"type": "apiKey", "in": "header", "name": KEY_HEADER}
                }
            for path in sorted(guarded):
                for operation in schema["paths"][path].values():
                    operation["security"] = [{"key": []}]
            schema["paths"].update(_bentoml_paths())
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's way to extend it


def _registry() -> Collector:
    """Return the counters of this process, or of all workers that share a folder."""
    if not _SHARED_COUNTERS:
        return REGISTRY
    shared = CollectorRegistry()
    MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
    return shared


def _plain(words: str) -> Responses:
    return {200: {"description": words, "content": {"text/plain": {"schema": {"type": "string"}}}}}


def _bentoml_paths() -> dict[str, Json]:
    """Describe what BentoML answers itself."""
    alive, ready = _plain("The server runs"), _plain("The models are loaded")
    ready |= refusals(HTTPStatus.SERVICE_UNAVAILABLE)
    return {
        path: {
            "get": {
                "tags": ["server"],
                "summary": words,
                "responses": {str(status): answer for status, answer in responses.items()},
            }
        }
        for path, words, responses in (
            ("/livez", "Check that the server runs", alive),
            ("/readyz", "Check that requests can be answered", ready),
        )
    }
