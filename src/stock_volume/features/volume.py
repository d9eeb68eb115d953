"""Features of a symbol's own volume, mostly relative to its base."""

from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.features.expressions import lags, row_weeks_before, rows_since
from stock_volume.features.feature import Feature
from stock_volume.features.market import ETF_SURPRISE, MARKET_ABNORMAL, MARKET_SURPRISE
from stock_volume.features.quantities import (
    ABNORMAL,
    ABNORMAL_STD,
    ABS_RETURN,
    BARS_SO_FAR,
    BASE,
    LOG_VOLUME,
    MEDIAN_MONTH,
    MONTH,
    QUARTER,
    RETURN_SCORE,
    SURPRISE,
    SURPRISE_STD,
    YEAR,
)

_BASIS_POINT: Final = 1e-4
_UNUSUAL_RETURN: Final = 1.5
_LARGE_RETURN: Final = 3

_VOLUME: Final = pl.col(LOG_VOLUME)
_BASE: Final = pl.col(BASE)
_ABNORMAL: Final = pl.col(ABNORMAL)
_RELATIVE_ABNORMAL: Final = _ABNORMAL - pl.col(MARKET_ABNORMAL)
_RELATIVE_SURPRISE: Final = pl.col(SURPRISE) - pl.col(MARKET_SURPRISE)


