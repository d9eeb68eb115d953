"""The snapshot of each symbol equals plain pandas on the symbol's own rows."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_volume import columns
from stock_volume.exchange import NYSE, ExchangeMismatchError
from stock_volume.features.calendar import trading_calendar
from stock_volume.features.registry import (
    ETA,
    FeatureParameters,
    add_features,
    forecast_features,
)
from stock_volume.features.schedule import NO_EVENTS
from stock_volume.forecaster.live import latest_of_each
from stock_volume.forecaster.model import INTERVAL_NAMES, MA5, Forecaster
from stock_volume.forecaster.train import train_forecaster
from stock_volume.snapshot.snapshot import (
    BARS,
    DOLLAR_VOLUME,
    FIRST_BAR,
    FIRST_SCORED,
    HISTORY_DAYS,
    LAST_SCORED,
    LATEST_BAR,
    RECORD_SESSIONS,
    SCORED,
    Snapshot,
    take_snapshot,
)
from tests.unit.forecast_helpers import backtest_frame, small_parameters, without_history
from tests.unit.forecast_oracles import random_bars, sessions_of

ENDS: Final = {
    "ETF2": date(2018, 3, 2),
    "HOLIDAYS": date(2019, 7, 4),
    "LATE": date(2017, 2, 14),
}
"""Days after which symbols have no bar: of one the latest is on a holiday, of one the 22nd."""

IDLE: Final = "THIN"
"""Has no trade on its last five bars."""

NEARLY_IDLE: Final = "WHOLE"
"""Has no trade on its last four bars."""

SHORT: Final = "S03"
"""Has been scored ten times."""

SYMBOL: Final = pl.col(columns.SYMBOL)
DATE: Final = pl.col(columns.DATE)


def _untraded(bars: pl.DataFrame, symbol: str, count: int) -> pl.DataFrame:
    """Take the trades from the last bars of a symbol."""
    days = bars.filter(symbol == SYMBOL)[columns.DATE].tail(count)
    untraded = (symbol == SYMBOL) & DATE.is_in(days.implode())
    return bars.with_columns(
        pl.when(untraded).then(0).otherwise(columns.VOLUME).alias(columns.VOLUME)
    )


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    """Bars of irregular symbols, some of which ended long ago."""
    whole = random_bars(3)
    ended = pl.any_horizontal((symbol == SYMBOL) & (end < DATE) for symbol, end in ENDS.items())
    return _untraded(_untraded(whole.filter(~ended), IDLE, 5), NEARLY_IDLE, 4)


@pytest.fixture(scope="module")
def sessions(bars: pl.DataFrame) -> pl.DataFrame:
    return sessions_of(bars)


@pytest.fixture(scope="module")
def rows(bars: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """The forecaster's features of the last years, as the layer has them."""
    return forecast_features(bars, sessions).filter(date(2017, 6, 1) <= DATE)


@pytest.fixture(scope="module")
def forecaster(rows: pl.DataFrame) -> Forecaster:
    return train_forecaster(rows.filter(pl.col(ETA).is_not_null()), small_parameters())


@pytest.fixture(scope="module")
def backtest() -> pl.DataFrame:
    """Rows of a backtest, not in order; one symbol of which has few."""
    frame = backtest_frame(symbols=5, sessions=75, seed=4)
    few = (SYMBOL == SHORT) & (frame[columns.DATE].unique().sort()[9] < DATE)
    return frame.filter(~few).sample(fraction=1, shuffle=True, seed=0)


@pytest.fixture(scope="module")
def snapshot(
    bars: pl.DataFrame,
    sessions: pl.DataFrame,
    rows: pl.DataFrame,
    backtest: pl.DataFrame,
    forecaster: Forecaster,
) -> Snapshot:
    features = add_features(bars, FeatureParameters())
    return take_snapshot(
        features.lazy(),
        sessions.lazy(),
        without_history(forecaster, rows),
        backtest.lazy(),
        NO_EVENTS.events.lazy(),
        NYSE,
        forecaster,
    )


