"""Train the forecaster."""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from stock_volume import columns
from stock_volume.arrays import Floats, Indices
from stock_volume.boosters import Booster, BoosterSettings, TrainingSet, bin_rows, estimate_memory
from stock_volume.errors import TooFewRowsError
from stock_volume.exchange import NYSE
from stock_volume.features.quantities import ABNORMAL_STD, BARS_SO_FAR
from stock_volume.features.registry import ETA, FeatureSet
from stock_volume.forecaster.calibrate import conformal_offsets
from stock_volume.forecaster.model import Forecaster, TrainingSummary, predict_each
from stock_volume.forecaster.parameters import ForecasterParameters
from stock_volume.forecaster.pool import BLOCK_ROWS, Pool, pool_rows, sample_positions
from stock_volume.forecaster.universe import BUCKETS, LIQUIDITY, bucket_number
from stock_volume.memory import warn_if_short
from stock_volume.ranked_boosters import RankedTrainingSet, rank_rows
from stock_volume.workers import current_workers

logger = logging.getLogger(__name__)

DAYS_OF_YEAR: Final = 365.25

_MIN_ROWS: Final = 50
_MIN_ROWS_IN_LEAF: Final = 20
_LEAVES_OF_SMALL_DATA: Final = 100
_TYPICAL_STD: Final = 0.8
_MIN_STD: Final = 0.2
_MAX_STD: Final = 2.0


_KNOWN: Final = (columns.TARGET_DATE, columns.ETF, ETA, ABNORMAL_STD, LIQUIDITY)
"""Columns that training needs in addition to the features as such."""


AnyTrainingSet = TrainingSet | RankedTrainingSet


class _Split(NamedTuple):
    early: Indices
    late: Indices

    @property
    def rows(self) -> int:
        """Number of all rows."""
        return len(self.early) + len(self.late)


def training_rows(features: pl.LazyFrame, parameters: ForecasterParameters) -> pl.LazyFrame:
    """Select the rows that a forecaster learns from.

    Args:
        features: Rows of ``forecast_features``.
        parameters: Parameters; here, the minimum history of a symbol.

    Returns:
        Rows with a known target, of symbols with enough history.
    """
    return features.filter(
        pl.col(ETA).is_not_null() & (pl.col(BARS_SO_FAR) >= parameters.min_sessions)
    )


def latest_training_rows(features: pl.LazyFrame, parameters: ForecasterParameters) -> pl.LazyFrame:
    """Select the rows of the latest years.

    Args:
        features: Rows of ``forecast_features``.
        parameters: Parameters; here, the years and the minimum history of a symbol.

    Returns:
        The rows that the shipped forecaster learns from.
    """
    known = training_rows(features, parameters)
    target = pl.col(columns.TARGET_DATE)
    # A value, not an expression: a filter by an aggregate would read all rows for every block.
    last = known.select(target.max()).collect(engine="streaming").item()
    if last is None:
        return known
    return known.filter(
        target > last - timedelta(days=round(parameters.train_years * DAYS_OF_YEAR))
    )


def check_enough(rows: pl.LazyFrame, what: str, parameters: ForecasterParameters) -> None:
    """Check that there are enough rows to train a forecaster on.

    Args:
        rows: ``training_rows`` of a window of sessions.
        what: What is to be trained, for the error.
        parameters: Parameters; here, the minimum history of a symbol.

    Raises:
        TooFewRowsError: There are fewer than 50 rows, or all are of one session.
    """
    target = pl.col(columns.TARGET_DATE)
    count, sessions, first, last = (
        rows.select(
            pl.len(),
            target.n_unique().alias("sessions"),
            target.min().alias("first"),
            target.max().alias("last"),
        )
        .collect(engine="streaming")
        .row(0)
    )
    if count >= _MIN_ROWS and sessions > 1:
        return
    between = f" from {first} to {last}" if count else ""
    raise TooFewRowsError(
        f"too few bars to train {what} on: {count} symbol-days of {sessions} sessions{between}; "
        f"training needs {_MIN_ROWS} of two sessions, of symbols with "
        f"{parameters.min_sessions} bars (forecaster.min_sessions) up to then. Use a source "
        "with more bars"
    )


