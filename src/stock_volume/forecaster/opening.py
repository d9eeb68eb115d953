"""Forecasts at the open: the volume of a session whose opening price is known.

They are a protocol of their own. The forecast at the close, an evening earlier, knows nothing of
the session that it is for. At the open the gap shows how much news came overnight: a booster
corrects the forecast by it, and three more give its quantiles. They learn from the backtest, whose
forecasts were made without their outcomes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from math import log
from typing import Final, Self

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from stock_volume import columns
from stock_volume.arrays import Matrix
from stock_volume.boosters import Block, Booster, BoosterSettings, TrainingSet, bin_rows
from stock_volume.errors import StockVolumeError
from stock_volume.features.price import VOLATILITY_22
from stock_volume.features.registry import ETA, NEXT_OPEN
from stock_volume.forecaster.model import (
    FORECAST,
    INTERVAL_NAMES,
    MA5,
    predict_each,
    quantile_name,
)
from stock_volume.forecaster.occasion import OCCASION
from stock_volume.forecaster.parameters import ForecasterParameters
from stock_volume.forecaster.pool import sample_positions
from stock_volume.forecaster.settings import Sample, mean_settings
from stock_volume.forecaster.universe import LIQUIDITY

OPENING_LEVELS: Final = (0.1, 0.5, 0.9)
"""Levels of the quantiles at the open."""

OPENING_QUANTILES: Final = tuple(map(quantile_name, OPENING_LEVELS))

OPENING_VOLUMES: Final = (FORECAST, *OPENING_QUANTILES)
"""Columns of a forecast at the open, in shares."""

OPENING_FILE: Final = "opening.json"

MAX_GAP: Final = 0.5
"""A larger gap counts as this one, in logs."""

GAP_SCORE: Final = "gap_score"
"""Input: the gap in units of the symbol's volatility."""

_GAP: Final = "gap"
_ETA_BEFORE: Final = "eta_before"
_WIDTH: Final = "width"
_LOW, _HIGH = INTERVAL_NAMES
_FEATURE_FRACTION: Final = 0.6
_MIN_ROWS: Final = 50


class OtherInputsError(StockVolumeError):
    """A stored model has other inputs than this version computes."""


