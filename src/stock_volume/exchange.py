"""The exchange whose sessions the bars are of: its calendar and its clock.

exchange_calendars is imported where it is used: it takes over a second.
"""

import warnings
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl

EXCHANGE: Final = "XNYS"
"""NYSE; NASDAQ holds the same sessions."""

TIME_ZONE: Final = ZoneInfo("America/New_York")


def sessions_held(first: date, last: date) -> pl.Series:
    """List the sessions that the exchange held.

    Args:
        first: First day of interest.
        last: Last day of interest.

    Returns:
        Dates, ascending.
    """
    import exchange_calendars

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas 3 deprecates what exchange_calendars does
        calendar = exchange_calendars.get_calendar(EXCHANGE, start=first, end=last)
    return pl.Series(calendar.sessions.to_numpy()).cast(pl.Date)
