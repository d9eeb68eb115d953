"""Look up symbols: search, history, record and forecast."""

import re
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_volume import columns
from stock_volume.bars.rules import RuleParameters
from stock_volume.exchange import NYSE, ExchangeMismatchError
from stock_volume.features.quantities import BASE
from stock_volume.features.registry import ETA, NEXT_OPEN
from stock_volume.features.schedule import NO_EVENTS
from stock_volume.forecaster.adaptation import BIAS
from stock_volume.forecaster.model import MA5, Forecaster, shares_at_base
from stock_volume.forecaster.occasion import find_occasions
from stock_volume.forecaster.opening import OpeningModel, OpeningParameters, fit_opening
from stock_volume.forecaster.train import train_forecaster
from stock_volume.forecaster.universe import BUCKET
from stock_volume.snapshot.forecasts import RECENT_SESSIONS, RECENT_VOLUMES, compare_forecasts
from stock_volume.snapshot.lookup import (
    IncompatibleModelError,
    NothingKnownError,
    SymbolLookup,
    UnknownSymbolError,
)
from stock_volume.snapshot.own_bars import InvalidBarsError, features_of_bars
from stock_volume.snapshot.snapshot import Snapshot
from tests.unit.forecast_helpers import forecast_frame, opening_frame, small_parameters
from tests.unit.forecast_oracles import random_bars, sessions_of

SYMBOL: Final = pl.col(columns.SYMBOL)
DATE: Final = pl.col(columns.DATE)

NAMES: Final[dict[str, tuple[str | None, float | None]]] = {
    "A": ("Agilent Technologies, Inc. Common Stock", 4e8),
    "AA": ("Alcoa Corporation", 2e8),
    "AAL": ("American Airlines Group, Inc. - Common Stock", 9e8),
    "AAPL": ("Apple Inc. - Common Stock", 9e9),
    "APLE": ("Apple Hospitality REIT, Inc.", 3e7),
    "BRK-A": ("Berkshire Hathaway Inc.", 5e7),
    "C.WS": ("Warrants (2025) $11.50 + [half] a share", 1e4),
    "GAP": ("Snapple Pineapple Co.", 6e7),
    "MAA": ("Mid-America Apartment Communities, Inc.", 1e8),
    "NONE": (None, 7e6),
    "OLD": ("Old Apple Trust", None),
    "PAA": ("Plains All American Pipeline", 1e8),
    "ZERO": ("Nothing\\d Traded*", 0.0),
}
"""Names and dollar volumes; two of the volumes are the same, one is unknown."""

LATEST: Final = date(2020, 3, 31)
UNSCORED: Final = "AAL"
UNFORECAST: Final = "S03"
CLOSING_TIME: Final = (
    (pl.col(columns.TARGET_DATE).cast(pl.Datetime) + pl.duration(hours=16))
    .dt.replace_time_zone("America/New_York")
    .alias("closing_time")
)


def _symbols() -> pl.DataFrame:
    count = len(NAMES)
    return pl.DataFrame(
        {
            columns.SYMBOL: list(NAMES),
            columns.SECURITY_NAME: [name for name, _ in NAMES.values()],
            columns.ETF: [number % 3 == 0 for number in range(count)],
            "first_bar": [date(2000, 1, 3)] * count,
            "latest_bar": [LATEST - timedelta(days=number) for number in reversed(range(count))],
            "bars": list(range(100, 100 + count)),
            "dollar_volume": [volume for _, volume in NAMES.values()],
            columns.VOL_MOVING_AVG: [1e6] * count,
            columns.ADJ_CLOSE_ROLLING_MED: [25.0] * count,
        }
    )


def _history(symbols: pl.DataFrame) -> pl.DataFrame:
    """Bars of each symbol on its latest day and on some days before, identified by their volume."""
    back = (800, 731, 730, 30, 29, 7, 1, 0)
    return pl.DataFrame(
        [
            {
                columns.SYMBOL: symbol,
                columns.DATE: latest - timedelta(days=days),
                **dict.fromkeys(columns.PRICES, 10.0 + place),
                columns.VOLUME: days,
            }
            for place, (symbol, latest) in enumerate(
                symbols.select(columns.SYMBOL, "latest_bar").iter_rows()
            )
            for days in back
        ]
    )


