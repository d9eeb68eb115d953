"""Measures of error."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

UNDEFINED: Final = "undefined"
"""What reports say in place of a measure that has no value."""


def in_words(measure: float | None, form: str) -> str:
    """Write a measure for a report.

    Args:
        measure: Its value; None where it is undefined.
        form: Format specification of a value, such as ``.2f``.

    Returns:
        The formatted value, or ``undefined``.
    """
    return UNDEFINED if measure is None else format(measure, form)


class PointErrors(NamedTuple):
    """Errors of point predictions.

    Attributes:
        mae: Mean absolute error, in the unit of the target.
        mse: Mean squared error, in its square.
        r2: 1 - SSE / SSE of the mean, the coefficient of determination; None where the
            target does not vary.
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
