"""The verdict on the forecaster, in plain words: for the report, its Markdown and the terminal."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from stock_volume.evaluation.baselines import DESCRIPTIONS
from stock_volume.evaluation.results import BacktestMetrics, GroupMetrics
from stock_volume.reporting.findings import Findings

_MIN_ROWS: Final = 100
_MIN_SESSIONS: Final = 4
"""Rows and sessions that a group needs to be called weak."""

_MUCH_WORSE: Final = 1.2
"""Ratio of a group's typical miss to that of all rows from which on it is named."""

_NOMINAL_COVERAGE: Final = 80.0
_TOLERATED: Final = 2.0
"""Points by which the coverage may miss 80 %."""

_MIN_COVERAGE: Final = 70.0
"""Coverage of a group below which it is named."""


class Lead(NamedTuple):
    """How much better the forecaster is than the best baseline.

    Attributes:
        baseline: The baseline with the lowest squared error of log volume.
        error_cut: Share of its squared error that the forecaster removes, in per cent.
        miss: MdAPE of the baseline, in per cent.
    """

    baseline: str
    error_cut: float
    miss: float


class Verdict(NamedTuple):
    """The verdict on the forecaster.

    Attributes:
        miss: MdAPE of the forecaster, in per cent; None without a value.
        lead: The lead over the best baseline; None where the volumes do not vary.
        coverage: Coverage of the 80 % interval, in per cent.
        misses: Groups in which the typical miss is much larger, with the miss in per cent.
        narrow: Groups whose intervals are far too narrow, with their coverage in per cent.
    """

    miss: float | None
    lead: Lead | None
    coverage: float | None
    misses: Mapping[str, float]
    narrow: Mapping[str, float]


def judge(metrics: BacktestMetrics, findings: Findings | None = None) -> Verdict:
    """Judge the forecaster.

    Args:
        metrics: Measures of the backtest.
        findings: Groups that may be weak; None to leave them out.

    Returns:
        The verdict.
    """
    return Verdict(
        miss=metrics.mdape,
        lead=_find_lead(metrics),
        coverage=metrics.coverage_80,
        misses=_find_misses(metrics, findings) if findings else {},
        narrow=_find_narrow(findings) if findings else {},
    )


def _find_lead(metrics: BacktestMetrics) -> Lead | None:
    known = {
        name: (one.eta_r2, one.mdape)
        for name, one in metrics.baselines.items()
        if one.eta_r2 is not None and one.mdape is not None
    }
    if not known or metrics.eta_r2 is None:
        return None
    best, (eta_r2, miss) = max(known.items(), key=lambda item: item[1][0])
    left = _error_left(metrics.eta_r2) / _error_left(eta_r2) if eta_r2 < 100 else 1.0  # noqa: PLR2004
    return Lead(best, 100 * (1 - left), miss)


def _error_left(eta_r2: float) -> float:
    """Return the squared error, in units of the squared error of the five-day mean."""
    return 1 - eta_r2 / 100


def _find_misses(metrics: BacktestMetrics, findings: Findings) -> dict[str, float]:
    """Find, of each way to group, the group with the largest MdAPE if it is much larger."""
    found = {}
    for groups in _describe_groups(findings):
        known = {name: one.mdape for name, one in groups.items() if one.mdape is not None}
        worst = max(known, key=lambda name: known[name], default=None)
        if worst and metrics.mdape and known[worst] > _MUCH_WORSE * metrics.mdape:
            found[worst] = known[worst]
    return found


def _find_narrow(findings: Findings) -> dict[str, float]:
    return {
        name: one.coverage_80
        for groups in _describe_groups(findings)
        for name, one in groups.items()
        if one.coverage_80 is not None and one.coverage_80 < _MIN_COVERAGE
    }


def _describe_groups(findings: Findings) -> list[dict[str, GroupMetrics]]:
    """Name the groups that are large enough to be judged, in plain words."""
    ways = {
        "symbols that trade {} dollars a day": findings.by_bucket,
        "{}": findings.by_security,
        "symbols whose volume varies by {} in logs": findings.by_variability,
        "sessions of the kind '{}'": findings.by_session,
        "the month {}": findings.by_month,
    }
    return [
        {words.format(one.name): one.measures for one in groups if _is_large_enough(one.measures)}
        for words, groups in ways.items()
    ]


def _is_large_enough(measures: GroupMetrics) -> bool:
    return measures.n >= _MIN_ROWS and measures.sessions >= _MIN_SESSIONS


def in_sentences(verdict: Verdict) -> list[str]:
    """Write the verdict in plain words.

    Args:
        verdict: The verdict.

    Returns:
        Sentences.
    """
    return list(_sentences(verdict))


def _sentences(verdict: Verdict) -> Iterator[str]:
    if verdict.miss is not None:
        yield (
            f"The typical miss is {verdict.miss:.1f} %: half of the forecasts are closer to the "
            "actual volume, half are farther off."
        )
    yield _compare(verdict.lead)
    if verdict.coverage is not None:
        yield (
            f"{verdict.coverage:.1f} % of the volumes were inside the 80 % interval"
            f"{_judge_coverage(verdict.coverage)}."
        )
    if verdict.misses:
        yield f"It misses more on {_list_groups(verdict.misses, 'typical miss {:.0f} %')}."
    if verdict.narrow:
        named = _list_groups(verdict.narrow, "{:.0f} % inside")
        yield f"The interval is far too narrow on {named}."


def _list_groups(groups: Mapping[str, float], words: str) -> str:
    *others, last = [f"{name} ({words.format(share)})" for name, share in groups.items()]
    return f"{', '.join(others)} and {last}" if others else last


def _judge_coverage(coverage: float) -> str:
    if abs(coverage - _NOMINAL_COVERAGE) <= _TOLERATED:
        return ", as promised"
    return ": it is too " + ("narrow" if coverage < _NOMINAL_COVERAGE else "wide")


def _compare(lead: Lead | None) -> str:
    if lead is None:
        return "The volumes do not vary enough to compare the forecast with simple rules."
    rule = f"the best simple rule, {DESCRIPTIONS.get(lead.baseline, lead.baseline)}"
    if lead.error_cut <= 0:
        return f"It is no better than {rule}, whose typical miss is {lead.miss:.1f} %."
    return (
        f"Its squared error is {lead.error_cut:.0f} % lower than that of {rule}, whose typical "
        f"miss is {lead.miss:.1f} %."
    )
