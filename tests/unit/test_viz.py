"""What Kedro-Viz shows of the project, by its own code."""

import inspect
from pathlib import Path

import pytest
from kedro.framework.project import configure_project
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro_viz.constants import ROOT_MODULAR_PIPELINE_ID
from kedro_viz.data_access.managers import DataAccessManager
from kedro_viz.models.flowchart.model_utils import GraphNodeType
from kedro_viz.models.flowchart.node_metadata import DataNodeMetadata, TaskNodeMetadata
from kedro_viz.models.flowchart.nodes import DataNode, TaskNode

from stock_volume.configuration import ProjectConfigLoader
from stock_volume.pipeline_registry import register_pipelines
from tests.unit.helpers import LAYERS

CONF = Path(__file__).parents[2] / "conf"
BOXES = {
    "__default__": {
        "data_processing",
        "feature_engineering",
        "modelling",
        "reporting",
        "packaging",
    },
    "data_processing": {"data_processing"},
    "feature_engineering": {"feature_engineering"},
    "modelling": {"modelling", "reporting", "packaging"},
    "update": {"data_processing", "feature_engineering", "modelling", "reporting", "packaging"},
    "monitor": set(),
    "tuning": set(),
}


@pytest.fixture(scope="module")
def pipelines() -> dict[str, Pipeline]:
    configure_project("stock_volume")
    return register_pipelines()


@pytest.fixture(scope="module")
def viz(
    pipelines: dict[str, Pipeline], tmp_path_factory: pytest.TempPathFactory
) -> DataAccessManager:
    empty = {"data_root": str(tmp_path_factory.mktemp("data"))}
    config = ProjectConfigLoader(
        str(CONF), base_env="base", default_run_env="base", runtime_params=empty
    )
    entries = {name: entry for name, entry in config["catalog"].items() if name[0] != "_"}
    manager = DataAccessManager()
    manager.add_catalog(DataCatalog.from_config(entries), pipelines)
    manager.add_pipelines(pipelines)
    return manager


@pytest.mark.parametrize("pipeline", BOXES)
def test_the_first_sight_is_a_few_boxes(viz: DataAccessManager, pipeline: str) -> None:
    """Collapsed, a pipeline shows its parts; a part that is no box is a node of its own."""
    tree = viz.create_modular_pipelines_tree_for_registered_pipeline(pipeline)
    children = tree[ROOT_MODULAR_PIPELINE_ID].children
    boxes = {child.id for child in children if child.type == GraphNodeType.MODULAR_PIPELINE}
    nodes = [child for child in children if child.type == GraphNodeType.TASK]
    assert boxes == BOXES[pipeline]
    assert bool(nodes) == (not boxes)


@pytest.mark.parametrize("pipeline", BOXES)
def test_layers_are_shown(viz: DataAccessManager, pipeline: str) -> None:
    """Layers form no circle, and the layers of the whole run are in order."""
    viz.create_modular_pipelines_tree_for_registered_pipeline(pipeline)
    layers = viz.get_sorted_layers_for_registered_pipeline(pipeline)
    assert sorted(layers) == LAYERS
    if pipeline == "__default__":
        assert layers == LAYERS


def test_the_side_panel_describes_nodes_and_datasets(
    viz: DataAccessManager, pipelines: dict[str, Pipeline]
) -> None:
    """Before any run, a node shows its docstring, and a dataset its description."""
    nodes = [node for node in viz.nodes.as_list() if isinstance(node, TaskNode)]
    assert len(nodes) == len({node for pipeline in pipelines.values() for node in pipeline.nodes})
    for node in nodes:
        docstring = inspect.getdoc(node.kedro_obj.func)
        assert docstring
        assert docstring.splitlines()[0] in str(TaskNodeMetadata(task_node=node).code)
    previews = {
        node.name: DataNodeMetadata(data_node=node).preview
        for node in viz.nodes.as_list()
        if isinstance(node, DataNode) and not node.name.startswith("plot_")
    }
    undescribed = {name for name, preview in previews.items() if not preview}
    assert undescribed == {"forecast_log", "held_forecast_log"}  # Kedro's own class shows nothing
    assert previews["prices"] == "<p>One valid bar per symbol and day, sorted by both.</p>"
