"""Atomic writes for any single-file dataset."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from stock_volume.datasets.preview import DescribedDataset, EntryMetadata, preview_text
from stock_volume.files import write_atomically
from stock_volume.json_value import Json


class AtomicDataset(DescribedDataset, AbstractDataset[Any, Any]):
    """A dataset of one file, which each save replaces atomically.

    Example of a catalog entry::

        metrics:
          type: stock_volume.datasets.AtomicDataset
          filepath: data/08_reporting/metrics.json
          dataset:
            type: json.JSONDataset
    """

    def __init__(
        self, filepath: str, dataset: Mapping[str, Json], metadata: EntryMetadata | None = None
    ) -> None:
        """Configure the dataset.

        Args:
            filepath: Path of the file.
            dataset: Catalog entry of the inner dataset, without its path.
            metadata: Description, and layer in Kedro-Viz.
        """
        self.path = Path(filepath)
        self.metadata = metadata
        self._dataset = dataset

    def load(self) -> Any:
        """Load the file with the inner dataset."""
        return self._make_inner(self.path).load()

    def save(self, data: Any) -> None:
        """Save with the inner dataset to a temporary file, then rename it."""
        with write_atomically(self.path) as aside:
            self._make_inner(aside).save(data)

    def _make_inner(self, path: Path) -> AbstractDataset[Any, Any]:
        entry = {**self._dataset, "filepath": path.as_posix()}
        return AbstractDataset.from_config(self.path.name, entry)

    def _preview_content(self) -> str:
        return preview_text(self.path)

    def _exists(self) -> bool:
        return self.path.is_file()

    def _describe(self) -> dict[str, str]:
        return {"filepath": str(self.path), "dataset": str(self._dataset["type"])}
