"""The forecaster's features, against oracles in pandas, and what they may not see."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from functools import cache
from math import log
from pathlib import Path
from statistics import fmean
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_volume import columns
from stock_volume.exchange import NYSE, ScheduledEvent, find_exchange
from stock_volume.features.calendar import CALENDAR_FEATURES
from stock_volume.features.market import MARKET_FEATURES, market_sessions, market_sums
from stock_volume.features.quantities import BASE, add_quantities
from stock_volume.features.registry import (
    BAR_FEATURES,
    ETA,
    FORECAST_FEATURES,
    NEXT_OPEN,
    NEXT_VOLUME,
    SECURITY_FEATURES,
    SESSION_FEATURES,
    FeatureParameters,
    FeatureSet,
    describe_features,
    estimator_features,
    forecast_features,
)
from stock_volume.features.schedule import PEER_FEATURES
from tests.unit.forecast_oracles import (
    BAR_ORACLES,
    MARKET_ORACLES,
    market_days,
    pasts,
    random_bars,
    sessions_of,
)

NAMES: Final = [
    feature.name for feature in FORECAST_FEATURES if feature.event is not ScheduledEvent.EARNINGS
]
"""Features without dates of earnings; test_schedule has the others."""

BAR_NAMES: Final = [feature.name for feature in BAR_FEATURES if feature.name in NAMES]
MARKET_NAMES: Final = [feature.name for feature in MARKET_FEATURES]
TARGETS: Final = (ETA, NEXT_OPEN, NEXT_VOLUME)
CUTS: Final = (date(2016, 12, 14), date(2018, 2, 16), date(2019, 6, 20))

DESCRIPTION: Final = Path(__file__).parents[3] / "docs" / "features.md"

Change = Callable[[pl.DataFrame, date], pl.DataFrame]
"""Changes the bars after a day."""


class Case(NamedTuple):
    made: pl.DataFrame
    sessions: pl.DataFrame
    of_bars: dict[str, np.ndarray]
    of_sessions: dict[str, np.ndarray]


def _as_floats(parts: Iterable[Any]) -> np.ndarray:
    values = np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])
    return np.where(np.isfinite(values), values, np.nan)


@pytest.fixture(params=range(2))
def case(request: pytest.FixtureRequest) -> Case:
    return _make_case(request.param)


@cache  # a fixture with parameters would be made for each group of tests
def _make_case(seed: int) -> Case:
    bars = random_bars(seed)
    sessions = sessions_of(bars)
    frames, days = pasts(bars, sessions), [market_days(bars)]
    return Case(
        forecast_features(bars, sessions),
        sessions,
        {name: _as_floats(map(oracle, frames)) for name, oracle in BAR_ORACLES.items()},
        {name: _as_floats(map(oracle, days)) for name, oracle in MARKET_ORACLES.items()},
    )


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return random_bars(7)


@pytest.fixture(scope="module")
def made(bars: pl.DataFrame) -> pl.DataFrame:
    return _forecast(bars)


def _forecast(bars: pl.DataFrame) -> pl.DataFrame:
    return forecast_features(bars, sessions_of(bars))


def _assert_close(column: pl.Series, expected: np.ndarray) -> None:
    values = column.cast(pl.Float64).to_numpy()
    assert np.isfinite(expected).any()
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BAR_NAMES)
def test_feature_of_bars_is_what_its_oracle_says(case: Case, name: str) -> None:
    """Every feature of a bar equals its definition in pandas, and is null where that is."""
    _assert_close(case.made[name], case.of_bars[name])


@pytest.mark.parametrize("name", MARKET_NAMES)
def test_feature_of_the_market_is_what_its_oracle_says(case: Case, name: str) -> None:
    """Every feature of the market equals its definition in pandas, on each session."""
    _assert_close(case.sessions[name], case.of_sessions[name])


def test_every_oracle_is_of_a_feature() -> None:
    """Every feature has an oracle; test_calendar has the oracles of the calendar."""
    assert set(BAR_NAMES) == set(BAR_ORACLES)
    assert set(MARKET_NAMES) == set(MARKET_ORACLES)
    assert (*CALENDAR_FEATURES, *MARKET_FEATURES, *PEER_FEATURES) == SESSION_FEATURES
    assert (*BAR_FEATURES, *SESSION_FEATURES) == FORECAST_FEATURES


def test_sessions_match_the_bars_dates(made: pl.DataFrame, bars: pl.DataFrame) -> None:
    """Shared features are the session's on each bar, and null on a bar without a session."""
    names = [feature.name for feature in SESSION_FEATURES if feature.name in NAMES]
    joined = bars.join(sessions_of(bars), on=columns.DATE, how="left", maintain_order="left")
    assert_frame_equal(made.select(columns.TARGET_DATE), joined.select(columns.TARGET_DATE))
    assert_frame_equal(made.select(names), joined.select(pl.col(names).cast(pl.Float32)))
    assert made[columns.TARGET_DATE].null_count() > 0


