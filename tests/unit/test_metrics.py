"""Measures of error, against scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from stock_volume.metrics import in_words, point_errors

Volumes = st.lists(st.integers(0, 10**10), min_size=2, max_size=50)


@settings(deadline=None)
@given(actual=Volumes, seed=st.integers(0, 2**32 - 1))
def test_errors_match_scikit_learn(actual: list[int], seed: int) -> None:
    """MAE, MSE and R2 equal scikit-learn's for any volumes that differ."""
    observed = np.array(actual, dtype=np.float64)
    observed[0] = observed[1] + 1
    predicted = observed * np.random.default_rng(seed).uniform(0.5, 2, len(observed))
    errors = point_errors(observed, predicted)
    assert errors.mae == pytest.approx(mean_absolute_error(observed, predicted), rel=1e-9)
    assert errors.mse == pytest.approx(mean_squared_error(observed, predicted), rel=1e-9)
    assert errors.r2 is not None
    assert 1 - errors.r2 == pytest.approx(1 - r2_score(observed, predicted), rel=1e-6)


@pytest.mark.parametrize(
    ("actual", "predicted", "expected"),
    [
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], (0.0, 0.0, 1.0)),
        ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0], (2 / 3, 2 / 3, 0.0)),
        ([0.0, 10.0], [10.0, 0.0], (10.0, 100.0, -3.0)),
        ([0.0, 4.0], [1.0, 4.0], (0.5, 0.5, 0.875)),
    ],
    ids=["exact", "always the mean", "worse than the mean", "half right"],
)
def test_errors_by_hand(
    actual: list[float], predicted: list[float], expected: tuple[float, float, float]
) -> None:
    """The errors are those worked out by hand."""
    assert tuple(point_errors(np.array(actual), np.array(predicted))) == pytest.approx(expected)


@pytest.mark.parametrize("volume", [0.0, 7.0, 123_456_789.0])
@pytest.mark.parametrize("off", [0.0, 2.0])
@pytest.mark.parametrize("rows", [1, 5])
def test_constant_target_has_no_r2(volume: float, off: float, rows: int) -> None:
    """Where the target does not vary R2 is None, and the other errors are still measured."""
    actual = np.full(rows, volume)
    errors = point_errors(actual, actual + off)
    assert errors.r2 is None
    assert (errors.mae, errors.mse) == (off, off**2)


def test_errors_are_plain_floats() -> None:
    """The errors are Python floats, which JSON can hold."""
    errors = point_errors(np.array([1.0, 2.0]), np.array([1.5, 2.0]))
    assert [type(error) for error in errors] == [float, float, float]


@pytest.mark.parametrize(
    ("measure", "words"), [(1234.567, "1,234.6"), (0.0, "0.0"), (None, "undefined")]
)
def test_a_measure_is_a_figure_or_a_word(measure: float | None, words: str) -> None:
    """A measure is written in the form asked for, and one without value as a word."""
    assert in_words(measure, ",.1f") == words
