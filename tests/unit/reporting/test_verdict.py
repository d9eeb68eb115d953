"""The verdict in plain words."""

import pytest

from stock_volume.evaluation.results import BacktestMetrics
from stock_volume.reporting.verdict import in_sentences, judge
from tests.unit.reporting.reported import findings_of, metrics_of

METRICS = metrics_of()
FINDINGS = findings_of()


def changed(**fields: object) -> BacktestMetrics:
    return METRICS.model_copy(update=fields)


def test_the_lead_is_over_the_baseline_with_the_smallest_error() -> None:
    """The share of its squared error that the forecaster removes follows from both eta-R2."""
    lead = judge(METRICS).lead
    assert lead is not None
    eta_r2 = {name: one.eta_r2 for name, one in METRICS.baselines.items() if one.eta_r2 is not None}
    best = max(eta_r2, key=lambda name: eta_r2[name])
    assert lead.baseline == best
    left = (100 - (METRICS.eta_r2 or 0)) / (100 - eta_r2[best])
    assert lead.error_cut == pytest.approx(100 * (1 - left))
    assert lead.miss == METRICS.baselines[best].mdape


@pytest.mark.parametrize(
    ("eta_r2", "words"),
    [(90.0, "squared error is 90 % lower"), (-5.0, "no better than"), (None, "do not vary enough")],
)
def test_the_lead_is_put_into_words(eta_r2: float | None, words: str) -> None:
    """A lead, no lead, and nothing to compare are three sentences."""
    text = " ".join(in_sentences(judge(changed(eta_r2=eta_r2))))
    assert words in text
    assert "None" not in text


@pytest.mark.parametrize(
    ("coverage", "words"),
    [
        (80.4, "80.4 % of the volumes were inside the 80 % interval, as promised"),
        (70.0, "too narrow"),
        (90, "too wide"),
    ],
)
def test_the_coverage_is_judged(coverage: float, words: str) -> None:
    """A coverage near 80 % is right; the interval is too narrow below, too wide above."""
    assert words in " ".join(in_sentences(judge(changed(coverage_80=coverage))))


def test_weak_groups_are_named() -> None:
    """The group with the largest miss and the one with the narrowest interval are named."""
    bucket, *others = FINDINGS.by_bucket
    bad = bucket.measures.model_copy(update={"mdape": 300.0, "coverage_80": 12.3, "n": 1000})
    findings = FINDINGS.model_copy(
        update={"by_bucket": (bucket.model_copy(update={"measures": bad}), *others)}
    )
    text = " ".join(in_sentences(judge(METRICS, findings)))
    assert "misses more on symbols that trade below 100k dollars a day (typical miss 300 %)" in text
    assert "symbols that trade below 100k dollars a day (12 % inside)" in text


def test_a_group_of_few_rows_is_not_named() -> None:
    """Chance decides what a few rows measure."""
    bucket, *others = FINDINGS.by_bucket
    few = bucket.measures.model_copy(update={"mdape": 300.0, "n": 20})
    findings = FINDINGS.model_copy(
        update={"by_bucket": (bucket.model_copy(update={"measures": few}), *others)}
    )
    assert "300 %" not in " ".join(in_sentences(judge(METRICS, findings)))
