"""Work over ranges of whole symbols."""

import functools
import multiprocessing
import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from stock_volume import columns, workers
from stock_volume.bars.update import IngestedLayers, UpdateParameters, update_layers
from stock_volume.evaluation.backtest import feature_window
from stock_volume.events.ingest import NOTHING_HELD
from stock_volume.exchange import NYSE
from stock_volume.features.registry import ETA, FeatureParameters, add_features
from stock_volume.features.schedule import NO_EVENTS
from stock_volume.features.window import features_in_window
from stock_volume.forecaster.model import Forecaster
from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters
from stock_volume.forecaster.train import train_forecaster
from stock_volume.pipelines.feature_engineering.nodes import (
    describe_sessions,
    engineer_features,
    engineer_forecast_features,
)
from stock_volume.pipelines.update.nodes import update_forecast_features
from stock_volume.snapshot.snapshot import take_snapshot
from stock_volume.symbols import SymbolRange, map_symbols, symbol_ranges
from tests.unit.forecast_helpers import backtest_frame, small_parameters, without_history
from tests.unit.forecast_oracles import random_bars, sessions_of
from tests.unit.helpers import files_frame, quarantine_frame

START = date(2020, 1, 1)
FORECASTER, BACKTEST = ForecasterParameters(), BacktestParameters()

Frames = Iterator[pl.DataFrame]


def _bars(counts: dict[str, int]) -> pl.DataFrame:
    """As many bars of each symbol as asked for, sorted, each row different."""
    symbols = [symbol for symbol in sorted(counts) for _ in range(counts[symbol])]
    return pl.DataFrame(
        {
            columns.SYMBOL: symbols,
            columns.DATE: [START + timedelta(days=row) for row in range(len(symbols))],
            columns.VOLUME: list(range(len(symbols))),
            columns.ADJ_CLOSE: [1.0 + row % 7 for row in range(len(symbols))],
        },
        schema_overrides={
            columns.SYMBOL: pl.String,
            columns.DATE: pl.Date,
            columns.VOLUME: pl.Int64,
            columns.ADJ_CLOSE: pl.Float64,
        },
    )


def _collected(bars: pl.LazyFrame, rows: int) -> list[pl.DataFrame]:
    return [symbols.select(bars) for symbols in symbol_ranges(bars, rows=rows)]


@pytest.mark.parametrize(
    ("rows", "ranges"),
    [
        (1, ["AA", "BB", "CC", "DD"]),
        (3, ["AA", "BC", "DD"]),
        (4, ["AB", "CC", "DD"]),
        (8, ["AC", "DD"]),
        (9, ["AD"]),
        (1000, ["AD"]),
    ],
)
def test_a_range_ends_with_the_symbol_that_fills_it(rows: int, ranges: list[str]) -> None:
    """A range takes symbols until it has enough rows; the last takes what is left."""
    bars = _bars({"A": 3, "B": 1, "C": 4, "D": 1})
    assert list(symbol_ranges(bars.lazy(), rows=rows)) == [SymbolRange(*pair) for pair in ranges]


@settings(deadline=None, max_examples=60)
@given(
    counts=st.dictionaries(st.text("ABCab.-^1", min_size=1, max_size=4), st.integers(1, 9)),
    rows=st.integers(1, 30),
)
def test_ranges_cover_every_row_once_and_split_no_symbol(counts: dict[str, int], rows: int) -> None:
    """Put together, the chunks are the bars; each symbol is in one; all but the last are full."""
    bars = _bars(counts)
    chunks = _collected(bars.lazy(), rows)
    assert pl.concat([bars.clear(), *chunks]).equals(bars)
    held = [symbol for chunk in chunks for symbol in chunk[columns.SYMBOL].unique()]
    assert sorted(held) == sorted(counts)
    assert all(chunk.height >= rows for chunk in chunks[:-1])
    assert all(chunk.height for chunk in chunks)


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 60),
    held=st.dictionaries(st.sampled_from("BDF"), st.integers(1, 20)),
    recent=st.dictionaries(st.sampled_from("ABCDEFG"), st.integers(1, 9)),
)
def test_frames_of_all_layers_have_the_same_symbols(
    rows: int, held: dict[str, int], recent: dict[str, int]
) -> None:
    """Every row of every layer comes once, with all rows of its symbol, in order of symbol."""
    layers = _bars(held), _bars(recent)
    pairs = list(map_symbols(_pair, *(layer.lazy() for layer in layers), rows=rows))
    for number, layer in enumerate(layers):
        assert_frame_equal(pl.concat([layer.clear(), *(pair[number] for pair in pairs)]), layer)
    chunks = [set(old[columns.SYMBOL]) | set(new[columns.SYMBOL]) for old, new in pairs]
    assert all(max(earlier) < min(later) for earlier, later in pairwise(chunks))
    assert all(old.height + new.height >= rows for old, new in pairs[:-1])


