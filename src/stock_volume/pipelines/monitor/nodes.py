"""Nodes of the pipeline monitor."""

from collections.abc import Callable
from typing import Any

import polars as pl

from stock_volume.evaluation.backtest import Plan
from stock_volume.forecaster.log import identity_of
from stock_volume.forecaster.model import Forecaster
from stock_volume.monitoring.parameters import MonitorParameters
from stock_volume.monitoring.plots import plot_monitoring
from stock_volume.monitoring.report import monitor

Plot = Any
"""A plotly figure, which would take half a second to import for its name."""


def monitor_forecaster(  # noqa: PLR0913, PLR0917  # a node's inputs are what it is made from
    forecast_log: dict[str, Callable[[], pl.DataFrame]],
    prices: pl.LazyFrame,
    features: pl.LazyFrame,
    backtest: pl.LazyFrame,
    plan: Plan,
    forecaster: Forecaster,
    parameters: MonitorParameters,
) -> dict[str, Any]:
    """Score past forecasts, measure the drift of the inputs, and judge both."""
    return monitor(
        forecast_log,
        (prices, features, backtest),
        (identity_of(forecaster), forecaster.about, forecaster.importance()),
        plan.least_sessions,
        parameters,
    )


def draw_monitoring(monitoring: dict[str, Any]) -> Plot:
    """Draw what the verdict rests on."""
    return plot_monitoring(monitoring)
