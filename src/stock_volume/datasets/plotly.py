"""Plotly figures for Kedro-Viz, written atomically."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from kedro_datasets._typing import PlotlyPreview
from kedro_datasets.plotly import JSONDataset

from stock_volume.files import write_atomically

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


_NOTHING_YET: Final = {
    "data": [],
    "layout": {"title": {"text": "No run has drawn this figure yet."}},
}


class PlotlyDataset(JSONDataset):  # type: ignore[misc]  # kedro-datasets has no types
    """A figure as a JSON file, which each save replaces atomically."""

    @property
    def path(self) -> Path:
        """Path of the file."""
        return Path(self._filepath)

    def save(self, data: "Figure") -> None:
        """Write the figure to a temporary file, then rename it."""
        with write_atomically(self.path) as aside:
            data.write_json(aside)

    def preview(self) -> PlotlyPreview:
        """Return the figure, or a figure that says that there is none."""
        return super().preview() if self.path.is_file() else PlotlyPreview(_NOTHING_YET)
