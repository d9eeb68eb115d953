"""The run manifest: what a run read, which nodes ran, and what they saved."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
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

    sequence: int = 0
    """Number of the run in its data root, from 1: it orders runs also if the clock was set back.
    Zero in manifests of earlier versions."""

    finished_at: Timestamp
    """When the run ended; if it is not complete, when its latest node did."""

    is_complete: bool = True
    """False until all nodes have run: it stays false if the run fails or is killed."""

    pipelines: tuple[str, ...] = ()
    """Names of the pipelines."""

    planned: tuple[str, ...] = ()
    """Names of all nodes of the run, also of those that saved nothing or were not reached."""

    seconds: float | None = None
    """How long the run took."""

    git_revision: str = UNKNOWN_REVISION
    """Commit of the code, with ``-dirty`` appended if tracked files differed from it."""

    code: str = ""
    """Fingerprint of the package's modules."""

    versions: dict[str, str] = {}
    """Versions of Python and of the packages that can change a result."""

    parameters: dict[str, JsonValue] = {}
    """Parameters of the run; addresses have no queries and passwords."""

    computed: tuple[str, ...] = ()
    """Dotted names of the parameters that were not given and that the run computed, such as
    today's date."""

    inputs: dict[str, Content]
    """What the nodes loaded and no node of this run saved, by dataset."""

    nodes: dict[str, NodeRecord]
    """The nodes that saved something, in the order of the pipeline."""

    outputs: dict[str, Content]
    """What the nodes saved, by dataset."""

    failed: str | None = Field(default=None, exclude_if=lambda node: node is None)
    """The node at which the run failed; absent if the run succeeded."""

    def remaining(self) -> set[str]:
        """Name the nodes that the run did not complete; none if the run is complete."""
        if self.is_complete and self.failed is None:
            return set()
        return {*self.planned, *filter(None, [self.failed])} - self.nodes.keys()

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
            if is_parameter(name):
                dotted = name.removeprefix(PARAMETER_PREFIX)
                values[dotted] = look_up_parameter(self.parameters, dotted)
        return values

    def given_parameters(self) -> dict[str, JsonValue]:
        """Return the parameters of the run, with None in place of what it computed."""
        return clear_parameters(self.parameters, self.computed)


def clear_parameters(
    parameters: Mapping[str, JsonValue], names: Iterable[str]
) -> dict[str, JsonValue]:
    """Replace the values of some parameters by None.

    Args:
        parameters: All parameters.
        names: Dotted names of the parameters to clear.

    Returns:
        The other parameters as they are, and None for each of these.
    """
    cleared = dict(parameters)
    inner: dict[str, list[str]] = defaultdict(list)
    for name in names:
        first, _, rest = name.partition(".")
        inner[first].append(rest)
    for first, rests in inner.items():
        value = cleared[first]
        if isinstance(value, dict) and "" not in rests:
            cleared[first] = clear_parameters(value, rests)
        else:
            cleared[first] = None
    return cleared


def is_parameter(dataset: str) -> bool:
    """Return whether a dataset of Kedro holds parameters.

    Args:
        dataset: Its name.
    """
    return dataset == ALL_PARAMETERS or dataset.startswith(PARAMETER_PREFIX)


def look_up_parameter(parameters: Mapping[str, JsonValue], name: str) -> JsonValue:
    """Look up a parameter.

    Args:
        parameters: All parameters.
        name: Dotted name; ``parameters`` are all of them.

    Returns:
        Its value.

    Raises:
        KeyError: There is no such parameter.
    """
    if name == ALL_PARAMETERS:
        return dict(parameters)
    value: JsonValue = dict(parameters)
    for part in name.split("."):
        if not isinstance(value, Mapping):
            raise KeyError(name)
        value = value[part]
    return value
