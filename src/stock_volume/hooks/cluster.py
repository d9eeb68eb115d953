"""The Dask cluster of a run, in environments that configure one."""

from contextlib import ExitStack
from typing import Any, Final

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl

from stock_volume.configuration import check_values
from stock_volume.workers import use_workers

_DASK: Final = "dask"
"""The parameters that configure a cluster."""


class ClusterHook:
    """Runs the tasks of a run on a cluster if the environment has the parameters ``dask``."""

    def __init__(self) -> None:
        """Start without a cluster."""
        self._parameters: dict[str, Any] | None = None
        self._open = ExitStack()

    # After the configuration hook, which parses runtime parameters.
    @hook_impl(trylast=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Read the parameters of the environment."""
        self._parameters = context.params.get(_DASK)

    @hook_impl
    def before_pipeline_run(self) -> None:
        """Connect to the scheduler, or start a local cluster.

        Raises:
            ParameterError: A parameter is invalid.
            ClusterError: The cluster cannot be used.
        """
        if self._parameters is None:
            return
        from stock_volume.cluster import DaskParameters, connect

        check_values({_DASK: self._parameters}, {_DASK: DaskParameters})
        parameters = DaskParameters.model_validate(self._parameters)
        self._open.enter_context(use_workers(self._open.enter_context(connect(parameters))))

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Disconnect, and end the local cluster."""
        self._open.close()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Disconnect, and end the local cluster."""
        self._open.close()
