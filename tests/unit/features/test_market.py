"""The market's sessions: which bars count, how much, and what remains where none does."""

from collections.abc import Iterable
from datetime import date, timedelta
from statistics import fmean
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_volume import columns
from stock_volume.exchange import NYSE, ExchangeMismatchError, find_exchange
from stock_volume.features.calendar import CALENDAR_FEATURES, trading_calendar
from stock_volume.features.market import (
    ETF_ABNORMAL,
    ETF_SURPRISE,
    MARKET_ABNORMAL,
    MARKET_ABS_RETURN,
    MARKET_FEATURES,
    MARKET_RETURN,
    MARKET_SPIKES,
    MARKET_SURPRISE,
    check_targets,
    extend_sessions,
    market_sessions,
    market_sums,
)
from stock_volume.features.quantities import (
    ABNORMAL,
    ABS_RETURN,
    BARS_SO_FAR,
    LOG_VOLUME,
    RETURN,
    SURPRISE,
)
from tests.unit.forecast_oracles import MARKET_ORACLES

OF_STOCKS: Final = {
    MARKET_ABNORMAL: ABNORMAL,
    MARKET_SURPRISE: SURPRISE,
    MARKET_RETURN: RETURN,
    MARKET_ABS_RETURN: ABS_RETURN,
    MARKET_SPIKES: ABNORMAL,
}
OF_ETFS: Final = {ETF_ABNORMAL: ABNORMAL, ETF_SURPRISE: SURPRISE}
"""The quantity of a bar that each measure of the market averages."""

TUESDAY: Final = date(2019, 7, 2)
WEDNESDAY: Final = date(2019, 7, 3)
HOLIDAY: Final = date(2019, 7, 4)
FRIDAY: Final = date(2019, 7, 5)
MONDAY: Final = date(2019, 7, 8)

PLAIN: Final[dict[str, Any]] = {
    columns.DATE: TUESDAY,
    columns.ETF: False,
    BARS_SO_FAR: 61,
    LOG_VOLUME: 13.5,
    ABNORMAL: 0.5,
    SURPRISE: 0.75,
    RETURN: -0.02,
    ABS_RETURN: 0.02,
}
"""The quantities of a bar that counts."""
FLOATS: Final = (LOG_VOLUME, ABNORMAL, SURPRISE, RETURN, ABS_RETURN)


def _sums(*changed: dict[str, Any]) -> pl.DataFrame:
    """Add up bars, each given by its differences from the plain one."""
    return market_sums(
        pl.DataFrame(
            [PLAIN | change for change in changed],
            schema_overrides=dict.fromkeys(FLOATS, pl.Float64),
        )
    )


def _sessions(*changed: dict[str, Any]) -> pl.DataFrame:
    return market_sessions([_sums(*changed)], NYSE)


def _values(sessions: pl.DataFrame, names: Iterable[str]) -> dict[str, Any]:
    """Return some columns of the only session."""
    return sessions.select(*names).row(0, named=True) if sessions.height == 1 else {}


@pytest.mark.parametrize(
    ("quantity", "value", "expected"),
    [
        pytest.param(ABNORMAL, 1.5, {MARKET_ABNORMAL: 1.5, MARKET_SPIKES: 1}, id="a spike"),
        pytest.param(ABNORMAL, 2.5, {MARKET_ABNORMAL: 2, MARKET_SPIKES: 1}, id="a great spike"),
        pytest.param(ABNORMAL, -9.0, {MARKET_ABNORMAL: -2, MARKET_SPIKES: 0}, id="hardly a trade"),
        pytest.param(ABNORMAL, 1.0, {MARKET_ABNORMAL: 1, MARKET_SPIKES: 0}, id="not yet a spike"),
        pytest.param(SURPRISE, -2.9, {MARKET_SURPRISE: -2.9}, id="a surprise"),
        pytest.param(SURPRISE, -3.1, {MARKET_SURPRISE: -3}, id="a low surprise"),
        pytest.param(SURPRISE, 7.0, {MARKET_SURPRISE: 3}, id="a great surprise"),
        pytest.param(RETURN, 0.29, {MARKET_RETURN: 0.29}, id="a return"),
        pytest.param(RETURN, -1.0, {MARKET_RETURN: -0.3}, id="a crash"),
        pytest.param(RETURN, 1.0, {MARKET_RETURN: 0.3}, id="a rise"),
        pytest.param(ABS_RETURN, 1.0, {MARKET_ABS_RETURN: 0.3}, id="a move"),
    ],
)
def test_stock_counts_no_more_than_its_limit(
    quantity: str, value: float, expected: dict[str, float]
) -> None:
    """An outlier is clipped before it is averaged; only what exceeds 1 is a spike."""
    assert _values(_sessions({quantity: value}), expected) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("quantity", "value", "expected"),
    [
        (ABNORMAL, -5.0, {ETF_ABNORMAL: -2}),
        (ABNORMAL, 5.0, {ETF_ABNORMAL: 2}),
        (SURPRISE, -5.0, {ETF_SURPRISE: -3}),
        (SURPRISE, 5.0, {ETF_SURPRISE: 3}),
    ],
)
def test_etf_counts_no_more_than_its_limit(
    quantity: str, value: float, expected: dict[str, float]
) -> None:
    """An outlier among ETFs is clipped, too."""
    assert _values(_sessions({columns.ETF: True, quantity: value}), expected) == expected


