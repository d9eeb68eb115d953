"""Any single-file dataset, written aside and then renamed."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from stock_volume.datasets.preview import DescribedDataset, preview_text
from stock_volume.files import written_aside


class AtomicDataset(DescribedDataset, AbstractDataset[Any, Any]):
    """A dataset of one file that is replaced at once, never half written.

    Example of a catalog entry::

        metrics:
          type: stock_volume.datasets.AtomicDataset
          filepath: data/08_reporting/metrics.json
          dataset:
            type: json.JSONDataset
    """

    def __init__(
        self, filepath: str, dataset: dict[str, Any], metadata: dict[str, Any] | None = None
    ) -> None:
        """Keep what to write, and where.

        Args:
            filepath: Path of the file.
            dataset: Catalog entry of the dataset that reads and writes it, without path.
            metadata: Description, and layer in Kedro-Viz.
        """
        self.path = Path(filepath)
        self.metadata = metadata
        self._dataset = dataset

    def load(self) -> Any:
        """Load the file through the inner dataset."""
        return self._at(self.path).load()

    def save(self, data: Any) -> None:
        """Save through the inner dataset, aside, and move the file into place."""
        with written_aside(self.path) as aside:
            self._at(aside).save(data)

    def _at(self, path: Path) -> AbstractDataset[Any, Any]:
        entry = {**self._dataset, "filepath": path.as_posix()}
        return AbstractDataset.from_config(self.path.name, entry)

    def _preview_content(self) -> str:
        return preview_text(self.path)

    def _exists(self) -> bool:
        return self.path.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self.path), "dataset": self._dataset["type"]}
