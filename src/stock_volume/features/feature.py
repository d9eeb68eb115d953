"""What a feature is, and how features are added to a frame."""

from collections.abc import Iterable
from typing import NamedTuple

import polars as pl


class Feature(NamedTuple):
    """One feature.

    Attributes:
        name: Its column.
        description: What it measures, with its unit.
        expression: Computes it over rows in order of date: it may use a row and those
            before it, nothing else.
        by: Columns that part the rows further: the expression then sees those rows only
            that have the same values in them.
    """

    name: str
    description: str
    expression: pl.Expr
    by: tuple[str, ...] = ()


def columns_of(features: Iterable[Feature], *by: str) -> list[pl.Expr]:
    """Turn features into the columns of a frame.

    Args:
        features: The features.
        by: Columns that part the rows, for all of the features.

    Returns:
        One named expression a feature.
    """
    return [
        (
            feature.expression.over(*by, *feature.by) if by or feature.by else feature.expression
        ).alias(feature.name)
        for feature in features
    ]
