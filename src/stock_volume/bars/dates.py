"""Dates as data files write them: read where they can mean one day only.

ISO 8601 in all its forms, ``2019/03/01`` and months by name mean one day everywhere.
``03/01/2019`` is one day in one country and another in the next: it is read only by a
format that the user names.
"""

import re
from datetime import date, datetime, time, tzinfo
from functools import lru_cache
from typing import Final

from stock_volume.exchange import NYSE

_ISO: Final = re.compile(r"\d{4}(-?)\d\d\1\d\d(?:[T ].*)?")
_FORMATS: Final = (
    "%Y-%m-%d",  # also without leading zeros
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%b %d, %Y",
    "%B %d, %Y",
    "%d %b %Y",
    "%d %B %Y",
    "%d-%b-%Y",
)
_AMBIGUOUS: Final = re.compile(r"\d{1,2}([/.-])\d{1,2}\1(?:\d{4}|\d\d)(?:\s.*)?")
_ISO_EXAMPLE: Final = "2019-03-04"


@lru_cache(maxsize=2**16)
def read_date(text: str, date_format: str | None = None, zone: tzinfo = NYSE.zone) -> date | None:
    """Read a date.

    Args:
        text: The date's text, without blanks around it.
        date_format: Format (of ``strptime``) of dates that could mean several days.
        zone: Time zone of the exchange.

    Returns:
        The day; None where the text is no date, can mean several days, or has a time of
        day other than midnight. Midnight counts in the time zone that the text names and
        in the exchange's: ``2019-03-01T05:00:00Z`` is midnight in New York.
    """
    if _ISO.fullmatch(text):
        return _read_iso(text, zone)
    formats = _FORMATS if date_format is None else (date_format, *_FORMATS)
    return next((day for one in formats if (day := _parse(text, one))), None)


def _read_iso(text: str, zone: tzinfo) -> date | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.time() == time():
        return moment.date()
    if moment.tzinfo is None:
        return None
    there = moment.astimezone(zone)
    return there.date() if there.time() == time() else None


def is_ambiguous(text: str) -> bool:
    """Return whether a date's text can mean several days, such as 03/01/2019."""
    return _AMBIGUOUS.fullmatch(text) is not None


def check_format(date_format: str) -> str:
    """Check a date format that a user names.

    Args:
        date_format: A format of ``strptime``.

    Returns:
        The same format.

    Raises:
        ValueError: It does not determine a day, or reads ISO dates as other days.
    """
    day = date(2019, 3, 4)
    if _parse(day.strftime(date_format), date_format) != day:
        raise ValueError(f"{date_format!r} is no format with a day, a month and a year")
    if _parse(_ISO_EXAMPLE, date_format) not in {None, day}:
        raise ValueError(f"{date_format!r} reads {_ISO_EXAMPLE} as another day than ISO 8601 does")
    return date_format


def _parse(text: str, date_format: str) -> date | None:
    try:
        return datetime.strptime(text, date_format).date()  # noqa: DTZ007 (a date has no zone)
    except ValueError:
        return None
