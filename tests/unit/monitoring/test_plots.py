"""The figure of the monitoring."""

from datetime import date
from typing import Any, Final

import pytest

from stock_volume.monitoring.parameters import MonitorParameters, Verdict
from stock_volume.monitoring.plots import FEATURES_SHOWN, plot_monitoring, select_drifts
from stock_volume.monitoring.report import (
    DriftReport,
    ErrorSummary,
    FeatureDrift,
    FeatureKind,
    Measure,
    MonitoringReport,
    Period,
    SessionErrors,
    Window,
)
from tests.unit.monitoring_helpers import LONG_AGO, NO_FORECASTS, make_comparison, make_drift

DAYS: Final = [date(2021, 1, day) for day in range(4, 9)]
ERRORS: Final = ErrorSummary(
    universe="all symbols",
    **dict.fromkeys(("n", "symbols", "sessions"), 0),
    **dict.fromkeys(set(ErrorSummary.model_fields) - {"universe", "n", "symbols", "sessions"}, 0.0),
)
DRIFTS: Final = (
    *(
        make_drift(feature=f"f{place:02}", psi=0.01 * place, highest_past_psi=0.1)
        for place in range(20)
    ),
    make_drift(feature="calm", kind=FeatureKind.MARKET, psi=5.0, highest_past_psi=6.0),
    make_drift(feature="market", kind=FeatureKind.MARKET, psi=7.0, highest_past_psi=6.0),
    make_drift(feature="year", kind=FeatureKind.CALENDAR, psi=9.0, highest_past_psi=0.0),
    make_drift(feature="unknown", psi=None, highest_past_psi=None),
    make_drift(feature="new", psi=8.0, highest_past_psi=None),
)


def _report_drift(drifts: tuple[FeatureDrift, ...]) -> DriftReport:
    return DriftReport(
        comparable=True,
        features=len(drifts),
        drifted=0,
        drifted_gain=0.0,
        strongly_drifted=0,
        strongly_drifted_gain=0.0,
        seen_sessions=0,
        by_feature=drifts,
    )


REPORT: Final = MonitoringReport(
    verdict=Verdict.WATCH,
    reasons=("a reason",),
    window=Window(first=DAYS[2], last=DAYS[4], sessions=3),
    trained_on=Period(first=LONG_AGO, last=DAYS[0]),
    forecasts=NO_FORECASTS,
    errors=ERRORS,
    backtest=ERRORS,
    comparisons={
        Measure.ETA_R2: make_comparison(5.0, median=20.0, low=10.0, high=None, highest=30.0),
        Measure.COVERAGE_80: make_comparison(80.0, median=79.0, low=75.0, high=85.0),
    },
    by_session=tuple(
        SessionErrors(
            session=day, n=9, eta_r2=day.day, rmse=0.5, bias=0.0, coverage_80=70 + day.day
        )
        for day in DAYS
    ),
    drift=_report_drift(DRIFTS),
    parameters=MonitorParameters(),
)


def _draw(**changed: Any) -> dict[tuple[str, str], Any]:
    """Draw a report; list the named traces by name and axis."""
    figure = plot_monitoring(REPORT.model_copy(update=changed))
    return {(trace.name, trace.yaxis): trace for trace in figure.data if trace.name is not None}


@pytest.mark.parametrize(
    ("axis", "points", "value", "low", "color"),
    [
        ("y", [4, 5, 6, 7, 8], 5.0, 10.0, "rgb(214, 39, 40)"),
        ("y2", [74, 75, 76, 77, 78], 80.0, 75.0, "rgb(31, 119, 180)"),
    ],
    ids=["eta_r2", "coverage_80"],
)
def test_the_figure_shows_sessions_the_window_and_its_usual_range(
    axis: str, points: list[int], value: float, low: float, color: str
) -> None:
    """A panel has a point per session, the window's value, red if unusual, and the range."""
    traces = _draw()
    assert list(traces["session", axis].x) == list(map(str, DAYS))
    assert list(traces["session", axis].y) == points
    window = traces["judged window", axis]
    assert list(window.x) == ["2021-01-06", "2021-01-08"]
    assert set(window.y) == {value}
    assert window.line.color == color
    assert set(traces["usual range of backtest windows", axis].y) == {low}


def test_the_figure_shows_features_by_their_index() -> None:
    """Features that drifted and those that did not differ, each with its highest in training."""
    shown = [drift.feature for drift in select_drifts(REPORT)]
    assert shown == ["new", "market", *(f"f{place:02}" for place in range(19, 6, -1))]
    assert len(shown) == FEATURES_SHOWN
    traces = _draw()
    drifted = set(traces["feature that drifted", "y3"].y)
    assert drifted == {"market", *(f"f{place:02}" for place in range(11, 20))}
    assert set(traces["feature that did not", "y3"].y) == set(shown) - drifted
    assert set(traces["its highest in training", "y3"].y) == set(shown)


def test_drifted_features_come_before_others_of_a_higher_index() -> None:
    """Where there are too many features to draw, the ones that drifted are drawn."""
    high = tuple(
        make_drift(feature=f"h{place:02}", psi=2.0, highest_past_psi=3.0) for place in range(15)
    )
    report = REPORT.model_copy(
        update={"drift": _report_drift((*high, make_drift(feature="low", psi=0.2)))}
    )
    shown = [drift.feature for drift in select_drifts(report)]
    assert shown == [*(drift.feature for drift in high[:14]), "low"]


def test_the_title_has_the_window_and_the_verdict() -> None:
    """The figure can be read on its own."""
    title = plot_monitoring(REPORT).layout.title.text
    assert title == "Monitoring, 2021-01-06 to 2021-01-08: watch"


def test_a_figure_without_scored_forecasts_says_so() -> None:
    """The panels of errors have a sentence in place of points."""
    figure = plot_monitoring(REPORT.model_copy(update={"by_session": (), "comparisons": {}}))
    texts = [note.text for note in figure.layout.annotations]
    assert texts.count("no forecast can be scored yet") == 2


def test_sessions_too_few_to_judge_are_shown_alone() -> None:
    """Points without a comparison have neither a window nor a range."""
    traces = _draw(comparisons={})
    assert len(traces["session", "y"].x) == 5
    assert ("judged window", "y") not in traces
