"""Features of a symbol's prices."""

from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.features.expressions import lags
from stock_volume.features.feature import Feature
from stock_volume.features.quantities import (
    ABS_RETURN,
    GAP,
    MONTH,
    PAYOUT,
    RANGE,
    RETURN,
    RETURN_SCORE,
    VOLATILITY,
    YEAR,
)

VOLATILITY_22: Final = "volatility_22"

_RETURN: Final = pl.col(RETURN)
_RANGE: Final = pl.col(RANGE)
_CLOSE: Final = pl.col(columns.CLOSE)
_ADJ_CLOSE: Final = pl.col(columns.ADJ_CLOSE)


def _volatility(window: int) -> pl.Expr:
    return _RETURN.rolling_std(window, min_samples=max(3, window // 4))


PRICE_FEATURES: Final = (
    *lags(RETURN, "log return", _RETURN, 5),
    *lags(ABS_RETURN, "absolute log return", pl.col(ABS_RETURN), 5),
    *lags(RANGE, "log of High over Low", _RANGE, 3),
    *(
        Feature(
            f"return_mean_{window}",
            f"mean of the last {window} returns",
            _RETURN.rolling_mean(window, min_samples=max(2, window // 4)),
        )
        for window in (5, MONTH, YEAR)
    ),
    Feature("volatility_5", "standard deviation of the last 5 returns", _volatility(5)),
    Feature(VOLATILITY_22, "standard deviation of the last 22 returns", pl.col(VOLATILITY)),
    Feature("volatility_252", "standard deviation of the last 252 returns", _volatility(YEAR)),
    Feature(
        "volatility_ratio",
        "volatility of 5 returns over that of 22",
        _volatility(5) / pl.col(VOLATILITY),
    ),
    Feature(RETURN_SCORE, "absolute return over the volatility before", pl.col(RETURN_SCORE)),
    Feature(
        "range_mean_22", "mean of the last 22 ranges", _RANGE.rolling_mean(MONTH, min_samples=5)
    ),
    *(
        Feature(
            f"range_over_mean_{window}",
            f"range less its mean over the last {window} bars",
            _RANGE - _RANGE.rolling_mean(window, min_samples=2),
        )
        for window in (5, MONTH)
    ),
    Feature(GAP, "log of Open over the Close before", pl.col(GAP)),
    Feature(
        "gap_score", "absolute gap in units of volatility", pl.col(GAP).abs() / pl.col(VOLATILITY)
    ),
    Feature(
        "close_location",
        "position of Close between Low and High, from -0.5 to 0.5",
        (_CLOSE - pl.col(columns.LOW)) / (pl.col(columns.HIGH) - pl.col(columns.LOW)) - 0.5,
    ),
    Feature("intraday_return", "log of Close over Open", (_CLOSE / pl.col(columns.OPEN)).log()),
    Feature(
        "drawdown_252",
        "log of Adj Close over its greatest of 252 bars",
        (_ADJ_CLOSE / _ADJ_CLOSE.rolling_max(YEAR, min_samples=60)).log(),
    ),
    Feature(
        "rise_252",
        "log of Adj Close over its least of 252 bars",
        (_ADJ_CLOSE / _ADJ_CLOSE.rolling_min(YEAR, min_samples=60)).log(),
    ),
    Feature("log_price", "log of Close, in dollars", _CLOSE.log()),
    Feature(PAYOUT, "yield of a dividend paid that day", pl.col(PAYOUT)),
)
"""How a symbol's prices moved."""
