"""Fold rows into the cells of a grid, on which trees train as on the rows.

With squared error, a leaf's value and a split's gain depend on its rows only through
their number and the sum of their targets. Rows that share a cell always share a leaf,
so a cell's mean target, weighted by its number of rows, represents all of them: trees
grown on the cells are equal to trees grown on the rows with each input replaced by its
level. Ke et al., 'LightGBM' (NIPS 2017), section 2.1, reduces rows to such bins before it
sums.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from stock_volume.arrays import Floats, Indices
from stock_volume.boosters import split_between

_SAMPLE: Final = 200_000


class Grid(NamedTuple):
    """A grid over the inputs: some levels of each, and one cell per combination.

    Attributes:
        levels: Ascending levels of each input, none negative. A value belongs to the
            nearest one, split as the booster's library splits.
    """

    levels: tuple[Floats, ...]

    @property
    def size(self) -> int:
        """Number of cells."""
        return int(np.prod([len(levels) for levels in self.levels]))

    def locate(self, inputs: Sequence[Floats]) -> Indices:
        """Find the cell of each row.

        Args:
            inputs: One array of shape (n,) per input.

        Returns:
            Cell numbers, shape (n,).
        """
        cells = np.zeros(len(inputs[0]), dtype=np.int64)
        for levels, values in zip(self.levels, inputs, strict=True):
            cells *= len(levels)
            cells += np.searchsorted(split_between(levels), values)
        return cells

    def points(self, cells: Indices) -> Floats:
        """Return the levels of cells.

        Args:
            cells: Cell numbers, shape (m,).

        Returns:
            Their levels, shape (m, inputs).
        """
        positions = np.unravel_index(cells, [len(levels) for levels in self.levels])
        return np.column_stack(
            [levels[position] for levels, position in zip(self.levels, positions, strict=True)]
        )


class Cells(NamedTuple):
    """The cells that hold rows.

    Attributes:
        points: Levels of each cell, shape (m, inputs).
        mean: Mean target of its rows, shape (m,).
        rows: Number of its rows, shape (m,).
    """

    points: Floats
    mean: Floats
    rows: Floats


def make_grid(
    inputs: Sequence[Floats], target: Floats, size: int, volume_share: float, seed: int
) -> Grid:
    """Choose levels at quantiles of a sample of rows.

    The error of volumes, in shares, comes from the few rows of high volume, to which
    quantiles of the rows alone would give one coarse level. So part of a row's weight is
    its share of all volume.

    Args:
        inputs: One array of shape (n,) per input.
        target: Volumes, shape (n,), not negative.
        size: Maximum number of levels of an input.
        volume_share: Part of the weight that is proportional to volume, in [0, 1].
        seed: Seed of the sample.

    Returns:
        The grid.
    """
    rows = len(target)
    generator = np.random.default_rng(seed)
    sample = generator.choice(rows, _SAMPLE, replace=False) if rows > _SAMPLE else np.arange(rows)
    volume = target[sample]
    weight = np.full(len(sample), (1 - volume_share) / len(sample))
    weight += volume_share * volume / max(float(volume.sum()), 1.0)
    return Grid(tuple(_quantiles(values[sample], weight, size) for values in inputs))


def _quantiles(values: Floats, weight: Floats, size: int) -> Floats:
    """Distinct values at ``size`` evenly spaced weighted quantiles."""
    order = np.argsort(values, kind="stable")
    cumulated = np.cumsum(weight[order])
    at = np.searchsorted(cumulated, np.linspace(0, cumulated[-1], size))
    levels: Floats = np.unique(values[order][np.minimum(at, len(values) - 1)])
    return levels


def fold(grid: Grid, cells: Indices, target: Floats) -> Cells:
    """Fold rows into the cells of a grid.

    Args:
        grid: The grid.
        cells: Cell of each row, shape (n,).
        target: Target of each row, shape (n,).

    Returns:
        The cells that hold rows.
    """
    count = np.bincount(cells, minlength=grid.size)
    total = np.bincount(cells, weights=target, minlength=grid.size)
    held = np.flatnonzero(count)
    return Cells(grid.points(held), total[held] / count[held], count[held].astype(np.float64))
