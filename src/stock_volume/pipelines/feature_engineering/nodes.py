"""Nodes of the pipeline feature_engineering."""

from collections.abc import Iterator
from functools import partial

import polars as pl

from stock_volume.evaluation.backtest import feature_window
from stock_volume.exchange import Exchange
from stock_volume.features.market import market_sessions, sum_bars
from stock_volume.features.registry import FeatureParameters, add_features
from stock_volume.features.window import features_in_window
from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters
from stock_volume.symbols import map_layer, map_symbols


def engineer_features(
    prices: pl.LazyFrame, parameters: FeatureParameters, chunk_rows: int
) -> Iterator[pl.DataFrame]:
    """Add the estimator's features to the prices, a range of symbols at a time."""
    yield from map_layer(partial(add_features, parameters=parameters), prices, rows=chunk_rows)


def describe_sessions(prices: pl.LazyFrame, exchange: Exchange, chunk_rows: int) -> pl.DataFrame:
    """Measure the market on each session, and look up the calendar of the next one."""
    return market_sessions(map_symbols(sum_bars, prices, rows=chunk_rows), exchange)


def engineer_forecast_features(
    prices: pl.LazyFrame,
    sessions: pl.LazyFrame,
    forecaster: ForecasterParameters,
    backtest: BacktestParameters,
    chunk_rows: int,
) -> Iterator[pl.DataFrame]:
    """Compute the forecaster's features for the sessions of training and backtest."""
    window = feature_window(sessions.collect(), forecaster, backtest)
    yield from map_layer(partial(features_in_window, window=window), prices, rows=chunk_rows)
