"""Gradient-boosted trees: fit, load, predict and inspect them.

This is the one module that calls LightGBM. Another library takes its place here: the rest of
the package knows boosters by their text, their predictions and the functions below.

LightGBM takes a second to import, and most runs need none of it: it is imported where used.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import numpy as np
import numpy.typing as npt

from stock_volume.arrays import Floats, Indices, Matrix
from stock_volume.progress import progress

if TYPE_CHECKING:
    import lightgbm

# LightGBM's threads wait for each other many times per tree. If they sleep at once, waking them can
# take longer than the work; if they spin for milliseconds, as by default, they stall each other
# on a busy machine. OpenMP reads the variable when it is loaded; a user's own value counts.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

LIBRARY: Final = "LightGBM"

_MAX_BINS: Final = 255
_RESERVED_BINS: Final = 4
"""Bins that LightGBM may need besides the levels: zero, NaN, and -1 (see fit_regressor)."""

MAX_LEVELS: Final = _MAX_BINS - _RESERVED_BINS
"""Distinct values of an input that ``fit_regressor`` can distinguish."""

BIN_SAMPLE_ROWS: Final = 200_000
"""Maximum number of rows that bins are chosen for: LightGBM's bin_construct_sample_cnt."""

_ZERO: Final = float(np.float32(1e-35))
"""Half-width of the bin that LightGBM keeps for zero (kZeroThreshold)."""

_THREADS: Final = re.compile(r"\[num_threads: \d+\]")
"""Setting in a booster's text that does not change the booster."""

Setting = str | int | float | bool
"""Value of a parameter of LightGBM."""

Node = dict[str, Any]
"""A node of a tree as LightGBM dumps it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoosterSettings:
    """How a booster is grown.

    Attributes:
        trees: Number of trees.
        learning_rate: Shrinkage of each tree.
        leaves: Maximum number of leaves of a tree.
        seed: Seed of all sampling.
        min_rows_in_leaf: Minimum number of rows in a leaf.
        feature_fraction: Share of the features that a tree may use.
        bagging_fraction: Share of the rows that a tree is grown on.
        lambda_l2: L2 regularisation of the leaves.
        max_bin: Maximum number of bins of a feature.
        quantized: Whether to sum quantized gradients.
        num_threads: Threads; 0 for all cores.
        quantile: Level of the quantile to predict; None to predict the mean.
    """

    trees: int
    learning_rate: float
    leaves: int
    seed: int
    min_rows_in_leaf: int
    feature_fraction: float
    bagging_fraction: float
    lambda_l2: float
    max_bin: int
    quantized: bool
    num_threads: int
    quantile: float | None = None


class Booster:
    """A trained booster."""

    def __init__(self, trained: "lightgbm.Booster") -> None:
        """Wrap what the library trained.

        Args:
            trained: The library's booster.
        """
        self._trained = trained

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Load a booster.

        Args:
            text: What ``to_text`` returned.

        Returns:
            An equal booster.
        """
        from lightgbm import Booster as LightGBMBooster

        return cls(LightGBMBooster(model_str=text))

    def to_text(self) -> str:
        """Return the booster in the library's text format, without the number of threads."""
        return _THREADS.sub("[num_threads: 0]", self._trained.model_to_string())

    def predict(self, inputs: Matrix, num_threads: int = 0) -> Floats:
        """Predict rows.

        Args:
            inputs: Features, shape (n, features).
            num_threads: Threads; 0 for all cores.

        Returns:
            Predictions, shape (n,).
        """
        return np.asarray(self._trained.predict(inputs, num_threads=num_threads), dtype=np.float64)

    def contributions(self, inputs: Matrix, num_threads: int = 0) -> Floats:
        """Divide predictions among the features, by TreeSHAP (Lundberg et al., 2018).

        Args:
            inputs: Features, shape (n, features).
            num_threads: Threads; 0 for all cores.

        Returns:
            Contribution of each feature and, last, the mean prediction in training, shape
            (n, features + 1). A row's sum is its prediction.
        """
        return np.asarray(
            self._trained.predict(inputs, num_threads=num_threads, pred_contrib=True),
            dtype=np.float64,
        )

    def gains(self) -> Floats:
        """Return the total gain of the splits of each feature, shape (features,)."""
        return np.asarray(self._trained.feature_importance("gain"), dtype=np.float64)

    def thresholds(self) -> list[Floats]:
        """List the thresholds of each feature, ascending.

        Predictions are constant between neighbouring thresholds: a row goes left where its
        value is at most the threshold.

        Returns:
            One array per feature.

        Raises:
            ValueError: A split is not a threshold, or a leaf is not a constant.
        """
        found: list[set[float]] = [set() for _ in range(self._trained.num_feature())]
        for tree in self._trained.dump_model()["tree_info"]:
            for node in _walk(tree["tree_structure"]):
                _check_constant_between_thresholds(node)
                if "split_feature" in node:
                    found[node["split_feature"]].add(node["threshold"])
        return [np.array(sorted(thresholds)) for thresholds in found]

    def largest_inputs(self) -> dict[str, float]:
        """Return the largest value of each feature in training.

        Returns:
            Values by feature; a feature that did not vary may be left out.
        """
        infos = self._trained.dump_model(num_iteration=1)["feature_infos"]
        return {name: float(info["max_value"]) for name, info in infos.items()}


