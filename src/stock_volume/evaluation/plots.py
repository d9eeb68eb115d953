"""Figures of a backtest, for Kedro-Viz and the model card."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import polars as pl

from stock_volume import columns
from stock_volume.evaluation.equal_groups import MIN_SESSIONS_OF_MONTH
from stock_volume.evaluation.headline import select_headline
from stock_volume.evaluation.measures import PER_CENT, eta_of, eta_r2_of
from stock_volume.features.registry import ETA
from stock_volume.forecaster.model import FORECAST, INTERVAL_NAMES, MA5, quantile_name
from stock_volume.forecaster.universe import BUCKET, BUCKETS

if TYPE_CHECKING:  # it takes half a second to import, and most runs need none
    from plotly.graph_objects import Figure

_GROUPS: Final = 20
_FEATURES_SHOWN: Final = 30
_SYMBOLS_SHOWN: Final = 4
_SESSIONS_SHOWN: Final = 120
_TEMPLATE: Final = "plotly_white"


def _figure(title: str, x: str, y: str) -> "Figure":
    from plotly.graph_objects import Figure

    figure = Figure()
    figure.update_layout(title=title, xaxis_title=x, yaxis_title=y, template=_TEMPLATE)
    return figure


def _headline(backtest: pl.LazyFrame) -> pl.DataFrame:
    return select_headline(backtest.collect(engine="streaming"))


def plot_calibration(backtest: pl.LazyFrame, levels: Sequence[float]) -> "Figure":
    """Draw how often volumes are below each quantile, by bucket of liquidity.

    Args:
        backtest: Rows of ``run_backtest``.
        levels: Levels of its quantiles.

    Returns:
        One line per bucket, and the diagonal of calibrated quantiles.
    """
    rows = _headline(backtest)
    figure = _figure(
        "Calibration of the quantiles", "level of the quantile, %", "volumes below it, %"
    )
    nominal = [PER_CENT * level for level in levels]
    volume = pl.col(columns.VOLUME)
    for number, bucket in enumerate(BUCKETS):
        of_bucket = rows.filter(pl.col(BUCKET) == number)
        if of_bucket.height:
            below = of_bucket.select(
                (PER_CENT * (volume <= pl.col(quantile_name(level))).mean()).alias(str(level))
                for level in levels
            ).row(0)
            figure.add_scatter(x=nominal, y=below, name=bucket, mode="lines+markers")
    figure.add_scatter(
        x=[0, 100], y=[0, 100], name="calibrated", mode="lines", line={"dash": "dot"}
    )
    figure.update_layout(legend_title_text="dollars a day")
    return figure


def plot_reliability(backtest: pl.LazyFrame) -> "Figure":
    """Draw the mean observed eta against the mean forecast.

    Args:
        backtest: Rows of ``run_backtest``.

    Returns:
        One point per twentieth of the rows, in order of the forecast.
    """
    rows = _headline(backtest).select(ETA, eta_of(FORECAST).alias(FORECAST)).sort(FORECAST)
    group = (pl.int_range(pl.len()) * _GROUPS // pl.len()).alias("group")
    points = rows.group_by(group, maintain_order=True).agg(pl.all().mean())
    figure = _figure("Reliability of the forecast", "mean forecast of eta", "mean eta")
    figure.add_scatter(x=points[FORECAST].to_list(), y=points[ETA].to_list(), mode="markers")
    ends = [float(points[FORECAST][0]), float(points[FORECAST][-1])]
    figure.add_scatter(x=ends, y=ends, mode="lines", line={"dash": "dot"})
    figure.update_layout(showlegend=False)
    return figure


def plot_errors(backtest: pl.LazyFrame) -> "Figure":
    """Draw eta-R2 by month, one line per bucket of liquidity, without months of few sessions.

    Args:
        backtest: Rows of ``run_backtest``.

    Returns:
        The figure.
    """
    rows = _headline(backtest)
    figure = _figure("eta-R² by month of the target session", "month", "eta-R², %")
    rows = _without_short_months(rows.with_columns(_month_of_target().alias("month")))
    groups = [("all", rows)] + [
        (bucket, rows.filter(pl.col(BUCKET) == number)) for number, bucket in enumerate(BUCKETS)
    ]
    for name, of_group in groups:
        months = of_group.group_by("month").agg(eta_r2_of(FORECAST)).sort("month")
        if months.height:
            figure.add_scatter(
                x=months["month"].cast(pl.String).to_list(),
                y=months["eta_r2"].to_list(),
                name=name,
                mode="lines+markers",
                line={"width": 4 if name == "all" else 1.5},
            )
    figure.update_layout(legend_title_text="dollars a day")
    return figure


def _month_of_target() -> pl.Expr:
    return pl.col(columns.TARGET_DATE).dt.truncate("1mo")


def _without_short_months(rows: pl.DataFrame) -> pl.DataFrame:
    """Leave out months of few sessions, unless there are no others."""
    sessions = pl.col(columns.TARGET_DATE).n_unique().over(_month_of_target())
    whole = rows.filter(sessions >= MIN_SESSIONS_OF_MONTH)
    return rows if whole.is_empty() else whole


def plot_importance(importance: Mapping[str, float]) -> "Figure":
    """Draw the features with the largest gain.

    Args:
        importance: Share of the gain by feature.

    Returns:
        The first thirty, as bars.
    """
    first = sorted(importance.items(), key=lambda item: item[1])[-_FEATURES_SHOWN:]
    figure = _figure("Importance of the features", "share of the gain of all splits, %", "")
    figure.add_bar(
        x=[PER_CENT * share for _, share in first],
        y=[name for name, _ in first],
        orientation="h",
    )
    figure.update_layout(height=800, margin={"l": 260})
    return figure


def plot_symbols(backtest: pl.LazyFrame) -> "Figure":
    """Draw forecast and volume of a few symbols, from the most to the least liquid.

    Args:
        backtest: Rows of ``run_backtest``.

    Returns:
        One panel per symbol: its last sessions, with the band from quantile 0.1 to 0.9.
    """
    from plotly.subplots import make_subplots

    rows = _headline(backtest)
    symbols = choose_symbols(rows)
    figure = make_subplots(
        rows=len(symbols), cols=1, shared_xaxes=True, subplot_titles=symbols, vertical_spacing=0.06
    )
    for place, symbol in enumerate(symbols, start=1):
        last = rows.filter(pl.col(columns.SYMBOL) == symbol).tail(_SESSIONS_SHOWN)
        _draw_symbol(figure, last, place)
    figure.update_layout(
        title="Forecast and volume, in shares (log scale)",
        height=260 * len(symbols),
        template=_TEMPLATE,
    )
    figure.update_yaxes(type="log")
    return figure


def choose_symbols(rows: pl.DataFrame) -> list[str]:
    """Choose symbols at even ranks of dollar volume that are scored to the end.

    Args:
        rows: Rows of a backtest.

    Returns:
        At most four symbols, the most liquid first.
    """
    dollars = pl.col(MA5) * pl.col(columns.CLOSE)
    ranked = (
        rows.filter(
            pl.col(columns.TARGET_DATE).max().over(columns.SYMBOL)
            == pl.col(columns.TARGET_DATE).max()
        )
        .group_by(columns.SYMBOL)
        .agg(dollars.median().alias("dollars"))
        .sort("dollars", columns.SYMBOL, descending=[True, False])[columns.SYMBOL]
    )
    count = min(_SYMBOLS_SHOWN, len(ranked))
    return [ranked[place * (len(ranked) - 1) // max(count - 1, 1)] for place in range(count)]


def _draw_symbol(figure: "Figure", rows: pl.DataFrame, place: int) -> None:
    days = rows[columns.TARGET_DATE].cast(pl.String).to_list()
    first = place == 1

    def line(column: str, name: str, **style: object) -> None:
        figure.add_scatter(
            x=days,
            y=rows[column].to_list(),
            name=name,
            legendgroup=name,
            row=place,
            col=1,
            mode="lines",
            **style,
        )

    hidden = {"line": {"width": 0}, "fillcolor": "rgba(31, 119, 180, 0.2)", "showlegend": False}
    lower, upper = INTERVAL_NAMES
    line(upper, "10 to 90 %", **hidden)
    line(lower, "10 to 90 %", **{**hidden, "fill": "tonexty", "showlegend": first})
    line(FORECAST, "forecast", line={"color": "rgb(31, 119, 180)"}, showlegend=first)
    line(columns.VOLUME, "volume", line={"color": "black", "width": 1}, showlegend=first)
