"""Features of how a symbol's volume responded to earlier sessions like the target.

The target of an earlier origin of the same kind is in the past by now, and so may be used.
"""

from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.exchange import ScheduledEvent
from stock_volume.features import calendar
from stock_volume.features.feature import Feature
from stock_volume.features.market import MARKET_ABNORMAL
from stock_volume.features.quantities import ABNORMAL

NEXT_ABNORMAL: Final = "next_abnormal_volume"
NEXT_RELATIVE: Final = "next_relative_abnormal_volume"


def _on_target(expression: pl.Expr) -> pl.Expr:
    following = pl.col(columns.DATE).shift(-1)
    return pl.when(following == pl.col(columns.TARGET_DATE)).then(expression.shift(-1))


NEXT: Final = (
    Feature(
        NEXT_ABNORMAL, "abnormal volume of the target session's bar", _on_target(pl.col(ABNORMAL))
    ),
    Feature(
        NEXT_RELATIVE,
        "abnormal volume over the market's, of the target session's bar",
        _on_target(pl.col(ABNORMAL) - pl.col(MARKET_ABNORMAL)),
    ),
)
"""Columns of the future, for features of later rows and for the target; null where the symbol has
no bar of the target session."""


def _response(
    name: str, by: tuple[str, ...], times: int, what: str, following: str = NEXT_ABNORMAL
) -> Feature:
    min_samples = 4 if times > 20 else 1  # noqa: PLR2004
    return Feature(
        f"response_{name}",
        f"mean abnormal volume on the last {times} targets {what}",
        pl.col(following).shift(1).rolling_mean(times, min_samples=min_samples),
        by,
        sees_all=True,
    )


def _response_on(flag: str, times: int, event: ScheduledEvent | None = None) -> Feature:
    name = flag.removeprefix("target_")
    what = name.replace("_", " ").replace("russell", "Russell")
    response = _response(name, (flag,), times, f"with {what}, where the target is one")
    expression = pl.when(pl.col(flag)).then(response.expression)
    return response._replace(expression=expression, event=event)


RESPONSE_FEATURES: Final = (
    _response("weekday", (calendar.WEEKDAY,), 26, "of the same weekday"),
    _response("kind", (calendar.KIND,), 8, "of the same kind"),
    _response("kind_month", (calendar.KIND, calendar.MONTH), 6, "of the same kind and month"),
    _response(
        "relative", (calendar.KIND,), 8, "of the same kind, over the market's", NEXT_RELATIVE
    ),
    _response_on(calendar.TRIPLE_WITCHING, 8, ScheduledEvent.OPTION_EXPIRY),
    _response_on(calendar.DOUBLE_WITCHING, 8, ScheduledEvent.OPTION_EXPIRY),
    _response_on(calendar.RUSSELL, 4, ScheduledEvent.RUSSELL_RECONSTITUTION),
    _response_on(calendar.INDEX_REVIEW, 6),
    _response_on(calendar.EARLY_CLOSE, 6, ScheduledEvent.EARLY_CLOSE),
    _response_on(calendar.LAST_OF_MONTH, 12),
    _response_on(calendar.LAST_OF_QUARTER, 6),
)
"""How a symbol's volume responded to sessions like the target."""
