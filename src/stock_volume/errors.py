"""Errors that a user can act on; each message says where and what to do."""

from collections.abc import Sequence
from difflib import get_close_matches


class StockVolumeError(Exception):
    """Base of the errors this package raises on purpose."""


class SourceError(StockVolumeError):
    """A source of bars as a whole cannot be used."""


class UnreadableFileError(StockVolumeError):
    """One file of a source cannot be read; the others go on.

    Attributes:
        reason: What is wrong with the file, without its name.
    """

    def __init__(self, reason: str) -> None:
        """Keep the reason apart, so that reports can group by it."""
        super().__init__(reason)
        self.reason = reason


class UndecidedFileError(UnreadableFileError):
    """A file of bars that a parameter of the ingestion would make readable."""


class NoVolumeError(StockVolumeError):
    """No bar has a volume, so that there is nothing to learn a volume from."""


class TooFewRowsError(StockVolumeError):
    """There are not enough rows to train and test a model on."""


class UnbalancedRowsError(StockVolumeError):
    """Rows went in that came out neither kept nor quarantined."""


def suggest_name(name: str, existing: Sequence[str]) -> str:
    """Suggest the closest existing name, as the end of a sentence about an unknown one.

    Args:
        name: The unknown name.
        existing: The names that exist.

    Returns:
        The suggestion with its punctuation, or a full stop if no name is close.
    """
    near = get_close_matches(name, existing, n=1)
    return f"; did you mean {near[0]}?" if near else "."
