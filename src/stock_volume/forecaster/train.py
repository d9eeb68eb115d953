"""Training of the forecaster."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import polars as pl

from stock_volume import columns
from stock_volume.errors import TooFewRowsError
from stock_volume.exchange import NYSE
from stock_volume.features.quantities import ABNORMAL_STD, BARS_SO_FAR
from stock_volume.features.registry import ETA, FeatureSet
from stock_volume.forecaster.calibrate import conformal_offsets
from stock_volume.forecaster.model import SIZE, Forecaster, predict_each
from stock_volume.forecaster.parameters import ForecasterParameters
from stock_volume.forecaster.universe import BUCKETS, bucket_number
from stock_volume.metrics import Floats

if TYPE_CHECKING:  # it takes a second to import, and most runs need none
    from lightgbm import Booster, Dataset

logger = logging.getLogger(__name__)

DAYS_OF_YEAR: Final = 365.25

_LEAST_ROWS: Final = 50
_LEAST_ROWS_IN_LEAF: Final = 20
_LEAVES_OF_SMALL_DATA: Final = 100
_TYPICAL_STD: Final = 0.8
_LEAST_STD: Final = 0.2
_MOST_STD: Final = 2.0


class _Split(NamedTuple):
    early: Any
    late: Any


def training_rows(features: pl.LazyFrame, parameters: ForecasterParameters) -> pl.LazyFrame:
    """Choose the rows that a forecaster learns from.

    Args:
        features: Rows of ``forecast_features``.
        parameters: Tell the least history of a symbol.

    Returns:
        Rows whose target is known, of symbols with some history.
    """
    return features.filter(
        pl.col(ETA).is_not_null() & (pl.col(BARS_SO_FAR) >= parameters.least_sessions)
    )


def latest_training_rows(features: pl.LazyFrame, parameters: ForecasterParameters) -> pl.LazyFrame:
    """Choose the rows of the latest years.

    Args:
        features: Rows of ``forecast_features``.
        parameters: Tell how many years, and the least history of a symbol.

    Returns:
        The rows that the shipped forecaster learns from.
    """
    known = training_rows(features, parameters)
    target = pl.col(columns.TARGET_DATE)
    days = pl.duration(days=round(parameters.train_years * DAYS_OF_YEAR))
    return known.filter(target > target.max() - days)


def check_enough(rows: pl.LazyFrame, what: str, parameters: ForecasterParameters) -> None:
    """Check that there are rows enough to train a forecaster on.

    Args:
        rows: ``training_rows``, of a window of sessions.
        what: What is to be trained, for the error.
        parameters: Tell the least history of a symbol.

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
    if count >= _LEAST_ROWS and sessions > 1:
        return
    between = f" from {first} to {last}" if count else ""
    raise TooFewRowsError(
        f"too few bars to train {what} on: {count} symbol-days of {sessions} sessions{between}; it "
        f"takes {_LEAST_ROWS} of two sessions, of symbols with {parameters.least_sessions} bars "
        "(forecaster.least_sessions) up to then. Give a source with more bars"
    )


def train_forecaster(
    rows: pl.DataFrame, parameters: ForecasterParameters, exchange: str = NYSE.code
) -> Forecaster:
    """Train a forecaster.

    The last sessions validate: they tell how many trees to grow, and calibrate the
    quantiles, which are fitted to the sessions before. The mean is then fitted anew to
    all rows, with as many trees.

    Args:
        rows: ``training_rows``, of a window of sessions.
        parameters: Of the boosters.
        exchange: Code of the exchange that the rows are of, which is noted in the forecaster.

    Returns:
        The forecaster. Equal rows, in equal order, give equal texts.

    Raises:
        TooFewRowsError: There are fewer than 50 rows, or all are of one session.
    """
    check_enough(rows.lazy(), "the forecaster", parameters)
    split = _split(rows[columns.TARGET_DATE], parameters.validation_share)
    names = FeatureSet.of_layer(rows.columns).names
    matrix = rows.select(names).to_numpy()
    eta = rows[ETA].to_numpy()
    dataset = _dataset(rows, names, matrix, eta, parameters)
    trees = _best_trees(dataset, split, parameters)
    quantile_boosters = [
        _fit(dataset.subset(split.early), quantile_parameters(rows.height, level, parameters))
        for level in parameters.quantiles
    ]
    boosters = [
        _fit(dataset, {**mean_parameters(rows.height, parameters, number), "num_iterations": trees})
        for number in range(parameters.boosters)
    ]
    late = rows[split.late]
    offsets = conformal_offsets(
        eta[split.late],
        predict_each(quantile_boosters, matrix[split.late], parameters.num_threads),
        parameters.quantiles,
        late.select(bucket_number(SIZE)).to_series().to_numpy(),
        len(BUCKETS),
    )
    about = _about(rows, late, trees)
    logger.info("forecaster: %s", about)
    return Forecaster(
        features=names,
        boosters=tuple(booster.model_to_string() for booster in boosters),
        quantile_boosters=tuple(booster.model_to_string() for booster in quantile_boosters),
        levels=parameters.quantiles,
        offsets=tuple(map(tuple, offsets.tolist())),
        about={**about, "parameters": parameters.model_dump(mode="json", exclude_none=True)},
        exchange=exchange,
    )


