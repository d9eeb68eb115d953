"""The monitoring as a whole: what is measured, what is compared, what is said."""

import math
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import polars as pl

from stock_volume import columns
from stock_volume.monitoring.drift import lay_out_windows, measure_drift, summarise_drift
from stock_volume.monitoring.parameters import MonitorParameters
from stock_volume.monitoring.scoring import (
    HISTORY_WINDOWS,
    Comparison,
    by_session,
    compare_errors,
    like_with_like,
    measures_of,
    read_log,
    score_forecasts,
    sums_by_session,
)
from stock_volume.monitoring.verdict import judge


def monitor(
    partitions: Mapping[str, Callable[[], pl.DataFrame]],
    layers: tuple[pl.LazyFrame, pl.LazyFrame, pl.LazyFrame],
    model: tuple[str, Mapping[str, Any], Mapping[str, float]],
    least_sessions: int,
    parameters: MonitorParameters,
) -> dict[str, Any]:
    """Score past forecasts, measure the drift of the inputs, and judge both.

    Args:
        partitions: What loads the logged forecasts, by the ISO date of the session they
            were made after.
        layers: Prices, rows of ``forecast_features``, and of the backtest.
        model: ``identity_of`` the forecaster in use, its ``about`` and its ``importance()``.
        least_sessions: Bars of a symbol before the backtest scores its forecasts.
        parameters: The window and the thresholds.

    Returns:
        Verdict and reasons, and every figure that they rest on.
    """
    prices, features, backtest = layers
    forecaster, about, importance = model
    held = _sessions(prices, columns.DATE)
    window = held[-parameters.window :]
    history = held[-HISTORY_WINDOWS * parameters.window :]
    log = read_log(partitions, history[0])
    scored = score_forecasts(log, forecaster, prices, features, least_sessions)
    target = pl.col(columns.TARGET_DATE)
    is_recent = target >= window[0]
    counts = score_forecasts(
        log.filter(is_recent), forecaster, prices, features, least_sessions
    ).counts
    rows, tested, universe = like_with_like(scored.rows, backtest)
    recent = rows.filter(is_recent)
    # A backtest made after the forecasts has their sessions, too: they would excuse themselves.
    reference = tested.filter(~target.is_in(recent[columns.TARGET_DATE].unique().implode()))
    recent_sums, past_sums = sums_by_session(recent), sums_by_session(reference)
    forecasts = {
        **counts,
        "compared": recent.height,
        "windows": max(0, past_sums.height - recent_sums.height + 1) if recent.height else 0,
    }
    enough = recent.height >= parameters.least_forecasts
    comparisons = compare_errors(recent_sums, past_sums, parameters) if enough else []
    trained = date.fromisoformat(about["first_session"]), date.fromisoformat(about["last_session"])
    windows = lay_out_windows(_sessions(features, columns.TARGET_DATE), *trained, parameters.window)
    drifts = measure_drift(features, importance, windows, parameters)
    drift = {
        **summarise_drift(drifts, parameters),
        "seen_sessions": sum(trained[0] <= day <= trained[1] for day in windows.recent),
    }
    verdict, reasons = judge(forecasts, comparisons, drift, parameters)
    report = {
        "verdict": verdict.value,
        "reasons": reasons,
        "window": {
            "sessions": len(window),
            "first": window[0].isoformat(),
            "last": window[-1].isoformat(),
        },
        "trained_on": {"first": about["first_session"], "last": about["last_session"]},
        "forecasts": forecasts,
        "errors": _errors(recent, universe),
        "backtest": _errors(reference, universe),
        "compared": {one.measure: _in_words(one) for one in comparisons},
        "by_session": by_session(sums_by_session(rows)),
        "drift": {**drift, "by_feature": [one._asdict() for one in drifts]},
        "parameters": parameters.model_dump(mode="json"),
    }
    return dict(_finite(report))


def _sessions(rows: pl.LazyFrame, column: str) -> list[date]:
    days = rows.select(pl.col(column).unique()).collect(engine="streaming").to_series()
    return days.drop_nulls().sort().to_list()


def _errors(rows: pl.DataFrame, universe: str) -> dict[str, Any]:
    counts = {
        "universe": universe,
        "n": rows.height,
        "symbols": rows[columns.SYMBOL].n_unique(),
        "sessions": rows[columns.TARGET_DATE].n_unique(),
    }
    return {**counts, **(measures_of(rows) if rows.height else {})}


def _in_words(one: Comparison) -> dict[str, Any]:
    figures = one._asdict()
    del figures["measure"]
    return {**figures, "times_as_far_out": one.times_as_far_out(), "unusual": one.unusual}


def _finite(value: Any) -> Any:
    """Replace what JSON has no word for by null."""
    if isinstance(value, dict):
        return {key: _finite(of_key) for key, of_key in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
