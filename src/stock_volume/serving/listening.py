"""A check that the server can listen on its address, before BentoML starts workers."""

import socket

import click
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml.exceptions import BentoMLException


class AddressError(BentoMLException):
    """The server cannot listen; ``bentoml serve`` prints it as one line."""


def check_address() -> None:
    """Try the address that ``bentoml serve`` is about to listen on; BentoML shows a traceback.

    Raises:
        AddressError: The port is in use, or the address is not this machine's to listen on.
    """
    host, port = _address()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as BentoML's own
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AddressError(
            f"cannot listen on port {port} of {host}: {reason}; stop the process that uses it, or "
            "choose another with --port"
        ) from error


def _address() -> tuple[str, int]:
    # BentoML passes no options to the service: read its command line, then its configuration.
    command = click.get_current_context(silent=True)
    options = command.params if command else {}
    configured = BentoMLContainer.http
    return (
        options.get("host") or configured.host.get(),
        options.get("port") or configured.port.get(),
    )
