"""The grid that rows are folded into, and LightGBM's trees on its cells."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_volume.arrays import Floats, Indices
from stock_volume.boosters import FittedRegressor
from stock_volume.estimator.grid import Grid, fold, make_grid
from stock_volume.estimator.train import EstimatorParameters, fit_cells, predict_cells

if TYPE_CHECKING:
    from lightgbm import LGBMRegressor

PARAMETERS = EstimatorParameters(n_estimators=50)
Levels = st.lists(st.integers(1, 10**6), min_size=1, max_size=12, unique=True).map(sorted)


class Rows(NamedTuple):
    """Rows of the shape of the real ones: heavy tails, and days without trades."""

    inputs: tuple[Floats, Floats]
    volume: Floats


def _rows(seed: int, count: int = 20_000) -> Rows:
    random = np.random.default_rng(seed)
    volume = np.round(random.lognormal(11, 2.5, count)) * (random.random(count) > 0.03)
    average = volume * random.lognormal(0, 0.5, count) * (random.random(count) > 0.02)
    return Rows((average, np.round(random.lognormal(3, 1.2, count), 2)), volume)


def _grid_of(rows: Rows, size: int = 251) -> Grid:
    return make_grid(rows.inputs, rows.volume, size, volume_share=0.5, seed=42)


def _fit_rows(inputs: Floats, volume: Floats) -> "LGBMRegressor":
    """Fit LightGBM to rows, with the estimator's parameters."""
    from lightgbm import LGBMRegressor

    model = LGBMRegressor(
        n_estimators=PARAMETERS.n_estimators,
        num_leaves=PARAMETERS.num_leaves,
        learning_rate=PARAMETERS.learning_rate,
        min_child_samples=PARAMETERS.min_rows_in_leaf,
        min_child_weight=0,
        min_data_in_bin=1,
        random_state=PARAMETERS.random_state,
        n_jobs=1,
        deterministic=True,
        force_row_wise=True,
        verbose=-1,
    )
    return model.fit(inputs, volume)


def _predict(model: FittedRegressor, *inputs: Floats) -> Floats:
    return np.asarray(model.booster_.predict(np.column_stack(inputs), num_threads=1))


@pytest.mark.parametrize(
    ("value", "cell"),
    [(-5.0, 0), (1.0, 0), (1.9, 0), (2.0, 0), (2.1, 1), (3.0, 1), (6.4, 1), (6.6, 2), (99.0, 2)],
)
def test_a_value_belongs_to_the_nearest_level(value: float, cell: int) -> None:
    """A value's cell is that of its nearest level, of the lower one at a midpoint."""
    grid = Grid((np.array([1.0, 3.0, 10.0]),))
    assert grid.locate([np.array([value])]).tolist() == [cell]


@settings(deadline=None)
@given(
    first=Levels,
    second=Levels,
    rows=st.lists(st.tuples(st.floats(0, 2e6), st.floats(0, 2e6)), min_size=1, max_size=20),
)
def test_no_level_is_nearer_than_that_of_the_cell(
    first: list[int], second: list[int], rows: list[tuple[float, float]]
) -> None:
    """Of each input, the level of a row's cell is as near as any."""
    grid = Grid((np.array(first, dtype=np.float64), np.array(second, dtype=np.float64)))
    inputs = np.array(rows)
    points = grid.points(grid.locate([inputs[:, 0], inputs[:, 1]]))
    for column, levels in enumerate(grid.levels):
        nearest = np.abs(levels[None, :] - inputs[:, [column]]).min(axis=1)
        np.testing.assert_allclose(np.abs(points[:, column] - inputs[:, column]), nearest)


@pytest.mark.parametrize("value", [1e-3, 0.5, 3.9])
def test_the_level_zero_is_for_zero_alone(value: float) -> None:
    """As LightGBM keeps a bin for zero, a small value belongs to the level above zero."""
    grid = Grid((np.array([0.0, 8.0]),))
    assert grid.locate([np.array([0.0, value])]).tolist() == [0, 1]


def test_cells_and_points_are_inverse() -> None:
    """Each cell's point lies in that cell, and no two cells share one."""
    grid = Grid((np.array([0.0, 1.0, 7.0]), np.array([2.0, 3.0]), np.array([5.0, 6.0, 8.0, 9.0])))
    cells = np.arange(grid.size)
    points = grid.points(cells)
    assert points.shape == (24, 3)
    assert np.unique(points, axis=0).shape == (24, 3)
    np.testing.assert_array_equal(grid.locate(list(points.T)), cells)