def _split(targets: pl.Series, share: float) -> _Split:
    """Part the rows by session: the last sessions, about a share of them, come late."""
    sessions = targets.unique().sort()
    place = int(len(sessions) * (1 - share))
    first_late = sessions[min(max(place, 1), len(sessions) - 1)]
    late = (targets >= first_late).to_numpy()
    return _Split(np.flatnonzero(~late), np.flatnonzero(late))


def row_weights(rows: pl.DataFrame, parameters: ForecasterParameters) -> Floats:
    """Weigh rows: less where a symbol's volume is erratic, of ETFs, and where they are old.

    Args:
        rows: Rows to train on.
        parameters: Tell the weight of an ETF and the half-life of a row.

    Returns:
        Weights, shape (rows,).
    """
    spread = pl.col(ABNORMAL_STD).fill_null(_TYPICAL_STD).clip(_LEAST_STD, _MOST_STD)
    kind = pl.when(columns.ETF).then(parameters.etf_weight).otherwise(1.0)
    weights: Floats = rows.select(kind / spread.cast(pl.Float64)).to_series().to_numpy()
    if parameters.half_life_sessions:
        age = rows[columns.TARGET_DATE].rank("dense", descending=True).to_numpy() - 1.0
        weights = weights * np.exp2(-age / parameters.half_life_sessions)
    return weights


def _dataset(
    rows: pl.DataFrame,
    names: Sequence[str],
    matrix: Any,
    eta: Floats,
    parameters: ForecasterParameters,
) -> "Dataset":
    """Bin all rows once; what is fitted to a part of them takes a subset."""
    from lightgbm import Dataset

    return Dataset(
        matrix,
        eta,
        weight=row_weights(rows, parameters),
        feature_name=list(names),
        params=_common(rows.height, parameters),
        free_raw_data=True,
    ).construct()


def _common(rows: int, parameters: ForecasterParameters) -> dict[str, Any]:
    small = max(_LEAST_ROWS_IN_LEAF, rows // _LEAVES_OF_SMALL_DATA)
    return {
        "min_data_in_leaf": min(parameters.min_rows_in_leaf, small),
        "feature_fraction": parameters.feature_fraction,
        "bagging_fraction": parameters.bagging_fraction,
        "bagging_freq": 1,
        "lambda_l2": parameters.lambda_l2,
        "max_bin": parameters.max_bin,
        "use_quantized_grad": parameters.quantized,
        "num_threads": parameters.num_threads,
        "deterministic": True,
        "force_row_wise": True,
        "feature_pre_filter": False,
        "verbosity": -1,
    }


def mean_parameters(rows: int, parameters: ForecasterParameters, number: int = 0) -> dict[str, Any]:
    """Parameters of LightGBM for a booster of the mean.

    Args:
        rows: Number of rows trained on.
        parameters: Of the forecaster.
        number: Of the booster, for its seed.

    Returns:
        What ``lightgbm.train`` takes.
    """
    return {
        **_common(rows, parameters),
        "objective": "regression",
        "num_iterations": parameters.n_estimators,
        "learning_rate": parameters.learning_rate,
        "num_leaves": parameters.num_leaves,
        "seed": parameters.random_state + number,
    }


def quantile_parameters(
    rows: int, level: float, parameters: ForecasterParameters
) -> dict[str, Any]:
    """Parameters of LightGBM for the booster of a quantile.

    Args:
        rows: Number of rows trained on.
        level: Of the quantile.
        parameters: Of the forecaster.

    Returns:
        What ``lightgbm.train`` takes.
    """
    return {
        **_common(rows, parameters),
        "objective": "quantile",
        "alpha": level,
        "num_iterations": parameters.quantile_trees,
        "learning_rate": parameters.quantile_learning_rate,
        "num_leaves": parameters.quantile_leaves,
        "seed": parameters.random_state,
    }


def _fit(dataset: "Dataset", parameters: dict[str, Any]) -> "Booster":
    import lightgbm

    return lightgbm.train(parameters, dataset)


def _best_trees(dataset: "Dataset", split: _Split, parameters: ForecasterParameters) -> int:
    import lightgbm

    booster = lightgbm.train(
        {**mean_parameters(dataset.num_data(), parameters), "metric": "l2"},
        dataset.subset(split.early),
        valid_sets=[dataset.subset(split.late)],
        callbacks=[lightgbm.early_stopping(parameters.early_stopping_rounds, verbose=False)],
    )
    return booster.best_iteration


def _about(rows: pl.DataFrame, late: pl.DataFrame, trees: int) -> dict[str, Any]:
    sessions = rows[columns.TARGET_DATE]
    return {
        "first_session": str(sessions.min()),
        "last_session": str(sessions.max()),
        "validated_from": str(late[columns.TARGET_DATE].min()),
        "rows": rows.height,
        "symbols": rows[columns.SYMBOL].n_unique(),
        "trees": trees,
    }
