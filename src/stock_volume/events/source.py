"""Where events come from: files on disk, or fetched from a server."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import polars as pl


class EventFile(NamedTuple):
    """A file of events.

    Attributes:
        name: Its name in reports.
        content: Its bytes: CSV, or Parquet if the name ends in ``.parquet``.
        unreadable: Why it has no content, or "".
    """

    name: str
    content: bytes
    unreadable: str = ""


class EventSource(Protocol):
    """A source of events."""

    def read(self, symbols: pl.DataFrame) -> "EventFiles":
        """Read the files of a source.

        Args:
            symbols: The symbols with bars, in a column ``Symbol``. A source that is queried
                by symbol asks for these; others return all that they have.

        Returns:
            The files.
        """


class EventFiles(NamedTuple):
    """The files of a source.

    Attributes:
        files: The files; those that matter most last.
        absent: Symbols that the source has no events of, with the reason.
    """

    files: Sequence[EventFile]
    absent: Mapping[str, str] = {}
