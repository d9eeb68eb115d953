"""Work over symbols: a function is mapped over ranges of symbols of one or more layers.

Every computation that takes the symbols one by one goes through ``map_symbols``: features,
the market's sums, updates and the snapshot. Each task is a function and a range of symbols,
and both can be pickled, so that other processes or machines can run the tasks.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import polars as pl

from stock_volume import columns
from stock_volume.concurrency import map_ahead

Result = TypeVar("Result")


class SymbolRange(NamedTuple):
    """A range of symbols in alphabetical order.

    Attributes:
        first: First symbol.
        last: Last symbol, which the range includes.
    """

    first: str
    last: str

    def select(self, layer: pl.LazyFrame) -> pl.DataFrame:
        """Read the rows of these symbols.

        Args:
            layer: Rows with a ``Symbol``.

        Returns:
            The rows, in the order of the layer.
        """
        # Literals: Polars takes a plain string for the name of a column.
        first, last = pl.lit(self.first), pl.lit(self.last)
        return layer.filter(pl.col(columns.SYMBOL).is_between(first, last)).collect()


def map_symbols(
    function: Callable[..., Result], *layers: pl.LazyFrame, rows: int
) -> Iterator[Result]:
    """Apply a function to layers, a range of symbols at a time, computing ahead in threads.

    Args:
        function: Takes a frame of each layer, which has all rows of the same symbols and
            may be empty for all layers but one. A function of a module, or a ``partial`` of
            one, so that it can be pickled.
        layers: Rows with a ``Symbol``, in any order.
        rows: Minimum number of rows of a range, of all layers together; the last range may
            have fewer.

    Yields:
        The results, in the order of the symbols.
    """
    yield from map_ahead(partial(_apply, function, layers), symbol_ranges(*layers, rows=rows))


def _apply(
    function: Callable[..., Result], layers: Sequence[pl.LazyFrame], symbols: SymbolRange
) -> Result:
    return function(*map(symbols.select, layers))


def symbol_ranges(*layers: pl.LazyFrame, rows: int) -> Iterator[SymbolRange]:
    """Divide the symbols of layers into ranges.

    Args:
        layers: Rows with a ``Symbol``, in any order.
        rows: Minimum number of rows of a range, of all layers together.

    Yields:
        Ranges that hold each symbol once, in alphabetical order.
    """
    first, total = None, 0
    symbol = ""
    for symbol, count in _count_rows(layers).iter_rows():
        first, total = first or symbol, total + count
        if total >= rows:
            yield SymbolRange(first, symbol)
            first, total = None, 0
    if first is not None:
        yield SymbolRange(first, symbol)


def _count_rows(layers: Sequence[pl.LazyFrame]) -> pl.DataFrame:
    """Count the rows of each symbol, over all layers."""
    symbols = pl.concat([layer.select(columns.SYMBOL) for layer in layers])
    counts = symbols.group_by(columns.SYMBOL).len()
    return counts.sort(columns.SYMBOL).collect(engine="streaming")
