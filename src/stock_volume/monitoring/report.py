"""The monitoring report: the verdict, its reasons and every figure behind them."""

import math
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from stock_volume.evaluation.headline import Universe
from stock_volume.evaluation.results import GroupMetrics
from stock_volume.monitoring.parameters import MonitorParameters, Verdict


def _read_null(value: object) -> object:
    return math.nan if value is None else value


def _write_finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


_TO_JSON = PlainSerializer(_write_finite, return_type=float | None, when_used="json")

Figure = Annotated[float, BeforeValidator(_read_null), _TO_JSON]
"""A number that may be undefined: NaN in Python. JSON has null for NaN and infinity."""

OptionalFigure = Annotated[float | None, _TO_JSON]
"""A number that may be absent; JSON has null for NaN and infinity, too."""


class Record(BaseModel):
    """A part of the report."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, extra="forbid")


class Measure(StrEnum):
    """The measures of error that are compared with the backtest."""

    ETA_R2 = "eta_r2"
    RMSE = "rmse"
    BIAS = "bias"
    COVERAGE_80 = "coverage_80"


class Period(Record):
    """A period of sessions."""

    first: date
    """The first session."""

    last: date
    """The last session, included."""

    def contains(self, session: date) -> bool:
        """Return whether a session falls into the period."""
        return self.first <= session <= self.last


class Window(Period):
    """The latest sessions, which are judged."""

    sessions: int
    """Number of sessions."""


class ScoringCounts(Record):
    """How many forecasts the log holds, and how many were left out at each step of scoring."""

    logged: int
    """Forecasts in the log."""

    by_other_forecasters: int
    """Made by another forecaster than the one in use."""

    seen_by_training: int
    """For sessions that the forecaster was trained on."""

    made_too_late: int
    """Made on the day of their session, or later."""

    repeated: int
    """Replaced by a later forecast for the same symbol and session."""

    without_outcome: int
    """The session's bar is missing or has Volume 0."""

    not_comparable: int
    """The symbol has less history than the backtest requires."""

    scored: int
    """Forecasts that are left, and have their scores."""


class ForecastCounts(ScoringCounts):
    """The counts of the judged window."""

    compared: int
    """Scored forecasts of the universe that is compared with the backtest."""

    backtest_windows: int
    """Windows of the backtest to compare them with."""


class ErrorSummary(GroupMetrics):
    """The errors of a set of forecasts; without any, every measure is undefined."""

    model_config = ConfigDict(extra="forbid")

    universe: Universe
    """The universe that is compared."""

    rmse: float | None = None
    """Root mean squared error of log volume."""

    @model_serializer(mode="wrap", when_used="json")
    def _omit_measures_of_no_rows(
        self, serialize: SerializerFunctionWrapHandler
    ) -> Mapping[str, object]:
        """Keep every measure; JSON has null for undefined and infinite ones."""
        fields: dict[str, object] = serialize(self)
        return {k: _write_finite(v) if isinstance(v, float) else v for k, v in fields.items()}


class SessionErrors(Record):
    """The errors of one session."""

    session: date
    """The target session."""

    n: int
    """Number of forecasts."""

    eta_r2: Figure
    """1 - squared error / squared eta, in per cent; undefined where ``ma5`` has no error."""

    rmse: Figure
    """Root mean squared error of log volume."""

    bias: Figure
    """Mean error of log volume; above 0 if forecasts are too low."""

    coverage_80: Figure
    """Share of volumes from q10 to q90, in per cent."""