@pytest.mark.parametrize("etf", [False, True])
def test_means_are_of_stocks_or_of_etfs(*, etf: bool) -> None:
    """A measure is the mean over its own kind of symbols, whatever the other kind does."""
    kind, other = {columns.ETF: etf}, {columns.ETF: not etf}
    low, high = dict.fromkeys(FLOATS[1:], 0.01), dict.fromkeys(FLOATS[1:], 0.04)
    sessions = _sessions(kind | low, kind | high, kind | high, other)
    names = [name for name in (OF_ETFS if etf else OF_STOCKS) if name != MARKET_SPIKES]
    assert _values(sessions, names) == pytest.approx(dict.fromkeys(names, 0.03))


@pytest.mark.parametrize(
    "thin",
    [
        pytest.param({BARS_SO_FAR: 60}, id="60 bars so far"),
        pytest.param({LOG_VOLUME: 13.0}, id="440,000 dollars"),
        pytest.param({LOG_VOLUME: None}, id="no trades"),
    ],
)
@pytest.mark.parametrize("etf", [False, True])
def test_new_and_thin_symbols_do_not_count(thin: dict[str, Any], *, etf: bool) -> None:
    """A symbol of at most 60 bars, or little traded that day, changes no measure."""
    liquid = {columns.ETF: etf}
    beside = liquid | thin | dict.fromkeys(FLOATS[1:], 0.25)
    assert_frame_equal(_sessions(liquid, beside), _sessions(liquid))
    assert_frame_equal(market_sessions([_sums(beside), _sums(liquid)], NYSE), _sessions(liquid))
    measures = (*OF_STOCKS, *OF_ETFS)
    counted = [f"{name}_counted" for name in measures]
    assert _values(_sums(beside), [columns.DATE, *measures, *counted]) == {
        columns.DATE: TUESDAY,
        **dict.fromkeys((*measures, *counted), 0),
    }


def test_sessions_are_from_the_first_bar_to_the_last() -> None:
    """Bars that do not count extend the sessions too, even where no symbol is liquid."""
    thin = {LOG_VOLUME: 12.0}
    sessions = _sessions(thin, {columns.DATE: MONDAY, BARS_SO_FAR: 1})
    assert sessions[columns.DATE].to_list() == [TUESDAY, WEDNESDAY, FRIDAY, MONDAY]
    assert all(sessions[name].null_count() == 4 for name in (*OF_STOCKS, *OF_ETFS))
    liquid = _sessions(thin, {columns.DATE: FRIDAY}, thin | {columns.DATE: MONDAY})
    assert liquid[columns.DATE].to_list() == sessions[columns.DATE].to_list()
    assert liquid[MARKET_ABNORMAL].to_list() == [None, None, 0.5, None]


@pytest.mark.parametrize(("market", "quantity"), OF_STOCKS.items())
def test_unknown_quantities_do_not_count(market: str, quantity: str) -> None:
    """Unknown quantities are left out of the mean, which is unknown where all are."""
    unknown = {quantity: None}
    assert_frame_equal(_sessions({}, unknown).select(market), _sessions({}).select(market))
    assert _values(_sessions(unknown), [market]) == {market: None}


