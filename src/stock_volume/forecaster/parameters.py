"""Parameters of the forecaster and of its backtest."""

from datetime import date
from itertools import pairwise
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stock_volume.features.horizon import Horizon, list_horizons

MIN_BARS: Final = 60
"""Minimum bars of a symbol, in training and in a request."""

Level = Annotated[float, Field(gt=0, lt=1)]


class ForecasterParameters(BaseModel):
    """Parameters of the forecaster.

    Attributes:
        train_years: Years of target sessions that a model is trained on.
        feature_years: Minimum years in the layer of features, for a longer search of
            parameters; training and backtest have what they need anyway.
        min_sessions: Bars of a symbol before its rows are trained on.
        n_estimators: Maximum number of trees of a booster; early stopping chooses it.
        learning_rate: Shrinkage of each tree.
        num_leaves: Maximum number of leaves of a tree.
        min_rows_in_leaf: Minimum rows in a leaf; on small data, a hundredth of the rows.
        feature_fraction: Share of the features that a tree may use.
        bagging_fraction: Share of the rows that a tree is grown on.
        lambda_l2: L2 regularisation of the leaves.
        max_bin: Maximum number of bins of a feature.
        quantized: Whether to sum quantized gradients. It needs all rows and features for
            each tree: LightGBM 4.7 sums the wrong rows otherwise.
        half_life_sessions: Age at which a row's weight has halved; null for no decay.
        etf_weight: Weight of an ETF's row; a stock's is 1.
        max_rows: Maximum number of rows that a booster is trained on. Of more rows each booster
            has its own sample.
        search_rows: Maximum number of rows that choose the number of trees, those that judge it
            included.
        boosters: Number of boosters, each with its own seed, whose mean is the forecast.
        validation_share: Share of the sessions, the last ones, for early stopping and the
            calibration of the quantiles.
        early_stopping_rounds: Trees without progress before training stops.
        quantiles: Levels of the quantiles, ascending, 0.1, 0.5 and 0.9 among them.
        quantile_rows: Maximum number of rows that each quantile's booster is trained on.
        quantile_trees: Trees of each quantile's booster.
        quantile_learning_rate: Shrinkage of its trees.
        quantile_leaves: Maximum number of leaves of its trees.
        horizons: Sessions ahead that are forecast too, beyond the next one.
        totals: Numbers of sessions whose total volume is forecast too.
        horizon_rows: Maximum number of rows that each booster of a horizon is trained on. A horizon
            has one for the mean and one for each bound of its interval, all of the size of a
            quantile's.
        random_state: Seed of the first booster.
        num_threads: Threads of training and prediction; 0 for all cores, except that training on
            fewer than 50,000 rows has one.
        live_sessions: A symbol is live while its latest bar is among this many of the
            latest sessions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    train_years: float = Field(default=3.0, gt=0)
    feature_years: float = Field(default=5.0, ge=0)
    min_sessions: int = Field(default=MIN_BARS, ge=1)
    n_estimators: int = Field(default=300, ge=1)
    learning_rate: float = Field(default=0.05, gt=0)
    num_leaves: int = Field(default=127, ge=2)
    min_rows_in_leaf: int = Field(default=500, ge=1)
    feature_fraction: float = Field(default=0.2, gt=0, le=1)
    bagging_fraction: float = Field(default=0.7, gt=0, le=1)
    lambda_l2: float = Field(default=5.0, ge=0)
    max_bin: int = Field(default=127, ge=2, le=255)
    quantized: bool = False
    half_life_sessions: float | None = Field(default=None, gt=0)
    etf_weight: float = Field(default=0.3, gt=0)
    max_rows: int = Field(default=600_000, ge=100)
    search_rows: int = Field(default=300_000, ge=100)
    boosters: int = Field(default=2, ge=1)
    validation_share: Level = 0.2
    early_stopping_rounds: int = Field(default=50, ge=1)
    quantiles: tuple[Level, ...] = (0.05, 0.1, 0.5, 0.9, 0.95)
    quantile_rows: int = Field(default=250_000, ge=100)
    quantile_trees: int = Field(default=100, ge=1)
    quantile_learning_rate: float = Field(default=0.1, gt=0)
    quantile_leaves: int = Field(default=31, ge=2)
    horizons: tuple[Annotated[int, Field(ge=2, le=20)], ...] = (2, 3, 4, 5)
    totals: tuple[Annotated[int, Field(ge=2, le=20)], ...] = (5, 20)
    horizon_rows: int = Field(default=150_000, ge=100)
    random_state: int = 42
    num_threads: int = Field(default=0, ge=0)
    live_sessions: int = Field(default=5, ge=1)

    @model_validator(mode="after")
    def _levels_ascend(self) -> Self:
        if any(low >= high for low, high in pairwise(self.quantiles)):
            raise ValueError("forecaster: the quantiles are not ascending")
        if not {0.1, 0.5, 0.9} <= set(self.quantiles):
            raise ValueError("forecaster: 0.1, 0.5 and 0.9 must be among the quantiles")
        return self

    @model_validator(mode="after")
    def _horizons_ascend(self) -> Self:
        for name in ("horizons", "totals"):
            if any(low >= high for low, high in pairwise(getattr(self, name))):
                raise ValueError(f"forecaster: the {name} are not ascending")
        return self

    @property
    def all_horizons(self) -> tuple[Horizon, ...]:
        """What is forecast beyond the next session."""
        return list_horizons(self.horizons, self.totals)

    @model_validator(mode="after")
    def _quantized_takes_all(self) -> Self:
        if self.quantized and min(self.bagging_fraction, self.feature_fraction) < 1:
            raise ValueError(
                "forecaster: quantized needs bagging_fraction and feature_fraction of 1; "
                "LightGBM sums the wrong rows otherwise"
            )
        return self


class BacktestParameters(BaseModel):
    """Windows of the backtest, by target session.

    Attributes:
        train_start: First session trained on; null for ``train_years`` before the test.
        test_start: First session tested on. Null for a rolling origin over the last
            ``test_years``, with a new model every ``refit_months``.
        test_end: Last session tested on; null for the latest.
        test_years: Length of the test if no ``test_start`` is given.
        refit_months: Months that one model of the rolling origin is tested on.
        min_sessions: Bars of a symbol before its forecasts are scored.
        resamples: Number of resamples of the bootstrap.
        block_sessions: Sessions in one of its blocks.
        horizon_step: Sessions from one origin at which horizons are tested to the next: windows
            that overlap add little; not a week, or all origins are of one weekday.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    train_start: date | None = None
    test_start: date | None = None
    test_end: date | None = None
    test_years: float = Field(default=2.0, gt=0)
    refit_months: int = Field(default=12, ge=1)
    min_sessions: int = Field(default=252, ge=1)
    resamples: int = Field(default=1000, ge=10)
    block_sessions: int = Field(default=5, ge=1)
    horizon_step: int = Field(default=4, ge=1)

    @model_validator(mode="after")
    def _windows_in_order(self) -> Self:
        if self.test_start is None and (self.train_start or self.test_end):
            raise ValueError("backtest: train_start and test_end need a test_start")
        after = self.train_start and self.test_start and self.train_start >= self.test_start
        if after or (self.test_start and self.test_end and self.test_start > self.test_end):
            raise ValueError("backtest: train_start, test_start and test_end are not in order")
        return self
