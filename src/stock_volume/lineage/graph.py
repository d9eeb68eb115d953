"""A chain of lineage as a document for other programs: ``kedro lineage --json``."""

from collections.abc import Callable, Collection

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from stock_volume.lineage.digests import FileDigest
from stock_volume.lineage.history import Artefact, Chain, Execution, History, State
from stock_volume.lineage.manifest import Timestamp

_CONFIG = ConfigDict(frozen=True, use_attribute_docstrings=True, serialize_by_alias=True)


def _is_none(value: object) -> bool:
    return value is None


class ExecutionRecord(BaseModel):
    """One execution of a node."""

    model_config = _CONFIG

    run_id: str
    """The run, an entry of ``runs``."""

    node: str
    """Name of the node."""


class FileRecord(FileDigest):
    """A file, and what became of it."""

    model_config = _CONFIG

    state: State
    """What became of the file."""


class ArtefactRecord(BaseModel):
    """Content that a dataset had: one file, several files, a tag, or nothing on disk."""

    model_config = _CONFIG

    name: str
    """Name of the dataset."""

    raw: bool
    """Whether it belongs to the raw layer."""

    made_by: tuple[ExecutionRecord, ...]
    """The executions that made it, latest first; empty if no known run did."""

    tag: str | None = Field(default=None, exclude_if=_is_none)
    """Tag in BentoML's store."""

    state: State | None = Field(default=None, exclude_if=_is_none)
    """What became of the version in BentoML's store."""

    sha256: str | None = Field(default=None, exclude_if=_is_none)
    """SHA-256 of the only file."""

    fingerprint: str | None = Field(default=None, exclude_if=_is_none)
    """SHA-256 over the digests and names of several files."""

    files: tuple[FileRecord, ...] | None = Field(default=None, exclude_if=_is_none)
    """The files."""


class InputRecord(BaseModel):
    """An input of a node."""

    model_config = _CONFIG

    name: str = Field(serialization_alias="as")
    """Name of the dataset that the node loaded."""

    artefact: int
    """Position of its content in ``artefacts``."""


class NodeInputs(ExecutionRecord):
    """One execution of a node, with its parameters and inputs."""

    parameters: dict[str, JsonValue]
    """Parameters by name."""

    inputs: tuple[InputRecord, ...]
    """Inputs in the order of the node's arguments."""


class RunRecord(BaseModel):
    """A run in which nodes of the chain ran."""

    model_config = _CONFIG

    run_id: str
    """Kedro's identifier of the run."""

    finished_at: Timestamp
    """When the run ended."""

    git_revision: str
    """Commit of the code, with ``-dirty`` appended if tracked files differed from it."""

    versions: dict[str, str]
    """Versions of Python and of the packages that can change a result."""


class LineageGraph(BaseModel):
    """An artefact and everything it was made from; artefacts are referred to by position."""

    model_config = _CONFIG

    artefacts: tuple[ArtefactRecord, ...]
    """The artefact that was asked for, and everything it was made from, nearest first."""

    nodes: tuple[NodeInputs, ...]
    """The executions that made them."""

    runs: tuple[RunRecord, ...]
    """The runs, earliest first."""


def build_graph(
    chain: Chain,
    history: History,
    states: Callable[[Artefact], list[State]],
    raw: Collection[str] = (),
) -> LineageGraph:
    """Turn a chain into a document.

    Args:
        chain: The chain.
        history: The runs in which it was traced.
        states: Returns what became of an artefact.
        raw: Names of the raw layer's datasets.

    Returns:
        The artefacts, the nodes that made them, and their runs.
    """
    position = {artefact: number for number, artefact in enumerate(chain.artefacts)}
    runs = sorted({execution.run for execution in chain.inputs})
    return LineageGraph(
        artefacts=tuple(
            _artefact_record(artefact, history, states(artefact), raw)
            for artefact in chain.artefacts
        ),
        nodes=tuple(
            _node_inputs(execution, history, [(name, position[given]) for name, given in inputs])
            for execution, inputs in chain.inputs.items()
        ),
        runs=tuple(_run_record(history, run) for run in runs),
    )


def _artefact_record(
    artefact: Artefact, history: History, states: list[State], raw: Collection[str]
) -> ArtefactRecord:
    count = len(artefact.files)
    files = tuple(
        FileRecord(**file.model_dump(), state=state)
        for file, state in zip(artefact.files, states, strict=artefact.tag is None)
    )
    return ArtefactRecord(
        name=artefact.name,
        raw=not artefact.made_by and artefact.name in raw,
        made_by=tuple(_execution_record(one, history) for one in artefact.made_by),
        tag=artefact.tag,
        state=states[0] if artefact.tag else None,
        sha256=artefact.key if count == 1 else None,
        fingerprint=artefact.key if count > 1 else None,
        files=files or None,
    )


def _execution_record(execution: Execution, history: History) -> ExecutionRecord:
    return ExecutionRecord(run_id=history.runs[execution.run].run_id, node=execution.node)


def _node_inputs(
    execution: Execution, history: History, inputs: list[tuple[str, int]]
) -> NodeInputs:
    run = history.runs[execution.run]
    return NodeInputs(
        run_id=run.run_id,
        node=execution.node,
        parameters=run.parameters_of(execution.node),
        inputs=tuple(InputRecord(name=name, artefact=position) for name, position in inputs),
    )


def _run_record(history: History, index: int) -> RunRecord:
    run = history.runs[index]
    return RunRecord(
        run_id=run.run_id,
        finished_at=run.finished_at,
        git_revision=run.git_revision,
        versions=run.versions,
    )
