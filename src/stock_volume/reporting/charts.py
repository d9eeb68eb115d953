"""Geometry of the report's charts; ``templates/charts.svg.j2`` draws them."""

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

_STEPS: Final = (1, 2, 2.5, 5, 10)


class Axis(NamedTuple):
    """A linear axis of a chart.

    Attributes:
        low: Smallest value.
        high: Largest value, above ``low``.
        start: Coordinate of the smallest value, in pixels.
        end: Coordinate of the largest value.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value, inside the axis."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, count: int = 5) -> list[float]:
        """List about ``count`` round values on the axis, ascending."""
        step = _round_up((self.high - self.low) / count)
        first = math.ceil(self.low / step)
        last = math.floor(self.high / step + 1e-9)
        return [round(number * step, 10) for number in range(first, last + 1)]


def _round_up(step: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(step))
    return next(one * magnitude for one in _STEPS if one * magnitude >= step * (1 - 1e-9))


def fit_axis(
    values: Iterable[float | None], start: float, end: float, *, zero: bool = False
) -> Axis:
    """Make an axis that holds all values.

    Args:
        values: The values; None is ignored.
        start: Coordinate of the smallest value.
        end: Coordinate of the largest value.
        zero: Whether the axis includes 0.

    Returns:
        The axis, a little longer than the values need.
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    margin = 0.04 * (high - low) or max(abs(high), 1.0) * 0.1
    return Axis(low if zero and low == 0 else low - margin, high + margin, start, end)


def line(x: Axis, y: Axis, values: Sequence[float]) -> str:
    """Write the points of a line over the positions 0, 1, … for SVG."""
    return " ".join(f"{x(place)},{y(value)}" for place, value in enumerate(values))


def band(
    x: Axis,
    y: Axis,
    lower: Sequence[float],
    upper: Sequence[float],
) -> str:
    """Write the points of the area between two lines for SVG."""
    there = [f"{x(place)},{y(value)}" for place, value in enumerate(upper)]
    back = [f"{x(place)},{y(value)}" for place, value in enumerate(lower)]
    return " ".join([*there, *reversed(back)])
