"""Previews of datasets in Kedro-Viz: the description, then the content."""

from html import escape
from pathlib import Path
from typing import Final, TypedDict

from kedro_datasets._typing import HTMLPreview

_TEXT_SUFFIXES: Final = {".json", ".md", ".yml"}
_MAX_CHARACTERS: Final = 5_000
"""Longest preview of a text file."""


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
        HTML; empty if the file is missing or not text.
    """
    if path.suffix not in _TEXT_SUFFIXES or not path.is_file():
        return ""
    with path.open(encoding="utf-8") as file:
        text = file.read(_MAX_CHARACTERS + 1)
    cut = "…" if len(text) > _MAX_CHARACTERS else ""
    return f"<pre>{escape(text[:_MAX_CHARACTERS])}{cut}</pre>"
