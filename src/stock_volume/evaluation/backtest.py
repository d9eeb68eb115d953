"""The backtest: forecasts of sessions that the models have not seen, scored afterwards."""

import logging
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from functools import partial
from itertools import pairwise
from typing import Final, NamedTuple

import polars as pl
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from stock_volume import columns
from stock_volume.errors import StockVolumeError
from stock_volume.evaluation.baselines import Baselines
from stock_volume.evaluation.groups import COMMON_STOCK, FOLD
from stock_volume.evaluation.horizon_backtest import HorizonBaselines, forecast_horizons
from stock_volume.features.quantities import BARS_SO_FAR
from stock_volume.features.registry import ETA, NEXT_VOLUME
from stock_volume.features.window import FeatureWindow
from stock_volume.forecaster.adaptation import (
    AdaptationParameters,
    adapt,
    forecast_rows,
    measure_bias,
    sum_errors,
)
from stock_volume.forecaster.model import MA5, Forecaster
from stock_volume.forecaster.occasion import find_occasions
from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters
from stock_volume.forecaster.train import (
    DAYS_OF_YEAR,
    check_enough,
    train_forecaster,
    training_rows,
)
from stock_volume.forecaster.universe import (
    VARIABILITY,
    is_common_stock,
    variability_number,
)
from stock_volume.progress import progress
from stock_volume.symbols import map_symbols

logger = logging.getLogger(__name__)


_SHARE_OF_TRAINING: Final = 0.6
_SHARE_OF_HISTORY: Final = 0.25
_HOLIDAYS: Final = timedelta(days=7)
BLOCK_ROWS: Final = 100_000
"""Minimum number of rows forecast at a time."""

_Bounds = tuple[date, date, date]
"""First day trained on, first day tested on, and the day after the last tested on."""


class BacktestRows(NamedTuple):
    """Some rows of a backtest.

    Attributes:
        forecasts: Forecasts of the next session.
        horizons: Forecasts beyond it: rows of ``forecast_horizons``.
    """

    forecasts: pl.DataFrame
    horizons: pl.DataFrame


class NoBacktestError(StockVolumeError):
    """The data has no session to train on or none to test on."""


class Fold(BaseModel):
    """The windows of one model; every bound is a target session and inclusive.

    Attributes:
        train_start: First session trained on.
        train_end: Last session trained on.
        test_start: First session tested on.
        test_end: Last session tested on.
    """

    model_config = ConfigDict(frozen=True)

    train_start: date
    train_end: date
    test_start: date
    test_end: date

    def __str__(self) -> str:
        """Show both windows, for the log."""
        return (
            f"trained on {self.train_start} to {self.train_end}, "
            f"tested on {self.test_start} to {self.test_end}"
        )


class Plan(BaseModel):
    """The windows of a backtest.

    Attributes:
        folds: The windows of each model, in order of time.
        min_sessions: Bars of a symbol before its forecasts are scored.
        note: What was shortened for lack of data; empty if nothing was.
        horizon_step: Sessions from one origin of the horizons' backtest to the next.
    """

    model_config = ConfigDict(frozen=True)

    folds: tuple[Fold, ...]
    min_sessions: int = Field(validation_alias=AliasChoices("min_sessions", "least_sessions"))
    note: str
    horizon_step: int = 1


def _duration(years: float) -> timedelta:
    return timedelta(days=round(years * DAYS_OF_YEAR))


def first_session_wanted(
    last: date, parameters: ForecasterParameters, backtest_parameters: BacktestParameters
) -> date:
    """Compute the first target session that the forecaster and its backtest need.

    Args:
        last: Last session of the data.
        parameters: Parameters of the forecaster; here, the length of the training.
        backtest_parameters: The windows asked for.

    Returns:
        The day.
    """
    trained = _duration(parameters.train_years)
    if backtest_parameters.test_start is None:
        tested = last - _duration(backtest_parameters.test_years) - trained
    else:
        tested = backtest_parameters.train_start or backtest_parameters.test_start - trained
    return min(tested, last - trained, last - _duration(parameters.feature_years))


