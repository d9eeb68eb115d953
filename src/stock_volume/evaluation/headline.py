"""The headline universe: the rows whose measures are quoted first."""

from enum import StrEnum

import polars as pl

from stock_volume.evaluation.groups import COMMON_STOCK


class Universe(StrEnum):
    """Which rows the headline measures cover."""

    COMMON_STOCKS = "common stocks"
    ALL_SYMBOLS = "all symbols"


def choose_universe(*frames: pl.DataFrame) -> Universe:
    """Choose the headline universe of frames that are to be compared.

    Args:
        *frames: Scored rows with the column ``common_stock``.

    Returns:
        Common stocks, or all symbols if a frame with rows has no common stock.
    """
    known = [frame[COMMON_STOCK].any() for frame in frames if frame.height]
    return Universe.COMMON_STOCKS if known and all(known) else Universe.ALL_SYMBOLS


def select_universe(rows: pl.DataFrame, universe: Universe) -> pl.DataFrame:
    """Select the rows of a universe.

    Args:
        rows: Scored rows with the column ``common_stock``.
        universe: The universe.

    Returns:
        Its rows, in order.
    """
    return rows.filter(COMMON_STOCK) if universe is Universe.COMMON_STOCKS else rows


def select_headline(rows: pl.DataFrame) -> pl.DataFrame:
    """Select the common stocks, or all rows if there is none.

    Args:
        rows: Scored rows with the column ``common_stock``.

    Returns:
        The rows of the headline universe, in order.
    """
    return select_universe(rows, choose_universe(rows))
