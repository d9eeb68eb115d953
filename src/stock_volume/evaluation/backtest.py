"""The backtest: forecasts of sessions that the models had not seen, scored later."""

import logging
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Final

import polars as pl
from pydantic import BaseModel, ConfigDict

from stock_volume import columns
from stock_volume.errors import StockVolumeError
from stock_volume.evaluation.baselines import MA5, baseline_forecasts
from stock_volume.features.quantities import BARS_SO_FAR
from stock_volume.features.registry import ETA, NEXT_VOLUME
from stock_volume.features.window import FeatureWindow
from stock_volume.forecaster.model import SIZE
from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters
from stock_volume.forecaster.train import (
    DAYS_OF_YEAR,
    check_enough,
    train_forecaster,
    training_rows,
)
from stock_volume.forecaster.universe import bucket_number, is_common_stock

logger = logging.getLogger(__name__)

COMMON_STOCK: Final = "common_stock"
BUCKET: Final = "bucket"
FOLD: Final = "fold"

_SHARE_OF_TRAINING: Final = 0.6
_SHARE_OF_HISTORY: Final = 0.25
_HOLIDAYS: Final = timedelta(days=7)


class NoBacktestError(StockVolumeError):
    """The data holds no session to train on, or none to test on."""


class Fold(BaseModel):
    """One model of the backtest; every bound is a target session, both ends included.

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


class Plan(BaseModel):
    """The windows of a backtest.

    Attributes:
        folds: Its models, in order of time.
        least_sessions: Bars of a symbol before its forecasts are scored.
        note: What was cut short for want of data; empty where nothing was.
    """

    model_config = ConfigDict(frozen=True)

    folds: tuple[Fold, ...]
    least_sessions: int
    note: str


def _years(years: float) -> timedelta:
    return timedelta(days=round(years * DAYS_OF_YEAR))


def first_session_wanted(
    last: date, forecaster: ForecasterParameters, backtest: BacktestParameters
) -> date:
    """Tell the first target session that the forecaster and its backtest need.

    Args:
        last: Last session of the data.
        forecaster: Tells how long a model is trained on.
        backtest: Tells what is tested.

    Returns:
        The day.
    """
    trained = _years(forecaster.train_years)
    if backtest.test_start is None:
        tested = last - _years(backtest.test_years) - trained
    else:
        tested = backtest.train_start or backtest.test_start - trained
    return min(tested, last - trained, last - _years(forecaster.feature_years))


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
    last = sessions[columns.TARGET_DATE].to_list()[-1]
    return FeatureWindow(sessions, first_session_wanted(last, forecaster, backtest))


def plan_backtest(
    sessions: Sequence[date], forecaster: ForecasterParameters, backtest: BacktestParameters
) -> Plan:
    """Lay out the windows.

    With a ``test_start``, one model is trained up to it and tested from it on. Without,
    the origin rolls over the last ``test_years``: a model is trained anew before every
    ``refit_months``. Where the data is too short for both training and test, the first
    three fifths of its sessions train and the rest tests.

    Args:
        sessions: The target sessions of the data, ascending.
        forecaster: Tells how long a model is trained on.
        backtest: The windows asked for.

    Returns:
        The plan.

    Raises:
        NoBacktestError: There is no session to train on, or none to test on.
    """
    if len(sessions) < 2:  # noqa: PLR2004
        raise NoBacktestError(
            f"too few sessions for a backtest, which trains on some and tests on others: the data "
            f"has {len(sessions)} with a volume to forecast. Give a source with more days on which "
            "its symbols trade"
        )
    least = backtest.least_sessions
    if backtest.test_start is not None:
        bounds, note = _fixed_bounds(sessions, backtest.test_start, forecaster, backtest)
    elif _long_enough(sessions, forecaster, backtest):
        bounds, note = _rolling_bounds(sessions, forecaster, backtest), ""
    else:
        least = max(1, min(least, int(len(sessions) * _SHARE_OF_HISTORY)))
        start = sessions[int(len(sessions) * _SHARE_OF_TRAINING)]
        bounds = [(sessions[0], start, sessions[-1] + timedelta(days=1))]
        note = (
            f"{sessions[0]} to {sessions[-1]} is too short for {forecaster.train_years:g} years "
            f"of training before {backtest.test_years:g} years of test: the test begins on "
            f"{start}."
        )
        if least < backtest.least_sessions:
            note += f" Symbols are scored from {least} bars of history on."
    folds = tuple(_fold(sessions, *bound) for bound in bounds)
    return Plan(folds=folds, least_sessions=least, note=note)


def _fixed_bounds(
    sessions: Sequence[date],
    test_start: date,
    forecaster: ForecasterParameters,
    backtest: BacktestParameters,
) -> tuple[list[tuple[date, date, date]], str]:
    start = backtest.train_start or test_start - _years(forecaster.train_years)
    end = backtest.test_end or sessions[-1]
    note = ""
    if start < sessions[0] - _HOLIDAYS:
        note = f"Training was to start on {start}; the features start with {sessions[0]}."
    if end > sessions[-1] + _HOLIDAYS:
        note += f" The test was to end on {end}; the data ends with {sessions[-1]}."
    return [(start, test_start, end + timedelta(days=1))], note.strip()


def _first_tested(last: date, backtest: BacktestParameters) -> date:
    return last - _years(backtest.test_years) + timedelta(days=1)


def _long_enough(
    sessions: Sequence[date], forecaster: ForecasterParameters, backtest: BacktestParameters
) -> bool:
    trained_from = _first_tested(sessions[-1], backtest) - _years(forecaster.train_years)
    return trained_from >= sessions[0] - _HOLIDAYS


def _rolling_bounds(
    sessions: Sequence[date], forecaster: ForecasterParameters, backtest: BacktestParameters
) -> list[tuple[date, date, date]]:
    last, trained = sessions[-1], _years(forecaster.train_years)
    edges = [
        *_every(_first_tested(last, backtest), last, backtest.refit_months),
        last + timedelta(days=1),
    ]
    return [
        (edge - trained, edge, following)
        for edge, following in pairwise(edges)
        if any(edge <= day < following for day in sessions)
    ]


def _every(start: date, last: date, months: int) -> list[date]:
    length = timedelta(days=round(months * DAYS_OF_YEAR / 12))
    edges = [start]
    # A rest of less than half a length belongs to the window before it.
    while edges[-1] + length + length / 2 <= last:
        edges.append(edges[-1] + length)
    return edges


def _fold(sessions: Sequence[date], start: date, test_start: date, after: date) -> Fold:
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
    """List the sessions whose volume is known, and was to be forecast.

    Args:
        features: Rows of ``forecast_features``.

    Returns:
        The sessions, ascending.
    """
    known = features.filter(pl.col(ETA).is_not_null()).select(columns.TARGET_DATE)
    return known.unique().collect(engine="streaming").to_series().sort().to_list()


def check_windows(features: pl.LazyFrame, plan: Plan, parameters: ForecasterParameters) -> None:
    """Check that every model of a backtest can be trained and tested, before the first one is.

    Args:
        features: Rows of ``forecast_features``.
        plan: The windows of the backtest.
        parameters: Of the forecaster.

    Raises:
        NoBacktestError: A window of the backtest has no row to test on.
        TooFewRowsError: A window of the backtest has too few rows to train on.
    """
    parameters = _with_history_of(plan, parameters)
    for number, fold in enumerate(plan.folds, start=1):
        if _test_rows(features, fold, plan).limit(1).collect().is_empty():
            raise NoBacktestError(
                f"backtest: no symbol with {plan.least_sessions} bars of history is in the data "
                f"from {fold.test_start} to {fold.test_end}: change backtest.test_start, or lower "
                "backtest.least_sessions"
            )
        what = f"the model of the backtest's window {number} of {len(plan.folds)}"
        check_enough(_train_rows(features, fold, parameters), what, parameters)


def _with_history_of(plan: Plan, parameters: ForecasterParameters) -> ForecasterParameters:
    """Lower the history that training asks of a symbol to what the plan asks."""
    least = min(parameters.least_sessions, plan.least_sessions)
    return parameters.model_copy(update={"least_sessions": least})


def _train_rows(
    features: pl.LazyFrame, fold: Fold, parameters: ForecasterParameters
) -> pl.LazyFrame:
    window = pl.col(columns.TARGET_DATE).is_between(fold.train_start, fold.train_end)
    return training_rows(features.filter(window), parameters)


def _test_rows(features: pl.LazyFrame, fold: Fold, plan: Plan) -> pl.LazyFrame:
    return features.filter(
        pl.col(columns.TARGET_DATE).is_between(fold.test_start, fold.test_end),
        pl.col(ETA).is_not_null(),
        pl.col(BARS_SO_FAR) >= plan.least_sessions,
    )


def run_backtest(
    features: pl.LazyFrame, plan: Plan, parameters: ForecasterParameters
) -> Iterator[pl.DataFrame]:
    """Train the model of each fold, and forecast the sessions it had not seen.

    A row is scored where its symbol has the history, and the target session's bar is in
    the data and has a volume.

    Args:
        features: Rows of ``forecast_features``.
        plan: The windows.
        parameters: Of the forecaster.

    Yields:
        One frame a fold: Symbol, Date, TargetDate, Volume of the target session, the
        forecast, its quantiles and the baselines, all in shares; Close of the origin,
        eta as it came true, and by what the errors are grouped.

    Raises:
        NoBacktestError: A window has no row to test on.
        TooFewRowsError: A window has too few rows to train on.
    """
    check_windows(features, plan, parameters)
    parameters = _with_history_of(plan, parameters)
    for number, fold in enumerate(plan.folds):
        logger.info("backtest, fold %d of %d: %s", number + 1, len(plan.folds), fold)
        train = _train_rows(features, fold, parameters).collect(engine="streaming")
        test = _test_rows(features, fold, plan).collect(engine="streaming")
        forecaster = train_forecaster(train, parameters)
        yield _scored(
            test,
            forecaster.predict(test, parameters.num_threads),
            baseline_forecasts(train, test),
            number,
        )


def _scored(
    test: pl.DataFrame, forecasts: pl.DataFrame, baselines: pl.DataFrame, fold: int
) -> pl.DataFrame:
    actual = test[NEXT_VOLUME].alias(columns.VOLUME)
    known = test.select(
        columns.CLOSE,
        ETA,
        columns.ETF,
        is_common_stock().alias(COMMON_STOCK),
        bucket_number(SIZE).alias(BUCKET),
        pl.lit(fold, dtype=pl.Int32).alias(FOLD),
    )
    return pl.concat(
        [
            forecasts.insert_column(3, actual),
            baselines.select(MA5, pl.exclude(MA5)),
            known,
        ],
        how="horizontal",
    )
