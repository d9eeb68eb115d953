"""Work over symbols: a function is mapped over ranges of symbols of one or more layers.

Every computation that takes the symbols one by one goes through ``map_symbols`` or, if its
results are rows of a layer, through ``map_layer``. Each task is a function and a range of
symbols of the layers. It can be pickled, so that other processes and machines can run it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Self, TypeVar, cast

import polars as pl

from stock_volume import columns
from stock_volume.progress import progress
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


class _Division(NamedTuple):
    """How the symbols of layers are divided.

    Attributes:
        ranges: Ranges that hold each symbol once, in alphabetical order.
        heights: Number of rows of each.
        units: Number of units of each, for progress bars.
        unit: Plural name of a unit.
    """

    ranges: Sequence[SymbolRange]
    heights: Sequence[int]
    units: Sequence[int]
    unit: str

    def watch(self, results: Iterable[Result], task: str) -> Iterator[Result]:
        """Show how many ranges are done while their results are consumed.

        Args:
            results: One result per range, in order.
            task: Name of the task; nothing is shown without one.

        Yields:
            The results.
        """
        if not task:
            yield from results
            return
        with progress(task, sum(self.units), self.unit) as advance:
            for done, rows, result in zip(self.units, self.heights, results, strict=True):
                yield result
                advance(done, rows)


class _Task(NamedTuple):
    """A range of symbols and the layers that have their rows."""

    symbols: SymbolRange
    layers: tuple[pl.LazyFrame, ...]


def map_symbols(
    function: Callable[..., Result], *layers: pl.LazyFrame, rows: int, task: str = ""
) -> Iterator[Result]:
    """Apply a function to layers, a range of symbols at a time, computing ahead.

    Args:
        function: Takes a frame of each layer, which has all rows of the same symbols and
            may be empty for all layers but one. A function of a module, or a ``partial`` of
            one, so that it can be pickled.
        layers: Rows with a ``Symbol``, in any order.
        rows: Minimum number of rows of a range, of all layers together; the last range may
            have fewer. If a layer has parts, each range is a part instead.
        task: Name of a progress bar; none is shown without it.

    Yields:
        The results, in the order of the symbols.
    """
    division = _divide(layers, rows)
    tasks = _make_tasks(division.ranges, layers)
    yield from division.watch(current_workers().map(partial(_apply, function), tasks), task)


def map_layer(  # noqa: PLR0913 (an update names what it keeps)
    function: Callable[..., Any],
    *layers: pl.LazyFrame,
    rows: int,
    held: pl.LazyFrame | None = None,
    changed: pl.Series | None = None,
    stay: Collection[str] = (),
    task: str = "",
) -> Iterator[Any]:
    """Compute the rows of a layer like ``map_symbols``; they need not pass this process.

    Args:
        function: Returns the rows of a range, or a ``NamedTuple`` of frames.
        layers: As for ``map_symbols``.
        rows: As for ``map_symbols``.
        held: The layer as it is, if its parts may be kept.
        changed: The symbols whose rows may differ from those held.
        stay: Fields of the ``NamedTuple`` that are rows of a layer.
        task: As for ``map_symbols``.

    Yields:
        The results, in the order of the symbols. On a cluster, rows of a layer are a
        ``RemoteFrame``, and a part of ``held`` without changed symbols is a ``KeptPart``.
    """
    division = _divide(layers, rows)
    kept = _find_kept(division.ranges, held, changed)
    todo = [symbols for symbols in division.ranges if symbols not in kept]
    tasks = _make_tasks(todo, layers)
    made = current_workers().map_frames(partial(_apply, function), tasks, stay)
    results = (
        kept[symbols] if symbols in kept else _label(next(made), symbols)
        for symbols in division.ranges
    )
    yield from division.watch(results, task)


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


def _make_tasks(ranges: Sequence[SymbolRange], layers: Sequence[pl.LazyFrame]) -> Iterator[_Task]:
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


def symbol_ranges(*layers: pl.LazyFrame, rows: int) -> Sequence[SymbolRange]:
    """Divide the symbols of layers into ranges.

    Args:
        layers: Rows with a ``Symbol``, in any order.
        rows: Minimum number of rows of a range, of all layers together. It has no effect if
            a layer has parts: each range is a part then, with the symbols up to the next.

    Returns:
        Ranges that hold each symbol once, in alphabetical order.
    """
    return _divide(layers, rows).ranges


def _divide(layers: Sequence[pl.LazyFrame], rows: int) -> _Division:
    parted = next((one for one in layers if isinstance(one, PartedLayer) and one.parts), None)
    if parted is not None:
        return _follow_parts(parted, [layer for layer in layers if layer is not parted])
    return _fill_ranges(layers, rows)


def _fill_ranges(layers: Sequence[pl.LazyFrame], rows: int) -> _Division:
    symbols, counts = _count_rows(layers)
    ranges, heights, units = [], [], []
    first, total = 0, 0
    for last, count in enumerate(counts):
        total += count
        if total >= rows or last == len(counts) - 1:
            ranges.append(SymbolRange(symbols[first], symbols[last]))
            heights.append(total)
            units.append(last + 1 - first)
            first, total = last + 1, 0
    return _Division(ranges, heights, units, "symbols")


def _count_rows(layers: Sequence[pl.LazyFrame]) -> tuple[list[str], list[int]]:
    """Count the rows of each symbol, over all layers, in order of the symbols."""
    symbols = pl.concat([layer.select(columns.SYMBOL) for layer in layers])
    counts = symbols.group_by(columns.SYMBOL).len().sort(columns.SYMBOL)
    names, heights = counts.collect(engine="streaming").get_columns()
    return names.to_list(), heights.to_list()


def _follow_parts(parted: PartedLayer, others: Sequence[pl.LazyFrame]) -> _Division:
    """Divide symbols as a layer is divided; a new symbol joins the part before it."""
    ranges = [part.symbols for part in parted.parts]
    starts = [symbols.first for symbols in ranges]
    for symbol in _new_symbols(ranges, others):
        place = max(bisect_right(starts, symbol) - 1, 0)
        first, last = ranges[place]
        ranges[place] = SymbolRange(min(first, symbol), max(last, symbol))
    heights = [part.height for part in parted.parts]
    return _Division(ranges, heights, [1] * len(ranges), "parts")


def _new_symbols(ranges: Sequence[SymbolRange], others: Sequence[pl.LazyFrame]) -> Iterator[str]:
    for layer in others:
        if isinstance(layer, PartedLayer) and {part.symbols for part in layer.parts} <= set(ranges):
            continue  # divided in the same way
        distinct = layer.select(pl.col(columns.SYMBOL).unique()).collect(engine="streaming")
        yield from distinct[columns.SYMBOL].drop_nulls()
