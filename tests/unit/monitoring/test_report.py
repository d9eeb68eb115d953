"""The monitoring report and its parts."""

import json
import math
from typing import Any, Final

import pytest
from pydantic import ValidationError

from stock_volume.monitoring.report import Comparison, MonitoringReport, Period, SessionErrors
from tests.unit.monitoring_helpers import LONG_AGO, make_comparison, make_drift, make_range

SESSION: Final = {"session": LONG_AGO, "n": 4, "rmse": 0.5, "bias": 0.1, "coverage_80": 75.0}


def _convert(model: SessionErrors | Comparison) -> dict[str, Any]:
    """Convert to JSON as the catalog does, which refuses NaN and infinity."""
    text = json.dumps(model.model_dump(mode="json"), allow_nan=False)
    converted: dict[str, Any] = json.loads(text)
    return converted


@pytest.mark.parametrize("undefined", [math.nan, None])
def test_an_undefined_figure_is_null_in_json_and_nan_in_python(undefined: float | None) -> None:
    """A report that was read back has the figures that were written."""
    errors = SessionErrors.model_validate(SESSION | {"eta_r2": undefined})
    assert math.isnan(errors.eta_r2)
    written = _convert(errors)
    assert written == SESSION | {"session": "2000-01-03", "eta_r2": None}
    assert math.isnan(SessionErrors.model_validate_json(json.dumps(written)).eta_r2)


def test_an_infinite_error_stays_unusual_in_json() -> None:
    """Infinity is null in JSON; that it was unusual remains."""
    comparison = make_comparison(math.inf, low=-math.inf)
    written = _convert(comparison)
    assert (written["value"], written["deviation_ratio"], written["low"]) == (None, None, None)
    assert written["unusual"]
    assert Comparison.model_validate(written).unusual


def test_the_schema_of_the_report_allows_null_for_undefined_figures() -> None:
    """The JSON schema describes the file, in which figures may be null."""
    schema = MonitoringReport.model_json_schema(mode="serialization")
    figure = schema["$defs"]["SessionErrors"]["properties"]["eta_r2"]
    assert {one["type"] for one in figure["anyOf"]} == {"number", "null"}


def test_a_report_is_frozen_and_refuses_unknown_parts() -> None:
    """A figure cannot change once it is reported, and none is lost by its name."""
    drift = make_drift()
    with pytest.raises(ValidationError):
        setattr(drift, "psi", 1.0)  # noqa: B010  # mypy refuses it, too
    with pytest.raises(ValidationError):
        Period.model_validate({"first": LONG_AGO, "last": LONG_AGO, "middle": LONG_AGO})


def test_drift_exceeds_a_threshold_only_beyond_the_past() -> None:
    """The index must reach the threshold and exceed the feature's highest past one."""
    assert make_drift(psi=0.1, highest_past_psi=0.08).exceeds(0.1)
    assert not make_drift(psi=0.0999, highest_past_psi=0.08).exceeds(0.1)
    assert not make_drift(psi=0.3, highest_past_psi=0.3).exceeds(0.1)
    assert not make_drift(psi=0.3, highest_past_psi=None).exceeds(0.1)
    assert not make_drift(psi=None, highest_past_psi=0.1).exceeds(0.1)


def test_the_usual_range_excludes_values_beyond_a_bad_side() -> None:
    """A bound itself is usual, as is any value on a side that is good."""
    assert not make_range().excludes(0.1)
    assert make_range().excludes(0.11)
    assert make_range().excludes(-0.11)
    assert not make_range(high=None).excludes(9.0)
    assert not make_range(low=None).excludes(-9.0)


def test_the_deviation_is_a_multiple_of_the_worst_window() -> None:
    """1 is where the worst window is, on any side that is bad."""
    above = make_range(median=0.1, lowest=0.0, highest=0.3)
    assert above.measure_deviation(0.5) == pytest.approx(2)
    assert make_range(lowest=-0.1).measure_deviation(-0.3) == pytest.approx(1.5)
    assert make_range(lowest=-0.6).measure_deviation(0.3) == pytest.approx(0.5)
    one_side = make_range(low=None, lowest=-9.0)
    assert one_side.measure_deviation(0.3) == pytest.approx(1.5)
    other_side = make_range(high=None, highest=9.0)
    assert other_side.measure_deviation(-0.3) == pytest.approx(1.5)
    assert make_range().measure_deviation(0.0) == 0
    assert make_range(high=None).measure_deviation(9.0) == 0
    assert make_range(low=None).measure_deviation(-9.0) == 0
