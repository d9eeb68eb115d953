"""The errors of a backtest, as figures."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from stock_volume import columns
from stock_volume.evaluation.backtest import BUCKET, COMMON_STOCK
from stock_volume.evaluation.baselines import BASELINES, MA5
from stock_volume.features.registry import ETA
from stock_volume.forecaster.model import FORECAST, INTERVAL_NAMES, quantile_name
from stock_volume.forecaster.parameters import BacktestParameters
from stock_volume.forecaster.universe import BUCKETS
from stock_volume.metrics import Floats

PER_CENT: Final = 100.0
_INTERVAL: Final = (2.5, 97.5)
_ROUNDING: Final = 1e-9
"""Logs that differ by less are equal: means of equal logs are off by their rounding."""

_LOWER, _UPPER = INTERVAL_NAMES


def eta_of(forecast: str) -> pl.Expr:
    """Turn a forecast in shares back to eta: ma5 is the volume that an eta of 0 stands for."""
    return (pl.col(forecast) / pl.col(MA5)).log()


def _share(value: pl.Expr) -> pl.Expr:
    return value.cast(pl.Float64).mean()


def _level() -> pl.Expr:
    """Log dollar volume of the target session."""
    return (pl.col(MA5) * pl.col(columns.CLOSE)).log() + pl.col(ETA)


def _level_variance() -> pl.Expr:
    """Variance of the log dollar volume; null where it does not vary."""
    varies = _level().max() - _level().min() > _ROUNDING
    return pl.when(varies).then(_level().var(ddof=0))


def eta_squares() -> pl.Expr:
    """Square eta, the error of a forecast of ma5; 0 where it is a rounding error."""
    eta = pl.col(ETA)
    return pl.when(eta.abs() > _ROUNDING).then(eta.pow(2)).otherwise(0.0)


def point_measures(forecast: str) -> list[pl.Expr]:
    """Measure the errors of point forecasts.

    Args:
        forecast: Column of the forecast, in shares.

    Returns:
        Aggregations of rows of a backtest, named:

        - ``eta_r2``: 1 - SSE / SSE of a forecast of ma5, of log dollar volume, in per cent;
          null where that forecast has no error;
        - ``level_r2``: 1 - SSE / SSE of the mean, of log dollar volume, in per cent; null
          where the dollar volume does not vary, and of a single row;
        - ``mdape``: median of the absolute error over the volume, in per cent;
        - ``mae``: mean absolute error, in shares;
        - ``qlike``: mean of ratio - log ratio - 1, the ratio being volume over forecast
          (Patton, 2011);
        - ``bias``: mean of eta less its forecast, in logs; below 0 where forecasts are
          too high.
    """
    error = pl.col(ETA) - eta_of(forecast)
    volume = pl.col(columns.VOLUME)
    ratio = volume / pl.col(forecast)
    of_ma5 = eta_squares().sum()
    return [
        (PER_CENT * (1 - error.pow(2).sum() / pl.when(of_ma5 > 0).then(of_ma5))).alias("eta_r2"),
        (PER_CENT * (1 - error.pow(2).mean() / _level_variance())).alias("level_r2"),
        (PER_CENT * ((volume - pl.col(forecast)).abs() / volume).median()).alias("mdape"),
        (volume - pl.col(forecast)).abs().mean().alias("mae"),
        (ratio - ratio.log() - 1).mean().alias("qlike"),
        error.mean().alias("bias"),
    ]


def _pinball(levels: Sequence[float]) -> pl.Expr:
    """Mean pinball loss of the log volume over the levels (Koenker and Bassett, 1978)."""
    losses = []
    for level in levels:
        error = (pl.col(columns.VOLUME) / pl.col(quantile_name(level))).log()
        losses.append(pl.max_horizontal(level * error, (level - 1) * error))
    return pl.mean_horizontal(losses).mean()


def interval_measures(levels: Sequence[float]) -> list[pl.Expr]:
    """Measure the quantiles.

    Args:
        levels: Of the quantiles, 0.1 and 0.9 among them.

    Returns:
        Aggregations of rows of a backtest: ``pinball``, of log volume; ``coverage_80``,
        the share of volumes from the quantile 10 to 90, in per cent; and for each
        quantile the share of volumes up to it.
    """
    volume = pl.col(columns.VOLUME)
    names = [quantile_name(level) for level in levels]
    inside = volume.is_between(pl.col(_LOWER), pl.col(_UPPER))
    return [
        _pinball(levels).alias("pinball"),
        (PER_CENT * _share(inside)).alias("coverage_80"),
        *((PER_CENT * _share(volume <= pl.col(name))).alias(f"below_{name}") for name in names),
    ]


def evaluate_backtest(
    backtest: pl.LazyFrame, levels: Sequence[float], parameters: BacktestParameters
) -> dict[str, Any]:
    """Measure a backtest.

    Args:
        backtest: Rows of ``run_backtest``.
        levels: Levels of its quantiles.
        parameters: Of the bootstrap.

    Returns:
        The measures of common stocks, which are the headline: those of
        ``point_measures`` and ``interval_measures``, with bootstrap intervals; then by
        bucket of liquidity, by kind of security, by fold, and of each baseline. Where
        there is no common stock, the headline is of all symbols.
    """
    rows = backtest.collect(engine="streaming")
    headline = rows.filter(pl.col(COMMON_STOCK))
    universe = "common stocks"
    if not headline.height:
        headline, universe = rows, "all symbols"
    measures = [*point_measures(FORECAST), *interval_measures(levels)]
    return {
        "universe": universe,
        **_measured(headline, measures),
        "intervals_95": bootstrap_intervals(headline, parameters),
        "by_bucket": _by_bucket(headline, measures),
        "by_security": {
            "common stocks": _measured(rows.filter(pl.col(COMMON_STOCK)), measures),
            "other stocks": _measured(
                rows.filter(~pl.col(COMMON_STOCK) & ~pl.col(columns.ETF)), measures
            ),
            "ETFs": _measured(rows.filter(pl.col(columns.ETF)), measures),
            "all symbols": _measured(rows, measures),
        },
        "by_year": _by_year(headline, measures),
        "baselines": {
            baseline: _measured(headline, point_measures(baseline)) for baseline in BASELINES
        },
    }


def _measured(rows: pl.DataFrame, measures: Iterable[pl.Expr]) -> dict[str, Any]:
    counts = {
        "n": rows.height,
        "symbols": rows[columns.SYMBOL].n_unique(),
        "sessions": rows[columns.TARGET_DATE].n_unique(),
    }
    if not rows.height:
        return counts
    return {**counts, **rows.select(measures).row(0, named=True)}


def _by_bucket(rows: pl.DataFrame, measures: Sequence[pl.Expr]) -> dict[str, Any]:
    return {
        name: _measured(rows.filter(pl.col(BUCKET) == number), measures)
        for number, name in enumerate(BUCKETS)
    }


def _by_year(rows: pl.DataFrame, measures: Sequence[pl.Expr]) -> dict[str, Any]:
    year = pl.col(columns.TARGET_DATE).dt.year()
    years = rows.select(year.unique().sort()).to_series()
    return {str(number): _measured(rows.filter(year == number), measures) for number in years}


def bootstrap_intervals(
    rows: pl.DataFrame, parameters: BacktestParameters
) -> dict[str, list[float] | None]:
    """Tell how far chance may move the measures that sums over sessions make.

    Sessions are drawn in blocks (the moving block bootstrap of Kuensch, 1989), since
    the errors of a session's symbols, and of neighbouring sessions, go together.

    Args:
        rows: Rows of a backtest.
        parameters: Number of resamples and length of the blocks.

    Returns:
        The central 95 % of the resamples of ``eta_r2``, of ``mae`` and of
        ``coverage_80``, and of ``eta_r2_over_har``, the lead over that baseline; None
        where a resample has no value.
    """
    volume = pl.col(columns.VOLUME)
    sums = (
        rows.group_by(columns.TARGET_DATE)
        .agg(
            (pl.col(ETA) - eta_of(FORECAST)).pow(2).sum().alias("sse"),
            (pl.col(ETA) - eta_of("har")).pow(2).sum().alias("sse_har"),
            eta_squares().sum().alias("sst"),
            (volume - pl.col(FORECAST)).abs().sum().alias("absolute"),
            volume.is_between(pl.col(_LOWER), pl.col(_UPPER)).sum().alias("inside"),
            pl.len().alias("n"),
        )
        .sort(columns.TARGET_DATE)
        .drop(columns.TARGET_DATE)
    )
    sse, sse_har, sst, absolute, inside, n = _resampled(sums.to_numpy(), parameters).T
    defined = sst.all()
    return {
        "eta_r2": _central(PER_CENT * (1 - sse / sst)) if defined else None,
        "eta_r2_over_har": _central(PER_CENT * (sse_har - sse) / sst) if defined else None,
        "mae": _central(absolute / n),
        "coverage_80": _central(PER_CENT * inside / n),
    }


def _resampled(sums: Floats, parameters: BacktestParameters) -> Floats:
    """Sums over the sessions of each resample, shape (resamples, sums)."""
    sessions = len(sums)
    block = min(parameters.block_sessions, sessions)
    generator = np.random.default_rng(0)
    starts = generator.integers(
        0, sessions - block + 1, (parameters.resamples, -(-sessions // block))
    )
    drawn = (starts[:, :, None] + np.arange(block)).reshape(parameters.resamples, -1)[:, :sessions]
    total: Floats = sums[drawn].sum(axis=1)
    return total


def _central(values: Floats) -> list[float]:
    return [float(bound) for bound in np.percentile(values, _INTERVAL)]
