"""Past forecasts beside the volumes that have come since, and beside the backtest's windows."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from stock_volume import columns
from stock_volume.evaluation.backtest import COMMON_STOCK
from stock_volume.evaluation.baselines import MA5
from stock_volume.evaluation.measures import (
    PER_CENT,
    eta_of,
    eta_squares,
    interval_measures,
    point_measures,
)
from stock_volume.features.quantities import BARS_SO_FAR, BASE
from stock_volume.features.registry import ETA
from stock_volume.forecaster.log import FORECASTER, TRAINED_TO
from stock_volume.forecaster.model import FORECAST, INTERVAL_NAMES, quantile_name
from stock_volume.forecaster.universe import is_common_stock
from stock_volume.metrics import Floats
from stock_volume.monitoring.parameters import MonitorParameters

MADE: Final = "made"
"""The session that a forecast was made after: the name of its partition."""

MEASURES: Final = ("eta_r2", "rmse", "bias", "coverage_80")
"""What is compared with the backtest's windows."""

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
HISTORY_WINDOWS: Final = 3
"""Windows that the series by session reaches back."""

_LEVELS: Final = (0.1, 0.5, 0.9)
_OLDEST_ORIGIN: Final = timedelta(days=30)
_LOWER, _UPPER = INTERVAL_NAMES


class Scored(NamedTuple):
    """Forecasts that came true.

    Attributes:
        rows: One a symbol and session, with the columns of a backtest that errors need.
        counts: How many forecasts were read, and what became of them.
    """

    rows: pl.DataFrame
    counts: dict[str, int]


class Comparison(NamedTuple):
    """A measure of the recent window among those of the backtest's windows.

    Attributes:
        measure: Its name.
        value: Of the recent window.
        median: Of the backtest's windows.
        low: The lower bound of the usual range; null where no low value is bad.
        high: The upper bound; null where no high value is bad.
        lowest: The lowest of the backtest's windows.
        highest: The highest.
        as_far_out: Share of the backtest's windows, in per cent, that are at least as far
            on the side of the recent one that is bad.
    """

    measure: str
    value: float
    median: float
    low: float | None
    high: float | None
    lowest: float
    highest: float
    as_far_out: float

    @property
    def unusual(self) -> bool:
        """Whether the value is outside the usual range."""
        return (self.low is not None and self.value < self.low) or (
            self.high is not None and self.value > self.high
        )

    def times_as_far_out(self) -> float:
        """Distance from the median over that of the backtest's furthest window.

        Where both sides are bad, the furthest window on either counts: an error of equal
        size is no worse for its sign.
        """
        below, above = self.low is not None, self.high is not None
        bad = below if self.value < self.median else above
        furthest = max(
            self.median - self.lowest if below else 0.0,
            self.highest - self.median if above else 0.0,
        )
        return abs(self.value - self.median) / max(furthest, 1e-12) if bad else 0.0