def test_rows_keep_their_order(made: pl.DataFrame, bars: pl.DataFrame) -> None:
    """There is one row per bar, in the same order, with the bar's own columns unchanged."""
    kept = [name for name in bars.columns if name in made.columns]
    assert {columns.SYMBOL, columns.DATE, columns.VOLUME} <= set(kept)
    assert_frame_equal(made.select(kept), bars.select(kept), check_exact=True)


def test_features_are_named_and_described() -> None:
    """Names are unique and in snake case, and each feature has a description."""
    assert len(NAMES) == len(set(NAMES))
    assert all(pl.Series(NAMES).str.contains(r"^[a-z]+(_[a-z0-9]+)*$"))
    assert all(feature.description.strip() for feature in FORECAST_FEATURES)


def test_every_feature_is_described_once() -> None:
    """The description has a row for each feature of the forecaster and of the estimator."""
    described = (*estimator_features(FeatureParameters()), *FORECAST_FEATURES)
    expected = [[f"`{feature.name}`", feature.description] for feature in described]
    lines = describe_features().splitlines()
    rows = [line.strip("| ").split(" | ")[:2] for line in lines if line.startswith("| `")]
    assert sorted(rows) == sorted(expected)


def test_the_event_of_a_feature_is_described() -> None:
    """The description names the event that a feature is about, and the number of features."""
    lines = describe_features().splitlines()
    russell = next(line for line in lines if line.startswith("| `target_russell_reconstitution`"))
    assert russell.endswith("| Russell reconstitution |")
    assert f"has {len(FORECAST_FEATURES)} features" in describe_features()


def test_description_is_the_registrys() -> None:
    """docs/features.md describes the registry as it is."""
    text = DESCRIPTION.read_text(encoding="utf-8")
    assert text == describe_features(), "docs/features.md is stale: run `make features-doc`"


def test_features_are_float32(made: pl.DataFrame) -> None:
    """Every feature is a column of float32, after the columns of the origin."""
    assert made.columns[-len(NAMES) :] == NAMES
    assert set(made.select(NAMES).dtypes) == {pl.Float32}


# Leakage.


def _perturbed(bars: pl.DataFrame, cut: date) -> pl.DataFrame:
    random = np.random.default_rng(0)
    factors = {name: pl.Series(random.uniform(1, 3, bars.height)) for name in columns.PRICES}
    changed = [
        *(pl.col(name) * factor for name, factor in factors.items()),
        pl.col(columns.VOLUME) * 7 + 1,
    ]
    later = pl.col(columns.DATE) > cut
    return bars.with_columns(
        pl.when(later).then(change).otherwise(pl.col(change.meta.output_name()))
        for change in changed
    )


def _dropped(bars: pl.DataFrame, cut: date) -> pl.DataFrame:
    return bars.filter(pl.col(columns.DATE) <= cut)


def _moved(before: pl.DataFrame, after: pl.DataFrame, names: Iterable[str]) -> set[str]:
    assert 0 < before.height == after.height
    return {name for name in names if not before[name].equals(after[name])}


@pytest.mark.parametrize("change", [_perturbed, _dropped])
@pytest.mark.parametrize("cut", CUTS)
def test_no_feature_sees_a_later_bar(
    bars: pl.DataFrame, made: pl.DataFrame, change: Change, cut: date
) -> None:
    """Changing or dropping all bars after a day changes nothing up to it, except targets."""
    changed = _forecast(change(bars, cut))
    names = set(made.columns).difference(TARGETS)
    assert _moved(_dropped(made, cut), _dropped(changed, cut), names) == set()
    before = cut - timedelta(days=1)
    assert _moved(_dropped(made, before), _dropped(changed, before), TARGETS) == set()


