"""Features of a symbol's events, inferred from its own past.

Companies report earnings once a quarter, in about the same week and often on the same weekday,
and their shares trade far more on these days. The dates are not in the bars, but the spikes are:
the event score of a bar is high where both its volume and its return were unusual. Scores around
the bars 13, 26, 39 and 52 weeks, and two and three years, before the target session show whether
an event is due. A window around such a bar extends 10 bars past it; where a pause in trading
leaves fewer bars until the origin, the feature is null.
"""

from typing import Final

import polars as pl

from stock_volume.features.expressions import lags, mean_of, row_weeks_before, rows_since
from stock_volume.features.feature import Feature
from stock_volume.features.market import MARKET_RETURN
from stock_volume.features.quantities import ABNORMAL, RETURN, SURPRISE, SURPRISE_STD

EVENT_SCORE: Final = "event_score"
SURPRISE_SCORE: Final = "volume_surprise_score"
_RELATIVE_RETURN: Final = "relative_return"
_TYPICAL_RETURN: Final = "typical_relative_return"

_QUARTERS: Final = (13, 26, 39, 52)
_YEARS: Final = (52, 104, 156)
_WEEKS: Final = tuple(sorted({*_QUARTERS, *_YEARS}))
_REACH: Final = 10
"""Bars that the windows below extend past their middle, at most."""

_MAX_FACTOR: Final = 6.0
_EVENT: Final = 1.2
_SCORE: Final = pl.col(EVENT_SCORE)


def _scores() -> list[pl.Expr]:
    move = pl.col(_RELATIVE_RETURN).abs() / (1.5 * pl.col(_TYPICAL_RETURN) + 1.5e-4)
    surprise = pl.col(SURPRISE) / (pl.col(SURPRISE_STD) + 0.05)
    return [
        surprise.clip(0, _MAX_FACTOR).alias(SURPRISE_SCORE),
        (surprise.clip(0, _MAX_FACTOR) * move.clip(0, _MAX_FACTOR)).sqrt().alias(EVENT_SCORE),
    ]


def _near(bars: int) -> pl.Expr:
    """Sum the scores up to some bars away, weighted by closeness."""
    score = _SCORE.fill_null(0.0)
    return sum(
        (
            (score.shift(bar).fill_null(0.0) + score.shift(-bar).fill_null(0.0))
            * (1 - bar / (bars + 1))
            for bar in range(1, bars + 1)
        ),
        start=score,
    )


_AROUND: Final = {
    "score": ("event score", _SCORE),
    "abnormal": ("abnormal volume", pl.col(ABNORMAL)),
    "near_1": ("weighted event scores of 3 bars about it", _near(1)),
    "near_3": ("weighted event scores of 7 bars about it", _near(3)),
    "near_6": ("weighted event scores of 13 bars about it", _near(6)),
    "most_5": (
        "greatest event score of 11 bars about it",
        _SCORE.rolling_max(11, min_samples=1).shift(-5),
    ),
    "before_10": (
        "greatest event score of the 10 bars before it",
        _SCORE.rolling_max(10, min_samples=1).shift(1),
    ),
    "after_10": (
        "greatest event score of the 10 bars after it",
        _SCORE.rolling_max(10, min_samples=1).shift(-_REACH),
    ),
}
"""What to look at around an earlier bar, by name: a description and an expression."""


def _around(name: str) -> str:
    return f"around_{name}"


def _row(weeks: int) -> str:
    return f"row_{weeks}_weeks_before"


FRAME_ROW: Final = "frame_row"
"""Index of a row in the frame of all symbols."""

SCORE_STEPS: Final = (
    [(pl.col(RETURN) - pl.col(MARKET_RETURN)).alias(_RELATIVE_RETURN)],
    [
        pl.col(_RELATIVE_RETURN)
        .abs()
        .rolling_median(126, min_samples=20)
        .shift(1)
        .alias(_TYPICAL_RETURN)
    ],
    _scores(),
)
"""Columns that the features below are computed from, over the bars of a symbol; each step needs
the previous ones."""

AROUND_EARLIER: Final = (
    *(expression.alias(_around(name)) for name, (_, expression) in _AROUND.items()),
    *(
        (row_weeks_before(weeks, _REACH) + pl.col(FRAME_ROW).first()).alias(_row(weeks))
        for weeks in _WEEKS
    ),
)
"""Columns that ``EARLIER_EVENTS`` look up, over the bars of a symbol: what to look at around each
bar, and the rows of the bars some weeks before the target."""


def _value_before(name: str, weeks: int) -> pl.Expr:
    return pl.col(_around(name)).gather(pl.col(_row(weeks)))


def _mean_before(name: str, many_weeks: tuple[int, ...]) -> pl.Expr:
    return mean_of(_value_before(name, weeks) for weeks in many_weeks)


def _features_before(name: str) -> list[Feature]:
    what, _ = _AROUND[name]
    return [
        Feature(f"event_{name}_13", f"13 weeks before the target: {what}", _value_before(name, 13)),
        Feature(f"event_{name}_52", f"52 weeks before the target: {what}", _value_before(name, 52)),
        Feature(
            f"event_{name}_quarters",
            f"mean of 13, 26, 39 and 52 weeks before the target: {what}",
            _mean_before(name, _QUARTERS),
        ),
        Feature(
            f"event_{name}_years",
            f"mean of 1, 2 and 3 years before the target: {what}",
            _mean_before(name, _YEARS),
        ),
    ]


EARLIER_EVENTS: Final = tuple(feature for name in _AROUND for feature in _features_before(name))
"""Features of earlier events, over the frame of all symbols: a row looks up others of its symbol
by their index, so the rows need not be divided by symbol, which takes longer than the look-up."""


def _max_score(bars: int) -> pl.Expr:
    return _SCORE.rolling_max(bars, min_samples=1)


EVENT_FEATURES: Final = (
    *lags(EVENT_SCORE, "event score", _SCORE, 3),
    Feature(
        SURPRISE_SCORE,
        "positive volume surprise in units of its standard deviation",
        pl.col(SURPRISE_SCORE),
    ),
    *(
        Feature(
            f"event_score_max_{bars}",
            f"greatest event score of the last {bars} bars",
            _max_score(bars),
        )
        for bars in (5, 10, 20, 40)
    ),
    *(one.as_column() for one in EARLIER_EVENTS),
    Feature(
        "event_overdue_13",
        "event score of the 10 bars before the day 13 weeks ago, over that of the last 10",
        pl.col("event_before_10_13") - _max_score(10),
    ),
    Feature(
        "event_overdue_52",
        "event score of the 10 bars before the day 52 weeks ago, over that of the last 10",
        pl.col("event_before_10_52") - _max_score(10),
    ),
    Feature(
        "bars_since_event",
        "bars since the event score was above 1.2 and the greatest of 20",
        rows_since((_SCORE > _EVENT) & (_max_score(20) <= _SCORE)),
        sees_all=True,
    ),
)
"""Whether the symbol's past suggests an event on the target session."""