def read_log(partitions: Mapping[str, Callable[[], pl.DataFrame]], since: date) -> pl.DataFrame:
    """Read the forecasts that may be of a session since a day.

    Args:
        partitions: What loads the forecasts, by the ISO date of the session they were
            made after.
        since: Forecasts of earlier sessions are left out.

    Returns:
        The forecasts, in order of their making, with the date of it.
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
    least_sessions: int,
) -> Scored:
    """Put forecasts beside what came true, as the backtest does.

    Only a forecast counts that the forecaster in use made, before its session, and whose
    session its training had not seen: it is not to blame for another's. Of several for one
    symbol and session, the last made counts. It is scored where the session's bar is there,
    with a volume, and the symbol has the history that the backtest asks for.

    Args:
        log: What ``read_log`` gives.
        forecaster: ``identity_of`` the forecaster in use.
        prices: The bars.
        features: Rows of ``forecast_features``.
        least_sessions: Bars of a symbol before its forecasts are scored.

    Returns:
        The forecasts that count and came true.
    """
    target = pl.col(columns.TARGET_DATE)
    own = log.filter(pl.col(FORECASTER) == forecaster)
    unseen = own.filter(target > pl.col(TRAINED_TO))
    honest = unseen.filter(target > pl.col(MADE))
    single = honest.sort(MADE, maintain_order=True).unique(
        [columns.SYMBOL, columns.TARGET_DATE], keep="last", maintain_order=True
    )
    logged = {columns.CLOSE: _LOGGED_CLOSE, columns.VOLUME: _LOGGED_VOLUME}
    arrived = single.rename(logged).join(
        _bars(prices, single), on=[columns.SYMBOL, columns.TARGET_DATE], how="inner"
    )
    known = _on_todays_base(
        arrived.join(_origins(features, arrived), on=[columns.SYMBOL, columns.DATE], how="inner")
    )
    rows = (
        known.filter(pl.col(BARS_SO_FAR) >= least_sessions)
        .with_columns(
            (pl.col(BASE).exp() / pl.col(columns.CLOSE)).alias(MA5),
            ((pl.col(columns.VOLUME) * pl.col(_TARGET_CLOSE)).log() - pl.col(BASE)).alias(ETA),
        )
        .drop(BASE, BARS_SO_FAR, _TARGET_CLOSE, _LOGGED_CLOSE, _LOGGED_VOLUME, _ORIGIN_VOLUME)
        .sort(columns.SYMBOL, columns.TARGET_DATE)
    )
    counts = {
        "logged": log.height,
        "by_other_forecasters": log.height - own.height,
        "seen_by_training": own.height - unseen.height,
        "made_too_late": unseen.height - honest.height,
        "repeated": honest.height - single.height,
        "not_come_true": single.height - arrived.height,
        "not_comparable": arrived.height - rows.height,
        "scored": rows.height,
    }
    return Scored(rows, counts)


_TARGET_CLOSE: Final = "target_close"
_LOGGED_CLOSE: Final = "logged_close"
_LOGGED_VOLUME: Final = "logged_volume"
_ORIGIN_VOLUME: Final = "origin_volume"


def _on_todays_base(rows: pl.DataFrame) -> pl.DataFrame:
    """Bring forecasts to the shares of today.

    A split since their making divides the Close of the origin, and multiplies its Volume
    unless the source has volumes as traded. Whether it did is told by which is nearer; where
    no volume tells, it did.
    """
    by_price = pl.col(_LOGGED_CLOSE) / pl.col(columns.CLOSE)
    by_volume = (pl.col(_ORIGIN_VOLUME) / pl.col(_LOGGED_VOLUME)).log()
    as_traded = by_volume.abs() < (by_volume - by_price.log()).abs()
    factor = pl.when(as_traded).then(1.0).otherwise(by_price.fill_null(1.0))
    return rows.with_columns(
        pl.col(name) * factor for name in (FORECAST, *map(quantile_name, _LEVELS))
    )


def _bars(prices: pl.LazyFrame, log: pl.DataFrame) -> pl.DataFrame:
    """Volume and Close of the sessions forecast, where there was a trade."""
    return (
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


def _origins(features: pl.LazyFrame, log: pl.DataFrame) -> pl.DataFrame:
    """What was known at the origins."""
    return (
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


def like_with_like(
    scored: pl.DataFrame, backtest: pl.LazyFrame
) -> tuple[pl.DataFrame, pl.DataFrame, str]:
    """Take the rows of both that the backtest's headline is of.

    Args:
        scored: Rows of ``score_forecasts``.
        backtest: Rows of ``run_backtest``.

    Returns:
        The common stocks of both, or all rows where one has none; and which it is. The
        backtest has those symbols only that were scored, if it knows any of them.
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
    universe = "all symbols"
    if rows[COMMON_STOCK].any() and (scored[COMMON_STOCK].any() or not scored.height):
        rows, scored, universe = (
            rows.filter(COMMON_STOCK),
            scored.filter(COMMON_STOCK),
            ("common stocks"),
        )
    same = rows.join(scored, on=columns.SYMBOL, how="semi")
    return scored, same if same.height else rows, universe


def measures_of(rows: pl.DataFrame) -> dict[str, float | None]:
    """Measure the errors of scored forecasts.

    Args:
        rows: With the columns of ``score_forecasts``, at least one.

    Returns:
        The measures of a backtest, and ``rmse``, of log volume.
    """
    error = pl.col(ETA) - eta_of(FORECAST)
    return rows.select(
        *point_measures(FORECAST),
        error.pow(2).mean().sqrt().alias("rmse"),
        *interval_measures(_LEVELS),
    ).row(0, named=True)


