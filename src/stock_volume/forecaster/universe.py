"""Classify symbols: common stocks, and buckets of liquidity."""

import math
from typing import Final

import polars as pl

from stock_volume import columns

OTHER_SECURITIES: Final = (
    r"preferred|\bpfd\b|warrant|\bunits?\b|\brights?\b|\bnotes?\b|debenture|\bbonds?\b"
    r"|depos[ia]t[ao]ry|depsitary|\bads\b|\badrs?\b"
)
"""Words in descriptions of other securities: CRSP's share codes except 10 and 11."""

FUNDS: Final = r"\bfund\b|closed[- ]end|beneficial interest"
"""Words in names of funds, whose shares may be called common stock."""

BUCKETS: Final = ("below 100k", "100k to 1M", "1M to 5M", "5M to 100M", "above 100M")
"""Buckets of liquidity: mean daily dollar volume of the 22 bars up to the origin."""

LIQUIDITY: Final = "size"
"""Feature: the mean log dollar volume that decides the bucket of liquidity."""

_EDGES: Final = tuple(math.log(dollars) for dollars in (1e5, 1e6, 5e6, 1e8))


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
    liquidity = pl.col(LIQUIDITY)
    above = [(liquidity > edge).fill_null(value=False).cast(pl.Int8) for edge in _EDGES]
    return pl.sum_horizontal(above).cast(pl.Int8)
