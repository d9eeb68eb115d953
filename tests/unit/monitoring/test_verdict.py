"""The verdict and its reasons."""

from typing import Any, Final

import pytest

from stock_volume.monitoring.parameters import MonitorParameters, Verdict
from stock_volume.monitoring.report import Comparison, Measure
from stock_volume.monitoring.verdict import Judgement, judge
from tests.unit.monitoring_helpers import NO_FORECASTS, make_comparison, make_drift_report

FORECASTS: Final = NO_FORECASTS.model_copy(
    update={
        "logged": 2000,
        "without_outcome": 500,
        "scored": 1500,
        "compared": 1200,
        "backtest_windows": 480,
    }
)
DRIFT: Final = make_drift_report(
    features=191, drifted=3, drifted_gain=1.2, strongly_drifted=1, strongly_drifted_gain=0.4
)
USUAL: Final = {
    Measure.BIAS: make_comparison(),
    Measure.RMSE: make_comparison(0.6, median=0.58, low=None, high=0.7, highest=0.8),
}


def _judge(
    comparisons: dict[Measure, Comparison] | None = None,
    drift: dict[str, Any] | None = None,
    **forecasts: int,
) -> Judgement:
    return judge(
        FORECASTS.model_copy(update=forecasts),
        comparisons or USUAL,
        DRIFT.model_copy(update=drift),
        MonitorParameters(),
    )


def test_nothing_unusual_is_ok() -> None:
    """The reasons of ok name what was compared, with figures."""
    verdict, (errors, inputs) = _judge()
    assert verdict == "ok"
    assert "the errors of 1,200 forecasts are in the usual range" in errors
    assert "the mean error of log volume +0.000 (median +0.000)" in errors
    assert "root mean squared error of log volume 0.600 (median 0.580)" in errors
    assert "1.2 % of the model's gain" in inputs


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.101, Verdict.WATCH), (0.25, Verdict.WATCH), (0.2501, Verdict.RETRAIN)],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_unusual_errors_are_watched_and_extreme_ones_call_for_retraining(
    value: float, expected: Verdict, sign: int
) -> None:
    """Retrain starts a quarter beyond the worst of the backtest's windows."""
    verdict, (reason,) = _judge({Measure.BIAS: make_comparison(sign * value)})
    assert verdict == expected
    bound = "above the backtest's usual maximum of +0.100"
    if sign < 0:
        bound = "below the backtest's usual minimum of -0.100"
    assert reason == (
        f"the mean error of log volume is {sign * value:+.3f}, {bound}: it is {value / 0.2:.2f} "
        "times as far from the median of +0.000 as the worst backtest window"
    )


def test_an_infinite_error_calls_for_retraining() -> None:
    """An error that no number can express is worse than any window."""
    infinite = make_comparison(float("inf"), low=None)
    verdict, (reason,) = _judge({Measure.RMSE: infinite})
    assert verdict == "retrain"
    assert reason.startswith("the root mean squared error of log volume is inf, above")


def test_a_value_in_the_usual_range_is_ok_however_narrow_the_windows() -> None:
    """A value between the bounds is no finding, even beyond the lowest and highest window."""
    comparison = make_comparison(0.09, lowest=-0.01, highest=0.01)
    assert _judge({Measure.BIAS: comparison}).verdict == "ok"


@pytest.mark.parametrize(
    ("drift", "expected"),
    [
        ({"drifted_gain": 14.9}, Verdict.OK),
        ({"drifted_gain": 15.0}, Verdict.WATCH),
        ({"drifted_gain": 90.0, "strongly_drifted_gain": 49.9}, Verdict.WATCH),
        ({"drifted_gain": 90.0, "strongly_drifted_gain": 50.0}, Verdict.RETRAIN),
    ],
)
def test_drift_counts_by_its_share_of_the_gain(drift: dict[str, Any], expected: Verdict) -> None:
    """The thresholds are shares of the gain; a share equal to one reaches it."""
    verdict, reasons = _judge(drift=drift)
    assert verdict == expected
    if expected == Verdict.WATCH:
        assert reasons[0] == (
            f"3 of 191 features, with {drift['drifted_gain']:.1f} % of the model's gain, have "
            "drifted: their stability index is at least 0.1 and above that of every past window"
        )
    if expected == Verdict.RETRAIN:
        assert reasons[0].startswith("1 of 191 features, with 50.0 %")
        assert "at least 0.25 and" in reasons[0]


