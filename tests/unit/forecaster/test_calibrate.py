"""Calibration of quantiles: offsets against their definition, and what they promise."""

from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_volume.arrays import Floats
from stock_volume.forecaster.calibrate import (
    MIN_ROWS,
    conformal_offset,
    conformal_offsets,
    shared_spreads,
    widen,
)
from stock_volume.forecaster.occasion import OCCASIONS, Occasion

Errors = st.lists(st.integers(-1000, 1000), min_size=1, max_size=60, unique=True)
Levels = st.sampled_from([Fraction(per_cent, 100) for per_cent in (5, 10, 25, 50, 75, 90, 95)])
ROUNDS = settings(deadline=None, max_examples=200)


def _floats(errors: list[int]) -> Floats:
    return np.array(errors, dtype=np.float64)


def _by_definition(errors: list[int], level: Fraction) -> int:
    """The outermost error that as many are up to as the level asks for, of one row more."""
    wanted = level * (len(errors) + 1)
    up_to = {error: sum(other <= error for other in errors) for error in errors}
    if level > Fraction(1, 2):
        return min((error for error in errors if up_to[error] >= wanted), default=max(errors))
    return max((error for error in errors if up_to[error] <= wanted), default=min(errors))


@ROUNDS
@given(errors=Errors, level=Levels)
def test_offset_is_that_of_its_definition(errors: list[int], level: Fraction) -> None:
    """Above the median the least error that covers the level, below it the greatest."""
    assert conformal_offset(_floats(errors), float(level)) == _by_definition(errors, level)


@ROUNDS
@given(
    errors=st.lists(st.integers(-1000, 1000), min_size=20, max_size=60, unique=True), level=Levels
)
def test_offset_covers_a_row_left_out(errors: list[int], level: Fraction) -> None:
    """Whichever row is the new one, it is up to the others' offset as often as promised."""
    rank = len(errors) * level
    covered = sum(
        error <= conformal_offset(_floats(errors[:place] + errors[place + 1 :]), float(level))
        for place, error in enumerate(errors)
    )
    if level > Fraction(1, 2):
        assert rank <= covered < rank + 1
    else:
        assert rank - 1 < covered <= rank


@ROUNDS
@given(
    errors=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
    levels=st.lists(st.floats(0.001, 0.999), min_size=2, max_size=8),
)
def test_offset_rises_with_the_level(errors: list[float], levels: list[float]) -> None:
    """A higher level never has a lower offset, and every offset is one of the errors."""
    offsets = [conformal_offset(np.array(errors), level) for level in sorted(levels)]
    assert all(low <= high for low, high in pairwise(offsets))
    assert set(offsets) <= set(errors)


@pytest.mark.parametrize("level", [0.01, 0.1, 0.5, 0.9, 0.99])
def test_offset_of_a_single_row_is_its_error(level: float) -> None:
    """One held-out row gives its own error, at any level."""
    assert conformal_offset(np.array([-2.5]), level) == -2.5


def test_groups_are_calibrated_apart() -> None:
    """A group of enough rows has its own offsets; a smaller one has the offsets of all rows."""
    random = np.random.default_rng(0)
    levels = (0.1, 0.5, 0.9)
    counts = (MIN_ROWS, MIN_ROWS - 1, 0, 3 * MIN_ROWS)
    groups = random.permutation(np.repeat(np.arange(len(counts)), counts))
    actual = random.normal(groups, 1 + groups)
    predicted = random.normal(0, 1, (len(actual), len(levels)))
    offsets = conformal_offsets(actual, predicted, levels, groups, len(counts))
    assert offsets.shape == (len(counts), len(levels))
    for group, count in enumerate(counts):
        rows = groups == group if count >= MIN_ROWS else np.full(len(groups), fill_value=True)
        for place, level in enumerate(levels):
            errors = actual[rows] - predicted[rows, place]
            assert offsets[group, place] == conformal_offset(errors, level)


@pytest.mark.parametrize("rows", [1, MIN_ROWS - 1, MIN_ROWS])
def test_offsets_of_one_group_match_all_rows(rows: int) -> None:
    """Where there is one group, it is the same whether it has enough rows or not."""
    actual = np.random.default_rng(rows).normal(size=rows)
    offsets = conformal_offsets(
        actual, np.zeros((rows, 1)), (0.9,), np.zeros(rows, dtype=np.int8), 1
    )
    assert offsets.tolist() == [[conformal_offset(actual, 0.9)]]