class OpeningParameters(BaseModel):
    """Parameters of the forecasts at the open.

    Attributes:
        first_sessions: Sessions of the backtest that the first model is trained on, before any is
            tested; at most half of them.
        refit_sessions: Sessions that one model is tested on.
        max_rows: Maximum number of rows that a booster is trained on.
        n_estimators: Trees of a booster.
        learning_rate: Shrinkage of each tree.
        num_leaves: Maximum number of leaves of a tree.
        min_rows_in_leaf: Minimum rows in a leaf; few rows get the same correction.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    first_sessions: int = Field(default=250, ge=1)
    refit_sessions: int = Field(default=63, ge=1)
    max_rows: int = Field(default=300_000, ge=100)
    n_estimators: int = Field(default=60, ge=1)
    learning_rate: float = Field(default=0.1, gt=0)
    num_leaves: int = Field(default=15, ge=2)
    min_rows_in_leaf: int = Field(default=200, ge=1)


def _inputs() -> dict[str, pl.Expr]:
    """Compute the inputs of the boosters, by name."""
    ratio = pl.col(NEXT_OPEN) / pl.col(columns.CLOSE)
    gap = pl.when(pl.col(NEXT_OPEN) > 0).then(ratio.log().clip(-MAX_GAP, MAX_GAP))
    volatility = pl.col(VOLATILITY_22).cast(pl.Float64)
    return {
        _GAP: gap,
        GAP_SCORE: gap / pl.when(volatility > 0).then(volatility),
        _ETA_BEFORE: (pl.col(FORECAST) / pl.col(MA5)).log(),
        _WIDTH: (pl.col(_HIGH) / pl.col(_LOW)).log(),
        LIQUIDITY: pl.col(LIQUIDITY),
        VOLATILITY_22: volatility,
        OCCASION: pl.col(OCCASION),
    }


OPENING_INPUTS: Final = tuple(_inputs())
"""Names of the inputs, in the order of the boosters."""


def is_beyond_limit(price: float, close: float) -> bool:
    """Return whether a gap counts as ``MAX_GAP``, because it is larger.

    Args:
        price: Price at the open.
        close: Close of the bar before.
    """
    return abs(log(price) - log(close)) > MAX_GAP  # the ratio may be too small for a float


def gap_score() -> pl.Expr:
    """Compute the gap at the open in standard deviations of the symbol's daily return.

    Returns:
        Expression over rows with ``next_open``, ``Close`` and ``volatility_22``; null where it is
        unknown.
    """
    return _inputs()[GAP_SCORE]


def join_openings(backtest: pl.LazyFrame, features: pl.LazyFrame) -> pl.DataFrame:
    """Add to the forecasts of a backtest how their sessions opened.

    Args:
        backtest: Rows of ``adapt_backtest``.
        features: Rows of ``forecast_features``.

    Returns:
        The rows whose opening price is known, with ``next_open`` and the features that the
        boosters need, sorted by target session and symbol.
    """
    origin = [columns.SYMBOL, columns.DATE]
    first = backtest.select(pl.col(columns.DATE).min()).collect(engine="streaming").item()
    openings = features.filter(pl.col(columns.DATE) >= first, pl.col(NEXT_OPEN) > 0).select(
        *origin, NEXT_OPEN, LIQUIDITY, VOLATILITY_22
    )
    joined = backtest.join(openings, on=origin, how="inner")
    return joined.sort(columns.TARGET_DATE, columns.SYMBOL).collect(engine="streaming")


@dataclass(frozen=True)
class OpeningModel:
    """The boosters that correct forecasts at the open.

    They predict the error of the forecast made before, in eta: its mean and its quantiles.

    Attributes:
        boosters: Texts of the boosters: the mean first, then one quantile per level of
            ``OPENING_LEVELS``; empty if too few symbol-days have a known opening price.
        first_session: First target session trained on.
        last_session: Last target session trained on.
        rows: Rows trained on.
    """

    boosters: tuple[str, ...] = ()
    first_session: date | None = None
    last_session: date | None = None
    rows: int = 0

    def __getstate__(self) -> dict[str, object]:
        """Leave out the boosters, which are loaded from the texts on demand."""
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    @property
    def is_trained(self) -> bool:
        """Whether there are boosters to forecast with."""
        return bool(self.boosters)

    @cached_property
    def _loaded(self) -> list[Booster]:
        return list(map(Booster.from_text, self.boosters))

    def predict(self, rows: pl.DataFrame, num_threads: int = 0) -> pl.DataFrame:
        """Forecast sessions whose opening price is known.

        Args:
            rows: Forecasts made before the open, n of them, in shares: ``forecast``, ``q10``,
                ``q90`` and ``ma5``; with ``next_open``, ``Close`` of the origin, ``occasion``,
                and the features ``size`` and ``volatility_22``.
            num_threads: Threads; 0 for all cores.

        Returns:
            ``forecast`` and the quantiles, which ascend, in shares; n rows, in the same order.
        """
        before = rows[FORECAST].to_numpy()
        errors = predict_each(self._loaded, _matrix_of(rows), num_threads)
        quantiles = np.sort(errors[:, 1:], axis=1)
        return pl.DataFrame(
            {
                FORECAST: before * np.exp(errors[:, 0]),
                **{
                    name: before * np.exp(quantiles[:, place])
                    for place, name in enumerate(OPENING_QUANTILES)
                },
            }
        )

    def to_files(self) -> dict[str, str]:
        """Write the model as texts: each booster, and the rest as JSON.

        Returns:
            Text by the name of its file; empty if the model is not trained.
        """
        if not self.is_trained:
            return {}
        description = {
            "inputs": OPENING_INPUTS,
            "levels": OPENING_LEVELS,
            "first_session": str(self.first_session),
            "last_session": str(self.last_session),
            "rows": self.rows,
        }
        texts = dict(zip(_BOOSTER_FILES, self.boosters, strict=True))
        return {OPENING_FILE: json.dumps(description, indent=2), **texts}

    @classmethod
    def from_files(cls, files: Mapping[str, str]) -> Self:
        """Read what ``to_files`` wrote.

        Args:
            files: Text by the name of its file, others among them.

        Returns:
            An equal model; not trained if there are no such files.

        Raises:
            OtherInputsError: It has other inputs than this version computes.
        """
        if OPENING_FILE not in files:
            return cls()
        description = json.loads(files[OPENING_FILE])
        if tuple(description["inputs"]) != OPENING_INPUTS:
            raise OtherInputsError(
                "the stored model of forecasts at the open has other inputs than this version "
                "computes: run the pipeline modelling again"
            )
        return cls(
            boosters=tuple(files[name] for name in _BOOSTER_FILES),
            first_session=date.fromisoformat(description["first_session"]),
            last_session=date.fromisoformat(description["last_session"]),
            rows=description["rows"],
        )


UNTRAINED: Final = OpeningModel()
"""The model of a backtest without enough opening prices."""

_BOOSTER_FILES: Final = tuple(f"opening_{part}.txt" for part in ("mean", *OPENING_QUANTILES))


def _matrix_of(rows: pl.DataFrame) -> Matrix:
    inputs = (value.cast(pl.Float32).alias(name) for name, value in _inputs().items())
    return rows.select(inputs).to_numpy(order="c")


def fit_opening(
    rows: pl.DataFrame, parameters: OpeningParameters, forecaster: ForecasterParameters
) -> OpeningModel:
    """Fit the boosters to the forecasts of a backtest.

    Args:
        rows: Rows of ``join_openings``.
        parameters: How the boosters are grown.
        forecaster: Parameters of the forecaster; here, seed and threads.

    Returns:
        The model; not trained if there are fewer than 50 rows.
    """
    if rows.height < _MIN_ROWS:
        return UNTRAINED
    seed = (forecaster.random_state, Sample.OPENING)
    chosen = sample_positions(np.arange(rows.height), parameters.max_rows, *seed)
    training = _bin(rows[chosen], settings := _mean_settings(len(chosen), parameters, forecaster))
    boosters = [
        training.fit(replace(settings, quantile=level)) for level in (None, *OPENING_LEVELS)
    ]
    targets = rows[columns.TARGET_DATE]
    return OpeningModel(
        boosters=tuple(booster.to_text() for booster in boosters),
        first_session=targets[0],
        last_session=targets[-1],
        rows=len(chosen),
    )


def _mean_settings(
    rows: int, parameters: OpeningParameters, forecaster: ForecasterParameters
) -> BoosterSettings:
    return replace(
        mean_settings(rows, forecaster),
        trees=parameters.n_estimators,
        learning_rate=parameters.learning_rate,
        leaves=parameters.num_leaves,
        min_rows_in_leaf=parameters.min_rows_in_leaf,
        feature_fraction=_FEATURE_FRACTION,
    )


def _bin(rows: pl.DataFrame, settings: BoosterSettings) -> TrainingSet:
    inputs = _matrix_of(rows)
    error = rows.select(pl.col(ETA) - _inputs()[_ETA_BEFORE]).to_series().to_numpy()
    block = Block(rows.height, lambda: inputs)
    return bin_rows([block], error, np.ones(rows.height), OPENING_INPUTS, settings)
