"""Which nodes must run again: their outputs belong to other inputs, parameters or code.

Contents are compared: the manifests record the digests of what each node read and saved.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from pydantic import JsonValue

from stock_volume.errors import StockVolumeError
from stock_volume.lineage.history import Execution, History, key_of
from stock_volume.lineage.manifest import (
    PARAMETER_PREFIX,
    Content,
    RunManifest,
    is_parameter,
    look_up_parameter,
)

_KEEPS_LAYERS: Final = frozenset({"monitor", "tuning"})
"""Pipelines that change no layer that others depend on."""


class UnknownOriginError(StockVolumeError):
    """No run recorded in a manifest made the content of an output."""


class Step(NamedTuple):
    """A node of a pipeline.

    Attributes:
        name: Its name.
        inputs: Names of its datasets and parameters.
        outputs: Names of the datasets that it saves to files or to a store.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Present:
    """What a node would run with now.

    Attributes:
        contents: Returns the current content of a dataset; None if it is missing or in memory.
        parameters: All parameters, as manifests record them, with None in place of what this run
            computed.
        code: Fingerprint of the package's modules.
        versions: Versions of Python and of the packages that can change a result.
    """

    contents: Callable[[str], Content | None]
    parameters: Mapping[str, JsonValue]
    code: str
    versions: Mapping[str, str]


def find_stale(steps: Iterable[Step], present: Present, history: History) -> dict[str, str]:
    """Find the nodes whose outputs are missing, or were made from something else.

    An output is current if any run made this content with the same inputs, parameters and
    code. A node of another pipeline may have made it (an update makes the same layers): then
    the inputs that both nodes have must be the same.

    Args:
        steps: The nodes, each after those it depends on.
        present: What they would run with.
        history: The manifests of all runs.

    Returns:
        Why each stale node must run, by its name.

    Raises:
        UnknownOriginError: An output has content that no recorded run made, and no run that
            may have made it was killed.
    """
    stale: dict[str, str] = {}
    renewed: dict[str, str] = {}
    for step in steps:
        again = next((name for name in step.inputs if name in renewed), None)
        reason = f"{again} is made again" if again else _why_stale(step, present, history)
        if reason:
            stale[step.name] = reason
            renewed.update(dict.fromkeys(step.outputs, step.name))
    return stale


def find_unfinished(runs: Sequence[RunManifest], pipelines: Iterable[str]) -> RunManifest | None:
    """Find the latest run that left layers half renewed, and that no later run has finished.

    Args:
        runs: The manifests, earliest first.
        pipelines: Pipelines about to run. An update completes an unfinished update, because
            its ledger says what is missing.

    Returns:
        The manifest of that run; None if there is none.
    """
    is_update = "update" in pipelines
    later: set[str] = set()
    for run in reversed(runs):
        settled = run.remaining() <= later
        ignored = bool(run.pipelines) and _KEEPS_LAYERS.issuperset(run.pipelines)
        if not settled and not ignored and not (is_update and "update" in run.pipelines):
            return run
        later |= {*run.planned, *run.nodes} - run.remaining()
    return None


def _why_stale(step: Step, present: Present, history: History) -> str | None:
    for output in step.outputs:
        content = present.contents(output)
        if not content:
            return f"{output} is missing"
        makers = history.find_makers(content)
        if not makers:
            if history.runs and history.runs[-1].remaining():
                return f"{output} was made by a run that did not finish"
            raise UnknownOriginError(
                f"{output}: no recorded run made its present content, so it is not known what it "
                "belongs to; delete it, or run without --only-missing-outputs"
            )
        reasons = [_why_changed(step, maker, present, history) for maker in makers]
        if None not in reasons:
            return f"{output} was made before {reasons[0]}"
    return None


def _why_changed(step: Step, maker: Execution, present: Present, history: History) -> str | None:
    """Compare what an output was made with and what its node would run with."""
    run = history.runs[maker.run]
    shared = [name for name in step.inputs if name in run.nodes[maker.node].inputs]
    datasets = [name for name in shared if not is_parameter(name)]
    if maker.node != step.name and not datasets:
        return None  # an update joins other inputs; what it made stays
    for name in datasets:
        then = run.outputs.get(name) or run.inputs.get(name)
        if key_of(then) != key_of(present.contents(name)):
            return f"{name} changed"
    # A computed parameter is the same request each day: today's date does not make what was read
    # yesterday out of date.
    recorded = run.given_parameters()
    for name in (one.removeprefix(PARAMETER_PREFIX) for one in shared if is_parameter(one)):
        if look_up_parameter(recorded, name) != look_up_parameter(present.parameters, name):
            return f"the parameter {name} changed"
    if (run.code, run.versions) != (present.code, dict(present.versions)):
        return "the code or a package changed"
    return None
