"""Geometry of charts."""

import pytest

from stock_volume.reporting.charts import Axis, band, fit_axis, line


def test_an_axis_places_values() -> None:
    """Values are placed linearly, also on an axis that points up; beyond its ends at the end."""
    y = Axis(0, 200, 110, 10)
    assert [y(0), y(50), y(200), y(999), y(-1)] == [110, 85, 10, 10, 110]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (-7, 24, [0, 10, 20]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-83, 21, [-75, -50, -25, 0]),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    """Ticks are multiples of a round step, inside the axis."""
    assert Axis(low, high, 0, 1).ticks() == ticks


def test_an_axis_fits_its_values() -> None:
    """All values are inside; unknown ones do not matter; equal values still make an axis."""
    axis = fit_axis([3.0, None, -1.0, float("nan")], 0, 100)
    assert axis.low < -1 < 3 < axis.high
    assert fit_axis([5.0, 9.0], 0, 100, zero=True).low == 0
    assert fit_axis([5.0], 0, 100).low < 5 < fit_axis([5.0], 0, 100).high
    assert fit_axis([], 0, 100).ticks()
    assert fit_axis([0.0, 0.0], 0, 100, zero=True).high > 0


def test_lines_and_bands_are_points() -> None:
    """A line goes through its values; a band there and back."""
    x, y = Axis(0, 2, 0, 20), Axis(0, 10, 100, 0)
    assert line(x, y, [0, 5, 10]) == "0.0,100.0 10.0,50.0 20.0,0.0"
    assert band(x, y, [0, 0], [10, 5]) == "0.0,0.0 10.0,50.0 10.0,100.0 0.0,100.0"