def _by_symbol(bars: pl.DataFrame) -> dict[str, Any]:
    """Bars of each symbol in pandas, with days as timestamps."""
    frame = bars.to_pandas()
    frame[columns.DATE] = pd.to_datetime(frame[columns.DATE])
    return dict(iter(frame.groupby(columns.SYMBOL)))


def _known_of(own: Any) -> dict[str, Any]:
    """Describe a symbol by its bars."""
    days = own[columns.DATE]
    month = own[days > days.iloc[-1] - pd.Timedelta(days=30)]
    dollars = own[columns.VOLUME].to_numpy() * own[columns.CLOSE].to_numpy()
    return {
        columns.SYMBOL: own[columns.SYMBOL].iloc[0],
        columns.SECURITY_NAME: own[columns.SECURITY_NAME].iloc[-1],
        columns.ETF: bool(own[columns.ETF].iloc[-1]),
        FIRST_BAR: days.min().date(),
        LATEST_BAR: days.max().date(),
        BARS: len(own),
        DOLLAR_VOLUME: float(np.mean(dollars[-22:])),
        columns.VOL_MOVING_AVG: float(month[columns.VOLUME].mean()),
        columns.ADJ_CLOSE_ROLLING_MED: float(month[columns.ADJ_CLOSE].median()),
    }


def test_symbols_are_what_their_bars_tell(snapshot: Snapshot, bars: pl.DataFrame) -> None:
    """Each symbol has its own first and latest bar, their number, dollar volume and inputs."""
    expected = pl.DataFrame([_known_of(own) for own in _by_symbol(bars).values()])
    symbols = snapshot.symbols.collect()
    assert symbols.columns == expected.columns
    assert_frame_equal(symbols, expected, rel_tol=1e-9)
    latest = dict(symbols.select(columns.SYMBOL, LATEST_BAR).iter_rows())
    assert {symbol: latest[symbol] for symbol in ENDS} == ENDS


def test_symbols_of_few_bars_have_these_only(
    sessions: pl.DataFrame, rows: pl.DataFrame, forecaster: Forecaster
) -> None:
    """A symbol with fewer than 22 bars has the mean dollar volume of those that it has."""
    bars = pl.concat(
        random_bars(5).filter(symbol == SYMBOL).head(count)
        for symbol, count in (("ETF1", 1), ("LATE", 21), ("WHOLE", 22))
    )
    features = add_features(bars, FeatureParameters()).lazy()
    backtest = backtest_frame(symbols=1, sessions=1).lazy()
    taken = take_snapshot(
        features,
        sessions.lazy(),
        without_history(forecaster, rows),
        backtest,
        NO_EVENTS.events.lazy(),
        NYSE,
        forecaster,
    )
    expected = pl.DataFrame([_known_of(own) for own in _by_symbol(bars).values()])
    assert_frame_equal(taken.symbols.collect(), expected, rel_tol=1e-9)


def test_history_is_of_two_years_up_to_each_latest_bar(
    snapshot: Snapshot, bars: pl.DataFrame
) -> None:
    """The bars of 731 calendar days that end on a symbol's own latest bar are kept as they are."""
    kept = []
    for symbol, own in _by_symbol(bars).items():
        first = own[columns.DATE].max() - pd.Timedelta(days=730)
        days = [day.date() for day in own[columns.DATE] if day >= first]
        kept.append(bars.filter(symbol == SYMBOL, DATE.is_in(days)))
    history = snapshot.history.collect()
    assert HISTORY_DAYS == 731
    assert_frame_equal(history, pl.concat(kept).select(columns.SYMBOL, *columns.BAR))
    assert history.height < bars.height


