"""Quantities of a bar from which features are computed.

Volumes are logs of dollar volume, null for a bar without trades; windows skip nulls. The base of
a bar is the mean of the symbol's last five volumes, against which the protocol of Goyenko, Kelly,
Moskowitz, Su and Zhang, 'Trading Volume Alpha' (NBER w33037, 2024), measures a forecast.
"""

from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.features.feature import Feature, columns_of

BASE_SESSIONS: Final = 5
MONTH: Final = 22
QUARTER: Final = 63
YEAR: Final = 252

BARS_SO_FAR: Final = "sessions"
"""Number of bars of the symbol up to this one; the name of the column is that of earlier layers."""

LOG_VOLUME: Final = "log_dollar_volume"
RETURN: Final = "return"
ABS_RETURN: Final = "abs_return"
RANGE: Final = "range"
GAP: Final = "gap"
PAYOUT: Final = "payout"
BASE: Final = "base"
MEDIAN_MONTH: Final = "median_month"
VOLATILITY: Final = "volatility_month"
ABNORMAL: Final = "abnormal_volume"
SURPRISE: Final = "volume_surprise"
RETURN_SCORE: Final = "return_score"
ABNORMAL_STD: Final = "abnormal_volume_std_252"
SURPRISE_STD: Final = "volume_surprise_std_252"


def _log_volume() -> pl.Expr:
    dollars = pl.col(columns.VOLUME) * pl.col(columns.CLOSE)
    return pl.when(pl.col(columns.VOLUME) > 0).then(dollars.log())


def _change(ratio: pl.Expr) -> pl.Expr:
    return (ratio / ratio.shift(1)).log()


def _before(name: str) -> pl.Expr:
    return pl.col(name).shift(1)


_FACTOR: Final = pl.col(columns.ADJ_CLOSE) / pl.col(columns.CLOSE)

_FROM_BARS: Final = (
    Feature(BARS_SO_FAR, "bars of the symbol so far", pl.int_range(1, pl.len() + 1)),
    Feature(LOG_VOLUME, "log of Volume times Close, in dollars", _log_volume()),
    Feature(RETURN, "log change of Adj Close", _change(pl.col(columns.ADJ_CLOSE))),
    Feature(RANGE, "log of High over Low", (pl.col(columns.HIGH) / pl.col(columns.LOW)).log()),
    Feature(
        GAP,
        "log of Open over the Close before",
        (pl.col(columns.OPEN) / _before(columns.CLOSE)).log(),
    ),
    Feature(
        PAYOUT,
        "change of the factor between Adj Close and Close: the yield of a dividend",
        (_FACTOR / _FACTOR.shift(1) - 1).clip(0, 0.2),
    ),
)
_FROM_LEVELS: Final = (
    Feature(ABS_RETURN, "absolute return", pl.col(RETURN).abs()),
    Feature(
        BASE,
        "mean log dollar volume of the last five bars",
        pl.col(LOG_VOLUME).rolling_mean(BASE_SESSIONS, min_samples=1),
    ),
    Feature(
        MEDIAN_MONTH,
        "median log dollar volume of the last 22 bars",
        pl.col(LOG_VOLUME).rolling_median(MONTH, min_samples=5),
    ),
    Feature(
        VOLATILITY,
        "standard deviation of the last 22 returns",
        pl.col(RETURN).rolling_std(MONTH, min_samples=10),
    ),
)
_FROM_BASES: Final = (
    Feature(
        ABNORMAL,
        "log dollar volume over the base of the bar before: the protocol's eta, as realised",
        pl.col(LOG_VOLUME) - _before(BASE),
    ),
    Feature(
        SURPRISE,
        "log dollar volume over the median of the 22 bars before",
        pl.col(LOG_VOLUME) - _before(MEDIAN_MONTH),
    ),
    Feature(
        RETURN_SCORE,
        "absolute return in units of the volatility before it",
        pl.col(ABS_RETURN) / _before(VOLATILITY),
    ),
)
_FROM_CHANGES: Final = (
    Feature(
        ABNORMAL_STD,
        "standard deviation of the last 252 abnormal volumes",
        pl.col(ABNORMAL).rolling_std(YEAR, min_samples=40),
    ),
    Feature(
        SURPRISE_STD,
        "standard deviation of the last 252 volume surprises",
        pl.col(SURPRISE).rolling_std(YEAR, min_samples=40),
    ),
)


def add_quantities(bars: pl.DataFrame) -> pl.DataFrame:
    """Add the quantities from which features are computed.

    Args:
        bars: Bars of any number of symbols, all bars of each, sorted by symbol and date.

    Returns:
        The bars with one column per quantity, computed from bars up to the row's own.
    """
    for step in (_FROM_BARS, _FROM_LEVELS, _FROM_BASES, _FROM_CHANGES):
        bars = bars.with_columns(columns_of(step, columns.SYMBOL))
    return bars
