"""The backtest: its windows, and that its forecasts are of sessions that no model had seen."""

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import chain
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_volume import columns
from stock_volume.errors import StockVolumeError, TooFewRowsError
from stock_volume.evaluation import backtest
from stock_volume.evaluation.backtest import (
    Fold,
    NoBacktestError,
    Plan,
    check_windows,
    first_session_wanted,
    plan_backtest,
    run_backtest,
    target_sessions,
)
from stock_volume.evaluation.baselines import BASELINES, Baselines
from stock_volume.evaluation.groups import COMMON_STOCK, FOLD
from stock_volume.features.quantities import BARS_SO_FAR, BASE
from stock_volume.features.registry import ETA, NEXT_VOLUME
from stock_volume.forecaster.model import FORECAST, MA5, Forecaster
from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters
from stock_volume.forecaster.train import train_forecaster
from stock_volume.forecaster.universe import BUCKET
from stock_volume.schemas import Backtest
from tests.unit.forecast_helpers import (
    backtest_of,
    change_targets,
    forecast_frame,
    forget_targets,
    sessions_between,
    small_parameters,
)

EIGHT_YEARS: Final = sessions_between(date(2016, 1, 1), date(2023, 12, 29))
FORECASTER: Final = ForecasterParameters()
PARAMETERS: Final = small_parameters()
KEYS: Final = [columns.SYMBOL, columns.DATE]
TARGET: Final = pl.col(columns.TARGET_DATE)


def _plan(sessions: Sequence[date] = EIGHT_YEARS, /, **backtest: Any) -> Plan:
    return plan_backtest(sessions, FORECASTER, BacktestParameters(**backtest))


def _window(sessions: Sequence[date], first: date, last: date) -> list[date]:
    return [day for day in sessions if first <= day <= last]


def test_windows_asked_for_are_those_planned() -> None:
    """Trained on 2018 to 2020 and tested on 2021 and 2022: the sessions of these years."""
    plan = _plan(
        train_start=date(2018, 1, 1), test_start=date(2021, 1, 1), test_end=date(2022, 12, 31)
    )
    assert plan == Plan(
        folds=(
            Fold(
                train_start=date(2018, 1, 1),
                train_end=date(2020, 12, 31),
                test_start=date(2021, 1, 1),
                test_end=date(2022, 12, 30),
            ),
        ),
        min_sessions=252,
        note="",
        horizon_step=4,
    )


def test_windows_may_begin_and_end_on_days_without_a_session() -> None:
    """Bounds on a weekend part the sessions around it, none of which is in both windows."""
    saturday, sunday = date(2021, 1, 2), date(2022, 1, 2)
    (fold,) = _plan(train_start=date(2020, 1, 4), test_start=saturday, test_end=sunday).folds
    assert (fold.train_start, fold.train_end) == (date(2020, 1, 6), date(2021, 1, 1))
    assert (fold.test_start, fold.test_end) == (date(2021, 1, 4), date(2021, 12, 31))


def test_windows_have_defaults_around_the_start_of_the_test() -> None:
    """With a test_start alone, train_years are trained on, and all that follows is tested."""
    plan = _plan(test_start=date(2021, 1, 4))
    (fold,) = plan.folds
    assert fold.train_start == date(2018, 1, 4)
    assert fold.train_end == date(2021, 1, 1)
    assert (fold.test_start, fold.test_end) == (date(2021, 1, 4), EIGHT_YEARS[-1])
    assert plan.note == ""


