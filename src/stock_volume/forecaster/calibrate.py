"""Calibration of quantiles on later rows than they were fitted to.

Conformalized quantile regression (Romano, Patterson and Candes, NeurIPS 2019), for each
quantile separately and by bucket of liquidity: the offset of a quantile is the same
quantile of its errors on held-out rows.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from stock_volume.arrays import Floats

MIN_ROWS: Final = 500
"""Minimum rows of a bucket for offsets of its own."""

Groups = npt.NDArray[np.integer]


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
