"""Error measures of a backtest."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from stock_volume import columns
from stock_volume.arrays import Floats
from stock_volume.evaluation.backtest import Plan
from stock_volume.evaluation.baselines import BASELINES
from stock_volume.evaluation.groups import COMMON_STOCK
from stock_volume.evaluation.headline import Universe, choose_universe, select_universe
from stock_volume.evaluation.horizon_backtest import HORIZON, HORIZON_BASELINES
from stock_volume.evaluation.opening_backtest import GAP_SIZE, GAP_SIZES, before
from stock_volume.evaluation.results import (
    BacktestMetrics,
    BootstrapIntervals,
    GroupMetrics,
    HorizonMetrics,
    Interval,
    OpeningGroup,
    OpeningMetrics,
    PointMetrics,
)
from stock_volume.features.expressions import mean_of
from stock_volume.features.registry import ETA
from stock_volume.forecaster.horizons import HORIZON_LEVELS
from stock_volume.forecaster.model import FORECAST, INTERVAL_NAMES, MA5, quantile_name
from stock_volume.forecaster.occasion import OCCASION, OCCASIONS
from stock_volume.forecaster.opening import OPENING_LEVELS, OPENING_VOLUMES
from stock_volume.forecaster.parameters import BacktestParameters
from stock_volume.forecaster.universe import BUCKET, BUCKETS, VARIABILITIES, VARIABILITY
from stock_volume.progress import watch

PER_CENT: Final = 100.0

_COST_OF_TOO_MUCH: Final = 2.0
"""A desk that plans for volume that does not come pays more than one that could trade more."""

_INTERVAL: Final = (2.5, 97.5)
_ROUNDING: Final = 1e-9
"""Logs that differ by less are equal: means of equal logs differ by rounding errors."""

_OTHER_STOCKS: Final = "other stocks"
_ETFS: Final = "ETFs"
_SSE_HAR: Final = "sse_har"
_TASK: Final = "measuring the backtest"

_LOWER, _UPPER = INTERVAL_NAMES


def eta_of(forecast: str) -> pl.Expr:
    """Convert a forecast from shares to eta; ``ma5`` is the volume at which eta is 0."""
    return (pl.col(forecast) / pl.col(MA5)).log()


def eta_squares() -> pl.Expr:
    """Square eta, the error of the ``ma5`` forecast; 0 where it is a rounding error."""
    eta = pl.col(ETA)
    return pl.when(eta.abs() > _ROUNDING).then(eta.pow(2)).otherwise(0.0)


def is_inside_interval() -> pl.Expr:
    """Return whether the volume is from quantile 0.1 to quantile 0.9."""
    return pl.col(columns.VOLUME).is_between(pl.col(_LOWER), pl.col(_UPPER))


def eta_r2(sse: pl.Expr, sst: pl.Expr) -> pl.Expr:
    """Compute eta-R2 from its sums.

    Args:
        sse: Sum of the squared errors of eta.
        sst: Sum of ``eta_squares``.

    Returns:
        1 - SSE / SST in per cent; null where SST is 0.
    """
    return PER_CENT * (1 - sse / pl.when(sst > 0).then(sst))


def coverage(inside: pl.Expr, n: pl.Expr) -> pl.Expr:
    """Compute the coverage of the interval from its sums.

    Args:
        inside: Number of volumes inside the interval.
        n: Number of volumes.

    Returns:
        Their share in per cent.
    """
    return PER_CENT * (inside / n)


def eta_r2_of(forecast: str) -> pl.Expr:
    """Aggregate rows of a backtest to the eta-R2 of a forecast.

    Args:
        forecast: Column of the forecast, in shares.

    Returns:
        Aggregation named ``eta_r2``, in per cent; null where ``ma5`` has no error.
    """
    error = pl.col(ETA) - eta_of(forecast)
    return eta_r2(error.pow(2).sum(), eta_squares().sum()).alias("eta_r2")


def _log_dollars() -> pl.Expr:
    """Log dollar volume of the target session."""
    return (pl.col(MA5) * pl.col(columns.CLOSE)).log() + pl.col(ETA)


def _log_dollars_variance() -> pl.Expr:
    """Variance of the log dollar volume; null where it does not vary."""
    varies = _log_dollars().max() - _log_dollars().min() > _ROUNDING
    return pl.when(varies).then(_log_dollars().var(ddof=0))


def point_measures(forecast: str) -> list[pl.Expr]:
    """List the measures of a point forecast.

    Args:
        forecast: Column of the forecast, in shares.

    Returns:
        Aggregations of rows of a backtest, named as the fields of ``PointMetrics``.
        ``eta_r2`` is null where ``ma5`` has no error, ``level_r2`` where the dollar
        volume does not vary, as in a single row. QLIKE is that of Patton (2011).
    """
    error = pl.col(ETA) - eta_of(forecast)
    volume = pl.col(columns.VOLUME)
    ratio = volume / pl.col(forecast)
    level_r2 = PER_CENT * (1 - error.pow(2).mean() / _log_dollars_variance())
    return [
        eta_r2_of(forecast),
        level_r2.alias("level_r2"),
        (PER_CENT * ((volume - pl.col(forecast)).abs() / volume).median()).alias("mdape"),
        (volume - pl.col(forecast)).abs().mean().alias("mae"),
        (ratio - ratio.log() - 1).mean().alias("qlike"),
        _ale(ratio).alias("ale"),
        error.mean().alias("bias"),
    ]


def _ale(ratio: pl.Expr) -> pl.Expr:
    """Mean absolute log error; a forecast above the volume counts twice."""
    error = ratio.log()
    return pl.max_horizontal(error, _COST_OF_TOO_MUCH * -error).mean()


def _pinball(levels: Sequence[float]) -> pl.Expr:
    """Mean pinball loss of the log volume over the levels (Koenker and Bassett, 1978)."""
    losses = []
    for level in levels:
        error = (pl.col(columns.VOLUME) / pl.col(quantile_name(level))).log()
        losses.append(pl.max_horizontal(level * error, (level - 1) * error))
    return mean_of(losses).mean()


def interval_measures(levels: Sequence[float]) -> list[pl.Expr]:
    """List the measures of the quantiles.

    Args:
        levels: Levels of the quantiles, 0.1 and 0.9 among them.

    Returns:
        Aggregations of rows of a backtest: ``pinball``, of log volume; ``coverage_80``,
        the share of volumes from quantile 0.1 to quantile 0.9, in per cent; and for each
        quantile the share of volumes up to it, such as ``below_q10``.
    """
    volume = pl.col(columns.VOLUME)
    names = [quantile_name(level) for level in levels]
    return [
        _pinball(levels).alias("pinball"),
        coverage(is_inside_interval().sum(), pl.len()).alias("coverage_80"),
        *(
            (PER_CENT * (volume <= pl.col(name)).cast(pl.Float64).mean()).alias(f"below_{name}")
            for name in names
        ),
    ]


class ScoredLayers(NamedTuple):
    """The forecasts of a backtest with the actual volumes.

    Attributes:
        forecasts: Rows of ``run_backtest``, or of ``adapt_backtest``.
        horizons: Rows of ``forecast_horizons`` of the same windows.
        openings: Rows of ``backtest_opening`` of the same windows.
    """

    forecasts: pl.LazyFrame
    horizons: pl.LazyFrame
    openings: pl.LazyFrame


def evaluate_backtest(
    layers: ScoredLayers,
    plan: Plan,
    levels: Sequence[float],
    parameters: BacktestParameters,
) -> BacktestMetrics:
    """Measure a backtest.

    Args:
        layers: Its forecasts.
        plan: Its windows.
        levels: Levels of its quantiles.
        parameters: Parameters of the bootstrap.

    Returns:
        The measures of the headline universe with bootstrap intervals, by bucket of
        liquidity, by occasion, by variability, by kind of security, by year and of each baseline.
    """
    rows = layers.forecasts.collect(engine="streaming")
    universe = choose_universe(rows)
    headline = select_universe(rows, universe)
    measures = [*point_measures(FORECAST), *interval_measures(levels)]
    numbered = partial(_measure_numbered, headline, measures)
    tables: dict[str, Callable[[], object]] = {
        "intervals_95": partial(bootstrap_intervals, headline, parameters),
        "by_bucket": partial(numbered, BUCKET, BUCKETS),
        "by_occasion": partial(numbered, OCCASION, OCCASIONS),
        "by_variability": partial(numbered, VARIABILITY, VARIABILITIES),
        "by_security": partial(_measure_securities, rows, measures),
        "by_year": partial(_measure_years, headline, measures),
        "baselines": partial(_measure_baselines, headline),
        "by_horizon": partial(_measure_horizons, layers.horizons, universe),
        "at_open": partial(_measure_openings, layers.openings, universe),
    }
    measured = {name: measure() for name, measure in watch(tuple(tables.items()), _TASK, "tables")}
    return BacktestMetrics.model_validate(
        {**measure_rows(headline, measures), "universe": universe, "plan": plan, **measured}
    )


def _measure_baselines(rows: pl.DataFrame) -> dict[str, PointMetrics]:
    return {
        baseline: PointMetrics.model_validate(measure_rows(rows, point_measures(baseline)))
        for baseline in BASELINES
    }


def _measure_horizons(backtest: pl.LazyFrame, universe: Universe) -> dict[str, HorizonMetrics]:
    rows = select_universe(backtest.collect(engine="streaming"), universe)
    measures = [*point_measures(FORECAST), *interval_measures(HORIZON_LEVELS)]
    names = rows[HORIZON].unique(maintain_order=True)
    by_name = {name: rows.filter(pl.col(HORIZON) == name) for name in names}
    return {
        name: HorizonMetrics.model_validate(
            {
                **measure_rows(of_horizon, measures),
                "baselines": {
                    baseline: measure_rows(of_horizon, point_measures(baseline))
                    for baseline in HORIZON_BASELINES
                },
            }
        )
        for name, of_horizon in by_name.items()
    }


def _measure_openings(backtest: pl.LazyFrame, universe: Universe) -> OpeningMetrics | None:
    rows = select_universe(backtest.collect(engine="streaming"), universe)
    if rows.is_empty():
        return None
    return OpeningMetrics(
        **dict(_measure_opening(rows)),
        by_bucket=_measure_opening_groups(rows, BUCKET, BUCKETS),
        by_gap=_measure_opening_groups(rows, GAP_SIZE, GAP_SIZES),
    )


def _measure_opening_groups(
    rows: pl.DataFrame, number: str, names: Sequence[str]
) -> dict[str, OpeningGroup]:
    return {
        name: _measure_opening(rows.filter(pl.col(number) == place))
        for place, name in enumerate(names)
    }


def _measure_opening(rows: pl.DataFrame) -> OpeningGroup:
    """Measure forecasts at the open, and those made before it."""
    measures = [*point_measures(FORECAST), *interval_measures(OPENING_LEVELS)]
    earlier = rows.with_columns(pl.col(before(name)).alias(name) for name in OPENING_VOLUMES)
    return OpeningGroup.model_validate(
        {**measure_rows(rows, measures), "before": measure_rows(earlier, measures)}
    )


def measure_rows(rows: pl.DataFrame, measures: Iterable[pl.Expr]) -> dict[str, float | None]:
    """Count and measure rows of a backtest.

    Args:
        rows: The rows.
        measures: Named aggregations.

    Returns:
        Fields of ``PointMetrics`` or ``GroupMetrics``; without rows, only the counts.
    """
    counts = {
        "n": rows.height,
        "symbols": rows[columns.SYMBOL].n_unique(),
        "sessions": rows[columns.TARGET_DATE].n_unique(),
    }
    return {**counts, **(rows.select(measures).row(0, named=True) if rows.height else {})}


def _measure_group(rows: pl.DataFrame, measures: Iterable[pl.Expr]) -> GroupMetrics:
    return GroupMetrics.model_validate(measure_rows(rows, measures))


def _measure_numbered(
    rows: pl.DataFrame, measures: Sequence[pl.Expr], number: str, names: Sequence[str]
) -> dict[str, GroupMetrics]:
    """Measure groups, whose number is a position in ``names``."""
    return {
        str(name): _measure_group(rows.filter(pl.col(number) == place), measures)
        for place, name in enumerate(names)
    }


def security_kinds() -> dict[str, pl.Expr]:
    """Define the kinds of security that errors are reported for.

    Returns:
        Conditions on rows of a backtest, by kind; the last is met by all rows.
    """
    is_common_stock, is_etf = pl.col(COMMON_STOCK), pl.col(columns.ETF)
    return {
        str(Universe.COMMON_STOCKS): is_common_stock,
        _OTHER_STOCKS: ~is_common_stock & ~is_etf,
        _ETFS: is_etf,
        str(Universe.ALL_SYMBOLS): pl.lit(value=True),
    }


def _measure_securities(rows: pl.DataFrame, measures: Sequence[pl.Expr]) -> dict[str, GroupMetrics]:
    return {
        kind: _measure_group(rows.filter(of), measures) for kind, of in security_kinds().items()
    }


def _measure_years(rows: pl.DataFrame, measures: Sequence[pl.Expr]) -> dict[str, GroupMetrics]:
    year = pl.col(columns.TARGET_DATE).dt.year()
    years = rows.select(year.unique().sort()).to_series()
    return {str(number): _measure_group(rows.filter(year == number), measures) for number in years}


def sums_by_session(rows: pl.DataFrame, *more: pl.Expr) -> pl.DataFrame:
    """Sum per session what measures of a window of sessions are computed from.

    Args:
        rows: Scored rows, as of ``run_backtest``.
        *more: Further sums, named.

    Returns:
        One row per session, ascending, all Float64 but ``TargetDate``: ``sse`` and
        ``sst`` for ``eta_r2``, ``errors`` of eta, ``absolute`` errors in shares,
        ``inside`` and ``n`` for ``coverage``, and ``more``.
    """
    error = pl.col(ETA) - eta_of(FORECAST)
    sums = [
        error.pow(2).sum().alias("sse"),
        eta_squares().sum().alias("sst"),
        error.sum().alias("errors"),
        (pl.col(columns.VOLUME) - pl.col(FORECAST)).abs().sum().alias("absolute"),
        is_inside_interval().sum().alias("inside"),
        pl.len().alias("n"),
        *more,
    ]
    return (
        rows.group_by(columns.TARGET_DATE)
        .agg(one.cast(pl.Float64) for one in sums)
        .sort(columns.TARGET_DATE)
    )


def bootstrap_intervals(rows: pl.DataFrame, parameters: BacktestParameters) -> BootstrapIntervals:
    """Estimate by bootstrap how far chance may move the headline measures.

    It draws sessions in blocks (the moving block bootstrap of Kuensch, 1989), since the
    errors within a session, and in neighbouring sessions, are correlated.

    Args:
        rows: Rows of a backtest.
        parameters: Number of resamples and length of the blocks.

    Returns:
        The intervals.
    """
    sse_har = (pl.col(ETA) - eta_of("har")).pow(2).sum().alias(_SSE_HAR)
    sums = sums_by_session(rows, sse_har).drop(columns.TARGET_DATE)
    resamples = pl.DataFrame(
        _resample(sums.to_numpy(), parameters), schema=sums.columns, orient="row"
    )
    sse, sst = pl.col("sse"), pl.col("sst")
    lead = PER_CENT * (pl.col(_SSE_HAR) - sse) / sst
    defined = bool((resamples["sst"] > 0).all())
    return BootstrapIntervals(
        eta_r2=_central(resamples, eta_r2(sse, sst)) if defined else None,
        eta_r2_over_har=_central(resamples, lead) if defined else None,
        mae=_central(resamples, pl.col("absolute") / pl.col("n")),
        coverage_80=_central(resamples, coverage(pl.col("inside"), pl.col("n"))),
    )


def _resample(sums: Floats, parameters: BacktestParameters) -> Floats:
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


def _central(resamples: pl.DataFrame, measure: pl.Expr) -> Interval:
    low, high = np.percentile(resamples.select(measure).to_series().to_numpy(), _INTERVAL)
    return float(low), float(high)