def test_drift_that_training_has_seen_is_watched_at_most() -> None:
    """Retraining would not help where training knows the inputs already."""
    verdict, (reason,) = _judge(
        drift={"drifted_gain": 90.0, "strongly_drifted_gain": 50.0, "seen_sessions": 3}
    )
    assert verdict == "watch"
    assert reason.endswith("; training has already seen 3 of these sessions")


def test_the_most_severe_finding_is_the_verdict_and_comes_first() -> None:
    """All findings are reasons, in order of severity."""
    coverage = make_comparison(60, low=77, median=80, high=83, lowest=76, highest=84)
    verdict, reasons = _judge(
        {Measure.BIAS: make_comparison(0.15), Measure.COVERAGE_80: coverage},
        drift={"drifted_gain": 20.0},
    )
    assert verdict == "retrain"
    assert [reason.split(" is ")[0].split(",")[0] for reason in reasons] == [
        "the share of volumes from q10 to q90",
        "the mean error of log volume",
        "3 of 191 features",
    ]


def test_an_empty_log_is_watched() -> None:
    """The reason says that the log is empty, and what fills it."""
    verdict, (reason,) = judge(NO_FORECASTS, {}, DRIFT, MonitorParameters())
    assert verdict == "watch"
    assert reason == (
        "no forecast can be scored yet: the log has none for the last 22 sessions; every run and "
        "update logs its forecasts, and the next bars bring their outcomes"
    )


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"without_outcome": 2000}, "2,000 without a volume so far"),
        (
            {"without_outcome": 1, "seen_by_training": 1990, "made_too_late": 9},
            (
                "1 without a volume so far, 1,990 for sessions that the model was trained on, "
                "9 made after their session"
            ),
        ),
        (
            {"by_other_forecasters": 1990, "without_outcome": 10},
            "10 without a volume so far, 1,990 made by other forecasters than the one in use",
        ),
        ({"not_comparable": 2000, "without_outcome": 0}, "2,000 for symbols too new to compare"),
        ({"without_outcome": 0}, "the backtest measures another kind of security"),
    ],
)
def test_a_log_without_a_scored_forecast_is_watched(counts: dict[str, int], words: str) -> None:
    """The reason lists why forecasts were left out, with counts."""
    verdict, (reason,) = _judge(None, None, compared=0, **counts)
    assert verdict == "watch"
    assert reason == (
        "no forecast can be scored yet: of 2,000 logged for the last 22 sessions or later, none "
        f"qualifies ({words})"
    )


def test_too_few_forecasts_are_watched() -> None:
    """The reason names the number and the minimum, which itself is enough."""
    verdict, (reason,) = _judge(compared=49)
    assert verdict == "watch"
    assert reason == (
        "only 49 forecasts for the last 22 sessions can be scored; judging their errors takes 50 "
        "(monitor.min_forecasts)"
    )
    others = _judge(compared=49, by_other_forecasters=1100).reasons
    assert others == (f"{reason}; 1,100 by other forecasters do not count",)
    assert _judge(compared=50).verdict == "ok"


def test_a_short_backtest_is_watched() -> None:
    """The reason names the number of windows and the minimum, which itself is enough."""
    verdict, (reason,) = _judge(backtest_windows=19)
    assert verdict == "watch"
    assert "the backtest has 19 windows" in reason
    assert _judge(backtest_windows=20).verdict == "ok"


def test_a_short_training_is_watched() -> None:
    """Inputs that cannot be compared are a finding, and their gain is ignored."""
    verdict, (reason,) = _judge(drift={"comparable": False, "strongly_drifted_gain": 99.0})
    assert verdict == "watch"
    assert reason.startswith("the drift of the inputs cannot be measured: training has fewer than")