def test_spikes_are_a_share() -> None:
    """Spikes are counted among the stocks whose abnormal volume is known."""
    abnormal = (1.2, 3.0, 0.9, -1.5, None)
    sessions = _sessions(*({ABNORMAL: value} for value in abnormal))
    assert _values(sessions, [MARKET_SPIKES]) == {MARKET_SPIKES: 0.5}


@pytest.mark.parametrize(
    ("etf", "known", "unknown"), [(False, OF_STOCKS, OF_ETFS), (True, OF_ETFS, OF_STOCKS)]
)
def test_measures_are_null_where_none_is_measured(
    *, etf: bool, known: Iterable[str], unknown: Iterable[str]
) -> None:
    """Without ETFs their measures are null, and without stocks the market's; the rest is there."""
    sessions = _sessions({columns.ETF: etf}, {columns.ETF: etf, columns.DATE: MONDAY})
    assert sessions.height == 4
    assert all(sessions[name].null_count() == 4 for name in unknown)
    assert all(sessions[name].null_count() == 2 for name in known)


def test_sessions_without_bars_are_there() -> None:
    """Every session between the first and the last day has its calendar, measured or not."""
    sessions = _sessions({}, {columns.DATE: MONDAY})
    of_calendar = [feature.name for feature in CALENDAR_FEATURES]
    calendar = trading_calendar(TUESDAY, MONDAY, NYSE)
    names = [columns.DATE, columns.TARGET_DATE, *of_calendar]
    assert_frame_equal(sessions.select(names), calendar.select(names))
    assert sessions[columns.DATE].to_list() == [TUESDAY, WEDNESDAY, FRIDAY, MONDAY]
    assert sessions[MARKET_ABNORMAL].to_list() == [0.5, None, None, 0.5]


@pytest.mark.parametrize("others", [[TUESDAY, FRIDAY], [FRIDAY], [WEDNESDAY]])
def test_bars_of_no_session_do_not_count(others: list[date]) -> None:
    """A bar on a holiday adds and changes no session, whether first, last or in between."""
    known = [{columns.DATE: day} for day in others]
    closed = {columns.DATE: HOLIDAY, ABNORMAL: 1.5}
    assert_frame_equal(_sessions(*known, closed), _sessions(*known))


def test_the_order_of_bars_and_chunks_does_not_matter() -> None:
    """Chunks in any order, also without ETFs or stocks, give the same sessions as one chunk."""
    bars: list[dict[str, Any]] = [
        {columns.DATE: day, columns.ETF: etf, ABNORMAL: value}
        for day, etf, value in (
            (MONDAY, False, 0.1),
            (MONDAY, True, 0.2),
            (TUESDAY, False, 0.3),
            (FRIDAY, True, 0.4),
            (TUESDAY, False, 0.9),
        )
    ]
    stocks = _sums(*(bar for bar in bars if not bar[columns.ETF]))
    etfs = _sums(*(bar for bar in bars if bar[columns.ETF]))
    whole = _sessions(*sorted(bars, key=lambda bar: bar[columns.DATE]))
    assert_frame_equal(market_sessions(iter([etfs, stocks]), NYSE), whole)
    assert whole[columns.DATE].is_sorted()
    assert whole[MARKET_ABNORMAL].to_list() == pytest.approx([0.6, None, None, 0.1])
    assert whole[ETF_ABNORMAL].to_list() == pytest.approx([None, None, 0.4, 0.2])


def test_windows_pass_over_sessions_without_measure() -> None:
    """Rolling sums and means skip sessions without a measure."""
    returns = {TUESDAY: 0.01, FRIDAY: 0.02, MONDAY: -0.05}
    sessions = _sessions(
        *({columns.DATE: day, RETURN: move, SURPRISE: move} for day, move in returns.items())
    )
    last = sessions.row(-1, named=True)
    assert last["market_return_sum_5"] == pytest.approx(sum(returns.values()))
    assert last["market_volume_surprise_mean_5"] == pytest.approx(fmean(returns.values()))
    assert sessions["market_return_sum_5"].to_list()[:2] == pytest.approx([0.01, 0.01])
    assert last["market_volume_surprise_mean_22"] is None


