"""The proxy's configuration, against clients that keep connections without requests."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.proxy import NGINX, nginx
from tests.unit.servers import Answer, answering

AT_ONCE = 20
"""Connections of an address; docs/service.md."""

pytestmark = [
    pytest.mark.slow,  # it waits for limits of up to 20 seconds
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of nginx with the shipped configuration, in front of a server that is slow to answer."""
    with (
        answering(lambda *_: Answer(b"ok", pause=lambda: time.sleep(1))) as server,
        nginx(tmp_path_factory.mktemp("nginx"), server.url) as port,
    ):
        yield port


def seconds_until_closed(port: int, send: Callable[[socket.socket, int], object]) -> float:
    """Connect, send something each second, and time how long the connection is kept."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(1)
        for second in range(40):
            try:
                send(client, second)
                if client.recv(4096) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    return time.monotonic() - began


def drip_headers(client: socket.socket, second: int) -> None:
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" if second == 0 else b"X: y\r\n")


def ask_once(client: socket.socket, second: int) -> None:
    if second == 0:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")


def say_nothing(_client: socket.socket, _second: int) -> None:
    """Stay silent."""


def test_slow_and_idle_connections_end(port: int) -> None:
    """Slow headers after 10 seconds, silence after 10, an idle connection after 20."""
    ways = {drip_headers: 10, say_nothing: 10, ask_once: 22}
    with ThreadPoolExecutor() as pool:
        kept = pool.map(lambda way: seconds_until_closed(port, way), ways)
    for (way, seconds), measured in zip(ways.items(), kept, strict=True):
        assert seconds - 2 < measured < seconds + 5, way.__name__


def test_an_address_has_so_many_requests_at_once(port: int) -> None:
    """More are refused by the proxy, so one client cannot take all connections."""

    def ask(_: int) -> int:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return int(client.recv(4096).split()[1])

    with ThreadPoolExecutor(AT_ONCE + 5) as pool:
        statuses = list(pool.map(ask, range(AT_ONCE + 5)))
    assert statuses.count(200) == AT_ONCE
    assert statuses.count(429) == 5