def _scored(symbols: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                columns.SYMBOL: symbol,
                columns.TARGET_DATE: LATEST + timedelta(days=day),
                columns.VOLUME: 100 * place + day,
                "forecast": 1.5 * place,
                "q10": 1.0 * place,
                "q90": 2.0 * place,
            }
            for place, symbol in enumerate(symbols[columns.SYMBOL])
            for day in range(3)
            if symbol != UNSCORED
        ]
    )


def _records(symbols: pl.DataFrame) -> pl.DataFrame:
    number = pl.int_range(pl.len())
    return symbols.filter(SYMBOL != UNSCORED).select(
        columns.SYMBOL,
        n=3 + number,
        first=pl.lit(LATEST),
        last=pl.lit(LATEST + timedelta(days=2)),
        eta_r2=10.0 + number,
        mdape=20.0 + number,
        mae=30.0 + number,
        coverage_80=40.0 + number,
    )


FRAME: Final = forecast_frame(symbols=6, sessions=40)
NEXT: Final = FRAME.group_by(columns.SYMBOL, maintain_order=True).last()
"""The latest row of each symbol."""

RECENT: Final = FRAME.group_by(columns.SYMBOL, maintain_order=True).agg(
    pl.col(columns.VOLUME).tail(RECENT_SESSIONS).alias(RECENT_VOLUMES)
)
FORECAST_COLUMNS: Final = (columns.SYMBOL, columns.TARGET_DATE)


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    return train_forecaster(FRAME.filter(pl.col(ETA).is_not_null()), small_parameters())


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return random_bars(2)


@pytest.fixture(scope="module")
def sessions(bars: pl.DataFrame) -> pl.DataFrame:
    return sessions_of(bars)


@pytest.fixture(scope="module")
def frames(sessions: pl.DataFrame) -> dict[str, pl.LazyFrame]:
    """A snapshot of the symbols of ``NAMES``, none of which can be forecast."""
    symbols = _symbols()
    return {
        "symbols": symbols.lazy(),
        "latest": NEXT.clear().lazy(),
        "history": _history(symbols).lazy(),
        "sessions": sessions.lazy(),
        "records": _records(symbols).lazy(),
        "scored": _scored(symbols).lazy(),
        "events": NO_EVENTS.events.lazy(),
        "forecasts": NEXT.clear().select(FORECAST_COLUMNS).lazy(),
        "bias": pl.DataFrame(schema={BUCKET: pl.Int8, BIAS: pl.Float64}).lazy(),
    }


@pytest.fixture(scope="module")
def lookup(forecaster: Forecaster, frames: dict[str, pl.LazyFrame]) -> SymbolLookup:
    return SymbolLookup(forecaster, frames, NYSE)


@pytest.fixture(scope="module")
def forecasts(
    forecaster: Forecaster, frames: dict[str, pl.LazyFrame], opening: OpeningModel
) -> SymbolLookup:
    """A lookup of the symbols of ``FRAME``, of one of which there is no latest row."""
    symbols = _symbols().head(6).with_columns(NEXT[columns.SYMBOL])
    latest = NEXT.filter(SYMBOL != UNFORECAST)
    others = {
        "symbols": symbols,
        "latest": latest,
        "history": _history(symbols),
        "forecasts": compare_forecasts(forecaster.predict(latest, 1), latest, RECENT),
        "records": _records(symbols),
    }
    every = frames | {name: frame.lazy() for name, frame in others.items()}
    return SymbolLookup(forecaster, every, NYSE, opening)


@pytest.fixture(scope="module")
def opening() -> OpeningModel:
    parameters = OpeningParameters(min_rows_in_leaf=20)
    return fit_opening(opening_frame(), parameters, small_parameters())


# Symbols.


@pytest.mark.parametrize("symbol", NAMES)
def test_a_symbol_is_found_in_either_case(lookup: SymbolLookup, symbol: str) -> None:
    """A symbol is its own row, written as the data does or in lower case."""
    (expected,) = _symbols().filter(symbol == SYMBOL).to_dicts()
    assert lookup.symbol(symbol) == expected
    assert lookup.symbol(symbol.lower()) == expected


