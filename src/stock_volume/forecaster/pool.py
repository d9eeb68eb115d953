"""The rows that a forecaster is trained on, read a block of symbols at a time.

Three years of 8,000 symbols are five million rows, and their features 4 GB. Only the few columns
that training needs as such are in memory; the features are read block by block where they are
needed. Binning reads them twice and calibration once, so a pool that is small enough keeps them.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from stock_volume import columns
from stock_volume.arrays import Indices, Matrix
from stock_volume.boosters import Block, split_by_block
from stock_volume.symbols import SymbolRange, symbol_ranges

BLOCK_ROWS: Final = 100_000
"""Minimum number of rows of a block, before any sampling; the last may have fewer."""


_KEPT_BYTES: Final = 1280 * 2**20
"""Most bytes of features that are kept: the rows of the default parameters need 1,016 MiB."""


class Pool(NamedTuple):
    """Rows to train on.

    Attributes:
        known: The columns that training needs as such, one row per row.
        blocks: Readers of the features of the same rows, in the same order.
    """

    known: pl.DataFrame
    blocks: tuple[Block, ...]

    def read_features(self, rows: Indices) -> Iterator[Matrix]:
        """Read the features of some rows.

        Args:
            rows: Their positions, ascending.

        Yields:
            Features, shape (n, features), block by block; blocks without such rows are left out.
        """
        for block, local in zip(
            self.blocks, split_by_block([block.rows for block in self.blocks], rows), strict=True
        ):
            if len(local):
                yield block.read()[local]


def pool_rows(
    layer: pl.LazyFrame, features: Sequence[str], known: Sequence[str], limit: int, seed: int
) -> Pool:
    """Choose the rows to train on.

    Args:
        layer: ``training_rows`` of a window of sessions, sorted by symbol.
        features: Names of the features.
        known: Names of the columns that training needs as such.
        limit: Maximum number of rows; more are sampled.
        seed: Seed of the sample.

    Returns:
        All rows, or a random sample of them, in the order of the layer.

    Raises:
        ValueError: The layer is not sorted by symbol.
    """
    rows = layer.select(columns.SYMBOL, *known).collect(engine="streaming")
    ranges = list(symbol_ranges(rows.lazy(), rows=BLOCK_ROWS))
    chosen = sample_positions(np.arange(rows.height), limit, seed)
    wide = layer.select(columns.SYMBOL, *features)
    blocks = tuple(
        Block(len(local), partial(_read_features, wide, symbols, local))
        for symbols, local in zip(
            ranges,
            split_by_block(_count_rows(rows[columns.SYMBOL], ranges), chosen),
            strict=True,
        )
    )
    if kept_bytes(len(chosen), len(features)):
        blocks = _keep(blocks, len(features))
    return Pool(known=rows[chosen], blocks=blocks)


def kept_bytes(rows: int, features: int) -> int:
    """Compute how much memory the features of a pool take for as long as it is used.

    Args:
        rows: Rows of the pool.
        features: Number of features.

    Returns:
        Bytes; 0 for a pool so large that its features are read each time.
    """
    needed = rows * features * np.dtype(np.float32).itemsize
    return needed if needed <= _KEPT_BYTES else 0


class _KeptFeatures:
    """Reads a block once, when it is first needed, and keeps its features.

    Pickled, it is the block's own reader: another process reads the rows itself.
    """

    def __init__(self, block: Block, place: Matrix) -> None:
        self._read = block.read
        self._place = place
        self._is_read = False

    def __call__(self) -> Matrix:
        if not self._is_read:
            self._place[:] = self._read()
            self._is_read = True
        return self._place

    def __reduce__(self) -> tuple[type[partial[Matrix]], tuple[Callable[[], Matrix]]]:
        return partial, (self._read,)


def _keep(blocks: Sequence[Block], features: int) -> tuple[Block, ...]:
    """Read each block once.

    All are in one array: many small ones would leave holes in the memory when they are freed.
    """
    rows = [block.rows for block in blocks]
    places = np.split(np.empty((sum(rows), features), np.float32), np.cumsum(rows)[:-1])
    return tuple(
        Block(block.rows, _KeptFeatures(block, place))
        for block, place in zip(blocks, places, strict=True)
    )


def _count_rows(symbols: pl.Series, ranges: Sequence[SymbolRange]) -> list[int]:
    if not symbols.is_sorted():
        raise ValueError("the rows to train on are not sorted by symbol")
    ends = symbols.search_sorted(pl.Series([one.last for one in ranges]), side="right")
    heights: list[int] = np.diff(ends.to_numpy().astype(np.intp), prepend=0).tolist()
    return heights


def sample_positions(positions: Indices, limit: int, *seed: int) -> Indices:
    """Sample without replacement.

    Args:
        positions: Indices of rows, ascending.
        limit: Maximum size of the sample.
        seed: Seed; each sequence of numbers gives another sample.

    Returns:
        All positions if they are no more than the limit, or else a sample, ascending.
    """
    if len(positions) <= limit:
        return positions
    chosen = np.random.default_rng(seed).choice(len(positions), limit, replace=False)
    return positions[np.sort(chosen)]


def _read_features(layer: pl.LazyFrame, symbols: SymbolRange, rows: Indices) -> Matrix:
    # Row after row, as LightGBM reads them.
    return symbols.select(layer)[rows].drop(columns.SYMBOL).to_numpy(order="c")