def test_columns_are_the_calendars_and_the_markets() -> None:
    """Sessions have the columns of the calendar, then the market's features, and no other."""
    names = [feature.name for feature in MARKET_FEATURES]
    sessions = _sessions({})
    calendar = trading_calendar(TUESDAY, TUESDAY, NYSE)
    assert set(sessions.columns) == {*calendar.columns, *names}
    assert len(sessions.columns) == len(calendar.columns) + len(names)


START: Final = date(2015, 1, 2)
END: Final = date(2019, 7, 3)
"""Span of the data; the session after it is not on the next day."""

FAR: Final = date(2021, 2, 5)
UNMEASURED: Final = (date(2018, 12, 5), date(2019, 6, 28))
YEARLY: Final = {
    "market_abnormal_volume_year_ago": MARKET_ABNORMAL,
    "market_spikes_year_ago": MARKET_SPIKES,
}
MEASURES: Final = (*OF_STOCKS, *OF_ETFS)


def _days() -> list[date]:
    days = trading_calendar(START, END, NYSE)[columns.DATE].to_list()
    return [day for day in days if day not in UNMEASURED]


def _years_of_bars(days: Iterable[date]) -> list[dict[str, Any]]:
    """Make a stock's and an ETF's quantities on each day, at random."""
    random = np.random.default_rng(0)
    drawn: list[dict[str, Any]] = []
    for day in days:
        for etf in (False, True):
            values = dict(zip(FLOATS[1:], (random.normal(0, 0.7, 4)).tolist(), strict=True))
            drawn.append({columns.DATE: day, columns.ETF: etf, **values})
    return drawn


@pytest.fixture(scope="module")
def known() -> pl.DataFrame:
    """Four and a half years of sessions, two of them without a measure."""
    return _sessions(*_years_of_bars(_days()))


@pytest.fixture(scope="module")
def extended(known: pl.DataFrame) -> pl.DataFrame:
    return extend_sessions(known, FAR, NYSE)


def test_extension_keeps_what_is_known(known: pl.DataFrame, extended: pl.DataFrame) -> None:
    """Extending sessions leaves the known ones exactly as they are."""
    assert known[columns.DATE][-1] == END
    assert known[MARKET_ABNORMAL].null_count() == len(UNMEASURED)
    assert extended.columns == known.columns
    assert_frame_equal(extended.head(known.height), known, check_exact=True)


def test_extension_has_each_later_session(known: pl.DataFrame, extended: pl.DataFrame) -> None:
    """Every session up to the last day follows the data, with the exchange's calendar."""
    later = extended.slice(known.height)
    names = [columns.DATE, columns.TARGET_DATE, *(feature.name for feature in CALENDAR_FEATURES)]
    alone = trading_calendar(END + timedelta(days=1), FAR, NYSE)
    assert_frame_equal(later.select(names), alone.select(names), check_exact=True)
    assert (later[columns.DATE][0], later[columns.DATE][-1]) == (FRIDAY, FAR)
    assert later.height > 390


def test_extension_has_no_measures_of_its_own(known: pl.DataFrame, extended: pl.DataFrame) -> None:
    """The market's measures on sessions after the data are null."""
    later = extended.slice(known.height)
    assert {name: later[name].null_count() for name in MEASURES} == dict.fromkeys(
        MEASURES, later.height
    )


def _as_days(sessions: pl.DataFrame) -> Any:
    """Make the input of the sessions' oracles: calendar, measures, and the next measure."""
    days = sessions.with_columns(pl.col("kind").cast(pl.String)).to_pandas()
    days["next_market_abnormal_volume"] = days[MARKET_ABNORMAL].shift(-1)
    return days


@pytest.mark.parametrize("name", sorted(set(MARKET_ORACLES) - set(YEARLY)))
def test_extension_knows_what_the_market_had_done(
    known: pl.DataFrame, extended: pl.DataFrame, name: str
) -> None:
    """Windows and responses of later sessions equal pandas on the measures known by then."""
    expected = np.asarray(MARKET_ORACLES[name](_as_days(extended)), dtype=np.float64)
    found = extended[name].cast(pl.Float64).to_numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    of_its_own = name in MEASURES or "_over_mean_" in name
    assert np.isnan(found[known.height :]).all() == of_its_own


