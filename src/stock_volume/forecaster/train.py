"""Train the forecaster."""

import logging
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from stock_volume import columns
from stock_volume.arrays import Floats
from stock_volume.boosters import Booster, BoosterSettings, TrainingSet, bin_rows
from stock_volume.errors import TooFewRowsError
from stock_volume.exchange import NYSE
from stock_volume.features.quantities import ABNORMAL_STD, BARS_SO_FAR
from stock_volume.features.registry import ETA, FeatureSet
from stock_volume.forecaster.calibrate import conformal_offsets
from stock_volume.forecaster.model import Forecaster, TrainingSummary, predict_each
from stock_volume.forecaster.parameters import ForecasterParameters
from stock_volume.forecaster.universe import BUCKETS, bucket_number

logger = logging.getLogger(__name__)

DAYS_OF_YEAR: Final = 365.25

_MIN_ROWS: Final = 50
_MIN_ROWS_IN_LEAF: Final = 20
_LEAVES_OF_SMALL_DATA: Final = 100
_TYPICAL_STD: Final = 0.8
_MIN_STD: Final = 0.2
_MAX_STD: Final = 2.0


class _Split(NamedTuple):
    early: npt.NDArray[np.intp]
    late: npt.NDArray[np.intp]


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
    days = pl.duration(days=round(parameters.train_years * DAYS_OF_YEAR))
    return known.filter(target > target.max() - days)


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
    rows: pl.DataFrame, parameters: ForecasterParameters, exchange: str = NYSE.code
) -> Forecaster:
    """Train a forecaster.

    The last sessions validate: they choose the number of trees and calibrate the
    quantiles, which are fitted to the sessions before. The mean is then fitted to all rows
    with that number of trees.

    Args:
        rows: ``training_rows`` of a window of sessions.
        parameters: Parameters of the boosters.
        exchange: Code of the exchange of the rows, which the forecaster keeps.

    Returns:
        The forecaster. Equal rows, in equal order, give equal texts.

    Raises:
        TooFewRowsError: There are fewer than 50 rows, or all are of one session.
    """
    check_enough(rows.lazy(), "the forecaster", parameters)
    split = _split_by_session(rows[columns.TARGET_DATE], parameters.validation_share)
    names = FeatureSet.of_layer(rows.columns).names
    matrix = rows.select(names).to_numpy()
    eta = rows[ETA].to_numpy()
    settings = mean_settings(rows.height, parameters)
    training = bin_rows(matrix, eta, row_weights(rows, parameters), names, settings)
    early, late = training.subset(split.early), training.subset(split.late)
    trees = early.count_trees(late, settings, parameters.early_stopping_rounds)
    quantile_boosters = _fit_quantiles(early, rows.height, parameters)
    boosters = _fit_means(training, rows.height, trees, parameters)
    late_rows = rows[split.late]
    offsets = conformal_offsets(
        eta[split.late],
        predict_each(quantile_boosters, matrix[split.late], parameters.num_threads),
        parameters.quantiles,
        late_rows.select(bucket_number()).to_series().to_numpy(),
        len(BUCKETS),
    )
    return Forecaster(
        features=names,
        boosters=tuple(booster.to_text() for booster in boosters),
        quantile_boosters=tuple(booster.to_text() for booster in quantile_boosters),
        levels=parameters.quantiles,
        offsets=tuple(map(tuple, offsets.tolist())),
        training=_summarise(rows, late_rows, trees, parameters),
        exchange=exchange,
    )


def _fit_means(
    training: TrainingSet, rows: int, trees: int, parameters: ForecasterParameters
) -> list[Booster]:
    return [
        training.fit(replace(mean_settings(rows, parameters, number), trees=trees))
        for number in range(parameters.boosters)
    ]


def _fit_quantiles(
    training: TrainingSet, rows: int, parameters: ForecasterParameters
) -> list[Booster]:
    return [
        training.fit(quantile_settings(rows, level, parameters)) for level in parameters.quantiles
    ]


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
        rows: Number of rows trained on.
        parameters: Parameters of the forecaster.
        number: Position of the booster, which changes its seed.

    Returns:
        The settings, with the maximum number of trees.
    """
    small = max(_MIN_ROWS_IN_LEAF, rows // _LEAVES_OF_SMALL_DATA)
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
    rows: pl.DataFrame, late: pl.DataFrame, trees: int, parameters: ForecasterParameters
) -> TrainingSummary:
    first, last = rows.select(
        pl.col(columns.TARGET_DATE).min().alias("first"),
        pl.col(columns.TARGET_DATE).max().alias("last"),
    ).row(0)
    summary = TrainingSummary(
        first_session=first,
        last_session=last,
        validated_from=late.select(pl.col(columns.TARGET_DATE).min()).item(),
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
