"""Redaction of secrets in addresses, and which server may receive them."""

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

SAMPLE: Final = "sample"
"""Name of the embedded sample, in place of a path or an address."""

EDGAR: Final = "edgar"
NASDAQ: Final = "nasdaq"
YAHOO: Final = "yahoo"
EVENT_SERVICES: Final = (EDGAR, NASDAQ, YAHOO)
"""Names of services that have events, in place of the paths of files."""

_ADDRESS: Final = re.compile(r"(?:[A-Za-z][\w+.-]*:/|(?<=url: ))/\S+")
"""An address, or the part of one that urllib3 reports."""

_PORTS: Final = {"http": 80, "https": 443}
_SHORTEST_SECRET: Final = 4
"""Characters; removing shorter words would garble quoted text."""

_PUBLIC_HEADERS: Final = {"accept", "user-agent"}
"""Headers that are no secret, in lower case: any server may receive them."""

_USER: Final = re.compile(r"(?<=://)[^\s/]*@")


def is_remote(source: str) -> bool:
    """Return whether a source is an address rather than a path.

    Args:
        source: An address such as ``s3://bucket/archive.zip``, or a path.

    Returns:
        Whether it begins with a protocol.
    """
    return "://" in source


def strip_secrets(address: str) -> str:
    """Remove the query, user and password from an address.

    Args:
        address: An address, or a template of one.

    Returns:
        The address without them.
    """
    return _USER.sub("", address).partition("?")[0]


def redact_address(address: str) -> str:
    """Redact an address for messages and reports.

    Args:
        address: An address, or a template of one.

    Returns:
        The address without secrets, with ``?…`` in place of a query.
    """
    return strip_secrets(address) + ("?…" if "?" in _USER.sub("", address) else "")


def is_same_server(home: str, address: str) -> bool:
    """Return whether an address belongs to the same server as ``home``.

    Args:
        home: Address of the server for which headers and keys are meant.
        address: Target of a request, perhaps after a redirect.

    Returns:
        Whether scheme, host and port match; an upgrade from HTTP to HTTPS also matches.
    """
    scheme, host, port = _parse_origin(home)
    origins = {(scheme, host, port)}
    if (scheme, port) == ("http", _PORTS["http"]):
        origins.add(("https", host, _PORTS["https"]))
    return _parse_origin(address) in origins


def list_secret_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """List the headers that only the server they are meant for may receive.

    Args:
        headers: Headers of a request, by name.

    Returns:
        All of them except ``Accept`` and ``User-Agent``.
    """
    return {name: value for name, value in headers.items() if name.lower() not in _PUBLIC_HEADERS}


def list_headers_to_strip(home: str, address: str, headers: Mapping[str, str]) -> list[str]:
    """List the headers to remove from a request that may have been redirected.

    HTTP clients themselves remove ``Authorization`` only.

    Args:
        home: Address of the server for which the headers are meant.
        address: Target of the request.
        headers: Headers configured for the server.

    Returns:
        Names of the secret headers if another server would receive them, else none.
    """
    return [] if is_same_server(home, address) else list(list_secret_headers(headers))


def _parse_origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def list_secrets(address: str, values: Iterable[str]) -> frozenset[str]:
    """List secrets that a server may echo and no message may show.

    Args:
        address: An address, or a template of one.
        values: Other secrets sent to the server: credentials, values of headers.

    Returns:
        The values, the user, password and query values of the address, and each word of
        them, because a server may echo a key without its ``Bearer``.
    """
    parts = urlsplit(address)
    of_address = [
        *(value for _, value in parse_qsl(parts.query)),
        *(unquote(value) for value in (parts.username, parts.password) if value),
    ]
    words = {word for value in (*values, *of_address) for word in (value, *value.split())}
    return frozenset(word for word in words if len(word) >= _SHORTEST_SECRET)


def redact_text(text: str) -> str:
    """Redact the addresses in a text, such as another package's error message.

    Args:
        text: Any text.

    Returns:
        The text with each address redacted.
    """
    return _ADDRESS.sub(lambda address: redact_address(address[0]), text)
