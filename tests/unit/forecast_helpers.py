"""Builders that the forecaster's tests share: features and backtests of made-up symbols."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from stock_volume import columns
from stock_volume.arrays import Floats
from stock_volume.evaluation.backtest import Plan, run_backtest
from stock_volume.evaluation.baselines import BASELINES
from stock_volume.evaluation.groups import COMMON_STOCK, FOLD
from stock_volume.evaluation.horizon_backtest import HORIZON_TYPES
from stock_volume.evaluation.measures import ScoredLayers
from stock_volume.evaluation.opening_backtest import (
    GAP_SIZE,
    GAP_SIZES,
    OPENING_TYPES,
    before,
)
from stock_volume.exchange import ScheduledEvent
from stock_volume.features.price import VOLATILITY_22
from stock_volume.features.quantities import ABNORMAL_STD, BARS_SO_FAR, BASE
from stock_volume.features.registry import ETA, FORECAST_FEATURES, NEXT_OPEN, NEXT_VOLUME
from stock_volume.forecaster.adaptation import AdaptationParameters, forecast_rows
from stock_volume.forecaster.history import History
from stock_volume.forecaster.model import FORECAST, MA5, Forecaster, quantile_name
from stock_volume.forecaster.occasion import OCCASION, OCCASION_FEATURES, OCCASIONS
from stock_volume.forecaster.opening import OPENING_QUANTILES
from stock_volume.forecaster.parameters import ForecasterParameters
from stock_volume.forecaster.universe import BUCKET, LIQUIDITY, VARIABILITIES, VARIABILITY

FIRST_SESSION: Final = date(2018, 1, 2)
LEVELS: Final = (0.1, 0.5, 0.9)
ADAPTATION: Final = AdaptationParameters()
SIGNAL: Final = {"volume_lag_0": 0.4, "return_lag_0": -0.3, "market_return": 0.2}
"""Features that eta depends on, and by how much."""

FEATURE_NAMES: Final = tuple(
    feature.name for feature in FORECAST_FEATURES if feature.event is not ScheduledEvent.EARNINGS
)
"""All features that NYSE has without dates of earnings."""

_NAMES: Final = ("Inc. - Common Stock", "plc - Ordinary Shares", "Fund ETF", "Corp. - Warrants")
_ETF: Final = 2
_UNKNOWN: Final = 0.02


def sessions_from(first: date, count: int) -> list[date]:
    """List weekdays, as a market without holidays would hold sessions."""
    days = (first + timedelta(days=number) for number in range(2 * count + 7))
    return [day for day in days if day.isoweekday() <= 5][:count]


def sessions_between(first: date, last: date) -> list[date]:
    """List the weekdays from one day to another, both included."""
    return [day for day in sessions_from(first, (last - first).days + 1) if day <= last]


def small_parameters(**changed: Any) -> ForecasterParameters:
    """Make parameters of a forecaster that trains within a moment."""
    small: dict[str, Any] = {
        "min_sessions": 1,
        "n_estimators": 20,
        "learning_rate": 0.2,
        "num_leaves": 7,
        "min_rows_in_leaf": 20,
        "feature_fraction": 0.5,
        "max_bin": 15,
        "boosters": 1,
        "early_stopping_rounds": 5,
        "quantile_trees": 8,
        "quantile_learning_rate": 0.3,
        "quantile_leaves": 5,
        "num_threads": 1,
        "quantiles": LEVELS,
        "horizons": (),
        "totals": (),
    }
    return ForecasterParameters(**small | changed)


def forecast_frame(
    symbols: int = 12,
    sessions: int = 80,
    seed: int = 0,
    first: date = FIRST_SESSION,
    history: int = 300,
) -> pl.DataFrame:
    """Make rows of ``forecast_features``: noise, except the features of ``SIGNAL``.

    Args:
        symbols: Number of symbols, S00 on; of each four one is an ETF, one a warrant.
        sessions: Sessions, weekdays, on each of which every symbol has a bar.
        seed: Of the values.
        first: The first day of an origin.
        history: Bars of each symbol before its first row.

    Returns:
        The rows, sorted by symbol and date; the last of each symbol has no target.
    """
    random = np.random.default_rng(seed)
    shape = (symbols, sessions)
    days = sessions_from(first, sessions + 1)
    drawn = random.standard_normal((len(FEATURE_NAMES), *shape), dtype=np.float32)
    drawn[:, random.random(shape) < _UNKNOWN] = np.nan
    values = dict(zip(FEATURE_NAMES, drawn, strict=True))
    size = np.linspace(np.log(3e4), np.log(3e8), symbols)[:, None] * np.ones(shape)
    values[LIQUIDITY] = size.astype(np.float32)
    values[ABNORMAL_STD] = random.uniform(0.3, 1.2, shape).astype(np.float32)
    values |= {flag: np.zeros(shape, np.float32) for flag in OCCASION_FEATURES if flag in values}
    signal = sum(slope * np.nan_to_num(values[name]) for name, slope in SIGNAL.items())
    eta = signal + random.normal(0, 0.4, shape)
    base = size + random.normal(0, 0.1, shape)
    close = np.exp(random.normal(3, 1, (symbols, 1))) * np.ones(shape)
    following = np.maximum(np.round(np.exp(base + eta) / close), 1)
    volume = np.column_stack([np.full(symbols, 1000.0), following[:, :-1]])
    last = np.arange(sessions) == sessions - 1
    names = [f"S{number:02}" for number in range(symbols)]
    kinds = [number % len(_NAMES) for number in range(symbols)]
    frame = pl.DataFrame(
        {
            columns.SYMBOL: np.repeat(names, sessions),
            columns.SECURITY_NAME: np.repeat(
                [f"{name} {_NAMES[kind]}" for name, kind in zip(names, kinds, strict=True)],
                sessions,
            ),
            columns.ETF: np.repeat([kind == _ETF for kind in kinds], sessions),
            columns.DATE: days[:-1] * symbols,
            columns.TARGET_DATE: days[1:] * symbols,
            columns.CLOSE: close.ravel(),
            columns.VOLUME: volume.ravel().astype(np.int64),
            BASE: base.ravel(),
            BARS_SO_FAR: np.tile(np.arange(sessions) + history + 1, symbols),
            NEXT_VOLUME: following.ravel().astype(np.int64),
            NEXT_OPEN: (close * np.exp(random.normal(0, 0.02, shape))).ravel(),
            ETA: (np.log(following * close) - base).ravel(),
            **{name: values[name].ravel() for name in FEATURE_NAMES},
        },
        schema_overrides={BARS_SO_FAR: pl.Int64},
    )
    known = pl.Series(~np.tile(last, symbols))
    return frame.with_columns(
        *(pl.when(known).then(name).alias(name) for name in (NEXT_VOLUME, NEXT_OPEN, ETA)),
        pl.col(FEATURE_NAMES).fill_nan(None),
    )


def forget_targets(rows: pl.DataFrame, where: pl.Expr) -> pl.DataFrame:
    """Remove the outcomes of some rows, as for bars without a next one."""
    return rows.with_columns(
        pl.when(~where).then(name).alias(name) for name in (ETA, NEXT_OPEN, NEXT_VOLUME)
    )


def change_targets(rows: pl.DataFrame, where: pl.Expr) -> pl.DataFrame:
    """Replace the outcomes of some rows by very different ones."""
    return rows.with_columns(
        pl.when(where).then(3 - 2 * pl.col(ETA)).otherwise(ETA).alias(ETA),
        pl.when(where).then(7 * pl.col(NEXT_VOLUME)).otherwise(NEXT_VOLUME).alias(NEXT_VOLUME),
    )


def without_history(forecaster: Forecaster, rows: pl.DataFrame) -> History:
    """Rows of ``forecast_features``, without forecasts of a backtest."""
    return History(forecast_rows(forecaster, rows.clear()).lazy(), rows.lazy(), ADAPTATION)


def backtest_of(
    features: pl.DataFrame, plan: Plan, parameters: ForecasterParameters
) -> pl.DataFrame:
    """Run a backtest, and return its forecasts of the next session."""
    return pl.concat(rows.forecasts for rows in run_backtest(features.lazy(), plan, parameters))


def scored(
    rows: pl.DataFrame,
    horizons: pl.DataFrame | None = None,
    openings: pl.DataFrame | None = None,
) -> ScoredLayers:
    """Take rows of ``run_backtest`` for a backtest, without other protocols unless given."""
    others = (
        pl.DataFrame(schema=types) if given is None else given
        for given, types in ((horizons, HORIZON_TYPES), (openings, OPENING_TYPES))
    )
    return ScoredLayers(rows.lazy(), *(one.lazy() for one in others))


def backtest_frame(
    symbols: int = 10,
    sessions: int = 60,
    seed: int = 0,
    first: date = date(2018, 11, 12),
    levels: Sequence[float] = LEVELS,
) -> pl.DataFrame:
    """Make rows of ``run_backtest``, with forecasts that explain about half of eta.

    Args:
        symbols: Number of symbols, S00 on; of each four one is an ETF, one of another kind.
            Bucket of liquidity, occasion, variability and fold go round with the symbol and the
            session.
        sessions: Sessions, weekdays, on each of which every symbol is scored.
        seed: Of the values.
        first: The first day of an origin.
        levels: Of the quantiles, ascending.

    Returns:
        The rows, sorted by symbol and date.
    """
    random = np.random.default_rng(seed)
    rows = symbols * sessions
    days = sessions_from(first, sessions + 1)
    number = np.repeat(np.arange(symbols), sessions)
    ma5 = np.exp(random.normal(9, 0.2, rows) + number / 2)
    volume = np.maximum(np.round(ma5 * np.exp(random.normal(0, 0.5, rows))), 1)
    eta = np.log(volume / ma5)
    forecast = ma5 * np.exp(eta / 2 + random.normal(0, 0.2, rows))
    spread = np.sort(random.normal(0, 0.6, (rows, len(levels))), axis=1)
    return pl.DataFrame(
        {
            columns.SYMBOL: [f"S{place:02}" for place in number],
            columns.DATE: days[:-1] * symbols,
            columns.TARGET_DATE: days[1:] * symbols,
            columns.VOLUME: volume.astype(np.int64),
            FORECAST: forecast,
            **{
                quantile_name(level): forecast * np.exp(spread[:, place])
                for place, level in enumerate(levels)
            },
            MA5: ma5,
            **{name: _around(ma5, random) for name in BASELINES if name != MA5},
            columns.CLOSE: np.exp(random.normal(3, 1, symbols))[number],
            ETA: eta,
            columns.ETF: number % len(_NAMES) == _ETF,
            COMMON_STOCK: number % len(_NAMES) < _ETF,
            BUCKET: (number % 5).astype(np.int8),
            OCCASION: (np.arange(rows) % len(OCCASIONS)).astype(np.int8),
            VARIABILITY: (number % len(VARIABILITIES)).astype(np.int8),
            FOLD: (np.arange(rows) % sessions * 2 // sessions).astype(np.int32),
        }
    )


def opening_frame(symbols: int = 10, sessions: int = 60, seed: int = 0) -> pl.DataFrame:
    """Make rows of ``join_openings``, where volumes follow the size of the gap.

    Args:
        symbols: Number of symbols, as in ``backtest_frame``.
        sessions: Sessions, weekdays, on each of which every symbol is scored.
        seed: Of the values.

    Returns:
        The rows, sorted by target session and symbol.
    """
    random = np.random.default_rng(seed)
    rows = backtest_frame(symbols, sessions, seed)
    volatility = random.uniform(0.01, 0.03, rows.height)
    score = random.standard_t(4, rows.height)
    excess = np.minimum(np.abs(score), 4) / 2 - 0.5 + random.normal(0, 0.1, rows.height)
    volume = np.maximum(np.round(rows[FORECAST].to_numpy() * np.exp(excess)), 1)
    return rows.with_columns(
        pl.Series(columns.VOLUME, volume.astype(np.int64)),
        pl.Series(ETA, np.log(volume / rows[MA5].to_numpy())),
        (pl.col(columns.CLOSE) * pl.Series(np.exp(score * volatility))).alias(NEXT_OPEN),
        pl.Series(LIQUIDITY, random.normal(16, 2, rows.height).astype(np.float32)),
        pl.Series(VOLATILITY_22, volatility.astype(np.float32)),
    ).sort(columns.TARGET_DATE, columns.SYMBOL)


def opened(rows: pl.DataFrame) -> pl.DataFrame:
    """Make rows of ``backtest_opening`` of a backtest, with forecasts that explain most of eta."""
    names = (FORECAST, *OPENING_QUANTILES)
    number = pl.int_range(pl.len())
    return rows.with_columns(
        *(pl.col(name).alias(before(name)) for name in names),
        *((pl.col(name) * pl.col(ETA).exp() * pl.col(MA5)).sqrt() for name in names),
        (pl.col(columns.CLOSE) * 1.01).alias(NEXT_OPEN),
        (number % len(GAP_SIZES)).cast(pl.Int8).alias(GAP_SIZE),
    ).select(OPENING_TYPES.keys())


def _around(values: Floats, random: np.random.Generator) -> Floats:
    moved: npt.NDArray[np.float64] = values * np.exp(random.normal(0, 0.3, len(values)))
    return moved