@pytest.mark.parametrize("cut", CUTS)
def test_targets_are_of_the_bar_after(bars: pl.DataFrame, made: pl.DataFrame, cut: date) -> None:
    """Changing all bars after a day changes each of its targets, and dropping them removes them."""
    of_day = pl.col(columns.DATE) == cut
    known = made.filter(of_day, pl.col(ETA).is_not_null())
    perturbed, dropped = (
        _forecast(change(bars, cut)).filter(
            of_day, pl.col(columns.SYMBOL).is_in(known[columns.SYMBOL].implode())
        )
        for change in (_perturbed, _dropped)
    )
    assert known.height > 2
    for name in TARGETS:
        assert (perturbed[name] != known[name]).all()
        assert dropped[name].null_count() == known.height


def test_every_feature_answers_to_bars(bars: pl.DataFrame, made: pl.DataFrame) -> None:
    """Changing bars after a day changes all later features, except age, security and calendar."""
    later = pl.col(columns.DATE) > CUTS[0]
    changed = _forecast(_perturbed(bars, CUTS[0]))
    moved = _moved(made.filter(later), changed.filter(later), NAMES)
    of_security = {feature.name for feature in SECURITY_FEATURES}
    assert moved == {*BAR_NAMES, *MARKET_NAMES} - {"age"} - of_security


@pytest.mark.parametrize("weeks", [13, 52])
def test_no_feature_reaches_over_a_pause(bars: pl.DataFrame, weeks: int) -> None:
    """The first bars after a pause in trading see nothing later, although few bars lie between."""
    last = date(2017, 1, 6)
    cut = last + timedelta(weeks=weeks, days=-1)
    pause = pl.col(columns.DATE).is_between(last, cut - timedelta(days=2), closed="right")
    paused = bars.filter(~pause | (pl.col(columns.SYMBOL) != "WHOLE"))
    before, after = (
        _dropped(_forecast(frame), cut).filter(pl.col(columns.SYMBOL) == "WHOLE")
        for frame in (paused, _perturbed(paused, cut))
    )
    assert _moved(before, after, NAMES) == set()


def test_symbols_do_not_meet(bars: pl.DataFrame, made: pl.DataFrame) -> None:
    """Given the sessions, a symbol's features do not depend on other symbols."""
    sessions = sessions_of(bars)
    alone = [
        forecast_features(symbol, sessions)
        for symbol in bars.partition_by(columns.SYMBOL, maintain_order=True)
    ]
    assert len(alone) > 2
    assert_frame_equal(made, pl.concat(alone), check_exact=True)


@pytest.mark.parametrize("size", [1, 3])
def test_market_is_the_same_by_chunks(bars: pl.DataFrame, size: int) -> None:
    """Sums by chunks of symbols give the same sessions as sums over all symbols."""
    symbols = bars.partition_by(columns.SYMBOL, maintain_order=True)
    chunks = [pl.concat(symbols[start : start + size]) for start in range(0, len(symbols), size)]
    by_chunks = market_sessions((market_sums(add_quantities(chunk)) for chunk in chunks), NYSE)
    assert_frame_equal(by_chunks, sessions_of(bars), rel_tol=1e-9, abs_tol=1e-9)


# Targets, and values at the edge, on bars of one symbol.

SESSIONS: Final = [date(2019, 6, day) for day in (6, 7, 10, 11, 12, 13, 14, 17, 18)]
ORIGIN: Final = date(2019, 6, 14)
"""A Friday: the target is the following Monday, the last session but one."""


def _bars_of(days: Sequence[date], volumes: Sequence[int | None]) -> pl.DataFrame:
    """Make bars at ten dollars, and no bar where the volume is null."""
    bars = pl.DataFrame(
        {columns.DATE: days, columns.VOLUME: volumes}, schema_overrides={columns.VOLUME: pl.Int64}
    )
    return bars.drop_nulls().select(
        pl.lit("A").alias(columns.SYMBOL),
        pl.lit("A Inc.").alias(columns.SECURITY_NAME),
        pl.lit(value=False).alias(columns.ETF),
        columns.DATE,
        *(pl.lit(10.0).alias(name) for name in columns.PRICES),
        columns.VOLUME,
    )


def _origin_of(bars: pl.DataFrame) -> dict[str, Any]:
    """Compute the row of the origin, where no symbol is liquid enough to be part of the market."""
    return _forecast(bars).row(by_predicate=pl.col(columns.DATE) == ORIGIN, named=True)


