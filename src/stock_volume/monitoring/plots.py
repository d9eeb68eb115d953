"""Draw the monitoring report for Kedro-Viz."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from stock_volume.monitoring.report import (
    Comparison,
    FeatureDrift,
    FeatureKind,
    Measure,
    MonitoringReport,
    SessionErrors,
)

if TYPE_CHECKING:  # it takes half a second to import, and most runs need none
    from plotly.graph_objects import Figure

FEATURES_SHOWN: Final = 15

_TEMPLATE: Final = "plotly_white"
_BLUE: Final = "rgb(31, 119, 180)"
_BAND: Final = "rgba(31, 119, 180, 0.15)"
_GREY: Final = "rgb(170, 170, 170)"
_RED: Final = "rgb(214, 39, 40)"
_TICKS: Final = (0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)


class _Panel(NamedTuple):
    """A panel of errors by session."""

    measure: Measure
    title: str
    get: Callable[[SessionErrors], float]


_PANELS: Final = (
    _Panel(Measure.ETA_R2, "eta-R² by session, %", lambda errors: errors.eta_r2),
    _Panel(
        Measure.COVERAGE_80,
        "volumes from q10 to q90 by session, %",
        lambda errors: errors.coverage_80,
    ),
)
_DRIFT: Final = {"row": len(_PANELS) + 1, "col": 1}


def plot_monitoring(report: MonitoringReport) -> "Figure":
    """Draw the errors by session with the backtest's usual range, and the drift of features.

    Args:
        report: The monitoring report.

    Returns:
        Two panels of errors, and one of the features with the highest stability index.
    """
    from plotly.subplots import make_subplots

    figure = make_subplots(
        rows=3,
        cols=1,
        row_heights=[0.25, 0.25, 0.5],
        vertical_spacing=0.09,
        subplot_titles=[
            *(panel.title for panel in _PANELS),
            "stability index of features (log scale)",
        ],
    )
    for row, panel in enumerate(_PANELS, start=1):
        _draw_errors(figure, row, panel, report)
    _draw_drift(figure, report)
    window = report.window
    figure.update_layout(
        title=f"Monitoring, {window.first} to {window.last}: {report.verdict}",
        template=_TEMPLATE,
        height=1000,
        margin={"l": 190, "r": 30, "t": 90, "b": 110},
        legend={"orientation": "h", "y": -0.05, "yanchor": "top", "x": 0, "traceorder": "normal"},
    )
    return figure


def _draw_errors(figure: "Figure", row: int, panel: _Panel, report: MonitoringReport) -> None:
    days = [errors.session.isoformat() for errors in report.by_session]
    place = {"row": row, "col": 1, "showlegend": row == 1}
    figure.add_scatter(
        x=days,
        y=list(map(panel.get, report.by_session)),
        mode="markers",
        marker={"color": _GREY, "size": 6},
        name="session",
        **place,
    )
    comparison = report.comparisons.get(panel.measure)
    if comparison:
        judged = [day for day in days if day >= report.window.first.isoformat()]
        _draw_band(figure, place, (days[0], days[-1]), comparison)
        _draw_window(figure, place, (judged[0], judged[-1]), comparison)
    elif not days:
        _draw_notice(figure, row, "no forecast can be scored yet")


def _draw_band(
    figure: "Figure", place: Mapping[str, int | bool], ends: tuple[str, str], comparison: Comparison
) -> None:
    """Fill the usual range between two invisible lines."""
    low = comparison.lowest if comparison.low is None else comparison.low
    high = comparison.highest if comparison.high is None else comparison.high
    line = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    figure.add_scatter(x=ends, y=[high, high], **line, **{**place, "showlegend": False})
    figure.add_scatter(
        x=ends,
        y=[low, low],
        fill="tonexty",
        fillcolor=_BAND,
        name="usual range of backtest windows",
        **line,
        **place,
    )


def _draw_window(
    figure: "Figure", place: Mapping[str, int | bool], ends: tuple[str, str], comparison: Comparison
) -> None:
    figure.add_scatter(
        x=ends,
        y=[comparison.value] * 2,
        mode="lines",
        line={"color": _RED if comparison.unusual else _BLUE, "width": 4},
        name="judged window",
        **place,
    )


def _draw_notice(figure: "Figure", row: int, text: str) -> None:
    """Replace an empty panel by a sentence."""
    figure.add_annotation(text=text, x=0.5, y=0.5, showarrow=False, row=row, col=1)
    figure.update_xaxes(visible=False, row=row, col=1)
    figure.update_yaxes(visible=False, row=row, col=1)


def _draw_drift(figure: "Figure", report: MonitoringReport) -> None:
    parameters = report.parameters
    shown = select_drifts(report)[::-1]
    drifted = [drift for drift in shown if drift.exceeds(parameters.psi_watch)]
    others = [drift for drift in shown if not drift.exceeds(parameters.psi_watch)]
    _draw_psi(figure, drifted, "feature that drifted", _RED)
    _draw_psi(figure, others, "feature that did not", _BLUE)
    figure.add_scatter(
        x=[drift.highest_past_psi for drift in shown],
        y=[drift.feature for drift in shown],
        mode="markers",
        marker={"symbol": "line-ns-open", "color": "black", "size": 14},
        name="its highest in training",
        **_DRIFT,
    )
    thresholds = parameters.psi_watch, parameters.psi_retrain
    for threshold in thresholds:
        figure.add_vline(x=threshold, line={"dash": "dot", "color": _GREY}, **_DRIFT)
    figure.update_xaxes(
        type="log", tickvals=sorted({*_TICKS, *thresholds}), minor_showgrid=False, **_DRIFT
    )
    # Without it, Plotly would list the features trace by trace.
    order = [drift.feature for drift in shown]
    figure.update_yaxes(categoryorder="array", categoryarray=order, **_DRIFT)


def _draw_psi(figure: "Figure", drifts: Sequence[FeatureDrift], name: str, color: str) -> None:
    figure.add_scatter(
        x=[drift.psi for drift in drifts],
        y=[drift.feature for drift in drifts],
        mode="markers",
        marker={"color": color, "size": 9},
        name=name,
        **_DRIFT,
    )


def select_drifts(report: MonitoringReport) -> list[FeatureDrift]:
    """Select the features to draw: first those that drifted, then by their index.

    Args:
        report: The monitoring report.

    Returns:
        At most fifteen, the highest index first. Features of the market have a high index at
        all times, and are drawn only if they drifted; features of the calendar never are.
    """

    def exceeds(drift: FeatureDrift) -> bool:
        return drift.exceeds(report.parameters.psi_watch)

    known = [
        (drift.psi, drift)
        for drift in report.drift.by_feature
        if drift.psi is not None
        and (
            drift.kind == FeatureKind.SYMBOL
            or (drift.kind == FeatureKind.MARKET and exceeds(drift))
        )
    ]
    known.sort(key=lambda pair: (not exceeds(pair[1]), -pair[0]))
    shown = sorted(known[:FEATURES_SHOWN], key=lambda pair: -pair[0])
    return [drift for _, drift in shown]
