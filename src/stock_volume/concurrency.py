"""Concurrent mapping with bounded memory."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int = 2,
    ahead: int | None = None,
) -> Generator[Result]:
    """Yield ``function(item)`` in order while threads compute the next results.

    Unlike ``Executor.map``, it starts a bounded number of items ahead of the consumer, so
    a slow consumer pauses the workers instead of filling the memory. When the consumer
    stops early or an item fails, pending items are cancelled.

    Args:
        function: Computes one result; it should release the GIL for most of its time.
        items: Arguments of the function, consumed lazily.
        workers: Number of threads.
        ahead: Maximum number of items, started or waiting, ahead of the consumer;
            ``workers`` by default. A larger number keeps the workers busy while one item
            takes longer than the others.

    Yields:
        The results, in the order of ``items``.
    """
    limit = workers if ahead is None else ahead
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > limit:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