def test_a_symbol_in_lower_case_is_itself(
    forecaster: Forecaster, frames: dict[str, pl.LazyFrame]
) -> None:
    """Where the data has a symbol in both cases, each is found as it is written."""
    both = pl.Series(columns.SYMBOL, ["AB", "Ab"])
    lookup = SymbolLookup(
        forecaster, frames | {"symbols": _symbols().head(2).with_columns(both).lazy()}, NYSE
    )
    assert [lookup.symbol(name)[columns.SYMBOL] for name in ("AB", "Ab", "ab")] == [
        "AB",
        "Ab",
        "AB",
    ]


def test_a_spelling_that_could_mean_two_symbols_is_unknown(
    forecaster: Forecaster, frames: dict[str, pl.LazyFrame]
) -> None:
    """Where the data has no symbol in capitals, and two that differ by case, neither is guessed."""
    both = pl.Series(columns.SYMBOL, ["aB", "Ab"])
    lookup = SymbolLookup(
        forecaster, frames | {"symbols": _symbols().head(2).with_columns(both).lazy()}, NYSE
    )
    assert [lookup.symbol(name)[columns.SYMBOL] for name in ("aB", "Ab")] == ["aB", "Ab"]
    with pytest.raises(UnknownSymbolError) as unknown:
        lookup.symbol("ab")
    assert set(unknown.value.near()) == {"aB", "Ab"}


def test_the_lookup_knows_its_size_and_latest_bar(lookup: SymbolLookup) -> None:
    """The lookup has the number of symbols and the latest bar of all."""
    assert lookup.size == len(NAMES) == 13
    assert lookup.latest_bar == LATEST


@pytest.mark.parametrize(
    ("symbol", "near"),
    [
        ("AAPLE", {"AAPL", "APLE", "AA"}),
        ("appl", {"AAPL", "APLE"}),
        ("BRKA", {"BRK-A"}),
        ("brk.a", {"BRK-A"}),
        ("QQQQQ", set()),
        ("", set()),
    ],
)
def test_an_unknown_symbol_has_near_ones(lookup: SymbolLookup, symbol: str, near: set[str]) -> None:
    """The error names the unknown symbol and symbols of similar spelling."""
    with pytest.raises(UnknownSymbolError, match=f"^{re.escape(symbol)} is not among") as unknown:
        lookup.symbol(symbol)
    assert near <= set(unknown.value.near()) <= set(NAMES)
    assert bool(near) == bool(unknown.value.near())


def test_near_symbols_are_few_and_the_likest_first(
    forecaster: Forecaster, frames: dict[str, pl.LazyFrame]
) -> None:
    """Of many symbols of similar spelling, the five most similar are named."""
    alike = [f"ABC{one}{other}" for one in "DEFGH" for other in "KLMNO"]
    symbols = pl.concat([_symbols()] * 2).head(26)
    symbols = symbols.with_columns(pl.Series(columns.SYMBOL, [*alike, "ABCD"]))
    lookup = SymbolLookup(forecaster, frames | {"symbols": symbols.lazy()}, NYSE)
    with pytest.raises(UnknownSymbolError) as unknown:
        lookup.symbol("abcdx")
    near = unknown.value.near()
    assert near[0] == "ABCD"
    assert len(near) == len(set(near)) == 5
    assert all(symbol.startswith("ABCD") for symbol in near)


# Search.


def _found(lookup: SymbolLookup, query: str, limit: int = 100) -> list[str]:
    rows, total = lookup.search(query, limit)
    assert len(rows) == min(limit, total)
    return [row[columns.SYMBOL] for row in rows]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("aa", ["AA", "AAPL", "AAL"]),
        ("k-a", []),
        ("apple", ["AAPL", "APLE", "OLD", "GAP"]),
        ("ap", ["APLE", "AAPL", "MAA", "OLD", "GAP"]),
        ("american", ["AAL", "PAA"]),
        ("america", ["AAL", "PAA", "MAA"]),
        ("inc. - common", ["AAPL", "AAL"]),
        ("pineapple", ["GAP"]),
        ("group, inc", ["AAL"]),
        ("BRK-A", ["BRK-A"]),
        ("none", ["NONE"]),
        ("xyz", []),
    ],
)
def test_search_puts_the_best_match_first(
    lookup: SymbolLookup, query: str, expected: list[str]
) -> None:
    """First the symbol itself, then its start, a word of the name, any part; by volume within."""
    assert _found(lookup, query) == expected


