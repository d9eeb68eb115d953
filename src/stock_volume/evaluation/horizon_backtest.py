"""The backtest beyond the next session, in the same windows."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

import numpy as np
import polars as pl

from stock_volume import columns
from stock_volume.arrays import Floats
from stock_volume.evaluation.baselines import HAR_INPUTS, fit_regression, predict_regression
from stock_volume.evaluation.groups import COMMON_STOCK, FOLD
from stock_volume.features.horizon import Horizon, known_by
from stock_volume.features.registry import ETA
from stock_volume.forecaster.horizons import HORIZON_LEVELS, HorizonColumns
from stock_volume.forecaster.model import FORECAST, MA5, Forecaster, quantile_name, shares_at_base
from stock_volume.forecaster.universe import BUCKET, bucket_number, is_common_stock

HORIZON: Final = "horizon"
"""Column: name of the horizon."""

MA20: Final = "ma20"
HAR: Final = "har"
HORIZON_BASELINES: Final = (MA5, MA20, HAR)
"""Baselines of a horizon. Means are of logs; ``har`` is a regression for each horizon."""

_FORECASTS: Final = (FORECAST, *map(quantile_name, HORIZON_LEVELS), *HORIZON_BASELINES)

HORIZON_TYPES: Final = {
    columns.SYMBOL: pl.String,
    columns.DATE: pl.Date,
    columns.TARGET_DATE: pl.Date,
    HORIZON: pl.String,
    columns.VOLUME: pl.Int64,
    **dict.fromkeys(_FORECASTS, pl.Float64),
    ETA: pl.Float64,
    columns.CLOSE: pl.Float64,
    columns.ETF: pl.Boolean,
    COMMON_STOCK: pl.Boolean,
    BUCKET: pl.Int8,
    FOLD: pl.Int32,
}
"""Columns of the backtest of the horizons, in order; ``TargetDate`` is the next session."""


class HorizonBaselines(NamedTuple):
    """The regressions of a training window.

    Attributes:
        slopes: The constant and the slopes, by the name of a horizon.
    """

    slopes: dict[str, Floats]

    @classmethod
    def fit(cls, train: pl.LazyFrame, horizons: Sequence[Horizon]) -> Self:
        """Fit a regression for each horizon.

        Args:
            train: Rows of ``forecast_features`` with targets, of a window of sessions.
            horizons: The horizons.

        Returns:
            The regressions of the horizons that have a known outcome in the window.
        """
        if not horizons:
            return cls({})
        names = [columns.TARGET_DATE, *HAR_INPUTS, *(horizon.eta for horizon in horizons)]
        rows = train.select(names).collect(engine="streaming")
        known = rows.with_columns(known_by(horizons, rows[columns.TARGET_DATE]))
        slopes = {}
        for horizon in horizons:
            scored = known.filter(pl.col(horizon.eta).is_not_null())
            if scored.height:
                slopes[horizon.name] = fit_regression(scored, HAR_INPUTS, horizon.eta)
        return cls(slopes)


def forecast_horizons(
    test: pl.DataFrame,
    forecaster: Forecaster,
    baselines: HorizonBaselines,
    fold: int,
    num_threads: int,
) -> pl.DataFrame:
    """Forecast the horizons of rows whose outcome is known.

    Args:
        test: Rows of ``forecast_features`` with a known base.
        forecaster: A forecaster that has not seen them.
        baselines: Baselines of the same training.
        fold: Number of the training.
        num_threads: Threads; 0 for all cores.

    Returns:
        One row per row and horizon with a known outcome, with the columns of ``HORIZON_TYPES``;
        volumes and forecasts are in shares.
    """
    empty = pl.DataFrame(schema=HORIZON_TYPES)
    if not forecaster.horizons:
        return empty
    forecasts = forecaster.predict_horizons(test, num_threads)
    common = test.select(
        columns.SYMBOL,
        columns.DATE,
        columns.TARGET_DATE,
        columns.CLOSE,
        columns.ETF,
        is_common_stock().alias(COMMON_STOCK),
        bucket_number().alias(BUCKET),
        pl.lit(fold, dtype=pl.Int32).alias(FOLD),
    )
    rows = [
        common.with_columns(
            pl.lit(horizon.name).alias(HORIZON),
            test[horizon.volume].alias(columns.VOLUME),
            test[horizon.eta].alias(ETA),
            *_name_forecasts(forecasts, horizon),
            *_forecast_simply(test, horizon, baselines),
        )
        for horizon in (model.horizon for model in forecaster.horizons)
        if horizon.name in baselines.slopes
    ]
    every = pl.concat([empty, *(one.select(empty.columns) for one in rows)])
    return every.filter(pl.col(ETA).is_not_null())


def _name_forecasts(forecasts: pl.DataFrame, horizon: Horizon) -> list[pl.Series]:
    names = (FORECAST, *map(quantile_name, HORIZON_LEVELS))
    of_horizon = HorizonColumns.of(horizon)
    return [forecasts[own].alias(name) for own, name in zip(of_horizon, names, strict=True)]


def _forecast_simply(
    test: pl.DataFrame, horizon: Horizon, baselines: HorizonBaselines
) -> list[pl.Series]:
    unit = test.select(shares_at_base()).to_series().to_numpy() * horizon.scale
    eta = {
        MA5: np.zeros(test.height),
        MA20: test["volume_mean_20"].cast(pl.Float64).fill_null(0.0).to_numpy(),
        HAR: predict_regression(test, HAR_INPUTS, baselines.slopes[horizon.name]),
    }
    return [pl.Series(name, unit * np.exp(eta[name])) for name in HORIZON_BASELINES]
