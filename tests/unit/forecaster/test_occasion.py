"""What is scheduled for a target session."""

import polars as pl

from stock_volume.forecaster.occasion import (
    OCCASION_FEATURES,
    OCCASIONS,
    Occasion,
    find_occasions,
)

FLAGGED = OCCASIONS[:-1]


def rows(*flags: tuple[float | None, ...]) -> pl.DataFrame:
    schema = dict.fromkeys(OCCASION_FEATURES, pl.Float32)
    return pl.DataFrame(flags, schema=schema, orient="row")


def test_a_flag_marks_its_occasion() -> None:
    """Each feature marks one occasion, and no feature none."""
    one_each = [tuple(float(place == other) for other in range(5)) for place in range(5)]
    found = find_occasions(rows(*one_each, (0.0,) * 5, (None,) * 5))
    named = [OCCASIONS[number] for number in found]
    assert named == [*FLAGGED, Occasion.NONE, Occasion.NONE]


def test_the_first_occasion_counts() -> None:
    """Of two occasions on one day, the one that comes first in the list counts."""
    found = find_occasions(rows((1, 1, 0, 0, 1), (0, 0, 0, 1, 1), (None, 0, 1, 0, 0)))
    assert [OCCASIONS[number] for number in found] == [
        Occasion.EARNINGS,
        Occasion.EARLY_CLOSE,
        Occasion.RUSSELL,
    ]


def test_an_exchange_without_occasions_has_none() -> None:
    """A layer without the features has one row per row, without an occasion."""
    found = find_occasions(pl.DataFrame({"Close": [1.0, 2.0]}))
    assert [OCCASIONS[number] for number in found] == [Occasion.NONE] * 2
