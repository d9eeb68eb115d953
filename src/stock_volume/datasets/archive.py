"""The raw layer: an archive of bars as given."""

from pathlib import Path
from typing import Any, Final, Never

from kedro.io import AbstractDataset, DatasetError

from stock_volume.bars.archive import ArchiveLimits, BarArchive, open_archive
from stock_volume.bars.sample import lay_out_sample

SAMPLE: Final = "sample"


class ArchiveDataset(AbstractDataset[Never, BarArchive]):
    """A Kaggle zip as downloaded, a folder in its layout, or the embedded sample.

    Example of a catalog entry::

        raw_bars:
          type: stock_volume.datasets.ArchiveDataset
          source: downloads/archive.zip
          landing: data/01_raw
    """

    def __init__(
        self,
        source: str,
        landing: str,
        limits: dict[str, int] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Keep where the archive is.

        Args:
            source: Path of a zip file or folder, or ``sample`` for the embedded sample.
            landing: Folder in which a source that is no file yet is laid out.
            limits: Fields of ``ArchiveLimits`` to change.
            metadata: For Kedro-Viz.
        """
        self._source = source
        self._landing = Path(landing)
        self._limits = ArchiveLimits(**(limits or {}))
        self.metadata = metadata

    @property
    def path(self) -> Path:
        """Where the archive is, laid out if need be."""
        if self._source == SAMPLE:
            return lay_out_sample(self._landing / SAMPLE)
        return Path(self._source).expanduser()

    def load(self) -> BarArchive:
        """Open the archive.

        Returns:
            The archive, its files listed and none read.
        """
        return open_archive(self.path, self._limits)

    def save(self, _data: Never) -> Never:
        """Refuse: a source is never modified."""
        raise DatasetError("the raw layer is read-only")

    def _exists(self) -> bool:
        return self._source == SAMPLE or self.path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"source": self._source, "landing": str(self._landing)}