@pytest.mark.parametrize("size", [2, 7, 251])
def test_folding_sums_as_a_group_by_does(size: int) -> None:
    """Each cell that holds rows has their number and mean target, and no other is there."""
    rows = _rows(0)
    grid = _grid_of(rows, size)
    cells = grid.locate(rows.inputs)
    folded = fold(grid, cells, rows.volume)
    groups = (
        pl.DataFrame({"cell": cells, "volume": rows.volume})
        .to_pandas()
        .groupby("cell")["volume"]
        .agg(["mean", "count"])
    )
    np.testing.assert_array_equal(folded.points, grid.points(groups.index.to_numpy()))
    np.testing.assert_allclose(folded.mean, groups["mean"].to_numpy(), rtol=1e-12)
    np.testing.assert_array_equal(folded.rows, groups["count"].to_numpy())
    assert folded.rows.sum() == len(rows.volume)
    assert folded.mean @ folded.rows == pytest.approx(rows.volume.sum())


def test_levels_are_quantiles_of_the_rows() -> None:
    """Without a share by volume, levels part the rows evenly, from the least to the greatest."""
    values = np.random.default_rng(0).permutation(1000).astype(np.float64)
    (levels,) = make_grid([values], np.ones(1000), 11, volume_share=0, seed=0).levels
    np.testing.assert_allclose(levels, np.linspace(0, 999, 11), atol=1)


