"""The trained forecaster."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, field_validator

from stock_volume import columns
from stock_volume.arrays import Floats, Matrix
from stock_volume.boosters import Booster
from stock_volume.exchange import NYSE, Exchange, ExchangeMismatchError
from stock_volume.features.quantities import BASE
from stock_volume.forecaster.calibrate import widen
from stock_volume.forecaster.horizons import HorizonModel
from stock_volume.forecaster.occasion import OCCASIONS, find_occasions
from stock_volume.forecaster.parameters import ForecasterParameters
from stock_volume.forecaster.universe import bucket_number
from stock_volume.json_value import Json

FORECAST: Final = "forecast"
MA5: Final = "ma5"
"""The volume at which eta is 0: the geometric mean of the last five volumes, in dollars, at the
last Close."""

DESCRIPTION_FILE: Final = "forecaster.json"


def quantile_name(level: float) -> str:
    """Name the column of a quantile: q10 for 0.1."""
    return f"q{100 * level:g}"


INTERVAL_LEVELS: Final = (0.1, 0.9)
INTERVAL_NAMES: Final = tuple(map(quantile_name, INTERVAL_LEVELS))
"""The quantiles between which 80 of 100 volumes should fall."""


_STORED_NAMES: Final = {"min_sessions": "least_sessions"}
"""Parameters with another name in texts, so that equal models keep equal texts across versions."""


class TrainingSummary(BaseModel):
    """How a forecaster was trained; sessions are target sessions.

    Attributes:
        first_session: First session trained on.
        last_session: Last session trained on.
        validated_from: First of the last sessions, which chose the number of trees and
            calibrated the quantiles.
        rows: Rows trained on.
        symbols: Symbols among them.
        trees: Trees of each booster of the mean.
        parameters: Parameters of the training.
    """

    model_config = ConfigDict(frozen=True)

    first_session: date
    last_session: date
    validated_from: date
    rows: int
    symbols: int
    trees: int
    parameters: ForecasterParameters

    @field_validator("parameters")
    @classmethod
    def _drop_threads(cls, value: ForecasterParameters) -> ForecasterParameters:
        """Forget the number of threads, which is no property of the model."""
        return value.model_copy(update={"num_threads": 0})


def shares_at_base() -> pl.Expr:
    """Convert the base to shares at the last Close: the volume at which eta is 0.

    Returns:
        Expression over rows with ``base``, a log dollar volume, and ``Close``.
    """
    return pl.col(BASE).exp() / pl.col(columns.CLOSE)


@dataclass(frozen=True)
class Forecaster:
    """A trained forecaster of the next session's volume.

    It predicts eta, the log dollar volume of the next session less the mean of the last
    five; the forecast is eta converted to shares at the last Close. As the mean of a log
    it is about the median of the volume, not its mean.

    Attributes:
        features: Names of the features, in the order of the boosters.
        boosters: Texts of the boosters whose mean is eta.
        quantile_boosters: Texts of the boosters of the quantiles of eta, one per level.
        levels: Levels of the quantiles, ascending.
        offsets: What calibration adds to the quantiles, one row per bucket of liquidity.
        training: How it was trained.
        spreads: Standard deviation by which the quantiles are widened on each of ``OCCASIONS``.
        horizons: The models beyond the next session.
        exchange: Code of the exchange whose sessions it forecasts; models made before there was a
            choice are for NYSE.
    """

    features: tuple[str, ...]
    boosters: tuple[str, ...]
    quantile_boosters: tuple[str, ...]
    levels: tuple[float, ...]
    offsets: tuple[tuple[float, ...], ...]
    training: TrainingSummary
    spreads: tuple[float, ...] = (0.0,) * len(OCCASIONS)
    horizons: tuple[HorizonModel, ...] = ()
    exchange: str = NYSE.code

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the texts: equal forecasters have equal pickles, unlike sets of names."""
        return Forecaster.from_files, (self.to_files(),)

    @cached_property
    def _loaded(self) -> tuple[list[Booster], list[Booster]]:
        return (
            list(map(Booster.from_text, self.boosters)),
            list(map(Booster.from_text, self.quantile_boosters)),
        )

    @property
    def predicted_columns(self) -> tuple[str, ...]:
        """Columns of ``predict``, in order."""
        origin = (columns.SYMBOL, columns.DATE, columns.TARGET_DATE)
        return (*origin, FORECAST, *map(quantile_name, self.levels))

    def predict(self, features: pl.DataFrame, num_threads: int = 0) -> pl.DataFrame:
        """Forecast the session after the session of each row.

        Args:
            features: Rows of ``forecast_features``, n of them, with a known base.
            num_threads: Threads; 0 for all cores.

        Returns:
            Symbol, Date, TargetDate, and in shares the forecast and the quantiles,
            which ascend; n rows, in the same order.
        """
        boosters, quantile_boosters = self._loaded
        matrix = features.select(self.features).to_numpy()
        eta = predict_mean(boosters, matrix, num_threads)
        quantiles = predict_each(quantile_boosters, matrix, num_threads)
        buckets = features.select(bucket_number()).to_series().to_numpy()
        quantiles = np.sort(quantiles + np.array(self.offsets)[buckets], axis=1)
        occasions = find_occasions(features).to_numpy()
        quantiles = widen(quantiles, self.levels, np.array(self.spreads)[occasions])
        shares = features.select(shares_at_base()).to_series().to_numpy()
        return features.select(columns.SYMBOL, columns.DATE, columns.TARGET_DATE).with_columns(
            pl.Series(FORECAST, shares * np.exp(eta)),
            *(
                pl.Series(quantile_name(level), shares * np.exp(quantiles[:, place]))
                for place, level in enumerate(self.levels)
            ),
        )

    def predict_horizons(self, features: pl.DataFrame, num_threads: int = 0) -> pl.DataFrame:
        """Forecast beyond the next session.

        Args:
            features: Rows of ``forecast_features``, n of them, with a known base.
            num_threads: Threads; 0 for all cores.

        Returns:
            Symbol, Date and the ``HorizonColumns`` of each horizon; n rows, in the same order.
        """
        matrix = features.select(self.features).to_numpy()
        buckets = features.select(bucket_number()).to_series().to_numpy()
        shares = features.select(shares_at_base()).to_series().to_numpy()
        forecasts = [model.predict(matrix, buckets, shares, num_threads) for model in self.horizons]
        origin = features.select(columns.SYMBOL, columns.DATE)
        return pl.concat([origin, *forecasts], how="horizontal")

    def contributions(self, features: pl.DataFrame, num_threads: int = 0) -> Floats:
        """Divide eta, as forecast, among the features.

        Args:
            features: Rows of ``forecast_features``, n of them.
            num_threads: Threads; 0 for all cores.

        Returns:
            Contribution of each feature to eta and, last, the mean eta in training, shape
            (n, features + 1). A row's sum is the eta of its forecast.
        """
        matrix = features.select(self.features).to_numpy()
        each = [booster.contributions(matrix, num_threads) for booster in self._loaded[0]]
        mean: Floats = np.mean(each, axis=0)
        return mean

    def check_exchange(self, exchange: Exchange) -> None:
        """Check that this forecaster is for an exchange.

        Args:
            exchange: The exchange.

        Raises:
            ExchangeMismatchError: It is for another one.
        """
        if self.exchange != exchange.code:
            raise ExchangeMismatchError(
                f"the forecaster was trained for {self.exchange}, not for {exchange.code}: run all "
                f"pipelines again for {exchange.code}, or set the parameter exchange to "
                f"{self.exchange}"
            )

    def to_files(self) -> dict[str, str]:
        """Write the forecaster as texts: each booster, and the rest as JSON.

        Returns:
            Text by the name of its file.
        """
        description = {
            "features": self.features,
            "levels": self.levels,
            "offsets": self.offsets,
            # Left out without any, so that equal models keep equal texts across versions.
            **({"spreads": self.spreads} if any(self.spreads) else {}),
            **({"horizons": [one.describe() for one in self.horizons]} if self.horizons else {}),
            "about": _summary_to_json(self.training),
            # Left out for the default, so that equal models keep equal texts across versions.
            **({} if self.exchange == NYSE.code else {"exchange": self.exchange}),
        }
        return {
            DESCRIPTION_FILE: json.dumps(description, indent=2, allow_nan=False),
            **{f"mean_{number}.txt": text for number, text in enumerate(self.boosters)},
            **{
                f"{quantile_name(level)}.txt": text
                for level, text in zip(self.levels, self.quantile_boosters, strict=True)
            },
            **{name: text for one in self.horizons for name, text in one.to_files().items()},
        }

    @classmethod
    def from_files(cls, files: Mapping[str, str]) -> "Forecaster":
        """Read what ``to_files`` wrote.

        Args:
            files: Text by the name of its file.

        Returns:
            An equal forecaster.
        """
        description = json.loads(files[DESCRIPTION_FILE])
        means = sum(name.startswith("mean_") for name in files)
        return cls(
            features=tuple(description["features"]),
            boosters=tuple(files[f"mean_{number}.txt"] for number in range(means)),
            quantile_boosters=tuple(
                files[f"{quantile_name(level)}.txt"] for level in description["levels"]
            ),
            levels=tuple(description["levels"]),
            offsets=tuple(map(tuple, description["offsets"])),
            spreads=tuple(description.get("spreads", (0.0,) * len(OCCASIONS))),
            training=_summary_from_json(description["about"]),
            horizons=tuple(
                HorizonModel.from_files(one, files) for one in description.get("horizons", ())
            ),
            exchange=description.get("exchange", NYSE.code),
        )

    def importance(self) -> dict[str, float]:
        """Return each feature's share of the gain of all splits of the boosters of the mean."""
        gains = np.sum([booster.gains() for booster in self._loaded[0]], axis=0)
        shares: Floats = gains / max(float(gains.sum()), 1e-12)
        return dict(zip(self.features, map(float, shares), strict=True))


