"""Nodes of the pipeline ``monitor``."""

from collections.abc import Callable
from typing import Any

import polars as pl

from stock_volume.evaluation.backtest import Plan
from stock_volume.forecaster.model import Forecaster
from stock_volume.monitoring.monitor import Layers, MonitoredForecaster, monitor
from stock_volume.monitoring.parameters import MonitorParameters
from stock_volume.monitoring.plots import plot_monitoring
from stock_volume.monitoring.report import MonitoringReport

Plot = Any
"""A plotly figure; importing plotly for its name would take half a second."""


def monitor_forecaster(  # noqa: PLR0913, PLR0917  # a node has one argument per input
    forecast_log: dict[str, Callable[[], pl.DataFrame]],
    prices: pl.LazyFrame,
    features: pl.LazyFrame,
    backtest: pl.LazyFrame,
    plan: Plan,
    forecaster: Forecaster,
    parameters: MonitorParameters,
) -> MonitoringReport:
    """Score past forecasts, measure the drift of the inputs, and judge both."""
    return monitor(
        forecast_log,
        Layers(prices, features, backtest, plan.min_sessions),
        MonitoredForecaster.describe(forecaster),
        parameters,
    )


def draw_monitoring(monitoring: MonitoringReport) -> Plot:
    """Draw the errors and the drift that the verdict rests on."""
    return plot_monitoring(monitoring)
