"""Rows, columns and sizes of datasets, which Kedro-Viz shows beside them."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog

from stock_volume.files import write_atomically

STATS_FILE: Final = ".viz/stats.json"
"""Where Kedro-Viz reads them, in the project's folder."""

_ROWS: Final = "rows"
_COLUMNS: Final = "columns"
_SIZE: Final = "file_size"

_Stats = dict[str, dict[str, int]]


class VizStatsHook:
    """Records rows, columns and sizes; the hook of Kedro-Viz does so for frames of pandas only."""

    def __init__(self) -> None:
        """Start before any run."""
        self._path = Path(STATS_FILE)
        self._held: _Stats = {}
        self._stats: _Stats = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Write into the project's folder."""
        self._path = Path(context.project_path) / STATS_FILE

    @hook_impl
    def before_pipeline_run(self) -> None:
        """Keep what earlier runs have recorded: the hook of Kedro-Viz would discard it."""
        self._held, self._stats = _read(self._path), {}

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Count rows; a layer is saved in chunks."""
        stats = self._stats.setdefault(dataset_name, {})
        if hasattr(data, "height"):
            stats[_ROWS] = stats.get(_ROWS, 0) + data.height
        if hasattr(data, "width"):
            stats[_COLUMNS] = data.width

    # After the hook of Kedro-Viz, which writes the same file; before the verdict ends the process.
    @hook_impl(trylast=True)
    def after_pipeline_run(self, catalog: DataCatalog) -> None:
        """Write the file."""
        for name, stats in self._stats.items():
            size = _size_of(catalog.get(name))
            if size is not None:
                stats[_SIZE] = size
        known = {name: stats for name, stats in (self._held | self._stats).items() if stats}
        # Statistics for a graph are no reason to fail: the folder may be read-only.
        with suppress(OSError), write_atomically(self._path) as aside:
            aside.write_text(json.dumps(known, indent=2), encoding="utf-8")


def _read(path: Path) -> _Stats:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def _size_of(dataset: Any) -> int | None:
    """Return the size of a dataset's file or folder in bytes, if it is on this machine."""
    place = getattr(dataset, "path", None) or getattr(dataset, "_filepath", None)
    path = Path(str(place)) if place else None
    if path is None or not path.exists():
        return None
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