def _walk(tree: Node) -> Iterator[Node]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if "split_feature" in node:
            waiting += [node["left_child"], node["right_child"]]


def _check_constant_between_thresholds(node: Node) -> None:
    """Refuse splits by category, zeros taken for missing, and linear leaves."""
    if "split_feature" in node and node["decision_type"] != "<=":
        raise ValueError(f"the booster has a split by {node['decision_type']}")
    if node.get("missing_type") == "Zero":
        raise ValueError("the booster takes zero for missing")
    if "leaf_const" in node:
        raise ValueError("the booster has linear leaves")


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows of a training set, which are read when they are needed.

    Attributes:
        rows: Number of rows.
        read: Reads their features, shape (rows, features), row after row.
    """

    rows: int
    read: Callable[[], Matrix]


def split_by_block(heights: Sequence[int], positions: Indices) -> list[Indices]:
    """Split positions of rows by block.

    Args:
        heights: Number of rows of each block.
        positions: Positions in all blocks together, ascending.

    Returns:
        The positions in each block, counted from its start.
    """
    starts = np.cumsum([0, *heights[:-1]])
    parts = np.split(positions, np.searchsorted(positions, starts[1:]))
    return [part - start for part, start in zip(parts, starts, strict=True)]


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Rows to fit boosters to, binned once; parts of them share the bins.

    Attributes:
        binned: The library's data set; see ``bin_rows``.
    """

    binned: "lightgbm.Dataset"

    def subset(self, rows: npt.NDArray[np.intp], target: Floats | None = None) -> "TrainingSet":
        """Select rows.

        Args:
            rows: Their positions, ascending.
            target: Another target, of all rows; None for the same.

        Returns:
            The rows, with the bins of all.
        """
        part = self.binned.subset(rows)  # type: ignore[arg-type]  # not only lists
        if target is not None:
            part.construct().set_label(target[rows])
        return TrainingSet(part)

    def fit(self, settings: BoosterSettings) -> Booster:
        """Fit a booster to the rows.

        Args:
            settings: How to grow it.

        Returns:
            The booster.
        """
        import lightgbm

        with progress(f"fitting {_describe(settings)}", settings.trees, "trees") as advance:
            return Booster(
                lightgbm.train(
                    lightgbm_parameters(settings), self.binned, callbacks=[lambda _: advance(1)]
                )
            )

    def count_trees(self, late: "TrainingSet", settings: BoosterSettings, patience: int) -> int:
        """Count the trees of a booster of these rows that predict other rows best.

        Args:
            late: Rows of the same bins, not among these.
            settings: How to grow the booster; ``trees`` is the most.
            patience: Trees without progress before the search stops.

        Returns:
            The number of trees with the lowest squared error on ``late``.
        """
        import lightgbm

        with progress("choosing the number of trees, at most", settings.trees, "trees") as advance:
            booster = lightgbm.train(
                {**lightgbm_parameters(settings), "metric": "l2"},
                self.binned,
                valid_sets=[late.binned],
                callbacks=[
                    lambda _: advance(1),
                    lightgbm.early_stopping(patience, verbose=False),
                ],
            )
        return booster.best_iteration


def _describe(settings: BoosterSettings) -> str:
    return "the mean" if settings.quantile is None else f"the quantile {settings.quantile:g}"


def estimate_memory(rows: int, sample: int, features: int, block_rows: int) -> int:
    """Estimate the memory that binning and fitting need.

    Args:
        rows: Rows to bin.
        sample: Rows of the largest subset that a booster is fitted to.
        features: Number of features.
        block_rows: Rows of a block.

    Returns:
        Bytes: a byte per bin, the rows for which bins are chosen as Python rows and as two
        matrices, and a block as read, as a matrix and as being read.
    """
    chosen_for = min(rows, BIN_SAMPLE_ROWS)
    return features * (rows + sample + 24 * chosen_for + 3 * 4 * block_rows)


def bin_rows(
    blocks: Sequence[Block],
    target: Floats,
    weights: Floats,
    names: Sequence[str],
    settings: BoosterSettings,
) -> TrainingSet:
    """Bin rows for training, one block at a time.

    Each block is read twice: the bins are chosen for a sample of all rows first.

    Args:
        blocks: Features of n rows.
        target: Targets, shape (n,).
        weights: Weights of the rows, shape (n,).
        names: Names of the features.
        settings: How boosters are grown, of which the number of bins matters here.

    Returns:
        The training set.
    """
    from lightgbm import Dataset

    binned = Dataset(
        _as_sequences(blocks),
        target,
        weight=weights,
        feature_name=list(names),
        params=_common_parameters(settings),
        free_raw_data=True,
    )
    return TrainingSet(binned.construct())


