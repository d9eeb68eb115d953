"""A known event in a sentence."""

from datetime import date

import pytest

from stock_volume import columns
from stock_volume.snapshot.event import describe_event


@pytest.mark.parametrize(
    ("time", "confirmed", "sessions", "sentence"),
    [
        (
            "post",
            None,
            0,
            "Reports earnings after the close on 2020-11-04; the forecast session reacts to it.",
        ),
        (
            "pre",
            True,
            1,
            (
                "Reports earnings before the close on 2020-11-04 (confirmed); the session "
                "that reacts is 1 session after the forecast session."
            ),
        ),
        (
            None,
            False,
            2,
            (
                "Reports earnings on 2020-11-04 (not confirmed), at an unknown time of day; the "
                "session that reacts is 2 sessions after the forecast session."
            ),
        ),
    ],
)
def test_an_event_is_described(
    time: str | None,
    confirmed: bool | None,  # noqa: FBT001  # a parameter of a test
    sessions: int,
    sentence: str,
) -> None:
    """The sentence has the day, the time, whether it is confirmed, and the session that reacts."""
    event = {
        columns.DATE: date(2020, 11, 4),
        columns.TIME: time,
        columns.EVENT_KIND: "earnings",
        columns.CONFIRMED: confirmed,
        "schedule_sessions_until": sessions,
    }
    assert describe_event(event) == sentence
