"""Find what the report shows: when, where and on which symbols the forecaster fails."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from stock_volume import columns
from stock_volume.arrays import Floats
from stock_volume.bars.ledger import ROWS_QUARANTINED, ROWS_READ
from stock_volume.evaluation.baselines import BASELINES
from stock_volume.evaluation.equal_groups import MIN_SESSIONS_OF_MONTH, SAME_ROWS, merge_equal
from stock_volume.evaluation.headline import select_universe
from stock_volume.evaluation.horizon_backtest import HAR
from stock_volume.evaluation.measures import (
    PER_CENT,
    bootstrap_intervals,
    interval_measures,
    is_inside_interval,
    measure_rows,
    point_measures,
    security_kinds,
)
from stock_volume.evaluation.plots import choose_symbols
from stock_volume.evaluation.results import BacktestMetrics, GroupMetrics
from stock_volume.features.calendar import KIND, SessionKind
from stock_volume.features.quantities import BARS_SO_FAR
from stock_volume.forecaster.model import FORECAST, INTERVAL_NAMES, MA5, quantile_name
from stock_volume.forecaster.occasion import OCCASION, OCCASIONS
from stock_volume.forecaster.parameters import BacktestParameters
from stock_volume.forecaster.universe import (
    BUCKET,
    BUCKETS,
    LIQUIDITY,
    VARIABILITIES,
    VARIABILITY,
)
from stock_volume.progress import watch
from stock_volume.reporting.findings import (
    CalibrationPoint,
    Findings,
    MeasuredGroup,
    NextForecast,
    NextSession,
    Provenance,
    ScoredForecast,
    ShortMonth,
    SymbolExample,
    TroubledFileRows,
    UnusualSession,
    YoungSymbol,
    YoungSymbols,
)

_MIN_BLOCKS: Final = 3
"""Minimum number of blocks of sessions for a bootstrap."""

_LEVELS_IN_STEPS_OF: Final = 0.05
_UNUSUAL_SESSIONS: Final = 10
_TYPICAL_SHARE: Final = 0.5
"""A session is compared if it has at least this share of the usual number of symbols."""

_EXAMPLE_SESSIONS: Final = 120
_UNUSUAL_FORECASTS: Final = 12
_LIQUID_DOLLARS: Final = 1e6
_YOUNG_NAMED: Final = 20
_FILES_NAMED: Final = 10

_TASK: Final = "finding what to report"
_MONTH: Final = "month"
_ERROR: Final = "error"
_OUTSIDE: Final = "outside"
_USUAL: Final = "usual"


class ReportedLayers(NamedTuple):
    """The layers that the report is about.

    Attributes:
        backtest: Rows of ``run_backtest``.
        forecasts: Forecasts of the next session.
        forecast_features: Features of the forecaster.
        features: Prices with the estimator's features.
        sessions: Sessions with the kind of the next one.
        files: The ledger of files.
        quarantine: The rejected rows.
    """

    backtest: pl.LazyFrame
    forecasts: pl.LazyFrame
    forecast_features: pl.LazyFrame
    features: pl.LazyFrame
    sessions: pl.LazyFrame
    files: pl.LazyFrame
    quarantine: pl.LazyFrame


def find(
    layers: ReportedLayers,
    metrics: BacktestMetrics,
    levels: Sequence[float],
    parameters: BacktestParameters,
    provenance: Provenance,
) -> Findings:
    """Find what the report shows beyond the measures.

    Args:
        layers: The layers of a run.
        metrics: Measures of its backtest.
        levels: Levels of the quantiles, ascending.
        parameters: Parameters of the bootstrap.
        provenance: What the results were made from.

    Returns:
        The findings.
    """
    every = _read_backtest(layers)
    rows = select_universe(every, metrics.universe)
    measure = _Measurement(levels, parameters)
    of_month, short = _split_months(rows)
    names = _read_names(layers.forecast_features)
    tables: dict[str, Callable[[], object]] = {
        "by_bucket": partial(
            measure.add_intervals, rows, _numbered(BUCKET, BUCKETS), metrics.by_bucket
        ),
        "by_occasion": partial(
            measure.apart().add_intervals, rows, _numbered(OCCASION, OCCASIONS), metrics.by_occasion
        ),
        "by_variability": partial(
            measure.add_intervals,
            rows,
            _numbered(VARIABILITY, VARIABILITIES),
            metrics.by_variability,
        ),
        "by_security": partial(measure.add_intervals, every, security_kinds(), metrics.by_security),
        "by_month": partial(measure.groups, of_month, _equal_to(_MONTH, of_month)),
        "by_session": partial(
            measure.apart().groups,
            rows,
            {kind.value: pl.col(KIND) == kind.value for kind in SessionKind},
        ),
        "calibration": partial(find_calibration, rows, levels),
        "unusual_sessions": partial(find_unusual_sessions, rows),
        "examples": partial(_find_examples, rows, names, measure),
        "next_session": partial(find_next_session, layers),
        "young": partial(find_young, layers.forecast_features, every, metrics.plan.min_sessions),
        "worst_files": partial(find_worst_files, layers.files, layers.quarantine),
    }
    found = {name: table() for name, table in watch(tuple(tables.items()), _TASK, "tables")}
    return Findings.model_validate({"short_months": short, "provenance": provenance, **found})


def _read_backtest(layers: ReportedLayers) -> pl.DataFrame:
    """Read the backtest with the kinds of its sessions, without what nothing here looks at."""
    unused = [name for name in BASELINES if name not in {MA5, HAR}]
    rows = layers.backtest.drop(unused, strict=False).collect(engine="streaming")
    kinds = layers.sessions.select(columns.TARGET_DATE, pl.col(KIND).cast(pl.String)).collect()
    return rows.join(kinds, on=columns.TARGET_DATE, how="left", maintain_order="left")


class _Measurement(NamedTuple):
    """How groups are measured."""

    levels: Sequence[float]
    parameters: BacktestParameters

    def apart(self) -> "_Measurement":
        """Measure groups of sessions that do not follow each other: blocks of one session."""
        return self._replace(parameters=self.parameters.model_copy(update={"block_sessions": 1}))

    def measure(self, rows: pl.DataFrame) -> GroupMetrics:
        """Measure rows."""
        measures = [*point_measures(FORECAST), *interval_measures(self.levels)]
        return GroupMetrics.model_validate(measure_rows(rows, measures))

    def groups(
        self, rows: pl.DataFrame, conditions: dict[str, pl.Expr]
    ) -> tuple[MeasuredGroup, ...]:
        """Measure groups of rows, each set of rows once."""
        measured = {name: self.measure(rows.filter(of)) for name, of in conditions.items()}
        return self.add_intervals(rows, conditions, measured)

    def add_intervals(
        self,
        rows: pl.DataFrame,
        conditions: Mapping[str, pl.Expr],
        measured: Mapping[str, GroupMetrics],
    ) -> tuple[MeasuredGroup, ...]:
        """Add intervals to the measures of groups, each set of rows once."""
        return tuple(
            self._with_interval(name, group, rows.filter(conditions[name.split(SAME_ROWS)[0]]))
            for name, group in merge_equal(measured).items()
        )

    def _with_interval(self, name: str, group: GroupMetrics, rows: pl.DataFrame) -> MeasuredGroup:
        enough = group.sessions >= _MIN_BLOCKS * self.parameters.block_sessions
        intervals = bootstrap_intervals(rows, self.parameters) if enough else None
        return MeasuredGroup(name=name, measures=group, intervals_95=intervals)


def _numbered(column: str, names: Sequence[str]) -> dict[str, pl.Expr]:
    """Make the conditions of groups whose number is a position in ``names``."""
    return {str(name): pl.col(column) == place for place, name in enumerate(names)}


def _equal_to(column: str, rows: pl.DataFrame) -> dict[str, pl.Expr]:
    return {value: pl.col(column) == value for value in rows[column].unique().sort()}


def _split_months(rows: pl.DataFrame) -> tuple[pl.DataFrame, tuple[ShortMonth, ...]]:
    """Add the month, and separate months of few sessions."""
    target = pl.col(columns.TARGET_DATE)
    rows = rows.with_columns(target.dt.strftime("%Y-%m").alias(_MONTH))
    sessions = rows.group_by(_MONTH).agg(target.n_unique()).sort(_MONTH)
    short = sessions.filter(target < MIN_SESSIONS_OF_MONTH)
    is_long = ~pl.col(_MONTH).is_in(short[_MONTH].implode())
    return rows.filter(is_long) if short.height else rows, tuple(
        ShortMonth(month=month, sessions=count) for month, count in short.rows()
    )


def find_calibration(rows: pl.DataFrame, levels: Sequence[float]) -> tuple[CalibrationPoint, ...]:
    """Count how often volumes fell below quantiles, at more levels than boosters predict.

    Between two predicted quantiles, others are interpolated: the log volume is taken to be
    linear in the normal score of the level, as it is for a log-normal volume.

    Args:
        rows: Rows of a backtest.
        levels: Levels of its quantiles, ascending.

    Returns:
        The levels from the lowest to the highest quantile, in steps of 5 %.
    """
    scores = _normal_scores(rows, levels)
    steps = np.arange(_LEVELS_IN_STEPS_OF, 1, _LEVELS_IN_STEPS_OF)
    inner = {round(float(step), 4) for step in steps if levels[0] <= step <= levels[-1]}
    return tuple(
        CalibrationPoint(
            level=round(PER_CENT * level, 4),
            below=float(PER_CENT * np.mean(scores <= NormalDist().inv_cdf(level) + _ROUNDING)),
            trained=level in levels,
        )
        for level in sorted({*inner, *levels})
    )


_ROUNDING: Final = 1e-9


def _normal_scores(rows: pl.DataFrame, levels: Sequence[float]) -> Floats:
    """Interpolate the normal score of each volume between its quantiles, shape (rows,)."""
    knots = np.array([NormalDist().inv_cdf(level) for level in levels])
    quantiles = np.log(rows.select(map(quantile_name, levels)).to_numpy())
    volume = np.log(rows[columns.VOLUME].to_numpy())
    above = np.clip((volume[:, None] > quantiles).sum(axis=1), 1, len(levels) - 1)
    row = np.arange(len(volume))
    low, high = quantiles[row, above - 1], quantiles[row, above]
    width = np.maximum(high - low, _ROUNDING)  # quantiles may be equal
    share = (volume - low) / width
    scores: Floats = knots[above - 1] + share * (knots[above] - knots[above - 1])
    return scores


def find_unusual_sessions(rows: pl.DataFrame) -> tuple[UnusualSession, ...]:
    """Find the sessions on which the forecasts of most symbols missed in one direction.

    Args:
        rows: Rows of a backtest with the kind of the target session.

    Returns:
        The sessions with the largest median error of the log volume.
    """
    sessions = (
        rows.group_by(columns.TARGET_DATE)
        .agg(
            pl.col(KIND).first(),
            pl.len().alias("n"),
            (pl.col(columns.VOLUME) / pl.col(FORECAST)).log().median().alias(_ERROR),
            (PER_CENT * (~is_inside_interval()).mean()).alias(_OUTSIDE),
        )
        .filter(pl.col("n") >= _TYPICAL_SHARE * pl.col("n").median())
        .sort(pl.col(_ERROR).abs(), columns.TARGET_DATE, descending=[True, False])
    )
    return tuple(
        UnusualSession(
            session=day,
            kind=kind or "",
            symbols=symbols,
            median_error=PER_CENT * math.expm1(error),
            outside=outside,
        )
        for day, kind, symbols, error, outside in sessions.head(_UNUSUAL_SESSIONS).rows()
    )


def _read_names(features: pl.LazyFrame) -> dict[str, str]:
    by_symbol = features.group_by(columns.SYMBOL).agg(pl.col(columns.SECURITY_NAME).last())
    return dict(by_symbol.collect(engine="streaming").rows())


def _find_examples(
    rows: pl.DataFrame, names: dict[str, str], measure: _Measurement
) -> tuple[SymbolExample, ...]:
    return tuple(
        _describe_example(rows.filter(pl.col(columns.SYMBOL) == symbol), names, measure.measure)
        for symbol in choose_symbols(rows)
    )


def _describe_example(
    rows: pl.DataFrame, names: dict[str, str], measure: Callable[[pl.DataFrame], GroupMetrics]
) -> SymbolExample:
    symbol = rows[columns.SYMBOL][0]
    latest = rows.select(columns.TARGET_DATE, columns.VOLUME, FORECAST, *INTERVAL_NAMES)
    return SymbolExample(
        symbol=symbol,
        name=names.get(symbol, symbol),
        measures=measure(rows),
        forecasts=tuple(
            ScoredForecast(session=day, volume=volume, forecast=middle, lower=low, upper=high)
            for day, volume, middle, low, high in latest.tail(_EXAMPLE_SESSIONS).rows()
        ),
    )


def find_next_session(layers: ReportedLayers) -> NextSession | None:
    """Find the forecasts of the session after the data that are most unusual.

    Args:
        layers: The layers of a run.

    Returns:
        The session and the forecasts; None without forecasts.
    """
    forecasts = layers.forecasts.collect()
    session = forecasts[columns.TARGET_DATE].max()
    if session is None:
        return None
    latest = forecasts.filter(pl.col(columns.TARGET_DATE) == session)
    described = _add_usual_volume(latest, layers)
    liquid = described.filter(pl.col(LIQUIDITY) >= math.log(_LIQUID_DOLLARS))
    enough = liquid.height >= _UNUSUAL_FORECASTS
    change = pl.col(FORECAST) / pl.col(_USUAL)
    unusual = (
        (liquid if enough else described)
        .sort(change.log().abs(), columns.SYMBOL, descending=[True, False])
        .head(_UNUSUAL_FORECASTS)
        .sort(change, columns.SYMBOL, descending=[True, False])
    )
    chosen = (columns.SYMBOL, columns.SECURITY_NAME, FORECAST, *INTERVAL_NAMES, _USUAL)
    return NextSession(
        session=session,
        symbols=latest.height,
        earlier=forecasts.height - latest.height,
        min_dollars=_LIQUID_DOLLARS if enough else 0.0,
        unusual=tuple(
            NextForecast(
                symbol=symbol, name=name, forecast=middle, lower=low, upper=high, usual=usual
            )
            for symbol, name, middle, low, high, usual in unusual.select(chosen).rows()
        ),
    )


def _add_usual_volume(forecasts: pl.DataFrame, layers: ReportedLayers) -> pl.DataFrame:
    """Add name, liquidity and the mean volume of 30 days to forecasts."""
    origin = [columns.SYMBOL, columns.DATE]
    wanted = forecasts.lazy()
    # A filter that readers of Parquet apply; a join would read all rows first.
    is_origin = pl.col(columns.DATE).is_in(forecasts[columns.DATE].unique().implode())
    known = layers.forecast_features.filter(is_origin).select(
        *origin, columns.SECURITY_NAME, LIQUIDITY
    )
    usual = layers.features.filter(is_origin).select(
        *origin, pl.col(columns.VOL_MOVING_AVG).alias(_USUAL)
    )
    return (
        wanted.join(known, on=origin, how="inner", maintain_order="left")
        .join(usual, on=origin, how="inner", maintain_order="left")
        .filter(pl.col(_USUAL) > 0)
        .collect(engine="streaming")
    )


def find_young(features: pl.LazyFrame, scored: pl.DataFrame, min_bars: int) -> YoungSymbols:
    """Find the symbols that the backtest did not score because they have too few bars.

    Args:
        features: Rows of ``forecast_features``.
        scored: Rows of the backtest.
        min_bars: Bars that a symbol needs before the target session.

    Returns:
        The symbols.
    """
    # A row is scored at its origin, so a symbol's last bar has no target yet.
    bars = features.group_by(columns.SYMBOL).agg(pl.col(BARS_SO_FAR).max()).sort(columns.SYMBOL)
    young = (
        bars.filter(pl.col(BARS_SO_FAR) <= min_bars)
        .collect(engine="streaming")
        .join(scored.select(columns.SYMBOL), on=columns.SYMBOL, how="anti", maintain_order="left")
    )
    return YoungSymbols(
        count=young.height,
        min_bars=min_bars,
        first=tuple(
            YoungSymbol(symbol=symbol, bars=count)
            for symbol, count in young.head(_YOUNG_NAMED).rows()
        ),
    )


def find_worst_files(files: pl.LazyFrame, quarantine: pl.LazyFrame) -> tuple[TroubledFileRows, ...]:
    """Find the files with most rows set aside.

    Args:
        files: The ledger of files.
        quarantine: The rejected rows.

    Returns:
        The files, the one with most rows first.
    """
    worst = (
        files.filter(pl.col(ROWS_QUARANTINED) > 0)
        .sort(ROWS_QUARANTINED, columns.FILE, descending=[True, False])
        .head(_FILES_NAMED)
        .select(columns.FILE, ROWS_READ, ROWS_QUARANTINED)
        .collect()
    )
    named = pl.col(columns.FILE).is_in(worst[columns.FILE].implode())
    by_rule = quarantine.filter(named).group_by(columns.FILE, columns.RULE).len().collect()
    ordered = by_rule.sort("len", columns.RULE, descending=[True, False])
    return tuple(
        TroubledFileRows(
            file=file,
            rows=read,
            quarantined=aside,
            rules=dict(
                ordered.filter(pl.col(columns.FILE) == file).select(columns.RULE, "len").rows()
            ),
        )
        for file, read, aside in worst.rows()
    )
