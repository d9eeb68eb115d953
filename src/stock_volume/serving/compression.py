"""Compression of answers by gzip."""

import gzip
import re
from typing import Final

from fastapi import Request
from fastapi.responses import Response

_MIN_SIZE: Final = 4096
_LEVEL: Final = 4
_GZIP: Final = re.compile(r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))", re.IGNORECASE)


class StoredJson(Response):
    """A JSON body that is answered often, with its compressed form."""

    media_type = "application/json"

    def __init__(self, content: bytes, compressed_content: bytes) -> None:
        """Keep both forms.

        Args:
            content: The body.
            compressed_content: The body as ``compress`` returned it.
        """
        super().__init__(content)
        self.compressed_content = compressed_content


def compress(content: bytes, level: int = _LEVEL) -> bytes:
    """Compress a body.

    Args:
        content: The body.
        level: Level of gzip.

    Returns:
        The same bytes for the same body.
    """
    return gzip.compress(content, level, mtime=0)


def compressed(request: Request, response: Response) -> Response:
    """Compress a large answer if the client accepts gzip.

    Args:
        request: The request.
        response: The answer, which is changed.

    Returns:
        The answer.
    """
    if len(response.body) < _MIN_SIZE:
        return response
    response.headers["Vary"] = "Accept-Encoding"
    if _GZIP.search(request.headers.get("accept-encoding", "")):
        if isinstance(response, StoredJson):
            response.body = response.compressed_content
        else:
            response.body = compress(bytes(response.body))
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Content-Length"] = str(len(response.body))
    return response