def feature_window(
    sessions: pl.DataFrame, forecaster: ForecasterParameters, backtest: BacktestParameters
) -> FeatureWindow:
    """Choose the sessions for which training and backtest need features.

    Args:
        sessions: Rows of ``market_sessions``, of all bars.
        forecaster: How long a model is trained on.
        backtest: What is tested.

    Returns:
        The window.
    """
    targets = sessions[columns.TARGET_DATE].to_list()
    wanted = first_session_wanted(targets[-1], forecaster, backtest)
    first = next(target for target in targets if target >= wanted)
    return FeatureWindow(sessions, first, horizons=forecaster.all_horizons)


def plan_backtest(
    sessions: Sequence[date],
    parameters: ForecasterParameters,
    backtest_parameters: BacktestParameters,
) -> Plan:
    """Lay out the windows.

    With a ``test_start``, one model is trained up to it and tested from it on. Without,
    the origin rolls over the last ``test_years``: a new model is trained every
    ``refit_months``. If the data is too short for both training and test, the first
    three fifths of its sessions train and the rest tests.

    Args:
        sessions: The target sessions of the data, ascending.
        parameters: Parameters of the forecaster; here, the length of the training.
        backtest_parameters: The windows asked for.

    Returns:
        The plan.

    Raises:
        NoBacktestError: There is no session to train on or none to test on.
    """
    if len(sessions) < 2:  # noqa: PLR2004
        raise NoBacktestError(
            f"too few sessions for a backtest, which trains on some and tests on others: the data "
            f"has {len(sessions)} with a volume to forecast. Use a source with more days on which "
            "its symbols trade"
        )
    min_sessions, note = backtest_parameters.min_sessions, ""
    if backtest_parameters.test_start is not None:
        start = backtest_parameters.test_start
        bounds, note = _fixed_bounds(sessions, start, parameters, backtest_parameters)
    elif _is_long_enough(sessions, parameters, backtest_parameters):
        bounds = _rolling_bounds(sessions, parameters, backtest_parameters)
    else:
        min_sessions = max(1, min(min_sessions, int(len(sessions) * _SHARE_OF_HISTORY)))
        bounds, note = _short_bounds(sessions, min_sessions, parameters, backtest_parameters)
    folds = tuple(_lay_out_fold(sessions, *bound) for bound in bounds)
    return Plan(
        folds=folds,
        min_sessions=min_sessions,
        note=note,
        horizon_step=backtest_parameters.horizon_step,
    )


def _short_bounds(
    sessions: Sequence[date],
    min_sessions: int,
    parameters: ForecasterParameters,
    backtest_parameters: BacktestParameters,
) -> tuple[list[_Bounds], str]:
    start = sessions[int(len(sessions) * _SHARE_OF_TRAINING)]
    note = (
        f"{sessions[0]} to {sessions[-1]} is too short for {parameters.train_years:g} years "
        f"of training before {backtest_parameters.test_years:g} years of test: the test begins "
        f"on {start}."
    )
    if min_sessions < backtest_parameters.min_sessions:
        note += f" Symbols are scored from {min_sessions} bars of history on."
    return [(sessions[0], start, sessions[-1] + timedelta(days=1))], note


def _fixed_bounds(
    sessions: Sequence[date],
    test_start: date,
    parameters: ForecasterParameters,
    backtest_parameters: BacktestParameters,
) -> tuple[list[_Bounds], str]:
    start = backtest_parameters.train_start or test_start - _duration(parameters.train_years)
    end = backtest_parameters.test_end or sessions[-1]
    note = ""
    if start < sessions[0] - _HOLIDAYS:
        note = f"Training was to start on {start}; the features start with {sessions[0]}."
    if end > sessions[-1] + _HOLIDAYS:
        note += f" The test was to end on {end}; the data ends with {sessions[-1]}."
    return [(start, test_start, end + timedelta(days=1))], note.strip()


def _first_tested(last: date, backtest_parameters: BacktestParameters) -> date:
    return last - _duration(backtest_parameters.test_years) + timedelta(days=1)


def _is_long_enough(
    sessions: Sequence[date],
    parameters: ForecasterParameters,
    backtest_parameters: BacktestParameters,
) -> bool:
    tested_from = _first_tested(sessions[-1], backtest_parameters)
    trained_from = tested_from - _duration(parameters.train_years)
    return trained_from >= sessions[0] - _HOLIDAYS


