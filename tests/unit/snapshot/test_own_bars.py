"""Bars that the layers do not hold: which are refused, and what a forecast rests on."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from math import inf, log, nan
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_volume import columns
from stock_volume.bars.rules import (
    DUPLICATE_BAR,
    SUPERSEDED_BAR,
    RuleParameters,
    rejecting_rules,
)
from stock_volume.bars.sample import lay_out_sample
from stock_volume.exchange import NYSE
from stock_volume.features.market import extend_sessions
from stock_volume.features.quantities import BASE
from stock_volume.features.registry import (
    ETA,
    NEXT_VOLUME,
    SESSION_FEATURES,
    forecast_features,
)
from stock_volume.features.schedule import Schedule
from stock_volume.snapshot.own_bars import (
    BrokenBar,
    InvalidBarsError,
    features_of_bars,
    judge_own_events,
)
from stock_volume.stored_model import SNAPSHOT_NAME
from tests.unit.forecast_oracles import BAR_ORACLES, pasts, random_bars, sessions_of
from tests.unit.helpers import AS_OF, HEADER, csv_of, ingested, places_of, write_folder
from tests.unit.service_helpers import made_up_bars, stored_models

RULES: Final = RuleParameters(as_of=AS_OF)
OF_TEXT: Final = {"too_many_fields", "missing_field"}
"""Rules about the text of a file, of which typed bars have none."""

SYMBOL: Final = pl.col(columns.SYMBOL)
DATE: Final = pl.col(columns.DATE)
FIRST: Final = date(2007, 1, 3)
LAST: Final = date(2013, 2, 27)
"""The first and the last session of these bars; the sample ends a day or two later."""

Change = Callable[[dict[str, Any]], Mapping[str, Any]]
"""From a bar to the fields that are to differ."""


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Real bars of five symbols."""
    folder = lay_out_sample(tmp_path_factory.mktemp("fresh") / "sample")
    return ingested(folder).prices.filter(DATE.is_between(FIRST, LAST))


@pytest.fixture(scope="module")
def sessions(market: pl.DataFrame) -> pl.DataFrame:
    return sessions_of(market)


@pytest.fixture(scope="module")
def bars(market: pl.DataFrame) -> pl.DataFrame:
    """Six years of one symbol."""
    return market.filter(SYMBOL == "IBM")


@pytest.fixture(scope="module")
def few(bars: pl.DataFrame) -> pl.DataFrame:
    """The last forty of its bars."""
    return bars.tail(40)


def _broken(bars: pl.DataFrame, sessions: pl.DataFrame) -> list[BrokenBar]:
    """List the refused bars, and check that the message counts them."""
    with pytest.raises(InvalidBarsError) as refused:
        features_of_bars(bars, sessions, RULES)
    broken = refused.value.broken
    assert str(refused.value) == f"{len(broken)} of {bars.height} bars break a rule"
    return broken


def _rules_of(broken: list[BrokenBar]) -> list[tuple[int, str]]:
    return [(bar.place, bar.rule) for bar in broken]


def _changed(bars: pl.DataFrame, *changes: tuple[int, Change]) -> pl.DataFrame:
    """Change the bars of some places."""
    rows = bars.to_dicts()
    for place, change in changes:
        rows[place] |= change(rows[place])
    return pl.DataFrame(rows, schema=bars.schema)


REPEATS = {DUPLICATE_BAR.name, SUPERSEDED_BAR.name}


def _judged_by_ingestion(bars: pl.DataFrame, folder: Path) -> list[tuple[int, str]]:
    """Ask ingestion which rows of a file of these bars it sets aside."""
    text = csv_of(
        *(
            ",".join("unknown" if value is None else str(value) for value in row)
            for row in bars.with_columns(pl.col(columns.OPEN).fill_null(0))
            .select(columns.BAR)
            .iter_rows()
        )
    )
    assert text.startswith(HEADER)
    quarantine = ingested(write_folder(folder, {"stocks/IBM.csv": text})).quarantine
    return sorted((line - 2, rule) for _, line, rule in places_of(quarantine))


