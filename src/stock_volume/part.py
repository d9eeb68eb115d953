"""The parts of the pipelines: the boxes that Kedro-Viz opens on."""

from collections.abc import Iterable

from kedro.pipeline import Node, Pipeline


def make_part(name: str, nodes: Iterable[Node], tags: str | None = None) -> Pipeline:
    """Group nodes into a part, whose datasets keep their names.

    Args:
        name: Name of the part, the prefix of its nodes' names.
        nodes: The nodes.
        tags: A tag for all nodes.

    Returns:
        The part as a pipeline.
    """
    return Pipeline(nodes, tags=tags, namespace=name, prefix_datasets_with_namespace=False)
