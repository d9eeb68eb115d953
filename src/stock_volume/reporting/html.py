"""The report as one HTML file, without any other file or address."""

import math
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from stock_volume.bars.quality import QualityReport
from stock_volume.bars.rules import FLAGGING_RULES, RuleParameters, rejecting_rules
from stock_volume.evaluation.baselines import DESCRIPTIONS
from stock_volume.evaluation.results import BacktestMetrics, Interval, ModelMetrics
from stock_volume.forecaster.model import TrainingSummary
from stock_volume.metrics import in_words
from stock_volume.reporting import charts
from stock_volume.reporting.findings import Findings, MeasuredGroup
from stock_volume.reporting.glossary import TERMS
from stock_volume.reporting.verdict import in_sentences, judge

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATE: Final = "report.html.j2"
_THOUSANDS: Final = ("", " k", " M", " bn", " tn")
_THOUSAND: Final = 1000


class ReportedResults(NamedTuple):
    """The results that the report shows.

    Attributes:
        metrics: Errors of both models.
        quality: The quality of the data.
        findings: What was found beyond the measures.
        training: How the forecaster was trained.
    """

    metrics: ModelMetrics
    quality: QualityReport
    findings: Findings
    training: TrainingSummary


class ChartRow(NamedTuple):
    """A value in a chart.

    Attributes:
        name: What it is of.
        value: The value; None if it is undefined.
        interval: Its 95 % interval, if there is one.
        strong: Whether it is emphasised.
    """

    name: str
    value: float | None
    interval: Interval | None = None
    strong: bool = False


def write_html(results: ReportedResults) -> str:
    """Write the report.

    Args:
        results: The results of a run.

    Returns:
        An HTML document, which loads nothing else.
    """
    metrics = results.metrics.forecaster
    verdict = judge(metrics, results.findings)
    return (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            forecaster=metrics,
            estimator=results.metrics.estimator,
            quality=results.quality,
            findings=results.findings,
            training=results.training,
            verdict=verdict,
            sentences=in_sentences(verdict),
            baselines=_rank_baselines(metrics),
            descriptions=DESCRIPTIONS,
            reasons=_explain_rules(),
            terms=TERMS,
            rows_of=_rows_of,
        )
    )


def _rank_baselines(metrics: BacktestMetrics) -> list[ChartRow]:
    """List the forecaster and the baselines, the best first."""
    rows = [
        ChartRow("the forecaster", metrics.eta_r2, metrics.intervals_95.eta_r2, strong=True),
        *(ChartRow(name, one.eta_r2) for name, one in metrics.baselines.items()),
    ]
    return sorted(rows, key=lambda row: -math.inf if row.value is None else row.value, reverse=True)


def _rows_of(groups: Iterable[MeasuredGroup]) -> list[ChartRow]:
    return [
        ChartRow(
            group.name,
            group.measures.eta_r2,
            group.intervals_95.eta_r2 if group.intervals_95 else None,
        )
        for group in groups
    ]


@cache
def _explain_rules() -> Mapping[str, str]:
    """Return the reason of each rule about rows, by its name."""
    rules = (*FLAGGING_RULES, *rejecting_rules(RuleParameters()))
    return {rule.name: rule.reason for rule in rules}


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": "{:,}".format,
        "fixed": lambda value, digits=1: _with_minus(in_words(value, f",.{digits}f")),
        "signed": lambda value, digits=0: _with_minus(f"{value:+,.{digits}f}"),
        "short": lambda value: _with_minus(f"{value:g}"),
        "compact": format_compactly,
        "day": _format_day,
        "month": lambda day: f"{day:%b %Y}",
        "clip": lambda text, length: text if len(text) <= length else f"{text[: length - 1]}…",
    }
    environment.globals |= {
        "Axis": charts.Axis,
        "fit_axis": charts.fit_axis,
        "line": charts.line,
        "band": charts.band,
    }
    return environment


def _with_minus(number: str) -> str:
    return number.replace("-", "\N{MINUS SIGN}")


def format_compactly(value: float) -> str:
    """Write a number of shares with three digits, such as 16.8 M.

    Args:
        value: The number, 0 or more.

    Returns:
        The text.
    """
    for unit in _THOUSANDS[:-1]:
        if value < _THOUSAND - _THOUSAND / 2000:  # 999.6 is written as 1 k
            return f"{value:.3g}{unit}"
        value /= _THOUSAND
    return (f"{value:.3g}" if value < _THOUSAND else f"{value:,.0f}") + _THOUSANDS[-1]


def _format_day(day: date | None) -> str:
    return f"{day:%a} {day.day} {day:%b %Y}" if day else "—"