def _summary_to_json(training: TrainingSummary) -> dict[str, Json]:
    summary: dict[str, Json] = training.model_dump(mode="json", exclude_none=True)
    return summary | {"parameters": _rename(summary["parameters"], _STORED_NAMES)}


def _summary_from_json(summary: Mapping[str, Json]) -> TrainingSummary:
    names = {stored: name for name, stored in _STORED_NAMES.items()}
    parameters = _rename(summary["parameters"], names)
    return TrainingSummary.model_validate({**summary, "parameters": parameters})


def _rename(values: Json, names: Mapping[str, str]) -> Json:
    if not isinstance(values, Mapping):
        return values
    return {names.get(name, name): value for name, value in values.items()}


def predict_mean(boosters: Sequence[Booster], matrix: Matrix, num_threads: int) -> Floats:
    """Average the predictions of boosters.

    Args:
        boosters: The boosters.
        matrix: Features, shape (n, features).
        num_threads: Threads; 0 for all cores.

    Returns:
        Predictions, shape (n,).
    """
    mean: Floats = predict_each(boosters, matrix, num_threads).mean(axis=1)
    return mean


def predict_each(boosters: Sequence[Booster], matrix: Matrix, num_threads: int) -> Floats:
    """Predict with each booster.

    Args:
        boosters: The boosters.
        matrix: Features, shape (n, features).
        num_threads: Threads; 0 for all cores.

    Returns:
        Predictions, shape (n, boosters).
    """
    return np.column_stack([booster.predict(matrix, num_threads) for booster in boosters])
