"""Score past forecasts, and compare their errors with the backtest's windows."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from stock_volume import columns
from stock_volume.arrays import Floats
from stock_volume.evaluation.groups import COMMON_STOCK
from stock_volume.evaluation.headline import Universe, choose_universe, select_universe
from stock_volume.evaluation.measures import (
    PER_CENT,
    coverage,
    eta_of,
    eta_r2,
    interval_measures,
    measure_rows,
    point_measures,
)
from stock_volume.features.quantities import BARS_SO_FAR, BASE
from stock_volume.features.registry import ETA
from stock_volume.forecaster.log import FORECASTER, TRAINED_TO
from stock_volume.forecaster.model import FORECAST, MA5, quantile_name, shares_at_base
from stock_volume.forecaster.universe import is_common_stock
from stock_volume.monitoring.parameters import MonitorParameters
from stock_volume.monitoring.report import (
    Comparison,
    ErrorSummary,
    Measure,
    ScoringCounts,
    SessionErrors,
    UsualRange,
)

MADE: Final = "made"
"""Column: the session after which the forecast was made, which names its partition."""

LOG_SCHEMA: Final = {
    columns.SYMBOL: pl.String,
    columns.DATE: pl.Date,
    columns.TARGET_DATE: pl.Date,
    FORECAST: pl.Float64,
    "q10": pl.Float64,
    "q50": pl.Float64,
    "q90": pl.Float64,
    columns.CLOSE: pl.Float64,
    columns.VOLUME: pl.Int64,
    TRAINED_TO: pl.Date,
    FORECASTER: pl.String,
    MADE: pl.Date,
}

_LEVELS: Final = (0.1, 0.5, 0.9)
_OLDEST_ORIGIN: Final = timedelta(days=30)
_LOW_IS_BAD: Final = frozenset({Measure.ETA_R2, Measure.BIAS, Measure.COVERAGE_80})
_HIGH_IS_BAD: Final = frozenset({Measure.RMSE, Measure.BIAS, Measure.COVERAGE_80})


class Scored(NamedTuple):
    """Scored forecasts.

    Attributes:
        rows: One row per symbol and session, with the columns of a backtest that errors need.
        counts: How many forecasts were read, and how many were left out at each step.
    """

    rows: pl.DataFrame
    counts: ScoringCounts


class Comparable(NamedTuple):
    """Scored forecasts and the rows of the backtest to compare them with.

    Attributes:
        scored: Rows of ``score_forecasts``.
        backtest: Rows of the backtest.
        universe: Universe of both.
    """

    scored: pl.DataFrame
    backtest: pl.DataFrame
    universe: Universe


def read_log(partitions: Mapping[str, Callable[[], pl.DataFrame]], since: date) -> pl.DataFrame:
    """Read the forecasts for sessions since a date.

    Args:
        partitions: Functions that load the forecasts, by the ISO date of their origin.
        since: The first session to read forecasts for.

    Returns:
        The forecasts, oldest first, with the column ``made``.
    """
    wanted = {
        name: date.fromisoformat(name.removesuffix(".parquet")) for name in sorted(partitions)
    }
    frames = [
        partitions[name]().with_columns(pl.lit(made).alias(MADE))
        for name, made in wanted.items()
        if made >= since - _OLDEST_ORIGIN
    ]
    log = pl.concat([pl.DataFrame(schema=LOG_SCHEMA), *frames], how="diagonal_relaxed")
    return log.filter(pl.col(columns.TARGET_DATE) >= since)


def score_forecasts(
    log: pl.DataFrame,
    forecaster: str,
    prices: pl.LazyFrame,
    features: pl.LazyFrame,
    min_sessions: int,
) -> Scored:
    """Join forecasts with their outcomes, as the backtest does.

    A forecast counts if the forecaster in use made it, before its session, and was not trained
    on that session. If there are several for one symbol and session, the latest counts. It is
    scored once the session's bar is there with a Volume above 0, if the symbol has the history
    that the backtest requires.

    Args:
        log: Forecasts as ``read_log`` returns them.
        forecaster: Identity of the forecaster in use.
        prices: The bars.
        features: Rows of ``forecast_features``.
        min_sessions: Bars that a symbol needs before its forecasts are scored.

    Returns:
        The scored forecasts, and how many were left out at each step.
    """
    target = pl.col(columns.TARGET_DATE)
    own = log.filter(pl.col(FORECASTER) == forecaster)
    unseen = own.filter(target > pl.col(TRAINED_TO))
    timely = unseen.filter(target > pl.col(MADE))
    latest = _keep_latest(timely)
    observed = _join_outcomes(latest, prices)
    known = _adjust_for_splits(_join_origins(observed, features))
    rows = (
        known.filter(pl.col(BARS_SO_FAR) >= min_sessions)
        .with_columns(
            shares_at_base().alias(MA5),
            ((pl.col(columns.VOLUME) * pl.col(_TARGET_CLOSE)).log() - pl.col(BASE)).alias(ETA),
        )
        .drop(BASE, BARS_SO_FAR, _TARGET_CLOSE, _LOGGED_CLOSE, _LOGGED_VOLUME, _ORIGIN_VOLUME)
        .sort(columns.SYMBOL, columns.TARGET_DATE)
    )
    counts = ScoringCounts(
        logged=log.height,
        by_other_forecasters=log.height - own.height,
        seen_by_training=own.height - unseen.height,
        made_too_late=unseen.height - timely.height,
        repeated=timely.height - latest.height,
        without_outcome=latest.height - observed.height,
        not_comparable=observed.height - rows.height,
        scored=rows.height,
    )
    return Scored(rows, counts)


_TARGET_CLOSE: Final = "target_close"
_LOGGED_CLOSE: Final = "logged_close"
_LOGGED_VOLUME: Final = "logged_volume"
_ORIGIN_VOLUME: Final = "origin_volume"


def _keep_latest(log: pl.DataFrame) -> pl.DataFrame:
    """Keep the latest forecast for each symbol and session."""
    return log.sort(MADE, maintain_order=True).unique(
        [columns.SYMBOL, columns.TARGET_DATE], keep="last", maintain_order=True
    )


def _join_outcomes(log: pl.DataFrame, prices: pl.LazyFrame) -> pl.DataFrame:
    """Add Volume and Close of the target session; drop forecasts for sessions without a trade."""
    outcomes = (
        prices.filter(
            pl.col(columns.DATE).is_in(log[columns.TARGET_DATE].unique().to_list()),
            pl.col(columns.VOLUME) > 0,
        )
        .select(
            columns.SYMBOL,
            pl.col(columns.DATE).alias(columns.TARGET_DATE),
            columns.VOLUME,
            pl.col(columns.CLOSE).alias(_TARGET_CLOSE),
        )
        .collect(engine="streaming")
    )
    logged = {columns.CLOSE: _LOGGED_CLOSE, columns.VOLUME: _LOGGED_VOLUME}
    return log.rename(logged).join(outcomes, on=[columns.SYMBOL, columns.TARGET_DATE], how="inner")


def _join_origins(log: pl.DataFrame, features: pl.LazyFrame) -> pl.DataFrame:
    """Add what the layers say today about the origins of the forecasts."""
    origins = (
        features.filter(
            pl.col(columns.DATE).is_in(log[columns.DATE].unique().to_list()),
            pl.col(BASE).is_not_null(),
        )
        .select(
            columns.SYMBOL,
            columns.DATE,
            columns.CLOSE,
            pl.col(columns.VOLUME).alias(_ORIGIN_VOLUME),
            BASE,
            BARS_SO_FAR,
            is_common_stock().alias(COMMON_STOCK),
        )
        .collect(engine="streaming")
    )
    return log.join(origins, on=[columns.SYMBOL, columns.DATE], how="inner")


def _adjust_for_splits(rows: pl.DataFrame) -> pl.DataFrame:
    """Convert forecasts to today's shares.

    A split after the forecast divides the Close of the origin. It multiplies the Volume of the
    origin, too, unless the source has volumes as traded. The ratio of the Volumes decides which
    of the two is nearer; without Volumes, they count as rescaled.
    """
    by_price = pl.col(_LOGGED_CLOSE) / pl.col(columns.CLOSE)
    by_volume = (pl.col(_ORIGIN_VOLUME) / pl.col(_LOGGED_VOLUME)).log()
    as_traded = by_volume.abs() < (by_volume - by_price.log()).abs()
    factor = pl.when(as_traded).then(1.0).otherwise(by_price.fill_null(1.0))
    return rows.with_columns(
        pl.col(name) * factor for name in (FORECAST, *map(quantile_name, _LEVELS))
    )


def select_comparable(scored: pl.DataFrame, backtest: pl.LazyFrame) -> Comparable:
    """Select the rows that may be compared: of one universe, and of the same symbols.

    Args:
        scored: Rows of ``score_forecasts``.
        backtest: Rows of ``run_backtest``.

    Returns:
        The common stocks of both, or all rows if either has none. The backtest is limited to
        the symbols that were scored, if it has any of them.
    """
    rows = backtest.select(
        columns.SYMBOL,
        columns.TARGET_DATE,
        columns.VOLUME,
        columns.CLOSE,
        FORECAST,
        *map(quantile_name, _LEVELS),
        MA5,
        ETA,
        COMMON_STOCK,
    ).collect(engine="streaming")
    universe = choose_universe(scored, rows)
    scored, rows = select_universe(scored, universe), select_universe(rows, universe)
    same = rows.join(scored, on=columns.SYMBOL, how="semi")
    return Comparable(scored, same if same.height else rows, universe)


def summarise_errors(rows: pl.DataFrame, universe: Universe) -> ErrorSummary:
    """Measure the errors of a set of forecasts.

    Args:
        rows: Rows of ``score_forecasts`` or of a backtest.
        universe: Universe of the rows.

    Returns:
        The measures of a backtest, and ``rmse``; all None without rows.
    """
    error = pl.col(ETA) - eta_of(FORECAST)
    measures = [
        *point_measures(FORECAST),
        error.pow(2).mean().sqrt().alias("rmse"),
        *interval_measures(_LEVELS),
    ]
    return ErrorSummary.model_validate({**measure_rows(rows, measures), "universe": universe})


def measure_windows(sums: pl.DataFrame, length: int) -> dict[Measure, Floats]:
    """Measure the errors of every window of consecutive sessions.

    Args:
        sums: Rows of ``sums_by_session``.
        length: Sessions per window.

    Returns:
        Values by measure, one per window, in order of time; empty with fewer sessions than
        ``length``. eta-R2 is NaN in a window in which a forecast of ma5 has no error.
    """
    values = sums.drop(columns.TARGET_DATE).to_numpy().astype(np.float64)
    if len(values) < length:
        return {measure: np.empty(0) for measure in Measure}
    windows = np.lib.stride_tricks.sliding_window_view(values, length, axis=0).sum(axis=-1)
    sse, n = pl.col("sse"), pl.col("n")
    measures = {
        Measure.ETA_R2: eta_r2(sse, pl.col("sst")),
        Measure.RMSE: (sse / n).sqrt(),
        Measure.BIAS: pl.col("errors") / n,
        Measure.COVERAGE_80: coverage(pl.col("inside"), n),
    }
    frame = pl.DataFrame(windows, schema=sums.columns[1:], orient="row").select(**measures)
    return {measure: frame[measure].fill_null(np.nan).to_numpy() for measure in Measure}


def compare_errors(
    recent: pl.DataFrame, backtest: pl.DataFrame, parameters: MonitorParameters
) -> dict[Measure, Comparison]:
    """Compare the recent window with the backtest's windows of as many sessions.

    Args:
        recent: Sums by session of the recent window, at least one session.
        backtest: Sums by session of the backtest.
        parameters: The share of windows that counts as unusual, and how many are required.

    Returns:
        A comparison for each measure that is defined; none with too few windows.
    """
    own = measure_windows(recent, recent.height)
    past = measure_windows(backtest, recent.height)
    comparisons = {}
    for measure in Measure:
        value, windows = float(own[measure][0]), past[measure][~np.isnan(past[measure])]
        if not np.isnan(value) and len(windows) >= parameters.min_windows:
            usual = describe_range(measure, windows, parameters.error_tail)
            comparisons[measure] = compare_value(value, usual, windows)
    return comparisons


def describe_range(measure: Measure, windows: Floats, tail: float) -> UsualRange:
    """Describe the values of a measure over the backtest's windows.

    Args:
        measure: The measure, which decides the sides that are bad.
        windows: Its values.
        tail: Share of windows outside the usual range, for all measures together.

    Returns:
        The usual range; the measures, and the bad sides of each, share the tail evenly.
    """
    below, above = measure in _LOW_IS_BAD, measure in _HIGH_IS_BAD
    each = tail / len(Measure) / (below + above)
    return UsualRange(
        median=float(np.median(windows)),
        low=float(np.quantile(windows, each)) if below else None,
        high=float(np.quantile(windows, 1 - each)) if above else None,
        lowest=float(windows.min()),
        highest=float(windows.max()),
    )


def compare_value(value: float, usual: UsualRange, windows: Floats) -> Comparison:
    """Compare a value with the backtest's windows.

    Args:
        value: Of the recent window.
        usual: Usual range of the windows.
        windows: Values of the same measure.

    Returns:
        The comparison.
    """
    is_low = usual.low is not None and (value < usual.median or usual.high is None)
    as_extreme = windows <= value if is_low else windows >= value
    return Comparison(
        **usual.model_dump(),
        value=value,
        percent_as_extreme=PER_CENT * float(np.mean(as_extreme)),
        deviation_ratio=usual.measure_deviation(value),
        unusual=usual.excludes(value),
    )


def measure_sessions(sums: pl.DataFrame) -> tuple[SessionErrors, ...]:
    """Measure the errors of each session.

    Args:
        sums: Rows of ``sums_by_session``.

    Returns:
        One entry per session, ascending.
    """
    values = measure_windows(sums, 1)
    return tuple(
        SessionErrors(
            session=session,
            n=int(n),
            **{measure: values[measure][place] for measure in Measure},
        )
        for place, (session, n) in enumerate(sums.select(columns.TARGET_DATE, "n").iter_rows())
    )
