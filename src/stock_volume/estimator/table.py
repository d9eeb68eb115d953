"""The estimator as a table: all its answers, worked out once.

A tree asks whether an input is at most a threshold, so the sum of trees is constant between
neighbouring thresholds: a few hundred by a few hundred values say all that the booster can.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from stock_volume import columns
from stock_volume.metrics import Floats

if TYPE_CHECKING:  # it takes a second to import
    from lightgbm import Booster


class EstimateTable:
    """Answers what the booster would, by looking it up."""

    def __init__(self, booster: "Booster") -> None:
        """Ask the booster once for each cell between its thresholds.

        Args:
            booster: Of the two inputs, in the order of ``columns.ESTIMATOR_INPUTS``.

        Raises:
            ValueError: The booster has other inputs, or splits that are no thresholds.
        """
        if booster.num_feature() != len(columns.ESTIMATOR_INPUTS):
            raise ValueError(f"the estimator has {booster.num_feature()} inputs, not two")
        found: list[set[float]] = [set() for _ in columns.ESTIMATOR_INPUTS]
        for tree in booster.dump_model()["tree_info"]:
            for split in _splits(tree["tree_structure"]):
                if split["decision_type"] != "<=":
                    raise ValueError(f"the estimator has a split by {split['decision_type']}")
                found[split["split_feature"]].add(split["threshold"])
        self._edges = [np.array(sorted(thresholds)) for thresholds in found]
        # A cell is (edge before, edge], so its own edge stands for it.
        ends = [np.append(edges, np.finfo(np.float64).max) for edges in self._edges]
        cells = np.column_stack([axis.ravel() for axis in np.meshgrid(*ends, indexing="ij")])
        answers = np.asarray(booster.predict(cells, num_threads=1))
        shape = [len(axis) for axis in ends]
        self._volumes = np.maximum(np.rint(answers), 0).astype(np.int64).reshape(shape)

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


def _splits(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if "split_feature" in node:
            yield node
            waiting += [node["left_child"], node["right_child"]]
