"""Chunks of whole symbols."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_volume import columns
from stock_volume.features.chunks import symbol_chunks
from stock_volume.features.registry import FeatureParameters, add_features

START = date(2020, 1, 1)


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
    return [chunk.collect() for chunk in symbol_chunks(bars, rows)]


@pytest.mark.parametrize(
    ("rows", "symbols"),
    [
        (1, [["A"], ["B"], ["C"], ["D"]]),
        (3, [["A"], ["B", "C"], ["D"]]),
        (4, [["A", "B"], ["C"], ["D"]]),
        (8, [["A", "B", "C"], ["D"]]),
        (9, [["A", "B", "C", "D"]]),
        (1000, [["A", "B", "C", "D"]]),
    ],
)
def test_chunk_ends_with_the_symbol_that_fills_it(rows: int, symbols: list[list[str]]) -> None:
    """A chunk takes whole symbols until it has its rows; the last takes what is left."""
    bars = _bars({"A": 3, "B": 1, "C": 4, "D": 1})
    chunks = _collected(bars.lazy(), rows)
    assert [chunk[columns.SYMBOL].unique().sort().to_list() for chunk in chunks] == symbols


@settings(deadline=None, max_examples=60)
@given(
    counts=st.dictionaries(st.text("ABCab.-^1", min_size=1, max_size=4), st.integers(1, 9)),
    rows=st.integers(1, 30),
)
def test_chunks_cover_every_row_once_and_part_no_symbol(counts: dict[str, int], rows: int) -> None:
    """Put together the chunks are the bars, each symbol is in one, each but the last is full."""
    bars = _bars(counts)
    chunks = _collected(bars.lazy(), rows)
    assert pl.concat([bars.clear(), *chunks]).equals(bars)
    held = [symbol for chunk in chunks for symbol in chunk[columns.SYMBOL].unique()]
    assert sorted(held) == sorted(counts)
    assert all(chunk.height >= rows for chunk in chunks[:-1])
    assert all(chunk.height for chunk in chunks)


@settings(deadline=None, max_examples=30)
@given(
    counts=st.dictionaries(st.text("ABC", min_size=1, max_size=3), st.integers(1, 9), min_size=1),
    rows=st.integers(1, 30),
)
def test_features_do_not_depend_on_chunks(counts: dict[str, int], rows: int) -> None:
    """Features made a chunk at a time are those made of all bars at once."""
    bars, parameters = _bars(counts), FeatureParameters()
    made = [add_features(chunk, parameters) for chunk in _collected(bars.lazy(), rows)]
    assert pl.concat(made).equals(add_features(bars, parameters))


def test_chunks_of_a_parquet_scan(tmp_path: Path) -> None:
    """Chunks of a scanned file are those of the frame, across its row groups."""
    bars = _bars({"A": 5, "B": 2, "C": 6, "D": 3})
    bars.write_parquet(tmp_path / "bars.parquet", row_group_size=4)
    chunks = _collected(pl.scan_parquet(tmp_path / "bars.parquet"), 6)
    assert [chunk.height for chunk in chunks] == [7, 6, 3]
    assert pl.concat(chunks).equals(bars)


@pytest.mark.parametrize("scan", [False, True], ids=["frame", "parquet scan"])
def test_no_bars_make_no_chunk(scan: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Without bars there is no chunk, not an empty one."""
    bars = _bars({}).lazy()
    if scan:
        bars.collect().write_parquet(tmp_path / "bars.parquet")
        bars = pl.scan_parquet(tmp_path / "bars.parquet")
    assert list(symbol_chunks(bars, 10)) == []
