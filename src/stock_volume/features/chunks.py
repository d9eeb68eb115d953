"""Parting of bars into chunks of whole symbols that fit in memory."""

from collections.abc import Iterator

import polars as pl

from stock_volume import columns


def symbol_chunks(bars: pl.LazyFrame, rows: int) -> Iterator[pl.LazyFrame]:
    """Part bars into chunks that never part a symbol.

    Args:
        bars: Bars sorted by symbol.
        rows: Least number of rows of a chunk, but for the last.

    Yields:
        Slices of the bars, in order, still to be collected.
    """
    counts = (
        bars.group_by(columns.SYMBOL).len().sort(columns.SYMBOL).collect(engine="streaming")["len"]
    )
    start = length = 0
    for count in counts:
        length += count
        if length >= rows:
            yield bars.slice(start, length)
            start, length = start + length, 0
    if length:
        yield bars.slice(start, length)
