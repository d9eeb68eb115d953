"""The parameters of the monitoring."""

from pathlib import Path
from typing import Any, Final

import pytest
from kedro.config import OmegaConfigLoader
from pydantic import ValidationError

from stock_volume.monitoring.parameters import ExitCodes, MonitorParameters, Verdict

CONF: Final = Path(__file__).parents[3] / "conf"


def test_configured_parameters_are_the_defaults() -> None:
    """The file in conf lists every default."""
    config = OmegaConfigLoader(str(CONF), base_env="base", default_run_env="base")
    configured = config["parameters"]["monitor"]
    assert MonitorParameters().model_dump(mode="json") == configured


@pytest.mark.parametrize(
    "wrong",
    [
        {"mistyped": 1},
        {"window": 0},
        {"min_forecasts": 0},
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
    """A threshold to retrain may equal the one to watch."""
    MonitorParameters(psi_watch=0.25, gain_watch=0.5)


def test_exit_codes_default_to_0() -> None:
    """Each verdict has an exit code, and no scheduler sees a failure unless configured."""
    assert ExitCodes().model_dump() == {verdict.value: 0 for verdict in Verdict}
