"""A local server whose answers a test sets."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """What to send.

    Attributes:
        body: Its bytes.
        status: Its status.
        headers: Its headers, except the length.
        cut: Bytes after which the connection ends; all are announced.
        pause: Called before the body and after each of its bytes, to be slow.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    pause: Callable[[], object] | None = None


@dataclass
class Server:
    """A running server.

    Attributes:
        url: Its address, without a slash at the end.
        asked: Method and path of every request, in order.
    """

    url: str
    asked: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def times(self, path: str) -> int:
        return sum(asked == path for _, asked in self.asked)


class _Http(ThreadingHTTPServer):
    request_queue_size = 128  # connections that all come at once


@contextmanager
def answering(answer: Callable[[str, dict[str, str], int], Answer]) -> Iterator[Server]:
    """Serve on a free port until the end of the block.

    Args:
        answer: From a path with its query, headers and how often it was asked before.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            before = server.times(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.asked.append((self.command, self.path))
            server.headers.append(headers)
            length = int(headers.get("content-length", 0))
            self.rfile.read(length)
            given = answer(self.path, headers, before)
            self.send_response(given.status)
            for name, value in given.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(given.body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if given.pause is None:
                self.wfile.write(given.body[: given.cut])
            else:
                self._drip(given)
            if given.cut is not None:
                self.close_connection = True

        do_HEAD = do_POST = do_GET  # noqa: N815

        def _drip(self, given: Answer) -> None:
            assert given.pause is not None
            try:
                for place in range(len(given.body)):
                    given.pause()
                    self.wfile.write(given.body[place : place + 1])
                    self.wfile.flush()
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay silent."""

    with _Http(("127.0.0.1", 0), Handler) as http:
        server = Server(f"http://127.0.0.1:{http.server_port}")
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
