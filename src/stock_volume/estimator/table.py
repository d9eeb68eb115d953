"""The estimator as a lookup table of all its answers.

A tree asks whether an input is at most a threshold, so the sum of trees is constant between
neighbouring thresholds: a few hundred by a few hundred values hold every answer.
"""

import numpy as np
from numpy.typing import ArrayLike

from stock_volume import columns
from stock_volume.arrays import Floats
from stock_volume.boosters import Booster


class EstimateTable:
    """Looks up what the booster would predict."""

    def __init__(self, booster: Booster) -> None:
        """Predict each cell between the booster's thresholds once.

        Args:
            booster: Booster of the two inputs, in the order of ``columns.ESTIMATOR_INPUTS``.

        Raises:
            ValueError: The booster has other inputs, or predictions that are not constant
                between thresholds.
        """
        self._edges = booster.thresholds()
        if len(self._edges) != len(columns.ESTIMATOR_INPUTS):
            raise ValueError(f"the estimator has {len(self._edges)} inputs, not two")
        # A cell is (edge before, edge], so its own edge represents it.
        ends = [np.append(edges, np.finfo(np.float64).max) for edges in self._edges]
        cells = np.column_stack([axis.ravel() for axis in np.meshgrid(*ends, indexing="ij")])
        predicted = booster.predict(cells, num_threads=1)
        shape = [len(axis) for axis in ends]
        self._volumes = np.maximum(np.rint(predicted), 0).astype(np.int64).reshape(shape)

    def estimate(self, vol_moving_avg: float, adj_close_rolling_med: float) -> int:
        """Estimate one volume.

        Args:
            vol_moving_avg: Mean volume of 30 calendar days, in shares.
            adj_close_rolling_med: Median adjusted close of the same days, in dollars.

        Returns:
            Shares, not negative.
        """
        first, second = self._edges
        return int(
            self._volumes[
                first.searchsorted(vol_moving_avg), second.searchsorted(adj_close_rolling_med)
            ]
        )

    def estimate_many(self, inputs: ArrayLike) -> list[int]:
        """Estimate many volumes.

        Args:
            inputs: The two averages of each, shape (n, 2).

        Returns:
            Shares, n of them.
        """
        pairs: Floats = np.asarray(inputs, dtype=np.float64)
        places = [edges.searchsorted(pairs[:, axis]) for axis, edges in enumerate(self._edges)]
        volumes: list[int] = self._volumes[places[0], places[1]].tolist()
        return volumes
