"""The embedded sample: five real symbols that install with a package.

``bokeh_sampledata`` ships daily bars of AAPL, GOOG, IBM, MSFT and FB; this module
lays them out as the Kaggle folder, so that the sample takes the same path as any
other archive.
"""

import csv
import gzip
import shutil
import tempfile
from importlib import resources
from pathlib import Path
from typing import Final

from stock_volume import columns
from stock_volume.bars.archive import LISTING_FILE, STOCKS_FOLDER
from stock_volume.errors import SourceError
from stock_volume.files import sync

SECURITY_NAMES: Final = {
    "AAPL": "Apple Inc. - Common Stock",
    "FB": "Facebook, Inc. - Class A Common Stock",
    "GOOG": "Alphabet Inc. - Class C Capital Stock",
    "IBM": "International Business Machines Corporation Common Stock",
    "MSFT": "Microsoft Corporation - Common Stock",
}


def lay_out_sample(folder: Path) -> Path:
    """Write the sample as a Kaggle folder, unless it is there already.

    Args:
        folder: The folder to make; its parents are made too.

    Returns:
        The folder.

    Raises:
        SourceError: The package that carries the sample is not installed.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _write_bars(aside / STOCKS_FOLDER)
        _write_listing(aside / LISTING_FILE)
        aside.chmod(0o755)  # mkdtemp makes it private
        for path in aside.rglob("*"):
            sync(path)
        aside.rename(folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _write_bars(folder: Path) -> None:
    try:
        packed = resources.files("bokeh_sampledata") / "_data" / "stocks.csv.gz"
    except ModuleNotFoundError as error:
        raise SourceError(
            "the embedded sample needs the extra: pip install 'stock_volume[sample]'"
        ) from error
    by_symbol: dict[str, list[dict[str, str]]] = {}
    with packed.open("rb") as raw, gzip.open(raw, "rt", encoding="ascii", newline="") as text:
        for row in csv.DictReader(text):
            by_symbol.setdefault(row["Ticker"], []).append(row)
    folder.mkdir()
    for symbol, rows in by_symbol.items():
        with (folder / f"{symbol}.csv").open("w", encoding="ascii", newline="") as file:
            writer = csv.DictWriter(file, columns.BAR, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(sorted(rows, key=lambda row: row[columns.DATE]))


def _write_listing(path: Path) -> None:
    with path.open("w", encoding="ascii", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([columns.SYMBOL, columns.SECURITY_NAME, columns.ETF])
        writer.writerows([symbol, name, "N"] for symbol, name in SECURITY_NAMES.items())