def _pair(first: pl.DataFrame, second: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    return first, second


@settings(deadline=None, max_examples=30)
@given(
    counts=st.dictionaries(st.text("ABC", min_size=1, max_size=3), st.integers(1, 9), min_size=1),
    rows=st.integers(1, 30),
)
def test_features_do_not_depend_on_ranges(counts: dict[str, int], rows: int) -> None:
    """Features computed a range at a time equal features computed on all bars at once."""
    bars, parameters = _bars(counts), FeatureParameters()
    made = map_symbols(partial(add_features, parameters=parameters), bars.lazy(), rows=rows)
    assert pl.concat(made).equals(add_features(bars, parameters))


def test_ranges_of_a_parquet_scan(tmp_path: Path) -> None:
    """A scanned file gives the same rows as the frame, across its row groups."""
    bars = _bars({"A": 5, "B": 2, "C": 6, "D": 3})
    bars.write_parquet(tmp_path / "bars.parquet", row_group_size=4)
    chunks = _collected(pl.scan_parquet(tmp_path / "bars.parquet"), 6)
    assert [chunk.height for chunk in chunks] == [7, 6, 3]
    assert pl.concat(chunks).equals(bars)


@pytest.mark.parametrize("scan", [False, True], ids=["frame", "parquet scan"])
def test_no_bars_make_no_range(scan: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Without bars there is no range, rather than an empty one."""
    bars = _bars({}).lazy()
    if scan:
        bars.collect().write_parquet(tmp_path / "bars.parquet")
        bars = pl.scan_parquet(tmp_path / "bars.parquet")
    assert list(symbol_ranges(bars, rows=10)) == []
    assert list(map_symbols(_pair, bars, bars, rows=10)) == []


def test_symbols_named_like_columns_are_values() -> None:
    """A symbol that is the name of a column selects its own rows."""
    bars = _bars({"Date": 2, "Symbol": 3, "Volume": 1})
    assert [chunk.height for chunk in _collected(bars.lazy(), 1)] == [2, 3, 1]


@functools.cache
def _prices() -> pl.LazyFrame:
    return random_bars(3).lazy()


@functools.cache
def _market() -> pl.LazyFrame:
    return sessions_of(_prices().collect()).lazy()


@functools.cache
def _held() -> pl.LazyFrame:
    window = feature_window(_market().collect(), FORECASTER, BACKTEST)
    return features_in_window(_prices().collect(), NO_EVENTS.events, window).lazy()


def _features() -> Frames:
    return engineer_features(_prices(), NO_EVENTS.events.lazy(), FeatureParameters(), 2_000)


def _sessions() -> Frames:
    yield describe_sessions(_prices(), NO_EVENTS.events.lazy(), NYSE, 2_000)


def _forecast_features() -> Frames:
    return engineer_forecast_features(
        _prices(), _market(), NO_EVENTS.events.lazy(), FORECASTER, BACKTEST, NYSE, 2_000
    )


def _renewed_features() -> Frames:
    files = files_frame({"Symbol": "WHOLE", "pending": True}).lazy()
    return update_forecast_features(
        _held(),
        _prices(),
        _market(),
        NO_EVENTS.events.lazy(),
        files,
        NOTHING_HELD.files.lazy(),
        FORECASTER,
        BACKTEST,
        NYSE,
        2_000,
    )


def _updated() -> Frames:
    bars = _prices().collect()
    old = bars.filter(pl.col(columns.DATE) < pl.col(columns.DATE).max())
    files = files_frame(*({"file": name, "Symbol": name} for name in bars["Symbol"].unique()))
    rejected = quarantine_frame([]).lazy()
    held = IngestedLayers(old.lazy(), rejected, files.clear().lazy())
    recent = IngestedLayers(bars.lazy(), rejected, files.lazy())
    for chunk in update_layers(held, recent, UpdateParameters(), 2_000):
        yield chunk.prices


def _snapshot() -> Frames:
    prices = add_features(_prices().collect(), FeatureParameters()).lazy()
    backtest = backtest_frame().lazy()
    history = without_history(_forecaster(), _held().collect())
    yield take_snapshot(
        prices, _market(), history, backtest, NO_EVENTS.events.lazy(), NYSE, _forecaster()
    ).symbols.collect()


@functools.cache
def _forecaster() -> Forecaster:
    return train_forecaster(_held().filter(pl.col(ETA).is_not_null()).collect(), small_parameters())


USES = [_features, _sessions, _forecast_features, _renewed_features, _updated, _snapshot]


def _map_pickled(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        task = pickle.loads(pickle.dumps((function, item)))  # noqa: S301 (our own)
        yield pickle.loads(pickle.dumps(task[0](task[1])))  # noqa: S301 (our own)


@pytest.mark.parametrize("use", USES)
def test_every_task_can_be_pickled(
    use: Callable[[], Frames], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Functions, ranges and results pass through pickle, as they must to reach other machines."""
    expected = pl.concat(use())
    mapped = []

    def map_counted(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        for result in _map_pickled(function, items):
            mapped.append(result)
            yield result

    monkeypatch.setattr(workers, "map_ahead", map_counted)
    assert_frame_equal(pl.concat(use()), expected)
    assert mapped


def test_tasks_run_in_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that shares nothing but the files computes the same features."""
    bars = _bars({"A": 40, "B": 30, "C": 50})
    bars.write_parquet(tmp_path / "bars.parquet")
    function = partial(add_features, parameters=FeatureParameters())
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        monkeypatch.setattr(workers, "map_ahead", pool.map)
        made = list(map_symbols(function, pl.scan_parquet(tmp_path / "bars.parquet"), rows=50))
    assert len(made) == 2
    assert_frame_equal(pl.concat(made), function(bars))
