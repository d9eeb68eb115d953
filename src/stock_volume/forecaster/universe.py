"""Classify symbols: common stocks, and buckets of liquidity."""

import math
from collections.abc import Iterable
from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.features.quantities import ABNORMAL_STD

OTHER_SECURITIES: Final = (
    r"preferred|\bpfd\b|warrant|\bunits?\b|\brights?\b|\bnotes?\b|debenture|\bbonds?\b"
    r"|depos[ia]t[ao]ry|depsitary|\bads\b|\badrs?\b"
)
"""Words in descriptions of other securities: CRSP's share codes except 10 and 11."""

FUNDS: Final = r"\bfund\b|closed[- ]end|beneficial interest"
"""Words in names of funds, whose shares may be called common stock."""

BUCKETS: Final = ("below 100k", "100k to 1M", "1M to 5M", "5M to 100M", "above 100M")
"""Buckets of liquidity: mean daily dollar volume of the 22 bars up to the origin."""

BUCKET: Final = "bucket"
"""Column: position of the bucket of liquidity in ``BUCKETS``."""

VARIABILITIES: Final = ("below 0.4", "0.4 to 0.6", "above 0.6")
"""Groups of symbols by how much their volume varies: the standard deviation of the last 252
abnormal volumes, in logs."""

VARIABILITY: Final = "variability"
"""Column: position of the group in ``VARIABILITIES``."""

LIQUIDITY: Final = "size"
"""Feature: the mean log dollar volume that decides the bucket of liquidity."""

_EDGES: Final = tuple(math.log(dollars) for dollars in (1e5, 1e6, 5e6, 1e8))
_VARIABILITY_EDGES: Final = (0.4, 0.6)


def is_common_stock() -> pl.Expr:
    """Recognize common stocks by their names.

    A security without a name has its symbol as its name. It may be a preferred stock or a
    warrant, so it does not count as a common stock.

    Returns:
        Boolean expression over rows with ``Symbol``, ``ETF`` and ``Security Name``.
    """
    name = pl.col(columns.SECURITY_NAME).str.to_lowercase().fill_null("")
    # The description follows the last dash, or else the company's first word.
    after_dash = name.str.extract(r"^.* - (.*)$")
    description = pl.coalesce(after_dash, name.str.replace(r"^\S+\s+", ""))
    other = description.str.contains(OTHER_SECURITIES) | name.str.contains(FUNDS)
    is_named = (name != "") & (name != pl.col(columns.SYMBOL).str.to_lowercase())
    return ~pl.col(columns.ETF) & is_named & ~other


def bucket_number() -> pl.Expr:
    """Compute the bucket of liquidity.

    Returns:
        Expression over rows with the feature ``LIQUIDITY``: position in ``BUCKETS``, the
        lowest where the feature is unknown.
    """
    return count_edges_below(pl.col(LIQUIDITY), _EDGES)


def variability_number() -> pl.Expr:
    """Compute the group of variability.

    Returns:
        Expression over rows with the feature ``ABNORMAL_STD``: position in ``VARIABILITIES``, the
        lowest where the feature is unknown.
    """
    return count_edges_below(pl.col(ABNORMAL_STD), _VARIABILITY_EDGES)


def count_edges_below(value: pl.Expr, edges: Iterable[float]) -> pl.Expr:
    """Compute the group of a value.

    Args:
        value: The value.
        edges: Edges between the groups, ascending.

    Returns:
        Number of edges below the value; 0 where it is unknown.
    """
    above = [(value > edge).fill_null(value=False).cast(pl.Int8) for edge in edges]
    return pl.sum_horizontal(above).cast(pl.Int8)
