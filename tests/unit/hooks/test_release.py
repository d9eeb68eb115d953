"""The release of half-saved datasets after a failed run."""

from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from stock_volume.hooks import ReleaseOnErrorHook
from tests.unit.hook_helpers import fail, run, stages


class Releasing(MemoryDataset):
    """A dataset that counts how often it is released."""

    released = 0

    def _release(self) -> None:
        self.released += 1
        super()._release()


def _catalog() -> dict[str, Any]:
    return {"start": MemoryDataset("go"), "half": Releasing()}


def test_outputs_of_a_failed_run_are_released(tmp_path: Path) -> None:
    """A dataset that the failed node was to save is released."""
    datasets = _catalog()
    failing = Pipeline([Node(fail, "start", "half", name="fail")])
    with pytest.raises(ArithmeticError):
        run(tmp_path, failing, DataCatalog(datasets), ReleaseOnErrorHook())
    assert datasets["half"].released == 1


def test_outputs_of_a_complete_run_are_left_alone(tmp_path: Path) -> None:
    """A run without an error releases nothing through the hook."""
    datasets = _catalog()
    pipeline = stages("one: a")
    run(tmp_path, pipeline, DataCatalog(datasets), ReleaseOnErrorHook())
    assert datasets["half"].released == 0