def test_history_begins_on_the_first_of_its_days(
    sessions: pl.DataFrame, rows: pl.DataFrame, forecaster: Forecaster
) -> None:
    """Of two bars a day apart, 731 and 730 days before the latest, the later one is kept."""
    latest = date(2019, 7, 31)
    days = [latest - timedelta(days=before) for before in (731, 730, 0)]
    bars = random_bars(5).head(3).with_columns(pl.Series(columns.DATE, days))
    features = add_features(bars, FeatureParameters()).lazy()
    backtest = backtest_frame(symbols=1, sessions=1).lazy()
    taken = take_snapshot(
        features,
        sessions.lazy(),
        without_history(forecaster, rows),
        backtest,
        NO_EVENTS.events.lazy(),
        NYSE,
        forecaster,
    )
    assert taken.history.collect()[columns.DATE].to_list() == days[1:]


def test_latest_rows_are_of_what_can_be_forecast(snapshot: Snapshot, rows: pl.DataFrame) -> None:
    """Each symbol's last row is there, where it has traded of late and a session follows."""
    last = rows.group_by(columns.SYMBOL, maintain_order=True).last()
    expected = last.filter(SYMBOL.is_in(["ETF1", "ETF2", "PAUSED", NEARLY_IDLE]))
    latest = snapshot.latest.collect()
    assert_frame_equal(latest, expected.select(latest.columns), check_exact=True)
    assert_frame_equal(latest, latest_of_each(rows.lazy()), check_exact=True)
    assert {IDLE, "HOLIDAYS"} <= set(last[columns.SYMBOL])


def test_sessions_go_on_past_the_data(snapshot: Snapshot, sessions: pl.DataFrame) -> None:
    """The sessions of the run, and of the ten years after it, are kept."""
    extended = snapshot.sessions.collect()
    assert_frame_equal(extended.head(sessions.height), sessions, check_exact=True)
    first, last = sessions[columns.DATE][0], sessions[columns.DATE][-1] + timedelta(days=3650)
    expected = trading_calendar(first, last, NYSE).select(columns.DATE, columns.TARGET_DATE)
    assert_frame_equal(extended.select(expected.columns), expected)


def _record_of(own: Any) -> dict[str, Any]:
    """Measure the forecasts of a symbol by their definitions."""
    volume, forecast = own[columns.VOLUME].to_numpy(), own["forecast"].to_numpy()
    eta = np.log(volume / own[MA5].to_numpy())
    error = np.log(volume / forecast)
    inside = (own["q10"].to_numpy() <= volume) & (volume <= own["q90"].to_numpy())
    days = own[columns.TARGET_DATE]
    return {
        columns.SYMBOL: own[columns.SYMBOL].iloc[0],
        SCORED: len(own),
        FIRST_SCORED: days.min().date(),
        LAST_SCORED: days.max().date(),
        "eta_r2": 100 * (1 - (error**2).sum() / (eta**2).sum()),
        "mdape": 100 * np.median(np.abs(volume - forecast) / volume),
        "mae": np.abs(volume - forecast).mean(),
        "coverage_80": 100 * inside.mean(),
    }


def test_records_are_measures_of_each_symbol(snapshot: Snapshot, backtest: pl.DataFrame) -> None:
    """A symbol's record is of its own forecasts, all of them, by numpy."""
    frame = backtest.to_pandas()
    frame[columns.TARGET_DATE] = pd.to_datetime(frame[columns.TARGET_DATE])
    expected = pl.DataFrame([_record_of(own) for _, own in frame.groupby(columns.SYMBOL)])
    records = snapshot.records.collect()
    assert records.columns == expected.columns
    assert_frame_equal(records, expected, rel_tol=1e-9)
    assert records[SCORED].to_list() == [75, 75, 75, 10, 75]
    assert records["coverage_80"].is_between(1, 99).any()