def train_forecaster(
    rows: pl.DataFrame | pl.LazyFrame,
    parameters: ForecasterParameters,
    exchange: str = NYSE.code,
) -> Forecaster:
    """Train a forecaster.

    The last sessions validate: they choose the number of trees and calibrate the
    quantiles, which are fitted to the sessions before. The mean is then fitted to all rows
    with that number of trees.

    Each booster is trained on at most ``max_rows`` rows, each on its own sample of them, so
    that time and memory are bounded on a market of any size.

    Args:
        rows: ``training_rows`` of a window of sessions. They are read a block of symbols at
            a time.
        parameters: Parameters of the boosters.
        exchange: Code of the exchange of the rows, which the forecaster keeps.

    Returns:
        The forecaster. Equal rows, in equal order, give equal texts.

    Raises:
        TooFewRowsError: There are fewer than 50 rows, or all are of one session.
    """
    layer = rows.lazy()
    check_enough(layer, "the forecaster", parameters)
    names = FeatureSet.of_layer(layer.collect_schema().names()).names
    limit = parameters.max_rows * parameters.boosters
    pool = pool_rows(layer, names, _KNOWN, limit, parameters.random_state)
    _warn_if_memory_is_short(pool.known.height, len(names), parameters)
    split = _split_by_session(pool.known[columns.TARGET_DATE], parameters.validation_share)
    bin_pool = bin_rows if current_workers().ranks(pool.known.height) == 1 else rank_rows
    training = bin_pool(
        pool.blocks,
        pool.known[ETA].to_numpy(),
        row_weights(pool.known, parameters),
        names,
        mean_settings(pool.known.height, parameters),
    )
    trees = _count_trees(training, split, parameters)
    quantile_boosters = _fit_quantiles(training, split, parameters)
    boosters = _fit_means(training, pool.known.height, trees, parameters)
    return Forecaster(
        features=names,
        boosters=tuple(booster.to_text() for booster in boosters),
        quantile_boosters=tuple(booster.to_text() for booster in quantile_boosters),
        levels=parameters.quantiles,
        offsets=_calibrate(quantile_boosters, pool, split.late, parameters),
        training=_summarise(pool.known, split.late, trees, parameters),
        exchange=exchange,
    )


def _warn_if_memory_is_short(rows: int, features: int, parameters: ForecasterParameters) -> None:
    sample = min(rows, parameters.max_rows)
    warn_if_short(
        estimate_memory(rows, sample, features, BLOCK_ROWS),
        f"training the forecaster on {rows} rows of {features} features",
        f"lower forecaster.max_rows, which is {parameters.max_rows}, or forecaster.train_years",
    )


class _Sample(IntEnum):
    """What a sample of rows is for: each has a seed of its own."""

    EARLY = 0
    LATE = 1
    MEAN = 2
    QUANTILE = 3


def _count_trees(training: AnyTrainingSet, split: _Split, parameters: ForecasterParameters) -> int:
    limit = min(parameters.search_rows, parameters.max_rows)
    late_rows = math.ceil(limit * parameters.validation_share)
    early_rows = limit - late_rows
    seed = parameters.random_state
    early = sample_positions(split.early, early_rows, seed, _Sample.EARLY)
    late = sample_positions(split.late, late_rows, seed, _Sample.LATE)
    settings = mean_settings(split.rows, parameters)
    return training.subset(early).count_trees(
        training.subset(late),  # type: ignore[arg-type]  # of the same class
        settings,
        parameters.early_stopping_rounds,
    )


