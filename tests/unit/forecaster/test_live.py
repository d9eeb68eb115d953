"""The forecast of the session that has not come yet: of which symbols, from which bars."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_volume import columns
from stock_volume.features.quantities import BASE
from stock_volume.features.registry import ETA
from stock_volume.forecaster.live import forecast_next_session, latest_rows
from stock_volume.forecaster.model import Forecaster
from stock_volume.forecaster.train import train_forecaster
from stock_volume.schemas import Forecasts
from tests.unit.forecast_helpers import forecast_frame, small_parameters, without_history

FRAME = forecast_frame(symbols=5, sessions=40)
DAYS = FRAME[columns.DATE].unique().sort().to_list()
SYMBOL = pl.col(columns.SYMBOL)
LIVE_FIVE = small_parameters(live_sessions=5)


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    return train_forecaster(FRAME.filter(pl.col(ETA).is_not_null()), small_parameters())


def _stopped(symbol: str, sessions: int) -> pl.DataFrame:
    """The frame, with a symbol that has no bar on the last sessions."""
    gone = (symbol == SYMBOL) & (pl.col(columns.DATE) > DAYS[-1 - sessions])
    return FRAME.filter(~gone)


def test_live_symbols_have_their_latest_row() -> None:
    """Where all symbols have a bar on the last session, that row of each is taken, in order."""
    rows = latest_rows(FRAME.lazy(), LIVE_FIVE)
    assert rows.equals(FRAME.filter(pl.col(columns.DATE) == DAYS[-1]))


@pytest.mark.parametrize("live_sessions", [1, 3, 5])
@pytest.mark.parametrize("missed", [0, 1, 2, 3, 4, 5, 20])
def test_a_symbol_is_live_while_its_bar_is_among_the_latest(
    missed: int, live_sessions: int
) -> None:
    """A symbol that missed fewer sessions than count as latest is live, by its own last bar."""
    frame = _stopped("S02", missed)
    rows = latest_rows(frame.lazy(), small_parameters(live_sessions=live_sessions))
    dates = dict(rows.select(columns.SYMBOL, columns.DATE).iter_rows())
    expected = dict.fromkeys(FRAME[columns.SYMBOL].unique(), DAYS[-1])
    expected["S02"] = DAYS[-1 - missed]
    if missed >= live_sessions:
        del expected["S02"]
    assert dates == expected


def test_a_kept_symbol_has_its_latest_row_however_old() -> None:
    """A symbol that is kept is forecast from its last bar, as it was when that was the latest."""
    frame = _stopped("S02", 20)
    rows = latest_rows(frame.lazy(), LIVE_FIVE, ["S02", "S03", "UNKNOWN"])
    before = FRAME.filter((SYMBOL == "S02") & (pl.col(columns.DATE) == DAYS[-21]))
    assert rows.filter(SYMBOL == "S02").equals(before)
    assert rows.filter(SYMBOL != "S02").equals(latest_rows(frame.lazy(), LIVE_FIVE))


def test_sessions_match_all_symbols() -> None:
    """A session counts if any symbol has a bar on it, not by the calendar."""
    others = FRAME.filter((SYMBOL != "S02") & pl.col(columns.DATE).is_in([*DAYS[:30], DAYS[-1]]))
    frame = pl.concat([others, FRAME.filter(SYMBOL == "S02").head(28)])
    for live_sessions, is_live in ((3, False), (4, True)):
        rows = latest_rows(frame.lazy(), small_parameters(live_sessions=live_sessions))
        assert ("S02" in rows[columns.SYMBOL]) == is_live


@pytest.mark.parametrize("symbols", [["S01"], ["S00", "S04"]])
def test_a_symbol_that_has_not_traded_is_not_forecast(symbols: list[str]) -> None:
    """Without a base on the latest bar there is no forecast, not even from an older bar."""
    idle = SYMBOL.is_in(symbols) & (pl.col(columns.DATE) == DAYS[-1])
    frame = FRAME.with_columns(pl.when(~idle).then(BASE).alias(BASE))
    rows = latest_rows(frame.lazy(), LIVE_FIVE)
    assert rows[columns.SYMBOL].to_list() == sorted(set(FRAME[columns.SYMBOL]) - set(symbols))
    assert rows[columns.DATE].unique().to_list() == [DAYS[-1]]


def test_each_live_symbol_is_forecast_once(forecaster: Forecaster) -> None:
    """There is one forecast per symbol, of its latest row, in the order of the layer."""
    frame = _stopped("S03", 6)
    forecasts = forecast_next_session(forecaster, without_history(forecaster, frame), LIVE_FIVE)
    assert Forecasts.validate(forecasts)[columns.SYMBOL].to_list() == ["S00", "S01", "S02", "S04"]
    expected = forecaster.predict(frame.filter(pl.col(columns.DATE) == DAYS[-1]), 1)
    assert_frame_equal(forecasts, expected)
    assert (forecasts[columns.TARGET_DATE] > DAYS[-1]).all()


def test_no_traded_symbol_has_no_forecast(forecaster: Forecaster) -> None:
    """Where no symbol has traded, there are no forecasts, and the columns are there."""
    idle = FRAME.with_columns(pl.lit(None, dtype=pl.Float64).alias(BASE))
    history = without_history(forecaster, idle)
    assert Forecasts.validate(forecast_next_session(forecaster, history, LIVE_FIVE)).is_empty()