def test_scored_are_the_latest_of_each_symbol(snapshot: Snapshot, backtest: pl.DataFrame) -> None:
    """The last 60 forecasts of a symbol are kept, in order of the session, or as many as exist."""
    frame = backtest.to_pandas().sort_values([columns.SYMBOL, columns.TARGET_DATE])
    expected = frame.groupby(columns.SYMBOL).tail(60).copy()
    expected[columns.TARGET_DATE] = expected[columns.TARGET_DATE].dt.date
    names = [columns.SYMBOL, columns.TARGET_DATE, columns.VOLUME, "forecast", "q10", "q90"]
    scored = snapshot.scored.collect()
    assert RECORD_SESSIONS == 60
    assert INTERVAL_NAMES == ("q10", "q90")
    assert scored.columns == names
    assert scored.rows() == list(expected[names].itertuples(index=False, name=None))
    assert scored.height == 4 * 60 + 10


@pytest.mark.parametrize("name", Snapshot._fields)
def test_frames_are_sorted(snapshot: Snapshot, name: str) -> None:
    """Each frame has its rows by symbol, then by date, and none twice."""
    frame = getattr(snapshot, name).collect()
    days = [columns.TARGET_DATE] if name == "scored" else [columns.DATE]
    by = [key for key in (columns.SYMBOL, *days) if key in frame.columns]
    keys = frame.select(by)
    assert keys.rows() == sorted(set(keys.rows()))
    assert frame.height > 3 or name in {"events", "bias"}  # these bars have none


def test_counts_are_of_64_bits(snapshot: Snapshot) -> None:
    """Counts have one type in all frames."""
    assert snapshot.symbols.collect_schema()[BARS] == pl.Int64
    assert snapshot.records.collect_schema()[SCORED] == pl.Int64


def test_no_backtest_leaves_no_records(
    bars: pl.DataFrame, sessions: pl.DataFrame, rows: pl.DataFrame, forecaster: Forecaster
) -> None:
    """Where nothing has been scored the records have their columns and no row."""
    features = add_features(bars, FeatureParameters()).lazy()
    backtest = backtest_frame(symbols=1, sessions=1).clear().lazy()
    taken = take_snapshot(
        features,
        sessions.lazy(),
        without_history(forecaster, rows),
        backtest,
        NO_EVENTS.events.lazy(),
        NYSE,
        forecaster,
    )
    assert taken.records.collect().is_empty()
    assert taken.scored.collect().is_empty()
    assert {SCORED, "eta_r2", "mdape", "mae", "coverage_80"} < set(taken.records.collect_schema())


def test_forecasts_match_the_forecaster(
    snapshot: Snapshot, bars: pl.DataFrame, forecaster: Forecaster
) -> None:
    """Each forecast equals the live one of its row alone, and is compared with the last 60 bars."""
    latest, forecasts = snapshot.latest.collect(), snapshot.forecasts.collect()
    live = pl.concat(forecaster.predict(row, 1) for row in latest.iter_slices(1))
    assert_frame_equal(forecasts.select(live.columns), live, check_exact=True)
    assert forecasts.height > 3
    for row in forecasts.iter_rows(named=True):
        volumes = bars.filter(row[columns.SYMBOL] == SYMBOL)[columns.VOLUME].to_numpy()[-60:]
        assert row["recent_sessions"] == len(volumes)
        assert row["busier_sessions"] == (volumes > row["forecast"]).sum()
        assert row["quieter_sessions"] == (volumes < row["forecast"]).sum()


def test_a_forecaster_of_another_exchange_makes_no_snapshot(
    bars: pl.DataFrame,
    sessions: pl.DataFrame,
    rows: pl.DataFrame,
    backtest: pl.DataFrame,
    forecaster: Forecaster,
) -> None:
    """Sessions of one exchange are not forecast by a model of another one."""
    features = add_features(bars, FeatureParameters()).lazy()
    other = replace(forecaster, exchange="XLON")
    with pytest.raises(ExchangeMismatchError, match="trained for XLON"):
        take_snapshot(
            features,
            sessions.lazy(),
            without_history(forecaster, rows),
            backtest.lazy(),
            NO_EVENTS.events.lazy(),
            NYSE,
            other,
        )
