"""A server that is stopped while clients wait for answers."""

import json
import select
import socket
import subprocess
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path

import pytest

from stock_volume.serving.middleware import MAX_SECONDS
from tests.e2e.runs import PROJECT, Run, Server, starting

CLIENTS = 12
FIRST = date(2010, 1, 1)


def own_bars(number: int) -> bytes:
    """A request that takes long to answer: a forecast of many bars."""
    days = (FIRST + timedelta(days=day) for day in range(2 * number))
    bar = {"Open": 10, "High": 11, "Low": 9, "Close": 10, "Adj Close": 10, "Volume": 1000}
    weekdays = [day for day in days if day.isoweekday() <= 5][:number]
    return json.dumps({"bars": [{"Date": day.isoformat(), **bar} for day in weekdays]}).encode()


def connect(server: Server) -> socket.socket:
    address = server.client.base_url
    assert address.port is not None
    return socket.create_connection((address.host, address.port), timeout=30)


def read_status(client: socket.socket) -> int:
    """Read a whole answer, and return its status."""
    with client.makefile("rb") as stream:
        status = int(stream.readline().split()[1])
        lengths = [line for line in iter(stream.readline, b"\r\n") if b"content-length" in line]
        size = int(lengths[0].split()[1])
        assert len(stream.read(size)) == size
    return status


def test_what_was_read_is_answered(sample_run: Run, tmp_path: Path) -> None:
    """SIGTERM costs no answer to a request that the server has read."""
    body = own_bars(3000)
    head = f"POST /forecast HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    with starting(sample_run, tmp_path, "stock_volume:latest") as server, ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(CLIENTS)]
        for client in clients:
            client.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        server.client.get("/livez").raise_for_status()  # the server has accepted all of them
        server.process.terminate()
        answered, _, _ = select.select(clients, [], [], 0)
        assert len(answered) < CLIENTS
        assert [read_status(client) for client in clients] == [200] * CLIENTS
        assert server.process.wait(10) == 0


def test_client_that_does_not_read_delays_the_end_for_a_limited_time(
    sample_run: Run, tmp_path: Path
) -> None:
    """With --timeout-graceful-shutdown, the server ends though an answer cannot be sent."""
    options = ("stock_volume:latest", "--timeout-graceful-shutdown", "3")
    with starting(sample_run, tmp_path, *options) as server, connect(server) as client:
        client.sendall(b"GET /symbols/AAPL/history?days=731 HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
        assert client.recv(1)
        server.process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(1)
        assert server.process.wait(10) == 0


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("compose.yaml", "stop_grace_period: 30s"),
        ("Makefile", "--timeout-graceful-shutdown 30"),
        ("deploy/nginx/swap.sh", "--timeout-graceful-shutdown 30"),
    ],
)
def test_servers_may_take_as_long_to_stop_as_an_answer(file: str, words: str) -> None:
    """Nothing that this project starts is killed while an answer may still begin."""
    assert words in (PROJECT / file).read_text(encoding="utf-8")
    assert MAX_SECONDS < 30