def _but_repeats(broken: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Leave out repeated days: ingestion keeps the later row, a request may not have two."""
    return [(place, rule) for place, rule in broken if rule not in REPEATS]


# What a forecast rests on.


@pytest.mark.parametrize("symbol", ["AAPL", "FB", "IBM"])
def test_features_match_the_latest_bar(
    market: pl.DataFrame, sessions: pl.DataFrame, symbol: str
) -> None:
    """A symbol's own bars alone have the same features as among the whole market."""
    row = features_of_bars(market.filter(symbol == SYMBOL), sessions, RULES)
    layer = forecast_features(market, sessions).filter(symbol == SYMBOL)
    assert_frame_equal(row, layer.tail(1), check_exact=True)
    assert row.select(columns.SYMBOL, columns.DATE, columns.TARGET_DATE).row(0) == (
        symbol,
        LAST,
        date(2013, 2, 28),
    )
    assert row.select(NEXT_VOLUME, ETA).row(0) == (None, None)


def test_features_match_pandas(bars: pl.DataFrame, sessions: pl.DataFrame) -> None:
    """Each feature of a symbol is by its definition in pandas, and the others are the session's."""
    row = features_of_bars(bars, sessions, RULES)
    (past,) = pasts(bars, sessions)
    names = list(BAR_ORACLES)
    expected = [float(BAR_ORACLES[name](past).iloc[-1]) for name in names]
    found = row.select(pl.col(names).cast(pl.Float64).fill_null(nan)).to_numpy()[0]
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
    assert np.isfinite(found).sum() > 130
    shared = [feature.name for feature in SESSION_FEATURES if feature.name in sessions.columns]
    session = sessions.filter(DATE == LAST).select(pl.col(shared).cast(pl.Float32))
    assert_frame_equal(row.select(shared), session)


def test_order_of_bars_is_free(bars: pl.DataFrame, sessions: pl.DataFrame) -> None:
    """Bars in whatever order have the same features, and stay in their own order."""
    expected = features_of_bars(bars, sessions, RULES)
    for mixed in (bars.reverse(), bars.sample(fraction=1, shuffle=True, seed=1)):
        before = mixed.clone()
        assert_frame_equal(features_of_bars(mixed, sessions, RULES), expected, check_exact=True)
        assert_frame_equal(mixed, before)


@pytest.mark.parametrize("place", [0, 100, -2, -1])
def test_an_open_of_zero_is_unknown(bars: pl.DataFrame, sessions: pl.DataFrame, place: int) -> None:
    """An Open that is 0 is as one that is null, and not as the one that was there."""
    zero, null = (
        features_of_bars(_changed(bars, (place, _is(Open=given))), sessions, RULES)
        for given in (0.0, None)
    )
    assert_frame_equal(zero, null, check_exact=True)
    if place == -1:
        assert null.select("gap", "intraday_return").row(0) == (None, None)
        known = features_of_bars(bars, sessions, RULES)
        assert known["gap"].null_count() == 0


def test_bars_without_any_open_are_used(few: pl.DataFrame, sessions: pl.DataFrame) -> None:
    """Where no Open is known, features are of the rest."""
    without = few.with_columns(pl.lit(None, dtype=pl.Float64).alias(columns.OPEN))
    row = features_of_bars(without, sessions, RULES)
    assert row["gap"].null_count() == 1
    assert row["volume_lag_0"].null_count() == 0


def test_one_bar_is_enough(few: pl.DataFrame, sessions: pl.DataFrame) -> None:
    """The base of a symbol's first bar is its own log dollar volume."""
    row = features_of_bars(few.tail(1), sessions, RULES)
    (own,) = few.tail(1).to_dicts()
    assert row[BASE].to_list() == [pytest.approx(log(own[columns.VOLUME] * own[columns.CLOSE]))]
    assert row["sessions"].to_list() == [1]


def test_bars_may_be_older_than_the_calendar(bars: pl.DataFrame, sessions: pl.DataFrame) -> None:
    """Only the latest bar must be of a session that is known."""
    late = sessions.tail(10)
    row = features_of_bars(bars, late, RULES)
    whole = features_of_bars(bars, sessions, RULES)
    names = ["volume_lag_0", "volume_mean_252", "return_lag_4", "range_mean_22", "sessions", BASE]
    assert_frame_equal(row.select(names), whole.select(names), check_exact=True)


def test_a_bar_on_a_holiday_is_used_but_as_the_latest(
    few: pl.DataFrame, sessions: pl.DataFrame
) -> None:
    """A bar on a holiday is part of the past, as in the layers."""
    holiday = date(2013, 2, 18)
    assert holiday not in sessions[columns.DATE]
    more = pl.concat(
        [few, few.filter(date(2013, 2, 19) == DATE).with_columns(pl.lit(holiday).alias("Date"))]
    )
    assert features_of_bars(more, sessions, RULES)["sessions"].to_list() == [41]


def test_later_bars_rest_on_the_calendar(few: pl.DataFrame, sessions: pl.DataFrame) -> None:
    """A bar after the data is forecast from, the next session known, the market's not."""
    ahead = extend_sessions(sessions, LAST + timedelta(days=60), NYSE)
    same = features_of_bars(few, ahead, RULES)
    assert_frame_equal(same, features_of_bars(few, sessions, RULES), check_exact=True)
    thursday = date(2013, 3, 28)
    later = few.tail(5).with_columns(
        pl.Series(columns.DATE, [thursday - timedelta(days=back) for back in (6, 3, 2, 1, 0)])
    )
    row = features_of_bars(pl.concat([few.head(30), later]), ahead, RULES).row(0, named=True)
    assert row[columns.TARGET_DATE] == date(2013, 4, 1)
    assert (row["target_weekday"], row["target_month"], row["target_day"]) == (1, 4, 1)
    assert row["market_abnormal_volume"] is None
    assert row["volume_lag_0"] is not None


# What is refused.


def _on_the_weekend_before(bar: dict[str, Any]) -> dict[str, Any]:
    day = bar[columns.DATE]
    return {columns.DATE: day - timedelta(days=day.isoweekday())}


def _is(**fields: object) -> Change:
    return lambda _: fields


def _times(name: str, factor: float, of: str) -> Change:
    return lambda bar: {name: bar[of] * factor}


def _adjusted(value: object) -> Change:
    return lambda _: {columns.ADJ_CLOSE: value}


BROKEN: Final[list[tuple[str, Change]]] = [
    ("unparsable_date", _is(Date=None)),
    *(("unparsable_number", _is(**{name: None})) for name in ("High", "Low", "Close", "Volume")),
    ("unparsable_number", _adjusted(None)),
    *(("unparsable_number", _is(**{name: nan})) for name in ("Open", "High", "Low", "Close")),
    *(("unparsable_number", _is(**{name: inf})) for name in ("Open", "High", "Low", "Close")),
    ("unparsable_number", _adjusted(-inf)),
    ("weekend_date", _on_the_weekend_before),
    ("future_date", _is(Date=AS_OF + timedelta(days=1))),
    ("ancient_date", _is(Date=date(1899, 12, 29))),
    *(("non_positive_price", _is(**{name: 0.0})) for name in ("High", "Low", "Close")),
    *(("non_positive_price", _is(**{name: -1.0})) for name in ("Open", "High", "Low", "Close")),
    ("high_below_low", _times(columns.HIGH, 0.999, columns.LOW)),
    ("close_outside_range", _times(columns.CLOSE, 1.002, columns.HIGH)),
    ("close_outside_range", _times(columns.CLOSE, 0.998, columns.LOW)),
    ("open_outside_range", _times(columns.OPEN, 1.002, columns.HIGH)),
    ("open_outside_range", _times(columns.OPEN, 0.998, columns.LOW)),
    ("absurd_adj_close", _adjusted(0.0)),
    ("absurd_adj_close", _adjusted(-1.0)),
    ("absurd_adj_close", _times(columns.ADJ_CLOSE, 10.01, columns.CLOSE)),
    ("volume_not_whole", _is(Volume=-1)),
    ("volume_not_whole", _is(Volume=2**53)),
    ("price_out_of_bounds", _is(High=1e12)),
    ("price_out_of_bounds", _adjusted(9e-13)),
]
"""A way or more to break each rule that a bar can break by itself."""


def test_every_rule_has_its_case() -> None:
    """Each rejecting rule but those about text has a case here."""
    names = {rule.name for rule in rejecting_rules(RULES)}
    assert names > OF_TEXT
    assert {name for name, _ in BROKEN} == names - OF_TEXT


@pytest.mark.parametrize("place", [0, 17, 39])
@pytest.mark.parametrize(("rule", "change"), BROKEN)
def test_a_broken_bar_is_refused(
    few: pl.DataFrame, sessions: pl.DataFrame, rule: str, change: Change, place: int
) -> None:
    """The error names the bar's position, the rule and its reason."""
    reasons = {one.name: one.reason for one in rejecting_rules(RULES)}
    broken = _broken(_changed(few, (place, change)), sessions)
    assert broken == [BrokenBar(place, rule, reasons[rule])]


@pytest.mark.parametrize(("rule", "change"), BROKEN)
def test_ingestion_refuses_the_same(
    few: pl.DataFrame, tmp_path: Path, rule: str, change: Change
) -> None:
    """A file of the same bars has the same row set aside, under the same rule."""
    assert _judged_by_ingestion(_changed(few, (17, change)), tmp_path) == [(17, rule)]


@pytest.mark.parametrize(
    "change",
    [
        _is(Open=0.0),
        _is(Volume=0),
        _is(Volume=2**53 - 1),
        _times(columns.CLOSE, 1.0009, columns.HIGH),
        _times(columns.OPEN, 0.9991, columns.LOW),
        _times(columns.ADJ_CLOSE, 9.99, columns.CLOSE),
    ],
)
def test_a_bar_just_within_the_rules_is_used(
    few: pl.DataFrame, sessions: pl.DataFrame, tmp_path: Path, change: Change
) -> None:
    """What ingestion keeps is not refused."""
    changed = _changed(few, (17, change))
    assert features_of_bars(changed, sessions, RULES).height == 1
    assert _judged_by_ingestion(changed, tmp_path) == []


def test_bounds_match_the_parameters(few: pl.DataFrame, sessions: pl.DataFrame) -> None:
    """The day on which the bars are judged is a parameter, as are the other bounds."""
    for as_of, last_is_future in ((LAST, False), (LAST - timedelta(days=1), True)):
        rules = RuleParameters(as_of=as_of)
        if last_is_future:
            with pytest.raises(InvalidBarsError) as refused:
                features_of_bars(few, sessions, rules)
            assert _rules_of(refused.value.broken) == [(39, "future_date")]
        else:
            assert features_of_bars(few, sessions, rules).height == 1
    high = _changed(few, (17, _times(columns.CLOSE, 1.01, columns.HIGH)))
    assert _rules_of(_broken(high, sessions)) == [(17, "close_outside_range")]
    lenient = RuleParameters(as_of=AS_OF, price_tolerance=0.02)
    assert features_of_bars(high, sessions, lenient).height == 1


def test_a_bar_is_reported_once(few: pl.DataFrame, sessions: pl.DataFrame) -> None:
    """A bar that breaks several rules is reported under the first one."""
    high, volume = _times(columns.HIGH, 0.5, columns.LOW), _is(Volume=-1)
    broken = _broken(_changed(few, (5, volume), (5, high)), sessions)
    assert _rules_of(broken) == [(5, "high_below_low")]


def test_broken_bars_are_reported_in_order(
    few: pl.DataFrame, sessions: pl.DataFrame, tmp_path: Path
) -> None:
    """All broken bars are reported at once, by position, as in ingestion."""
    changed = _changed(
        few,
        (30, _is(Low=nan)),
        (2, _is(Volume=-1)),
        (39, _on_the_weekend_before),
        (11, _is(Date=None)),
    )
    twice = pl.concat([changed, few.slice(20, 1)])
    expected = [
        (2, "volume_not_whole"),
        (11, "unparsable_date"),
        (30, "unparsable_number"),
        (39, "weekend_date"),
        (40, "duplicate_bar"),
    ]
    assert _rules_of(_broken(twice, sessions)) == expected
    assert _but_repeats(_judged_by_ingestion(twice, tmp_path)) == _but_repeats(expected)


@pytest.mark.parametrize("seed", range(12))
def test_random_damage_is_found_as_ingestion_finds_it(
    few: pl.DataFrame, sessions: pl.DataFrame, tmp_path: Path, seed: int
) -> None:
    """Damage at random places of mixed bars, some of them twice, is judged alike."""
    random = np.random.default_rng(seed)
    mixed = few.sample(fraction=1, shuffle=True, seed=seed)
    places = random.choice(25, 6, replace=False).tolist()
    ways = random.choice(len(BROKEN), 6).tolist()
    damaged = _changed(
        mixed, *((place, BROKEN[way][1]) for place, way in zip(places, ways, strict=True))
    )
    whole = pl.concat([damaged, mixed.slice(25 + seed % 5, 3), mixed.slice(33, 1)])
    found = _rules_of(_broken(whole, sessions))
    assert len(found) >= 9
    assert _but_repeats(found) == _but_repeats(_judged_by_ingestion(whole, tmp_path))


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([0, 1, 2, 3, 1], [4]),
        ([1, 0, 1, 2, 3, 1], [2, 5]),
        ([3, 2, 1, 0, 3], [4]),
        ([3, 3, 0, 0], [1, 3]),
    ],
)
def test_of_two_bars_of_a_day_the_later_is_reported(
    few: pl.DataFrame, sessions: pl.DataFrame, order: list[int], expected: list[int]
) -> None:
    """A second bar of a date is refused, however far from the first."""
    rule, reason = DUPLICATE_BAR.name, "an earlier bar has the same date"
    broken = _broken(few[order], sessions)
    assert broken == [BrokenBar(place, rule, reason) for place in expected]


