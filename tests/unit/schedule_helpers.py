"""Random events of the symbols of ``random_bars``, and layers with them."""

from datetime import timedelta
from typing import Final

import numpy as np
import polars as pl

from stock_volume import columns
from stock_volume.events.ingest import ingest_event_files
from stock_volume.events.rules import EventParameters
from stock_volume.events.source import EventFile, EventFiles
from stock_volume.exchange import NYSE
from stock_volume.features.market import market_sessions
from stock_volume.features.registry import forecast_features
from stock_volume.features.schedule import (
    Schedule,
    add_to_sessions,
    sessions_around,
    sum_bars_and_responses,
)
from tests.unit.forecast_oracles import FIRST, LAST

WITHOUT_EVENTS: Final = "ETF1"
"""The symbol without events."""


def events_of(text: str) -> pl.DataFrame:
    """Ingest a file of events as of the day after the last bar."""
    files = EventFiles([EventFile("events.csv", text.encode())])
    return ingest_event_files(files, EventParameters(as_of=LAST + timedelta(days=1))).events


def random_events(bars: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Make events of all symbols but one, about once a quarter, from before to after the bars.

    Of some it is recorded when they became known, for a few that is after the fact, and some of
    these are revised or move; some have no time of day, fall on weekends, or move the session of
    another event.

    Args:
        bars: Bars of any number of symbols.
        seed: Of the random numbers.

    Returns:
        Rows of the events layer.
    """
    random = np.random.default_rng(seed)
    rows = ["Symbol,Date,Time,Known,Confirmed"]
    for symbol in bars[columns.SYMBOL].unique().sort():
        day = FIRST - timedelta(days=int(random.integers(0, 60)))
        while symbol != WITHOUT_EVENTS and day < LAST + timedelta(days=40):
            known = day - timedelta(days=int(random.integers(-3, 25)))
            record = known.isoformat() if random.random() < 0.4 and known < LAST else ""
            time = random.choice(["pre", "post", ""], p=[0.4, 0.4, 0.2])
            rows.append(f"{symbol},{day},{time},{record},{random.choice(['', 'yes', 'no'])}")
            if record and random.random() < 0.5:
                revised = known + timedelta(days=int(random.integers(1, 12)))
                moved = day + timedelta(days=int(random.choice([0, 0, -4, 3, 9])))
                rows.append(f"{symbol},{moved},post,{min(revised, LAST)},yes")
            if random.random() < 0.05:
                rows.append(f"{symbol},{day + timedelta(days=1)},pre,,")
            day += timedelta(days=int(random.integers(50, 75)))
    return events_of("\n".join(rows))


def schedule_of(events: pl.DataFrame) -> Schedule:
    """Make the schedule of events on NYSE."""
    return Schedule(events, sessions_around(events.lazy(), NYSE))


def sessions_with(bars: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Compute the sessions of bars and events, in one chunk."""
    sums = sum_bars_and_responses(bars, *schedule_of(events))
    return add_to_sessions(market_sessions([sums.market], NYSE), [sums.responses], events)


def features_with(bars: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Compute the forecaster's features of bars and events, in one chunk."""
    return forecast_features(bars, sessions_with(bars, events), schedule=schedule_of(events))
