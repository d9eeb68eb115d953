"""Expressions that several kinds of features share."""

from collections.abc import Iterable, Sequence
from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.features.feature import Feature

UNITS: Final = 2.0**40
"""Units of one in sums; a million measures of 3 add up to less than the largest Int64."""

_TOLERANCE_DAYS: Final = 4
"""The day of the same weekday may fall into a long weekend."""


def lags(name: str, what: str, expression: pl.Expr, count: int) -> list[Feature]:
    """Make features of an expression on the row itself and on each of the rows before.

    Args:
        name: Prefix of the features' names, before ``_lag_`` and the number of rows.
        what: Description of the expression.
        expression: The expression.
        count: Number of features; the first is that of the row itself.

    Returns:
        The features.
    """
    return [
        Feature(f"{name}_lag_{lag}", f"{what}, {lag} bars ago", expression.shift(lag))
        for lag in range(count)
    ]


def mean_of(expressions: Iterable[pl.Expr]) -> pl.Expr:
    """Compute the mean over columns, without nulls.

    ``pl.mean_horizontal`` adds up five or more columns in an order that depends on the number of
    threads.

    Args:
        expressions: Numeric columns.

    Returns:
        Their mean; null where all are null.
    """
    values = tuple(expressions)
    total = _add_pairwise([value.fill_null(0.0) for value in values])
    number = _add_pairwise([value.is_not_null().cast(pl.Int64) for value in values])
    return pl.when(number > 0).then(total / number)


def _add_pairwise(values: Sequence[pl.Expr]) -> pl.Expr:
    if len(values) == 1:
        return values[0]
    middle = len(values) // 2
    return _add_pairwise(values[:middle]) + _add_pairwise(values[middle:])


def rows_since(event: pl.Expr) -> pl.Expr:
    """Count the rows since an event; 0 on its own row, null before the first."""
    row = pl.int_range(pl.len())
    return row - pl.when(event).then(row).forward_fill()


def row_weeks_before(weeks: int, rows_between: int = 0) -> pl.Expr:
    """Find the row of the same weekday, some weeks before the target session.

    Args:
        weeks: Number of weeks.
        rows_between: Minimum number of rows after that row, up to this one: as many as the
            feature looks at past it. After a long pause in trading there may be fewer.

    Returns:
        Index of the last row on that day or at most four days before it; null if there is
        none.
    """
    day = pl.col(columns.DATE)
    wanted = pl.col(columns.TARGET_DATE) - pl.duration(weeks=weeks)
    row = day.search_sorted(wanted, side="right").cast(pl.Int64) - 1
    # Where no row is early enough, the first row is on a later day.
    days_before = wanted - day.gather(row.clip(0))
    near = days_before.is_between(pl.duration(), pl.duration(days=_TOLERANCE_DAYS))
    past = row + rows_between <= pl.int_range(pl.len())
    return pl.when(near & past).then(row)


def to_units(measure: pl.Expr) -> pl.Expr:
    """Round to whole units: their sum does not depend on how the rows are divided.

    Args:
        measure: Expression, at most 3 on average.

    Returns:
        The measure in units of 1 / ``UNITS``.
    """
    return (measure * UNITS).round().cast(pl.Int64)