def _fit_means(
    training: AnyTrainingSet, rows: int, trees: int, parameters: ForecasterParameters
) -> list[Booster]:
    boosters = []
    for number in range(parameters.boosters):
        settings = replace(mean_settings(rows, parameters, number), trees=trees)
        seed = (parameters.random_state, _Sample.MEAN, number)
        chosen = sample_positions(np.arange(rows), parameters.max_rows, *seed)
        sample = training if len(chosen) == rows else training.subset(chosen)
        boosters.append(sample.fit(settings))
    return boosters


def _fit_quantiles(
    training: AnyTrainingSet, split: _Split, parameters: ForecasterParameters
) -> list[Booster]:
    # One sample for all levels, so that they cross as little as possible.
    seed = (parameters.random_state, _Sample.QUANTILE)
    early = training.subset(sample_positions(split.early, parameters.max_rows, *seed))
    return [
        early.fit(quantile_settings(split.rows, level, parameters))
        for level in parameters.quantiles
    ]


def _calibrate(
    quantile_boosters: Sequence[Booster],
    pool: Pool,
    late: Indices,
    parameters: ForecasterParameters,
) -> tuple[tuple[float, ...], ...]:
    predicted = [
        predict_each(quantile_boosters, matrix, parameters.num_threads)
        for matrix in pool.read_features(late)
    ]
    known = pool.known[late]
    offsets = conformal_offsets(
        known[ETA].to_numpy(),
        np.concatenate(predicted),
        parameters.quantiles,
        known.select(bucket_number()).to_series().to_numpy(),
        len(BUCKETS),
    )
    return tuple(map(tuple, offsets.tolist()))


def _split_by_session(targets: pl.Series, share: float) -> _Split:
    """Split the rows so that about a share of the sessions, the last ones, are late."""
    sessions = targets.unique().sort()
    place = int(len(sessions) * (1 - share))
    first_late = sessions[min(max(place, 1), len(sessions) - 1)]
    late = (targets >= first_late).to_numpy()
    return _Split(np.flatnonzero(~late), np.flatnonzero(late))


def row_weights(rows: pl.DataFrame, parameters: ForecasterParameters) -> Floats:
    """Weigh rows: less if a symbol's volume is erratic, if it is an ETF, and if they are old.

    Args:
        rows: Rows to train on.
        parameters: Parameters; here, the weight of an ETF and the half-life of a row.

    Returns:
        Weights, shape (rows,).
    """
    spread = pl.col(ABNORMAL_STD).fill_null(_TYPICAL_STD).clip(_MIN_STD, _MAX_STD)
    kind = pl.when(columns.ETF).then(parameters.etf_weight).otherwise(1.0)
    weights: Floats = rows.select(kind / spread.cast(pl.Float64)).to_series().to_numpy()
    if parameters.half_life_sessions:
        age = rows[columns.TARGET_DATE].rank("dense", descending=True).to_numpy() - 1.0
        weights = weights * np.exp2(-age / parameters.half_life_sessions)
    return weights


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
        num_threads=parameters.num_threads,
    )


def quantile_settings(rows: int, level: float, parameters: ForecasterParameters) -> BoosterSettings:
    """Derive the settings of the booster of a quantile.

    Args:
        rows: Number of rows trained on.
        level: Level of the quantile.
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


def _summarise(
    rows: pl.DataFrame, late: Indices, trees: int, parameters: ForecasterParameters
) -> TrainingSummary:
    first, last = rows.select(
        pl.col(columns.TARGET_DATE).min().alias("first"),
        pl.col(columns.TARGET_DATE).max().alias("last"),
    ).row(0)
    summary = TrainingSummary(
        first_session=first,
        last_session=last,
        validated_from=rows[columns.TARGET_DATE].gather(late).min(),
        rows=rows.height,
        symbols=rows[columns.SYMBOL].n_unique(),
        trees=trees,
        parameters=parameters,
    )
    logger.info(
        "forecaster: trained on %d rows of %d symbols, sessions %s to %s, validated from %s; "
        "%d trees",
        summary.rows,
        summary.symbols,
        first,
        last,
        summary.validated_from,
        trees,
    )
    return summary
