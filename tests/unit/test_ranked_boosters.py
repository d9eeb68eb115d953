"""Boosters that several workers fit together."""

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest

from stock_volume.arrays import Floats, Matrix
from stock_volume.boosters import Block, BoosterSettings, bin_rows
from stock_volume.ranked_boosters import RankedTrainingSet, _stop_early, rank_rows
from stock_volume.workers import Seat, Threads, use_workers

ROWS, BLOCKS, NAMES = 1500, 4, [f"f{number}" for number in range(5)]
SETTINGS = BoosterSettings(
    trees=15,
    learning_rate=0.2,
    leaves=7,
    seed=3,
    min_rows_in_leaf=20,
    feature_fraction=1.0,
    bagging_fraction=1.0,
    lambda_l2=1.0,
    max_bin=63,
    quantized=False,
    num_threads=1,
)


def _features(number: int) -> Matrix:
    return np.random.default_rng(number).normal(size=(ROWS, len(NAMES))).astype(np.float32)


BLOCKS_OF_ROWS = [Block(ROWS, partial(_features, number)) for number in range(BLOCKS)]
INPUTS = np.concatenate([block.read() for block in BLOCKS_OF_ROWS])
NOISE = np.random.default_rng(9).normal(size=len(INPUTS))
TARGET: Floats = 5 + 2.0 * INPUTS[:, 0] + np.sin(3 * INPUTS[:, 1]) + 0.1 * NOISE
WEIGHTS = np.ones(len(INPUTS))


class Ranks(Threads):
    """Two processes, which fit together."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:  # noqa: D107
        self._pool = pool

    def ranks(self, rows: int) -> int:  # noqa: ARG002
        return 2

    def run_together(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        sockets = [socket.socket() for _ in items]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        ports = [one.getsockname()[1] for one in sockets]
        for one in sockets:
            one.close()
        machines = ",".join(f"127.0.0.1:{port}" for port in ports)
        seats = [Seat(machines, port) for port in ports]
        return [
            future.result()
            for future in [
                self._pool.submit(function, item, seat)
                for item, seat in zip(items, seats, strict=True)
            ]
        ]


def _wait(_: int) -> None:
    import lightgbm  # noqa: F401 (takes seconds)

    time.sleep(0.5)


@pytest.fixture(scope="module")
def ranks() -> Iterator[Ranks]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(_wait, range(2)))  # both have started before ports are chosen
        yield Ranks(pool)


def _ranked() -> RankedTrainingSet:
    return rank_rows(BLOCKS_OF_ROWS, TARGET, WEIGHTS, NAMES, SETTINGS)


def test_ranks_fit_the_booster_of_one_machine(ranks: Ranks) -> None:
    """Without sampling of rows, two ranks and one process grow nearly the same trees."""
    alone = bin_rows(BLOCKS_OF_ROWS, TARGET, WEIGHTS, NAMES, SETTINGS).fit(SETTINGS)
    with use_workers(ranks):
        training = _ranked()
        assert [len(one.chosen) for one in training.rows] == [2 * ROWS, 2 * ROWS]
        together = training.fit(SETTINGS)
        assert training.fit(SETTINGS).to_text() == together.to_text()
    expected, found = (one.predict(INPUTS, 1) for one in (alone, together))
    assert np.mean((found - TARGET) ** 2) == pytest.approx(np.mean((expected - TARGET) ** 2), 0.02)
    assert np.median(np.abs(found - expected)) < 1e-6


def test_one_rank_is_one_machine() -> None:
    """A single rank, which talks to no other, grows the trees of a training set."""
    alone = bin_rows(BLOCKS_OF_ROWS, TARGET, WEIGHTS, NAMES, SETTINGS)
    ranked, early, late = _ranked(), np.arange(0, 4000), np.arange(4000, 6000)
    expected, found = (one.fit(SETTINGS).predict(INPUTS, 1) for one in (alone, ranked))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    counted = alone.subset(early).count_trees(alone.subset(late), SETTINGS, 5)
    assert ranked.subset(early).count_trees(ranked.subset(late), SETTINGS, 5) == counted


@pytest.mark.parametrize(
    ("errors", "trees"), [([3, 2, 1], 3), ([3, 1, 2, 2, 2, 0], 2), ([1, 2], 1), ([3, 1, 2, 0], 4)]
)
def test_early_stopping(errors: list[float], trees: int) -> None:
    """The search ends after three trees without progress."""
    assert _stop_early(np.array(errors, dtype=float), 3) == trees
