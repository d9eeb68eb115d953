"""Plotly figures, written aside and then renamed; Kedro-Viz draws them."""

from pathlib import Path
from typing import TYPE_CHECKING

from kedro_datasets.plotly import JSONDataset

from stock_volume.files import write_atomically

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


class PlotlyDataset(JSONDataset):  # type: ignore[misc]  # kedro-datasets has no types
    """A figure as JSON, in a file that is replaced at once, never half written."""

    @property
    def path(self) -> Path:
        """Of the file."""
        return Path(self._filepath)

    def save(self, data: "Figure") -> None:
        """Write the figure aside, and move the file into place."""
        with write_atomically(self.path) as aside:
            data.write_json(aside)
