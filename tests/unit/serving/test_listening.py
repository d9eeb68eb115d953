"""The address that a server is to listen on, tried before it starts."""

import socket
from collections.abc import Iterator

import click
import pytest

from stock_volume.serving.listening import AddressError, check_address
from tests.unit.service_helpers import BENTOML_WARNINGS

pytestmark = BENTOML_WARNINGS


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that something listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        yield port


def check(host: str | None, port: int | None) -> None:
    """Check as within ``bentoml serve`` with these options."""
    command = click.Command("serve", callback=check_address)
    with click.Context(command) as context:
        context.params = {"host": host, "port": port}
        check_address()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", None])
def test_a_port_in_use_is_named(taken: int, host: str | None) -> None:
    """A port that something listens on is refused by its number, whatever host is meant."""
    with pytest.raises(AddressError, match=rf"port {taken} of [\d.]+: Address already in use"):
        check(host, taken)


def test_a_free_port_is_left_free(taken: int) -> None:
    """A free port passes, and can be listened on afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    check("127.0.0.1", port)
    assert port != taken
    socket.create_server(("127.0.0.1", port)).close()


def test_a_port_that_cannot_be_is_refused() -> None:
    """A number that is no port is refused in one line, too."""
    with pytest.raises(AddressError, match="port 80000"):
        check("127.0.0.1", 80_000)


def test_the_configured_port_is_tried(taken: int) -> None:
    """Without options and outside a command it is the configured port."""
    from bentoml._internal.configuration.containers import BentoMLContainer

    with (
        BentoMLContainer.http.host.patch("127.0.0.1"),
        BentoMLContainer.http.port.patch(taken),
        pytest.raises(AddressError, match=f"port {taken} of 127"),
    ):
        check_address()
