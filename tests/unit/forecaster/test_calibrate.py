"""Calibration of quantiles: offsets against their definition, and what they promise."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_volume.arrays import Floats
from stock_volume.forecaster.calibrate import MIN_ROWS, conformal_offset, conformal_offsets

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
def test_offsets_of_one_group_are_those_of_all_rows(rows: int) -> None:
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
