"""A forecast from bars that the layers do not hold: judged and computed as those were."""

import csv
import io
from collections.abc import Iterable
from datetime import date
from math import log
from typing import Final, NamedTuple

import polars as pl

from stock_volume import columns
from stock_volume.bars.parse import EXTRA
from stock_volume.bars.rules import (
    DUPLICATE_BAR,
    Action,
    RowRule,
    RuleParameters,
    rejecting_rules,
    rules_of_typed_fields,
)
from stock_volume.errors import SourceError, StockVolumeError
from stock_volume.events.ingest import ingest_event_files
from stock_volume.events.rules import EventParameters
from stock_volume.events.source import EventFile, EventFiles
from stock_volume.exchange import Exchange
from stock_volume.features.quantities import BASE
from stock_volume.features.registry import forecast_features
from stock_volume.features.schedule import GROUP_COLUMNS, NO_EVENTS, Schedule

_EVENT_FIELDS: Final = (columns.SYMBOL, columns.DATE, columns.TIME)
_PLACE = "place"
_MAX_JUMP = 1e6
_JUMP = RowRule(
    "absurd_jump",
    Action.REJECT,
    "Close is over a million times, or less than a millionth of, that of the bar before",
    pl.col(columns.CLOSE).log().diff().abs() > log(_MAX_JUMP),
)
"""Ingestion has no such rule: there one bar of many is wrong, here the answer may rest on it. The
largest jump of the reference archive is of 2,488 times."""


_REPEATED = RowRule(
    DUPLICATE_BAR.name,
    Action.REJECT,
    "an earlier bar has the same date",
    pl.col(columns.DATE) == pl.col(columns.DATE).shift(1),
)
"""In a request neither of two bars is more likely than the other."""


class BrokenBar(NamedTuple):
    """A bar that cannot be used.

    Attributes:
        place: Its position among the bars, from 0.
        rule: Name of the rule it breaks.
        reason: What is wrong with it.
    """

    place: int
    rule: str
    reason: str


class InvalidBarsError(StockVolumeError):
    """Bars that no forecast can rest on.

    Attributes:
        broken: The bars that break a rule, each under the first.
    """

    def __init__(self, message: str, broken: list[BrokenBar] | None = None) -> None:
        """Keep which bars are wrong."""
        super().__init__(message)
        self.broken = broken or []


def features_of_bars(
    bars: pl.DataFrame,
    sessions: pl.DataFrame,
    rules: RuleParameters,
    schedule: Schedule = NO_EVENTS,
) -> pl.DataFrame:
    """Make the features of the latest of one symbol's bars.

    Args:
        bars: The columns of ``prices``, in any order of date; an Open of 0 is unknown.
        sessions: The market by session, up to the session of the latest bar or further.
        rules: Bounds of the rules that ingestion judges rows by.
        schedule: Scheduled events of the symbol.

    Returns:
        One row of ``forecast_features``: what a forecast of the session after the latest
        bar rests on.

    Raises:
        InvalidBarsError: A bar breaks a rule, or nothing can be forecast from the latest.
    """
    if not bars.height:
        raise InvalidBarsError("there are no bars")
    judged = bars.with_row_index(_PLACE).with_columns(
        pl.col(columns.OPEN).fill_null(0),
        pl.lit(None, pl.String).alias(EXTRA),
    )
    broken = _broken(judged, rules)
    if broken:
        raise InvalidBarsError(f"{len(broken)} of {bars.height} bars break a rule", broken)
    ordered = bars.sort(columns.DATE).with_columns(
        pl.when(pl.col(columns.OPEN) > 0).then(columns.OPEN)
    )
    latest = ordered[columns.DATE][-1]
    if latest not in sessions[columns.DATE]:
        raise InvalidBarsError(
            f"{latest} is no session of the exchange between {sessions[columns.DATE][0]} and "
            f"{sessions[columns.DATE][-1]}, the calendar of this model"
        )
    if schedule.events.height and GROUP_COLUMNS[0] not in sessions.columns:
        raise InvalidBarsError("the model was trained without events, so it cannot use these")
    row = forecast_features(ordered, sessions, schedule=schedule).tail(1)
    if row[BASE][0] is None:
        raise InvalidBarsError("the symbol has not traded on any of its last five bars")
    return row


def judge_own_events(
    symbol: str, events: Iterable[tuple[date, str | None]], exchange: Exchange
) -> pl.DataFrame:
    """Judge releases of earnings by the rules that files of events are judged by.

    Args:
        symbol: The symbol.
        events: Date, and ``pre``, ``post`` or None, of each release.
        exchange: The exchange of the symbol.

    Returns:
        Rows of the events layer.

    Raises:
        InvalidBarsError: A release breaks a rule.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_EVENT_FIELDS)
    writer.writerows((symbol, day, time or "") for day, time in events)
    file = EventFile("request", text.getvalue().encode())
    try:
        judged = ingest_event_files(EventFiles([file]), EventParameters(exchange=exchange))
    except SourceError as error:  # every event breaks a rule
        raise InvalidBarsError(f"{error} (docs/events.md)") from error
    if judged.quarantine.height:
        day, rule = judged.quarantine.select(columns.DATE, columns.RULE).row(0)
        raise InvalidBarsError(f"the event of {day} breaks the rule {rule} (docs/events.md)")
    return judged.events


def _broken(bars: pl.DataFrame, parameters: RuleParameters) -> list[BrokenBar]:
    """List the bars that break a rule, each once."""
    found: dict[int, BrokenBar] = {}
    for rule in rules_of_typed_fields(rejecting_rules(parameters)):
        _note(found, rule, bars)
    valid = bars.filter(~pl.col(_PLACE).is_in(list(found)))
    for rule in (_REPEATED, _JUMP):
        _note(found, rule, valid.sort(columns.DATE, maintain_order=True))
    return sorted(found.values())


def _note(found: dict[int, BrokenBar], rule: RowRule, bars: pl.DataFrame) -> None:
    for place in bars.filter(rule.broken)[_PLACE]:
        found.setdefault(place, BrokenBar(place, rule.name, rule.reason))
