"""What hooks know of a run: its parameters, datasets and folder."""

from collections.abc import Sequence
from typing import Final, NotRequired, TypedDict


class RunParams(TypedDict):
    """The fields of Kedro's ``run_params`` that hooks read."""

    run_id: str
    runner: str | None
    pipeline_names: NotRequired[Sequence[str] | None]
    only_missing_outputs: NotRequired[bool]


def is_sequential(run_params: RunParams) -> bool:
    """Return whether nodes run one by one, as they do with Kedro's default runner."""
    runner = str(run_params.get("runner"))
    return runner == "None" or "SequentialRunner" in runner


def pipeline_names(run_params: RunParams) -> tuple[str, ...]:
    """Return the names of the pipelines of a run."""
    return tuple(run_params.get("pipeline_names") or ("__default__",))


LOGS_FOLDER: Final = "logs"
"""Folder of the project that contains the log of each stage."""

MANIFEST: Final = "run_manifest"
"""Dataset of the latest manifest."""

MANIFESTS: Final = "run_manifests"
"""Dataset of the manifests of all runs."""

SERVICE: Final = "service_bento"
MONITORING: Final = "monitoring"
FORECAST_LOGS: Final = frozenset({"forecast_log", "held_forecast_log"})
