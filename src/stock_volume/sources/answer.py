"""Detection of successful responses that hold no bars."""

import html
import json
import re
from collections.abc import Collection
from contextlib import suppress
from typing import Final
from urllib.parse import quote

from stock_volume.bars.parse import read_rows
from stock_volume.errors import UndecidedFileError, UnreadableFileError
from stock_volume.sources.address import redact_text

_MAX_QUOTE_LENGTH: Final = 100
INSPECTED_BYTES: Final = 16_384
"""Bytes at the beginning of an answer that are inspected and quoted."""

_MIN_PRINTABLE_SHARE: Final = 0.7
"""Share of the characters; text in any language exceeds it, binary data does not."""

_MASK: Final = "…"
_INVISIBLE_HTML: Final = re.compile(
    r"<(script|style)\b.*?(</\1\s*>|\Z)|<!--.*?(-->|\Z)|<[^>]*(>|\Z)", re.IGNORECASE | re.DOTALL
)
"""Parts of a page that a browser does not display: scripts, styles, comments and tags."""


def explain_no_bars(content: bytes, secrets: Collection[str] = ()) -> str | None:
    """Explain why an answer has no bars.

    Args:
        content: The answer.
        secrets: Text to mask, such as keys that the source may echo.

    Returns:
        The kind of the answer and its first words, on one line and without secrets; None if
        it is a file of bars with at least one row.
    """
    try:
        if read_rows(content).count:
            return None
    except UndecidedFileError:
        return None  # These are bars: ingestion decides by its parameters, or reports them.
    except UnreadableFileError:
        return _describe_unreadable(content, secrets)
    if not content.strip():
        return "an empty answer"
    return f"a header without rows: {quote_beginning(content, secrets)}"


def is_page_or_json(content: bytes) -> bool:
    """Return whether content begins like HTML, XML or JSON, as no file of bars does.

    Args:
        content: At least the first bytes of a file.
    """
    return _begins_with_any(content, b"<") or _begins_with_any(content, b"{[")


def quote_beginning(content: bytes, secrets: Collection[str] = ()) -> str:
    """Quote the beginning of an answer for a message.

    Args:
        content: The answer.
        secrets: Text to mask.

    Returns:
        Up to 100 printable characters on one line, without secrets; of HTML, the visible
        text.
    """
    text = content[:INSPECTED_BYTES].decode("utf-8-sig", errors="replace")
    if _begins_with_any(content, b"<"):
        text = html.unescape(_INVISIBLE_HTML.sub(" ", text))
    elif _begins_with_any(content, b"{["):
        with suppress(ValueError, RecursionError):
            text = json.dumps(json.loads(text), ensure_ascii=False)
    words = " ".join(_keep_printable(redact_text(_remove_secrets(text, secrets))).split())
    return words if len(words) <= _MAX_QUOTE_LENGTH else f"{words[:_MAX_QUOTE_LENGTH]}…"


def _describe_unreadable(content: bytes, secrets: Collection[str]) -> str:
    words = quote_beginning(content, secrets)
    if _begins_with_any(content, b"<"):
        return f"a page in place of bars: {words}"
    if _begins_with_any(content, b"{["):
        return f"JSON in place of bars: {words}"
    if _is_binary(content):
        return f"binary data in place of bars ({len(content):,} bytes)"
    try:
        # Read again, because the reason may quote a secret.
        read_rows(_remove_secrets(content.decode("utf-8", errors="replace"), secrets).encode())
    except UnreadableFileError as error:
        said = words[: _MAX_QUOTE_LENGTH // 4] in error.reason
        return f"the answer {error.reason}" if said else f"the answer {error.reason}: {words}"
    return f"text in place of bars: {words}"


def _begins_with_any(content: bytes, characters: bytes) -> bool:
    return content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in {
        bytes([one]) for one in characters
    }


def _is_binary(content: bytes) -> bool:
    text = content[:INSPECTED_BYTES].decode("utf-8", errors="replace")
    printable = len(_keep_printable(text, other="").replace("\ufffd", ""))
    return "\0" in text or printable < _MIN_PRINTABLE_SHARE * len(text)


def _keep_printable(text: str, other: str = " ") -> str:
    return "".join(
        character if character.isprintable() else " " if character.isspace() else other
        for character in text
    )


def _remove_secrets(text: str, secrets: Collection[str]) -> str:
    """Mask secrets in a text: as they are, percent-encoded, and escaped as in JSON."""
    forms = {
        form
        for secret in secrets
        for form in (secret, quote(secret, ""), json.dumps(secret)[1:-1])
        if form
    }
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, _MASK)
    return text