@pytest.mark.parametrize(
    ("months", "folds"), [(1, 24), (6, 4), (9, 3), (12, 2), (15, 2), (18, 1), (24, 1), (36, 1)]
)
def test_origin_rolls_over_the_last_two_years(months: int, folds: int) -> None:
    """The tests of the models join up to the last two years, each after a window of three."""
    plan = _plan(refit_months=months)
    assert len(plan.folds) == folds
    assert plan.note == ""
    tested = [_window(EIGHT_YEARS, fold.test_start, fold.test_end) for fold in plan.folds]
    after = EIGHT_YEARS[-1] - timedelta(days=round(2 * 365.25))
    assert list(chain.from_iterable(tested)) == [day for day in EIGHT_YEARS if day > after]
    for fold in plan.folds:
        assert EIGHT_YEARS.index(fold.test_start) == EIGHT_YEARS.index(fold.train_end) + 1
        trained = fold.test_start - fold.train_start
        assert trained.days == pytest.approx(3 * 365.25, abs=4)


def test_windows_without_a_session_are_skipped() -> None:
    """Where nothing was traded for months, the other windows still test every session."""
    closed = date(2022, 5, 15), date(2022, 9, 15)
    sessions = [day for day in EIGHT_YEARS if not closed[0] <= day <= closed[1]]
    plan = _plan(sessions, refit_months=1)
    tested = [_window(sessions, fold.test_start, fold.test_end) for fold in plan.folds]
    after = sessions[-1] - timedelta(days=round(2 * 365.25))
    assert list(chain.from_iterable(tested)) == [day for day in sessions if day > after]
    assert len(plan.folds) == 24 - 3
    assert plan.note == ""


def test_windows_of_the_rolling_origin_are_about_equal() -> None:
    """Each model but the last is tested for the months asked, the last for half as much or more."""
    months = 5
    lengths = [
        (fold.test_end - fold.test_start).days / 365.25 * 12
        for fold in _plan(refit_months=months).folds
    ]
    assert lengths[:-1] == pytest.approx([months] * (len(lengths) - 1), abs=0.2)
    assert months / 2 - 0.2 <= lengths[-1] < months * 3 / 2


@pytest.mark.parametrize("years", [0.5, 1.0, 3.0])
def test_test_is_as_long_as_asked(years: float) -> None:
    """The length of the test is that of the parameters, and it ends with the data."""
    folds = _plan(test_years=years).folds
    assert folds[-1].test_end == EIGHT_YEARS[-1]
    days = (folds[-1].test_end - folds[0].test_start).days
    assert days == pytest.approx(years * 365.25, abs=4)


@pytest.mark.parametrize("count", [2, 3, 10, 100, 1200])
def test_short_data_is_shared_out_with_a_note(count: int) -> None:
    """Too short for both windows, three fifths train and the rest tests, and the note says so."""
    sessions = EIGHT_YEARS[:count]
    plan = _plan(sessions)
    (fold,) = plan.folds
    assert (fold.train_start, fold.test_end) == (sessions[0], sessions[-1])
    assert fold.train_end < fold.test_start
    assert len(_window(sessions, fold.train_start, fold.train_end)) == int(0.6 * count)
    assert f"the test begins on {fold.test_start}" in plan.note
    assert "too short for 3 years of training before 2 years of test" in plan.note


@pytest.mark.parametrize(
    ("count", "least"), [(2, 1), (10, 2), (100, 25), (1000, 250), (1008, 252), (2000, 252)]
)
def test_short_data_asks_for_less_history(count: int, least: int) -> None:
    """No symbol needs more bars than a quarter of the sessions; the note says if it is fewer."""
    plan = _plan(EIGHT_YEARS[:count])
    assert plan.min_sessions == least
    assert (f"scored from {least} bars" in plan.note) == (least < 252)