def _rank(symbol: str, query: str) -> int | None:
    """Rank a match of a query by definition: the lower, the better."""
    name = (NAMES[symbol][0] or "").lower()
    tests = (
        symbol.lower() == query,
        symbol.lower()[: len(query)] == query,
        any(name[at : at + len(query)] == query for at in range(len(name)) if _is_start(name, at)),
        query in name,
    )
    return next((rank for rank, holds in enumerate(tests) if holds), None)


def _is_start(name: str, at: int) -> bool:
    return at == 0 or name[at - 1] == " "


def _by_volume(symbol: str) -> tuple[bool, float, str]:
    volume = NAMES[symbol][1]
    return volume is None, -(volume or 0), symbol


def _by_definition(query: str) -> list[str]:
    ranks = {symbol: _rank(symbol, query.strip().lower()) for symbol in NAMES}
    found = [symbol for symbol, rank in ranks.items() if rank is not None]
    return sorted(found, key=lambda symbol: (ranks[symbol], *_by_volume(symbol)))


def test_search_is_by_definition(lookup: SymbolLookup) -> None:
    """Whatever part of a symbol or a name is looked for is found, in the order defined."""
    random = np.random.default_rng(0)
    texts = [text for symbol, (name, _) in NAMES.items() for text in (symbol, name) if text]
    for _ in range(300):
        text = texts[random.integers(len(texts))]
        first = int(random.integers(len(text)))
        query = text[first : first + int(random.integers(1, 7))]
        query = query.swapcase() if random.random() < 0.5 else query
        assert _found(lookup, query) == _by_definition(query), query


@pytest.mark.parametrize("query", ["", " ", "\t\n  "])
def test_an_empty_search_lists_all(lookup: SymbolLookup, query: str) -> None:
    """Without a query all symbols are listed, the most traded first, the unknown last."""
    found = _found(lookup, query)
    assert found == sorted(NAMES, key=_by_volume)
    assert (found[0], found[-2:]) == ("AAPL", ["ZERO", "OLD"])
    assert found.index("MAA") + 1 == found.index("PAA")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("aple", ["APLE", "AAPL", "OLD"]),
        ("appel", ["AAPL", "APLE", "OLD"]),
        ("agilnet", ["A"]),
        ("Agilent Tecnologies", ["A"]),
        ("airlnes amercan", ["AAL"]),
        ("brkshire", ["BRK-A"]),
        ("hospitalty apple", ["APLE"]),
        ("ap", []),
        ("k-a", []),
        ("", []),
        ("  ", []),
        ("zzzz", []),
        ("apple zzzz", []),
        ("?*[", []),
    ],
)
def test_similar_spellings_are_found(lookup: SymbolLookup, query: str, expected: list[str]) -> None:
    """Each word of a query may be misspelled; the most similar come first, then the most traded."""
    found = [row[columns.SYMBOL] for row in lookup.similar(query)]
    assert found[: len(expected)] == expected
    assert bool(found) == bool(expected)
    assert len(found) <= 5


def test_space_around_a_query_is_no_part_of_it(lookup: SymbolLookup) -> None:
    """Space before and after is left out, space within is not."""
    assert _found(lookup, "  Apple\t") == _found(lookup, "apple") != []
    assert _found(lookup, "apple  inc") == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (".", ["AAPL", "AAL"]),
        (".*", []),
        ("c.ws", ["C.WS"]),
        ("cxws", []),
        ("(2025)", ["C.WS"]),
        ("$11", ["C.WS"]),
        ("[half]", ["C.WS"]),
        ("[a-z]", []),
        ("+", ["C.WS"]),
        ("traded*", ["ZERO"]),
        ("nothing\\d", ["ZERO"]),
        ("\\w", []),
        ("^a", []),
        ("inc.$", []),
        ("a|b", []),
        ("(", ["C.WS"]),
        ("[", ["C.WS"]),
        ("?", []),
        ("{", []),
        ("%", []),
        ("_", []),
    ],
)
def test_characters_of_a_query_are_literal(
    lookup: SymbolLookup, query: str, expected: list[str]
) -> None:
    """What would be a pattern elsewhere is looked for as it is written."""
    found = _found(lookup, query)
    assert found == _by_definition(query)
    assert set(expected) <= set(found)
    assert bool(expected) == bool(found)


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 4, 100])
def test_limit_cuts_and_total_counts(lookup: SymbolLookup, limit: int) -> None:
    """As many rows as wanted are given, the first of all, and all that are found are counted."""
    rows, total = lookup.search("apple", limit)
    assert total == 4
    assert [row[columns.SYMBOL] for row in rows] == ["AAPL", "APLE", "OLD", "GAP"][:limit]
    assert rows == [lookup.symbol(row[columns.SYMBOL]) for row in rows]


