"""The terms of the report in plain words; docs/glossary.md has them all."""

from typing import Final

TERMS: Final = {
    "typical miss (MdAPE)": (
        "the median of the absolute errors, each in per cent of the actual volume: half of the "
        "forecasts are closer"
    ),
    "eta": (
        "what the forecaster predicts: the log dollar volume of the next session less the mean of "
        "the last five"
    ),
    "eta-R²": (
        "the share of the squared error of the mean of the last five sessions that the forecast "
        "removes, in per cent: 0 is no better than that mean, 100 would be perfect"
    ),
    "level R²": (
        "the share of the variance of log dollar volume that the forecast explains, in per cent; "
        "it is high wherever symbols differ in size, so it flatters every forecast"
    ),
    "MAE": "the mean absolute error, in shares; large symbols dominate it",
    "QLIKE": (
        "the mean of r - ln r - 1, where r is the volume over the forecast; forecasts that are too "
        "low cost more"
    ),
    "ALE": "the mean absolute error of the log volume; forecasts that are too high count twice",
    "80 % interval": (
        "from the quantile of 10 % to that of 90 %: 80 of 100 volumes should be inside"
    ),
    "coverage": "the share of the volumes inside the 80 % interval, in per cent; 80 is ideal",
    "95 % interval": (
        "the range of a measure that chance explains, from a bootstrap of blocks of sessions"
    ),
    "baseline": "a simple rule that forecasts the same sessions, for comparison",
    "backtest": (
        "a test on sessions that the model had not seen: each was forecast by a model trained on "
        "earlier sessions only"
    ),
    "common stock": (
        "a security that is neither a fund nor, by its name, a preferred stock, warrant or unit"
    ),
    "symbol-day": "one symbol on one session: the unit that is counted and scored",
    "quarantine": "the rows that were set aside, as they were read, with file, line and rule",
}
"""Explanations by term."""
