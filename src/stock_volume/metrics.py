"""Measures of error."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class PointErrors(NamedTuple):
    """Errors of point predictions.

    Attributes:
        mae: Mean absolute error, in the unit of the target.
        mse: Mean squared error, in its square.
        r2: 1 - SSE / SSE of the mean, the coefficient of determination; NaN where the
            target does not vary.
    """

    mae: float
    mse: float
    r2: float


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
        r2=1 - mse / float(np.var(actual)) if varies else float("nan"),
    )
