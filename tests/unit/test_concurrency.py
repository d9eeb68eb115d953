"""Computing ahead of a consumer."""

import threading
from collections.abc import Iterator

import pytest

from stock_volume.concurrency import map_ahead

PATIENCE = 30
"""Seconds after which a test that waits for a thread fails in place of hanging."""


class Counter:
    """Counts calls from several threads, and lets a test wait for a number of them."""

    def __init__(self) -> None:
        """Start at none."""
        self.count = 0
        self._changed = threading.Condition()

    def add(self) -> None:
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def reaches(self, count: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.count >= count, PATIENCE)


def _square(number: int) -> int:
    return number**2


def _square_but_of_three(number: int) -> int:
    if number == 3:
        raise ArithmeticError("no square of 3")
    return number**2


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 50])
def test_results_are_in_order(count: int, workers: int) -> None:
    """Each item has its result, in the order of the items, with any number of workers."""
    assert list(map_ahead(_square, range(count), workers)) == [n**2 for n in range(count)]


def test_order_holds_where_later_results_are_ready_first() -> None:
    """A result that is ready early waits for those before it."""
    second_is_made = threading.Event()

    def make(number: int) -> int:
        if number == 0:
            assert second_is_made.wait(PATIENCE)
        else:
            second_is_made.set()
        return number

    assert list(map_ahead(make, range(4), workers=2)) == [0, 1, 2, 3]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_runs_ahead_by_the_number_of_workers_only(workers: int) -> None:
    """While a consumer holds its n-th result, one more a worker is made, and no other taken."""
    started = Counter()
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(20):
            taken += 1
            yield number

    def make(number: int) -> int:
        started.add()
        return number

    for held, _ in enumerate(map_ahead(make, items(), workers), start=1):
        ahead = min(held + workers, 20)
        assert started.reaches(ahead)
        assert taken == ahead
        assert started.count == ahead


def test_runs_ahead_as_far_as_asked() -> None:
    """With ``ahead``, more items than workers are taken before the first result is."""
    taken = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    results = map_ahead(_square, items(), workers=2, ahead=5)
    assert next(results) == 0
    assert len(taken) == 6
    assert list(results) == [n**2 for n in range(1, 20)]


@pytest.mark.parametrize("ending", ["left early", "failed"])
def test_what_has_not_started_is_cancelled(ending: str) -> None:
    """Where a consumer leaves or an item fails, items that wait are not computed."""
    started = []
    release = threading.Event()

    def make(number: int) -> int:
        started.append(number)
        if number == 1 and ending == "failed":
            raise ArithmeticError
        if number == 2:
            assert release.wait(PATIENCE)
        return number

    results = map_ahead(make, range(20), workers=1, ahead=10)
    assert next(results) == 0
    threading.Timer(0.1, release.set).start()
    if ending == "left early":
        results.close()
    else:
        with pytest.raises(ArithmeticError):
            next(results)
    assert set(started) <= {0, 1, 2}


def test_next_result_is_made_while_one_is_consumed() -> None:
    """The second item is computed before the consumer has asked for it."""
    made = threading.Event()

    def make(number: int) -> int:
        if number == 1:
            made.set()
        return number

    results = map_ahead(make, range(3), workers=2)
    assert next(results) == 0
    assert made.wait(PATIENCE)
    assert list(results) == [1, 2]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_exception_of_the_function_reaches_the_consumer(workers: int) -> None:
    """Results before a failing item come out; then its exception is raised."""
    results = map_ahead(_square_but_of_three, range(6), workers)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    with pytest.raises(ArithmeticError, match="no square of 3"):
        next(results)


def test_exception_of_the_items_reaches_the_consumer() -> None:
    """An error of what gives the items is passed on too."""

    def items() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        list(map_ahead(_square, items()))


@pytest.mark.parametrize("ending", ["at its end", "left early", "failed"])
def test_threads_are_closed(ending: str) -> None:
    """No thread outlives the iteration, however it ends."""
    made_by = []

    def make(number: int) -> int:
        made_by.append(threading.current_thread())
        return _square_but_of_three(number) if ending == "failed" else _square(number)

    results = map_ahead(make, range(8), workers=3)
    assert next(results) == 0
    if ending == "left early":
        results.close()
    elif ending == "failed":
        with pytest.raises(ArithmeticError):
            list(results)
    else:
        assert len(list(results)) == 7
    assert made_by
    assert threading.current_thread() not in made_by
    assert not any(thread.is_alive() for thread in made_by)


def test_nothing_is_computed_before_it_is_asked_for() -> None:
    """Making the iterator takes no item; asking for a result does."""
    items = iter(range(3))
    results = map_ahead(_square, items)
    assert next(items) == 0
    assert list(results) == [1, 4]
