"""The monitoring report: the verdict, its reasons and every figure behind them."""

import math
from datetime import date
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

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

    model_config = ConfigDict(frozen=True, extra="forbid")


class Measure(StrEnum):
    """The measures of error that are compared with the backtest."""

    ETA_R2 = "eta_r2"
    RMSE = "rmse"
    BIAS = "bias"
    COVERAGE_80 = "coverage_80"


class Period(Record):
    """A period of sessions.

    Attributes:
        first: The first session.
        last: The last session, included.
    """

    first: date
    last: date

    def contains(self, session: date) -> bool:
        """Return whether a session falls into the period."""
        return self.first <= session <= self.last


class Window(Period):
    """The latest sessions, which are judged.

    Attributes:
        sessions: Number of sessions.
    """

    sessions: int


class ScoringCounts(Record):
    """How many forecasts the log holds, and how many were left out at each step of scoring.

    Attributes:
        logged: Forecasts in the log.
        by_other_forecasters: Made by another forecaster than the one in use.
        seen_by_training: For sessions that the forecaster was trained on.
        made_too_late: Made on the day of their session, or later.
        repeated: Replaced by a later forecast for the same symbol and session.
        without_outcome: The session's bar is missing or has Volume 0.
        not_comparable: The symbol has less history than the backtest requires.
        scored: All others.
    """

    logged: int
    by_other_forecasters: int
    seen_by_training: int
    made_too_late: int
    repeated: int
    without_outcome: int
    not_comparable: int
    scored: int


class ForecastCounts(ScoringCounts):
    """The counts of the judged window.

    Attributes:
        compared: Scored forecasts of the universe that is compared with the backtest.
        backtest_windows: Windows of the backtest to compare them with.
    """

    compared: int
    backtest_windows: int


class ErrorSummary(Record):
    """The errors of a set of forecasts; ``evaluation.measures`` defines the measures.

    Attributes:
        universe: ``common stocks`` or ``all symbols``.
        n: Number of forecasts. Without any, every measure is NaN.
        symbols: Number of symbols.
        sessions: Number of sessions.
        eta_r2: In per cent.
        level_r2: In per cent.
        mdape: In per cent.
        mae: In shares.
        qlike: Without a unit.
        bias: In logs.
        rmse: Root mean squared error of log volume.
        pinball: In logs.
        coverage_80: In per cent.
        below_q10: Per cent of volumes up to the quantile.
        below_q50: The same of the median.
        below_q90: The same of the upper quantile.
    """

    universe: str
    n: int
    symbols: int
    sessions: int
    eta_r2: Figure
    level_r2: Figure
    mdape: Figure
    mae: Figure
    qlike: Figure
    bias: Figure
    rmse: Figure
    pinball: Figure
    coverage_80: Figure
    below_q10: Figure
    below_q50: Figure
    below_q90: Figure


class SessionErrors(Record):
    """The errors of one session.

    Attributes:
        session: The target session.
        n: Number of forecasts.
        eta_r2: In per cent; NaN where ``ma5`` has no error.
        rmse: Root mean squared error of log volume.
        bias: Mean error of log volume.
        coverage_80: Per cent of volumes from q10 to q90.
    """

    session: date
    n: int
    eta_r2: Figure
    rmse: Figure
    bias: Figure
    coverage_80: Figure


class UsualRange(Record):
    """The values of a measure over the backtest's windows.

    Attributes:
        median: The median.
        low: Lower bound of the usual range; None where a low value is good.
        high: Upper bound of the usual range; None where a high value is good.
        lowest: The lowest value.
        highest: The highest value.
    """

    median: Figure
    low: OptionalFigure
    high: OptionalFigure
    lowest: Figure
    highest: Figure

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
    """A measure of the judged window, compared with the backtest's windows.

    Attributes:
        value: Of the judged window.
        percent_as_extreme: Per cent of the backtest's windows that are at least as extreme,
            on the bad side that the value is on.
        deviation_ratio: Distance from the median, as a multiple of the worst window's.
        unusual: Whether the value is outside the usual range.
    """

    value: Figure
    percent_as_extreme: float
    deviation_ratio: Figure
    unusual: bool


class FeatureKind(StrEnum):
    """What a feature varies with; all symbols share the market's and the calendar's."""

    SYMBOL = "symbol"
    MARKET = "market"
    CALENDAR = "calendar"


class FeatureDrift(Record):
    """The drift of one feature.

    Attributes:
        feature: Its name.
        kind: What it varies with.
        psi: Population stability index of the recent window against training; None where
            either has no rows.
        highest_past_psi: Highest index of a window of training against the rest of it; None
            where there are too few windows.
        gain: Share of the model's gain.
    """

    feature: str
    kind: FeatureKind
    psi: float | None
    highest_past_psi: float | None
    gain: Figure

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

    Attributes:
        comparable: Whether any counted feature can be compared with training.
        features: Number of counted features.
        drifted: Features that exceed ``psi_watch``.
        drifted_gain: Their share of the model's gain, in per cent.
        strongly_drifted: Features that exceed ``psi_retrain``.
        strongly_drifted_gain: Their share of the model's gain, in per cent.
        seen_sessions: Sessions of the recent window that training has seen.
        by_feature: The drift of every feature, the highest index first.
    """

    comparable: bool
    features: int
    drifted: int
    drifted_gain: Figure
    strongly_drifted: int
    strongly_drifted_gain: Figure
    seen_sessions: int
    by_feature: tuple[FeatureDrift, ...]


class MonitoringReport(Record):
    """The report, as in ``monitoring.json``.

    Attributes:
        verdict: What to do about the forecaster.
        reasons: A sentence per finding, the most severe first.
        window: The sessions that are judged.
        trained_on: The sessions that the forecaster was trained on.
        forecasts: The forecasts of the window, by what became of them.
        errors: Errors in the window.
        backtest: Errors in the backtest, without the sessions that are judged.
        comparisons: Where each measure falls among the backtest's windows.
        by_session: Errors by session, over three windows.
        drift: Drift of the inputs.
        parameters: The window and the thresholds.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    window: Window
    trained_on: Period
    forecasts: ForecastCounts
    errors: ErrorSummary
    backtest: ErrorSummary
    comparisons: dict[Measure, Comparison]
    by_session: tuple[SessionErrors, ...]
    drift: DriftReport
    parameters: MonitorParameters
