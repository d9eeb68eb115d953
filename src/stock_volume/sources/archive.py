"""Archives of bars: a zip file, a folder, an address of either, or the embedded sample."""

import logging
from collections.abc import Mapping
from pathlib import Path

from stock_volume.bars.archive import ArchiveLimits, BarArchive, open_archive
from stock_volume.bars.sample import lay_out_sample
from stock_volume.json_value import Json
from stock_volume.sources.address import SAMPLE, is_remote, redact_address
from stock_volume.sources.remote import mirror

logger = logging.getLogger(__name__)


class ArchiveSource:
    """A zip file or a folder in the Kaggle layout.

    Attributes:
        name: Location without secrets.
    """

    def __init__(
        self,
        location: str,
        landing: str | Path,
        limits: Mapping[str, int] | None = None,
        credentials: Mapping[str, Json] | None = None,
    ) -> None:
        """Configure the source.

        Args:
            location: Path or fsspec address of a zip file or folder, or ``sample`` for the
                embedded sample.
            landing: Folder of the copies of the sample and of remote archives.
            limits: Fields of ``ArchiveLimits`` to change.
            credentials: Options of the address' file system.
        """
        self.name = redact_address(location)
        self._location = location
        self._landing = Path(landing)
        self._limits = ArchiveLimits(**(limits or {}))
        self._credentials = credentials or {}
        self._copy: Path | None = None

    @property
    def path(self) -> Path:
        """Local path of the archive, which is copied first if necessary."""
        if self._location == SAMPLE:
            return lay_out_sample(self._landing / SAMPLE)
        if is_remote(self._location):
            self._copy = self._copy or mirror(self._location, self._credentials, self._landing)
            return self._copy
        return Path(self._location).expanduser()

    def exists(self) -> bool:
        """Return whether the archive exists; a remote one is checked when it is opened."""
        return self._location == SAMPLE or is_remote(self._location) or self.path.exists()

    def open(self) -> BarArchive:
        """Open the archive, after updating the copy of a remote one.

        Returns:
            The archive, with its files listed and none read.
        """
        self._copy = None
        return open_with_warning(self.path, self._limits)


def open_with_warning(path: Path, limits: ArchiveLimits | None = None) -> BarArchive:
    """Open an archive and warn of files that ingestion will not read.

    Args:
        path: A zip file or a folder.
        limits: Bounds on the sizes of its files.

    Returns:
        The archive, with its files listed and none read.
    """
    archive = open_archive(path, limits)
    if archive.ignored:
        logger.warning(
            "%s: %d files are not read, being neither a symbol's bars nor the listing; first %s",
            path,
            len(archive.ignored),
            archive.ignored[0],
        )
    return archive
