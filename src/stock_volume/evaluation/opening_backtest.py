"""The backtest at the open: forecasts of sessions whose opening price is known."""

from collections.abc import Iterator
from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.evaluation.groups import COMMON_STOCK, FOLD
from stock_volume.features.registry import ETA, NEXT_OPEN
from stock_volume.forecaster.model import MA5
from stock_volume.forecaster.occasion import OCCASION
from stock_volume.forecaster.opening import (
    OPENING_VOLUMES,
    OpeningParameters,
    fit_opening,
    gap_score,
)
from stock_volume.forecaster.parameters import ForecasterParameters
from stock_volume.forecaster.universe import BUCKET, count_edges_below

GAP_SIZE: Final = "gap_size"
"""Column: position of the size of the gap in ``GAP_SIZES``."""

GAP_SIZES: Final = ("below 0.5", "0.5 to 1", "1 to 2", "above 2")
"""Sizes of gaps, in standard deviations of the symbol's daily return."""

_EDGES: Final = (0.5, 1.0, 2.0)


def before(name: str) -> str:
    """Name the column of what was forecast before the open."""
    return f"{name}_before"


OPENING_TYPES: Final = {
    columns.SYMBOL: pl.String,
    columns.DATE: pl.Date,
    columns.TARGET_DATE: pl.Date,
    columns.VOLUME: pl.Int64,
    **dict.fromkeys(OPENING_VOLUMES, pl.Float64),
    **dict.fromkeys(map(before, OPENING_VOLUMES), pl.Float64),
    MA5: pl.Float64,
    columns.CLOSE: pl.Float64,
    NEXT_OPEN: pl.Float64,
    ETA: pl.Float64,
    columns.ETF: pl.Boolean,
    COMMON_STOCK: pl.Boolean,
    BUCKET: pl.Int8,
    OCCASION: pl.Int8,
    GAP_SIZE: pl.Int8,
    FOLD: pl.Int32,
}
"""Columns of the backtest at the open, in order."""


def backtest_opening(
    rows: pl.DataFrame, parameters: OpeningParameters, forecaster: ForecasterParameters
) -> Iterator[pl.DataFrame]:
    """Forecast at the open, each session with a model of earlier sessions only.

    Args:
        rows: Rows of ``join_openings``, sorted by target session.
        parameters: When models are trained, and how.
        forecaster: Parameters of the forecaster.

    Yields:
        Rows with the columns of ``OPENING_TYPES``, in order of session; volumes are in shares.
        The first sessions, which only train, are left out, and so are windows with too few rows
        before them.
    """
    sessions = rows[columns.TARGET_DATE].unique().sort()
    first = min(parameters.first_sessions, -(-len(sessions) // 2))
    yield pl.DataFrame(schema=OPENING_TYPES)
    target = pl.col(columns.TARGET_DATE)
    for fold, start in enumerate(range(first, len(sessions), parameters.refit_sessions)):
        tested = sessions[start : start + parameters.refit_sessions]
        model = fit_opening(rows.filter(target < tested[0]), parameters, forecaster)
        if not model.is_trained:
            continue
        test = rows.filter(target.is_between(tested[0], tested[-1]))
        at_open = model.predict(test, forecaster.num_threads)
        yield (
            test.select(
                pl.exclude(OPENING_VOLUMES),
                pl.col(OPENING_VOLUMES).name.map(before),
                count_edges_below(gap_score().abs(), _EDGES).alias(GAP_SIZE),
            )
            .with_columns(*at_open, pl.lit(fold, pl.Int32).alias(FOLD))
            .select(OPENING_TYPES.keys())
        )
