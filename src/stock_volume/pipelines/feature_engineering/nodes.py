"""Nodes of the pipeline feature_engineering."""

from collections.abc import Iterator
from functools import partial
from typing import Final

import polars as pl

from stock_volume.evaluation.backtest import feature_window
from stock_volume.exchange import Exchange
from stock_volume.features.market import market_sessions, sum_bars
from stock_volume.features.registry import FeatureParameters, add_features
from stock_volume.features.schedule import (
    add_to_sessions,
    earnings_of,
    sessions_around,
    sum_bars_and_responses,
)
from stock_volume.features.window import features_in_window
from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters
from stock_volume.symbols import map_layer, map_symbols

ESTIMATOR_TASK: Final = "features of the estimator"
FORECASTER_TASK: Final = "features of the forecaster"
"""Names of progress bars."""

_SESSIONS_TASK: Final = "measuring the sessions"


def engineer_features(
    prices: pl.LazyFrame, events: pl.LazyFrame, parameters: FeatureParameters, chunk_rows: int
) -> Iterator[pl.DataFrame]:
    """Add the estimator's features to the prices, a range of symbols at a time."""
    del events  # an input so that this stage begins when the ingestion of events has ended
    add = partial(add_features, parameters=parameters)
    yield from map_layer(add, prices, rows=chunk_rows, task=ESTIMATOR_TASK)


def describe_sessions(
    prices: pl.LazyFrame, events: pl.LazyFrame, exchange: Exchange, chunk_rows: int
) -> pl.DataFrame:
    """Measure the market on each session, and look up the calendar of the next one."""
    earnings = earnings_of(events)
    calendar = sessions_around(earnings, exchange)
    if calendar.is_empty():
        market = map_symbols(sum_bars, prices, rows=chunk_rows, task=_SESSIONS_TASK)
        return market_sessions(market, exchange)
    sum_up = partial(sum_bars_and_responses, calendar=calendar)
    sums = list(map_symbols(sum_up, prices, earnings, rows=chunk_rows, task=_SESSIONS_TASK))
    sessions = market_sessions((one.market for one in sums), exchange)
    return add_to_sessions(sessions, (one.responses for one in sums), earnings.collect())


def engineer_forecast_features(  # noqa: PLR0913, PLR0917 (three layers go in)
    prices: pl.LazyFrame,
    sessions: pl.LazyFrame,
    events: pl.LazyFrame,
    forecaster: ForecasterParameters,
    backtest: BacktestParameters,
    exchange: Exchange,
    chunk_rows: int,
) -> Iterator[pl.DataFrame]:
    """Compute the forecaster's features for the sessions of training and backtest."""
    earnings = earnings_of(events)
    window = feature_window(sessions.collect(), forecaster, backtest)
    window = window._replace(calendar=sessions_around(earnings, exchange))
    compute = partial(features_in_window, window=window)
    yield from map_layer(compute, prices, earnings, rows=chunk_rows, task=FORECASTER_TASK)
