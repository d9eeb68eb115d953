"""Sources that are asked for each symbol by itself."""

import csv
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl

from stock_volume import columns
from stock_volume.bars.archive import LISTING_FILE
from stock_volume.errors import SourceError

SINCE = "since"


class Request(NamedTuple):
    """What to ask for.

    Attributes:
        symbol: The symbol.
        is_etf: Whether it is an ETF.
        since: First date wanted; None for all.
    """

    symbol: str
    is_etf: bool = False
    since: date | None = None


def requests_of(wanted: pl.DataFrame) -> list[Request]:
    """Read the requests of an update.

    Args:
        wanted: Symbol, ETF and since, a row a symbol.

    Returns:
        One request a row.
    """
    rows = wanted.select(columns.SYMBOL, columns.ETF, SINCE).rows()
    return [Request(*row) for row in rows]


def requests_for(symbols: Sequence[str] | str | None) -> list[Request]:
    """Make the requests of a first run.

    Args:
        symbols: Symbols, or the path of a listing (a CSV file with the columns Symbol and
            perhaps ETF).

    Returns:
        One request a symbol, for all its bars.

    Raises:
        SourceError: No symbol is named, or the listing cannot be read.
    """
    if not symbols:
        raise SourceError(
            "this source is asked symbol by symbol: name some under `symbols`, or the path "
            "of a listing; an update asks for the symbols that are held"
        )
    if not isinstance(symbols, str):
        return [Request(symbol) for symbol in symbols]
    try:
        with Path(symbols).open(encoding="utf-8-sig", newline="") as file:
            return list(_listed(csv.DictReader(file)))
    except (OSError, UnicodeDecodeError, KeyError, csv.Error) as error:
        raise SourceError(f"{symbols}: not a listing of symbols: {error}") from error


def listing_of(symbols: Sequence[str] | str | None) -> dict[str, bytes]:
    """Read the listing that names the symbols, so that it goes into the archive too.

    Args:
        symbols: Symbols, or the path of a listing.

    Returns:
        The listing under its name in the Kaggle layout; nothing without one.
    """
    if isinstance(symbols, str) and symbols:
        return {LISTING_FILE: Path(symbols).read_bytes()}
    return {}


def _listed(rows: Iterable[dict[str, str]]) -> Iterable[Request]:
    for row in rows:
        if row[columns.SYMBOL]:
            yield Request(row[columns.SYMBOL], row.get(columns.ETF) == "Y")