def test_bars_without_dates_are_no_duplicates(few: pl.DataFrame, sessions: pl.DataFrame) -> None:
    """Of bars whose dates are unknown, none is said to be of another's day."""
    changed = _changed(few, (3, _is(Date=None)), (4, _is(Date=None)))
    assert {rule for _, rule in _rules_of(_broken(changed, sessions))} == {"unparsable_date"}


@pytest.mark.parametrize(
    "latest",
    [
        pytest.param(date(2013, 2, 18), id="Presidents' Day"),
        pytest.param(date(2013, 2, 28), id="the next session"),
        pytest.param(date(2013, 12, 2), id="long after"),
        pytest.param(date(2007, 1, 2), id="before"),
        pytest.param(date(1999, 1, 4), id="long before"),
    ],
)
def test_a_latest_bar_of_no_known_session_is_refused(
    few: pl.DataFrame, sessions: pl.DataFrame, latest: date
) -> None:
    """Where the latest bar is not on the calendar the message has its day and the bounds."""
    bar = few.tail(1).with_columns(pl.lit(latest).alias(columns.DATE))
    with pytest.raises(InvalidBarsError) as refused:
        features_of_bars(pl.concat([bar, few.filter(latest > DATE)]), sessions, RULES)
    assert refused.value.broken == []
    message = str(refused.value)
    assert message.startswith(f"{latest} is no session")
    assert "between 2007-01-03 and 2013-02-27" in message


