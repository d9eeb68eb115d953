"""The lock on the data root, through runs of small pipelines."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from stock_volume.datasets import PydanticJSONDataset
from stock_volume.errors import StockVolumeError
from stock_volume.hooks import LockHook
from stock_volume.run_lock import WAIT_VARIABLE, LockedError, RunLock
from tests.unit.hook_helpers import fail, run, stages, start

AROUND = {"run_params": {"run_id": "2020-01-02T00.00.00", "runner": None}, "pipeline": Pipeline([])}


@pytest.fixture
def catalog(tmp_path: Path) -> DataCatalog:
    path = tmp_path / "data/08_reporting/run_manifest.json"
    manifest = PydanticJSONDataset(str(path), "stock_volume.lineage.manifest.RunManifest")
    return DataCatalog({"run_manifest": manifest, "start": MemoryDataset("go")})


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[None]:
    """Lock the data root, as another run would."""
    lock = RunLock.acquire(tmp_path / "data", "another")
    yield
    lock.release()


def is_locked(folder: Path) -> bool:
    try:
        RunLock.acquire(folder / "data", "probe").release()
    except LockedError:
        return True
    return False


@pytest.mark.usefixtures("locked")
def test_run_on_a_locked_data_root_does_not_begin(
    tmp_path: Path, catalog: DataCatalog, caplog: pytest.LogCaptureFixture
) -> None:
    """No node of the second run runs."""
    with pytest.raises(LockedError):
        run(tmp_path, stages("one: a"), catalog, LockHook())
    assert "one: a" not in caplog.text


def test_data_root_is_locked_during_a_run(tmp_path: Path, catalog: DataCatalog) -> None:
    """The lock is there while a node runs, and gone when the run has ended, also by an error."""
    seen: list[bool] = []
    look = Node(lambda _: seen.append(is_locked(tmp_path)), "start", None, name="look")
    run(tmp_path, Pipeline([look]), catalog, LockHook())
    assert seen == [True]
    assert not is_locked(tmp_path)
    failing = Node(fail, "start", "never", name="fail")
    with pytest.raises(ArithmeticError):
        run(tmp_path, Pipeline([failing]), catalog, LockHook())
    assert not is_locked(tmp_path)


def test_lock_is_released_if_another_hook_fails(tmp_path: Path, catalog: DataCatalog) -> None:
    """Kedro calls no further hook if one of them fails before the run."""

    class Failing:
        from kedro.framework.hooks import hook_impl

        @hook_impl
        def before_pipeline_run(self) -> None:
            raise ArithmeticError("no cluster")

    manager = _create_hook_manager()
    manager.register(LockHook())
    manager.register(Failing())
    with pytest.raises(ArithmeticError):
        manager.hook.before_pipeline_run(catalog=catalog, **AROUND)
    assert not is_locked(tmp_path)


def test_interrupted_run_of_a_notebook_does_not_stay_locked(
    tmp_path: Path, catalog: DataCatalog
) -> None:
    """Ctrl-C calls no hook: the next run of the thread takes the lock, one of another does not."""
    manager = _create_hook_manager()
    manager.register(LockHook())
    manager.hook.before_pipeline_run(catalog=catalog, **AROUND)
    refused: list[bool] = []

    def try_to_run() -> None:
        try:
            manager.hook.before_pipeline_run(catalog=catalog, **AROUND)
        except LockedError:
            refused.append(True)

    other = threading.Thread(target=try_to_run)
    other.start()
    other.join()
    assert refused == [True]
    manager.hook.before_pipeline_run(catalog=catalog, **AROUND)
    manager.hook.after_pipeline_run(run_result={}, catalog=catalog, **AROUND)
    assert not is_locked(tmp_path)


def test_files_of_a_killed_run_are_deleted(tmp_path: Path, catalog: DataCatalog) -> None:
    """What a killed run was writing is deleted; partly fetched files and layers stay."""
    layer = tmp_path / "data/02_intermediate/prices.parquet"
    stray = layer.with_name(".prices.parquet.partial")
    fetched = tmp_path / "data/01_raw/.archive.zip.partial"
    for path in (layer, stray, fetched):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    run(tmp_path, stages("one: a"), catalog, LockHook())
    assert [path.exists() for path in (layer, stray, fetched)] == [True, False, True]


def test_catalog_without_manifest_is_not_locked(tmp_path: Path) -> None:
    """Without a manifest there is no data root."""
    run(tmp_path, stages("one: a"), start(), LockHook())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["soon", "-1", "inf", "nan"])
def test_invalid_wait_is_refused(
    tmp_path: Path, catalog: DataCatalog, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """The message names the variable and its value."""
    monkeypatch.setenv(WAIT_VARIABLE, text)
    with pytest.raises(StockVolumeError, match=f"{WAIT_VARIABLE}={text}: must be"):
        run(tmp_path, stages("one: a"), catalog, LockHook())
