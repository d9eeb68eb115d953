"""Release of half-saved datasets after a failed run."""

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline


class ReleaseOnErrorHook:
    """Lets datasets discard what a failed run has saved in part."""

    @hook_impl
    def on_pipeline_error(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Release every output of the run."""
        for name in pipeline.all_outputs():
            catalog.release(name)
