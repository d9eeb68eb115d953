"""The estimator's features, against their definitions in plain pandas."""

from collections.abc import Callable
from datetime import date, timedelta
from fractions import Fraction
from itertools import accumulate
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stock_volume import columns
from stock_volume.features.registry import FeatureParameters, add_features, estimator_features

PARAMETERS = FeatureParameters()
NAMES = [feature.name for feature in estimator_features(PARAMETERS)]
START = date(2019, 12, 2)

Oracle = Callable[[Any], Any]
"""Maps a pandas frame to a pandas series; pandas has no types."""


def _windows(bars: Any) -> Any:
    return bars.groupby(columns.SYMBOL, sort=False).rolling(
        f"{PARAMETERS.window_days}D", on=columns.DATE, closed="right"
    )


ORACLES: dict[str, Oracle] = {
    columns.VOL_MOVING_AVG: lambda bars: _windows(bars)[columns.VOLUME].mean(),
    columns.ADJ_CLOSE_ROLLING_MED: lambda bars: _windows(bars)[columns.ADJ_CLOSE].median(),
}
"""The definition of each feature; a feature without one fails its tests."""


def _bars(symbol: str, days: list[date], volumes: list[int], closes: list[float]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            columns.SYMBOL: [symbol] * len(days),
            columns.DATE: days,
            columns.VOLUME: volumes,
            columns.ADJ_CLOSE: closes,
        },
        schema_overrides={columns.VOLUME: pl.Int64, columns.ADJ_CLOSE: pl.Float64},
    )


def _random_bars(seed: int, symbols: int = 5, rows: int = 150) -> pl.DataFrame:
    """Make bars with gaps of a day to two months; every tenth volume is zero."""
    random = np.random.default_rng(seed)
    frames = []
    for number in range(symbols):
        gaps = random.choice([1, 1, 1, 1, 2, 3, 4, 15, 28, 29, 30, 31, 60], rows)
        volumes = np.round(random.lognormal(11, 2, rows)) * (random.random(rows) > 0.1)
        frames.append(
            _bars(
                f"S{number}",
                [START + timedelta(days=int(days)) for days in np.cumsum(gaps)],
                volumes.astype(np.int64).tolist(),
                random.lognormal(3, 1, rows).round(4).tolist(),
            )
        )
    return pl.concat(frames)


@st.composite
def _any_bars(draw: st.DrawFn) -> pl.DataFrame:
    frames = []
    for symbol in "ABC":
        gaps = draw(st.lists(st.integers(1, 45), min_size=1, max_size=20))
        rows = len(gaps)
        volumes = draw(st.lists(st.integers(0, 10**10), min_size=rows, max_size=rows))
        closes = draw(st.lists(st.floats(1e-4, 1e6), min_size=rows, max_size=rows))
        days = [START + timedelta(days=days) for days in accumulate(gaps)]
        frames.append(_bars(symbol, days, volumes, closes))
    return pl.concat(frames)


def _in_window(bars: pl.DataFrame, row: int, name: str) -> pl.Series:
    """Select the values in the window that ends on a row, by brute force."""
    symbol, last = bars[columns.SYMBOL][row], bars[columns.DATE][row]
    first = last - timedelta(days=PARAMETERS.window_days - 1)
    return bars.filter(
        pl.col(columns.SYMBOL) == symbol, pl.col(columns.DATE).is_between(first, last)
    )[name]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", NAMES)
def test_feature_equals_its_definition_in_pandas(name: str, seed: int) -> None:
    """Every feature of the registry equals its oracle, on each row of irregular calendars."""
    bars = _random_bars(seed)
    made = add_features(bars, PARAMETERS)[name].to_numpy()
    expected = ORACLES[name](bars.to_pandas()).to_numpy()
    np.testing.assert_allclose(made, expected, rtol=1e-9, atol=1e-6)


def test_every_oracle_is_of_a_feature() -> None:
    """Features and oracles are the same set, and the estimator's inputs are among them."""
    assert set(NAMES) == set(ORACLES)
    assert set(columns.ESTIMATOR_INPUTS) <= set(NAMES)
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize(
    ("days_before", "average", "median"), [(29, 150.0, 3.0), (30, 200.0, 4.0), (31, 200.0, 4.0)]
)
def test_window_is_open_on_the_left(days_before: int, average: float, median: float) -> None:
    """A bar 29 calendar days earlier is in the window; a bar 30 days earlier is not."""
    last = date(2020, 3, 1)
    days = [last - timedelta(days=days_before), last]
    made = add_features(_bars("A", days, [100, 200], [2.0, 4.0]), PARAMETERS)
    assert made[columns.VOL_MOVING_AVG].to_list() == [100.0, average]
    assert made[columns.ADJ_CLOSE_ROLLING_MED].to_list() == [2.0, median]


def test_window_follows_its_parameter() -> None:
    """A window of one day holds one bar."""
    days = [START + timedelta(days=day) for day in range(3)]
    made = add_features(
        _bars("A", days, [1, 5, 3], [9.0, 7.0, 8.0]), FeatureParameters(window_days=1)
    )
    assert made[columns.VOL_MOVING_AVG].to_list() == [1.0, 5.0, 3.0]
    assert made[columns.ADJ_CLOSE_ROLLING_MED].to_list() == [9.0, 7.0, 8.0]


