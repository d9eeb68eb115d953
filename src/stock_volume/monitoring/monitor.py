"""Monitor a forecaster: score its forecasts, measure the drift of its inputs, judge both."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Final, NamedTuple, Self

import polars as pl

from stock_volume import columns
from stock_volume.evaluation.headline import Universe
from stock_volume.evaluation.measures import sums_by_session
from stock_volume.forecaster.log import identity_of
from stock_volume.forecaster.model import Forecaster
from stock_volume.monitoring.drift import lay_out_windows, measure_drift, summarise_drift
from stock_volume.monitoring.parameters import MonitorParameters
from stock_volume.monitoring.report import (
    Comparison,
    DriftReport,
    ForecastCounts,
    Measure,
    MonitoringReport,
    Period,
    Window,
)
from stock_volume.monitoring.scoring import (
    compare_errors,
    measure_sessions,
    read_log,
    score_forecasts,
    select_comparable,
    summarise_errors,
)
from stock_volume.monitoring.verdict import judge

HISTORY_WINDOWS: Final = 3
"""Length of the series by session, in windows."""

LogPartitions = Mapping[str, Callable[[], pl.DataFrame]]
"""Functions that load the logged forecasts, by the ISO date of their origin."""


@dataclass(frozen=True)
class Layers:
    """The layers that the monitoring reads.

    Attributes:
        prices: The bars.
        features: Rows of ``forecast_features``.
        backtest: Rows of ``run_backtest``.
        min_sessions: Bars that a symbol needs before the backtest scores its forecasts.
    """

    prices: pl.LazyFrame
    features: pl.LazyFrame
    backtest: pl.LazyFrame
    min_sessions: int


@dataclass(frozen=True)
class MonitoredForecaster:
    """What the monitoring needs to know about the forecaster in use.

    Attributes:
        identity: As ``identity_of`` computes it.
        trained_on: The target sessions of its training.
        importance: Share of the gain by feature.
    """

    identity: str
    trained_on: Period
    importance: Mapping[str, float]

    @classmethod
    def describe(cls, forecaster: Forecaster) -> Self:
        """Describe a trained forecaster."""
        training = forecaster.training
        return cls(
            identity=identity_of(forecaster),
            trained_on=Period(first=training.first_session, last=training.last_session),
            importance=forecaster.importance(),
        )


class _Scores(NamedTuple):
    """Scored forecasts of the last windows, and what they are compared with."""

    counts: ForecastCounts
    rows: pl.DataFrame
    recent: pl.DataFrame
    backtest: pl.DataFrame
    universe: Universe


def monitor(
    log: LogPartitions,
    layers: Layers,
    forecaster: MonitoredForecaster,
    parameters: MonitorParameters,
) -> MonitoringReport:
    """Score past forecasts, measure the drift of the inputs, and judge both.

    Args:
        log: The logged forecasts.
        layers: The bars, the features and the backtest.
        forecaster: The forecaster in use.
        parameters: The window and the thresholds.

    Returns:
        The verdict and its reasons, with every figure behind them.
    """
    sessions = _list_sessions(layers.prices, columns.DATE)
    window = sessions[-parameters.window :]
    history = sessions[-HISTORY_WINDOWS * parameters.window :]
    scores = _score(log, layers, forecaster, window[0], history[0])
    comparisons = _compare(scores, parameters)
    drift = _measure_inputs(layers.features, forecaster, parameters)
    verdict, reasons = judge(scores.counts, comparisons, drift, parameters)
    return MonitoringReport(
        verdict=verdict,
        reasons=reasons,
        window=Window(first=window[0], last=window[-1], sessions=len(window)),
        trained_on=forecaster.trained_on,
        forecasts=scores.counts,
        errors=summarise_errors(scores.recent, scores.universe),
        backtest=summarise_errors(scores.backtest, scores.universe),
        comparisons=comparisons,
        by_session=measure_sessions(sums_by_session(scores.rows)),
        drift=drift,
        parameters=parameters,
    )


def _list_sessions(rows: pl.LazyFrame, column: str) -> list[date]:
    days = rows.select(pl.col(column).unique()).collect(engine="streaming").to_series()
    return days.drop_nulls().sort().to_list()


def _score(
    partitions: LogPartitions,
    layers: Layers,
    forecaster: MonitoredForecaster,
    window_start: date,
    history_start: date,
) -> _Scores:
    """Score the forecasts of the history; count the ones of the window."""
    target = pl.col(columns.TARGET_DATE)
    is_recent = target >= window_start
    log = read_log(partitions, history_start)
    score = partial(
        score_forecasts,
        forecaster=forecaster.identity,
        prices=layers.prices,
        features=layers.features,
        min_sessions=layers.min_sessions,
    )
    rows, tested, universe = select_comparable(score(log).rows, layers.backtest)
    recent = rows.filter(is_recent)
    # A backtest made after the forecasts includes their sessions: compared with themselves,
    # they would always look usual.
    backtest = tested.filter(~target.is_in(recent[columns.TARGET_DATE].unique().implode()))
    counts = ForecastCounts(
        **score(log.filter(is_recent)).counts.model_dump(),
        compared=recent.height,
        backtest_windows=_count_windows(recent, backtest),
    )
    return _Scores(counts, rows, recent, backtest, universe)


def _count_windows(recent: pl.DataFrame, backtest: pl.DataFrame) -> int:
    """Count the backtest's windows of as many sessions as were scored."""
    length = recent[columns.TARGET_DATE].n_unique()
    return max(0, backtest[columns.TARGET_DATE].n_unique() - length + 1) if length else 0


def _compare(scores: _Scores, parameters: MonitorParameters) -> dict[Measure, Comparison]:
    if scores.recent.height < parameters.min_forecasts:
        return {}
    return compare_errors(
        sums_by_session(scores.recent), sums_by_session(scores.backtest), parameters
    )


def _measure_inputs(
    features: pl.LazyFrame, forecaster: MonitoredForecaster, parameters: MonitorParameters
) -> DriftReport:
    sessions = _list_sessions(features, columns.TARGET_DATE)
    windows = lay_out_windows(sessions, forecaster.trained_on, parameters.window)
    drifts = measure_drift(features, forecaster.importance, windows, parameters)
    seen = sum(map(forecaster.trained_on.contains, windows.recent))
    return summarise_drift(drifts, seen, parameters)
