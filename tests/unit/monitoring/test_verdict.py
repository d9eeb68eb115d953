"""The verdict and its parameters."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from kedro.config import OmegaConfigLoader
from pydantic import ValidationError

from stock_volume.monitoring.parameters import ExitCodes, MonitorParameters, Verdict
from stock_volume.monitoring.scoring import Comparison
from stock_volume.monitoring.verdict import judge
from tests.unit.monitoring_helpers import comparison_of

CONF: Final = Path(__file__).parents[3] / "conf"
FORECASTS: Final = {
    "logged": 2000,
    "by_other_forecasters": 0,
    "seen_by_training": 0,
    "made_too_late": 0,
    "repeated": 0,
    "not_come_true": 500,
    "not_comparable": 0,
    "scored": 1500,
    "compared": 1200,
    "windows": 480,
}
DRIFT: Final = {
    "comparable": True,
    "features": 191,
    "moved": 3,
    "moved_gain": 1.2,
    "moved_far": 1,
    "moved_far_gain": 0.4,
    "seen_sessions": 0,
}
USUAL: Final = (comparison_of(), comparison_of(measure="rmse", value=0.6, median=0.58, high=0.7))


def _judged(
    *comparisons: Comparison, drift: Mapping[str, Any] | None = None, **forecasts: int
) -> tuple[Verdict, list[str]]:
    return judge(
        FORECASTS | forecasts, comparisons or USUAL, {**DRIFT, **(drift or {})}, MonitorParameters()
    )


def test_nothing_unusual_is_ok() -> None:
    """The reasons of ok say what was compared, with figures."""
    verdict, (errors, inputs) = _judged()
    assert verdict == "ok"
    assert "1,200 forecasts are as usual" in errors
    assert "the mean error of log volume +0.000 (median +0.000)" in errors
    assert "root mean squared error of log volume 0.600 (median 0.580)" in errors
    assert "1.2 % of the model's gain" in inputs


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.101, Verdict.WATCH), (0.25, Verdict.WATCH), (0.2501, Verdict.RETRAIN)],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_errors_beyond_the_usual_are_watched_and_far_beyond_retrained(
    value: float, expected: Verdict, sign: int
) -> None:
    """Retrain begins a quarter further out than the furthest of the backtest's windows."""
    verdict, (reason,) = _judged(comparison_of(value=sign * value))
    assert verdict == expected
    side, bound = ("above", "+0.100") if sign > 0 else ("below", "-0.100")
    assert f"{side} the usual {bound}" in reason
    assert f"{value / 0.2:.2f} times" in reason


def test_a_usual_value_is_no_reason_however_narrow_the_windows() -> None:
    """What is inside the bounds stays ok, also where the extremes are nearer than that."""
    verdict, _ = _judged(comparison_of(value=0.09, lowest=-0.01, highest=0.01))
    assert verdict == "ok"


@pytest.mark.parametrize(
    ("drift", "expected"),
    [
        ({"moved_gain": 14.9}, Verdict.OK),
        ({"moved_gain": 15.0}, Verdict.WATCH),
        ({"moved_gain": 90.0, "moved_far_gain": 49.9}, Verdict.WATCH),
        ({"moved_gain": 90.0, "moved_far_gain": 50.0}, Verdict.RETRAIN),
    ],
)
def test_inputs_count_by_the_gain_that_moved(drift: dict[str, Any], expected: Verdict) -> None:
    """The thresholds are shares of the gain, and what reaches them counts."""
    verdict, reasons = _judged(drift=drift)
    assert verdict == expected
    if expected == Verdict.WATCH:
        assert reasons == [
            (
                f"3 of 191 features, which make {drift['moved_gain']:.1f} % of the model's gain, "
                "have a stability index of 0.1 or more, above any of their windows in training"
            )
        ]
    if expected == Verdict.RETRAIN:
        assert reasons[0].startswith("1 of 191 features, which make 50.0 %")
        assert "0.25 or more" in reasons[0]


def test_inputs_that_training_has_seen_are_watched_at_most() -> None:
    """To train anew would not bring back inputs that training knows."""
    verdict, (reason,) = _judged(
        drift={"moved_gain": 90.0, "moved_far_gain": 50.0, "seen_sessions": 3}
    )
    assert verdict == "watch"
    assert reason.endswith("; the training has seen 3 of the sessions")


def test_the_gravest_finding_is_the_verdict_and_stands_first() -> None:
    """All findings are told, the gravest before the others."""
    verdict, reasons = _judged(
        comparison_of(value=0.15),
        comparison_of(measure="coverage_80", value=60, low=77, median=80, high=83, lowest=76),
        drift={"moved_gain": 20.0},
    )
    assert verdict == "retrain"
    assert [reason.split(" is ")[0].split(",")[0] for reason in reasons] == [
        "the share of volumes from q10 to q90",
        "the mean error of log volume",
        "3 of 191 features",
    ]


