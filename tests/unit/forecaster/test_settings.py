"""How boosters are grown on few and on many rows."""

import numpy as np
import pytest

from stock_volume.forecaster.parameters import ForecasterParameters
from stock_volume.forecaster.settings import Split, mean_settings, quantile_settings


@pytest.mark.parametrize(
    ("given", "rows", "threads"),
    [(0, 49_999, 1), (0, 50_000, 0), (0, 10**7, 0), (3, 49_999, 3), (1, 10**7, 1)],
)
def test_few_rows_have_one_thread(given: int, rows: int, threads: int) -> None:
    """All cores only serve boosters of many rows; a number that the user chose counts."""
    parameters = ForecasterParameters(num_threads=given)
    assert mean_settings(rows, parameters).num_threads == threads
    assert quantile_settings(rows, 0.5, parameters).num_threads == threads


def test_sampled_rows_count() -> None:
    """A booster of a small sample of many rows has one thread, too."""
    parameters = ForecasterParameters(max_rows=1000)
    assert mean_settings(10**7, parameters).num_threads == 1


@pytest.mark.parametrize(("rows", "leaf"), [(500, 20), (10_000, 100), (10**6, 500)])
def test_leaves_of_few_rows_are_smaller(rows: int, leaf: int) -> None:
    """A leaf has a hundredth of the rows, but no fewer than 20 and no more than configured."""
    assert mean_settings(rows, ForecasterParameters()).min_rows_in_leaf == leaf


def test_boosters_have_seeds_of_their_own() -> None:
    """The position of a booster changes its seed and nothing else."""
    parameters = ForecasterParameters()
    first, second = (mean_settings(1000, parameters, number) for number in (0, 1))
    assert second.seed == first.seed + 1
    assert second.trees == parameters.n_estimators
    quantile = quantile_settings(1000, 0.1, parameters)
    assert (quantile.quantile, quantile.trees) == (0.1, parameters.quantile_trees)


def test_rows_of_a_split_are_early_or_late() -> None:
    """The number of trees is chosen for all of them."""
    assert Split(np.arange(7), np.arange(7, 10)).rows == 10
