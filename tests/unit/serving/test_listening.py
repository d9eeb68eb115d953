"""The address that a server is to listen on, tried before it starts."""

import re
import socket
from collections.abc import Iterator

import click
import pytest

from tests.unit.service_helpers import BENTOML_WARNINGS

pytestmark = BENTOML_WARNINGS

EVERY_HOST = "0.0.0.0"  # noqa: S104  # tried, and nothing is answered there


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that something listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        yield port


def refusal(**options: object) -> str:
    """What the check says within ``bentoml serve`` with these options; nothing if all is well."""
    from stock_volume.serving.listening import AddressError, check_address

    with click.Context(click.Command("serve")) as command:
        command.params = dict(options)
        try:
            check_address()
        except AddressError as error:
            return str(error)
    return ""


@pytest.mark.parametrize("host", ["127.0.0.1", EVERY_HOST, None])
def test_a_port_in_use_is_named(taken: int, host: str | None) -> None:
    """A port that something listens on is refused by its number, whatever host is meant."""
    words = refusal(host=host, port=taken)
    assert re.match(rf"cannot listen on port {taken} of [\d.]+: Address already in use", words)
    assert "\n" not in words


def test_a_free_port_is_left_free() -> None:
    """A free port passes, and can be listened on afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert not refusal(host="127.0.0.1", port=port)
    socket.create_server(("127.0.0.1", port)).close()


def test_a_port_that_cannot_be_is_refused() -> None:
    """A number that is no port is refused in one line, too."""
    assert "port 80000 of 127.0.0.1" in refusal(host="127.0.0.1", port=80_000)


def test_the_configured_port_is_tried(taken: int) -> None:
    """Without options it is the configured port."""
    from bentoml._internal.configuration.containers import BentoMLContainer

    configured = BentoMLContainer.http.port
    before = configured.get()
    configured.set(taken)
    try:
        assert f"port {taken} of" in refusal(host=None, port=None)
    finally:
        configured.set(before)
