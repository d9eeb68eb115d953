"""Occasions: what is scheduled for a target session, and may upset a forecast of it.

An earnings reaction is an occasion of one symbol; the others are occasions of the whole market.
"""

from enum import StrEnum
from typing import Final

import polars as pl

from stock_volume.features.calendar import EARLY_CLOSE, INDEX_REVIEW, RUSSELL, TRIPLE_WITCHING
from stock_volume.features.schedule import REACTION


class Occasion(StrEnum):
    """The occasions, in order of precedence."""

    EARNINGS = "earnings reaction"
    TRIPLE_WITCHING = "triple witching"
    RUSSELL = "Russell reconstitution"
    EARLY_CLOSE = "early close"
    INDEX_REVIEW = "index review"
    NONE = "no occasion"


OCCASION: Final = "occasion"
"""Column: position of the target session's occasion in ``OCCASIONS``."""

OCCASIONS: Final = tuple(Occasion)

MARKET_OCCASIONS: Final = OCCASIONS[1:-1]
"""The occasions that all symbols share."""

OCCASION_FEATURES: Final = (REACTION, TRIPLE_WITCHING, RUSSELL, EARLY_CLOSE, INDEX_REVIEW)
"""The features that mark the occasions, in the same order; not every layer has all."""


def find_occasions(rows: pl.DataFrame) -> pl.Series:
    """Find the occasion of each target session.

    Args:
        rows: Rows with some of ``OCCASION_FEATURES``.

    Returns:
        Positions in ``OCCASIONS``, one per row; named ``occasion``.
    """
    number = pl.lit(OCCASIONS.index(Occasion.NONE), pl.Int8)
    for place, flag in reversed([*enumerate(OCCASION_FEATURES)]):
        if flag in rows.columns:
            number = pl.when(pl.col(flag) > 0).then(pl.lit(place, pl.Int8)).otherwise(number)
    return rows.with_columns(number.alias(OCCASION))[OCCASION]
