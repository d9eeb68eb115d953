"""Text as systems and spreadsheets write it, brought to UTF-8 with plain line ends."""

import codecs
from typing import Final

from stock_volume.errors import UnreadableFileError

_UTF16_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def plain_text(content: bytes, fallback: str | None = None) -> bytes:
    """Bring text to UTF-8 without a byte-order mark, each line ended by a line feed or nothing.

    Args:
        content: The content of a file: UTF-8, or UTF-16 with a byte-order mark.
        fallback: Encoding of text that is neither, which must decode any bytes.

    Returns:
        The text.

    Raises:
        UnreadableFileError: The content is binary, or text in another encoding.
    """
    if content.startswith(_UTF16_MARKS):
        content = _decode(content, "utf-16").encode()
    if b"\0" in content:
        raise UnreadableFileError("is binary, expected CSV text")
    if not content.isascii():
        content = _as_utf8(content.removeprefix(codecs.BOM_UTF8), fallback)
    if b"\r" in content:
        # Some tools on Windows end lines that end in CR LF by one more CR.
        for line_end in (b"\r\r\n", b"\r\n", b"\r"):
            content = content.replace(line_end, b"\n")
    return content


def _as_utf8(content: bytes, fallback: str | None) -> bytes:
    try:
        _decode(content, "utf-8")
    except UnreadableFileError:
        if fallback is None:
            raise
        return content.decode(fallback, errors="replace").encode()
    return content


def _decode(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.upper()
        raise UnreadableFileError(f"is not {name} text: {error}; save it as UTF-8") from error
