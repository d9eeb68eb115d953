"""What the service needs to know of the symbols, taken from the layers of a run."""

from datetime import timedelta
from typing import Final, NamedTuple

import polars as pl

from stock_volume import columns
from stock_volume.evaluation.measures import interval_measures, point_measures
from stock_volume.exchange import Exchange
from stock_volume.features.market import extend_sessions
from stock_volume.features.quantities import MONTH
from stock_volume.features.schedule import (
    Schedule,
    carry_schedule,
    earnings_of,
    next_events,
    sessions_around,
)
from stock_volume.forecaster.history import History, forecast_adapted
from stock_volume.forecaster.live import latest_of_each
from stock_volume.forecaster.model import (
    FORECAST,
    INTERVAL_LEVELS,
    INTERVAL_NAMES,
    Forecaster,
)
from stock_volume.snapshot.forecasts import (
    RECENT_SESSIONS,
    RECENT_VOLUMES,
    compare_forecasts,
)
from stock_volume.symbols import map_symbols

HISTORY_DAYS: Final = 731
"""Calendar days of bars that a snapshot keeps of each symbol, up to its latest."""

RECORD_SESSIONS: Final = 60
"""Latest forecasts of the backtest that a snapshot keeps of each symbol."""

FIRST_BAR: Final = "first_bar"
LATEST_BAR: Final = "latest_bar"
BARS: Final = "bars"
DOLLAR_VOLUME: Final = "dollar_volume"
SCORED: Final = "n"
FIRST_SCORED: Final = "first"
LAST_SCORED: Final = "last"

_CALENDAR_AHEAD: Final = timedelta(days=10 * 365)
"""How long after the data fresh bars may be of; the exchange's rules are known as far."""

_CHUNK_ROWS: Final = 100_000
_RECORD_MEASURES: Final = ("eta_r2", "mdape", "mae", "coverage_80")


class Snapshot(NamedTuple):
    """What the service needs to know, all sorted by symbol and date.

    Attributes:
        symbols: One row a symbol: names, its first and latest bar, how many, its mean
            daily dollar volume of the last 22, and the estimator's inputs at the latest.
        latest: The latest row of ``forecast_features`` of each symbol that can be
            forecast.
        history: The latest bars of each symbol.
        sessions: The sessions, extended beyond the data.
        records: One row a symbol that the backtest has scored: its measures.
        scored: The latest forecasts of the backtest with the actual volumes.
        events: One row per symbol of ``latest`` with a known event ahead: rows of
            ``next_events``.
        forecasts: The forecast of each row of ``latest``: rows of ``compare_forecasts``.
        bias: What adapts forecasts of a bucket of liquidity: rows of ``AdaptedForecasts.bias``.
    """

    symbols: pl.LazyFrame
    latest: pl.LazyFrame
    history: pl.LazyFrame
    sessions: pl.LazyFrame
    records: pl.LazyFrame
    scored: pl.LazyFrame
    events: pl.LazyFrame
    forecasts: pl.LazyFrame
    bias: pl.LazyFrame


def take_snapshot(  # noqa: PLR0913, PLR0917 (six layers and a model go in)
    features: pl.LazyFrame,
    sessions: pl.LazyFrame,
    history: History,
    backtest: pl.LazyFrame,
    events: pl.LazyFrame,
    exchange: Exchange,
    forecaster: Forecaster,
) -> Snapshot:
    """Take what the service needs from the layers of a run, and make its forecasts.

    Args:
        features: Prices with the estimator's features, sorted by symbol and date.
        sessions: The market by session.
        history: Features of the forecaster, and past forecasts.
        backtest: Rows of ``adapt_backtest``.
        events: The events layer.
        exchange: The exchange of all of them.
        forecaster: The trained forecaster.

    Returns:
        The snapshot; its bars are read when it is saved.

    Raises:
        ExchangeMismatchError: The sessions or the forecaster are of another exchange.
    """
    forecaster.check_exchange(exchange)
    known = sessions.collect()
    last = known.select(pl.col(columns.DATE).max()).item()
    latest = latest_of_each(history.features)
    made = forecast_adapted(forecaster, latest, history, forecaster.training.parameters)
    symbols = _symbols(features)
    return Snapshot(
        symbols=symbols.drop(RECENT_VOLUMES).lazy(),
        latest=latest.lazy(),
        history=_history(features),
        sessions=carry_schedule(
            known, extend_sessions(known, last + _CALENDAR_AHEAD, exchange)
        ).lazy(),
        records=_records(backtest),
        scored=_scored(backtest),
        events=_events_ahead(latest, events, exchange).lazy(),
        forecasts=compare_forecasts(made.forecasts, latest, symbols).lazy(),
        bias=made.bias.lazy(),
    )


