"""Folding of rows into the cells of a grid, over which LightGBM trains as over the rows.

With squared error, a leaf's value and a split's gain depend on its rows only through
their number and the sum of their targets. Rows that share a cell always share a leaf,
so a cell's mean target, weighted by its number of rows, stands for all of them: trees
grown on the cells are those grown on the rows, each input replaced by its level. Ke et
al., 'LightGBM' (NIPS 2017), section 2.1, reduces rows to such bins before it sums.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stock_volume.metrics import Floats

_SAMPLE: Final = 200_000
_ZERO: Final = float(np.float32(1e-35))
"""Half-width of the bin that LightGBM keeps for zero (kZeroThreshold)."""

Indices = npt.NDArray[np.int64]


class Grid(NamedTuple):
    """A grid over the inputs: some levels of each, and one cell a combination.

    Attributes:
        levels: Ascending levels of each input, none negative. A value belongs to the
            nearest one, as LightGBM sees it.
    """

    levels: tuple[Floats, ...]

    @property
    def size(self) -> int:
        """Number of cells."""
        return int(np.prod([len(levels) for levels in self.levels]))

    def cell_of(self, inputs: Sequence[Floats]) -> Indices:
        """Tell the cell of each row.

        Args:
            inputs: One array of shape (n,) an input.

        Returns:
            Cell numbers, shape (n,).
        """
        cells = np.zeros(len(inputs[0]), dtype=np.int64)
        for levels, values in zip(self.levels, inputs, strict=True):
            cells *= len(levels)
            cells += np.searchsorted(_thresholds(levels), values)
        return cells

    def points(self, cells: Indices) -> Floats:
        """Tell the levels of cells.

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


def _thresholds(levels: Floats) -> Floats:
    """Where LightGBM parts neighbouring levels: midway, but close beside zero."""
    midways: Floats = np.nextafter((levels[:-1] + levels[1:]) / 2, np.inf)
    midways[levels[:-1] == 0] = _ZERO
    midways[levels[1:] == 0] = -_ZERO
    return midways


def make_grid(
    inputs: Sequence[Floats], target: Floats, size: int, volume_share: float, seed: int
) -> Grid:
    """Choose levels at quantiles of a sample of rows.

    The error of volumes, in shares, is made by the rows of high volume, which are few:
    quantiles of the rows alone would leave them one coarse level. So a part of a row's
    weight is its share of all volume.

    Args:
        inputs: One array of shape (n,) an input.
        target: Volumes, shape (n,), not negative.
        size: Most levels of an input.
        volume_share: Part of the weight that goes by volume, in [0, 1].
        seed: Of the sample.

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
    """Values at ``size`` evenly spaced weighted quantiles, each once."""
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
