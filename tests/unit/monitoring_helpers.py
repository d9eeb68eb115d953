"""Builders that the tests of the monitoring share."""

from collections.abc import Callable
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl

from stock_volume import columns
from stock_volume.features.quantities import BASE
from stock_volume.features.registry import ETA, NEXT_VOLUME
from stock_volume.forecaster.log import FORECASTER, TRAINED_TO
from stock_volume.forecaster.model import FORECAST
from stock_volume.monitoring.drift import FeatureDrift
from stock_volume.monitoring.scoring import MADE, Comparison

LONG_AGO: Final = date(2000, 1, 3)
IN_USE: Final = "0123456789abcdef"
"""Identity of the forecaster in use."""


def bars_of(features: pl.DataFrame) -> pl.DataFrame:
    """Make the bars that rows of ``forecast_features`` have as their targets."""
    return features.filter(pl.col(NEXT_VOLUME).is_not_null()).select(
        columns.SYMBOL,
        pl.col(columns.TARGET_DATE).alias(columns.DATE),
        columns.CLOSE,
        pl.col(NEXT_VOLUME).alias(columns.VOLUME),
    )


def log_of(
    features: pl.DataFrame, *, noise: float = 0.3, skill: float = 0.5, seed: int = 1
) -> pl.DataFrame:
    """Make forecasts of every row, which tell a part of eta, as read from the log."""
    random = np.random.default_rng(seed)
    shares = (features[BASE].exp() / features[columns.CLOSE]).to_numpy()
    eta = features[ETA].fill_null(0.0).to_numpy()
    forecast = shares * np.exp(skill * eta + random.normal(0, noise, features.height))
    origins = features.select(
        columns.SYMBOL, columns.DATE, columns.TARGET_DATE, columns.CLOSE, columns.VOLUME
    )
    return origins.with_columns(
        pl.Series(FORECAST, forecast),
        pl.Series("q10", forecast * 0.6),
        pl.Series("q50", forecast),
        pl.Series("q90", forecast * 1.7),
        pl.lit(LONG_AGO).alias(TRAINED_TO),
        pl.lit(IN_USE).alias(FORECASTER),
        pl.col(columns.DATE).alias(MADE),
    )


def partitions_of(log: pl.DataFrame) -> dict[str, Callable[[], pl.DataFrame]]:
    """Lay out a log as the catalog loads it."""
    return {
        str(made): part.drop(MADE).clone
        for (made,), part in log.partition_by(MADE, as_dict=True).items()
    }


def drift_of(**changed: Any) -> FeatureDrift:
    """Make the drift of a feature that has not moved, but for what is changed."""
    one: dict[str, Any] = {
        "feature": "f",
        "kind": "symbol",
        "psi": 0.05,
        "usual": 0.08,
        "gain": 0.2,
    }
    return FeatureDrift(**one | changed)


def comparison_of(**changed: Any) -> Comparison:
    """Make a comparison of a measure as usual, but for what is changed."""
    one: dict[str, Any] = {
        "measure": "bias",
        "value": 0.0,
        "median": 0.0,
        "low": -0.1,
        "high": 0.1,
        "lowest": -0.2,
        "highest": 0.2,
        "as_far_out": 50.0,
    }
    return Comparison(**one | changed)