@pytest.mark.parametrize(("idle", "is_refused"), [(4, False), (5, True), (40, True)])
def test_a_symbol_without_trade_is_refused(
    few: pl.DataFrame, sessions: pl.DataFrame, idle: int, *, is_refused: bool
) -> None:
    """Without a trade on the last five bars there is no forecast; one on the fifth is enough."""
    number = pl.int_range(pl.len())
    silent = few.with_columns(
        pl.when(number >= few.height - idle).then(0).otherwise(columns.VOLUME).alias(columns.VOLUME)
    )
    if is_refused:
        with pytest.raises(InvalidBarsError, match="not traded on any of its last five") as refused:
            features_of_bars(silent, sessions, RULES)
        assert refused.value.broken == []
    else:
        row = features_of_bars(silent, sessions, RULES)
        volume, close = few.select(columns.VOLUME, columns.CLOSE).row(-5)
        assert row[BASE].to_list() == [pytest.approx(log(volume * close))]


def test_valid_bar_beside_a_broken_one_of_its_day_is_no_duplicate() -> None:
    """Duplicates are judged among bars that break no other rule, as ingestion does."""
    bars = made_up_bars().filter(pl.col(columns.SYMBOL) == "AAA").tail(80)
    broken = bars.tail(1).with_columns(pl.col(columns.HIGH) / 100)
    with pytest.raises(InvalidBarsError) as refused:
        features_of_bars(
            pl.concat([broken, bars]),
            stored_models()[SNAPSHOT_NAME].frames["sessions"].collect(),
            RuleParameters(),
        )
    assert [(bar.place, bar.rule) for bar in refused.value.broken] == [(0, "high_below_low")]