# History and record.


@pytest.mark.parametrize(
    ("days", "back"),
    [
        (1, [0]),
        (2, [1, 0]),
        (7, [1, 0]),
        (8, [7, 1, 0]),
        (29, [7, 1, 0]),
        (30, [29, 7, 1, 0]),
        (31, [30, 29, 7, 1, 0]),
        (730, [30, 29, 7, 1, 0]),
        (731, [730, 30, 29, 7, 1, 0]),
    ],
)
@pytest.mark.parametrize("symbol", ["A", "aapl", "ZERO"])
def test_history_is_of_the_last_days(
    lookup: SymbolLookup, symbol: str, days: int, back: list[int]
) -> None:
    """The bars are of as many calendar days as asked, the last of them the latest bar's."""
    latest = lookup.symbol(symbol)["latest_bar"]
    price = 10.0 + list(NAMES).index(symbol.upper())
    assert lookup.history(symbol, days) == [
        {
            columns.DATE: latest - timedelta(days=before),
            **dict.fromkeys(columns.PRICES, price),
            columns.VOLUME: before,
        }
        for before in back
    ]


@pytest.mark.parametrize("symbol", ["A", "brk-a", "ZERO"])
def test_record_is_the_symbols_own(lookup: SymbolLookup, symbol: str) -> None:
    """A symbol's measures come with its forecasts, in their order."""
    measures, scored = lookup.record(symbol)
    own = symbol.upper() == SYMBOL
    assert [measures] == _records(_symbols()).filter(own).to_dicts()
    assert scored == _scored(_symbols()).filter(own).to_dicts()
    assert len(scored) == 3


def test_a_symbol_without_record_is_explained(lookup: SymbolLookup) -> None:
    """A known symbol that was never scored has no record, and the message names it."""
    with pytest.raises(NothingKnownError, match=f"no forecast of {UNSCORED}"):
        lookup.record(UNSCORED)
    assert lookup.history(UNSCORED, 1)


@pytest.mark.parametrize("symbol", ["AAPLX", "", "s%"])
def test_nothing_is_known_of_an_unknown_symbol(lookup: SymbolLookup, symbol: str) -> None:
    """Whatever is asked of a symbol that the data lacks, the answer is that it is unknown."""
    for ask in (
        lambda: lookup.history(symbol, 1),
        lambda: lookup.record(symbol),
        lambda: lookup.forecastable(symbol),
        lambda: lookup.forecast([symbol]),
    ):
        with pytest.raises(UnknownSymbolError, match="is not among"):
            ask()


# Forecasts.


def _expected(forecaster: Forecaster, symbols: list[str]) -> pl.DataFrame:
    """Ask the forecaster for one symbol at a time."""
    rows = pl.concat(NEXT.filter(symbol == SYMBOL) for symbol in symbols)
    predicted = pl.concat(forecaster.predict(row, 1) for row in rows.iter_slices(1))
    names = rows.select(columns.SECURITY_NAME, columns.ETF)
    volumes = [FRAME.filter(symbol == SYMBOL)[columns.VOLUME].to_numpy() for symbol in symbols]
    known = list(zip(volumes, predicted["forecast"], strict=True))
    return pl.concat([names, predicted], how="horizontal").with_columns(
        pl.Series("recent_sessions", [len(own) for own in volumes]),
        pl.Series("busier_sessions", [int((own > forecast).sum()) for own, forecast in known]),
        pl.Series("quieter_sessions", [int((own < forecast).sum()) for own, forecast in known]),
        CLOSING_TIME,
        horizons=pl.lit([], pl.List(pl.Null)),
        event=None,
    )


