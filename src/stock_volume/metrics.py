"""Measures of error and how reports write them."""

from typing import Final, NamedTuple

import numpy as np

from stock_volume.arrays import Floats

UNDEFINED: Final = "undefined"
"""What reports write for a measure without a value."""


def in_words(measure: float | None, form: str) -> str:
    """Write a measure for a report.

    Args:
        measure: Its value; None if it is undefined.
        form: Format specification of the value, such as ``.2f``.

    Returns:
        The formatted value, or ``undefined``.
    """
    return UNDEFINED if measure is None else format(measure, form)


class PointErrors(NamedTuple):
    """Errors of point predictions.

    Attributes:
        mae: Mean absolute error, in the unit of the target.
        mse: Mean squared error, in its square.
        r2: Coefficient of determination, 1 - SSE / SSE of the mean; None if the target
            does not vary.
    """

    mae: float
    mse: float
    r2: float | None


def point_errors(actual: Floats, predicted: Floats) -> PointErrors:
    """Measure the errors of point predictions.

    Args:
        actual: Observed values, shape (n,), n > 0.
        predicted: Predictions of them, shape (n,).

    Returns:
        The errors.
    """
    error = predicted - actual
    mse = float(np.mean(np.square(error)))
    varies = bool(np.ptp(actual))  # the variance of equal values may not be exactly 0
    return PointErrors(
        mae=float(np.mean(np.abs(error))),
        mse=mse,
        r2=1 - mse / float(np.var(actual)) if varies else None,
    )
