"""The raw layer: any source of bars or events."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Never, Protocol, TypeVar

from kedro.io import AbstractDataset, DatasetError
from kedro.utils import load_obj

from stock_volume.bars.archive import BarSource
from stock_volume.datasets.preview import DescribedDataset, EntryMetadata
from stock_volume.events.source import EventSource
from stock_volume.json_value import Json

Opened_co = TypeVar("Opened_co", covariant=True)
"""What a source opens to: ``BarSource`` or ``EventSource``."""


class ConfiguredSource(Protocol[Opened_co]):
    """A source as the catalog configures it.

    Attributes:
        name: Name without secrets.
    """

    name: str

    @property
    def path(self) -> Path | None:
        """Local path of the raw files, which are fetched first if necessary; None without any."""

    def exists(self) -> bool:
        """Return whether the source can be opened, as far as is known without a request."""

    def open(self) -> Opened_co:
        """Open the source."""


class SourceDataset(DescribedDataset, AbstractDataset[Never, Any]):
    """A source of bars or of events, which is read and never written.

    Example of a catalog entry::

        raw_bars:
          type: stock_volume.datasets.SourceDataset
          source:
            type: stock_volume.sources.archive.ArchiveSource
            location: s3://bucket/archive.zip
            landing: data/01_raw
          credentials: bucket
    """

    def __init__(
        self,
        source: Mapping[str, Json],
        credentials: Mapping[str, Json] | None = None,
        metadata: EntryMetadata | None = None,
    ) -> None:
        """Configure the source.

        Args:
            source: ``type``, the full name of the class of the source, and arguments of its
                constructor.
            credentials: Argument ``credentials`` of the constructor; None to omit it.
            metadata: Description, and layer in Kedro-Viz.

        Raises:
            DatasetError: The entry names no class, or its arguments do not fit.
        """
        self.metadata = metadata
        self._source = _make_source(source, credentials)

    @property
    def path(self) -> Path | None:
        """Local path of the raw files, which are fetched first if necessary; None without any."""
        return self._source.path

    def load(self) -> Any:
        """Open the source."""
        return self._source.open()

    def save(self, _data: Never) -> Never:
        """Refuse to write a source."""
        raise DatasetError("the raw layer is read-only")

    def _exists(self) -> bool:
        return self._source.exists()

    def _describe(self) -> dict[str, str]:
        return {"source": type(self._source).__name__, "name": self._source.name}


def _make_source(
    entry: object, credentials: Mapping[str, Json] | None
) -> ConfiguredSource[BarSource | EventSource]:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("type"), str):
        raise DatasetError(
            "source: must have a `type`, such as stock_volume.sources.archive.ArchiveSource, "
            "and the arguments of that class; see docs/sources"
        )
    arguments = {name: value for name, value in entry.items() if name != "type"}
    if credentials is not None:
        arguments["credentials"] = credentials
    try:
        source: ConfiguredSource[BarSource | EventSource] = load_obj(entry["type"])(**arguments)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise DatasetError(f"source: {entry['type']}: {error}") from error
    return source
