"""What a feature is, and how features become columns of a frame."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

import polars as pl

from stock_volume.exchange import ScheduledEvent


class Feature(NamedTuple):
    """One feature.

    Attributes:
        name: Its column.
        description: What it measures, with its unit.
        expression: Computes it over rows in order of date, from a row and those before it
            alone.
        by: Columns that divide the rows further: the expression sees only rows that have the
            same values in them.
        event: The scheduled event that it is about: exchanges without that event do not have
            the feature. Null for a feature that every exchange has.
        sees_all: Whether it sees all earlier bars of a symbol; the others see those from
            ``first_bar`` on.
    """

    name: str
    description: str
    expression: pl.Expr
    by: tuple[str, ...] = ()
    event: ScheduledEvent | None = None
    sees_all: bool = False

    def as_column(self) -> "Feature":
        """Return the feature over rows that have its column already."""
        return self._replace(expression=pl.col(self.name))


def columns_of(features: Iterable[Feature], *by: str) -> list[pl.Expr]:
    """Turn features into the columns of a frame.

    Args:
        features: The features.
        by: Columns that divide the rows, for all of the features.

    Returns:
        One named expression per feature.
    """
    return [
        _divide(feature.expression, (*by, *feature.by)).alias(feature.name) for feature in features
    ]


def _divide(expression: pl.Expr, by: Collection[str]) -> pl.Expr:
    # A column is the same however its rows are divided, and dividing them takes time.
    return expression.over(*by) if by and not expression.meta.is_column() else expression


def select_features(
    features: Iterable[Feature], events: Collection[ScheduledEvent]
) -> tuple[Feature, ...]:
    """Select the features that an exchange has.

    Args:
        features: Features of every exchange.
        events: The scheduled events of the exchange.

    Returns:
        The features that are about none of the events that it lacks, in the same order.
    """
    return tuple(
        feature for feature in features if feature.event is None or feature.event in events
    )