def test_values_from_the_first_row_on() -> None:
    """The first bars of a symbol have values too, from the bars so far."""
    days = [START + timedelta(days=day) for day in range(4)]
    made = add_features(_bars("A", days, [10, 0, 2, 0], [1.0, 3.0, 8.0, 4.0]), PARAMETERS)
    assert made[columns.VOL_MOVING_AVG].to_list() == [10.0, 5.0, 4.0, 3.0]
    assert made[columns.ADJ_CLOSE_ROLLING_MED].to_list() == [1.0, 2.0, 3.0, 3.5]


def test_zero_volumes_average_to_zero() -> None:
    """A window without trades has an average volume of exactly zero, whatever came before."""
    days = [START + timedelta(days=40 * day) for day in range(5)]
    made = add_features(_bars("A", days, [10**9, 0, 0, 3, 0], [1.0] * 5), PARAMETERS)
    assert made[columns.VOL_MOVING_AVG].to_list() == [1e9, 0.0, 0.0, 3.0, 0.0]


@settings(deadline=None, max_examples=60)
@given(bars=_any_bars())
def test_averages_stay_within_their_window(bars: pl.DataFrame) -> None:
    """Mean and median lie between the minimum and the maximum of their window."""
    made = add_features(bars, PARAMETERS)
    for feature, source in (
        (columns.VOL_MOVING_AVG, columns.VOLUME),
        (columns.ADJ_CLOSE_ROLLING_MED, columns.ADJ_CLOSE),
    ):
        for row, value in enumerate(made[feature]):
            window = _in_window(bars, row, source).cast(pl.Float64).to_numpy()
            # A rolling sum gathers rounding errors of the sums that it has passed.
            slack = 1e-12 * float(bars[source].cast(pl.Float64).to_numpy().max())
            assert window.min() - slack <= value <= window.max() + slack


@settings(deadline=None, max_examples=60)
@given(bars=_any_bars())
def test_symbols_do_not_meet(bars: pl.DataFrame) -> None:
    """A symbol's features do not depend on other symbols."""
    together = add_features(bars, PARAMETERS)
    alone = [
        add_features(of_symbol, PARAMETERS)
        for of_symbol in bars.partition_by(columns.SYMBOL, maintain_order=True)
    ]
    assert together.equals(pl.concat(alone))


@settings(deadline=None, max_examples=60)
@given(bars=_any_bars())
def test_rows_keep_their_order(bars: pl.DataFrame) -> None:
    """The bars come back unchanged and in order, with one more column per feature."""
    made = add_features(bars, PARAMETERS)
    assert made.columns == [*bars.columns, *NAMES]
    assert made.select(bars.columns).equals(bars)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_feature_sees_no_later_bar(name: str, seed: int) -> None:
    """Changing every bar after a day changes no feature on or before it."""
    bars = _random_bars(seed, symbols=3)
    days = bars[columns.DATE].sort()
    for cut in (days[20], days[len(days) // 2], days[-2]):
        later = pl.col(columns.DATE) > cut
        changed = bars.with_columns(
            pl.when(later).then(pl.col(columns.VOLUME) * 7 + 1).otherwise(columns.VOLUME),
            pl.when(later).then(pl.col(columns.ADJ_CLOSE) * 3 + 1).otherwise(columns.ADJ_CLOSE),
        )
        before, after = (add_features(frame, PARAMETERS) for frame in (bars, changed))
        assert before.filter(~later)[name].equals(after.filter(~later)[name])
        assert not before.filter(later)[name].equals(after.filter(later)[name])


@pytest.mark.parametrize("name", NAMES)
def test_feature_ignores_dropped_later_bars(name: str) -> None:
    """A feature of a bar is the same before later bars arrive."""
    bars = _random_bars(7, symbols=3)
    so_far = bars.filter(pl.col(columns.DATE) <= START + timedelta(days=400))
    assert 0 < so_far.height < bars.height
    known = add_features(bars, PARAMETERS).filter(
        pl.col(columns.DATE) <= START + timedelta(days=400)
    )
    assert known[name].equals(add_features(so_far, PARAMETERS)[name])


@pytest.mark.parametrize("wrong", [{"window_days": 0}, {"window_days": 2.5}, {"window": 30}])
def test_parameters_refuse_what_makes_no_window(wrong: dict[str, float]) -> None:
    """A window is a whole number of days, at least one, and unknown keys are refused."""
    with pytest.raises(ValidationError):
        FeatureParameters.model_validate(wrong)


def test_descriptions_name_the_unit() -> None:
    """Each feature is described, in shares or in dollars."""
    for feature in estimator_features(PARAMETERS):
        assert feature.description.endswith(("in shares", "in dollars"))


@pytest.mark.parametrize("spike", [2**53 - 1, 10**13 + 1])
def test_nothing_stays_of_a_huge_volume_that_has_left_the_window(spike: int) -> None:
    """A huge volume that has left the window leaves no rounding error in the average."""
    days = [START + timedelta(days=day) for day in range(100)]
    volumes = [1, spike, 3] * 20 + [1] * 40
    made = add_features(_bars("A", days, volumes, [1.0] * 100), PARAMETERS)
    windows = [volumes[max(0, day - 29) : day + 1] for day in range(100)]
    expected = [float(Fraction(sum(window), len(window))) for window in windows]
    averages = made[columns.VOL_MOVING_AVG].to_list()
    assert averages == pytest.approx(expected, rel=1e-15)
    assert averages[90:] == [1.0] * 10
