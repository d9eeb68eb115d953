"""The name of the failed node, in the error of a run."""

from kedro.framework.hooks import hook_impl
from kedro.pipeline import Node

from stock_volume.hooks.names import RunParams, is_sequential


class FailedNodeHook:
    """Adds the name of the failed node to an error, if it is certain."""

    def __init__(self) -> None:
        """Start before any node."""
        self._node = ""

    @hook_impl
    def before_pipeline_run(self) -> None:
        """Forget the previous run."""
        self._node = ""

    @hook_impl
    def before_dataset_loaded(self, node: Node) -> None:
        """Remember the node whose input is about to be loaded."""
        self._node = node.name

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Remember the node about to run; its outputs are saved before the next node starts."""
        self._node = node.name

    @hook_impl
    def on_pipeline_error(self, error: Exception, run_params: RunParams) -> None:
        """Add the note; if nodes run in parallel, the last to start may not be the one to fail."""
        if self._node and is_sequential(run_params):
            error.add_note(f"in the node {self._node}")
