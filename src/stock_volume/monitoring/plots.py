"""The figure of a monitoring, for Kedro-Viz."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # it takes half a second to import, and most runs need none
    from plotly.graph_objects import Figure

FEATURES_SHOWN: Final = 15

_TEMPLATE: Final = "plotly_white"
_BLUE: Final = "rgb(31, 119, 180)"
_BAND: Final = "rgba(31, 119, 180, 0.15)"
_GREY: Final = "rgb(170, 170, 170)"
_RED: Final = "rgb(214, 39, 40)"
_TICKS: Final = (0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
_PANELS: Final = {
    "eta_r2": "eta-R² by session, %",
    "coverage_80": "volumes from q10 to q90 by session, %",
}


def plot_monitoring(report: Mapping[str, Any]) -> "Figure":
    """Draw the errors by session beside the backtest's windows, and the drift of features.

    Args:
        report: What ``monitor`` gives.

    Returns:
        Two panels of errors, and one of the features of the highest stability index.
    """
    from plotly.subplots import make_subplots

    figure = make_subplots(
        rows=3,
        cols=1,
        row_heights=[0.25, 0.25, 0.5],
        vertical_spacing=0.09,
        subplot_titles=[*_PANELS.values(), "stability index of features (log scale)"],
    )
    for row, measure in enumerate(_PANELS, start=1):
        _draw_errors(figure, row, measure, report)
    _draw_drift(figure, 3, report)
    figure.update_layout(
        title=f"Monitoring, {report['window']['first']} to {report['window']['last']}: "
        f"{report['verdict']}",
        template=_TEMPLATE,
        height=1000,
        margin={"l": 190, "r": 30, "t": 90, "b": 110},
        legend={"orientation": "h", "y": -0.05, "yanchor": "top", "x": 0, "traceorder": "normal"},
    )
    return figure


def _draw_errors(figure: "Figure", row: int, measure: str, report: Mapping[str, Any]) -> None:
    sessions: Sequence[Mapping[str, Any]] = report["by_session"]
    days = [one["session"] for one in sessions]
    where = {"row": row, "col": 1, "showlegend": row == 1}
    figure.add_scatter(
        x=days,
        y=[one[measure] for one in sessions],
        mode="markers",
        marker={"color": _GREY, "size": 6},
        name="a session",
        **where,
    )
    compared = report["compared"].get(measure)
    recent = [day for day in days if day >= report["window"]["first"]]
    if not compared:
        if not days:
            figure.add_annotation(
                text="no forecast has come true yet", x=0.5, y=0.5, showarrow=False, row=row, col=1
            )
            figure.update_xaxes(visible=False, row=row, col=1)
            figure.update_yaxes(visible=False, row=row, col=1)
        return
    low = compared["lowest"] if compared["low"] is None else compared["low"]
    high = compared["highest"] if compared["high"] is None else compared["high"]
    line = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    figure.add_scatter(
        x=[days[0], days[-1]], y=[high, high], **line, **{**where, "showlegend": False}
    )
    figure.add_scatter(
        x=[days[0], days[-1]],
        y=[low, low],
        fill="tonexty",
        fillcolor=_BAND,
        name="usual windows of the backtest",
        **line,
        **where,
    )
    figure.add_scatter(
        x=[recent[0], recent[-1]],
        y=[compared["value"]] * 2,
        mode="lines",
        line={"color": _RED if compared["unusual"] else _BLUE, "width": 4},
        name="the window that is judged",
        **where,
    )


def _draw_drift(figure: "Figure", row: int, report: Mapping[str, Any]) -> None:
    thresholds = report["parameters"]["psi_watch"], report["parameters"]["psi_retrain"]
    shown = drifts_shown(report)[::-1]
    moved = [_beyond(one, thresholds[0]) for one in shown]
    # Two traces would put the features in an order of their own.
    order = {"categoryorder": "array", "categoryarray": [one["feature"] for one in shown]}
    markers = (
        ("a feature that moved", "psi", {"color": _RED, "size": 9}, True),
        ("a feature that did not", "psi", {"color": _BLUE, "size": 9}, False),
    )
    for name, key, marker, which in markers:
        of_kind = [one for one, has_moved in zip(shown, moved, strict=True) if has_moved is which]
        _draw_points(figure, row, of_kind, key, name, marker)
    usual = {"symbol": "line-ns-open", "color": "black", "size": 14}
    _draw_points(figure, row, shown, "usual", "its highest in training", usual)
    for threshold in thresholds:
        figure.add_vline(x=threshold, line={"dash": "dot", "color": _GREY}, row=row, col=1)
    figure.update_xaxes(
        type="log", tickvals=sorted({*_TICKS, *thresholds}), minor_showgrid=False, row=row, col=1
    )
    figure.update_yaxes(**order, row=row, col=1)


def _draw_points(  # noqa: PLR0913, PLR0917  # what a trace is made of
    figure: "Figure",
    row: int,
    drifts: Sequence[Mapping[str, Any]],
    key: str,
    name: str,
    marker: Mapping[str, Any],
) -> None:
    figure.add_scatter(
        x=[one[key] for one in drifts],
        y=[one["feature"] for one in drifts],
        mode="markers",
        marker=marker,
        name=name,
        row=row,
        col=1,
    )


def _beyond(drift: Mapping[str, Any], threshold: float) -> bool:
    usual = drift["usual"]
    return usual is not None and drift["psi"] >= threshold and drift["psi"] > usual


def drifts_shown(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Choose the features to draw: those that moved first, then by their index.

    Args:
        report: What ``monitor`` gives.

    Returns:
        At most fifteen. Features that all symbols of a session share have high indices
        at all times, and are drawn where they moved only; those of the calendar never.
    """
    threshold = report["parameters"]["psi_watch"]
    known = [
        one
        for one in report["drift"]["by_feature"]
        if one["psi"] is not None
        and (one["kind"] == "symbol" or (one["kind"] == "market" and _beyond(one, threshold)))
    ]
    known.sort(key=lambda one: (not _beyond(one, threshold), -one["psi"]))
    return sorted(known[:FEATURES_SHOWN], key=lambda one: -one["psi"])
