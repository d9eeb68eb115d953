"""How boosters are grown, and which rows each of them sees."""

from dataclasses import replace
from enum import IntEnum
from typing import Final, NamedTuple

from stock_volume.arrays import Indices
from stock_volume.boosters import BoosterSettings, TrainingSet
from stock_volume.forecaster.parameters import ForecasterParameters
from stock_volume.ranked_boosters import RankedTrainingSet

_MIN_ROWS_IN_LEAF: Final = 20
_LEAVES_OF_SMALL_DATA: Final = 100
_ROWS_OF_ONE_THREAD: Final = 50_000
"""Below this number of rows, threads lose more time by waiting for each other than they gain."""


AnyTrainingSet = TrainingSet | RankedTrainingSet


class Split(NamedTuple):
    """Rows by session.

    Attributes:
        early: Positions of the rows that quantiles are fitted to.
        late: Positions of the rows of the last sessions, which validate.
    """

    early: Indices
    late: Indices

    @property
    def rows(self) -> int:
        """Number of all rows."""
        return len(self.early) + len(self.late)


class Sample(IntEnum):
    """What a sample of rows is for: each has a seed of its own."""

    EARLY = 0
    LATE = 1
    MEAN = 2
    QUANTILE = 3
    HORIZON = 4
    OPENING = 5


def mean_settings(rows: int, parameters: ForecasterParameters, number: int = 0) -> BoosterSettings:
    """Derive the settings of a booster of the mean.

    Args:
        rows: Number of rows to train on, before sampling.
        parameters: Parameters of the forecaster.
        number: Position of the booster, which changes its seed.

    Returns:
        The settings, with the maximum number of trees.
    """
    trained_on = min(rows, parameters.max_rows)
    small = max(_MIN_ROWS_IN_LEAF, trained_on // _LEAVES_OF_SMALL_DATA)
    return BoosterSettings(
        trees=parameters.n_estimators,
        learning_rate=parameters.learning_rate,
        leaves=parameters.num_leaves,
        seed=parameters.random_state + number,
        min_rows_in_leaf=min(parameters.min_rows_in_leaf, small),
        feature_fraction=parameters.feature_fraction,
        bagging_fraction=parameters.bagging_fraction,
        lambda_l2=parameters.lambda_l2,
        max_bin=parameters.max_bin,
        quantized=parameters.quantized,
        num_threads=parameters.num_threads or (1 if trained_on < _ROWS_OF_ONE_THREAD else 0),
    )


def quantile_settings(
    rows: int, level: float | None, parameters: ForecasterParameters
) -> BoosterSettings:
    """Derive the settings of the booster of a quantile.

    Args:
        rows: Number of rows trained on.
        level: Level of the quantile; None for a mean of the same size.
        parameters: Parameters of the forecaster.

    Returns:
        The settings.
    """
    return replace(
        mean_settings(rows, parameters),
        quantile=level,
        trees=parameters.quantile_trees,
        learning_rate=parameters.quantile_learning_rate,
        leaves=parameters.quantile_leaves,
    )
