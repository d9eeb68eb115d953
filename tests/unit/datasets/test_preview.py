"""Previews of datasets in Kedro-Viz."""

from pathlib import Path
from typing import Any

import pytest

from stock_volume.datasets import (
    AtomicDataset,
)
from stock_volume.datasets.preview import EntryMetadata


@pytest.mark.parametrize(
    ("name", "entry", "data", "shown"),
    [
        (
            "a.json",
            {"type": "json.JSONDataset"},
            {"a": "<b>"},
            "<pre>{\n  &quot;a&quot;: &quot;&lt;b",
        ),
        ("a.md", {"type": "text.TextDataset"}, "# A" + 6_000 * "x", "<pre># Axxx"),
        ("a.joblib", {"type": "pickle.PickleDataset", "backend": "joblib"}, [1], ""),
    ],
)
def test_a_file_is_previewed_where_it_is_text(
    tmp_path: Path, name: str, entry: dict[str, Any], data: object, shown: str
) -> None:
    """A preview is the description and the beginning of a text file, escaped."""
    metadata: EntryMetadata = {"description": "A file."}
    dataset = AtomicDataset((tmp_path / name).as_posix(), entry, metadata)
    assert dataset.preview() == "<p>A file.</p>"
    dataset.save(data)
    preview = dataset.preview()
    assert preview.startswith(f"<p>A file.</p>{shown}")
    assert len(preview) < 5_100
    assert (preview == "<p>A file.</p>") == (not shown)
