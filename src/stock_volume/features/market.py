"""The market's session: what all stocks did together, and did on like sessions before.

Sums over symbols are made a chunk of symbols at a time and then added up, so that the
whole market never stands in memory, nor needs to be on one machine.
"""

from collections.abc import Iterable
from datetime import date
from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.features import calendar
from stock_volume.features.calendar import trading_calendar
from stock_volume.features.expressions import row_weeks_before
from stock_volume.features.feature import Feature, columns_of
from stock_volume.features.quantities import (
    ABNORMAL,
    ABS_RETURN,
    LOG_VOLUME,
    MONTH,
    RETURN,
    SESSIONS,
    SURPRISE,
    add_quantities,
)

MARKET_ABNORMAL: Final = "market_abnormal_volume"
MARKET_SURPRISE: Final = "market_volume_surprise"
MARKET_RETURN: Final = "market_return"
MARKET_ABS_RETURN: Final = "market_abs_return"
MARKET_SPIKES: Final = "market_spikes"
ETF_ABNORMAL: Final = "etf_abnormal_volume"
ETF_SURPRISE: Final = "etf_volume_surprise"

_LEAST_SESSIONS: Final = 60
_LEAST_LOG_VOLUME: Final = 13.0
"""Log of about 440,000 dollars: thinner trade is noise."""

_NEXT: Final = "next_market_abnormal_volume"
_COUNTED: Final = "_counted"

_MEASURES: Final = {
    MARKET_ABNORMAL: pl.col(ABNORMAL).clip(-2, 2),
    MARKET_SURPRISE: pl.col(SURPRISE).clip(-3, 3),
    MARKET_RETURN: pl.col(RETURN).clip(-0.3, 0.3),
    MARKET_ABS_RETURN: pl.col(ABS_RETURN).clip(0, 0.3),
    MARKET_SPIKES: (pl.col(ABNORMAL) > 1).cast(pl.Float64),
}
_ETF_MEASURES: Final = {
    ETF_ABNORMAL: pl.col(ABNORMAL).clip(-2, 2),
    ETF_SURPRISE: pl.col(SURPRISE).clip(-3, 3),
}


def market_sums(quantities: pl.DataFrame) -> pl.DataFrame:
    """Add up what some symbols did, by session.

    Args:
        quantities: Bars with their quantities.

    Returns:
        One row a date: sum and count of each measure over stocks, and over ETFs, that
        have some history and are not thinly traded.
    """
    traded = (pl.col(SESSIONS) > _LEAST_SESSIONS) & (pl.col(LOG_VOLUME) > _LEAST_LOG_VOLUME)
    etf = pl.col(columns.ETF)
    counted = {
        **{name: pl.when(traded & ~etf).then(measure) for name, measure in _MEASURES.items()},
        **{name: pl.when(traded & etf).then(measure) for name, measure in _ETF_MEASURES.items()},
    }
    measured = quantities.select(
        columns.DATE, *(measure.alias(name) for name, measure in counted.items())
    )
    return measured.group_by(columns.DATE).agg(
        *(pl.col(name).sum() for name in counted),
        *(pl.col(name).count().alias(name + _COUNTED) for name in counted),
    )


def sum_bars(bars: pl.DataFrame) -> pl.DataFrame:
    """Add up by session what some symbols did, given their bars.

    Args:
        bars: Bars of any number of symbols, all bars of each, sorted by symbol and date.

    Returns:
        Rows of ``market_sums``.
    """
    return market_sums(add_quantities(bars))


def _means(sums: pl.DataFrame) -> pl.DataFrame:
    total = sums.group_by(columns.DATE).sum()
    return total.select(
        columns.DATE,
        *(
            pl.when(pl.col(name + _COUNTED) > 0)
            .then(pl.col(name) / pl.col(name + _COUNTED))
            .alias(name)
            for name in (*_MEASURES, *_ETF_MEASURES)
        ),
    )


_WORDS: Final = {
    MARKET_ABNORMAL: "mean abnormal volume of the stocks",
    MARKET_SURPRISE: "mean volume surprise of the stocks",
    MARKET_RETURN: "mean return of the stocks",
    MARKET_ABS_RETURN: "mean absolute return of the stocks",
    MARKET_SPIKES: "share of the stocks with an abnormal volume above 1",
    ETF_ABNORMAL: "mean abnormal volume of the ETFs",
    ETF_SURPRISE: "mean volume surprise of the ETFs",
}


def _own(name: str) -> Feature:
    return Feature(name, _WORDS[name], pl.col(name))


def _lag(sessions: int) -> Feature:
    return Feature(
        f"{MARKET_ABNORMAL}_lag_{sessions}",
        f"the market's abnormal volume {sessions} sessions earlier",
        pl.col(MARKET_ABNORMAL).shift(sessions),
    )


def _response(name: str, by: tuple[str, ...], times: int, least: int, what: str) -> Feature:
    """The market's mean abnormal volume on the last target sessions that were alike.

    At the row of an earlier origin of the same kind, its target has come true by now.
    """
    return Feature(
        f"market_response_{name}",
        f"the market's mean abnormal volume on the last {times} targets of the same {what}",
        pl.col(_NEXT).shift(1).rolling_mean(times, min_samples=least),
        by,
    )


