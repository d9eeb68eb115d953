"""How often and after how long a request is repeated."""

import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pydantic import ValidationError

from stock_volume.sources.retry import (
    MAX_WAIT_SECONDS,
    RetryParameters,
    attempts,
    is_transient_status,
    parse_retry_after,
)

QUICK = RetryParameters(attempts=3, wait_seconds=0.001)


class RefusedError(Exception):
    """A request failed."""


def ask(failures: int, *, retry: bool | float = True) -> int:
    """Fail so many times, and return the number of requests."""
    asked = 0
    for attempt in attempts(QUICK, lambda error: retry and isinstance(error, RefusedError)):
        with attempt:
            asked += 1
            if asked <= failures:
                raise RefusedError("https://x.org/?apikey=SECRET")
    return asked


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_work_is_repeated_until_it_succeeds(failures: int) -> None:
    assert ask(failures) == failures + 1


def test_the_last_failure_is_raised() -> None:
    """After the maximum number of requests, or if the error is not temporary."""
    with pytest.raises(RefusedError):
        ask(QUICK.attempts)
    with pytest.raises(RefusedError):
        ask(1, retry=False)


def test_the_log_names_the_error_without_keys(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        ask(1, retry=0.001)
    (record,) = [one for one in caplog.records if one.name == "stock_volume.sources.retry"]
    assert "asking again in 0.0 seconds: https://x.org/" in record.getMessage()
    assert "SECRET" not in record.getMessage()


@pytest.mark.parametrize(
    ("status", "transient"), [(200, False), (404, False), (428, False), (429, True), (500, True)]
)
def test_a_server_error_is_temporary(status: int, transient: bool) -> None:  # noqa: FBT001
    assert is_transient_status(status) is transient


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("-1", 0.0),
        ("3600", MAX_WAIT_SECONDS),
        ("inf", MAX_WAIT_SECONDS),
        ("nan", None),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed Oct 21 07:28:00 2015", 0.0),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    """The wait is between zero and a minute; what cannot be read is no header."""
    assert parse_retry_after(header) == seconds


def test_a_date_is_a_wait_until_then() -> None:
    later = format_datetime(datetime.now(tz=UTC) + timedelta(seconds=30), usegmt=True)
    wait = parse_retry_after(later)
    assert wait is not None
    assert 25 < wait <= 30


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"wait_seconds": 0}, {"waits": 1}])
def test_parameters_without_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        RetryParameters(**wrong)
