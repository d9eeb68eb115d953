"""Features of scheduled events, against oracles in pandas, and what they may not see."""

from collections.abc import Callable
from datetime import date, timedelta
from math import log, nan
from statistics import fmean, stdev
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_volume import columns
from stock_volume.exchange import NYSE
from stock_volume.features.quantities import add_quantities
from stock_volume.features.registry import (
    ETA,
    NEXT_OPEN,
    NEXT_VOLUME,
    FeatureSet,
    forecast_features,
)
from stock_volume.features.schedule import (
    GROUP_COLUMNS,
    PEER_FEATURES,
    SCHEDULE_FEATURES,
    UNTIL,
    next_events,
    response_sums,
)
from tests.unit.forecast_oracles import LAST, quantities, random_bars, sessions_of
from tests.unit.schedule_helpers import (
    WITHOUT_EVENTS,
    events_of,
    features_with,
    random_events,
    schedule_of,
    sessions_with,
)

NAMES: Final = [feature.name for feature in (*SCHEDULE_FEATURES, *PEER_FEATURES)]
CUTS: Final = (date(2016, 12, 14), date(2018, 2, 16), date(2019, 6, 20))
EDGES: Final = tuple(map(log, (1e5, 1e6, 5e6, 1e8)))
PLACES: Final = {
    day: place
    for place, day in enumerate(NYSE.scheduled_sessions(date(2015, 1, 1), date(2020, 6, 1)))
}


class Event(NamedTuple):
    session: date
    known: date | None
    until: date | None
    time: str | None
    confirmed: bool | None

    def holds(self, day: date) -> bool:
        return (self.known is None or self.known <= day) and (
            self.until is None or day < self.until
        )


class Response(NamedTuple):
    available: date
    day: date
    offset: int
    value: float
    group: int

    def is_at(self, offset: int, day: date) -> bool:
        return self.offset == offset and self.available <= day


def _events(events: pl.DataFrame, symbol: str) -> list[Event]:
    """List the versions of a symbol's events."""
    fields = [columns.SESSION, columns.KNOWN_FROM, columns.KNOWN_UNTIL]
    fields += [columns.TIME, columns.CONFIRMED]
    return [
        Event(*row) for row in events.filter(pl.col(columns.SYMBOL) == symbol).select(fields).rows()
    ]


def _sizes(past: Any) -> Any:
    return past["volume"].rolling(22, min_periods=5).mean()


def _group(size: float) -> int:
    return sum(size > edge for edge in EDGES)


def _responses(past: Any, events: list[Event]) -> list[Response]:
    """List the abnormal volumes of bars within five sessions of an event."""
    found: dict[tuple[date, int], Response] = {}
    for day, value, size in zip(past[columns.DATE], past["abnormal"], _sizes(past), strict=True):
        for event in events if day in PLACES and not np.isnan(value) else []:
            offset = PLACES[day] - PLACES[event.session]
            available = max(day, event.known or day)
            if abs(offset) <= 5 and event.holds(available):
                response = Response(available, day, offset, value, _group(size))
                found[day, offset] = min(found.get((day, offset), response), response)
    return sorted(found.values())


def _near(target: date | None, day: date, events: list[Event]) -> list[tuple[int, Event]]:
    """List the events known on a day within twenty sessions of its target, the nearest first."""
    if target is None:
        return []
    offsets = [(PLACES[target] - PLACES[one.session], one) for one in events if one.holds(day)]
    near = [pair for pair in offsets if abs(pair[0]) <= 20]
    return sorted(near, key=lambda pair: (abs(pair[0]), pair[0], pair[1].known or date.min))


class Origin(NamedTuple):
    day: date
    target: date | None
    group: int
    year_before: date


class Past(NamedTuple):
    events: list[Event]
    own: list[Response]
    every: dict[int, list[Response]]


