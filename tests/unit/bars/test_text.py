"""Encodings and line ends of files."""

import codecs

import pytest

from stock_volume.bars.text import plain_text
from stock_volume.errors import UnreadableFileError

TEXT = "Date,Name\n2020-01-02,Nestlé\n"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    ],
    ids=["utf-8", "utf-8 with mark", "utf-16-le", "utf-16-be"],
)
def test_encodings_give_one_text(content: bytes) -> None:
    """Each becomes UTF-8 without a byte-order mark."""
    assert plain_text(content) == TEXT.encode()


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r", b"\r\r\n"])
def test_line_ends_are_line_feeds(line_end: bytes) -> None:
    """One line stays one line, whatever system wrote it."""
    assert plain_text(line_end.join([b"a", b"b", b""])) == b"a\nb\n"


def test_a_last_line_without_end_stays_so() -> None:
    """It may be cut short, which the caller reports."""
    assert plain_text(b"a\nb") == b"a\nb"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x00\x01", "is binary, expected CSV text"),
        (TEXT.encode("latin-1"), "is not UTF-8 text: .*; save it as UTF-8"),
        (codecs.BOM_UTF16_LE + b"a\x00\x00\xd8", "is not UTF-16 text"),
        (TEXT.encode("utf-16-le"), "is binary"),
    ],
    ids=["binary", "latin-1", "half of a surrogate", "utf-16 without mark"],
)
def test_what_cannot_be_read_is_named(content: bytes, message: str) -> None:
    """The error says what the content is, and what to do."""
    with pytest.raises(UnreadableFileError, match=message):
        plain_text(content)


def test_a_fallback_decodes_what_is_not_utf8() -> None:
    """Text that is UTF-8 is not affected by the fallback."""
    assert plain_text(TEXT.encode("cp1252"), "cp1252") == TEXT.encode()
    assert plain_text(TEXT.encode(), "cp1252") == TEXT.encode()
