"""Nodes of the pipeline feature_engineering."""

from collections.abc import Iterator

import polars as pl

from stock_volume import columns
from stock_volume.concurrency import map_ahead
from stock_volume.evaluation.backtest import first_session_wanted
from stock_volume.exchange import Exchange
from stock_volume.features.chunks import symbol_chunks
from stock_volume.features.market import market_sessions, market_sums
from stock_volume.features.quantities import add_quantities
from stock_volume.features.registry import (
    FeatureParameters,
    add_features,
    changed_sessions,
    forecast_features,
)
from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters


def engineer_features(
    prices: pl.LazyFrame, parameters: FeatureParameters, chunk_rows: int
) -> Iterator[pl.DataFrame]:
    """Add the estimator's features to the prices, a chunk of symbols at a time."""

    def of_chunk(chunk: pl.LazyFrame) -> pl.DataFrame:
        return add_features(chunk.collect(), parameters)

    yield from map_ahead(of_chunk, symbol_chunks(prices, chunk_rows))


def describe_sessions(prices: pl.LazyFrame, exchange: Exchange, chunk_rows: int) -> pl.DataFrame:
    """Measure the market by session, and look up the calendar of the one after each."""

    def of_chunk(chunk: pl.LazyFrame) -> pl.DataFrame:
        return market_sums(add_quantities(chunk.collect()))

    return market_sessions(map_ahead(of_chunk, symbol_chunks(prices, chunk_rows)), exchange)


def engineer_forecast_features(
    prices: pl.LazyFrame,
    sessions: pl.LazyFrame,
    forecaster: ForecasterParameters,
    backtest: BacktestParameters,
    chunk_rows: int,
) -> Iterator[pl.DataFrame]:
    """Make the forecaster's features, for the sessions that training and backtest need."""
    known = sessions.collect()
    wanted = _wanted(known, forecaster, backtest)

    def of_chunk(chunk: pl.LazyFrame) -> pl.DataFrame:
        return forecast_features(chunk.collect(), known).filter(wanted)

    yield from map_ahead(of_chunk, symbol_chunks(prices, chunk_rows))


def renew_forecast_features(  # noqa: PLR0913, PLR0917 (they are what they are made from)
    held: pl.LazyFrame,
    touched: pl.Series,
    prices: pl.LazyFrame,
    sessions: pl.LazyFrame,
    forecaster: ForecasterParameters,
    backtest: BacktestParameters,
    chunk_rows: int,
) -> Iterator[pl.DataFrame]:
    """Make the forecaster's features of some symbols anew, and keep those of the others.

    The others keep theirs only while the market of their sessions is as it was: what all
    symbols share is looked up in the layer itself.
    """
    known = sessions.collect()
    wanted = _wanted(known, forecaster, backtest)
    symbol = pl.col(columns.SYMBOL)
    changed = changed_sessions(held, known)
    stale = (
        held.filter(pl.col(columns.DATE).is_in(changed.implode()))
        .select(symbol.unique())
        .collect(engine="streaming")
    )
    anew = touched.append(stale[columns.SYMBOL]).unique()

    def of_chunk(chunk: pl.LazyFrame) -> pl.DataFrame:
        bars = chunk.collect()
        kept = ~bars[columns.SYMBOL].unique().is_in(anew.implode())
        renewed = forecast_features(bars.filter(symbol.is_in(anew.implode())), known)
        if not kept.any():
            return renewed.filter(wanted)
        # As literals: a text alone would name a column.
        first, last = (pl.lit(bars[columns.SYMBOL][place]) for place in (0, -1))
        others = held.filter(symbol.is_between(first, last) & ~symbol.is_in(anew.implode()))
        both = pl.concat([renewed, others.collect()]).filter(wanted)
        return both.sort(columns.SYMBOL, columns.DATE)

    yield from map_ahead(of_chunk, symbol_chunks(prices, chunk_rows))


def _wanted(
    sessions: pl.DataFrame, forecaster: ForecasterParameters, backtest: BacktestParameters
) -> pl.Expr:
    last = sessions[columns.TARGET_DATE].to_list()[-1]
    return pl.col(columns.TARGET_DATE) >= first_session_wanted(last, forecaster, backtest)
