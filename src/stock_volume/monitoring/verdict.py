"""The verdict: from figures to a word and its reasons."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stock_volume.monitoring.parameters import MonitorParameters, Verdict
from stock_volume.monitoring.scoring import Comparison

ORDER: Final = tuple(Verdict)
"""From nothing to the most."""

_WORDS: Final = {
    "eta_r2": ("eta-R2", "{:.2f} %"),
    "rmse": ("the root mean squared error of log volume", "{:.3f}"),
    "bias": ("the mean error of log volume", "{:+.3f}"),
    "coverage_80": ("the share of volumes from q10 to q90", "{:.1f} %"),
}

Finding = tuple[Verdict, str]


def judge(
    forecasts: Mapping[str, int],
    comparisons: Sequence[Comparison],
    drift: Mapping[str, Any],
    parameters: MonitorParameters,
) -> tuple[Verdict, list[str]]:
    """Judge a forecaster by what was measured.

    Args:
        forecasts: What became of the logged forecasts (``score_forecasts``), those of the
            window that are ``compared`` among them, and the backtest's ``windows``.
        comparisons: Of the errors; none where there was too little.
        drift: What ``summarise_drift`` gives.
        parameters: The thresholds.

    Returns:
        The verdict, which is that of the gravest finding, and a sentence a finding, the
        gravest first; what is usual where there is none.
    """
    findings = [
        *_of_counts(forecasts, parameters),
        *(_of_error(one, parameters) for one in comparisons if one.unusual),
        *_of_drift(drift, parameters),
    ]
    if not findings:
        return Verdict.OK, _what_is_usual(forecasts, comparisons, drift)
    findings.sort(key=lambda finding: -ORDER.index(finding[0]))
    return findings[0][0], [sentence for _, sentence in findings]


def _of_counts(forecasts: Mapping[str, int], parameters: MonitorParameters) -> list[Finding]:
    compared, least = forecasts["compared"], parameters.least_forecasts
    window = f"for the last {parameters.window} sessions"
    if not forecasts["logged"]:
        sentence = (
            f"no forecast has come true yet: the log has none {window}; runs and updates log "
            "theirs, and the next bars bring what came true"
        )
    elif not compared:
        left_out = {
            "not_come_true": "without a volume so far",
            "by_other_forecasters": "made by other forecasters than the one in use",
            "seen_by_training": "of sessions that the model was trained on",
            "made_too_late": "made after their session",
            "not_comparable": "of symbols too new to compare",
        }
        why = ", ".join(
            f"{forecasts[name]:,} {words}" for name, words in left_out.items() if forecasts[name]
        )
        why = why or "none is of the kind of security that the backtest measures"
        sentence = (
            f"no forecast has come true yet: of {forecasts['logged']:,} logged {window} and "
            f"later none can be scored ({why})"
        )
    elif compared < least:
        others = forecasts["by_other_forecasters"]
        sentence = (
            f"only {compared:,} forecasts {window} have come true; it takes {least:,} "
            "(monitor.least_forecasts) to judge their errors"
        ) + (f"; {others:,} made by other forecasters are left out" if others else "")
    elif forecasts["windows"] < parameters.least_windows:
        sentence = (
            f"the errors cannot be compared: the backtest has {forecasts['windows']:,} windows of "
            f"as many sessions; it takes {parameters.least_windows:,} (monitor.least_windows)"
        )
    else:
        return []
    return [(Verdict.WATCH, sentence)]


def _of_error(one: Comparison, parameters: MonitorParameters) -> Finding:
    times = one.times_as_far_out()
    grave = times > parameters.error_ratio
    name, form = _WORDS[one.measure]
    is_low = one.low is not None and one.value < one.low
    bound = one.low if is_low else one.high
    side = "below" if is_low else "above"
    sentence = (
        f"{name} is {form.format(one.value)}, {side} the usual {form.format(bound)} of the "
        f"backtest's windows: {times:.2f} times as far from their median "
        f"{form.format(one.median)} as the furthest of them"
    )
    return Verdict.RETRAIN if grave else Verdict.WATCH, sentence


def _of_drift(drift: Mapping[str, Any], parameters: MonitorParameters) -> list[Finding]:
    if not drift["comparable"]:
        sentence = (
            "the drift of the inputs cannot be told: the training had fewer than "
            f"{parameters.least_windows} windows of {parameters.window} sessions before the "
            "recent one (monitor.least_windows)"
        )
        return [(Verdict.WATCH, sentence)]
    if drift["moved_far_gain"] >= 100 * parameters.gain_retrain:
        sentence, seen = _moved(drift, "moved_far", parameters.psi_retrain), drift["seen_sessions"]
        if not seen:
            return [(Verdict.RETRAIN, sentence)]
        # Training anew every evening would not bring them back.
        return [(Verdict.WATCH, f"{sentence}; the training has seen {seen} of the sessions")]
    if drift["moved_gain"] >= 100 * parameters.gain_watch:
        return [(Verdict.WATCH, _moved(drift, "moved", parameters.psi_watch))]
    return []


def _moved(drift: Mapping[str, Any], which: str, threshold: float) -> str:
    return (
        f"{drift[which]} of {drift['features']} features, which make "
        f"{drift[f'{which}_gain']:.1f} % of the model's gain, have a stability index of "
        f"{threshold:g} or more, above any of their windows in training"
    )


def _what_is_usual(
    forecasts: Mapping[str, int], comparisons: Sequence[Comparison], drift: Mapping[str, Any]
) -> list[str]:
    measured = ", ".join(
        f"{_WORDS[one.measure][0]} {_WORDS[one.measure][1].format(one.value)} (median "
        f"{_WORDS[one.measure][1].format(one.median)})"
        for one in comparisons
    )
    errors = (
        f"the errors of {forecasts['compared']:,} forecasts are as usual in the backtest's "
        f"windows of as many sessions: {measured}"
    )
    inputs = (
        f"the inputs are as usual: features that make {drift['moved_gain']:.1f} % of the model's "
        "gain have moved"
    )
    return [errors, inputs]
