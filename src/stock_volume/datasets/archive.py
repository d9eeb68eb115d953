"""The raw layer: an archive of bars as given, or a source that can be asked for some."""

import logging
from pathlib import Path
from typing import Any, Never

from kedro.io import AbstractDataset, DatasetError

from stock_volume.bars.archive import ArchiveLimits, BarArchive, BarSource, open_archive
from stock_volume.bars.sample import lay_out_sample
from stock_volume.datasets.preview import DescribedDataset
from stock_volume.exchange import NYSE, Exchange
from stock_volume.sources.address import SAMPLE, is_remote, redact_address
from stock_volume.sources.http_csv import HttpCsvParameters, HttpCsvSource
from stock_volume.sources.kaggle import download
from stock_volume.sources.remote import mirror
from stock_volume.sources.yahoo import YahooSource

logger = logging.getLogger(__name__)


class SourceDataset(DescribedDataset, AbstractDataset[Never, BarSource]):
    """What all sources of bars share: they are read, never written."""

    def __init__(self, metadata: dict[str, Any] | None = None) -> None:
        """Keep what Kedro-Viz wants to know."""
        self.metadata = metadata

    def save(self, _data: Never) -> Never:
        """Refuse: a source is never modified."""
        raise DatasetError("the raw layer is read-only")


class ArchiveDataset(SourceDataset):
    """A zip as downloaded, a folder in its layout, an address of either, or the sample.

    Example of a catalog entry::

        raw_bars:
          type: stock_volume.datasets.ArchiveDataset
          source: s3://bucket/archive.zip
          landing: data/01_raw
          credentials: bucket
    """

    def __init__(
        self,
        source: str,
        landing: str,
        limits: dict[str, int] | None = None,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Keep where the archive is.

        Args:
            source: Path or fsspec address of a zip file or folder, or ``sample`` for the
                embedded sample.
            landing: Folder in which a source that is no file here yet is laid out.
            limits: Fields of ``ArchiveLimits`` to change.
            credentials: Options of the address' file system.
            metadata: For Kedro-Viz.
        """
        super().__init__(metadata)
        self._source = str(source)
        self._landing = Path(landing)
        self._limits = ArchiveLimits(**(limits or {}))
        self._credentials = credentials or {}
        self._mirrored: Path | None = None

    @property
    def path(self) -> Path:
        """Where the archive is, laid out or fetched if need be."""
        if self._source == SAMPLE:
            return lay_out_sample(self._landing / SAMPLE)
        if is_remote(self._source):
            self._mirrored = self._mirrored or mirror(
                self._source, self._credentials, self._landing
            )
            return self._mirrored
        return Path(self._source).expanduser()

    def load(self) -> BarArchive:
        """Open the archive, after a remote one's copy was brought up to date.

        Returns:
            The archive, its files listed and none read.
        """
        self._mirrored = None
        return _open_archive(self.path, self._limits)

    def _exists(self) -> bool:
        return self._source == SAMPLE or is_remote(self._source) or self.path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"source": redact_address(self._source), "landing": str(self._landing)}


def _open_archive(path: Path, limits: ArchiveLimits | None = None) -> BarArchive:
    archive = open_archive(path, limits)
    if archive.ignored:
        logger.warning(
            "%s: %d files are not read, being neither a symbol's bars nor the listing; first %s",
            path,
            len(archive.ignored),
            archive.ignored[0],
        )
    return archive


class KaggleDataset(SourceDataset):
    """A version of a Kaggle dataset, downloaded into kagglehub's cache."""

    def __init__(
        self, handle: str, seconds: float = 15.0, metadata: dict[str, Any] | None = None
    ) -> None:
        """Keep which dataset.

        Args:
            handle: ``owner/dataset/versions/number``.
            seconds: How long Kaggle may say nothing.
            metadata: For Kedro-Viz.
        """
        super().__init__(metadata)
        self._handle = handle
        self._seconds = seconds

    @property
    def path(self) -> Path:
        """The folder of its files, downloaded if need be."""
        return download(self._handle, self._seconds)

    def load(self) -> BarArchive:
        """Open the archive, downloading it first if need be.

        Returns:
            The archive, its files listed and none read.
        """
        return _open_archive(self.path)

    def _describe(self) -> dict[str, Any]:
        return {"handle": self._handle}


class RequestedDataset(SourceDataset):
    """A source that is asked symbol by symbol; what it answers is kept as a zip."""

    def __init__(self, landing: str, metadata: dict[str, Any] | None = None) -> None:
        """Keep where answers go."""
        super().__init__(metadata)
        self._landing = Path(landing)

    @property
    def path(self) -> Path:
        """The latest archive of answers; the folder of all before the first."""
        archives = sorted(self._landing.glob("*.zip"), key=lambda path: path.stat().st_mtime_ns)
        return archives[-1] if archives else self._landing

    def _describe(self) -> dict[str, Any]:
        return {"landing": str(self._landing)}


class HttpCsvDataset(RequestedDataset):
    """CSV files over HTTP, one a symbol.

    Example of a catalog entry::

        raw_bars:
          type: stock_volume.datasets.HttpCsvDataset
          server: {url: "https://example.org/daily/{symbol}.csv?from={since}"}
          landing: data/01_raw/http
          symbols: [AAPL, MSFT]
    """

    def __init__(
        self,
        server: dict[str, Any],
        landing: str,
        symbols: list[str] | str | None = None,
        credentials: dict[str, str] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Keep whom to ask.

        Args:
            server: Fields of ``HttpCsvParameters``.
            landing: Folder in which answers are kept.
            symbols: Symbols of a first run, or the path of a listing.
            credentials: What is secret: a value for each ``{name}`` in the address, and the
                others are headers.
            metadata: For Kedro-Viz.
        """
        super().__init__(landing, metadata)
        self._server = HttpCsvParameters.model_validate(
            {**server, "credentials": credentials or {}}
        )
        self._symbols = symbols

    def load(self) -> HttpCsvSource:
        """Make the source, which is asked later.

        Returns:
            The source.
        """
        return HttpCsvSource(self._server, self._symbols, self._landing)


class YahooDataset(RequestedDataset):
    """Bars of Yahoo Finance."""

    def __init__(
        self,
        landing: str,
        symbols: list[str] | str | None = None,
        max_failed_share: float = 0.1,
        exchange: str = NYSE.code,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Keep what to ask for.

        Args:
            landing: Folder in which answers are kept.
            symbols: Symbols of a first run, or the path of a listing.
            max_failed_share: Share of the symbols of which Yahoo may answer no bars; more fail
                the whole.
            exchange: Code of the exchange of the symbols.
            metadata: For Kedro-Viz.
        """
        super().__init__(landing, metadata)
        self._symbols = symbols
        self._max_failed_share = max_failed_share
        self._exchange = Exchange.model_validate(exchange)

    def load(self) -> YahooSource:
        """Make the source, which is asked later.

        Returns:
            The source.
        """
        return YahooSource(
            self._symbols, self._landing, self._max_failed_share, exchange=self._exchange
        )