def _describe(origin: Origin, past: Past) -> dict[str, float]:
    near = _near(origin.target, origin.day, past.events)
    if not near:
        return {}
    offset, nearest = near[0]
    mine = [one.value for one in past.own if one.is_at(offset, origin.day)][-8:]
    theirs = [
        min(max(one.value, -2), 3)
        for one in past.every.get(offset, [])
        if one.is_at(offset, origin.day)
        and one.group == origin.group
        and one.available >= origin.year_before
    ]
    return {
        "schedule_offset": offset,
        "schedule_sessions_since": min((o for o, _ in near if o > 0), default=nan),
        "schedule_sessions_until": min((-o for o, _ in near if o <= 0), default=nan),
        "schedule_reaction": float(offset == 0),
        "schedule_time": {"pre": 1, "post": 2, None: 0}[nearest.time],
        "schedule_confirmed": nan if nearest.confirmed is None else float(nearest.confirmed),
        "schedule_response": fmean(mine) if mine else nan,
        "schedule_response_std": stdev(mine) if len(mine) > 1 else nan,
        "schedule_group_response": fmean(theirs) if len(theirs) >= 5 else nan,
    }


def _origins(past: Any, targets: dict[date, date], days: list[date]) -> list[Origin]:
    place = {day: number for number, day in enumerate(days)}
    return [
        Origin(day, targets.get(day), _group(size), days[max(0, place.get(day, 0) - 251)])
        for day, size in zip(past[columns.DATE], _sizes(past), strict=True)
    ]


def _oracle(bars: pl.DataFrame, events: pl.DataFrame) -> Any:
    """Compute the features of the symbols' events with loops over their bars and events."""
    targets = dict(sessions_of(bars).select(columns.DATE, columns.TARGET_DATE).rows())
    pasts = {}
    for frame in bars.partition_by(columns.SYMBOL, maintain_order=True):
        past = quantities(frame.to_pandas())
        past[columns.DATE] = frame[columns.DATE].to_list()
        pasts[frame[columns.SYMBOL][0]] = past
    scheduled = {symbol: _events(events, symbol) for symbol in pasts}
    own = {symbol: _responses(past, scheduled[symbol]) for symbol, past in pasts.items()}
    every: dict[int, list[Response]] = {}
    for response in (one for responses in own.values() for one in responses):
        every.setdefault(response.offset, []).append(response)
    return pd.DataFrame(
        _describe(origin, Past(scheduled[symbol], own[symbol], every))
        for symbol, past in pasts.items()
        for origin in _origins(past, targets, list(targets))
    )


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return random_bars(7)


@pytest.fixture(scope="module")
def events(bars: pl.DataFrame) -> pl.DataFrame:
    return random_events(bars, 7)


