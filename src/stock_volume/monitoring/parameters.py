"""Parameters of the monitoring."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(gt=0, le=1)]
ExitCode = Annotated[int, Field(ge=0, le=255)]


class Verdict(StrEnum):
    """What to do about the forecaster, from nothing to the most."""

    OK = "ok"
    WATCH = "watch"
    RETRAIN = "retrain"


class ExitCodes(BaseModel):
    """The exit code of the process by verdict.

    Attributes:
        ok: Nothing is unusual.
        watch: Something is unusual, or there is too little to judge.
        retrain: The forecaster is not what its backtest showed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    ok: ExitCode = 0
    watch: ExitCode = 0
    retrain: ExitCode = 0


class MonitorParameters(BaseModel):
    """What is compared with what, and when that counts; docs/monitoring.md has the formulas.

    Attributes:
        window: Sessions, the latest ones, that are judged.
        least_forecasts: Forecasts that must have come true before errors are judged.
        least_windows: Windows of the past that must be there to compare with.
        error_tail: Share of windows that chance alone would have us watch: it is shared out
            evenly between the measures, and between the sides of one that has two.
        error_ratio: How many times as far out as the backtest's furthest window a window is
            that says retrain.
        psi_watch: Population stability index from which a feature has moved.
        psi_retrain: Index from which it has moved far.
        gain_watch: Share of the model's gain, by features that moved, from which to watch.
        gain_retrain: Share of it, by features that moved far, from which to retrain.
        exit_codes: Of the process, by verdict.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    window: int = Field(default=22, ge=1)
    least_forecasts: int = Field(default=50, ge=1)
    least_windows: int = Field(default=20, ge=1)
    error_tail: Share = 0.05
    error_ratio: float = Field(default=1.25, ge=1)
    psi_watch: float = Field(default=0.1, gt=0)
    psi_retrain: float = Field(default=0.25, gt=0)
    gain_watch: Share = 0.15
    gain_retrain: Share = 0.5
    exit_codes: ExitCodes = ExitCodes()

    @model_validator(mode="after")
    def _retrain_is_further_out(self) -> Self:
        if self.psi_retrain < self.psi_watch or self.gain_retrain < self.gain_watch:
            raise ValueError("monitor: a threshold to retrain is below the one to watch")
        return self