def _symbols(features: pl.LazyFrame) -> pl.DataFrame:
    # By ranges of symbols: Polars reads a whole layer into memory to find the last row of each.
    task = "describing symbols"
    return pl.concat(map_symbols(_describe_symbols, features, rows=_CHUNK_ROWS, task=task))


def _describe_symbols(features: pl.DataFrame) -> pl.DataFrame:
    """Compute the rows of ``Snapshot.symbols``, with the latest volumes."""
    day = pl.col(columns.DATE)
    dollars = pl.col(columns.VOLUME) * pl.col(columns.CLOSE)
    return (
        features.group_by(columns.SYMBOL)
        .agg(
            pl.col(columns.SECURITY_NAME, columns.ETF).last(),
            day.first().alias(FIRST_BAR),
            day.last().alias(LATEST_BAR),
            pl.len().cast(pl.Int64).alias(BARS),
            dollars.tail(MONTH).mean().alias(DOLLAR_VOLUME),
            pl.col(columns.ESTIMATOR_INPUTS).last(),
            pl.col(columns.VOLUME).tail(RECENT_SESSIONS).alias(RECENT_VOLUMES),
        )
        .sort(columns.SYMBOL)
    )


def _events_ahead(latest: pl.DataFrame, events: pl.LazyFrame, exchange: Exchange) -> pl.DataFrame:
    earnings = earnings_of(events).collect()
    return next_events(latest, Schedule(earnings, sessions_around(earnings.lazy(), exchange)))


def _history(features: pl.LazyFrame) -> pl.LazyFrame:
    latest = features.group_by(columns.SYMBOL).agg(pl.col(columns.DATE).max().alias(LATEST_BAR))
    return (
        features.join(latest, on=columns.SYMBOL, maintain_order="left")
        .filter(pl.col(columns.DATE) > pl.col(LATEST_BAR) - pl.duration(days=HISTORY_DAYS))
        .select(columns.SYMBOL, *columns.BAR)
    )


def _records(backtest: pl.LazyFrame) -> pl.LazyFrame:
    session = pl.col(columns.TARGET_DATE)
    measures = [*point_measures(FORECAST), *interval_measures(INTERVAL_LEVELS)]
    return (
        backtest.group_by(columns.SYMBOL)
        .agg(
            pl.len().cast(pl.Int64).alias(SCORED),
            session.min().alias(FIRST_SCORED),
            session.max().alias(LAST_SCORED),
            *measures,
        )
        .select(columns.SYMBOL, SCORED, FIRST_SCORED, LAST_SCORED, *_RECORD_MEASURES)
        .sort(columns.SYMBOL)
    )


def _scored(backtest: pl.LazyFrame) -> pl.LazyFrame:
    return (
        backtest.sort(columns.SYMBOL, columns.TARGET_DATE)
        .group_by(columns.SYMBOL, maintain_order=True)
        .tail(RECORD_SESSIONS)
        .select(
            columns.SYMBOL,
            columns.TARGET_DATE,
            columns.VOLUME,
            FORECAST,
            *INTERVAL_NAMES,
        )
    )
