"""Previews of datasets in Kedro-Viz."""

import json
from pathlib import Path
from typing import Any

import pytest

from stock_volume.datasets import (
    AtomicDataset,
)
from stock_volume.datasets.preview import EntryMetadata, preview_text


@pytest.mark.parametrize(
    ("name", "entry", "data", "shown"),
    [
        (
            "a.json",
            {"type": "json.JSONDataset"},
            {"a": "<b>", "c": {"d": [0.5, None], "e": [{"f": 12_345}]}},
            (
                "<table><tr><th>a</th><td>&lt;b&gt;</td></tr>"
                "<tr><th>c.d</th><td>0.5, undefined</td></tr>"
                "<tr><th>c.e[0].f</th><td>12,345</td></tr></table>"
            ),
        ),
        ("a.json", {"type": "text.TextDataset"}, '{"a', "<pre>{&quot;a</pre>"),
        (
            "a.md",
            {"type": "text.TextDataset"},
            "# A <i>\n\n| b |\n|---|\n| 1 |\n",
            "<h1>A &lt;i&gt;</h1>\n<table>\n<thead>\n<tr>\n<th>b</th>",
        ),
        (
            "a.html",
            {"type": "text.TextDataset"},
            "<style>b {}</style><section id='v'>\nGood</section><section>More</section>",
            "<section id='v'>\nGood</section>",
        ),
        ("a.yml", {"type": "text.TextDataset"}, "a: <b>", "<pre>a: &lt;b&gt;</pre>"),
        ("a.joblib", {"type": "pickle.PickleDataset", "backend": "joblib"}, [1], ""),
    ],
)
def test_a_file_is_previewed_where_it_is_text(
    tmp_path: Path, name: str, entry: dict[str, Any], data: object, shown: str
) -> None:
    """A preview is the description and the content as a document or a table, escaped."""
    metadata: EntryMetadata = {"description": "A file."}
    dataset = AtomicDataset((tmp_path / name).as_posix(), entry, metadata)
    assert dataset.preview() == "<p>A file.</p>"
    dataset.save(data)
    preview = dataset.preview()
    assert preview.startswith(f"<p>A file.</p>{shown}")
    assert (preview == "<p>A file.</p>") == (not shown)


def test_a_long_file_is_cut(tmp_path: Path) -> None:
    """Of many values the first are shown, and of a long text its beginning."""
    for name, text in (
        ("a.json", json.dumps({f"name_{number}": number for number in range(10_000)})),
        ("a.yml", 60_000 * "x"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        preview = preview_text(tmp_path / name)
        assert len(preview) < 10_000
        assert "…" in preview
