"""Rows, columns and sizes for Kedro-Viz."""

import json
from pathlib import Path

import polars as pl
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from stock_volume.datasets import ChunkedParquetDataset
from stock_volume.hooks import VizStatsHook
from tests.unit.hook_helpers import run


def chunks(_: object) -> pl.DataFrame:
    return pl.DataFrame({"Symbol": ["A", "B"], "Volume": [1, 2]})


def test_rows_columns_and_size_are_recorded(tmp_path: Path) -> None:
    """Each dataset has what Kedro-Viz shows; what earlier runs recorded stays."""
    stats = tmp_path / ".viz/stats.json"
    stats.parent.mkdir()
    stats.write_text('{"files": {"rows": 7}, "prices": {"rows": 1}}', encoding="utf-8")
    layer = ChunkedParquetDataset(str(tmp_path / "prices.parquet"))
    catalog = DataCatalog({"start": MemoryDataset(1), "prices": layer})
    nodes = [Node(chunks, "start", "prices", name="read", confirms="prices")]
    run(tmp_path, Pipeline(nodes), catalog, VizStatsHook())
    size = (tmp_path / "prices.parquet").stat().st_size
    assert json.loads(stats.read_text(encoding="utf-8")) == {
        "files": {"rows": 7},
        "prices": {"rows": 2, "columns": 2, "file_size": size},
    }


def test_a_broken_file_is_replaced(tmp_path: Path) -> None:
    """An unreadable file is replaced, and a folder counts as all its files."""
    stats = tmp_path / ".viz/stats.json"
    stats.parent.mkdir()
    stats.write_text("[", encoding="utf-8")
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "a").write_bytes(b"12345")
    log = MemoryDataset()
    log.path = folder  # type: ignore[attr-defined]
    hook = VizStatsHook()
    hook._path = stats  # noqa: SLF001
    hook.before_pipeline_run()
    hook.after_dataset_saved("log", {})
    hook.after_pipeline_run(DataCatalog({"log": log}))
    assert json.loads(stats.read_text(encoding="utf-8")) == {"log": {"file_size": 5}}
