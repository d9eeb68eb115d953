"""Forecasts beyond the next session: one direct model per horizon."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from stock_volume.arrays import Floats, Indices, Matrix
from stock_volume.boosters import Booster
from stock_volume.features.horizon import Horizon
from stock_volume.json_value import Json

HORIZON_LEVELS: Final = (0.1, 0.9)
"""Levels of the quantiles of a horizon."""


HORIZON_FORECASTS: Final = r"^(forecast|q10|q90)_(h|total_)\d+$"
"""Pattern of ``HorizonColumns``."""


class HorizonColumns(NamedTuple):
    """Columns of the forecast of a horizon, in shares.

    Attributes:
        forecast: The forecast.
        low: Quantile 0.1.
        high: Quantile 0.9.
    """

    forecast: str
    low: str
    high: str

    @classmethod
    @cache
    def of(cls, horizon: Horizon) -> "HorizonColumns":
        """Name the columns of a horizon."""
        name = horizon.name
        return cls(f"forecast_{name}", f"q10_{name}", f"q90_{name}")


@dataclass(frozen=True)
class HorizonModel:
    """The boosters of one horizon.

    Attributes:
        horizon: The horizon.
        mean: Text of the booster of the mean of ``Horizon.eta``.
        quantiles: Texts of the boosters of its quantiles, one per level of ``HORIZON_LEVELS``.
        offsets: What calibration adds to the quantiles, one row per bucket of liquidity.
    """

    horizon: Horizon
    mean: str
    quantiles: tuple[str, ...]
    offsets: tuple[tuple[float, ...], ...]

    def __getstate__(self) -> dict[str, object]:
        """Leave out the boosters, which are loaded from the texts on demand."""
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    @cached_property
    def _loaded(self) -> list[Booster]:
        return [Booster.from_text(text) for text in (self.mean, *self.quantiles)]

    def predict(
        self, matrix: Matrix, buckets: Indices, shares: Floats, num_threads: int = 0
    ) -> pl.DataFrame:
        """Forecast the horizon.

        Args:
            matrix: Features, shape (n, features).
            buckets: Buckets of liquidity, shape (n,).
            shares: Volume at which eta is 0, shape (n,).
            num_threads: Threads; 0 for all cores.

        Returns:
            ``HorizonColumns``, in shares; n rows. The quantiles ascend.
        """
        mean, *quantiles = (booster.predict(matrix, num_threads) for booster in self._loaded)
        bounds = np.sort(np.column_stack(quantiles) + np.array(self.offsets)[buckets], axis=1)
        unit = shares * self.horizon.scale
        names = HorizonColumns.of(self.horizon)
        return pl.DataFrame(
            {
                names.forecast: unit * np.exp(mean),
                names.low: unit * np.exp(bounds[:, 0]),
                names.high: unit * np.exp(bounds[:, 1]),
            }
        )

    def describe(self) -> dict[str, Json]:
        """Describe all but the boosters, as JSON."""
        return {
            "sessions": self.horizon.sessions,
            "total": self.horizon.total,
            "offsets": [list(row) for row in self.offsets],
        }

    def to_files(self) -> dict[str, str]:
        """Return the texts of the boosters by the names of their files."""
        return dict(zip(_file_names(self.horizon), (self.mean, *self.quantiles), strict=True))

    @classmethod
    def from_files(cls, description: Mapping[str, Any], files: Mapping[str, str]) -> "HorizonModel":
        """Read what ``describe`` and ``to_files`` wrote.

        Args:
            description: What ``describe`` returned.
            files: Text by the name of its file.

        Returns:
            An equal model.
        """
        horizon = Horizon(description["sessions"], total=description["total"])
        mean, *quantiles = (files[name] for name in _file_names(horizon))
        offsets = tuple(map(tuple, description["offsets"]))
        return cls(horizon, mean, tuple(quantiles), offsets)


def _file_names(horizon: Horizon) -> tuple[str, ...]:
    return tuple(f"{horizon.name}_{part}.txt" for part in ("mean", "q10", "q90"))
