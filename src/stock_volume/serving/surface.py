"""What surrounds every route, BentoML's own too: limits, headers, counters, one error shape."""

import time
from typing import Any, Final

from prometheus_client import Counter, Histogram
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stock_volume.serving.problems import PROBLEM_JSON, problem, problem_body

MOST_BODY_BYTES: Final = 2**20

_REQUESTS: Final = Counter("stock_volume_requests", "Requests answered", ["route", "status"])
_SECONDS: Final = Histogram(
    "stock_volume_request_seconds",
    "Seconds to answer a request",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
_REFUSED: Final = Counter("stock_volume_refused", "Requests refused for their input", ["status"])
_OTHER: Final = "other"
_REFUSALS: Final = range(400, 499)
_CLIENT_GONE: Final = 499
"""nginx's number for a client that left before it was answered."""

_FIRST_ERROR: Final = 400
_TOO_LARGE: Final = 413

_EVERYWHERE: Final = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
_ON_PAGES: Final = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Surface:
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
        answer = _Answer(send)
        body = _LimitedBody(receive)
        declared = _content_length(scope)
        try:
            if declared > MOST_BODY_BYTES:
                await answer.refuse(_TOO_LARGE, _too_large())
            else:
                await self._app(scope, body.receive, answer.send)
        finally:
            self._count(_route_of(scope), answer.status, time.perf_counter() - start)

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


class _LimitedBody:
    """Stops reading a body that turns out larger than it may be."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read = 0

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            if self._read > MOST_BODY_BYTES:
                raise HTTPException(_TOO_LARGE, _too_large())
        return message


class _Answer:
    """Adds headers to an answer, and gives an error without a problem detail one."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._replaced = False
        self.status = _CLIENT_GONE

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._start(message)
        elif not self._replaced:
            await self._send(message)

    async def _start(self, message: Message) -> None:
        self.status = message["status"]
        headers = MutableHeaders(scope=message)
        kind = headers.get("content-type", "")
        if self.status >= _FIRST_ERROR and kind != PROBLEM_JSON:
            self._replaced = True
            kept = {name: headers[name] for name in ("allow", "retry-after") if name in headers}
            await self.refuse(self.status, _plain_words(self.status), kept)
            return
        for name, value in _EVERYWHERE.items():
            headers[name] = value
        if kind.startswith("text/html"):
            for name, value in _ON_PAGES.items():
                headers.setdefault(name, value)
        await self._send(message)

    async def refuse(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        self.status = status
        body = problem_body(problem(status, detail))
        sent = {
            "content-type": PROBLEM_JSON,
            "content-length": str(len(body)),
            **_EVERYWHERE,
            **(headers or {}),
        }
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})
        await self._send({"type": "http.response.body", "body": body})


def _plain_words(status: int) -> str:
    return {
        404: "there is nothing at this address",
        405: "this address does not answer this method",
        503: "the models are being loaded, or the server is overloaded",
    }.get(status, "the server could not answer")


def _too_large() -> str:
    return f"the body is larger than {MOST_BODY_BYTES:,} bytes"


def _content_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def _route_of(scope: Scope) -> str:
    """Name the route by its template: there are few of these, and paths without end."""
    return getattr(scope.get("route"), "path", "") or _OTHER
