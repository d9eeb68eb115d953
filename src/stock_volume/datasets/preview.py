"""Previews of datasets in Kedro-Viz: the description, then the content."""

import json
import re
from collections.abc import Iterator
from html import escape
from itertools import islice
from pathlib import Path
from typing import Final, TypedDict

from kedro_datasets._typing import HTMLPreview

from stock_volume.json_value import Json

_MAX_CHARACTERS: Final = 5_000
"""Longest preview of a text file."""

_MAX_VALUES: Final = 120
"""Most values of a JSON document in a preview."""

_LARGE: Final = 1000
"""A number from here on is shown without decimals."""


class VizEntry(TypedDict, total=False):
    """What Kedro-Viz reads from the metadata of a catalog entry."""

    layer: str


EntryMetadata = TypedDict("EntryMetadata", {"description": str, "kedro-viz": VizEntry}, total=False)
"""Metadata of a catalog entry."""


class DescribedDataset:
    """A dataset with a description in its catalog entry.

    Kedro-Viz has no field for a description, so the preview begins with it::

        prices:
          type: stock_volume.datasets.ChunkedParquetDataset
          filepath: data/02_intermediate/prices.parquet
          metadata:
            description: One valid bar per symbol and day, sorted by both.

    Attributes:
        metadata: Metadata of the catalog entry.
    """

    metadata: EntryMetadata | None = None

    def preview(self) -> HTMLPreview:
        """Render the description and the content as HTML."""
        description = (self.metadata or {}).get("description", "")
        return HTMLPreview(f"<p>{escape(description)}</p>{self._preview_content()}")

    def _preview_content(self) -> str:
        """Render the content as HTML; empty by default and before the first save."""
        return ""


def preview_text(path: Path) -> str:
    """Render the beginning of a text file.

    Args:
        path: The file, which may be missing.

    Returns:
        HTML: Markdown as a document, JSON as a table of its values, of HTML the first section;
        empty if the file is missing or not text.
    """
    render = _RENDERERS.get(path.suffix)
    if render is None or not path.is_file():
        return ""
    return render(path.read_text(encoding="utf-8"))


def _render_markdown(text: str) -> str:
    from markdown_it import MarkdownIt

    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))


def _render_section(text: str) -> str:
    section = re.search(r"<section.*?</section>", text, re.DOTALL)
    return section[0] if section else ""


def _render_plain(text: str) -> str:
    cut = "…" if len(text) > _MAX_CHARACTERS else ""
    return f"<pre>{escape(text[:_MAX_CHARACTERS])}{cut}</pre>"


def _render_values(text: str) -> str:
    """Render the values of a JSON document, each with its dotted name."""
    try:
        values = list(islice(_iterate_values(json.loads(text)), _MAX_VALUES + 1))
    except ValueError:
        return _render_plain(text)
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
        for name, value in values[:_MAX_VALUES]
    )
    more = "<p>…</p>" if len(values) > _MAX_VALUES else ""
    return f"<table>{rows}</table>{more}"


def _iterate_values(document: Json, prefix: str = "") -> Iterator[tuple[str, str]]:
    match document:
        case dict():
            for name, value in document.items():
                yield from _iterate_values(value, f"{prefix}.{name}" if prefix else name)
        case [dict() | list(), *_]:
            for number, value in enumerate(document):
                yield from _iterate_values(value, f"{prefix}[{number}]")
        case list():
            yield prefix, ", ".join(map(_write_value, document))
        case _:
            yield prefix, _write_value(document)


def _write_value(value: Json) -> str:
    match value:
        case None:
            return "undefined"
        case bool() | str():
            return str(value)
        case float():
            return f"{value:,.4g}" if abs(value) < _LARGE else f"{value:,.0f}"
    return f"{value:,}"


_RENDERERS: Final = {
    ".md": _render_markdown,
    ".html": _render_section,
    ".json": _render_values,
    ".yml": _render_plain,
}