@pytest.fixture(scope="module")
def made(bars: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    return features_with(bars, events)


@pytest.fixture(scope="module")
def expected(bars: pl.DataFrame, events: pl.DataFrame) -> Any:
    return _oracle(bars, events)


@pytest.mark.parametrize("name", [feature.name for feature in SCHEDULE_FEATURES])
def test_feature_is_what_its_oracle_says(made: pl.DataFrame, expected: Any, name: str) -> None:
    """Every feature of a symbol's events equals its definition, and is null where that is."""
    values = made[name].cast(pl.Float64).to_numpy()
    oracle = expected[name].to_numpy(dtype=float)
    assert np.isfinite(oracle).sum() > 100
    assert len(np.unique(oracle[np.isfinite(oracle)])) > 1
    np.testing.assert_allclose(values, oracle, rtol=1e-4, atol=1e-5)


def test_peers_are_counted(bars: pl.DataFrame, events: pl.DataFrame) -> None:
    """The number of symbols that the target moves, as known at the origin, and its share."""
    sessions = sessions_with(bars, events)
    listed = [
        (one, symbol) for symbol in events["Symbol"].unique() for one in _events(events, symbol)
    ]
    took_place: dict[tuple[str, date], date] = {}
    for one, symbol in listed:
        react = max(one.session, one.known or one.session)
        if one.holds(react):
            key = symbol, one.session
            took_place[key] = min(took_place.get(key, react), react)
    days = sessions["Date"].to_list()
    rows = sessions.select("Date", "TargetDate", "schedule_peers", "schedule_peer_share").rows()
    for place, (day, target, peers, share) in enumerate(rows):
        assert peers == len(
            {name for one, name in listed if one.session == target and one.holds(day)}
        )
        year = set(days[max(0, place - 251) : place + 1])
        past = sum(react in year for react in took_place.values())
        assert share == (pytest.approx(peers / past) if past else None)
    assert (sessions["schedule_peers"] > 1).any()


# Leakage.

TARGETS: Final = (ETA, NEXT_OPEN, NEXT_VOLUME)


def _perturbed(bars: pl.DataFrame, cut: date) -> pl.DataFrame:
    later = pl.col(columns.DATE) > cut
    changed = [pl.col(columns.VOLUME) * 7 + 1, *(pl.col(name) * 1.5 for name in columns.PRICES)]
    return bars.with_columns(
        pl.when(later).then(one).otherwise(pl.col(one.meta.output_name())) for one in changed
    )


def _dropped(rows: pl.DataFrame, cut: date) -> pl.DataFrame:
    return rows.filter(pl.col(columns.DATE) <= cut)


@pytest.mark.parametrize("change", [_perturbed, _dropped])
@pytest.mark.parametrize("cut", CUTS)
def test_no_feature_sees_a_later_bar(
    bars: pl.DataFrame,
    events: pl.DataFrame,
    made: pl.DataFrame,
    change: Callable[[pl.DataFrame, date], pl.DataFrame],
    cut: date,
) -> None:
    """Changing or dropping all bars after a day changes nothing up to it, except targets."""
    changed = features_with(change(bars, cut), events)
    before, after = _dropped(made, cut).drop(TARGETS), _dropped(changed, cut).drop(TARGETS)
    assert before.height > 0
    assert_frame_equal(before, after, check_exact=True)


def _forgotten(events: pl.DataFrame, cut: date) -> pl.DataFrame:
    """Drop what became known after a day: versions, and that others no longer hold."""
    until = pl.col(columns.KNOWN_UNTIL)
    return events.filter(pl.col(columns.KNOWN_FROM).fill_null(cut) <= cut).with_columns(
        pl.when(until <= cut).then(until)
    )


def _moved(events: pl.DataFrame, cut: date) -> pl.DataFrame:
    """Move events that become known after a day by a session or more, and change their time."""
    unknown = pl.col(columns.KNOWN_FROM).fill_null(cut) > cut
    later = pl.col(columns.SESSION).dt.offset_by("1d").dt.add_business_days(2, roll="forward")
    return events.with_columns(
        pl.when(unknown).then(later).otherwise(columns.SESSION).alias(columns.SESSION),
        pl.when(unknown).then(pl.lit("pre")).otherwise(columns.TIME).alias(columns.TIME),
    )


@pytest.mark.parametrize("change", [_forgotten, _moved])
@pytest.mark.parametrize("cut", CUTS)
def test_no_feature_sees_an_event_before_it_was_known(
    bars: pl.DataFrame,
    events: pl.DataFrame,
    made: pl.DataFrame,
    change: Callable[[pl.DataFrame, date], pl.DataFrame],
    cut: date,
) -> None:
    """Dropping or moving events that became known after a day changes nothing up to it."""
    other = change(events, cut)
    assert not other.equals(events)
    changed = features_with(bars, other)
    assert_frame_equal(_dropped(made, cut), _dropped(changed, cut), check_exact=True)
    later = pl.col(columns.DATE) > cut
    assert not made.filter(later).equals(changed.filter(later))


REVISED: Final = """Symbol,Date,Time,Kind,Known,Confirmed
WHOLE,2018-02-13,pre,,2018-01-16,no
WHOLE,2018-02-13,post,,2018-02-14,yes
WHOLE,2018-05-15,pre,,2018-04-16,no
WHOLE,2018-05-22,post,,2018-05-10,yes
WHOLE,2018-08-14,,,2018-07-16,no
WHOLE,2018-08-14,post,,2018-08-01,yes
"""
"""A time of day that was corrected after the release, a release that moved, one confirmed later."""


@pytest.mark.parametrize(
    "cut", [date(2018, 2, 9), date(2018, 2, 14), date(2018, 5, 9), date(2018, 5, 11), LAST]
)
def test_no_feature_sees_a_revision_before_it_was_known(bars: pl.DataFrame, cut: date) -> None:
    """Up to a day, features ignore rows of the file that became known later.

    This is so through the rules: of two rows of one event, the later adds nothing to the earlier.
    """
    rows = REVISED.splitlines()
    early = [row for row in rows[1:] if date.fromisoformat(row.split(",")[4]) < cut]
    before = features_with(bars, events_of("\n".join([rows[0], *early])))
    after = features_with(bars, events_of(REVISED))
    assert_frame_equal(_dropped(before, cut), _dropped(after, cut), check_exact=True)


def _at(made: pl.DataFrame, day: date) -> dict[str, Any]:
    return made.filter(pl.col(columns.SYMBOL) == "WHOLE", pl.col(columns.DATE) == day).row(
        0, named=True
    )


def test_a_revision_counts_once_it_is_known(bars: pl.DataFrame) -> None:
    """The old version is seen until the new one is known, and then no more."""
    made = features_with(bars, events_of(REVISED))
    old, new = _at(made, date(2018, 2, 12)), _at(made, date(2018, 2, 15))
    assert (old["schedule_reaction"], old["schedule_time"], old["schedule_confirmed"]) == (
        True,
        1,
        False,
    )
    assert (new["schedule_time"], new["schedule_confirmed"]) == (2, True)
    assert new["schedule_offset"] == PLACES[date(2018, 2, 16)] - PLACES[date(2018, 2, 14)]
    moved = _at(made, date(2018, 5, 14))
    assert moved["schedule_offset"] == PLACES[date(2018, 5, 15)] - PLACES[date(2018, 5, 23)]
    assert moved["schedule_sessions_since"] is None
    assert not moved["schedule_reaction"]


# What there is without events.


def test_a_symbol_without_events_has_no_schedule(bars: pl.DataFrame, made: pl.DataFrame) -> None:
    """Its schedule features are null, and its other features are the same as without events."""
    of_symbol = pl.col(columns.SYMBOL) == WITHOUT_EVENTS
    own = made.filter(of_symbol).select(feature.name for feature in SCHEDULE_FEATURES)
    assert own.height > 0
    assert set(own.null_count().row(0)) == {own.height}
    without = forecast_features(bars, sessions_of(bars))
    assert_frame_equal(made.select(without.columns), without, check_exact=True)


def test_features_of_events_are_there_with_events_only(
    bars: pl.DataFrame, events: pl.DataFrame, made: pl.DataFrame
) -> None:
    """Layers show whether a run had events: without any, they have no feature about them."""
    sessions = sessions_of(bars)
    assert not {*FeatureSet.of_layer(sessions.columns).names} & {*NAMES}
    with_events = FeatureSet.of_layer(sessions_with(bars, events).columns).names
    assert {*NAMES} <= {*with_events}
    assert made.columns[-len(with_events) :] == list(with_events)


def test_symbols_do_not_meet(bars: pl.DataFrame, events: pl.DataFrame, made: pl.DataFrame) -> None:
    """Given the sessions, the features of a symbol do not depend on other symbols."""
    sessions = sessions_with(bars, events)
    schedule = schedule_of(events)
    of_symbol = pl.col(columns.SYMBOL) == "WHOLE"
    own = schedule._replace(events=events.filter(of_symbol))
    alone = forecast_features(bars.filter(of_symbol), sessions, schedule=own)
    assert_frame_equal(made.filter(of_symbol), alone, check_exact=True)


def test_coming_event_is_seen_beyond_the_last_bar(bars: pl.DataFrame) -> None:
    """The latest bar knows of an event after the last session of the data."""
    coming = LAST + timedelta(days=7)
    made = features_with(bars, events_of(f"Symbol,Date,Time\nWHOLE,{coming},pre"))
    latest = made.filter(pl.col(columns.SYMBOL) == "WHOLE").tail(1)
    target = latest[columns.TARGET_DATE][0]
    assert latest["schedule_offset"].to_list() == [PLACES[target] - PLACES[coming]]


def test_events_of_symbols_without_bars_do_no_harm(bars: pl.DataFrame) -> None:
    """Events of a symbol that has no bars count as peers only."""
    events = events_of("Symbol,Date,Time\nZZZ,2018-03-01,pre\nWHOLE,2018-06-01,pre")
    made = features_with(bars, events)
    assert made.height == bars.height
    peers = made.filter(pl.col(columns.TARGET_DATE) == date(2018, 3, 1))["schedule_peers"]
    assert set(peers) == {1.0}
    sessions, schedule = sessions_with(bars, events), schedule_of(events)
    assert forecast_features(bars.head(0), sessions, schedule=schedule).height == 0


@pytest.mark.parametrize("cut", [*CUTS[1:], LAST])
@pytest.mark.parametrize("seed", [5, 6])
def test_next_events_are_known_ahead(seed: int, cut: date) -> None:
    """The next event of each symbol within twenty sessions of the target is found, and no other."""
    bars = random_bars(seed)
    events = random_events(bars, seed)
    rows = features_with(bars, events).filter(pl.col(columns.DATE) <= cut)
    latest = rows.group_by(columns.SYMBOL, maintain_order=True).last()
    upcoming = next_events(latest, schedule_of(events))
    found = {row[columns.SYMBOL]: row for row in upcoming.to_dicts()}
    expected = {}
    for symbol, day, target in latest.select(
        columns.SYMBOL, columns.DATE, columns.TARGET_DATE
    ).rows():
        ahead = [
            (-offset, one)
            for offset, one in _near(target, day, _events(events, symbol))
            if offset <= 0
        ]
        if ahead:
            expected[symbol] = ahead[0]
    assert found.keys() == expected.keys()
    assert expected
    assert WITHOUT_EVENTS not in found
    for symbol, (sessions, event) in expected.items():
        row = found[symbol]
        assert row[UNTIL] == sessions
        assert row[columns.SESSION] == event.session
        assert (row[columns.TIME], row[columns.CONFIRMED]) == (event.time, event.confirmed)
        assert row[columns.EVENT_KIND] == "earnings"
        assert abs((row[columns.DATE] - event.session).days) <= 7


def test_next_events_agree_with_the_features() -> None:
    """The next event agrees with the features of the same origin."""
    bars = random_bars(7)
    events = random_events(bars, 7)
    rows = features_with(bars, events)
    latest = rows.group_by(columns.SYMBOL, maintain_order=True).last()
    found = next_events(latest, schedule_of(events))
    joined = latest.select(columns.SYMBOL, UNTIL).join(
        found.select(columns.SYMBOL, found=UNTIL), on=columns.SYMBOL, how="left"
    )
    assert joined[UNTIL].is_not_null().any()
    assert joined[UNTIL].cast(pl.Int64).to_list() == joined["found"].to_list()


def test_sums_of_responses_do_not_depend_on_chunks() -> None:
    """They are whole numbers: added up in any order, they are equal to the last bit."""
    bars = random_bars(seed=21)
    schedule = schedule_of(random_events(bars, seed=22))
    whole = response_sums(add_quantities(bars), schedule).sort(columns.DATE)
    assert set(whole.drop(columns.DATE).dtypes) == {pl.Int64}
    assert whole.select(pl.col(GROUP_COLUMNS).abs().max()).sum_horizontal().item() > 2**30
    apart = [
        response_sums(add_quantities(one), schedule) for one in bars.partition_by(columns.SYMBOL)
    ]
    total = pl.concat(reversed(apart)).group_by(columns.DATE).sum().sort(columns.DATE)
    assert total.equals(whole)