def _rolling_bounds(
    sessions: Sequence[date],
    parameters: ForecasterParameters,
    backtest_parameters: BacktestParameters,
) -> list[_Bounds]:
    last, trained = sessions[-1], _duration(parameters.train_years)
    first_tested = _first_tested(last, backtest_parameters)
    edges = [
        *_list_refits(first_tested, last, backtest_parameters.refit_months),
        last + timedelta(days=1),
    ]
    return [
        (edge - trained, edge, following)
        for edge, following in pairwise(edges)
        if any(edge <= day < following for day in sessions)
    ]


def _list_refits(start: date, last: date, months: int) -> list[date]:
    length = timedelta(days=round(months * DAYS_OF_YEAR / 12))
    edges = [start]
    # A remainder of less than half a length belongs to the window before it.
    while edges[-1] + length + length / 2 <= last:
        edges.append(edges[-1] + length)
    return edges


def _lay_out_fold(sessions: Sequence[date], start: date, test_start: date, after: date) -> Fold:
    trained = [day for day in sessions if start <= day < test_start]
    tested = [day for day in sessions if test_start <= day < after]
    if not trained or not tested:
        lacking = "train on" if not trained else "test on"
        raise NoBacktestError(
            f"backtest: no session to {lacking}: the data has target sessions from "
            f"{sessions[0]} to {sessions[-1]}, the training starts on {start}, the test on "
            f"{test_start}: choose another backtest.test_start, or train_start or test_end, inside "
            "the data"
        )
    return Fold(
        train_start=trained[0],
        train_end=trained[-1],
        test_start=tested[0],
        test_end=tested[-1],
    )


def target_sessions(features: pl.LazyFrame) -> list[date]:
    """List the target sessions whose volume is known.

    Args:
        features: Rows of ``forecast_features``.

    Returns:
        The sessions, ascending.
    """
    known = features.filter(pl.col(ETA).is_not_null()).select(columns.TARGET_DATE)
    return known.unique().collect(engine="streaming").to_series().sort().to_list()


def check_windows(features: pl.LazyFrame, plan: Plan, parameters: ForecasterParameters) -> None:
    """Check that every model of a backtest can be trained and tested.

    Args:
        features: Rows of ``forecast_features``.
        plan: The windows of the backtest.
        parameters: Parameters of the forecaster.

    Raises:
        NoBacktestError: A window has no row to test on.
        TooFewRowsError: A window has too few rows to train on.
    """
    parameters = _limit_history(parameters, plan)
    for number, fold in enumerate(plan.folds, start=1):
        if _test_rows(features, fold, plan).select(columns.SYMBOL).limit(1).collect().is_empty():
            raise NoBacktestError(
                f"backtest: no symbol with {plan.min_sessions} bars of history is in the data "
                f"from {fold.test_start} to {fold.test_end}: change backtest.test_start, or lower "
                "backtest.min_sessions"
            )
        what = f"the model of the backtest's window {number} of {len(plan.folds)}"
        check_enough(_train_rows(features, fold, parameters), what, parameters)


def _limit_history(parameters: ForecasterParameters, plan: Plan) -> ForecasterParameters:
    """Lower the history that training requires of a symbol to what the plan requires."""
    min_sessions = min(parameters.min_sessions, plan.min_sessions)
    return parameters.model_copy(update={"min_sessions": min_sessions})


def _train_rows(
    features: pl.LazyFrame, fold: Fold, parameters: ForecasterParameters
) -> pl.LazyFrame:
    window = pl.col(columns.TARGET_DATE).is_between(fold.train_start, fold.train_end)
    return training_rows(features.filter(window), parameters)


def _test_rows(features: pl.LazyFrame, fold: Fold, plan: Plan) -> pl.LazyFrame:
    return features.filter(
        pl.col(columns.TARGET_DATE).is_between(fold.test_start, fold.test_end),
        pl.col(ETA).is_not_null(),
        pl.col(BARS_SO_FAR) >= plan.min_sessions,
    )