def test_no_bars_are_refused() -> None:
    """Without a bar there is nothing to forecast from."""
    sessions = stored_models()[SNAPSHOT_NAME].frames["sessions"].collect()
    with pytest.raises(InvalidBarsError, match="no bars"):
        features_of_bars(made_up_bars().head(0), sessions, RuleParameters())


@pytest.mark.parametrize("factor", [1.1e6, 1 / 1.1e6])
def test_a_close_in_another_unit_is_reported(
    few: pl.DataFrame, sessions: pl.DataFrame, factor: float
) -> None:
    """A latest bar a million times off the one before is reported, at any position."""
    prices = [pl.col(name) for name in columns.PRICES]
    latest = few.tail(1).with_columns(price * factor for price in prices)
    for bars, place in (
        (pl.concat([few.head(-1), latest]), 39),
        (pl.concat([latest, few.head(-1)]), 0),
    ):
        assert _rules_of(_broken(bars, sessions)) == [(place, "absurd_jump")]
    near = few.tail(1).with_columns(price * factor**0.9 for price in prices)
    assert features_of_bars(pl.concat([few.head(-1), near]), sessions, RULES).height == 1


@pytest.mark.parametrize(
    "days", [[date(2600, 1, 1)], [date(2018, 1, 3), date(2600, 1, 1)], [date(1, 1, 1)]]
)
def test_events_that_break_a_rule_are_refused(days: list[date]) -> None:
    """A release that is too far ahead or too old is named by its rule, alone or among others."""
    with pytest.raises(InvalidBarsError, match=r"far_date|ancient_date"):
        judge_own_events("A", [(day, None) for day in days], NYSE)


def test_events_become_rows_of_the_layer() -> None:
    """Each release has the session that reacts to it."""
    events = [(date(2018, 1, 3), "pre"), (date(2018, 4, 3), "post"), (date(2018, 7, 3), None)]
    rows = judge_own_events("A", events, NYSE)
    assert rows["Session"].to_list()[:2] == [date(2018, 1, 3), date(2018, 4, 4)]
    assert rows["Time"].to_list() == ["pre", "post", None]


def test_events_are_refused_by_a_model_without() -> None:
    """Sessions without responses to events are of a model that was trained without them."""
    own = random_bars(5).filter(pl.col("Symbol") == "WHOLE")
    schedule = Schedule(
        judge_own_events("WHOLE", [(date(2018, 1, 3), None)], NYSE), pl.Series(dtype=pl.Date)
    )
    with pytest.raises(InvalidBarsError, match="trained without events"):
        features_of_bars(own, sessions_of(own), RuleParameters(), schedule)