@pytest.mark.parametrize(("name", "measure"), YEARLY.items())
def test_extension_looks_a_year_back(
    known: pl.DataFrame, extended: pl.DataFrame, name: str, measure: str
) -> None:
    """A later session sees the market 52 weeks before its target, or up to four days earlier."""
    of_day = dict(known.select(columns.DATE, measure).iter_rows())
    later = extended.slice(known.height)
    for target, found in later.select(columns.TARGET_DATE, name).iter_rows():
        days = (target - timedelta(weeks=52, days=back) for back in range(5))
        day = next((day for day in days if day in of_day), None)
        assert found == (None if day is None else of_day[day])
    assert later[name].count() > 240


@pytest.mark.parametrize("last", [FRIDAY, date(2019, 7, 7), date(2019, 12, 25), date(2020, 6, 1)])
def test_extension_sees_no_later_session(
    extended: pl.DataFrame, known: pl.DataFrame, last: date
) -> None:
    """Extending further changes no session."""
    nearer = extend_sessions(known, last, NYSE)
    assert nearer[columns.DATE][-1] <= last < extended[columns.DATE][nearer.height]
    assert_frame_equal(nearer, extended.head(nearer.height), check_exact=True)


@pytest.mark.parametrize("cut", [date(2018, 12, 4), date(2019, 3, 29), date(2019, 7, 2)])
def test_extension_is_of_what_was_known_then(known: pl.DataFrame, cut: date) -> None:
    """Extending from an earlier day equals sessions in which no liquid stock traded later."""
    bars = _years_of_bars(_days())
    thin = [bar | {LOG_VOLUME: 1.0} if bar[columns.DATE] > cut else bar for bar in bars]
    then = _sessions(*(bar for bar in bars if bar[columns.DATE] <= cut))
    assert then[columns.DATE][-1] == cut
    assert_frame_equal(extend_sessions(then, END, NYSE), _sessions(*thin), check_exact=True)
    after = extend_sessions(then, END, NYSE).filter(pl.col(columns.DATE) > cut)
    assert not after.equals(known.filter(pl.col(columns.DATE) > cut))


def test_extension_to_the_last_session_changes_nothing(known: pl.DataFrame) -> None:
    """Extending to the last session, or to the holiday after it, changes nothing."""
    for last in (END, HOLIDAY):
        assert_frame_equal(extend_sessions(known, last, NYSE), known, check_exact=True)


def test_extension_reaches_ten_years(known: pl.DataFrame) -> None:
    """The calendar is known ten years after the data, without gap or repetition."""
    last = END + timedelta(days=3650)
    later = extend_sessions(known, last, NYSE)
    assert later[columns.DATE].is_sorted()
    assert later[columns.DATE].n_unique() == later.height
    assert later.slice(0, later.height - 1)[columns.TARGET_DATE].equals(
        later[columns.DATE].slice(1), null_equal=True
    )
    assert last - later[columns.DATE][-1] < timedelta(days=5)


# Other exchanges.


def test_sessions_of_another_exchange_are_refused(known: pl.DataFrame) -> None:
    """Sessions of New York are not extended by the calendar of London."""
    match = "another exchange than XLON: there the session after 2015-01-16 is 2015-01-20"
    with pytest.raises(ExchangeMismatchError, match=match):
        extend_sessions(known, FAR, find_exchange("XLON"))


def test_targets_of_the_exchange_pass(known: pl.DataFrame) -> None:
    """Rows whose targets are sessions of the exchange are accepted, in any order and number."""
    check_targets(pl.concat([known.reverse(), known.head(3)]).lazy(), NYSE)


def test_the_market_of_london_has_no_feature_of_option_expiry() -> None:
    """London lacks the market's response to US option expiries, and nothing else."""
    london = market_sessions([_sums({})], find_exchange("XLON"))
    names = [feature.name for feature in MARKET_FEATURES if feature.name in london.columns]
    assert {feature.name for feature in MARKET_FEATURES} - {*names} == {"market_response_expiry"}


def test_bars_beyond_the_calendar_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """Bars after the end of a calendar have no session, which a warning says."""
    beyond = {columns.DATE: date(2027, 1, 4)}
    within = {columns.DATE: date(2026, 12, 1)}
    sessions = market_sessions([_sums(within, beyond)], find_exchange("XBOM"))
    assert sessions[columns.TARGET_DATE].max() == date(2026, 12, 31)
    assert "the calendar of XBOM ends on 2026-12-31" in caplog.text
