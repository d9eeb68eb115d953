"""Overlapping of computing with writing, in bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int = 2
) -> Iterator[Result]:
    """Yield ``function(item)`` in order, computing the next ones meanwhile.

    Unlike ``Executor.map``, at most ``workers + 1`` results are in the making or wait to
    be taken, so a slow consumer holds the workers back in place of filling the memory.

    Args:
        function: Computes one result; it should release the GIL for most of its time.
        items: What to compute on, taken one at a time.
        workers: Number of threads.

    Yields:
        The results, in the order of ``items``.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