@pytest.mark.parametrize("count", [100, 1200])
def test_windows_asked_for_keep_their_history(count: int) -> None:
    """Given windows are scored from the history asked for, however short the data."""
    sessions = EIGHT_YEARS[:count]
    plan = _plan(sessions, test_start=sessions[count // 2], min_sessions=500)
    assert plan.min_sessions == 500
    assert "scored from" not in plan.note


def test_a_test_may_be_of_one_session() -> None:
    """A test that starts and ends on one day is of its session alone."""
    day = date(2021, 1, 4)
    (fold,) = _plan(test_start=day, test_end=day).folds
    assert (fold.test_start, fold.test_end) == (day, day)
    assert fold.train_end == date(2021, 1, 1)


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (
            {"train_start": "2014-01-01", "test_start": "2020-01-01"},
            "Training was to start on 2014-01-01; the features start with 2016-01-01.",
        ),
        (
            {"test_start": "2018-01-01"},
            "Training was to start on 2015-01-01; the features start with 2016-01-01.",
        ),
        (
            {"test_start": "2022-01-01", "test_end": "2025-12-31"},
            "The test was to end on 2025-12-31; the data ends with 2023-12-29.",
        ),
    ],
)
def test_windows_beyond_the_data_are_noted(days: dict[str, str], words: str) -> None:
    """The note says what is shortened for lack of data, with both days."""
    assert _plan(**days).note == words


def test_both_ends_beyond_the_data_are_noted() -> None:
    """The note names a training and a test that both lack data, with a space between."""
    note = _plan(train_start="2010-01-01", test_start="2020-01-01", test_end="2030-01-01").note
    assert "with 2016-01-01. The test was to end on 2030-01-01" in note


@pytest.mark.parametrize(("first", "last"), [("2015-12-27", "2024-01-03"), (None, None)])
def test_a_holiday_at_the_ends_is_not_noted(first: str | None, last: str | None) -> None:
    """Windows that end within a week of the data want no more than a holiday."""
    assert _plan(train_start=first, test_start="2020-01-01", test_end=last).note == ""


@pytest.mark.parametrize("count", [0, 1])
def test_no_sessions_have_no_windows(count: int) -> None:
    """Without two sessions there is nothing to plan."""
    with pytest.raises(NoBacktestError, match=f"too few sessions.*has {count} with"):
        _plan(EIGHT_YEARS[:count])


@pytest.mark.parametrize(
    ("days", "lacking"),
    [
        ({"test_start": "2016-01-01"}, "train on"),
        ({"test_start": "2010-01-01", "test_end": "2011-01-01"}, "train on"),
        ({"train_start": "2023-12-30", "test_start": "2024-02-01"}, "train on"),
        ({"test_start": "2023-12-30"}, "test on"),
        ({"test_start": "2022-01-01", "test_end": "2022-01-02"}, "test on"),
    ],
)
def test_windows_without_a_session_are_refused(days: dict[str, str], lacking: str) -> None:
    """If no session is in a window, the error names the window and what the data has."""
    with pytest.raises(NoBacktestError, match=f"no session to {lacking}.*2016-01-01.*2023-12-29"):
        _plan(**days)


def test_no_backtest_is_an_error_to_act_on() -> None:
    """The error is among those that the package raises on purpose."""
    assert issubclass(NoBacktestError, StockVolumeError)


@pytest.mark.parametrize(
    ("backtest", "expected"),
    [
        ({}, date(2019, 1, 1)),
        ({"test_years": 1.0}, date(2018, 12, 31)),
        ({"test_years": 4.0}, date(2016, 12, 31)),
        ({"test_start": "2021-01-01"}, date(2018, 1, 1)),
        ({"test_start": "2021-01-01", "train_start": "2015-06-01"}, date(2015, 6, 1)),
        ({"test_start": "2023-11-01", "train_start": "2023-06-01"}, date(2018, 12, 31)),
        ({"test_start": "2023-12-01", "test_end": "2023-12-08"}, date(2018, 12, 31)),
    ],
)
def test_first_session_wanted(backtest: dict[str, Any], expected: date) -> None:
    """It is early enough for all windows of training, and the years asked of the layer."""
    first = first_session_wanted(
        date(2023, 12, 31), FORECASTER, BacktestParameters.model_validate(backtest)
    )
    assert abs(first - expected) <= timedelta(days=1)


