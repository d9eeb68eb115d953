"""Turn the figures of a monitoring into a verdict and its reasons."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from stock_volume.evaluation.measures import PER_CENT
from stock_volume.monitoring.parameters import MonitorParameters, Verdict
from stock_volume.monitoring.report import Comparison, DriftReport, ForecastCounts, Measure

SEVERITY: Final = {verdict: place for place, verdict in enumerate(Verdict)}
"""From nothing to do to the most; the higher, the more severe."""


class Finding(NamedTuple):
    """What one figure says about the forecaster.

    Attributes:
        verdict: What it calls for.
        reason: A sentence with the figure.
    """

    verdict: Verdict
    reason: str


class Judgement(NamedTuple):
    """The verdict on a forecaster.

    Attributes:
        verdict: The most severe one of the findings.
        reasons: A sentence per finding, the most severe first; without findings, what was
            compared.
    """

    verdict: Verdict
    reasons: tuple[str, ...]


class _Wording(NamedTuple):
    """How sentences name a measure and format its values."""

    name: str
    form: str


_WORDINGS: Final = {
    Measure.ETA_R2: _Wording("eta-R2", "{:.2f} %"),
    Measure.RMSE: _Wording("the root mean squared error of log volume", "{:.3f}"),
    Measure.BIAS: _Wording("the mean error of log volume", "{:+.3f}"),
    Measure.COVERAGE_80: _Wording("the share of volumes from q10 to q90", "{:.1f} %"),
}


def judge(
    forecasts: ForecastCounts,
    comparisons: Mapping[Measure, Comparison],
    drift: DriftReport,
    parameters: MonitorParameters,
) -> Judgement:
    """Judge a forecaster by its errors and by the drift of its inputs.

    Args:
        forecasts: The forecasts of the window, by what became of them.
        comparisons: Where each measure falls in the backtest; empty without enough forecasts.
        drift: Drift of the inputs.
        parameters: The thresholds.

    Returns:
        The verdict and its reasons.
    """
    findings = [
        *_judge_counts(forecasts, parameters),
        *_judge_errors(comparisons, parameters),
        *_judge_drift(drift, parameters),
    ]
    if not findings:
        return Judgement(Verdict.OK, _describe_usual(forecasts, comparisons, drift))
    findings.sort(key=lambda finding: -SEVERITY[finding.verdict])
    return Judgement(findings[0].verdict, tuple(finding.reason for finding in findings))


def _judge_counts(forecasts: ForecastCounts, parameters: MonitorParameters) -> list[Finding]:
    """Find out whether there is enough to judge the errors by."""
    reason = _find_shortage(forecasts, parameters)
    return [Finding(Verdict.WATCH, reason)] if reason else []


def _find_shortage(forecasts: ForecastCounts, parameters: MonitorParameters) -> str | None:
    window = f"for the last {parameters.window} sessions"
    if not forecasts.logged:
        return (
            f"no forecast can be scored yet: the log has none {window}; every run and update logs "
            "its forecasts, and the next bars bring their outcomes"
        )
    if not forecasts.compared:
        return (
            f"no forecast can be scored yet: of {forecasts.logged:,} logged {window} or later, "
            f"none qualifies ({_explain_exclusions(forecasts)})"
        )
    if forecasts.compared < parameters.min_forecasts:
        others = forecasts.by_other_forecasters
        return (
            f"only {forecasts.compared:,} forecasts {window} can be scored; judging their errors "
            f"takes {parameters.min_forecasts:,} (monitor.min_forecasts)"
        ) + (f"; {others:,} by other forecasters do not count" if others else "")
    if forecasts.backtest_windows < parameters.min_windows:
        return (
            f"the errors cannot be compared: the backtest has {forecasts.backtest_windows:,} "
            f"windows of as many sessions; {parameters.min_windows:,} are required "
            "(monitor.min_windows)"
        )
    return None


def _explain_exclusions(forecasts: ForecastCounts) -> str:
    exclusions = (
        (forecasts.without_outcome, "without a volume so far"),
        (forecasts.by_other_forecasters, "made by other forecasters than the one in use"),
        (forecasts.seen_by_training, "for sessions that the model was trained on"),
        (forecasts.made_too_late, "made after their session"),
        (forecasts.not_comparable, "for symbols too new to compare"),
    )
    explained = [f"{count:,} {words}" for count, words in exclusions if count]
    return ", ".join(explained) or "the backtest measures another kind of security"


def _judge_errors(
    comparisons: Mapping[Measure, Comparison], parameters: MonitorParameters
) -> Iterable[Finding]:
    for measure, comparison in comparisons.items():
        if comparison.unusual:
            is_severe = comparison.deviation_ratio > parameters.error_ratio
            yield Finding(
                Verdict.RETRAIN if is_severe else Verdict.WATCH,
                _describe_error(_WORDINGS[measure], comparison),
            )


def _describe_error(wording: _Wording, comparison: Comparison) -> str:
    is_low = comparison.low is not None and comparison.value < comparison.low
    form = wording.form.format
    bound = (
        f"below the backtest's usual minimum of {form(comparison.low)}"
        if is_low
        else f"above the backtest's usual maximum of {form(comparison.high)}"
    )
    return (
        f"{wording.name} is {form(comparison.value)}, {bound}: it is "
        f"{comparison.deviation_ratio:.2f} times as far from the median of "
        f"{form(comparison.median)} as the worst backtest window"
    )


def _judge_drift(drift: DriftReport, parameters: MonitorParameters) -> list[Finding]:
    if not drift.comparable:
        reason = (
            "the drift of the inputs cannot be measured: training has fewer than "
            f"{parameters.min_windows} windows of {parameters.window} sessions before the "
            "recent one (monitor.min_windows)"
        )
        return [Finding(Verdict.WATCH, reason)]
    if drift.strongly_drifted_gain >= PER_CENT * parameters.gain_retrain:
        return [_judge_strong_drift(drift, parameters.psi_retrain)]
    if drift.drifted_gain >= PER_CENT * parameters.gain_watch:
        reason = _describe_drift(
            drift.drifted, drift.features, drift.drifted_gain, parameters.psi_watch
        )
        return [Finding(Verdict.WATCH, reason)]
    return []


def _judge_strong_drift(drift: DriftReport, threshold: float) -> Finding:
    reason = _describe_drift(
        drift.strongly_drifted, drift.features, drift.strongly_drifted_gain, threshold
    )
    if not drift.seen_sessions:
        return Finding(Verdict.RETRAIN, reason)
    # Retraining every evening would change nothing: the model knows these inputs already.
    seen = f"{reason}; training has already seen {drift.seen_sessions} of these sessions"
    return Finding(Verdict.WATCH, seen)


def _describe_drift(drifted: int, features: int, gain: float, threshold: float) -> str:
    return (
        f"{drifted} of {features} features, with {gain:.1f} % of the model's gain, have drifted: "
        f"their stability index is at least {threshold:g} and above that of every past window"
    )


def _describe_usual(
    forecasts: ForecastCounts, comparisons: Mapping[Measure, Comparison], drift: DriftReport
) -> tuple[str, str]:
    measured = ", ".join(
        _describe_value(_WORDINGS[measure], comparison)
        for measure, comparison in comparisons.items()
    )
    errors = (
        f"the errors of {forecasts.compared:,} forecasts are in the usual range of the backtest's "
        f"windows: {measured}"
    )
    inputs = (
        f"the inputs are as usual: features with {drift.drifted_gain:.1f} % of the model's gain "
        "have drifted"
    )
    return errors, inputs


def _describe_value(wording: _Wording, comparison: Comparison) -> str:
    form = wording.form.format
    return f"{wording.name} {form(comparison.value)} (median {form(comparison.median)})"