@pytest.mark.parametrize("seed", range(3))
def test_calibrated_quantiles_hold_on_new_rows(seed: int) -> None:
    """Quantiles that are off by group and by level hold on rows like those held out."""
    random = np.random.default_rng(seed)
    levels = np.array([0.05, 0.1, 0.5, 0.9])
    groups = random.integers(0, 3, 12_000)
    actual = random.normal(groups, 1.0 + groups)
    predicted = np.tile([-1.0, 0.0, 0.3, 0.5], (len(groups), 1))
    known = np.arange(len(groups)) % 2 == 0
    offsets = conformal_offsets(actual[known], predicted[known], levels.tolist(), groups[known], 3)
    below = actual[:, None] <= predicted + offsets[groups]
    for group in range(3):
        new = ~known & (groups == group)
        assert below[new].mean(axis=0) == pytest.approx(levels, abs=0.04)
        assert np.abs((actual[:, None] <= predicted)[new].mean(axis=0) - levels).max() > 0.1


def _held_out(shared: dict[Occasion, list[float]], rows: int = 40) -> tuple[Any, ...]:
    """Errors of sessions that each share one error, with noise that cancels out."""
    noise = np.linspace(-0.3, 0.3, rows)
    errors, sessions, occasions = [], [], []
    for occasion, of_sessions in shared.items():
        for error in of_sessions:
            errors += list(error + noise)
            sessions += [date(2020, 1, 1) + timedelta(days=len(errors))] * rows
            occasions += [OCCASIONS.index(occasion)] * rows
    return np.array(errors), pl.Series(sessions), np.array(occasions)


def test_spread_is_what_sessions_share_beyond_other_sessions() -> None:
    """The predicted variance of shared errors, of few sessions, less that of other sessions."""
    shared = {
        Occasion.NONE: [0.1, -0.1, 0.1],
        Occasion.EARLY_CLOSE: [-0.5, 0.3],
        Occasion.RUSSELL: [0.2],
    }
    spreads = shared_spreads(*_held_out(shared))
    pooled = (0.25 + 0.09 + 0.04) / 3
    early = (0.25 + 0.09 + 2 * pooled) / 4 * 5 / 3 - 0.01
    russell = (0.04 + 2 * pooled) / 3 * 4 / 2 - 0.01
    expected = dict.fromkeys(OCCASIONS, 0.0)
    expected |= {Occasion.EARLY_CLOSE: early**0.5, Occasion.RUSSELL: russell**0.5}
    never_seen = (pooled * 3 - 0.01) ** 0.5  # an occasion without sessions errs as the others do
    expected |= {Occasion.TRIPLE_WITCHING: never_seen, Occasion.INDEX_REVIEW: never_seen}
    assert spreads == pytest.approx(list(expected.values()))


def test_spread_does_not_depend_on_the_order_of_rows() -> None:
    """Not even in the last digit: models are equal byte for byte."""
    chance = np.random.default_rng(0)
    shared = {
        Occasion.NONE: chance.normal(size=300).tolist(),
        Occasion.EARLY_CLOSE: chance.normal(size=100).tolist(),
    }
    errors, sessions, occasions = _held_out(shared, rows=2)
    orders = [chance.permutation(len(errors)) for _ in range(20)]
    spreads = {shared_spreads(errors[rows], sessions[rows], occasions[rows]) for rows in orders}
    assert len(spreads) == 1


@pytest.mark.parametrize(
    "shared",
    [
        {Occasion.NONE: [0.1, 0.2]},
        {Occasion.EARLY_CLOSE: [0.1, 0.2]},
        {Occasion.NONE: [0.1], Occasion.EARNINGS: [0.9]},
        {Occasion.NONE: [0.5, -0.5], Occasion.EARLY_CLOSE: [0.1, -0.1]},
    ],
)
def test_nothing_is_widened_without_evidence(shared: dict[Occasion, list[float]]) -> None:
    """Without occasions, or other sessions, or a larger shared error there is no spread."""
    assert shared_spreads(*_held_out(shared)) == (0.0,) * len(OCCASIONS)


def test_widened_normal_quantiles_are_exact() -> None:
    """Normal errors of 3 and 4 have the quantiles of a normal error of 5."""
    levels = (0.05, 0.1, 0.5, 0.9, 0.95)
    quantiles = np.array([[NormalDist(1, 3).inv_cdf(level) for level in levels]] * 2)
    widened = widen(quantiles, levels, np.array([4.0, 0.0]))
    assert widened[0] == pytest.approx([NormalDist(1, 5).inv_cdf(level) for level in levels])
    assert widened[1].tolist() == quantiles[1].tolist()
    assert (np.diff(widened, axis=1) > 0).all()
