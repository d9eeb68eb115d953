"""Calibration of quantiles on later rows than they were fitted to.

Conformalized quantile regression (Romano, Patterson and Candes, NeurIPS 2019), for each
quantile separately and by bucket of liquidity: the offset of a quantile is the same
quantile of its errors on held-out rows.

On an occasion of the whole market, such as an early close, all symbols err alike, and the rows of
one such session count as little more than one. So the intervals of an occasion are widened by the
standard deviation of what its sessions have in common.
"""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from stock_volume.arrays import Floats
from stock_volume.forecaster.occasion import MARKET_OCCASIONS, OCCASIONS, Occasion

MIN_ROWS: Final = 500
"""Minimum rows of a bucket for offsets of its own."""

Groups = npt.NDArray[np.integer]

_PRIOR_SESSIONS: Final = 2
"""Sessions that the variance over all occasions counts as, beside those of one occasion."""


def conformal_offset(errors: Floats, level: float) -> float:
    """Compute what to add to a quantile so that it holds on rows like the held-out ones.

    Args:
        errors: Actual less predicted quantile on held-out rows, shape (n,), n > 0.
        level: Level of the quantile, in (0, 1).

    Returns:
        The quantile of the errors, with the correction for n + 1 rows, away from the
        median.
    """
    rows = len(errors)
    rank = np.ceil((rows + 1) * level) if level > 1 / 2 else np.floor((rows + 1) * level)
    return float(np.sort(errors)[int(np.clip(rank, 1, rows)) - 1])


def conformal_offsets(
    actual: Floats, predicted: Floats, levels: Sequence[float], groups: Groups, count: int
) -> Floats:
    """Calibrate quantiles by group.

    Args:
        actual: Observed values, shape (n,), n > 0.
        predicted: Predicted quantiles, shape (n, levels).
        levels: Levels of the quantiles.
        groups: Group of each row, from 0, shape (n,).
        count: Number of groups.

    Returns:
        Offsets, shape (groups, levels); a small group has the offsets of all rows.
    """
    errors = actual[:, None] - predicted
    members = [groups == group for group in range(count)]
    everyone = np.ones(len(actual), dtype=np.bool_)
    chosen = [rows if rows.sum() >= MIN_ROWS else everyone for rows in members]
    return np.array(
        [
            [conformal_offset(errors[rows, place], level) for place, level in enumerate(levels)]
            for rows in chosen
        ]
    )


def shared_spreads(errors: Floats, sessions: pl.Series, occasions: Groups) -> tuple[float, ...]:
    """Estimate how much more the sessions of an occasion err together than others do.

    The error that the rows of a session share is their median error. An occasion has few
    sessions, so the variance of its shared errors is drawn towards that of all occasions.

    Args:
        errors: Actual less predicted median on held-out rows, shape (n,).
        sessions: Session of each row, n of them.
        occasions: Position of each row's occasion in ``OCCASIONS``, shape (n,).

    Returns:
        Standard deviation of what an occasion adds to the errors that other sessions share, in
        logs, one per occasion; 0 for the occasions of single symbols.
    """
    rows = pl.DataFrame({"error": errors, "session": sessions, "occasion": occasions})
    squares = (
        rows.filter(pl.col("occasion") != OCCASIONS.index(Occasion.EARNINGS))
        .group_by("session", "occasion")
        .agg(pl.col("error").median().pow(2))
        .sort("session", "occasion")  # sums depend on the order in the last digit
    )
    by_occasion = [
        squares.filter(pl.col("occasion") == number)["error"].to_numpy()
        for number in range(len(OCCASIONS))
    ]
    market = [by_occasion[OCCASIONS.index(occasion)] for occasion in MARKET_OCCASIONS]
    ordinary = by_occasion[OCCASIONS.index(Occasion.NONE)]
    pooled = np.concatenate(market)
    if not len(pooled) or not len(ordinary):
        return (0.0,) * len(OCCASIONS)
    variances = (_predict_variance(own, float(pooled.mean())) for own in by_occasion)
    return tuple(
        float(np.sqrt(max(variance - ordinary.mean(), 0))) if occasion in MARKET_OCCASIONS else 0.0
        for occasion, variance in zip(OCCASIONS, variances, strict=True)
    )


def _predict_variance(squares: Floats, prior: float) -> float:
    """Predict the variance of a session's error from the squares of a few.

    The predictive distribution of a normal error with an estimated variance is Student's, whose
    variance exceeds the estimate by a factor of v / (v - 2) for v degrees of freedom.
    """
    weight = len(squares) + _PRIOR_SESSIONS
    estimate = float((squares.sum() + _PRIOR_SESSIONS * prior) / weight)
    return estimate * (weight + 1) / (weight - 1)


def widen(quantiles: Floats, levels: Sequence[float], spreads: Floats) -> Floats:
    """Widen quantiles by an independent normal error, about the median.

    Distances from the median add in quadrature, as standard deviations do: exact if both
    errors are normal.

    Args:
        quantiles: Quantiles, ascending, shape (n, levels).
        levels: Their levels, 0.5 among them.
        spreads: Standard deviation of the error of each row, shape (n,).

    Returns:
        The quantiles, ascending, shape (n, levels).
    """
    median = quantiles[:, [levels.index(0.5)]]
    deviates = np.array([abs(NormalDist().inv_cdf(level)) for level in levels])
    distances = np.hypot(quantiles - median, deviates * spreads[:, None])
    signs = np.sign(np.array(levels) - 0.5)  # a calibrated quantile may lie beyond the median
    widened: Floats = np.where(spreads[:, None] > 0, median + signs * distances, quantiles)
    return widened