@pytest.mark.parametrize(
    "symbols",
    [
        ["S00"],
        ["S05"],
        ["S00", "S01", "S02", "S04", "S05"],
        ["S05", "S04", "S00"],
        ["S04", "S01", "S04", "S04", "S00", "S01"],
    ],
)
def test_forecasts_are_in_the_order_asked_for(
    forecasts: SymbolLookup, forecaster: Forecaster, symbols: list[str]
) -> None:
    """Each symbol is answered from its own latest row, as often as it is asked for."""
    found = forecasts.forecast(symbols)
    assert [row[columns.SYMBOL] for row in found] == symbols
    assert_frame_equal(pl.DataFrame(found), _expected(forecaster, symbols), rel_tol=1e-12)
    assert forecasts.forecast(symbol.lower() for symbol in symbols) == found


def test_a_forecast_is_that_of_the_booster(forecasts: SymbolLookup, forecaster: Forecaster) -> None:
    """The forecast is the volume of the booster's eta at the last Close."""
    import lightgbm

    (text,) = forecaster.boosters
    booster = lightgbm.Booster(model_str=text)
    for row in NEXT.filter(SYMBOL != UNFORECAST).iter_rows(named=True):
        inputs = [[np.nan if row[name] is None else row[name] for name in forecaster.features]]
        (eta,) = np.asarray(booster.predict(inputs, num_threads=1))
        (found,) = forecasts.forecast([row[columns.SYMBOL]])
        expected = np.exp(row[BASE] + eta) / row[columns.CLOSE]
        assert found["forecast"] == pytest.approx(expected)
        assert found["q10"] <= found["q50"] <= found["q90"]
        assert found[columns.DATE] == row[columns.DATE]
        assert found[columns.TARGET_DATE] == row[columns.TARGET_DATE]


@pytest.mark.parametrize("symbol", ["S00", "S05"])
def test_the_factors_of_an_explanation_make_the_forecast(
    forecasts: SymbolLookup, symbol: str
) -> None:
    """A forecast is the product of its start, the average and the factors of all kinds."""
    (row,) = forecasts.forecast([symbol])
    explained = forecasts.explain(symbol.lower())
    factors = [explained.start, explained.average, *(kind.factor for kind in explained.kinds)]
    assert np.prod(factors) == pytest.approx(row["forecast"])


def test_an_overview_has_every_symbol(forecasts: SymbolLookup) -> None:
    """All symbols are there, the most traded first, those without a forecast, too."""
    rows = list(forecasts.overview())
    ordered, _ = forecasts.search("", 100)
    assert [row[columns.SYMBOL] for row in rows] == [row[columns.SYMBOL] for row in ordered]
    for row in rows:
        symbol = row[columns.SYMBOL]
        forecast = None if symbol == UNFORECAST else forecasts.forecast([symbol])[0]
        assert row["outlook"] == forecast
        assert row["mdape"] == forecasts.record(symbol)[0]["mdape"]
        assert forecasts.symbol(symbol).items() <= row.items()


def test_what_has_no_latest_row_cannot_be_forecast(forecasts: SymbolLookup) -> None:
    """A symbol whose latest bar no forecast can rest on is refused, with the day of that bar."""
    latest = forecasts.symbol(UNFORECAST)["latest_bar"]
    match = f"^{UNFORECAST} cannot be forecast from its latest bar, of {latest}"
    for ask in (
        lambda: forecasts.forecastable(UNFORECAST.lower()),
        lambda: forecasts.forecast(["S00", UNFORECAST]),
    ):
        with pytest.raises(NothingKnownError, match=match):
            ask()
    assert [forecasts.forecastable(symbol) for symbol in ("s00", "S04")] == ["S00", "S04"]


