"""A known event of a symbol in a plain sentence."""

from collections.abc import Mapping
from typing import Any, Final

from stock_volume import columns
from stock_volume.events.rules import POST, PRE
from stock_volume.features.schedule import UNTIL

_TIMES: Final = {
    PRE: "before the close on {}",
    POST: "after the close on {}",
    None: "on {}, at an unknown time of day",
}
_CONFIRMED: Final = {True: " (confirmed)", False: " (not confirmed)", None: ""}


def describe_event(event: Mapping[str, Any]) -> str:
    """Describe an event and which session reacts to it.

    Args:
        event: A row of ``next_events``.

    Returns:
        A sentence.
    """
    day = f"{event[columns.DATE]}{_CONFIRMED[event[columns.CONFIRMED]]}"
    when = _TIMES[event[columns.TIME]].format(day)
    return f"Reports {event[columns.EVENT_KIND]} {when}; {_reaction(event[UNTIL])}."


def _reaction(sessions: int) -> str:
    if not sessions:
        return "the forecast session reacts to it"
    plural = "s" if sessions > 1 else ""
    return f"the session that reacts is {sessions} session{plural} after the forecast session"
