"""What a backtest measured, as it is written to JSON."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from stock_volume.estimator.train import EstimatorMetrics
from stock_volume.evaluation.backtest import Plan
from stock_volume.evaluation.headline import Universe

Interval = tuple[float, float]
"""Lower and upper bound."""


class PointMetrics(BaseModel):
    """Measures of point forecasts on a group of rows; None where a measure is undefined.

    A group without rows has no measures; its JSON leaves them out.

    Attributes:
        n: Rows, which are symbol-days.
        symbols: Symbols among them.
        sessions: Target sessions among them.
        eta_r2: 1 - SSE / SSE of the ``ma5`` forecast, of log dollar volume, in per cent.
        level_r2: 1 - SSE / SSE of the mean, of log dollar volume, in per cent.
        mdape: Median absolute percentage error.
        mae: Mean absolute error, in shares.
        qlike: Mean of ratio - log ratio - 1 for the ratio of volume to forecast.
        bias: Mean error of eta; negative where forecasts are too high.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int
    symbols: int
    sessions: int
    eta_r2: float | None = None
    level_r2: float | None = None
    mdape: float | None = None
    mae: float | None = None
    qlike: float | None = None
    bias: float | None = None

    @model_serializer(mode="wrap")
    def _omit_measures_of_no_rows(
        self, serialize: SerializerFunctionWrapHandler
    ) -> Mapping[str, Any]:
        fields: dict[str, Any] = serialize(self)
        return fields if self.n else {k: v for k, v in fields.items() if v is not None}


class GroupMetrics(PointMetrics):
    """Measures of the forecaster on a group of rows.

    Quantiles beyond the three that every forecaster has add a field each, such as
    ``below_q25``.

    Attributes:
        pinball: Mean pinball loss of log volume over all quantiles.
        coverage_80: Share of volumes from quantile 0.1 to quantile 0.9, in per cent.
        below_q10: Share of volumes up to quantile 0.1, in per cent.
        below_q50: Share of volumes up to quantile 0.5, in per cent.
        below_q90: Share of volumes up to quantile 0.9, in per cent.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None]

    pinball: float | None = None
    coverage_80: float | None = None
    below_q10: float | None = None
    below_q50: float | None = None
    below_q90: float | None = None


class BootstrapIntervals(BaseModel):
    """Central 95 % of a bootstrap; None where a resample has no value.

    Attributes:
        eta_r2: Of eta-R2, in per cent.
        eta_r2_over_har: Of the lead in eta-R2 over the baseline ``har``, in per cent.
        mae: Of the mean absolute error, in shares.
        coverage_80: Of the coverage of the 80 % interval, in per cent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    eta_r2: Interval | None
    eta_r2_over_har: Interval | None
    mae: Interval
    coverage_80: Interval


class BacktestMetrics(GroupMetrics):
    """Measures of a backtest; its own fields are of the headline universe.

    Attributes:
        universe: The headline universe.
        intervals_95: Bootstrap intervals of the headline measures.
        by_bucket: Measures by bucket of liquidity, of the headline universe.
        by_security: Measures by kind of security.
        by_year: Measures by year of the target session, of the headline universe.
        baselines: Measures of each baseline, on the headline universe.
        plan: The windows of the backtest.
    """

    universe: Universe
    intervals_95: BootstrapIntervals
    by_bucket: Mapping[str, GroupMetrics]
    by_security: Mapping[str, GroupMetrics]
    by_year: Mapping[str, GroupMetrics]
    baselines: Mapping[str, PointMetrics]
    plan: Plan


class ModelMetrics(BaseModel):
    """Errors of both models.

    Attributes:
        estimator: Errors of the estimator.
        forecaster: Errors of the forecaster's backtest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    estimator: EstimatorMetrics
    forecaster: BacktestMetrics