@pytest.mark.parametrize(
    ("volumes", "of_base"),
    [
        pytest.param([10, 20, 30, 40, 50, 60, 70, 80, 90], [30, 40, 50, 60, 70], id="five bars"),
        pytest.param([None] * 5 + [60, 70, 80], [60, 70], id="two bars so far"),
        pytest.param([10, 20, 30, 0, 50, 60, 70, 80], [30, 50, 60, 70], id="one without trades"),
        pytest.param([10, 20, 30, None, 50, 60, 70, 80], [20, 30, 50, 60, 70], id="one missing"),
    ],
)
def test_target_is_of_the_next_session(volumes: list[int | None], of_base: list[int]) -> None:
    """Eta is the next log dollar volume minus the mean of the last five bars that traded."""
    row = _origin_of(_bars_of(SESSIONS[: len(volumes)], volumes))
    base = fmean(log(10 * volume) for volume in of_base)
    assert row[columns.TARGET_DATE] == date(2019, 6, 17)
    assert row[NEXT_VOLUME] == 80
    assert row[BASE] == pytest.approx(base)
    assert row[ETA] == pytest.approx(log(800) - base)


@pytest.mark.parametrize(
    ("sessions", "opening"),
    [
        pytest.param(SESSIONS[:8], 10.0, id="the next session"),
        pytest.param([*SESSIONS[:7], SESSIONS[8]], None, id="the next bar is later"),
        pytest.param(SESSIONS[:7], None, id="no next bar"),
    ],
)
def test_next_open_is_of_the_next_session(sessions: list[date], opening: float | None) -> None:
    """It is known with the bar of the target session, and of no later one."""
    bars = _bars_of(sessions, [10] * len(sessions)).with_columns(
        pl.when(pl.col(columns.DATE) <= ORIGIN).then(9.0).otherwise(10.0).alias(columns.OPEN)
    )
    assert _origin_of(bars)[NEXT_OPEN] == opening


@pytest.mark.parametrize(
    ("volumes", "next_volume"),
    [
        pytest.param([10] * 7 + [None, 90], None, id="the next bar is later"),
        pytest.param([10] * 7, None, id="no next bar"),
        pytest.param([10] * 7 + [0, 90], 0, id="no trades on the next session"),
        pytest.param([0] * 7 + [80], 80, id="no trades before"),
    ],
)
def test_eta_is_null_where_it_is_not_known(
    volumes: list[int | None], next_volume: int | None
) -> None:
    """Eta needs a bar on the next session, trades in it, and a base."""
    row = _origin_of(_bars_of(SESSIONS[: len(volumes)], volumes))
    assert row[NEXT_VOLUME] == next_volume
    assert row[ETA] is None


def test_what_is_not_finite_is_null() -> None:
    """Where nothing moves, features in units of a deviation are null, and all others finite."""
    days = [SESSIONS[0] + timedelta(days=day) for day in range(200)]
    weekdays = [day for day in days if day.isoweekday() <= 5]
    still = _forecast(_bars_of(weekdays, [10**6] * len(weekdays)))
    assert all(still.select(pl.col(NAMES).is_finite().all()).row(0))
    unknown = {"abnormal_volume_score", "close_location", "gap_score", "return_score"}
    assert all(still[name].null_count() == still.height for name in unknown)


# Other exchanges.


def test_an_exchange_has_the_features_of_its_events(bars: pl.DataFrame) -> None:
    """On London's sessions a bar has every feature except on US derivatives and indexes."""
    sessions = market_sessions([market_sums(add_quantities(bars))], find_exchange("XLON"))
    made = forecast_features(bars, sessions)
    events = {None, ScheduledEvent.EARLY_CLOSE}
    expected = [feature.name for feature in FORECAST_FEATURES if feature.event in events]
    assert len(NAMES) - len(expected) == 14
    assert made.columns[-len(expected) :] == expected
    assert not ({*NAMES} - {*expected}) & {*made.columns}


def test_a_layer_shows_its_features(made: pl.DataFrame, bars: pl.DataFrame) -> None:
    """Sessions and features of one exchange name the same features, in order."""
    assert FeatureSet.of_layer(made.columns).names == tuple(NAMES)
    assert FeatureSet.of_layer(sessions_of(bars).columns).names == tuple(NAMES)
    assert set(FeatureSet.of_layer([]).names) < set(NAMES)


def test_a_bar_on_a_holiday_of_the_exchange_has_no_features(bars: pl.DataFrame) -> None:
    """Bars of days without a session count in windows, and are no origins."""
    sessions = market_sessions([market_sums(add_quantities(bars))], find_exchange("XLON"))
    made = forecast_features(bars, sessions)
    closed = made.filter(pl.col(columns.DATE) == date(2019, 5, 6))
    assert closed.height > 0
    assert closed[columns.TARGET_DATE].null_count() == closed.height
