"""The market on each session: what all stocks did together, and did on similar sessions before.

Sums are computed for some symbols at a time and then added up, so that the whole market is never
in memory, nor needs to be on one machine.
"""

import logging
from collections.abc import Iterable
from datetime import date
from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.exchange import Exchange, ExchangeMismatchError, ScheduledEvent
from stock_volume.features import calendar
from stock_volume.features.calendar import trading_calendar
from stock_volume.features.expressions import UNITS, row_weeks_before, to_units
from stock_volume.features.feature import Feature, columns_of, select_features
from stock_volume.features.quantities import (
    ABNORMAL,
    ABS_RETURN,
    BARS_SO_FAR,
    LOG_VOLUME,
    MONTH,
    RETURN,
    SURPRISE,
    add_quantities,
)

logger = logging.getLogger(__name__)

MARKET_ABNORMAL: Final = "market_abnormal_volume"
MARKET_SURPRISE: Final = "market_volume_surprise"
MARKET_RETURN: Final = "market_return"
MARKET_ABS_RETURN: Final = "market_abs_return"
MARKET_SPIKES: Final = "market_spikes"
ETF_ABNORMAL: Final = "etf_abnormal_volume"
ETF_SURPRISE: Final = "etf_volume_surprise"

_MIN_BARS: Final = 60
_MIN_LOG_VOLUME: Final = 13.0
"""Log of about 440,000 dollars: thinner trading is noise."""

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
        One row per date: sum and count of each measure over the stocks, and over the ETFs,
        that have some history and are not thinly traded. The sums are whole numbers, in
        units of 2^-40.
    """
    traded = (pl.col(BARS_SO_FAR) > _MIN_BARS) & (pl.col(LOG_VOLUME) > _MIN_LOG_VOLUME)
    etf = pl.col(columns.ETF)
    counted = {
        **{name: pl.when(traded & ~etf).then(measure) for name, measure in _MEASURES.items()},
        **{name: pl.when(traded & etf).then(measure) for name, measure in _ETF_MEASURES.items()},
    }
    measured = quantities.select(
        columns.DATE, *(measure.alias(name) for name, measure in counted.items())
    )
    return measured.group_by(columns.DATE).agg(
        *(to_units(pl.col(name)).sum() for name in counted),
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
            .then(pl.col(name) / UNITS / pl.col(name + _COUNTED))
            .alias(name)
            for name in (*_MEASURES, *_ETF_MEASURES)
        ),
    )


_DESCRIPTIONS: Final = {
    MARKET_ABNORMAL: "mean abnormal volume of the stocks",
    MARKET_SURPRISE: "mean volume surprise of the stocks",
    MARKET_RETURN: "mean return of the stocks",
    MARKET_ABS_RETURN: "mean absolute return of the stocks",
    MARKET_SPIKES: "share of the stocks with an abnormal volume above 1",
    ETF_ABNORMAL: "mean abnormal volume of the ETFs",
    ETF_SURPRISE: "mean volume surprise of the ETFs",
}


def _measure(name: str) -> Feature:
    return Feature(name, _DESCRIPTIONS[name], pl.col(name))


def _lag(sessions: int) -> Feature:
    return Feature(
        f"{MARKET_ABNORMAL}_lag_{sessions}",
        f"the market's abnormal volume {sessions} sessions earlier",
        pl.col(MARKET_ABNORMAL).shift(sessions),
    )


def _response(name: str, by: tuple[str, ...], times: int, min_samples: int, what: str) -> Feature:
    """Average the market's abnormal volume on the last similar targets.

    The target of an earlier origin of the same kind is in the past by now.
    """
    return Feature(
        f"market_response_{name}",
        f"the market's mean abnormal volume on the last {times} targets of the same {what}",
        pl.col(_NEXT).shift(1).rolling_mean(times, min_samples=min_samples),
        by,
    )


def _year_ago(name: str) -> pl.Expr:
    return pl.col(name).gather(row_weeks_before(52))


_SURPRISE: Final = pl.col(MARKET_SURPRISE)
_MOVE: Final = pl.col(MARKET_ABS_RETURN)

MARKET_FEATURES: Final = (
    *map(_measure, _DESCRIPTIONS),
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
        (calendar.SINCE_EXPIRY, calendar.WEEKDAY),
        12,
        3,
        "weekday and distance from the expiry of options",
    )._replace(event=ScheduledEvent.OPTION_EXPIRY),
)
"""How the market traded, and how it responded to sessions like the target."""


def market_sessions(sums: Iterable[pl.DataFrame], exchange: Exchange) -> pl.DataFrame:
    """Describe every session: the market on it, and the calendar of the next one.

    Args:
        sums: Rows of ``market_sums`` for all symbols, in any number of frames; at least one row.
        exchange: The exchange whose sessions they are.

    Returns:
        One row per session from the first date to the last: the trading calendar and the
        market's features, sorted by ``Date``. The measures are null where no stock is
        measured. Features of scheduled events that the exchange lacks are left out.
    """
    means = _means(pl.concat(sums))
    last: date = means.select(pl.col(columns.DATE).max()).item()
    if exchange.last_date is not None and last >= exchange.last_date:
        logger.warning(
            "the calendar of %s ends on %s: there are no sessions, features and forecasts after "
            "it; a later version of exchange_calendars may reach further",
            exchange.code,
            exchange.last_date,
        )
    return _describe(means, last, exchange)


def extend_sessions(sessions: pl.DataFrame, last: date, exchange: Exchange) -> pl.DataFrame:
    """Extend the sessions beyond the data, for which only the calendar is known.

    Args:
        sessions: Rows of ``market_sessions``.
        last: Last day wanted.
        exchange: The exchange whose sessions they are.

    Returns:
        The same rows, followed by one per session up to ``last`` or the end of the calendar.
        These have the calendar of their target and what the market had done before; the
        measures of the market on the session itself are null.

    Raises:
        ExchangeMismatchError: The sessions are of another exchange.
    """
    check_targets(sessions.lazy(), exchange)
    return _describe(sessions.select(columns.DATE, *_MEASURES, *_ETF_MEASURES), last, exchange)


def check_targets(rows: pl.LazyFrame, exchange: Exchange) -> None:
    """Check that rows have the sessions of an exchange.

    Args:
        rows: Rows with ``Date``, each a session, and ``TargetDate``, the next one.
        exchange: The exchange.

    Raises:
        ExchangeMismatchError: They have other sessions.
    """
    distinct = rows.select(columns.DATE, columns.TARGET_DATE).unique()
    pairs = distinct.collect(engine="streaming").sort(columns.DATE)
    known = trading_calendar(pairs[columns.DATE][0], pairs[columns.DATE][-1], exchange)
    other = pairs.join(known, on=pairs.columns, how="anti", maintain_order="left")
    if other.height:
        day, target = other.row(0)
        raise ExchangeMismatchError(
            f"the layers belong to another exchange than {exchange.code}: there the session after "
            f"{day} is {target}. Run all pipelines again for {exchange.code}, or name the exchange "
            "of the layers: --params exchange=CODE"
        )


def _describe(means: pl.DataFrame, last: date, exchange: Exchange) -> pl.DataFrame:
    first = means.select(pl.col(columns.DATE).min()).item()
    described = (
        trading_calendar(first, last, exchange)
        .join(means, on=columns.DATE, how="left")
        .sort(columns.DATE)
        .with_columns(pl.col(MARKET_ABNORMAL).shift(-1).alias(_NEXT))
    )
    features = select_features(MARKET_FEATURES, exchange.events)
    described = described.with_columns(columns_of(features)).drop(_NEXT)
    # Where the market does not move, there is no mean move to measure in.
    return described.with_columns(
        pl.when(pl.col(feature.name).is_finite()).then(feature.name).alias(feature.name)
        for feature in features
    )
