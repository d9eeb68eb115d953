"""Features of how a symbol answered sessions like the target before.

At the row of an earlier origin of the same kind, its target has come true by now: what
followed it is part of the past.
"""

from typing import Final

import polars as pl

from stock_volume import columns
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
"""Columns of the future, for features to look back at from a later row, and for the target;
null where the symbol has no bar of the target session."""


def _response(
    name: str, by: tuple[str, ...], times: int, what: str, following: str = NEXT_ABNORMAL
) -> Feature:
    least = 4 if times > 20 else 1  # noqa: PLR2004
    return Feature(
        f"response_{name}",
        f"mean abnormal volume on the last {times} targets {what}",
        pl.col(following).shift(1).rolling_mean(times, min_samples=least),
        by,
    )


def _on(flag: str, times: int) -> Feature:
    name = flag.removeprefix("target_")
    response = _response(
        name, (flag,), times, f"with {name.replace('_', ' ')}, where the target is one"
    )
    return response._replace(expression=pl.when(pl.col(flag)).then(response.expression))


RESPONSE_FEATURES: Final = (
    _response("weekday", (calendar.WEEKDAY,), 26, "of the same weekday"),
    _response("kind", (calendar.KIND,), 8, "of the same kind"),
    _response("kind_month", (calendar.KIND, calendar.MONTH), 6, "of the same kind and month"),
    _response(
        "relative", (calendar.KIND,), 8, "of the same kind, over the market's", NEXT_RELATIVE
    ),
    _on(calendar.TRIPLE_WITCHING, 8),
    _on(calendar.DOUBLE_WITCHING, 8),
    _on(calendar.RUSSELL, 4),
    _on(calendar.INDEX_REVIEW, 6),
    _on(calendar.EARLY_CLOSE, 6),
    _on(calendar.LAST_OF_MONTH, 12),
    _on(calendar.LAST_OF_QUARTER, 6),
)
"""How a symbol answered sessions like the target."""