@pytest.mark.parametrize(
    ("years", "expected"),
    [(0.0, date(2019, 12, 31)), (4.5, date(2019, 7, 1)), (8.0, date(2015, 12, 31))],
)
def test_first_session_wanted_reaches_back_the_years_of_features(
    years: float, expected: date
) -> None:
    """More years of features move it back; fewer leave what training and test need."""
    asking = FORECASTER.model_copy(update={"feature_years": years})
    first = first_session_wanted(date(2023, 12, 31), asking, BacktestParameters(test_years=1))
    assert abs(first - expected) <= timedelta(days=1)


@pytest.mark.parametrize(
    "backtest",
    [
        {},
        {"refit_months": 4},
        {"test_years": 0.5},
        {"test_start": "2021-01-01"},
        {"test_start": "2021-01-01", "train_start": "2018-01-01", "test_end": "2022-12-31"},
        {"test_start": "2023-06-01", "train_start": "2023-01-01"},
    ],
)
def test_wanted_sessions_are_enough(backtest: dict[str, Any]) -> None:
    """Without the sessions before the first one wanted, the windows are the same."""
    parameters = BacktestParameters.model_validate(backtest)
    first = first_session_wanted(EIGHT_YEARS[-1], FORECASTER, parameters)
    wanted = [day for day in EIGHT_YEARS if day >= first]
    few, many = (plan_backtest(days, FORECASTER, parameters) for days in (wanted, EIGHT_YEARS))
    assert len(wanted) < len(EIGHT_YEARS)
    assert few.folds == many.folds


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    """Rows of which some lack the target, and one symbol the history, at first."""
    frame = forecast_frame(symbols=14, sessions=90)
    lost = (pl.col(columns.SYMBOL) == "S03") & (pl.col(BARS_SO_FAR) % 6 == 0)
    young = pl.when(pl.col(columns.SYMBOL) == "S05").then(pl.col(BARS_SO_FAR) - 300)
    return forget_targets(frame, lost).with_columns(young.otherwise(BARS_SO_FAR).alias(BARS_SO_FAR))


@pytest.fixture(scope="module")
def plan(frame: pl.DataFrame) -> Plan:
    """Two models, of windows of 40 sessions each, tested on 20, and sessions to spare."""
    days = target_sessions(frame.lazy())
    folds = [
        Fold(
            train_start=days[start],
            train_end=days[start + 39],
            test_start=days[start + 40],
            test_end=days[start + 59],
        )
        for start in (5, 25)
    ]
    return Plan(folds=tuple(folds), min_sessions=60, note="")


@pytest.fixture(scope="module")
def folds(frame: pl.DataFrame, plan: Plan) -> list[pl.DataFrame]:
    return [rows.forecasts for rows in run_backtest(frame.lazy(), plan, PARAMETERS)]


def _scored(frame: pl.DataFrame, plan: Plan, fold: Fold) -> pl.DataFrame:
    """Select the rows that a fold scores in plain Python, row by row."""
    places = frame.select(TARGET, ETA, BARS_SO_FAR).rows()
    return frame[
        [
            place
            for place, (target, eta, sessions) in enumerate(places)
            if fold.test_start <= target <= fold.test_end
            and eta is not None
            and sessions >= plan.min_sessions
        ]
    ]


def test_target_sessions_are_those_with_a_volume() -> None:
    """A session is listed once, in order, if the volume of any symbol on it is known."""
    frame = forecast_frame(symbols=3, sessions=8)
    days = frame[columns.TARGET_DATE].unique().sort().to_list()
    lost = (pl.col(columns.TARGET_DATE) == days[2]) | (
        (pl.col(columns.TARGET_DATE) == days[4]) & (pl.col(columns.SYMBOL) != "S01")
    )
    assert target_sessions(forget_targets(frame, lost).lazy()) == [*days[:2], *days[3:-1]]


