"""The project's pipelines."""

from typing import Final

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline

ON_REQUEST: Final = ("monitor", "tuning", "update")
"""Pipelines that run by name only."""


def register_pipelines() -> dict[str, Pipeline]:
    """Register every pipeline of the package, and as the default all that need no request.

    Returns:
        The pipelines by name.
    """
    pipelines = find_pipelines(raise_errors=True)
    by_default = [pipeline for name, pipeline in pipelines.items() if name not in ON_REQUEST]
    pipelines["__default__"] = sum(by_default, Pipeline([]))
    return pipelines