def _min_samples(window: int) -> int:
    return max(2, window // 4)


def _lag(lag: int) -> Feature:
    return Feature(
        f"volume_lag_{lag}",
        f"log dollar volume {lag} bars ago, over base",
        _VOLUME.shift(lag) - _BASE,
    )


def _mean(window: int) -> Feature:
    return Feature(
        f"volume_mean_{window}",
        f"mean log dollar volume of the last {window} bars, over base",
        _VOLUME.rolling_mean(window, min_samples=_min_samples(window)) - _BASE,
    )


def _median(window: int) -> Feature:
    return Feature(
        f"volume_median_{window}",
        f"median log dollar volume of the last {window} bars, over base",
        _VOLUME.rolling_median(window, min_samples=_min_samples(window)) - _BASE,
    )


def _std(window: int) -> Feature:
    return Feature(
        f"volume_std_{window}",
        f"standard deviation of the log dollar volume of the last {window} bars",
        _VOLUME.rolling_std(window, min_samples=_min_samples(window)),
    )


def _extremes(window: int) -> list[Feature]:
    min_samples = _min_samples(window)
    return [
        Feature(
            f"volume_min_{window}",
            f"least log dollar volume of the last {window} bars, over base",
            _VOLUME.rolling_min(window, min_samples=min_samples) - _BASE,
        ),
        Feature(
            f"volume_max_{window}",
            f"greatest log dollar volume of the last {window} bars, over base",
            _VOLUME.rolling_max(window, min_samples=min_samples) - _BASE,
        ),
    ]


def _ewm(half_life: int) -> Feature:
    return Feature(
        f"volume_ewm_{half_life}",
        f"exponential mean of log dollar volume, half-life {half_life} bars, over base",
        _VOLUME.ewm_mean(half_life=half_life, ignore_nulls=True).forward_fill() - _BASE,
    )


def _beta() -> pl.Expr:
    """Regress a symbol's abnormal volume on the market's, over a year."""
    both = _ABNORMAL.is_not_null() & pl.col(MARKET_ABNORMAL).is_not_null()
    own, market = (pl.when(both).then(part) for part in (_ABNORMAL, pl.col(MARKET_ABNORMAL)))

    def mean(expression: pl.Expr) -> pl.Expr:
        return expression.rolling_mean(YEAR, min_samples=60)

    covariance = mean(own * market) - mean(own) * mean(market)
    return covariance / (mean(market * market) - mean(market) ** 2)


def _autocorrelation() -> pl.Expr:
    """Correlate changes of log dollar volume, of mean zero, with the previous ones, over a year."""
    change = _VOLUME.diff()
    products = (change * change.shift(1)).rolling_mean(YEAR, min_samples=60)
    return products / (change * change).rolling_mean(YEAR, min_samples=60)


VOLUME_FEATURES: Final = (
    *map(_lag, range(10)),
    *map(_mean, (2, 3, 10, 20, MONTH, QUARTER, 126, YEAR)),
    Feature(
        "volume_same_weekday",
        "log dollar volume a week before the target session, over base",
        _VOLUME.gather(row_weeks_before(1)) - _BASE,
    ),
    _median(10),
    Feature(
        f"volume_median_{MONTH}",
        f"median log dollar volume of the last {MONTH} bars, over base",
        pl.col(MEDIAN_MONTH) - _BASE,
    ),
    _median(QUARTER),
    *map(_std, (5, 10, MONTH, QUARTER, YEAR)),
    *(feature for window in (5, MONTH, QUARTER, YEAR) for feature in _extremes(window)),
    *map(_ewm, (1, 3, 10, 40)),
    *lags(ABNORMAL, "abnormal volume", _ABNORMAL, 5),
    Feature(
        "abnormal_volume_mean_22",
        "mean of the last 22 abnormal volumes",
        _ABNORMAL.rolling_mean(MONTH, min_samples=10),
    ),
    Feature(
        "abnormal_volume_mean_63",
        "mean of the last 63 abnormal volumes",
        _ABNORMAL.rolling_mean(QUARTER, min_samples=10),
    ),
    Feature(
        "abnormal_volume_std_63",
        "standard deviation of the last 63 abnormal volumes",
        _ABNORMAL.rolling_std(QUARTER, min_samples=20),
    ),
    Feature(
        ABNORMAL_STD, "standard deviation of the last 252 abnormal volumes", pl.col(ABNORMAL_STD)
    ),
    Feature(
        "abnormal_volume_score",
        "abnormal volume in units of its standard deviation",
        _ABNORMAL / pl.col(ABNORMAL_STD),
    ),
    Feature(
        "abnormal_volume_skew_252",
        "skewness of the last 252 abnormal volumes",
        _ABNORMAL.rolling_skew(YEAR, min_samples=60),
    ),
    *lags("relative_abnormal_volume", "abnormal volume over the market's", _RELATIVE_ABNORMAL, 4),
    *lags("relative_volume_surprise", "volume surprise over the market's", _RELATIVE_SURPRISE, 4),
    *(
        Feature(
            f"relative_volume_surprise_ewm_{half_life}",
            f"exponential mean of volume surprise over the market's, half-life {half_life} bars",
            _RELATIVE_SURPRISE.ewm_mean(half_life=half_life, ignore_nulls=True).forward_fill(),
        )
        for half_life in (1, 3, 10)
    ),
    *(
        Feature(
            f"relative_volume_surprise_mean_{window}",
            f"mean of the last {window} volume surprises over the market's",
            _RELATIVE_SURPRISE.rolling_mean(window, min_samples=_min_samples(window)),
        )
        for window in (5, MONTH)
    ),
    Feature(
        "relative_abnormal_volume_std_252",
        "standard deviation of the last 252 abnormal volumes over the market's",
        _RELATIVE_ABNORMAL.rolling_std(YEAR, min_samples=40),
    ),
    Feature(
        "volume_surprise_over_etfs",
        "volume surprise over that of ETFs",
        pl.col(SURPRISE) - pl.col(ETF_SURPRISE),
    ),
    Feature("market_beta", "slope of abnormal volume on the market's, 252 bars", _beta()),
    Feature(
        "volume_autocorrelation",
        "first autocorrelation of the changes of log dollar volume, 252 bars",
        _autocorrelation(),
    ),
    Feature(
        "size",
        "mean log dollar volume of the last 22 bars",
        _VOLUME.rolling_mean(MONTH, min_samples=5),
    ),
    Feature(
        "illiquidity",
        "log of the absolute return, and a basis point, over dollar volume (after Amihud, 2002)",
        (pl.col(ABS_RETURN) + _BASIS_POINT).log() - _VOLUME,
    ),
    Feature(
        "zero_volume_share_63",
        "share of the last 63 bars without trades",
        (pl.col(columns.VOLUME) == 0).cast(pl.Float64).rolling_mean(QUARTER, min_samples=5),
    ),
    Feature("age", "bars of the symbol so far", pl.col(BARS_SO_FAR)),
    Feature(
        "bars_since_spike",
        "bars since abnormal volume above 1 came with a return above 1.5 volatilities",
        rows_since((_ABNORMAL > 1) & (pl.col(RETURN_SCORE) > _UNUSUAL_RETURN)),
        sees_all=True,
    ),
    Feature(
        "bars_since_surprise",
        "bars since a volume surprise above 2 of its standard deviations",
        rows_since(pl.col(SURPRISE) > 2 * pl.col(SURPRISE_STD)),
        sees_all=True,
    ),
    Feature(
        "bars_since_large_return",
        "bars since an absolute return above 3 volatilities",
        rows_since(pl.col(RETURN_SCORE) > _LARGE_RETURN),
        sees_all=True,
    ),
)
"""How much of a symbol was traded."""