def test_every_row_of_the_test_is_scored_once(
    frame: pl.DataFrame, plan: Plan, folds: list[pl.DataFrame]
) -> None:
    """Each fold scores the rows of its window that have history and target, and no others."""
    assert len(folds) == len(plan.folds)
    for number, (rows, fold) in enumerate(zip(folds, plan.folds, strict=True)):
        expected = _scored(frame, plan, fold)
        assert 0 < expected.height < 14 * 20
        assert rows.select(*KEYS, TARGET).equals(expected.select(*KEYS, TARGET))
        assert rows[FOLD].unique().to_list() == [number]
    everything = pl.concat(folds)
    assert everything.select(KEYS).is_unique().all()


def test_what_came_true_is_beside_the_forecast(
    frame: pl.DataFrame, plan: Plan, folds: list[pl.DataFrame]
) -> None:
    """Volume, eta and Close are the features' own, as are the groups by name and size."""
    for rows, fold in zip(folds, plan.folds, strict=True):
        expected = _scored(frame, plan, fold)
        assert rows[columns.VOLUME].equals(expected[NEXT_VOLUME])
        for name in (ETA, columns.CLOSE, columns.ETF):
            assert rows[name].equals(expected[name])
        common = [
            name.endswith(("Common Stock", "Ordinary Shares"))
            for name in expected[columns.SECURITY_NAME]
        ]
        assert rows[COMMON_STOCK].to_list() == common
        dollars = np.exp(expected["size"].cast(pl.Float64).to_numpy())
        buckets = np.searchsorted([1e5, 1e6, 5e6, 1e8], dollars)
        assert rows[BUCKET].to_list() == buckets.tolist()


def test_ma5_is_the_volume_that_an_eta_of_zero_means(
    frame: pl.DataFrame, plan: Plan, folds: list[pl.DataFrame]
) -> None:
    """The baseline of the last five sessions is e to the base, over the Close."""
    for rows, fold in zip(folds, plan.folds, strict=True):
        expected = _scored(frame, plan, fold)
        ma5 = np.exp(expected[BASE].to_numpy()) / expected[columns.CLOSE].to_numpy()
        assert rows[MA5].to_numpy() == pytest.approx(ma5, rel=1e-12)


def test_columns_are_what_the_layer_holds(folds: list[pl.DataFrame]) -> None:
    """Each chunk, and all of them together, pass the schema of the layer."""
    for rows in (*folds, pl.concat(folds)):
        assert Backtest.validate(rows).equals(rows)


def test_each_fold_is_forecast_by_a_model_of_its_window(
    frame: pl.DataFrame, plan: Plan, folds: list[pl.DataFrame]
) -> None:
    """Forecasts and baselines come from models trained on the fold's window."""
    for rows, fold in zip(folds, plan.folds, strict=True):
        train = frame.filter(
            TARGET.is_between(fold.train_start, fold.train_end), pl.col(ETA).is_not_null()
        )
        test = _scored(frame, plan, fold)
        forecasts = train_forecaster(train, PARAMETERS).predict(test, 1)
        assert_frame_equal(rows.select(forecasts.columns), forecasts)
        assert_frame_equal(rows.select(BASELINES), Baselines.fit(train.lazy()).forecast(test))


@pytest.mark.parametrize("number", [0, 1])
def test_no_model_sees_its_test(
    frame: pl.DataFrame, plan: Plan, folds: list[pl.DataFrame], number: int
) -> None:
    """With other volumes from the test's start on, forecasts and baselines are the same."""
    first = plan.folds[number].test_start
    changed = change_targets(frame, first <= TARGET)
    rows = list(run_backtest(changed.lazy(), plan, PARAMETERS))[number].forecasts
    outcome = [columns.VOLUME, ETA]
    assert rows.drop(outcome).equals(folds[number].drop(outcome))
    assert (rows[columns.VOLUME] != folds[number][columns.VOLUME]).all()


@pytest.mark.parametrize("number", [0, 1])
def test_no_model_sees_what_is_outside_its_windows(
    frame: pl.DataFrame, plan: Plan, folds: list[pl.DataFrame], number: int
) -> None:
    """Rows before the training and after the test may be missing."""
    fold = plan.folds[number]
    alone = frame.filter(TARGET.is_between(fold.train_start, fold.test_end))
    rows = backtest_of(alone, plan.model_copy(update={"folds": (fold,)}), PARAMETERS)
    assert rows.drop(FOLD).equals(folds[number].drop(FOLD))


