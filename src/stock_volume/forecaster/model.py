"""The trained forecaster, and how it forecasts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from stock_volume import columns
from stock_volume.exchange import NYSE, Exchange, ExchangeMismatchError
from stock_volume.features.quantities import BASE
from stock_volume.forecaster.universe import bucket_number
from stock_volume.metrics import Floats

if TYPE_CHECKING:  # it takes a second to import, and most runs need none
    from lightgbm import Booster

FORECAST: Final = "forecast"
DESCRIPTION_FILE: Final = "forecaster.json"
SIZE: Final = "size"
"""The feature that tells a symbol's bucket of liquidity."""


def quantile_name(level: float) -> str:
    """Name the column of a quantile: q10 for 0.1."""
    return f"q{100 * level:g}"


INTERVAL_LEVELS: Final = (0.1, 0.9)
INTERVAL_NAMES: Final = tuple(map(quantile_name, INTERVAL_LEVELS))
"""The quantiles between which 80 of 100 volumes are to fall."""


@dataclass(frozen=True)
class Forecaster:
    """A trained forecaster of the next session's volume.

    It predicts eta, the log dollar volume of the next session over the mean of the last
    five; the forecast is the volume, at the last Close, that eta stands for. As the mean
    of a log it is about the median of the volume, not its mean.

    Attributes:
        features: Names of the features, in the order of the boosters.
        boosters: Texts of LightGBM boosters whose mean is eta.
        quantile_boosters: Texts of a booster a quantile of eta.
        levels: Levels of the quantiles, ascending.
        offsets: What calibration adds to the quantiles: a row a bucket of liquidity.
        about: How it came to be: windows of training, rows, parameters.
        exchange: Code of the exchange whose sessions it forecasts; that of models made before
            there was a choice is NYSE.
    """

    features: tuple[str, ...]
    boosters: tuple[str, ...]
    quantile_boosters: tuple[str, ...]
    levels: tuple[float, ...]
    offsets: tuple[tuple[float, ...], ...]
    about: dict[str, Any]
    exchange: str = NYSE.code

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is made from the texts on demand."""
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    @cached_property
    def _loaded(self) -> tuple[list["Booster"], list["Booster"]]:
        from lightgbm import Booster

        return (
            [Booster(model_str=text) for text in self.boosters],
            [Booster(model_str=text) for text in self.quantile_boosters],
        )

    def predict(self, features: pl.DataFrame, num_threads: int = 0) -> pl.DataFrame:
        """Forecast the session after each row's.

        Args:
            features: Rows of ``forecast_features``, n of them, whose base is known.
            num_threads: Threads of LightGBM; 0 for all cores.

        Returns:
            Symbol, Date, TargetDate, and in shares: the forecast and the quantiles,
            which ascend; n rows, in the same order.
        """
        boosters, quantile_boosters = self._loaded
        matrix = features.select(self.features).to_numpy()
        eta = predict_mean(boosters, matrix, num_threads)
        quantiles = predict_each(quantile_boosters, matrix, num_threads)
        buckets = features.select(bucket_number(SIZE)).to_series().to_numpy()
        quantiles = np.sort(quantiles + np.array(self.offsets)[buckets], axis=1)
        shares = features.select(pl.col(BASE).exp() / pl.col(columns.CLOSE)).to_series().to_numpy()
        return features.select(columns.SYMBOL, columns.DATE, columns.TARGET_DATE).with_columns(
            pl.Series(FORECAST, shares * np.exp(eta)),
            *(
                pl.Series(quantile_name(level), shares * np.exp(quantiles[:, place]))
                for place, level in enumerate(self.levels)
            ),
        )

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
        """Write the forecaster as text: each booster, and the rest as JSON.

        Returns:
            Text by the name of its file.
        """
        rest = {
            "features": self.features,
            "levels": self.levels,
            "offsets": self.offsets,
            "about": self.about,
            # Left out for the default, so that equal models keep equal texts across versions.
            **({} if self.exchange == NYSE.code else {"exchange": self.exchange}),
        }
        return {
            DESCRIPTION_FILE: json.dumps(rest, indent=2, allow_nan=False),
            **{f"mean_{number}.txt": text for number, text in enumerate(self.boosters)},
            **{
                f"{quantile_name(level)}.txt": text
                for level, text in zip(self.levels, self.quantile_boosters, strict=True)
            },
        }

    @classmethod
    def from_files(cls, files: Mapping[str, str]) -> "Forecaster":
        """Read what ``to_files`` has written.

        Args:
            files: Text by the name of its file.

        Returns:
            An equal forecaster.
        """
        rest = json.loads(files[DESCRIPTION_FILE])
        means = sum(name.startswith("mean_") for name in files)
        return cls(
            features=tuple(rest["features"]),
            boosters=tuple(files[f"mean_{number}.txt"] for number in range(means)),
            quantile_boosters=tuple(
                files[f"{quantile_name(level)}.txt"] for level in rest["levels"]
            ),
            levels=tuple(rest["levels"]),
            offsets=tuple(map(tuple, rest["offsets"])),
            about=rest["about"],
            exchange=rest.get("exchange", NYSE.code),
        )

    def importance(self) -> dict[str, float]:
        """Tell each feature's share of the gain of all splits of the mean's boosters."""
        gains = np.sum([booster.feature_importance("gain") for booster in self._loaded[0]], axis=0)
        shares: Floats = gains / max(float(gains.sum()), 1e-12)
        return dict(zip(self.features, map(float, shares), strict=True))


def predict_mean(boosters: Sequence["Booster"], matrix: Any, num_threads: int) -> Floats:
    """Average the predictions of boosters.

    Args:
        boosters: The boosters.
        matrix: Features, shape (n, features).
        num_threads: Threads of LightGBM.

    Returns:
        Predictions, shape (n,).
    """
    mean: Floats = predict_each(boosters, matrix, num_threads).mean(axis=1)
    return mean


def predict_each(boosters: Sequence["Booster"], matrix: Any, num_threads: int) -> Floats:
    """Predict with each of some boosters.

    Args:
        boosters: The boosters.
        matrix: Features, shape (n, features).
        num_threads: Threads of LightGBM.

    Returns:
        Predictions, shape (n, boosters).
    """
    return np.column_stack(
        [np.asarray(booster.predict(matrix, num_threads=num_threads)) for booster in boosters]
    )