class UsualRange(Record):
    """The values of a measure over the backtest's windows."""

    median: Figure
    """The median."""

    low: OptionalFigure
    """Lower bound of the usual range; None where a low value is good."""

    high: OptionalFigure
    """Upper bound of the usual range; None where a high value is good."""

    lowest: Figure
    """The lowest value."""

    highest: Figure
    """The highest value."""

    def excludes(self, value: float) -> bool:
        """Return whether a value is outside the usual range."""
        return (self.low is not None and value < self.low) or (
            self.high is not None and value > self.high
        )

    def measure_deviation(self, value: float) -> float:
        """Divide a value's distance from the median by that of the worst window.

        Where both sides are bad, the worst window is the furthest on either side: an error
        of the same size is no worse for its sign.

        Args:
            value: Of the same measure.

        Returns:
            1 for a value as far out as the worst window; 0 on a side that is good.
        """
        below, above = self.low is not None, self.high is not None
        is_bad = below if value < self.median else above
        worst = max(
            self.median - self.lowest if below else 0.0,
            self.highest - self.median if above else 0.0,
        )
        return abs(value - self.median) / max(worst, 1e-12) if is_bad else 0.0


class Comparison(UsualRange):
    """A measure of the judged window, compared with the backtest's windows."""

    value: Figure
    """Value in the judged window."""

    percent_as_extreme: float
    """Per cent of the backtest's windows that are at least as extreme, on the bad side that the
    value is on."""

    deviation_ratio: Figure
    """Distance from the median, as a multiple of the worst window's."""

    unusual: bool
    """Whether the value is outside the usual range."""


class FeatureKind(StrEnum):
    """What a feature varies with; all symbols share the market's and the calendar's."""

    SYMBOL = "symbol"
    MARKET = "market"
    CALENDAR = "calendar"


class FeatureDrift(Record):
    """The drift of one feature."""

    feature: str
    """Name of the feature."""

    kind: FeatureKind
    """What it varies with."""

    psi: float | None
    """Population stability index of the recent window against training; None where either has no
    rows."""

    highest_past_psi: float | None
    """Highest index of a window of training against the rest of it; None where there are too few
    windows."""

    gain: Figure
    """Share of the model's gain."""

    @property
    def comparable(self) -> bool:
        """Whether there is an index, and past windows to compare it with."""
        return self.psi is not None and self.highest_past_psi is not None

    def exceeds(self, threshold: float) -> bool:
        """Return whether the index reaches a threshold and exceeds that of all past windows."""
        if self.psi is None or self.highest_past_psi is None:
            return False
        return self.psi >= threshold and self.psi > self.highest_past_psi


class DriftReport(Record):
    """The drift of the model's inputs.

    Features of the calendar are listed, but never counted: next month is another month.
    """

    comparable: bool
    """Whether any counted feature can be compared with training."""

    features: int
    """Number of counted features."""

    drifted: int
    """Number of features that exceed ``psi_watch``."""

    drifted_gain: Figure
    """Share of the model's gain by features that drifted, in per cent."""

    strongly_drifted: int
    """Number of features that exceed ``psi_retrain``."""

    strongly_drifted_gain: Figure
    """Share of the model's gain by features that drifted strongly, in per cent."""

    seen_sessions: int
    """Sessions of the recent window that training has seen."""

    by_feature: tuple[FeatureDrift, ...]
    """The drift of every feature, the highest index first."""


class MonitoringReport(Record):
    """The report, as in ``monitoring.json``."""

    verdict: Verdict
    """What to do about the forecaster."""

    reasons: tuple[str, ...]
    """A sentence per finding, the most severe first."""

    window: Window
    """The sessions that are judged."""

    trained_on: Period
    """The sessions that the forecaster was trained on."""

    forecasts: ForecastCounts
    """The forecasts of the window, by what became of them."""

    errors: ErrorSummary
    """Errors in the window."""

    backtest: ErrorSummary
    """Errors in the backtest, without the sessions that are judged."""

    comparisons: dict[Measure, Comparison]
    """Where each measure falls among the backtest's windows."""

    by_session: tuple[SessionErrors, ...]
    """Errors by session, over three windows."""

    drift: DriftReport
    """Drift of the inputs."""

    parameters: MonitorParameters
    """The window and the thresholds."""
