"""Retries of requests to remote servers."""

import logging
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from stock_volume.errors import SourceError
from stock_volume.sources.address import redact_text

if TYPE_CHECKING:
    from stamina.instrumentation import RetryDetails

logger = logging.getLogger(__name__)

MAX_WAIT_SECONDS: Final = 60.0
"""Longest wait between two requests, whatever the server asks for."""


REMOTE_EXTRA_MISSING: Final = "remote sources need an extra: pip install 'stock_volume[remote]'"


class RetryParameters(BaseModel):
    """Number and pace of retries.

    Attributes:
        attempts: Maximum number of requests, including the first.
        wait_seconds: Wait before the second request; each later wait is about twice as
            long, up to a minute, unless the server sets it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    attempts: int = Field(default=5, ge=1)
    wait_seconds: float = Field(default=0.5, gt=0)


def attempts(
    parameters: RetryParameters, should_retry: Callable[[Exception], bool | float]
) -> Iterable[Any]:
    """Iterate over the attempts at work that may fail temporarily.

    Args:
        parameters: Number and pace of retries.
        should_retry: Returns, for an error, whether to retry, or after how many seconds.

    Returns:
        One context manager per attempt, to wrap the work.

    Raises:
        SourceError: The package for retries is not installed.
    """
    try:
        import stamina
    except ModuleNotFoundError as error:
        raise SourceError(REMOTE_EXTRA_MISSING) from error
    # Stamina's own hook logs errors unredacted, with whole addresses.
    stamina.instrumentation.set_on_retry_hooks([_log_retry])
    return stamina.retry_context(
        on=should_retry,
        attempts=parameters.attempts,
        timeout=None,
        wait_initial=parameters.wait_seconds,
        wait_max=MAX_WAIT_SECONDS,
        wait_jitter=parameters.wait_seconds,
    )


def _log_retry(details: "RetryDetails") -> None:
    error = details.caused_by
    reason = redact_text(str(error)) or type(error).__name__
    logger.info("asking again in %.1f seconds: %s", details.wait_for, reason)


def is_transient_status(status: int) -> bool:
    """Return whether an HTTP status reports a temporary failure.

    Args:
        status: HTTP status code.

    Returns:
        Whether it is 429 (too many requests) or a server error (5xx).
    """
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def parse_retry_after(header: str | None) -> float | None:
    """Read a ``Retry-After`` header (RFC 9110, section 10.2.3).

    Args:
        header: Seconds or a date; None without one.

    Returns:
        Seconds to wait, between zero and a minute; None without a valid header.
    """
    if header is None:
        return None
    with suppress(ValueError):
        return _clamp_wait(float(header))
    with suppress(ValueError, OverflowError):
        date = parsedate_to_datetime(header)
        # asctime dates, the oldest of the three formats, have no zone and mean UTC.
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        return _clamp_wait((date - datetime.now(tz=UTC)).total_seconds())
    return None


def _clamp_wait(seconds: float) -> float | None:
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_WAIT_SECONDS)
