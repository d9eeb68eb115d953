"""What a backtest measured, as it is written to JSON."""

from collections.abc import Mapping
from typing import cast

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from stock_volume.estimator.train import EstimatorMetrics
from stock_volume.evaluation.backtest import Plan
from stock_volume.evaluation.headline import Universe

Interval = tuple[float, float]
"""Lower and upper bound."""


class PointMetrics(BaseModel):
    """Measures of point forecasts on a group of rows; None where a measure is undefined.

    A group without rows has no measures; its JSON leaves them out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    n: int
    """Rows, which are symbol-days."""

    symbols: int
    """Symbols among them."""

    sessions: int
    """Target sessions among them."""

    eta_r2: float | None = None
    """1 - SSE / SSE of the ``ma5`` forecast, of log dollar volume, in per cent."""

    level_r2: float | None = None
    """1 - SSE / SSE of the mean, of log dollar volume, in per cent."""

    mdape: float | None = None
    """Median absolute percentage error."""

    mae: float | None = None
    """Mean absolute error, in shares."""

    qlike: float | None = None
    """Mean of ratio - log ratio - 1 for the ratio of volume to forecast."""

    ale: float | None = None
    """Mean absolute error of log volume; forecasts that are too high count twice."""

    bias: float | None = None
    """Mean error of eta; negative where forecasts are too high."""

    @model_serializer(mode="wrap")
    def _omit_measures_of_no_rows(
        self, serialize: SerializerFunctionWrapHandler
    ) -> Mapping[str, object]:
        fields: dict[str, object] = serialize(self)
        return fields if self.n else {k: v for k, v in fields.items() if v is not None}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe the fields: pydantic would describe what the serializer returns."""
        return handler(
            cast("CoreSchema", {k: v for k, v in schema.items() if k != "serialization"})
        )


class GroupMetrics(PointMetrics):
    """Measures of the forecaster on a group of rows.

    Quantiles beyond the three that every forecaster has add a field each, such as
    ``below_q25``.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None]

    pinball: float | None = None
    """Mean pinball loss of log volume over all quantiles."""

    coverage_80: float | None = None
    """Share of volumes from quantile 0.1 to quantile 0.9, in per cent."""

    below_q10: float | None = None
    """Share of volumes up to quantile 0.1, in per cent."""

    below_q50: float | None = None
    """Share of volumes up to quantile 0.5, in per cent."""

    below_q90: float | None = None
    """Share of volumes up to quantile 0.9, in per cent."""


class HorizonMetrics(GroupMetrics):
    """Measures of the forecasts of a horizon, on the headline universe."""

    baselines: Mapping[str, PointMetrics]
    """Measures of each baseline of the horizon."""


class OpeningGroup(GroupMetrics):
    """Measures of forecasts at the open on a group of rows."""

    before: GroupMetrics
    """Measures of the forecasts that were made before the open, on the same rows."""


class OpeningMetrics(OpeningGroup):
    """Measures of forecasts at the open, on the headline universe."""

    by_bucket: Mapping[str, OpeningGroup]
    """Measures by bucket of liquidity."""

    by_gap: Mapping[str, OpeningGroup]
    """Measures by size of the gap at the open, in standard deviations of the daily return."""


class BootstrapIntervals(BaseModel):
    """Central 95 % of a bootstrap; None where a resample has no value."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    eta_r2: Interval | None = None
    """Of eta-R2, in per cent."""

    eta_r2_over_har: Interval | None = None
    """Of the lead in eta-R2 over the baseline ``har``, in per cent."""

    mae: Interval
    """Of the mean absolute error, in shares."""

    coverage_80: Interval
    """Of the coverage of the 80 % interval, in per cent."""


class HeadlineMetrics(GroupMetrics):
    """Measures of a backtest; its own fields are of the headline universe."""

    universe: Universe
    """The headline universe."""

    intervals_95: BootstrapIntervals
    """Bootstrap intervals of the headline measures."""

    by_bucket: Mapping[str, GroupMetrics]
    """Measures by bucket of liquidity, of the headline universe."""

    by_occasion: Mapping[str, GroupMetrics] = {}
    """Measures by occasion of the target session, of the headline universe."""

    by_variability: Mapping[str, GroupMetrics] = {}
    """Measures by how much a symbol's volume varies, of the headline universe."""

    by_security: Mapping[str, GroupMetrics]
    """Measures by kind of security."""

    by_year: Mapping[str, GroupMetrics]
    """Measures by year of the target session, of the headline universe."""

    baselines: Mapping[str, PointMetrics]
    """Measures of each baseline, on the headline universe."""

    by_horizon: Mapping[str, HorizonMetrics] = {}
    """Measures beyond the next session, by name of the horizon: ``h2`` is the second session,
    ``total_5`` the total of five."""

    at_open: OpeningMetrics | None = None
    """Measures of the forecasts at the open, of the sessions after those that only train them;
    None if too few opening prices are known."""


class BacktestMetrics(HeadlineMetrics):
    """Measures of a backtest, with its windows; its own fields are of the headline universe."""

    plan: Plan
    """The windows of the backtest."""


class ModelMetrics(BaseModel):
    """Errors of both models."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    estimator: EstimatorMetrics
    """Errors of the estimator."""

    forecaster: BacktestMetrics
    """Errors of the forecaster's backtest."""
