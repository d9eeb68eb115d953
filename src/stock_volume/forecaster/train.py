"""Train the forecaster."""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from typing import Final

import numpy as np
import polars as pl

from stock_volume import columns
from stock_volume.arrays import Floats, Indices
from stock_volume.boosters import Booster, bin_rows, estimate_memory
from stock_volume.errors import StockVolumeError, TooFewRowsError
from stock_volume.exchange import NYSE
from stock_volume.features.quantities import ABNORMAL_STD, BARS_SO_FAR
from stock_volume.features.registry import ETA, FeatureSet
from stock_volume.forecaster.calibrate import conformal_offsets, shared_spreads
from stock_volume.forecaster.model import Forecaster, TrainingSummary, predict_each
from stock_volume.forecaster.occasion import OCCASION_FEATURES, find_occasions
from stock_volume.forecaster.parameters import ForecasterParameters
from stock_volume.forecaster.pool import (
    BLOCK_ROWS,
    Pool,
    kept_bytes,
    pool_rows,
    sample_positions,
)
from stock_volume.forecaster.settings import (
    AnyTrainingSet,
    Sample,
    Split,
    mean_settings,
    quantile_settings,
)
from stock_volume.forecaster.train_horizons import calibrate_horizons, fit_horizons
from stock_volume.forecaster.universe import BUCKETS, LIQUIDITY, bucket_number
from stock_volume.memory import warn_if_short
from stock_volume.ranked_boosters import rank_rows
from stock_volume.workers import current_workers

logger = logging.getLogger(__name__)

DAYS_OF_YEAR: Final = 365.25

_MIN_ROWS: Final = 50
_TYPICAL_STD: Final = 0.8
_MIN_STD: Final = 0.2
_MAX_STD: Final = 2.0


class MissingOutcomesError(StockVolumeError):
    """The features were computed for other horizons than are to be trained."""


_KNOWN: Final = (columns.TARGET_DATE, columns.ETF, ETA, ABNORMAL_STD, LIQUIDITY)
"""Columns that training needs in addition to the features as such."""


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
        MissingOutcomesError: The rows have no outcomes for a horizon of the parameters.
    """
    layer = rows.lazy()
    check_enough(layer, "the forecaster", parameters)
    names = FeatureSet.of_layer(layer.collect_schema().names()).names
    pool = _read_pool(layer, names, parameters)
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
    horizon_boosters = fit_horizons(training, pool.known, split, parameters)
    of_horizons = chain.from_iterable(one.quantiles for one in horizon_boosters)
    predicted = _predict_rows(pool, split.late, [*quantile_boosters, *of_horizons], parameters)
    late, levels = pool.known[split.late], len(parameters.quantiles)
    offsets, spreads = _calibrate(late, predicted[:, :levels], parameters)
    return Forecaster(
        features=names,
        boosters=tuple(booster.to_text() for booster in boosters),
        quantile_boosters=tuple(booster.to_text() for booster in quantile_boosters),
        levels=parameters.quantiles,
        offsets=tuple(map(tuple, offsets.tolist())),
        spreads=spreads,
        horizons=calibrate_horizons(horizon_boosters, late, predicted[:, levels:]),
        training=_summarise(pool.known, split.late, trees, parameters),
        exchange=exchange,
    )


def _read_pool(layer: pl.LazyFrame, names: Sequence[str], parameters: ForecasterParameters) -> Pool:
    present = layer.collect_schema().names()
    outcomes = [horizon.eta for horizon in parameters.all_horizons]
    lacking = [name for name in outcomes if name not in present]
    if lacking:
        raise MissingOutcomesError(
            f"the forecaster's features have no {', '.join(lacking)}: they were computed for other "
            "horizons. Run the pipeline feature_engineering again, or set forecaster.horizons and "
            "forecaster.totals as before"
        )
    occasions = [name for name in OCCASION_FEATURES if name in names]
    limit = parameters.max_rows * parameters.boosters
    known = [*_KNOWN, *occasions, *outcomes]
    pool = pool_rows(layer, names, known, limit, parameters.random_state)
    _warn_if_memory_is_short(pool.known.height, len(names), parameters)
    return pool


def _warn_if_memory_is_short(rows: int, features: int, parameters: ForecasterParameters) -> None:
    sample = min(rows, parameters.max_rows)
    warn_if_short(
        estimate_memory(rows, sample, features, BLOCK_ROWS) + kept_bytes(rows, features),
        f"training the forecaster on {rows} rows of {features} features",
        f"lower forecaster.max_rows, which is {parameters.max_rows}, or forecaster.train_years",
    )


def _count_trees(training: AnyTrainingSet, split: Split, parameters: ForecasterParameters) -> int:
    limit = min(parameters.search_rows, parameters.max_rows)
    late_rows = math.ceil(limit * parameters.validation_share)
    early_rows = limit - late_rows
    seed = parameters.random_state
    early = sample_positions(split.early, early_rows, seed, Sample.EARLY)
    late = sample_positions(split.late, late_rows, seed, Sample.LATE)
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
        seed = (parameters.random_state, Sample.MEAN, number)
        chosen = sample_positions(np.arange(rows), parameters.max_rows, *seed)
        sample = training if len(chosen) == rows else training.subset(chosen)
        boosters.append(sample.fit(settings))
    return boosters


def _fit_quantiles(
    training: AnyTrainingSet, split: Split, parameters: ForecasterParameters
) -> list[Booster]:
    # One sample for all levels, so that they cross as little as possible.
    seed = (parameters.random_state, Sample.QUANTILE)
    limit = min(parameters.quantile_rows, parameters.max_rows)
    early = training.subset(sample_positions(split.early, limit, *seed))
    return [
        early.fit(quantile_settings(split.rows, level, parameters))
        for level in parameters.quantiles
    ]


def _predict_rows(
    pool: Pool, rows: Indices, boosters: Sequence[Booster], parameters: ForecasterParameters
) -> Floats:
    """Predict rows with each booster, shape (rows, boosters)."""
    predicted = [
        predict_each(boosters, matrix, parameters.num_threads)
        for matrix in pool.read_features(rows)
    ]
    return np.concatenate(predicted)


def _calibrate(
    late: pl.DataFrame, predicted: Floats, parameters: ForecasterParameters
) -> tuple[Floats, tuple[float, ...]]:
    """Compute the offsets, shape (buckets, levels), and the spreads, one per occasion."""
    levels = parameters.quantiles
    actual = late[ETA].to_numpy()
    buckets = late.select(bucket_number()).to_series().to_numpy()
    offsets = conformal_offsets(actual, predicted, levels, buckets, len(BUCKETS))
    place = levels.index(0.5)
    median = predicted[:, place] + offsets[buckets, place]
    occasions = find_occasions(late).to_numpy()
    return offsets, shared_spreads(actual - median, late[columns.TARGET_DATE], occasions)


def _split_by_session(targets: pl.Series, share: float) -> Split:
    """Split the rows so that about a share of the sessions, the last ones, are late."""
    sessions = targets.unique().sort()
    place = int(len(sessions) * (1 - share))
    first_late = sessions[min(max(place, 1), len(sessions) - 1)]
    late = (targets >= first_late).to_numpy()
    return Split(np.flatnonzero(~late), np.flatnonzero(late))


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
