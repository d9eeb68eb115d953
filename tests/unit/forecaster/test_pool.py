"""The pool: which rows are trained on, and how their features are read."""

import gc
import pickle
import weakref
from typing import Final

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_volume import columns
from stock_volume.boosters import bin_rows
from stock_volume.features.registry import ETA, FeatureSet
from stock_volume.forecaster import pool as pool_module
from stock_volume.forecaster.pool import Pool, kept_bytes, pool_rows, sample_positions
from stock_volume.forecaster.settings import mean_settings
from tests.unit.forecast_helpers import forecast_frame, small_parameters

FRAME: Final = forecast_frame().filter(pl.col(ETA).is_not_null())
NAMES: Final = FeatureSet.of_layer(FRAME.columns).names
KNOWN: Final = (columns.TARGET_DATE, ETA)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide the few rows of these tests into several blocks."""
    monkeypatch.setattr(pool_module, "BLOCK_ROWS", FRAME.height // 4)


def _pool(limit: int, seed: int = 0) -> Pool:
    return pool_rows(FRAME.lazy(), NAMES, KNOWN, limit, seed)


def _features(pool: Pool) -> pl.DataFrame:
    matrix = np.concatenate([block.read() for block in pool.blocks])
    return pl.DataFrame(matrix, schema=list(NAMES), orient="row").fill_nan(None)


@pytest.mark.parametrize("limit", [FRAME.height, FRAME.height + 1])
def test_all_rows_are_pooled_up_to_the_limit(limit: int) -> None:
    """A small layer is pooled whole, in its order, in several blocks."""
    pool = _pool(limit)
    assert len(pool.blocks) > 2
    assert_frame_equal(pool.known, FRAME.select(columns.SYMBOL, *KNOWN))
    assert_frame_equal(_features(pool), FRAME.select(NAMES))


def test_a_sample_of_more_rows_is_pooled() -> None:
    """The sample has as many rows as the limit, each once, features beside what is known."""
    pool = _pool(97)
    rows = pl.concat([pool.known, _features(pool)], how="horizontal")
    assert rows.height == sum(block.rows for block in pool.blocks) == 97
    both = FRAME.select(columns.SYMBOL, *KNOWN, *NAMES).join(
        rows.select(columns.SYMBOL, columns.TARGET_DATE),
        on=[columns.SYMBOL, columns.TARGET_DATE],
        maintain_order="left",
    )
    assert_frame_equal(rows, both)


@pytest.mark.parametrize("kept", [0, 2**30])
def test_workers_elsewhere_read_blocks(monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    """Readers of blocks can be pickled, whether this process keeps the features or not."""
    monkeypatch.setattr(pool_module, "_KEPT_BYTES", kept)
    blocks = _pool(97).blocks
    for block in blocks:
        there = pickle.loads(pickle.dumps(block))  # noqa: S301 (of this process)
        assert there.rows == block.rows
        np.testing.assert_array_equal(there.read(), block.read())


def test_the_seed_chooses_the_sample() -> None:
    """Equal seeds pool equal rows; another seed pools others."""
    assert _pool(97).known.equals(_pool(97).known)
    assert not _pool(97).known.equals(_pool(97, seed=1).known)


@pytest.mark.parametrize("limit", [60, FRAME.height])
def test_features_of_some_rows_are_read(limit: int) -> None:
    """Positions are of the pool's rows, whichever blocks these are in."""
    pool = _pool(limit)
    rows = np.flatnonzero(np.arange(pool.known.height) % 7 == 3)
    read = np.concatenate(list(pool.read_features(rows)))
    expected = _features(pool)[rows]
    assert_frame_equal(
        pl.DataFrame(read, schema=list(NAMES), orient="row").fill_nan(None), expected
    )


def test_samples_are_ascending_and_without_repeats() -> None:
    """Every position may be chosen, and about equally often."""
    positions = np.arange(10, 60)
    samples = [sample_positions(positions, 20, 5, number) for number in range(200)]
    assert all(len(set(sample)) == 20 and (np.diff(sample) > 0).all() for sample in samples)
    counts = np.bincount(np.concatenate(samples), minlength=60)[10:]
    assert counts.sum() == 200 * 20
    assert (np.abs(counts - 80) < 40).all()


@pytest.mark.parametrize("share", [1, 2])
def test_small_pools_are_read_once(monkeypatch: pytest.MonkeyPatch, share: int) -> None:
    """The features of a pool are kept if they are no larger than the bound."""
    size = FRAME.height * len(NAMES) * 4
    monkeypatch.setattr(pool_module, "_KEPT_BYTES", size // share)
    pool = _pool(FRAME.height)
    is_kept = share == 1
    assert kept_bytes(FRAME.height, len(NAMES)) == (size if is_kept else 0)
    assert all((block.read() is block.read()) == is_kept for block in pool.blocks)


def test_kept_features_are_freed_with_the_training_set() -> None:
    """Nothing refers to the rows once they are trained on: memory is freed without a search."""
    pool = _pool(FRAME.height)
    settings = mean_settings(FRAME.height, small_parameters())
    target = pool.known[ETA].to_numpy()
    training = bin_rows(pool.blocks, target, np.ones(len(target)), NAMES, settings)
    kept = weakref.ref(pool.blocks[0].read().base)
    assert kept() is not None
    gc.disable()
    try:
        del pool, training
        assert kept() is None
    finally:
        gc.enable()
