"""Work over symbols: a function is mapped over ranges of symbols of one or more layers.

Every computation that takes the symbols one by one goes through ``map_symbols`` or, if its
results are rows of a layer, through ``map_layer``. Each task is a function and a range of
symbols of the layers. It can be pickled, so that other processes and machines can run it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Self, TypeVar, cast

import polars as pl

from stock_volume import columns
from stock_volume.workers import KeptPart, RemoteFrame, current_workers

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


class Part(NamedTuple):
    """A Parquet file of a layer.

    Attributes:
        path: Its path or address.
        height: Number of rows.
        symbols: The range of its symbols.
    """

    path: str
    height: int
    symbols: SymbolRange


def scan_files(
    paths: Sequence[str], storage_options: Mapping[str, str] | None = None
) -> pl.LazyFrame:
    """Scan Parquet files whose names are no patterns.

    Args:
        paths: Their paths or addresses.
        storage_options: Polars' options of the store; None to read the environment.

    Returns:
        Their rows, in order.
    """
    options = dict(storage_options) if storage_options else None
    return pl.scan_parquet(list(paths), glob=False, storage_options=options)


class PartedLayer(pl.LazyFrame):
    """A lazy layer of parts, each a range of symbols.

    What is derived from it is a plain lazy frame, without parts.

    Attributes:
        parts: The parts, in the order of their symbols.
        storage_options: Polars' options of the store that has the parts.
    """

    parts: Sequence[Part] = ()
    storage_options: Mapping[str, str] | None = None

    @classmethod
    def scan(cls, parts: Sequence[Part], storage_options: Mapping[str, str] | None = None) -> Self:
        """Scan the files of a layer.

        Args:
            parts: The parts, at least one.
            storage_options: Polars' options of the store; None to read the environment.

        Returns:
            The layer.
        """
        scanned = scan_files([part.path for part in parts], storage_options)
        # As the methods of Polars make instances of a subclass.
        layer = cast("Self", cls._from_pyldf(scanned._ldf))  # noqa: SLF001
        layer.parts, layer.storage_options = parts, storage_options
        return layer

    def within(self, symbols: SymbolRange) -> pl.LazyFrame:
        """Select the files that may have rows of a range of symbols.

        Args:
            symbols: The range.

        Returns:
            A scan of these files; all columns and no rows if there are none.
        """
        inside = [
            part.path
            for part in self.parts
            if part.symbols.first <= symbols.last and symbols.first <= part.symbols.last
        ]
        return scan_files(inside, self.storage_options) if inside else self.head(0)

    def find(self, symbols: SymbolRange) -> Part | None:
        """Find the part with exactly these symbols.

        Args:
            symbols: The range.
        """
        return next((part for part in self.parts if part.symbols == symbols), None)


class _Task(NamedTuple):
    """A range of symbols and the layers that have their rows."""

    symbols: SymbolRange
    layers: tuple[pl.LazyFrame, ...]


def map_symbols(
    function: Callable[..., Result], *layers: pl.LazyFrame, rows: int
) -> Iterator[Result]:
    """Apply a function to layers, a range of symbols at a time, computing ahead.

    Args:
        function: Takes a frame of each layer, which has all rows of the same symbols and
            may be empty for all layers but one. A function of a module, or a ``partial`` of
            one, so that it can be pickled.
        layers: Rows with a ``Symbol``, in any order.
        rows: Minimum number of rows of a range, of all layers together; the last range may
            have fewer. If a layer has parts, each range is a part instead.

    Yields:
        The results, in the order of the symbols.
    """
    ranges = symbol_ranges(*layers, rows=rows)
    yield from current_workers().map(partial(_apply, function), _make_tasks(ranges, layers))


def map_layer(
    function: Callable[..., Any],
    *layers: pl.LazyFrame,
    rows: int,
    held: pl.LazyFrame | None = None,
    changed: pl.Series | None = None,
    stay: Collection[str] = (),
) -> Iterator[Any]:
    """Compute the rows of a layer like ``map_symbols``; they need not pass this process.

    Args:
        function: Returns the rows of a range, or a ``NamedTuple`` of frames.
        layers: As for ``map_symbols``.
        rows: As for ``map_symbols``.
        held: The layer as it is, if its parts may be kept.
        changed: The symbols whose rows may differ from those held.
        stay: Fields of the ``NamedTuple`` that are rows of a layer.

    Yields:
        The results, in the order of the symbols. On a cluster, rows of a layer are a
        ``RemoteFrame``, and a part of ``held`` without changed symbols is a ``KeptPart``.
    """
    ranges = list(symbol_ranges(*layers, rows=rows))
    kept = _find_kept(ranges, held, changed)
    todo = [symbols for symbols in ranges if symbols not in kept]
    tasks = _make_tasks(todo, layers)
    results = current_workers().map_frames(partial(_apply, function), tasks, stay)
    for symbols in ranges:
        yield kept[symbols] if symbols in kept else _label(next(results), symbols)


def _find_kept(
    ranges: Sequence[SymbolRange], held: pl.LazyFrame | None, changed: pl.Series | None
) -> dict[SymbolRange, KeptPart]:
    if not isinstance(held, PartedLayer) or changed is None:
        return {}
    names = changed.sort().to_list()
    kept = {}
    for symbols in ranges:
        is_changed = bisect_left(names, symbols.first) < bisect_right(names, symbols.last)
        part = None if is_changed else held.find(symbols)
        if part is not None:
            kept[symbols] = KeptPart(part.height, symbols)
    return kept


def _label(result: Any, symbols: SymbolRange) -> Any:
    """Note the symbols of remote frames."""
    if isinstance(result, RemoteFrame):
        return RemoteFrame(result.height, result.result, result.steps, symbols)
    if isinstance(result, tuple):
        return type(result)(*(_label(field, symbols) for field in result))
    return result


def _make_tasks(
    ranges: Iterator[SymbolRange] | Sequence[SymbolRange], layers: Sequence[pl.LazyFrame]
) -> Iterator[_Task]:
    for symbols in ranges:
        yield _Task(
            symbols,
            tuple(
                layer.within(symbols) if isinstance(layer, PartedLayer) and layer.parts else layer
                for layer in layers
            ),
        )


def _apply(function: Callable[..., Result], task: _Task) -> Result:
    return function(*(task.symbols.select(layer) for layer in task.layers))


def symbol_ranges(*layers: pl.LazyFrame, rows: int) -> Iterator[SymbolRange]:
    """Divide the symbols of layers into ranges.

    Args:
        layers: Rows with a ``Symbol``, in any order.
        rows: Minimum number of rows of a range, of all layers together. It has no effect if
            a layer has parts: each range is a part then, with the symbols up to the next.

    Yields:
        Ranges that hold each symbol once, in alphabetical order.
    """
    parted = next((one for one in layers if isinstance(one, PartedLayer) and one.parts), None)
    if parted is not None:
        yield from _follow_parts(parted, [layer for layer in layers if layer is not parted])
    else:
        yield from _fill_ranges(layers, rows)


def _fill_ranges(layers: Sequence[pl.LazyFrame], rows: int) -> Iterator[SymbolRange]:
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


def _follow_parts(parted: PartedLayer, others: Sequence[pl.LazyFrame]) -> Iterator[SymbolRange]:
    """Divide symbols as a layer is divided; a new symbol joins the part before it."""
    ranges = [part.symbols for part in parted.parts]
    starts = [symbols.first for symbols in ranges]
    for symbol in _new_symbols(ranges, others):
        place = max(bisect_right(starts, symbol) - 1, 0)
        first, last = ranges[place]
        ranges[place] = SymbolRange(min(first, symbol), max(last, symbol))
    yield from ranges


def _new_symbols(ranges: Sequence[SymbolRange], others: Sequence[pl.LazyFrame]) -> Iterator[str]:
    for layer in others:
        if isinstance(layer, PartedLayer) and {part.symbols for part in layer.parts} <= set(ranges):
            continue  # divided in the same way
        distinct = layer.select(pl.col(columns.SYMBOL).unique()).collect(engine="streaming")
        yield from distinct[columns.SYMBOL].drop_nulls()
