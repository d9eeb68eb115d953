"""Simple forecasts to compare the forecaster with, on the same rows."""

import itertools
from typing import Final, NamedTuple, Self

import numpy as np
import polars as pl

from stock_volume.arrays import Floats
from stock_volume.features.quantities import BASE
from stock_volume.features.registry import ETA
from stock_volume.forecaster.model import MA5, shares_at_base

_OF_ONE_FEATURE: Final = {
    "last_value": "volume_lag_0",
    "ma20": "volume_mean_20",
    "same_weekday": "volume_same_weekday",
}
HAR_INPUTS: Final = (BASE, "volume_lag_0", "volume_mean_22")
_REGRESSIONS: Final = {
    "har": HAR_INPUTS,
    "ols_tech": (
        BASE,
        "volume_lag_0",
        "volume_mean_22",
        "volume_mean_252",
        "return_lag_0",
        "return_mean_5",
        "return_mean_22",
        "return_mean_252",
    ),
}
BASELINES: Final = ("last_value", MA5, "ma20", "same_weekday", "har", "ols_tech")
"""Names of the baselines. Means are of logs, as the base is. ``har`` regresses on the
volume of a day, a week and a month (after Corsi, 2009); ``ols_tech`` on the 1, 5, 22 and
252-day means of log dollar volume and of returns (Goyenko et al., 2024, their tech)."""

DESCRIPTIONS: Final = {
    "last_value": "the last session's volume",
    MA5: "the mean of the last five sessions",
    "ma20": "the mean of the last 20 sessions",
    "same_weekday": "the volume of the same weekday a week before",
    "har": "a regression on the volumes of a day, a week and a month",
    "ols_tech": "a regression on past volumes and returns",
}
"""What each baseline is, in plain words."""


class Baselines(NamedTuple):
    """The baselines of a training window.

    Attributes:
        slopes: The constant and the slopes of each regression, by the name of its baseline.
    """

    slopes: dict[str, Floats]

    @classmethod
    def fit(cls, train: pl.LazyFrame) -> Self:
        """Fit the regressions.

        Args:
            train: Rows of ``forecast_features`` with targets.

        Returns:
            The baselines.
        """
        needed = {ETA, *itertools.chain.from_iterable(_REGRESSIONS.values())}
        known = train.select(sorted(needed)).collect(engine="streaming")
        return cls(
            {name: fit_regression(known, features, ETA) for name, features in _REGRESSIONS.items()}
        )

    def forecast(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Forecast with every baseline.

        Args:
            rows: Rows of ``forecast_features``.

        Returns:
            One column per baseline, in shares; an unknown input counts as equal to the base.
        """
        eta: dict[str, Floats] = {
            name: _inputs(rows, (feature,))[:, 0] for name, feature in _OF_ONE_FEATURE.items()
        }
        eta[MA5] = np.zeros(rows.height)
        for name, features in _REGRESSIONS.items():
            eta[name] = predict_regression(rows, features, self.slopes[name])
        shares = rows.select(shares_at_base()).to_series().to_numpy()
        return pl.DataFrame({name: shares * np.exp(eta[name]) for name in BASELINES})


def fit_regression(rows: pl.DataFrame, features: tuple[str, ...], target: str) -> Floats:
    """Regress a target on features by least squares; an unknown feature counts as 0.

    Args:
        rows: Rows with features and target.
        features: Names of the features.
        target: Name of the target.

    Returns:
        The constant and the slopes.
    """
    return _least_squares(_inputs(rows, features), rows[target].to_numpy())


def predict_regression(rows: pl.DataFrame, features: tuple[str, ...], slopes: Floats) -> Floats:
    """Predict with a regression.

    Args:
        rows: Rows with features.
        features: Names of the features.
        slopes: What ``fit_regression`` returned.

    Returns:
        Predictions, shape (rows,).
    """
    predicted: Floats = _with_constant(_inputs(rows, features)) @ slopes
    return predicted


def _inputs(rows: pl.DataFrame, features: tuple[str, ...]) -> Floats:
    known = rows.select(pl.col(features).cast(pl.Float64).fill_null(0.0))
    values: Floats = known.to_numpy()
    return values


def _with_constant(inputs: Floats) -> Floats:
    return np.column_stack([np.ones(len(inputs)), inputs])


def _least_squares(inputs: Floats, target: Floats) -> Floats:
    slopes, *_ = np.linalg.lstsq(_with_constant(inputs), target, rcond=None)
    return np.asarray(slopes, dtype=np.float64)
