"""Explanation of errors to users: one paragraph each, and a file with the traceback."""

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

from stock_volume.configuration import describe_errors
from stock_volume.errors import StockVolumeError
from stock_volume.sources.address import redact_text

_MAX_LENGTH: Final = 1500
_USER_ERRORS: Final = (
    DatasetError,
    MissingConfigException,
    ParameterValidationError,
    OmegaConfBaseException,
    yaml.YAMLError,
    OSError,
)
"""Errors of other packages whose message is meant for a user."""


class Failure(NamedTuple):
    """The explanation of an error.

    Attributes:
        is_known: Whether a user can act on it; otherwise it is a bug.
        text: What is wrong and where, in one paragraph.
    """

    is_known: bool
    text: str


def explain(error: BaseException) -> Failure:
    """Explain an error to a user.

    Args:
        error: The error that ended a command.

    Returns:
        The explanation.
    """
    for one in _causes(error):
        match one:
            case StockVolumeError():
                return Failure(is_known=True, text=_paragraph(str(one), error))
            case ValidationError():
                return Failure(is_known=True, text=_paragraph(describe_errors(one), error))
    if isinstance(error, ModuleNotFoundError):
        text = f"{error}; it comes with an extra of stock_volume: see pyproject.toml"
        return Failure(is_known=True, text=_paragraph(text, error))
    message = str(error) or type(error).__name__
    if isinstance(error, _USER_ERRORS) or _is_raised_by_kedro(error):
        return Failure(is_known=True, text=_paragraph(message, error))
    return Failure(is_known=False, text=_paragraph(f"{type(error).__name__}: {error}", error))


def full_traceback(error: BaseException) -> str:
    """Format the traceback of an error and of its causes.

    Args:
        error: Any error.

    Returns:
        The lines, without secrets in addresses.
    """
    return redact_text("".join(traceback.format_exception(error)))


def save_traceback(error: BaseException, path: Path) -> Path | None:
    """Write the traceback of an error to a file, replacing the previous one.

    Args:
        error: Any error.
        path: Path of the file; its folder is created.

    Returns:
        The path, or None if the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(full_traceback(error), encoding="utf-8", errors="backslashreplace")
    except OSError:
        return None
    return path


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, its cause, the cause of that, and so on."""
    while error is not None:
        yield error
        error = error.__cause__


def _is_raised_by_kedro(error: BaseException) -> bool:
    """Return whether Kedro itself rejected a value, such as the name of a node."""
    if not isinstance(error, ValueError):
        return False
    last = list(traceback.walk_tb(error.__traceback__))[-1:]
    return any(str(frame.f_globals.get("__name__")).startswith("kedro.") for frame, _ in last)


def _paragraph(message: str, error: BaseException) -> str:
    """Join the lines of a message, up to a maximum length, and the notes of its error."""
    text = redact_text(" ".join(message.split()))
    if len(text) > _MAX_LENGTH:
        text = f"{text[:_MAX_LENGTH]}…"
    notes = "; ".join(getattr(error, "__notes__", ()))
    return f"{text} ({notes})" if notes else text
