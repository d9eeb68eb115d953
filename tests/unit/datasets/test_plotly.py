"""Figures as JSON files."""

from pathlib import Path

import plotly.graph_objects as go

from stock_volume.datasets.plotly import PlotlyDataset


def test_a_figure_is_saved_whole_and_previewed(tmp_path: Path) -> None:
    """The file is replaced, nothing is left beside it, and Kedro-Viz gets its content."""
    dataset = PlotlyDataset(filepath=str(tmp_path / "plot.json"))
    for title in ("first", "second"):
        dataset.save(go.Figure(go.Scatter(x=[1, 2], y=[3, 4]), layout={"title": {"text": title}}))
    assert [path.name for path in tmp_path.iterdir()] == ["plot.json"]
    assert dataset.preview()["layout"]["title"]["text"] == "second"
    assert dataset.load().layout.title.text == "second"


def test_a_figure_that_no_run_has_drawn_is_previewed(tmp_path: Path) -> None:
    """Kedro-Viz shows what is missing in place of an error in its log."""
    shown = PlotlyDataset(filepath=str(tmp_path / "plot.json")).preview()
    assert shown["data"] == []
    assert "No run has drawn" in shown["layout"]["title"]["text"]