def run_backtest(
    features: pl.LazyFrame, plan: Plan, parameters: ForecasterParameters
) -> Iterator[BacktestRows]:
    """Train the model of each fold and forecast the sessions it has not seen.

    A row is scored if its symbol has enough history and the target session's bar is in
    the data and has a volume.

    Args:
        features: Rows of ``forecast_features``.
        plan: The windows.
        parameters: Parameters of the forecaster.

    Yields:
        Rows in order of fold, then of symbol. Forecasts of the next session have Symbol, Date,
        TargetDate, Volume of the target session, the forecast, its quantiles and the baselines,
        all in shares; Close of the origin, the observed eta, and the columns that group the
        errors. They are not adapted to errors: see ``adapt_backtest``. Horizons are forecast at
        every ``horizon_step``-th session.

    Raises:
        NoBacktestError: A window has no row to test on.
        TooFewRowsError: A window has too few rows to train on.
    """
    check_windows(features, plan, parameters)
    parameters = _limit_history(parameters, plan)
    with progress("backtest", len(plan.folds), "folds") as advance:
        for number, fold in enumerate(plan.folds):
            logger.info("backtest, fold %d of %d: %s", number + 1, len(plan.folds), fold)
            for rows in _run_fold(features, fold, number, plan, parameters):
                yield rows
                advance(0, rows.forecasts.height)
            advance(1)


def _run_fold(
    features: pl.LazyFrame, fold: Fold, number: int, plan: Plan, parameters: ForecasterParameters
) -> Iterator[BacktestRows]:
    """Train the model of a fold and forecast its test window."""
    train = _train_rows(features, fold, parameters)
    test = _test_rows(features, fold, plan)
    fold_model = _FoldModel(
        number,
        train_forecaster(train, parameters),
        Baselines.fit(train),
        HorizonBaselines.fit(train, parameters.all_horizons),
        target_sessions(test)[:: plan.horizon_step],
        parameters.num_threads,
    )
    yield from map_symbols(fold_model.forecast, test, rows=BLOCK_ROWS)


class _FoldModel(NamedTuple):
    """What a fold forecasts with.

    Attributes:
        fold: Number of the fold.
        forecaster: Its forecaster.
        baselines: Baselines of the next session.
        horizon_baselines: Baselines of the horizons.
        horizon_targets: Target sessions at whose origins the horizons are forecast.
        num_threads: Threads; 0 for all cores.
    """

    fold: int
    forecaster: Forecaster
    baselines: Baselines
    horizon_baselines: HorizonBaselines
    horizon_targets: Sequence[date]
    num_threads: int

    def forecast(self, test: pl.DataFrame) -> BacktestRows:
        """Forecast rows of the fold."""
        at_origins = test.filter(pl.col(columns.TARGET_DATE).is_in(self.horizon_targets))
        return BacktestRows(
            _forecast_rows(test, self.forecaster, self.baselines, self.fold, self.num_threads),
            forecast_horizons(
                at_origins, self.forecaster, self.horizon_baselines, self.fold, self.num_threads
            ),
        )


def _forecast_rows(
    test: pl.DataFrame, forecaster: Forecaster, baselines: Baselines, fold: int, num_threads: int
) -> pl.DataFrame:
    forecasts = forecast_rows(forecaster, test, num_threads)
    known = test.select(
        columns.CLOSE,
        columns.ETF,
        is_common_stock().alias(COMMON_STOCK),
        find_occasions(test),
        variability_number().alias(VARIABILITY),
        pl.lit(fold, dtype=pl.Int32).alias(FOLD),
    )
    simple = baselines.forecast(test).drop(MA5)
    forecasts.insert_column(3, test[NEXT_VOLUME].alias(columns.VOLUME))
    return pl.concat([forecasts, simple, known], how="horizontal")


def adapt_backtest(
    raw: pl.LazyFrame, levels: Sequence[float], parameters: AdaptationParameters
) -> Iterator[pl.DataFrame]:
    """Adapt the forecasts of a backtest to the errors of its earlier sessions.

    Args:
        raw: Rows of ``run_backtest``.
        levels: Levels of their quantiles.
        parameters: Parameters of the adaptation.

    Yields:
        The rows with adapted forecasts and quantiles, sorted by symbol and session.
    """
    errors = map_symbols(sum_errors, raw, rows=BLOCK_ROWS, task="errors of the forecasts")
    bias = measure_bias(errors, parameters)
    adapted = partial(_adapt_rows, bias=bias, levels=tuple(levels), parameters=parameters)
    yield from map_symbols(adapted, raw, rows=BLOCK_ROWS, task="adapting forecasts")


def _adapt_rows(
    rows: pl.DataFrame,
    bias: pl.DataFrame,
    levels: Sequence[float],
    parameters: AdaptationParameters,
) -> pl.DataFrame:
    return adapt(rows.sort(columns.SYMBOL, columns.TARGET_DATE), bias, levels, parameters)