def test_an_empty_log_is_watched_and_plain() -> None:
    """Nothing logged says so, and what fills the log."""
    nothing = dict.fromkeys(FORECASTS, 0)
    verdict, reasons = judge(nothing, [], DRIFT, MonitorParameters())
    assert verdict == "watch"
    assert len(reasons) == 1
    assert reasons[0].startswith("no forecast has come true yet: the log has none for the last 22")


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"not_come_true": 2000}, "(2,000 without a volume so far)"),
        (
            {"not_come_true": 1, "seen_by_training": 1990, "made_too_late": 9},
            (
                "(1 without a volume so far, 1,990 of sessions that the model was trained on, "
                "9 made after their session)"
            ),
        ),
        (
            {"by_other_forecasters": 1990, "not_come_true": 10},
            ("(10 without a volume so far, 1,990 made by other forecasters than the one in use)"),
        ),
        ({"not_comparable": 2000, "not_come_true": 0}, "(2,000 of symbols too new to compare)"),
        ({"not_come_true": 0}, "(none is of the kind of security that the backtest measures)"),
    ],
)
def test_a_log_of_which_nothing_counts_says_why(counts: dict[str, int], words: str) -> None:
    """The counts of what cannot be scored are the reason."""
    verdict, (reason,) = _judged(drift=None, **{"compared": 0, **counts})
    assert verdict == "watch"
    assert reason.startswith("no forecast has come true yet: of 2,000 logged for the last 22")
    assert reason.endswith(words)


def test_few_forecasts_are_watched() -> None:
    """A number below the least is told with it; the least itself is enough."""
    verdict, (reason,) = _judged(compared=49)
    assert verdict == "watch"
    assert reason.startswith(
        "only 49 forecasts for the last 22 sessions have come true; it takes 50"
    )
    assert reason.endswith("to judge their errors")
    others = _judged(compared=49, by_other_forecasters=1100)[1]
    assert others == [f"{reason}; 1,100 made by other forecasters are left out"]
    assert _judged(compared=50)[0] == "ok"


def test_a_short_backtest_is_watched() -> None:
    """Too few windows to compare with are told."""
    verdict, (reason,) = _judged(windows=19)
    assert verdict == "watch"
    assert "the backtest has 19 windows" in reason
    assert _judged(windows=20)[0] == "ok"


def test_a_short_training_is_watched() -> None:
    """Inputs that cannot be compared are told, and their gain is not looked at."""
    verdict, (reason,) = _judged(drift={"comparable": False, "moved_far_gain": 99.0})
    assert verdict == "watch"
    assert reason.startswith("the drift of the inputs cannot be told")


def test_configured_parameters_are_the_defaults() -> None:
    """The file in conf spells out each default."""
    config = OmegaConfigLoader(str(CONF), base_env="base", default_run_env="base")
    configured = config["parameters"]["monitor"]
    assert MonitorParameters().model_dump(mode="json") == configured


@pytest.mark.parametrize(
    "wrong",
    [
        {"mistyped": 1},
        {"window": 0},
        {"least_forecasts": 0},
        {"error_tail": 0},
        {"error_ratio": 0.9},
        {"psi_watch": 0.3},
        {"gain_watch": 0.6},
        {"gain_retrain": 1.1},
        {"exit_codes": {"retrain": 256}},
        {"exit_codes": {"watch": -1}},
        {"exit_codes": {"fine": 0}},
    ],
)
def test_wrong_parameters_are_refused(wrong: dict[str, Any]) -> None:
    """Mistyped keys, impossible bounds and thresholds in the wrong order are errors."""
    with pytest.raises(ValidationError):
        MonitorParameters.model_validate(wrong)


def test_equal_thresholds_are_allowed() -> None:
    """A threshold to retrain may be the one to watch."""
    MonitorParameters(psi_watch=0.25, gain_watch=0.5)


def test_exit_codes_are_by_verdict_and_0_by_default() -> None:
    """Each verdict has a code, and no scheduler is alarmed unless asked for."""
    assert ExitCodes().model_dump() == {verdict.value: 0 for verdict in Verdict}


def test_the_domain_knows_neither_kedro_nor_bentoml() -> None:
    """Importing the whole package loads no framework, and nothing that takes seconds."""
    code = (
        "import sys; from stock_volume.monitoring import plots, report; "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"kedro", "kedro_datasets", "bentoml", "fastapi", "lightgbm", "plotly", "sklearn"}
    assert not heavy & set(loaded.stdout.split())
