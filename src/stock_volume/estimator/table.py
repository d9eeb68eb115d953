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
            ValueError: The booster has other inputs, splits that are no thresholds, or
                leaves that are no constants.
        """
        if booster.num_feature() != len(columns.ESTIMATOR_INPUTS):
            raise ValueError(f"the estimator has {booster.num_feature()} inputs, not two")
        found: list[set[float]] = [set() for _ in columns.ESTIMATOR_INPUTS]
        for tree in booster.dump_model()["tree_info"]:
            for node in _nodes(tree["tree_structure"]):
                _check(node)
                if "split_feature" in node:
                    found[node["split_feature"]].add(node["threshold"])
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


def _nodes(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if "split_feature" in node:
            waiting += [node["left_child"], node["right_child"]]


def _check(node: dict[str, Any]) -> None:
    """Refuse what is not constant between thresholds: categories, missing zeros, lines."""
    if "split_feature" in node and node["decision_type"] != "<=":
        raise ValueError(f"the estimator has a split by {node['decision_type']}")
    if node.get("missing_type") == "Zero":
        raise ValueError("the estimator takes zero for missing")
    if "leaf_const" in node:
        raise ValueError("the estimator has linear leaves")
