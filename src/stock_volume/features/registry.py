"""The features: one named, documented expression each.

To add a feature, add an entry to ``FEATURES``. An expression sees the bars of one
symbol, sorted by date; it may use a bar's own day and the days before, nothing else.
"""

from datetime import timedelta
from typing import NamedTuple

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from stock_volume import columns


class FeatureParameters(BaseModel):
    """Parameters of the features.

    Attributes:
        window_days: Length of the trailing window, in calendar days.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    window_days: int = Field(default=30, ge=1)


class Feature(NamedTuple):
    """One feature.

    Attributes:
        name: Its column.
        description: What it measures, with its unit.
        expression: Computes it over the bars of one symbol, sorted by date.
    """

    name: str
    description: str
    expression: pl.Expr


def features(parameters: FeatureParameters) -> tuple[Feature, ...]:
    """List the features.

    Args:
        parameters: Lengths of the windows.

    Returns:
        The features, in the order of their columns.
    """
    # A window holds the dates in (t - window, t]: closed on the right, open on the left.
    window = timedelta(days=parameters.window_days)
    return (
        Feature(
            columns.VOL_MOVING_AVG,
            "mean Volume of the trailing window, own day included, in shares",
            pl.col(columns.VOLUME).rolling_mean_by(columns.DATE, window, closed="right"),
        ),
        Feature(
            columns.ADJ_CLOSE_ROLLING_MED,
            "median Adj Close of the trailing window, own day included, in dollars",
            pl.col(columns.ADJ_CLOSE).rolling_median_by(columns.DATE, window, closed="right"),
        ),
    )


def add_features(bars: pl.DataFrame, parameters: FeatureParameters) -> pl.DataFrame:
    """Add every feature to the bars.

    Args:
        bars: Bars of any number of symbols, all bars of each, sorted by symbol and date.
        parameters: Lengths of the windows.

    Returns:
        The bars, in the same order, with a column a feature.
    """
    return bars.with_columns(
        feature.expression.over(columns.SYMBOL).alias(feature.name)
        for feature in features(parameters)
    )