def test_every_session_of_the_window_is_trained_on(
    frame: pl.DataFrame, plan: Plan, folds: list[pl.DataFrame]
) -> None:
    """The first and the last session of the training both move the forecasts."""
    for edge in (plan.folds[0].train_start, plan.folds[0].train_end):
        changed = change_targets(frame, TARGET.eq(edge))
        rows = next(run_backtest(changed.lazy(), plan, PARAMETERS)).forecasts
        assert not rows[FORECAST].equals(folds[0][FORECAST])


def test_rows_of_young_symbols_are_not_trained_on(plan: Plan, folds: list[pl.DataFrame]) -> None:
    """The least history of training is the forecaster's, that of scoring the plan's."""
    frame = forecast_frame(symbols=14, sessions=90)
    young = pl.when(pl.col(columns.SYMBOL) == "S05").then(1).otherwise(BARS_SO_FAR)
    changed = frame.with_columns(young.cast(pl.Int64).alias(BARS_SO_FAR))
    parameters = small_parameters(min_sessions=2)
    whole, without = (
        backtest_of(rows, plan, parameters)
        for rows in (changed, changed.filter(pl.col(columns.SYMBOL) != "S05"))
    )
    assert whole.equals(without)
    assert not whole.equals(pl.concat(folds))


def test_folds_are_made_one_at_a_time(
    frame: pl.DataFrame, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first fold comes before a later one is trained, so that memory holds one."""
    trained: list[int] = []

    def train(rows: pl.LazyFrame, parameters: ForecasterParameters) -> Forecaster:
        trained.append(rows.collect().height)
        return train_forecaster(rows, parameters)

    monkeypatch.setattr(backtest, "train_forecaster", train)
    chunks = run_backtest(frame.lazy(), plan, PARAMETERS)
    for number in range(1, len(plan.folds) + 1):
        assert next(chunks).forecasts.height > 0
        assert len(trained) == number


@pytest.mark.parametrize("lacking", ["train", "test"])
def test_a_window_without_rows_is_refused_before_any_training(
    frame: pl.DataFrame, plan: Plan, lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later window that cannot be trained or tested is an error before the first is trained."""
    monkeypatch.setattr(backtest, "train_forecaster", lambda *_: pytest.fail("trained"))
    empty = {f"{lacking}_start": date(1990, 1, 1), f"{lacking}_end": date(1990, 1, 2)}
    later = plan.folds[-1].model_copy(update=empty)
    asked = plan.model_copy(update={"folds": (*plan.folds, later)})
    words = "no symbol with" if lacking == "test" else f"window {len(asked.folds)} of"
    with pytest.raises((NoBacktestError, TooFewRowsError), match=words):
        check_windows(frame.lazy(), asked, PARAMETERS)
    with pytest.raises((NoBacktestError, TooFewRowsError), match=words):
        next(run_backtest(frame.lazy(), asked, PARAMETERS))


def test_a_test_without_history_is_refused(frame: pl.DataFrame, plan: Plan) -> None:
    """If no symbol has the history, the error names it and the window."""
    asking = plan.model_copy(update={"min_sessions": 5000})
    with pytest.raises(NoBacktestError, match=f"5000 bars.*{plan.folds[0].test_start}"):
        list(run_backtest(frame.lazy(), asking, PARAMETERS))


def test_training_asks_for_no_more_history_than_scoring(frame: pl.DataFrame, plan: Plan) -> None:
    """A plan for short data trains on symbols of the history that it scores them from."""
    asking = small_parameters(min_sessions=5000)
    as_planned = small_parameters(min_sessions=plan.min_sessions)
    made, expected = (backtest_of(frame, plan, parameters) for parameters in (asking, as_planned))
    assert made.equals(expected)
