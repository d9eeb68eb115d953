"""Train and measure the estimator."""

import logging
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from stock_volume import columns
from stock_volume.arrays import Floats, Indices, Mask
from stock_volume.boosters import (
    MAX_LEVELS,
    FittedRegressor,
    RegressorSettings,
    booster_of,
    fit_regressor,
)
from stock_volume.errors import TooFewRowsError
from stock_volume.estimator.grid import Cells, Grid, fold, make_grid
from stock_volume.metrics import in_words, point_errors
from stock_volume.progress import watch

logger = logging.getLogger(__name__)

_MIN_ROWS: Final = 10


class EstimatorParameters(BaseModel):
    """Parameters of the estimator; the defaults of the trees are the original's.

    Attributes:
        n_estimators: Number of trees.
        num_leaves: Maximum number of leaves of a tree.
        learning_rate: Shrinkage of each tree.
        min_rows_in_leaf: Minimum number of rows in a leaf.
        test_share: Share of the rows that is held out.
        random_state: Seed of the random split and of the grid's sample.
        grid_size: Maximum number of levels of an input in training.
        volume_share: Share of the levels that follows volume rather than rows.
        num_threads: Training threads; with one, equal input gives equal models.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    n_estimators: int = Field(default=500, ge=1)
    num_leaves: int = Field(default=31, ge=2)
    learning_rate: float = Field(default=0.1, gt=0)
    min_rows_in_leaf: int = Field(default=20, ge=1)
    test_share: float = Field(default=0.2, gt=0, lt=1)
    random_state: int = 42
    grid_size: int = Field(default=MAX_LEVELS, ge=2, le=MAX_LEVELS)
    volume_share: float = Field(default=0.5, ge=0, le=1)
    num_threads: int = Field(default=1, ge=1)


class SplitMetrics(BaseModel):
    """Errors on the held-out rows of a split, in shares."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    mae: float
    """Mean absolute error."""

    mse: float
    """Mean squared error."""

    r2: float | None = None
    """Coefficient of determination; None where the volumes do not vary."""

    n_train: int
    """Rows trained on."""

    n_test: int
    """Rows held out."""


class EstimatorMetrics(BaseModel):
    """Errors of the estimator."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    random_split: SplitMetrics
    """Errors of the shipped model on a random part of the rows."""

    time_split: SplitMetrics
    """Errors of a model trained on earlier days on the later ones."""


class TrainedEstimator(NamedTuple):
    """A trained estimator.

    Attributes:
        model: Predicts Volume from ``columns.ESTIMATOR_INPUTS``.
        metrics: Its errors.
    """

    model: FittedRegressor
    metrics: EstimatorMetrics


class _Rows(NamedTuple):
    inputs: tuple[Floats, ...]
    volume: Floats
    day: Indices


def train_estimator(features: pl.LazyFrame, parameters: EstimatorParameters) -> TrainedEstimator:
    """Train the estimator and measure it on a random split and on a split by time.

    Args:
        features: Bars with the estimator's features.
        parameters: Parameters of the trees and the splits.

    Returns:
        The model trained on the random split's training rows, as the original is, with
        the errors of both splits.

    Raises:
        TooFewRowsError: There are fewer than ten rows, or all are of one day.
    """
    rows = _collect(features)
    if len(rows.volume) < _MIN_ROWS:
        raise TooFewRowsError(
            f"the source has {len(rows.volume)} of the {_MIN_ROWS} bars that training and "
            "testing the estimator need: use a source with more bars"
        )
    splits = (
        partial(random_test, len(rows.volume), parameters),
        partial(late_test, rows.day, parameters.test_share),
    )
    (model, random_split), (_, time_split) = (
        _fit_and_measure(rows, split(), parameters)
        for split in watch(splits, "fitting and measuring the estimator", "splits")
    )
    metrics = EstimatorMetrics(random_split=random_split, time_split=time_split)
    for name, split in (("random split", random_split), ("split by time", time_split)):
        logger.info(
            "estimator, %s: MAE %.0f, MSE %.4g, R2 %s on %d rows",
            name,
            split.mae,
            split.mse,
            in_words(split.r2, ".4f"),
            split.n_test,
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
    """Choose the held-out rows as the original does, with scikit-learn's random split.

    Args:
        rows: Number of rows.
        parameters: Parameters of the split.

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
    """Hold out the last days, about a share of the rows.

    Args:
        day: Day number of each row, shape (n,).
        share: Share of the rows, in (0, 1).

    Returns:
        True where a row is held out, shape (n,); no day is split.

    Raises:
        TooFewRowsError: All rows are of one day.
    """
    last_trained = np.quantile(day, 1 - share, method="lower")
    if last_trained == day.max():
        last_trained = day[day < day.max()].max(initial=day.min() - 1)
    held_out = day > last_trained
    if held_out.all():
        raise TooFewRowsError(
            "all bars are of one day, and the estimator's split by time needs two: use a source "
            "with more days"
        )
    return held_out


def _fit_and_measure(
    rows: _Rows, held_out: Mask, parameters: EstimatorParameters
) -> tuple[FittedRegressor, SplitMetrics]:
    grid = make_grid(
        [values[~held_out] for values in rows.inputs],
        rows.volume[~held_out],
        parameters.grid_size,
        parameters.volume_share,
        parameters.random_state,
    )
    cells = grid.locate(rows.inputs)
    model = fit_cells(fold(grid, cells[~held_out], rows.volume[~held_out]), parameters)
    predicted = predict_cells(model, grid, parameters)[cells[held_out]]
    errors = point_errors(rows.volume[held_out], predicted)
    n_test = int(held_out.sum())
    return model, SplitMetrics(
        mae=errors.mae, mse=errors.mse, r2=errors.r2, n_train=len(held_out) - n_test, n_test=n_test
    )


def fit_cells(cells: Cells, parameters: EstimatorParameters) -> FittedRegressor:
    """Fit the trees to folded rows.

    Args:
        cells: The folded rows.
        parameters: Parameters of the trees.

    Returns:
        The fitted regressor.
    """
    settings = RegressorSettings(
        trees=parameters.n_estimators,
        learning_rate=parameters.learning_rate,
        leaves=parameters.num_leaves,
        # A cell weighs as many rows as it holds, so a leaf's weight counts its rows.
        min_weight_in_leaf=parameters.min_rows_in_leaf,
        seed=parameters.random_state,
        num_threads=parameters.num_threads,
    )
    return fit_regressor(cells.points, cells.mean, cells.rows, columns.ESTIMATOR_INPUTS, settings)


def predict_cells(model: FittedRegressor, grid: Grid, parameters: EstimatorParameters) -> Floats:
    """Predict every cell of a grid; all rows of a cell have its prediction.

    Args:
        model: A regressor fitted to rows folded by the same grid.
        grid: The grid.
        parameters: Parameters of the trees.

    Returns:
        Predicted volumes, shape (cells,).
    """
    return booster_of(model).predict(grid.points(np.arange(grid.size)), parameters.num_threads)
