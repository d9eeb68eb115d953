"""What hooks know of a run: its parameters, datasets and folder."""

from typing import Final, TypedDict


class RunParams(TypedDict):
    """The fields of Kedro's ``run_params`` that hooks read."""

    run_id: str
    runner: str | None


LOGS_FOLDER: Final = "logs"
"""Folder of the project that contains the log of each stage."""

MANIFEST: Final = "run_manifest"
"""Dataset of the latest manifest."""

MANIFESTS: Final = "run_manifests"
"""Dataset of the manifests of all runs."""

SERVICE: Final = "service_bento"
MONITORING: Final = "monitoring"
FORECAST_LOGS: Final = frozenset({"forecast_log", "held_forecast_log"})