@pytest.mark.parametrize("symbol", ["ETF1", "PAUSED", "WHOLE"])
def test_bars_are_forecast_by_their_features(
    lookup: SymbolLookup,
    forecaster: Forecaster,
    bars: pl.DataFrame,
    sessions: pl.DataFrame,
    symbol: str,
) -> None:
    """Bars of whatever symbol are answered by the forecaster from the features of the latest."""
    rules = RuleParameters()
    own = bars.filter(symbol == SYMBOL)
    found = lookup.forecast_bars(own.reverse(), rules)
    expected = forecaster.predict(features_of_bars(own, sessions, rules), 1)
    names = own.select(columns.SECURITY_NAME, columns.ETF).tail(1)
    expected = pl.concat([names, expected], how="horizontal").with_columns(CLOSING_TIME)
    beyond: dict[str, Any] = {"horizons": [], "event": None}
    assert {name: found.pop(name) for name in beyond} == beyond
    assert_frame_equal(pl.DataFrame([found]), expected, rel_tol=1e-12)


def test_bars_are_forecast_with_the_bias_of_their_bucket(
    forecaster: Forecaster, frames: dict[str, pl.LazyFrame], bars: pl.DataFrame
) -> None:
    """What similar symbols were forecast too low by is added; the quantiles move along."""
    own = bars.filter(SYMBOL == "WHOLE")
    bias = pl.DataFrame(
        {BUCKET: range(5), BIAS: [0.1] * 5}, schema={BUCKET: pl.Int8, BIAS: pl.Float64}
    )
    moved = SymbolLookup(forecaster, frames | {"bias": bias.lazy()}, NYSE)
    plain = SymbolLookup(forecaster, frames, NYSE)
    found, expected = (one.forecast_bars(own, RuleParameters()) for one in (moved, plain))
    for name in ("forecast", "q10", "q50", "q90"):
        assert found[name] == pytest.approx(expected[name] * np.exp(0.1))


def test_bars_without_a_name_are_forecast(lookup: SymbolLookup, bars: pl.DataFrame) -> None:
    """A name may be unknown, and stays so."""
    own = bars.filter(SYMBOL == "WHOLE")
    nameless = own.with_columns(pl.lit(None, dtype=pl.String).alias(columns.SECURITY_NAME))
    named, found = (lookup.forecast_bars(one, RuleParameters()) for one in (own, nameless))
    assert found[columns.SECURITY_NAME] is None
    assert found == named | {columns.SECURITY_NAME: None}


def test_broken_bars_are_not_forecast(lookup: SymbolLookup, bars: pl.DataFrame) -> None:
    """Bars that break the rules given are refused, each by its place."""
    own = bars.filter(SYMBOL == "WHOLE").tail(30)
    day = own[columns.DATE][-2]
    with pytest.raises(InvalidBarsError) as refused:
        lookup.forecast_bars(own, RuleParameters(as_of=day))
    assert [(bar.place, bar.rule) for bar in refused.value.broken] == [(29, "future_date")]


def test_warming_up_changes_nothing(
    lookup: SymbolLookup, forecasts: SymbolLookup, forecaster: Forecaster
) -> None:
    """A lookup is warmed up with what it has, be it nothing to forecast."""
    lookup.warm_up()
    forecasts.warm_up()
    found = pl.DataFrame(forecasts.forecast(["S01"]))
    assert_frame_equal(found, _expected(forecaster, ["S01"]), rel_tol=1e-12)


# What does not fit together.


@pytest.mark.parametrize("name", Snapshot._fields)
def test_a_snapshot_without_a_frame_is_refused(
    forecaster: Forecaster, frames: dict[str, pl.LazyFrame], name: str
) -> None:
    """A snapshot that lacks a frame is refused by the frame's name."""
    others = {key: frame for key, frame in frames.items() if key != name}
    with pytest.raises(IncompatibleModelError, match=rf"has no {name}$"):
        SymbolLookup(forecaster, others, NYSE)


def test_every_frame_that_lacks_is_named(forecaster: Forecaster) -> None:
    """A snapshot without frames is refused by the names of all."""
    with pytest.raises(IncompatibleModelError, match=", ".join(Snapshot._fields)):
        SymbolLookup(forecaster, {}, NYSE)


