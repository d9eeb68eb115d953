"""Addresses as they may be shown: a query or a password is often a key."""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

SAMPLE: Final = "sample"
"""What stands for the embedded sample where a path or an address may be."""

_ADDRESS: Final = re.compile(r"(?:[A-Za-z][\w+.-]*:/|(?<=url: ))/\S+")
"""An address, or as much of one as urllib3 tells."""

_PORTS: Final = {"http": 80, "https": 443}
_SHORTEST_SECRET: Final = 4
"""Characters; shorter words are no keys, and would be missing from what is quoted."""

_USER: Final = re.compile(r"(?<=://)[^\s/]*@")


def is_remote(source: str) -> bool:
    """Tell an address from a path.

    Args:
        source: An address such as ``s3://bucket/archive.zip``, or a path.

    Returns:
        Whether it names a protocol.
    """
    return "://" in source


def strip_secrets(address: str) -> str:
    """Cut what may be secret off an address: the query, and user and password.

    Args:
        address: An address, or a template of one.

    Returns:
        The rest, which still tells what is there.
    """
    return _USER.sub("", address).partition("?")[0]


def redact_address(address: str) -> str:
    """Write an address for messages and reports.

    Args:
        address: An address, or a template of one.

    Returns:
        It without secrets, with ``?…`` where it had a query.
    """
    return strip_secrets(address) + ("?…" if "?" in _USER.sub("", address) else "")


def is_same_server(home: str, address: str) -> bool:
    """Tell whether what is meant for one server, such as a key, may go to an address.

    Args:
        home: An address of the server.
        address: Where a request goes, perhaps because the server redirects to it.

    Returns:
        Whether it is the same server: by HTTPS in place of HTTP as well.
    """
    scheme, host, port = _parse_origin(home)
    doors = {(scheme, host, port)}
    if (scheme, port) == ("http", _PORTS["http"]):
        doors.add(("https", host, _PORTS["https"]))
    return _parse_origin(address) in doors


def _parse_origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def list_secrets(address: str, values: Iterable[str]) -> frozenset[str]:
    """List what a server may repeat in its answers and no message may show.

    Args:
        address: An address, or a template of one.
        values: What else is sent to the server: credentials, values of headers.

    Returns:
        The values, and the address' user, password and values of its query; and the words
        of each, because a server leaves out the ``Bearer`` before a key.
    """
    parts = urlsplit(address)
    of_address = [
        *(value for _, value in parse_qsl(parts.query)),
        *(unquote(value) for value in (parts.username, parts.password) if value),
    ]
    words = {word for value in (*values, *of_address) for word in (value, *value.split())}
    return frozenset(word for word in words if len(word) >= _SHORTEST_SECRET)


def redact_text(text: str) -> str:
    """Take secrets out of the addresses in a text, such as another package's error.

    Args:
        text: Any text.

    Returns:
        It with each address as it may be shown.
    """
    return _ADDRESS.sub(lambda address: redact_address(address[0]), text)