def _year_ago(name: str) -> pl.Expr:
    return pl.col(name).gather(row_weeks_before(52))


_SURPRISE: Final = pl.col(MARKET_SURPRISE)
_MOVE: Final = pl.col(MARKET_ABS_RETURN)

MARKET_FEATURES: Final = (
    *map(_own, _WORDS),
    *map(_lag, range(1, 5)),
    Feature(
        f"{MARKET_SURPRISE}_mean_5",
        "mean of the stocks' volume surprise over the last 5 sessions",
        _SURPRISE.rolling_mean(5, min_samples=1),
    ),
    Feature(
        f"{MARKET_SURPRISE}_mean_22",
        "mean of the stocks' volume surprise over the last 22 sessions",
        _SURPRISE.rolling_mean(MONTH, min_samples=5),
    ),
    Feature(
        f"{MARKET_SURPRISE}_over_mean_5",
        "the stocks' volume surprise over its mean of 5 sessions",
        _SURPRISE - _SURPRISE.rolling_mean(5, min_samples=1),
    ),
    Feature(
        f"{MARKET_RETURN}_sum_5",
        "the market's return over the last 5 sessions",
        pl.col(MARKET_RETURN).rolling_sum(5, min_samples=1),
    ),
    Feature(
        "market_volatility_22",
        "standard deviation of the market's last 22 returns",
        pl.col(MARKET_RETURN).rolling_std(MONTH, min_samples=10),
    ),
    Feature(
        f"{MARKET_ABS_RETURN}_mean_22",
        "mean over the last 22 sessions of the stocks' mean absolute return",
        _MOVE.rolling_mean(MONTH, min_samples=5),
    ),
    Feature(
        f"{MARKET_ABS_RETURN}_over_mean_22",
        "the stocks' mean absolute return in units of that mean",
        _MOVE / _MOVE.rolling_mean(MONTH, min_samples=5),
    ),
    Feature(
        f"{MARKET_ABNORMAL}_year_ago",
        "the market's abnormal volume 52 weeks before the target session",
        _year_ago(MARKET_ABNORMAL),
    ),
    Feature(
        f"{MARKET_SPIKES}_year_ago",
        "the share of stocks with a spike 52 weeks before the target session",
        _year_ago(MARKET_SPIKES),
    ),
    _response("kind", (calendar.KIND,), 8, 1, "kind"),
    _response("kind_month", (calendar.KIND, calendar.MONTH), 10, 1, "kind and month"),
    _response("kind_weekday", (calendar.KIND, calendar.WEEKDAY), 12, 2, "kind and weekday"),
    _response(
        "holiday",
        (calendar.MONTH, calendar.HOLIDAY_OFFSET),
        10,
        2,
        "month and place about a long weekend",
    ),
    _response(
        "week", (calendar.MONTH, calendar.WEEK, calendar.WEEKDAY), 12, 3, "month, week and weekday"
    ),
    _response("year_end", (calendar.YEAR_END,), 12, 3, "distance to the year's end"),
    _response("year_start", (calendar.YEAR_START,), 12, 3, "distance from the year's start"),
    _response("weekday", (calendar.WEEKDAY,), 60, 10, "weekday"),
    _response(
        "month_end", (calendar.MONTH, calendar.MONTH_END), 12, 3, "month and distance to its end"
    ),
    _response(
        "expiry",
        ("target_sessions_since_expiry", calendar.WEEKDAY),
        12,
        3,
        "weekday and distance from the expiry of options",
    ),
)
"""What the market did, and does on sessions like the target."""


def market_sessions(sums: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Describe every session: the market on it, and the calendar of the one after it.

    Args:
        sums: What ``market_sums`` gave for each chunk of symbols; at least one row in all.

    Returns:
        One row a session from the first date to the last: the trading calendar and the
        market's features, sorted by ``Date``. Where no stock is measured, its measures
        are null.
    """
    means = _means(pl.concat(sums))
    return _described(means, means.select(pl.col(columns.DATE).max()).item())


def extended_sessions(sessions: pl.DataFrame, last: date) -> pl.DataFrame:
    """Go on with the sessions past the data, as far as the calendar alone can tell.

    Args:
        sessions: What ``market_sessions`` has made.
        last: Last day wanted.

    Returns:
        The same rows, and one a session after them up to ``last``, which knows the
        calendar of its target and what the market had done before; the measures of the
        market on the session itself are null.
    """
    return _described(sessions.select(columns.DATE, *_MEASURES, *_ETF_MEASURES), last)


def _described(means: pl.DataFrame, last: date) -> pl.DataFrame:
    calendar = trading_calendar(means.select(pl.col(columns.DATE).min()).item(), last)
    following = (
        calendar.join(means, on=columns.DATE, how="left")
        .sort(columns.DATE)
        .with_columns(pl.col(MARKET_ABNORMAL).shift(-1).alias(_NEXT))
    )
    described = following.with_columns(columns_of(MARKET_FEATURES)).drop(_NEXT)
    # A market that does not move has no mean to be in units of.
    return described.with_columns(
        pl.when(pl.col(feature.name).is_finite()).then(feature.name).alias(feature.name)
        for feature in MARKET_FEATURES
    )
