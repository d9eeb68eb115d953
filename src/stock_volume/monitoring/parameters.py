"""Parameters of the monitoring."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(gt=0, le=1)]
ExitCode = Annotated[int, Field(ge=0, le=255)]


class Verdict(StrEnum):
    """What to do about the forecaster, in order of severity."""

    OK = "ok"
    WATCH = "watch"
    RETRAIN = "retrain"


class ExitCodes(BaseModel):
    """The exit code of ``kedro run`` for each verdict."""

    model_config = ConfigDict(
        frozen=True, use_attribute_docstrings=True, extra="forbid", allow_inf_nan=False
    )

    ok: ExitCode = 0
    """Nothing is unusual."""

    watch: ExitCode = 0
    """Something is unusual, or there is not enough data to judge."""

    retrain: ExitCode = 0
    """The forecaster no longer performs as in its backtest."""


class MonitorParameters(BaseModel):
    """The judged window and the thresholds; docs/monitoring.md has the formulas."""

    model_config = ConfigDict(
        frozen=True, use_attribute_docstrings=True, extra="forbid", allow_inf_nan=False
    )

    window: int = Field(default=22, ge=1)
    """Number of latest sessions to judge."""

    min_forecasts: int = Field(default=50, ge=1)
    """Scored forecasts required before errors are judged."""

    min_windows: int = Field(default=20, ge=1)
    """Past windows required for a comparison."""

    error_tail: Share = 0.05
    """Share of windows that are unusual by chance alone; the measures share it evenly, as do the
    two sides of a measure that has two."""

    error_ratio: float = Field(default=1.25, ge=1)
    """Retrain when the deviation exceeds this multiple of the worst backtest window."""

    psi_watch: float = Field(default=0.1, gt=0)
    """Population stability index at which a feature has drifted."""

    psi_retrain: float = Field(default=0.25, gt=0)
    """Population stability index at which a feature has drifted strongly."""

    gain_watch: Share = 0.15
    """Watch when the features that drifted have this share of the model's gain."""

    gain_retrain: Share = 0.5
    """Retrain when the features that drifted strongly have this share of the model's gain."""

    exit_codes: ExitCodes = ExitCodes()
    """Exit code of ``kedro run`` for each verdict."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.psi_retrain < self.psi_watch or self.gain_retrain < self.gain_watch:
            raise ValueError(
                "monitor: psi_retrain and gain_retrain must be at least psi_watch and gain_watch"
            )
        return self