def sums_by_session(rows: pl.DataFrame) -> pl.DataFrame:
    """Sum up what the compared measures are made of.

    Args:
        rows: Of ``score_forecasts`` or of a backtest.

    Returns:
        One row a session, ascending.
    """
    error = pl.col(ETA) - eta_of(FORECAST)
    inside = pl.col(columns.VOLUME).is_between(pl.col(_LOWER), pl.col(_UPPER))
    return (
        rows.group_by(columns.TARGET_DATE)
        .agg(
            error.pow(2).sum().alias("sse"),
            eta_squares().sum().alias("sst"),
            error.sum().alias("errors"),
            inside.cast(pl.Float64).sum().alias("inside"),
            pl.len().cast(pl.Float64).alias("n"),
        )
        .sort(columns.TARGET_DATE)
    )


def rolling_measures(sums: pl.DataFrame, length: int) -> dict[str, Floats]:
    """Measure every window of so many consecutive sessions.

    Args:
        sums: What ``sums_by_session`` gives.
        length: Sessions of a window.

    Returns:
        Values by measure, one a window, in order of time; none where there are too few
        sessions. NaN is the eta-R2 of a window in which a forecast of ma5 has no error.
    """
    values = sums.drop(columns.TARGET_DATE).to_numpy().astype(np.float64)
    if len(values) < length:
        return {measure: np.empty(0) for measure in MEASURES}
    windows = np.lib.stride_tricks.sliding_window_view(values, length, axis=0).sum(axis=-1)
    sse, sst, errors, inside, n = windows.T
    return {
        "eta_r2": PER_CENT * (1 - sse / np.where(sst > 0, sst, np.nan)),
        "rmse": np.sqrt(sse / n),
        "bias": errors / n,
        "coverage_80": PER_CENT * inside / n,
    }


def compare_errors(
    recent: pl.DataFrame, backtest: pl.DataFrame, parameters: MonitorParameters
) -> list[Comparison]:
    """Tell where the recent window falls among the backtest's of as many sessions.

    Args:
        recent: Sums by session of the recent window, at least one session.
        backtest: Sums by session of the backtest.
        parameters: Tell what is usual, and how many windows it takes.

    Returns:
        One comparison a measure that is defined; none where there are too few windows.
    """
    own = rolling_measures(recent, recent.height)
    past = rolling_measures(backtest, recent.height)
    comparisons = []
    for measure in MEASURES:
        value, windows = float(own[measure][0]), past[measure][~np.isnan(past[measure])]
        if not np.isnan(value) and len(windows) >= parameters.least_windows:
            comparisons.append(_compared(measure, value, windows, parameters.error_tail))
    return comparisons


_BAD_SIDES: Final = {"eta_r2": (True, False), "rmse": (False, True)}
"""Whether a low value is bad, and a high one; both where a measure is not named."""


def _compared(measure: str, value: float, past: Floats, tail: float) -> Comparison:
    below, above = _BAD_SIDES.get(measure, (True, True))
    each = tail / len(MEASURES) / (below + above)
    median = float(np.median(past))
    low = float(np.quantile(past, each)) if below else None
    high = float(np.quantile(past, 1 - each)) if above else None
    is_low = below and (value < median or not above)
    beyond = past <= value if is_low else past >= value
    return Comparison(
        measure=measure,
        value=value,
        median=median,
        low=low,
        high=high,
        lowest=float(past.min()),
        highest=float(past.max()),
        as_far_out=PER_CENT * float(np.mean(beyond)),
    )


def by_session(sums: pl.DataFrame) -> list[dict[str, Any]]:
    """List the compared measures by session.

    Args:
        sums: What ``sums_by_session`` gives.

    Returns:
        One entry a session, ascending; an eta-R2 that is undefined is None.
    """
    values = rolling_measures(sums, 1)
    days: Sequence[date] = sums[columns.TARGET_DATE].to_list()
    return [
        {
            "session": day.isoformat(),
            "n": int(sums["n"][place]),
            **{measure: _defined(values[measure][place]) for measure in MEASURES},
        }
        for place, day in enumerate(days)
    ]


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
