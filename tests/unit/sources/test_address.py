"""Redaction of addresses, and which server may receive secrets."""

import pytest

from stock_volume.sources.address import (
    is_remote,
    is_same_server,
    list_headers_to_strip,
    redact_address,
    redact_text,
    strip_secrets,
)


@pytest.mark.parametrize(
    ("source", "remote"),
    [("s3://b/a.zip", True), ("https://h/a.zip", True), ("data/a.zip", False), ("sample", False)],
)
def test_an_address_names_a_protocol(source: str, remote: bool) -> None:  # noqa: FBT001
    """Addresses differ from paths by their protocol."""
    assert is_remote(source) is remote


@pytest.mark.parametrize(
    ("address", "rest"),
    [
        ("s3://bucket/archive.zip", "s3://bucket/archive.zip"),
        ("https://h:1/{symbol}.csv?key=K&x={since}", "https://h:1/{symbol}.csv?…"),
        ("https://me:K@h/a", "https://h/a"),
        ("https://me:K@K@h/a?K@K", "https://h/a?…"),
        ("https://me:K?K@h/a", "https://h/a"),
        ("simplecache::https://me:K@h/a.zip?K#K", "simplecache::https://h/a.zip?…"),
        ("https://h/@scope/a", "https://h/@scope/a"),
    ],
)
def test_secrets_are_removed_from_addresses(address: str, rest: str) -> None:
    """Query, user and password are removed, and the rest stays."""
    assert redact_address(address) == rest
    assert strip_secrets(address) == rest.removesuffix("?…")


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("404, url='https://me:K@h/a?K=K' of 2", "404, url='https://h/a?… of 2"),
        (
            "Max retries exceeded with url: /a?K=K (why)",
            "Max retries exceeded with url: /a?… (why)",
        ),
        ("is there no file /a?", "is there no file /a?"),
        ("", ""),
    ],
)
def test_secrets_are_redacted_in_texts(text: str, rest: str) -> None:
    """Error messages of other packages keep their words without keys in addresses."""
    assert redact_text(text) == rest


@pytest.mark.parametrize(
    ("home", "address", "same"),
    [
        ("https://h/a", "https://h:443/b?x", True),
        ("http://me:K@h/a", "http://h/b", True),
        ("http://h/a", "https://h/a", True),
        ("https://h/a", "http://h/a", False),
        ("http://h:8080/a", "https://h/a", False),
        ("http://h:1/a", "http://h:2/a", False),
        ("https://h/a", "https://other.h/a", False),
        ("https://h/a", "https://h@other/a", False),
    ],
)
def test_a_server_is_identified_by_its_origin(home: str, address: str, same: bool) -> None:  # noqa: FBT001
    """Scheme, host and port identify a server; HTTPS may replace HTTP, not the reverse."""
    assert is_same_server(home, address) is same


@pytest.mark.parametrize(
    ("address", "stripped"),
    [("https://a.org/x", []), ("https://b.org/x", ["X-Key"]), ("http://a.org/x", ["X-Key"])],
)
def test_secret_headers_stay_with_their_server(address: str, stripped: list[str]) -> None:
    """Another server receives Accept and User-Agent, and no other header."""
    headers = {"X-Key": "c", "Accept": "text/csv", "user-agent": "me"}
    assert list_headers_to_strip("https://a.org", address, headers) == stripped
