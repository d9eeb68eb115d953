"""The run manifest: what a run read, which nodes ran, and what they saved."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    WithJsonSchema,
)

from stock_volume.lineage.digests import UNKNOWN_REVISION, FileDigest

PARAMETER_PREFIX: Final = "params:"
"""Kedro's prefix of a dataset that is one parameter."""

ALL_PARAMETERS: Final = "parameters"
"""Kedro's dataset of all parameters."""

Timestamp = Annotated[
    AwareDatetime,
    PlainSerializer(datetime.isoformat, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A moment with its time zone, written as ``2026-11-25T03:25:51+00:00``."""


class StoredTag(BaseModel):
    """A version in BentoML's store."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    tag: str
    """Name and version, such as ``stock_volume:5fed3khip6xi6ax4``."""


Content = tuple[FileDigest, ...] | StoredTag
"""What a dataset held: files, or a version in BentoML's store."""


class NodeRecord(BaseModel):
    """What a node did in a run."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    seconds: float | None = None
    """From loading the first input to saving the last output."""

    rows: dict[str, int] = {}
    """Rows saved, by output; outputs that are not frames are absent."""

    inputs: tuple[str, ...]
    """Names of the datasets and parameters that the node loaded."""

    outputs: tuple[str, ...]
    """Names of the datasets that the node saved."""


class RunManifest(BaseModel):
    """What a run read, which nodes ran, and what they saved.

    Readers accept a manifest without the fields that have a default, and ignore fields that
    they do not know.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    run_id: str
    """Kedro's identifier of the run."""

    finished_at: Timestamp
    """When the run ended."""

    seconds: float | None = None
    """How long the run took."""

    git_revision: str = UNKNOWN_REVISION
    """Commit of the code, with ``-dirty`` appended if tracked files differed from it."""

    versions: dict[str, str] = {}
    """Versions of Python and of the packages that can change a result."""

    parameters: dict[str, JsonValue] = {}
    """Parameters of the run; addresses have no queries and passwords."""

    inputs: dict[str, Content]
    """What the nodes loaded and no node of this run saved, by dataset."""

    nodes: dict[str, NodeRecord]
    """The nodes that saved something, in the order of the pipeline."""

    outputs: dict[str, Content]
    """What the nodes saved, by dataset."""

    failed: str | None = Field(default=None, exclude_if=lambda node: node is None)
    """The node at which the run failed; absent if the run succeeded."""

    def makers(self) -> dict[str, str]:
        """Name the node that saved each output, in the order of the run."""
        return {output: node for node, record in self.nodes.items() for output in record.outputs}

    def parameters_of(self, node: str) -> dict[str, JsonValue]:
        """Look up the parameters of a node.

        Args:
            node: Name of a node of this run.

        Returns:
            Values by name, without the prefix ``params:``.
        """
        values: dict[str, JsonValue] = {}
        for name in self.nodes[node].inputs:
            if name == ALL_PARAMETERS:
                values[name] = self.parameters
            elif name.startswith(PARAMETER_PREFIX):
                dotted = name.removeprefix(PARAMETER_PREFIX)
                values[dotted] = _look_up(self.parameters, dotted)
        return values


def is_parameter(dataset: str) -> bool:
    """Return whether a dataset of Kedro holds parameters.

    Args:
        dataset: Its name.
    """
    return dataset == ALL_PARAMETERS or dataset.startswith(PARAMETER_PREFIX)


def _look_up(parameters: JsonValue, dotted: str) -> JsonValue:
    for part in dotted.split("."):
        if not isinstance(parameters, Mapping):
            raise KeyError(dotted)
        parameters = parameters[part]
    return parameters