def _as_sequences(blocks: Sequence[Block]) -> "list[lightgbm.Sequence]":
    """Let LightGBM read blocks. It asks for a few rows at a time, so the latest block is kept."""

    @lru_cache(maxsize=1)
    def read(number: int) -> Matrix:
        return blocks[number].read()

    make = _sequence_class()
    return [make(partial(read, n), block.rows) for n, block in enumerate(blocks) if block.rows]


@cache  # a class for each training set would keep its rows until Python looks for cycles
def _sequence_class() -> "Callable[[Callable[[], Matrix], int], lightgbm.Sequence]":
    from lightgbm import Sequence as RowSequence

    class ReadBlock(RowSequence):
        def __init__(self, read: Callable[[], Matrix], rows: int) -> None:
            self._read = read
            self._rows = rows

        def __getitem__(self, rows: "int | slice | list[int]") -> Matrix:
            matrix = self._read()
            # Single rows are the sample that bins are chosen for, which must be of doubles.
            return matrix[rows] if isinstance(rows, slice) else matrix[rows].astype(np.float64)

        def __len__(self) -> int:
            return self._rows

    return ReadBlock


def _common_parameters(settings: BoosterSettings) -> dict[str, Setting]:
    return {
        "min_data_in_leaf": settings.min_rows_in_leaf,
        "feature_fraction": settings.feature_fraction,
        "bagging_fraction": settings.bagging_fraction,
        "bagging_freq": 1,
        "lambda_l2": settings.lambda_l2,
        "max_bin": settings.max_bin,
        "use_quantized_grad": settings.quantized,
        "num_threads": settings.num_threads,
        "deterministic": True,
        "force_row_wise": True,
        "feature_pre_filter": False,
        "verbosity": -1,
    }


def lightgbm_parameters(settings: BoosterSettings) -> dict[str, Setting]:
    """Translate settings to the parameters of ``lightgbm.train``.

    Args:
        settings: How to grow a booster.

    Returns:
        Parameters by LightGBM's names.
    """
    objective: dict[str, Setting] = {"objective": "regression"}
    if settings.quantile is not None:
        objective = {"objective": "quantile", "alpha": settings.quantile}
    return {
        **_common_parameters(settings),
        **objective,
        "num_iterations": settings.trees,
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "seed": settings.seed,
    }


class FittedRegressor(Protocol):
    """The fitted scikit-learn regressor that ``fit_regressor`` returns."""

    @property
    def booster_(self) -> Any:
        """The library's booster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressorSettings:
    """How a regressor of weighted cells is grown.

    Attributes:
        trees: Number of trees.
        learning_rate: Shrinkage of each tree.
        leaves: Maximum number of leaves of a tree.
        min_weight_in_leaf: Minimum sum of the weights in a leaf.
        seed: Seed of all sampling.
        num_threads: Threads; with one, equal input gives equal regressors.
    """

    trees: int
    learning_rate: float
    leaves: int
    min_weight_in_leaf: float
    seed: int
    num_threads: int


def fit_regressor(
    inputs: Floats,
    target: Floats,
    weights: Floats,
    names: Sequence[str],
    settings: RegressorSettings,
) -> FittedRegressor:
    """Fit a scikit-learn regressor to weighted cells.

    Args:
        inputs: Non-negative inputs, shape (n, inputs), of at most ``MAX_LEVELS`` distinct
            values each.
        target: Targets, shape (n,).
        weights: Weights, shape (n,).
        names: Names of the inputs.
        settings: How to grow the trees.

    Returns:
        The fitted regressor.
    """
    from lightgbm import LGBMRegressor

    model = LGBMRegressor(
        n_estimators=settings.trees,
        num_leaves=settings.leaves,
        learning_rate=settings.learning_rate,
        min_child_weight=settings.min_weight_in_leaf,
        min_child_samples=0,
        min_data_in_bin=1,
        random_state=settings.seed,
        n_jobs=settings.num_threads,
        deterministic=True,
        force_row_wise=True,
        verbose=-1,
    )
    # LightGBM guesses the rows of a leaf from its weight, rounded bin by bin; where the
    # guesses add up to too many, its search stops before the lowest levels. It searches
    # from both ends where an input has a NaN and zero is not its first level, so two
    # rows without weight are added, which no leaf can be made of.
    width = inputs.shape[1]
    fitted: FittedRegressor = model.fit(
        np.vstack([inputs, np.full(width, np.nan), np.full(width, -1.0)]),
        np.append(target, [0.0, 0.0]),
        sample_weight=np.append(weights, [0.0, 0.0]),
        feature_name=list(names),
    )
    return fitted


def booster_of(regressor: FittedRegressor) -> Booster:
    """Return the booster of a fitted regressor."""
    return Booster(regressor.booster_)


def split_between(levels: Floats) -> Floats:
    """Compute where the library splits neighbouring levels: midway, but close beside zero.

    Args:
        levels: Levels of an input, ascending, shape (n,).

    Returns:
        Thresholds, shape (n - 1,); a value belongs to the lower level up to its threshold.
    """
    midways: Floats = np.nextafter((levels[:-1] + levels[1:]) / 2, np.inf)
    midways[levels[:-1] == 0] = _ZERO
    midways[levels[1:] == 0] = -_ZERO
    return midways
