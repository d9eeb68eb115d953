"""What a user reads when a command fails: one paragraph, and where the traceback is."""

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import yaml
from kedro.config import MissingConfigException
from kedro.io import DatasetError
from kedro.validation.exceptions import ParameterValidationError
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from stock_volume.configuration import described
from stock_volume.errors import StockVolumeError
from stock_volume.sources.address import redact_text

_LONGEST: Final = 1500
_EXPLICIT: Final = (
    DatasetError,
    MissingConfigException,
    ParameterValidationError,
    OmegaConfBaseException,
    yaml.YAMLError,
    OSError,
)
"""Errors of others whose message is meant for a user."""


class Failure(NamedTuple):
    """An error in words.

    Attributes:
        is_known: Whether a user can do something about it; otherwise it is a fault of ours.
        text: What is wrong and where, in one paragraph.
    """

    is_known: bool
    text: str


def explain(error: BaseException) -> Failure:
    """Say what is wrong.

    Args:
        error: What ended a command.

    Returns:
        It in words.
    """
    for one in _chain(error):
        match one:
            case StockVolumeError():
                return Failure(is_known=True, text=_paragraph(str(one), error))
            case ValidationError():
                return Failure(is_known=True, text=_paragraph(described(one), error))
    if isinstance(error, ModuleNotFoundError):
        text = f"{error}; it comes with an extra of stock_volume: see pyproject.toml"
        return Failure(is_known=True, text=_paragraph(text, error))
    message = str(error) or type(error).__name__
    if isinstance(error, _EXPLICIT) or _is_refused_by_kedro(error):
        return Failure(is_known=True, text=_paragraph(message, error))
    return Failure(is_known=False, text=_paragraph(f"{type(error).__name__}: {error}", error))


def full_traceback(error: BaseException) -> str:
    """Write the traceback of an error and of its causes.

    Args:
        error: Any error.

    Returns:
        The lines, without what may be secret in addresses.
    """
    return redact_text("".join(traceback.format_exception(error)))


def keep_traceback(error: BaseException, path: Path) -> Path | None:
    """Leave the traceback of an error in a file, in place of the last one.

    Args:
        error: Any error.
        path: The file; its folder is made.

    Returns:
        The file; None where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(full_traceback(error), encoding="utf-8")
    except OSError:
        return None
    return path


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    while error is not None:
        yield error
        error = error.__cause__


def _is_refused_by_kedro(error: BaseException) -> bool:
    """Return whether Kedro itself found a value wrong, such as the name of a node."""
    if not isinstance(error, ValueError):
        return False
    last = list(traceback.walk_tb(error.__traceback__))[-1:]
    return any(str(frame.f_globals.get("__name__")).startswith("kedro.") for frame, _ in last)


def _paragraph(message: str, error: BaseException) -> str:
    """Join the lines of a message and the notes of its error, within bounds."""
    text = redact_text(" ".join(message.split()))
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}…"
    notes = "; ".join(getattr(error, "__notes__", ()))
    return f"{text} ({notes})" if notes else text