@pytest.mark.parametrize("volume_share", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_levels_are_values_of_the_rows_with_the_extremes(seed: int, volume_share: float) -> None:
    """Levels ascend, are values that occur, include both extremes and are not too many."""
    rows = _rows(seed, 3000)
    grid = make_grid(rows.inputs, rows.volume, 40, volume_share, seed=0)
    for levels, values in zip(grid.levels, rows.inputs, strict=True):
        assert 30 < len(levels) <= 40
        assert (np.diff(levels) > 0).all()
        assert np.isin(levels, values).all()
        assert (levels[0], levels[-1]) == (values.min(), values.max())


def test_share_by_volume_moves_levels_to_high_volumes() -> None:
    """The larger the share by volume, the more levels lie among the rows of high volume."""
    rows = _rows(0)
    high = np.quantile(rows.inputs[0], 0.9)
    above = [
        int((make_grid(rows.inputs, rows.volume, 100, share, 0).levels[0] > high).sum())
        for share in (0.0, 0.5, 1.0)
    ]
    assert above[0] == pytest.approx(10, abs=2)
    assert above[0] + 20 < above[1] < above[2] - 20


@pytest.mark.parametrize("volume", [0.0, 5.0])
@pytest.mark.parametrize("volume_share", [0.0, 0.5, 1.0])
def test_constant_inputs_make_one_cell(volume: float, volume_share: float) -> None:
    """Inputs that do not vary have one level, which holds every row."""
    inputs = [np.full(20, 3.0), np.zeros(20)]
    target = np.full(20, volume)
    grid = make_grid(inputs, target, 251, volume_share, seed=42)
    assert [levels.tolist() for levels in grid.levels] == [[3.0], [0.0]]
    folded = fold(grid, grid.locate(inputs), target)
    assert (folded.mean.tolist(), folded.rows.tolist()) == ([volume], [20.0])


def test_levels_of_many_rows_come_from_a_seeded_sample() -> None:
    """Of more rows than the sample takes, the seed alone chooses the levels."""
    values = np.random.default_rng(0).random(200_001)
    grids = [make_grid([values], values, 50, 0.5, seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(grids[0].levels[0], grids[1].levels[0])
    assert not np.array_equal(grids[0].levels[0], grids[2].levels[0])


@pytest.mark.parametrize("seed", range(3))
def test_trees_on_cells_are_those_on_rows(seed: int) -> None:
    """Fitted to cells of as many rows each, trees predict as those fitted to the rows.

    The rows have each input replaced by its level, and differ in volume.
    """
    random = np.random.default_rng(seed)
    grid = Grid(
        (
            np.array([number**3 for number in range(25)], dtype=np.float64),
            np.array([number**2 for number in range(1, 21)], dtype=np.float64),
        )
    )
    cells = random.permutation(np.repeat(np.arange(grid.size), 40))
    levels = grid.points(cells)
    volume = np.round((1000 + levels[:, 0] + 20 * levels[:, 1]) * random.lognormal(0, 1, 20_000))
    folded = fit_cells(fold(grid, cells, volume), PARAMETERS)
    plain = _fit_rows(levels, volume)
    np.testing.assert_allclose(
        predict_cells(folded, grid, PARAMETERS)[cells], _predict(plain, *levels.T), rtol=1e-6
    )


@pytest.mark.parametrize("size", [251, 60])
@pytest.mark.parametrize("seed", range(2))
def test_trees_on_uneven_cells_are_those_on_rows(seed: int, size: int) -> None:
    """So they do where cells hold any number of rows, from one to thousands."""
    rows = _rows(seed)
    grid = _grid_of(rows, size)
    cells = grid.locate(rows.inputs)
    folded = fit_cells(fold(grid, cells, rows.volume), PARAMETERS)
    levels = grid.points(cells)
    plain = _predict(_fit_rows(levels, rows.volume), *levels.T)
    on_cells = predict_cells(folded, grid, PARAMETERS)[cells]
    np.testing.assert_allclose(on_cells, plain, rtol=1e-6)
    assert np.mean((plain - rows.volume) ** 2) < 0.5 * rows.volume.var()


class Fitted(NamedTuple):
    """A grid and the trees on its cells."""

    rows: Rows
    grid: Grid
    cells: Indices
    model: FittedRegressor


@pytest.fixture(scope="module", params=[251, 12], ids=["fine", "coarse"])
def fitted(request: pytest.FixtureRequest) -> Fitted:
    rows = _rows(5)
    grid = _grid_of(rows, request.param)
    cells = grid.locate(rows.inputs)
    return Fitted(rows, grid, cells, fit_cells(fold(grid, cells, rows.volume), PARAMETERS))


def _assert_rows_predict_as_their_cells(fitted: Fitted, inputs: tuple[Floats, Floats]) -> None:
    raw = _predict(fitted.model, *inputs)
    of_cells = predict_cells(fitted.model, fitted.grid, PARAMETERS)[fitted.grid.locate(inputs)]
    np.testing.assert_array_equal(raw, of_cells)


def test_booster_predicts_each_row_as_its_cell(fitted: Fitted) -> None:
    """The booster gives every row of the training data the very prediction of its cell."""
    assert len(np.unique(predict_cells(fitted.model, fitted.grid, PARAMETERS))) > 50
    _assert_rows_predict_as_their_cells(fitted, fitted.rows.inputs)


def test_booster_predicts_unseen_rows_as_their_cells(fitted: Fitted) -> None:
    """So it does for rows it has not seen, among them some beyond the outermost levels."""
    average, price = _rows(6).inputs
    _assert_rows_predict_as_their_cells(fitted, (average * 3, price / 3))


@pytest.mark.parametrize("column", [0, 1])
def test_booster_predicts_midpoints_and_zeros_as_their_cells(fitted: Fitted, column: int) -> None:
    """So it does exactly at the midpoints of levels, just before them, and about zero."""
    levels, others = fitted.grid.levels[column], fitted.grid.levels[1 - column]
    midpoints = (levels[:-1] + levels[1:]) / 2
    about_zero = [0.0, -0.0, 1e-320, 1e-36, 2e-35, 1e-6, 1 / 30, levels[1] / 2]
    values = np.concatenate(
        [
            levels,
            midpoints,
            np.nextafter(midpoints, 0),
            np.nextafter(midpoints, np.inf),
            midpoints * (1 + 1e-12),
            about_zero,
        ]
    )
    some = others[:: max(1, len(others) // 10)]
    pair = np.repeat(values, len(some)), np.tile(some, len(values))
    _assert_rows_predict_as_their_cells(fitted, pair if column == 0 else pair[::-1])


def test_zero_is_a_level_of_its_own(fitted: Fitted) -> None:
    """The rows above have zeros that the grid keeps, so that the tests of zero test it."""
    assert fitted.grid.levels[0][0] == 0
    assert (fitted.rows.inputs[0] == 0).sum() > 100
    assert len(np.unique(fitted.cells)) > 50
