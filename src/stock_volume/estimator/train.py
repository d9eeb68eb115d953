"""Training and evaluation of the estimator."""

import logging
from typing import TYPE_CHECKING, Final, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from stock_volume import columns
from stock_volume.errors import TooFewRowsError
from stock_volume.estimator.grid import Cells, Grid, Indices, fold, make_grid
from stock_volume.metrics import Floats, in_words, point_errors

if TYPE_CHECKING:  # it takes a second to import, and most runs need none
    from lightgbm import LGBMRegressor

Mask = npt.NDArray[np.bool_]

logger = logging.getLogger(__name__)

_LEAST_ROWS: Final = 10
_MOST_BINS: Final = 255
_RESERVED_BINS: Final = 4
"""Bins that LightGBM may need besides the levels: zero, NaN, and -1 (see fit_cells)."""


class EstimatorParameters(BaseModel):
    """Parameters of the estimator; the trees' are those of the original.

    Attributes:
        n_estimators: Number of trees.
        num_leaves: Most leaves of a tree.
        learning_rate: Shrinkage of each tree.
        min_rows_in_leaf: Least rows of a leaf.
        test_share: Part of the rows that is held out.
        random_state: Of the random split and of the grid's sample.
        grid_size: Most levels of an input in training.
        volume_share: Part of the levels that goes by volume rather than by rows.
        num_threads: Threads of LightGBM; with one, equal input gives equal models.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    n_estimators: int = Field(default=500, ge=1)
    num_leaves: int = Field(default=31, ge=2)
    learning_rate: float = Field(default=0.1, gt=0)
    min_rows_in_leaf: int = Field(default=20, ge=1)
    test_share: float = Field(default=0.2, gt=0, lt=1)
    random_state: int = 42
    grid_size: int = Field(
        default=_MOST_BINS - _RESERVED_BINS, ge=2, le=_MOST_BINS - _RESERVED_BINS
    )
    volume_share: float = Field(default=0.5, ge=0, le=1)
    num_threads: int = Field(default=1, ge=1)


class SplitMetrics(TypedDict):
    """Errors on the held-out rows of a split, in shares.

    Attributes:
        mae: Mean absolute error.
        mse: Mean squared error.
        r2: Coefficient of determination; None where the volumes do not vary.
        n_train: Rows trained on.
        n_test: Rows held out.
    """

    mae: float
    mse: float
    r2: float | None
    n_train: int
    n_test: int


class EstimatorMetrics(TypedDict):
    """Errors of the estimator.

    Attributes:
        random_split: Of the shipped model, on a random part of the rows.
        time_split: Of a model trained on earlier days, on the later ones.
    """

    random_split: SplitMetrics
    time_split: SplitMetrics


class TrainedEstimator(NamedTuple):
    """A trained estimator.

    Attributes:
        model: Predicts Volume from ``columns.ESTIMATOR_INPUTS``.
        metrics: Its errors.
    """

    model: "LGBMRegressor"
    metrics: EstimatorMetrics


class _Rows(NamedTuple):
    inputs: tuple[Floats, ...]
    volume: Floats
    day: Indices


def train_estimator(features: pl.LazyFrame, parameters: EstimatorParameters) -> TrainedEstimator:
    """Train the estimator, and measure it on a random split and on a split by time.

    Args:
        features: Bars with their features.
        parameters: Of the trees and the splits.

    Returns:
        The model trained on the random split's training rows, as the original is, with
        the errors of both splits.

    Raises:
        TooFewRowsError: There are fewer than ten rows, or all are of one day.
    """
    rows = _collect(features)
    if len(rows.volume) < _LEAST_ROWS:
        raise TooFewRowsError(
            f"the source has {len(rows.volume)} of the {_LEAST_ROWS} bars that it takes to train "
            "and test the estimator: give one with more"
        )
    model, random_split = _fit_and_measure(
        rows, random_test(len(rows.volume), parameters), parameters
    )
    _, time_split = _fit_and_measure(rows, late_test(rows.day, parameters.test_share), parameters)
    metrics = EstimatorMetrics(random_split=random_split, time_split=time_split)
    for name, split in (("random split", random_split), ("split by time", time_split)):
        logger.info(
            "estimator, %s: MAE %.0f, MSE %.4g, R2 %s on %d rows",
            name,
            split["mae"],
            split["mse"],
            in_words(split["r2"], ".4f"),
            split["n_test"],
        )
    return TrainedEstimator(model, metrics)


def _collect(features: pl.LazyFrame) -> _Rows:
    frame = features.select(
        *columns.ESTIMATOR_INPUTS,
        pl.col(columns.VOLUME).cast(pl.Float64),
        pl.col(columns.DATE).to_physical().cast(pl.Int64),
    ).collect(engine="streaming")
    return _Rows(
        tuple(frame[name].to_numpy() for name in columns.ESTIMATOR_INPUTS),
        frame[columns.VOLUME].to_numpy(),
        frame[columns.DATE].to_numpy(),
    )


def random_test(rows: int, parameters: EstimatorParameters) -> Mask:
    """Choose the original's held-out rows: scikit-learn's split by ``random_state``.

    Args:
        rows: Number of rows.
        parameters: Of the split.

    Returns:
        True where a row is held out, shape (rows,).
    """
    from sklearn.model_selection import train_test_split

    _, tested = train_test_split(
        np.arange(rows), test_size=parameters.test_share, random_state=parameters.random_state
    )
    held_out = np.zeros(rows, dtype=np.bool_)
    held_out[tested] = True
    return held_out


def late_test(day: Indices, share: float) -> Mask:
    """Choose the last days, about a share of the rows, as the held-out ones.

    Args:
        day: Day number of each row, shape (n,).
        share: Part of the rows, in (0, 1).

    Returns:
        True where a row is held out, shape (n,); no day is parted.

    Raises:
        TooFewRowsError: All rows are of one day.
    """
    last_trained = np.quantile(day, 1 - share, method="lower")
    if last_trained == day.max():
        last_trained = day[day < day.max()].max(initial=day.min() - 1)
    held_out = day > last_trained
    if held_out.all():
        raise TooFewRowsError(
            "all bars are of one day, and the estimator's split by time takes two: give a source "
            "with more"
        )
    return held_out


def _fit_and_measure(
    rows: _Rows, held_out: Mask, parameters: EstimatorParameters
) -> tuple["LGBMRegressor", SplitMetrics]:
    grid = make_grid(
        [values[~held_out] for values in rows.inputs],
        rows.volume[~held_out],
        parameters.grid_size,
        parameters.volume_share,
        parameters.random_state,
    )
    cells = grid.cell_of(rows.inputs)
    model = fit_cells(fold(grid, cells[~held_out], rows.volume[~held_out]), parameters)
    predicted = predict_cells(model, grid, parameters)[cells[held_out]]
    errors = point_errors(rows.volume[held_out], predicted)
    n_test = int(held_out.sum())
    return model, SplitMetrics(
        mae=errors.mae, mse=errors.mse, r2=errors.r2, n_train=len(held_out) - n_test, n_test=n_test
    )


def fit_cells(cells: Cells, parameters: EstimatorParameters) -> "LGBMRegressor":
    """Fit the trees to folded rows.

    Args:
        cells: The folded rows.
        parameters: Of the trees.

    Returns:
        The fitted regressor.
    """
    from lightgbm import LGBMRegressor

    model = LGBMRegressor(
        n_estimators=parameters.n_estimators,
        num_leaves=parameters.num_leaves,
        learning_rate=parameters.learning_rate,
        # A cell weighs as many rows as it holds, so a leaf's weight counts its rows.
        min_child_weight=parameters.min_rows_in_leaf,
        min_child_samples=0,
        min_data_in_bin=1,
        random_state=parameters.random_state,
        n_jobs=parameters.num_threads,
        deterministic=True,
        force_row_wise=True,
        verbose=-1,
    )
    # LightGBM guesses the rows of a leaf from its weight, rounded bin by bin; where the
    # guesses add up to too many, its search stops before the lowest levels. It searches
    # from both ends where an input has a NaN and zero is not its first level, so two
    # rows without weight are added, which no leaf can be made of.
    inputs = cells.points.shape[1]
    points = np.vstack([cells.points, np.full(inputs, np.nan), np.full(inputs, -1.0)])
    return model.fit(
        points,
        np.append(cells.mean, [0.0, 0.0]),
        sample_weight=np.append(cells.rows, [0.0, 0.0]),
        feature_name=list(columns.ESTIMATOR_INPUTS),
    )


def predict_cells(model: "LGBMRegressor", grid: Grid, parameters: EstimatorParameters) -> Floats:
    """Predict every cell of a grid; all rows of a cell have its prediction.

    Args:
        model: A regressor fitted to rows folded by the same grid.
        grid: The grid.
        parameters: Of the trees.

    Returns:
        Predicted volumes, shape (cells,).
    """
    points = grid.points(np.arange(grid.size))
    predicted = model.booster_.predict(points, num_threads=parameters.num_threads)
    return np.asarray(predicted, dtype=np.float64)
