"""The window of the forecaster's features, and their renewal in an update."""

from datetime import date, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_volume import columns
from stock_volume.features.horizon import list_horizons
from stock_volume.features.quantities import BARS_SO_FAR
from stock_volume.features.registry import (
    FORECAST_FEATURES,
    NEXT_OPEN,
    first_bar,
    forecast_features,
)
from stock_volume.features.schedule import NO_EVENTS
from stock_volume.features.window import (
    FeatureWindow,
    features_in_window,
    renew_features,
    stale_symbols,
)
from tests.unit.forecast_oracles import random_bars, sessions_of

BARS = random_bars(1)
SYMBOLS = BARS[columns.SYMBOL].unique().sort()
SESSIONS = sessions_of(BARS)
FIRST_TARGET: date = SESSIONS[columns.TARGET_DATE][SESSIONS.height // 2]
WINDOW = FeatureWindow(SESSIONS, FIRST_TARGET)
HELD = features_in_window(BARS, NO_EVENTS.events, WINDOW)


def test_rows_before_the_window_are_left_out() -> None:
    """The rows are all rows with a target in the window, computed on all earlier bars."""
    every = forecast_features(BARS, SESSIONS)
    assert_frame_equal(HELD, every.filter(pl.col(columns.TARGET_DATE) >= FIRST_TARGET))
    assert HELD[columns.TARGET_DATE].min() == FIRST_TARGET
    assert 0 < HELD.height < every.height


def test_features_see_some_years_or_all() -> None:
    """Without the bars before the first that all features see, only those that see all differ."""
    bars = random_bars(3, date(2008, 1, 2))
    window = FeatureWindow(sessions_of(bars), date(2017, 6, 1))
    made = features_in_window(bars, NO_EVENTS.events, window)
    every = forecast_features(bars, window.sessions).filter(window.includes())
    assert_frame_equal(made, every, rel_tol=1e-4, abs_tol=1e-5)

    assert first_bar(window.first_target) == date(2013, 1, 1)
    late = bars.filter(pl.col(columns.DATE) >= first_bar(window.first_target))
    other = features_in_window(late, NO_EVENTS.events, window)
    far = {feature.name for feature in FORECAST_FEATURES if feature.sees_all}
    near = [name for name in made.columns if name not in {*far, "age", BARS_SO_FAR}]
    assert_frame_equal(made[near], other[near], rel_tol=1e-4, abs_tol=1e-5)
    assert not made["response_kind_month"].equals(other["response_kind_month"])


def test_all_symbols_are_stale_when_features_see_other_bars() -> None:
    """A window that begins in another year makes every symbol stale, even with no change."""
    later = WINDOW._replace(first_target=FIRST_TARGET.replace(year=FIRST_TARGET.year + 1))
    no_events = NO_EVENTS.events.lazy()
    same_year = WINDOW._replace(first_target=FIRST_TARGET + timedelta(days=1))
    assert first_bar(same_year.first_target) == first_bar(FIRST_TARGET)
    assert stale_symbols(HELD.lazy(), SYMBOLS[:0], same_year, no_events).is_empty()
    stale = stale_symbols(HELD.lazy(), SYMBOLS[:0], later, no_events)
    assert stale.sort().to_list() == SYMBOLS.to_list()


@pytest.mark.parametrize(("held", "wanted"), [((), (2,)), ((2,), ()), ((2,), (3,)), ((2, 3), (2,))])
def test_all_symbols_are_stale_when_horizons_differ(
    held: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    """A horizon that the layer lacks, or that is no longer wanted, makes every symbol stale."""
    before, now = (WINDOW._replace(horizons=list_horizons(of, ())) for of in (held, wanted))
    layer = features_in_window(BARS, NO_EVENTS.events, before).lazy()
    no_events = NO_EVENTS.events.lazy()
    assert stale_symbols(layer, SYMBOLS[:0], before, no_events).is_empty()
    stale = stale_symbols(layer, SYMBOLS[:0], now, no_events)
    assert stale.sort().to_list() == SYMBOLS.to_list()


def test_all_symbols_are_stale_without_opening_prices() -> None:
    """A layer from before there were forecasts at the open is computed again."""
    held = HELD.drop(NEXT_OPEN).lazy()
    stale = stale_symbols(held, SYMBOLS[:0], WINDOW, NO_EVENTS.events.lazy())
    assert stale.sort().to_list() == SYMBOLS.to_list()


@pytest.mark.parametrize("stale", [SYMBOLS[:0], SYMBOLS[:1], SYMBOLS[1:3], SYMBOLS])
def test_stale_symbols_are_computed_and_others_kept(stale: pl.Series) -> None:
    """The rows of stale symbols are computed from the bars; the other rows are as held."""
    marked = HELD.with_columns(pl.lit("held").alias(columns.SECURITY_NAME))
    renewed = renew_features(BARS, marked, NO_EVENTS.events, stale, WINDOW)
    is_stale = pl.col(columns.SYMBOL).is_in(stale.implode())
    name = pl.when(is_stale).then(columns.SECURITY_NAME).otherwise(pl.lit("held"))
    assert_frame_equal(renewed, HELD.with_columns(name.alias(columns.SECURITY_NAME)))


def test_kept_rows_leave_when_the_window_moves_on() -> None:
    """Rows that are held and lie before the window are dropped."""
    later = WINDOW._replace(first_target=SESSIONS[columns.TARGET_DATE][-20])
    renewed = renew_features(BARS, HELD, NO_EVENTS.events, SYMBOLS[:1], later)
    assert_frame_equal(renewed, features_in_window(BARS, NO_EVENTS.events, later))


def test_unchanged_sessions_make_changed_symbols_stale_only() -> None:
    """Where the market is the same, the stale symbols are those with changed bars."""
    assert stale_symbols(HELD.lazy(), SYMBOLS[:1], WINDOW, NO_EVENTS.events.lazy()).to_list() == [
        SYMBOLS[0]
    ]


def test_a_changed_session_makes_its_symbols_stale() -> None:
    """Each row repeats its session's market: with another market, its symbol is stale."""
    session = HELD.filter(pl.col(columns.SYMBOL) == SYMBOLS[2])[columns.DATE][0]
    on_session = pl.col(columns.DATE) == session
    other = SESSIONS.with_columns(
        pl.when(on_session).then(9.0).otherwise("market_return").alias("market_return")
    )
    expected = HELD.filter(on_session)[columns.SYMBOL].to_list()
    window = WINDOW._replace(sessions=other)
    stale = stale_symbols(HELD.lazy(), SYMBOLS[:0], window, NO_EVENTS.events.lazy())
    assert stale.sort().to_list() == sorted(expected)
    assert SYMBOLS[2] in expected
