"""Middleware around every route, BentoML's too: time limit, headers, counters, error format."""

import asyncio
import logging
import time
from http import HTTPStatus
from typing import Any, Final

from prometheus_client import Counter, Histogram
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stock_volume.serving.problems import (
    CLIENT_GONE,
    PROBLEM_JSON,
    RETRY_AFTER,
    problem,
    problem_body,
)

MAX_SECONDS: Final = 28.0
"""Time limit for an answer to begin; BentoML's own limit is a little longer."""

logger = logging.getLogger("bentoml.stock_volume")

_REQUESTS: Final = Counter("stock_volume_requests", "Requests answered", ["route", "status"])
_SECONDS: Final = Histogram(
    "stock_volume_request_seconds",
    "Seconds to answer a request",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
_REFUSED: Final = Counter("stock_volume_refused", "Requests refused for their input", ["status"])
_OTHER: Final = "other"
_REFUSALS: Final = range(400, CLIENT_GONE)
_HIDDEN_PATHS: Final = frozenset({"/docs.json", "/healthz"})
"""BentoML's own API description, which lacks these routes, and its alias of /livez."""

_FIRST_REDIRECT: Final = 300
_FIRST_ERROR: Final = 400
_KEPT_HEADERS: Final = ("allow", "connection", "content-range", "retry-after", "www-authenticate")
"""Headers kept when the body of an answer is replaced by a problem detail."""

_COMMON_HEADERS: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
_DATA_HEADERS: Final = [*_COMMON_HEADERS, (b"cache-control", b"no-store")]
_PAGE_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class ServiceMiddleware:
    """ASGI middleware around the whole service."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application.

        Args:
            app: The application.
        """
        self._app = app
        self._counters: dict[tuple[str, int], tuple[Any, Any]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        headless = scope["method"] == "HEAD"
        if headless:
            # A copy: the server needs the original to know that no body follows.
            scope = {**scope, "method": "GET"}
        answer = _Answer(send, headless=headless)
        try:
            if scope["path"] in _HIDDEN_PATHS:
                await answer.refuse(HTTPStatus.NOT_FOUND)
            else:
                answer.begin_within(MAX_SECONDS)
                await self._app(scope, receive, answer.send)
        except asyncio.CancelledError:
            if not answer.is_late:
                raise
            answer.task.uncancel()
            await answer.refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        except Exception as error:
            if answer.is_cut_off:
                raise
            logger.exception("%s failed", _route_template(scope), exc_info=error)
            if not answer.has_begun:
                await answer.refuse(HTTPStatus.INTERNAL_SERVER_ERROR)
        finally:
            answer.stop_timer()
            self._count(_route_template(scope), answer.status, time.perf_counter() - start)

    def _count(self, route: str, status: int, seconds: float) -> None:
        counters = self._counters.get((route, status))
        if counters is None:
            counters = (
                _REQUESTS.labels(route=route, status=str(status)),
                _SECONDS.labels(route=route),
            )
            self._counters[route, status] = counters
        requests, duration = counters
        requests.inc()
        duration.observe(seconds)
        if status in _REFUSALS:
            _REFUSED.labels(status=str(status)).inc()


class _Answer:
    """Adds headers to an answer, and turns plain errors into problem details."""

    def __init__(self, send: Send, *, headless: bool) -> None:
        self._send = send
        self._headless = headless
        self._replaced = False
        self._ended = False
        self._timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[Any]
        self.has_begun = False
        self.is_late = False
        self.status: int = CLIENT_GONE

    @property
    def is_cut_off(self) -> bool:
        return self.has_begun and not self._ended

    def begin_within(self, seconds: float) -> None:
        """Cancel an answer that begins too late; asyncio.timeout costs three times as much."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine runs in one  # nosec B101
        self.task = task
        self._timer = asyncio.get_running_loop().call_later(seconds, self._time_out)

    def stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        self.is_late = True
        self.task.cancel()

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            await self._start(message)
        elif kind == "http.response.body" and not self._replaced:
            self._ended = not message.get("more_body", False)
            if not self._headless:
                await self._send(message)
            elif self._ended:
                await self._send({"type": kind, "body": b""})

    async def _start(self, message: Message) -> None:
        status = message["status"]
        headers = MutableHeaders(scope=message)
        kind = headers.get("content-type", "")
        if status >= _FIRST_REDIRECT:
            # Routers redirect /models/ to whatever host the client named.
            if "location" in headers:
                status = HTTPStatus.NOT_FOUND
            if status == HTTPStatus.METHOD_NOT_ALLOWED:
                headers["allow"] = _add_head(headers.get("allow", ""))
            if status >= _FIRST_ERROR and kind != PROBLEM_JSON:
                self._replaced = True
                kept = {name: headers[name] for name in _KEPT_HEADERS if name in headers}
                await self.refuse(status, kept)
                return
        if "etag" in headers:
            headers["cache-control"] = "no-cache"
            if "content-encoding" in headers:
                headers["etag"] = f"W/{headers['etag']}"
            message["headers"] += _COMMON_HEADERS
        else:
            message["headers"] += _DATA_HEADERS
        if kind.startswith("text/html"):
            for name, value in _PAGE_HEADERS.items():
                headers.setdefault(name, value)
        await self._begin(message)

    async def _begin(self, message: Message) -> None:
        self.stop_timer()
        self.has_begun = True
        self.status = int(message["status"])
        await self._send(message)

    async def refuse(self, status: int, headers: dict[str, str] | None = None) -> None:
        body = problem_body(problem(status, _describe_status(status)))
        sent = {"content-type": PROBLEM_JSON, "content-length": str(len(body)), **(headers or {})}
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            sent = {**RETRY_AFTER, **sent}
        raw = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in sent.items()
        ]
        await self._begin(
            {
                "type": "http.response.start",
                "status": int(status),
                "headers": [*raw, *_DATA_HEADERS],
            }
        )
        self._ended = True
        await self._send({"type": "http.response.body", "body": b"" if self._headless else body})


def _describe_status(status: int) -> str:
    return {
        404: "there is nothing at this address",
        405: "this address does not answer this method",
        416: "the file has no such range",
        503: "the models are being loaded, or the server is overloaded",
    }.get(status, "the server could not answer")


def _add_head(methods: str) -> str:
    named = set(filter(None, methods.replace(" ", "").split(",")))
    return ", ".join(sorted(named | ({"HEAD"} if "GET" in named else set())))


def _route_template(scope: Scope) -> str:
    """Return the route's template: templates are few, paths are unbounded."""
    return getattr(scope.get("route"), "path", "") or _OTHER
