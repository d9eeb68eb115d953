"""Make an archive of any size from the symbols of a real one.

Usage: python benchmarks/market.py ARCHIVE.zip MARKET.zip [--files 8049]

The archive's files are repeated under new names until the market has as many as asked for: copy 2
of AAPL is AAPL_2. The same archive and number always make the same market, byte for byte.
"""

import argparse
import csv
import io
import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from stock_volume.bars.archive import LISTING_FILE
from stock_volume.columns import SYMBOL
from stock_volume.files import write_atomically

FULL_ARCHIVE_FILES: Final = 8049
"""Files of the Kaggle archive jacksoncrow/stock-market-dataset."""

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_LEVEL: Final = 1


class Copy(NamedTuple):
    """A file of the market.

    Attributes:
        original: Name of the archive's file.
        symbol: Symbol in the market.
    """

    original: str
    symbol: str

    @property
    def name(self) -> str:
        """Name in the market."""
        return str(PurePosixPath(self.original).with_name(f"{self.symbol}.csv"))


def list_copies(names: list[str], files: int) -> list[Copy]:
    """Choose the files of a market.

    Args:
        names: Names of the archive's files of bars.
        files: Number of files of the market.

    Returns:
        The archive's files in alphabetical order, repeated as often as necessary.
    """
    return list(itertools.islice(_copy_forever(sorted(names)), files))


def _copy_forever(names: list[str]) -> Iterator[Copy]:
    for number in itertools.count(1):
        for name in names:
            stem = PurePosixPath(name).stem
            yield Copy(name, stem if number == 1 else f"{stem}_{number}")


def make_market(archive: Path, market: Path, files: int) -> None:
    """Write a market.

    Args:
        archive: A zip in the Kaggle layout.
        market: The zip to write.
        files: Number of files of bars.
    """
    with (
        write_atomically(market) as aside,
        zipfile.ZipFile(archive) as source,
        zipfile.ZipFile(aside, "w") as target,
    ):
        bars = [name for name in source.namelist() if "/" in name and name.endswith(".csv")]
        copies = list_copies(bars, files)
        listing = _copy_listing(source.read(LISTING_FILE).decode(), copies)
        _add(target, LISTING_FILE, listing.encode())
        for copy in copies:
            _add(target, copy.name, source.read(copy.original))


def _copy_listing(listing: str, copies: list[Copy]) -> str:
    rows = csv.DictReader(io.StringIO(listing))
    by_symbol = {row[SYMBOL]: row for row in rows}
    written = io.StringIO()
    writer = csv.DictWriter(written, rows.fieldnames or (), lineterminator="\n")
    writer.writeheader()
    for copy in copies:
        row = by_symbol.get(PurePosixPath(copy.original).stem)
        if row is not None:
            writer.writerow({**row, SYMBOL: copy.symbol, "NASDAQ Symbol": copy.symbol})
    return written.getvalue()


def _add(target: zipfile.ZipFile, name: str, content: bytes) -> None:
    target.writestr(
        zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED, compresslevel=_LEVEL
    )


def main() -> None:
    """Make the market."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("market", type=Path)
    parser.add_argument("--files", type=int, default=FULL_ARCHIVE_FILES)
    arguments = parser.parse_args()
    make_market(arguments.archive, arguments.market, arguments.files)


if __name__ == "__main__":
    main()
