"""Where tasks run: in threads of this process, or on workers elsewhere.

Threads are the default. An environment with a cluster replaces them for a run; the functions
and the results stay the same. On a cluster, large frames stay with the worker that computed
them: the caller gets a ``RemoteFrame`` and passes it on to the data set that writes it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import polars as pl

from stock_volume.concurrency import map_ahead

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RemoteFrame:
    """A frame on the worker that computed it.

    Attributes:
        height: Number of rows.
        result: The result that contains the frame, as the cluster refers to it.
        steps: Functions that extract the frame from the result and check it, in order. They
            run where the frame is written.
        symbols: First and last symbol of its rows; None if they are unknown.
    """

    height: int
    result: Any
    steps: tuple[Callable[[Any], Any], ...] = ()
    symbols: tuple[str, str] | None = None

    def then(self, function: Callable[[Any], Any]) -> "RemoteFrame":
        """Add a step.

        Args:
            function: Takes the frame and returns it, or raises an error. It can be pickled.

        Returns:
            The frame with this step.
        """
        return replace(self, steps=(*self.steps, function))


def change_frame(frame: Any, function: Callable[[pl.DataFrame], pl.DataFrame]) -> Any:
    """Change a frame here, or where it is written.

    Args:
        frame: The frame.
        function: Changes it and keeps the number of rows. It can be pickled.

    Returns:
        The changed frame.
    """
    return frame.then(function) if isinstance(frame, RemoteFrame) else function(frame)


def clear_frame(frame: Any) -> Any:
    """Keep the columns of a frame and none of its rows.

    Args:
        frame: The frame.
    """
    if isinstance(frame, RemoteFrame):
        return replace(frame.then(pl.DataFrame.clear), height=0)
    return frame.clear()


@dataclass(frozen=True, slots=True)
class KeptPart:
    """A part of a layer that an update leaves as it is.

    Attributes:
        height: Number of rows.
        symbols: First and last symbol of its rows.
    """

    height: int
    symbols: tuple[str, str]


class Seat(NamedTuple):
    """The place of a task among tasks that talk to each other.

    Attributes:
        machines: Host and port of every task, such as ``10.0.0.1:4100,10.0.0.2:4100``.
        port: The port of this task.
    """

    machines: str
    port: int


class Workers(Protocol):
    """What runs tasks."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Compute results, a bounded number ahead of the caller.

        Args:
            function: Computes one result. It and the items can be pickled.
            items: Arguments of the function.

        Yields:
            The results, in the order of the items.
        """

    def map_frames(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        stay: Collection[str] = (),
    ) -> Iterator[Result]:
        """Compute results whose frames may stay with the worker.

        Args:
            function: Computes a frame, or a ``NamedTuple`` of frames.
            items: Arguments of the function.
            stay: Fields of the ``NamedTuple`` that may stay; if empty, the result is a frame.

        Yields:
            The results, in the order of the items. A frame that stays is a ``RemoteFrame``.
        """

    def ranks(self, rows: int) -> int:
        """Return how many tasks ``run_together`` should divide rows among.

        Args:
            rows: Number of rows.
        """

    def run_together(
        self, function: Callable[[Item, "Seat"], Result], items: Sequence[Item]
    ) -> list[Result]:
        """Run tasks that talk to each other, at the same time, each on a worker of its own.

        Args:
            function: Computes the result of an item, given its seat.
            items: At most as many items as there are ranks.

        Returns:
            The results. If a worker is lost, all tasks start again.
        """

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Any:
        """Start a task.

        Args:
            function: Computes the result.
            arguments: Its arguments, which may be the ``result`` of a ``RemoteFrame``.

        Returns:
            The future result; ``result()`` waits for it.
        """


class Threads:
    """Runs tasks in threads of this process."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Compute results ahead of the caller."""
        yield from map_ahead(function, items)

    def map_frames(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        stay: Collection[str] = (),  # noqa: ARG002 (every frame is in this process)
    ) -> Iterator[Result]:
        """Compute results ahead of the caller."""
        yield from map_ahead(function, items)

    def ranks(self, rows: int) -> int:  # noqa: ARG002
        """Return one: this process."""
        return 1

    def run_together(
        self, function: Callable[[Item, Seat], Result], items: Sequence[Item]
    ) -> list[Result]:
        """Run one task, which talks to no other.

        Raises:
            ValueError: There is more than one item.
        """
        (item,) = items
        return [function(item, Seat("127.0.0.1:0", 0))]

    def submit(self, function: Callable[..., Result], *arguments: Any) -> "Done":
        """Run a task at once."""
        return Done(function(*arguments))


class Done(NamedTuple):
    """The result of a task that has run."""

    value: Any

    def result(self) -> Any:
        """Return the result."""
        return self.value


_workers: list[Workers] = [Threads()]


def current_workers() -> Workers:
    """Return what runs tasks now."""
    return _workers[-1]


@contextmanager
def use_workers(workers: Workers) -> Iterator[None]:
    """Run tasks elsewhere for a while, in all threads of this process.

    Args:
        workers: What runs the tasks.

    Yields:
        Nothing; the previous workers are back when the context ends.
    """
    _workers.append(workers)
    try:
        yield
    finally:
        _workers.remove(workers)


def frame_of(steps: Sequence[Callable[[Any], Any]], result: Any) -> pl.DataFrame:
    """Take a frame out of the result that contains it, where the result is.

    Args:
        steps: The steps of the ``RemoteFrame``.
        result: The result.

    Returns:
        The frame.
    """
    frame = result
    for step in steps:
        frame = step(frame)
    return cast("pl.DataFrame", frame)