@pytest.mark.parametrize("lacking", [["volume_lag_0"], ["size", "etf"]])
def test_a_snapshot_without_a_feature_is_refused(
    forecaster: Forecaster, frames: dict[str, pl.LazyFrame], lacking: list[str]
) -> None:
    """The error counts the features that the snapshot lacks, and names one."""
    latest = NEXT.drop(lacking).lazy()
    first = next(name for name in forecaster.features if name in lacking)
    match = f"needs {len(lacking)} features that the snapshot lacks, such as {first}"
    with pytest.raises(IncompatibleModelError, match=match):
        SymbolLookup(forecaster, frames | {"latest": latest}, NYSE)


def test_a_snapshot_of_another_exchange_is_refused(
    forecaster: Forecaster, frames: dict[str, pl.LazyFrame]
) -> None:
    """A forecaster never forecasts the sessions of an exchange that it was not trained for."""
    london = NYSE.model_copy(update={"code": "XLON"})
    with pytest.raises(ExchangeMismatchError, match="trained for XNYS, not for XLON"):
        SymbolLookup(forecaster, frames, london)


def test_frames_and_features_beyond_are_left_alone(
    forecaster: Forecaster, frames: dict[str, pl.LazyFrame]
) -> None:
    """A snapshot may hold more than the lookup asks for."""
    more: Any = {"another": NEXT.lazy(), "latest": NEXT.with_columns(another=1).lazy()}
    assert SymbolLookup(forecaster, frames | more, NYSE).size == len(NAMES)


# At the open.


@pytest.mark.parametrize("ratio", [0.9, 1.0, 1.03])
def test_a_forecast_at_the_open_is_that_of_its_model(
    forecasts: SymbolLookup, forecaster: Forecaster, opening: OpeningModel, ratio: float
) -> None:
    """The model corrects the forecast of the latest row by the price that is given."""
    latest = NEXT.filter(SYMBOL != UNFORECAST)
    before = forecaster.predict(latest, 1)
    rows = before.with_columns(
        latest.select(shares_at_base()).to_series().alias(MA5),
        latest.select(pl.col(columns.CLOSE) * ratio).to_series().alias(NEXT_OPEN),
        latest[columns.CLOSE],
        latest["size"],
        latest["volatility_22"],
        find_occasions(latest),
    )
    expected = opening.predict(rows, 1)
    for place, symbol in enumerate(latest[columns.SYMBOL]):
        close = latest[columns.CLOSE][place]
        answered = forecasts.forecast_at_open(symbol, close * ratio)
        made_before = forecasts.forecast([symbol])[0]
        for name, value in expected.row(place, named=True).items():
            assert answered.pop(name) == pytest.approx(value)
        assert answered.pop("forecast_before") == made_before["forecast"]
        assert answered.pop(columns.CLOSE) == close
        assert answered == {name: made_before[name] for name in answered}
        assert {columns.SYMBOL, columns.DATE, columns.TARGET_DATE} < answered.keys()


def test_what_cannot_be_forecast_has_no_forecast_at_the_open(
    forecasts: SymbolLookup, lookup: SymbolLookup
) -> None:
    """Neither an unknown symbol, nor one without features."""
    with pytest.raises(UnknownSymbolError):
        forecasts.forecast_at_open("NOSUCH", 10.0)
    with pytest.raises(NothingKnownError, match="cannot be forecast from its latest bar"):
        forecasts.forecast_at_open(UNFORECAST, 10.0)
    with pytest.raises(NothingKnownError, match="cannot be forecast from its latest bar"):
        lookup.forecast_at_open("AAPL", 10.0)


def test_a_model_without_forecasts_at_the_open_says_so(
    forecaster: Forecaster, frames: dict[str, pl.LazyFrame]
) -> None:
    """A model from an earlier version, or trained without opening prices, has none."""
    latest = NEXT.filter(SYMBOL != UNFORECAST)
    made = compare_forecasts(forecaster.predict(latest, 1), latest, RECENT)
    known = {
        "latest": latest,
        "forecasts": made,
        "symbols": _symbols().head(6).with_columns(NEXT[columns.SYMBOL]),
    }
    older = SymbolLookup(
        forecaster, frames | {name: one.lazy() for name, one in known.items()}, NYSE
    )
    with pytest.raises(NothingKnownError, match="this model does not forecast at the open"):
        older.forecast_at_open("S00", 10.0)
