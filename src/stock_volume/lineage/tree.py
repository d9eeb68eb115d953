"""A chain of lineage as a tree on the terminal."""

import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Final

from pydantic import JsonValue
from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from stock_volume.lineage.digests import parameters_digest
from stock_volume.lineage.history import Artefact, Chain, Execution, History, State
from stock_volume.lineage.manifest import RunManifest

DRAWN_EXECUTIONS: Final = 1
"""Executions of one node that are drawn, latest first; the others are summed up in one line."""

_KEY_DIGITS: Final = 12
"""Digits of an artefact's SHA-256 that are shown; eight are enough to find it."""

_PARAMETER_DIGITS: Final = 8

_STYLES: Final = {
    State.UNCHANGED: "green",
    State.REPLACED: "yellow",
    State.CHANGED: "red",
    State.GONE: "red",
}

_Below = list[tuple[Tree, str, Artefact]]
"""Artefacts still to be drawn: the branch, the dataset's name there, and the artefact."""


def draw(
    chain: Chain,
    history: History,
    states: Callable[[Artefact], list[State]],
    raw: Collection[str] = (),
    *,
    in_full: bool = False,
) -> RenderableType:
    """Draw a chain: each artefact above what it was made from, then the runs.

    Args:
        chain: The chain.
        history: The runs in which it was traced.
        states: Returns what became of an artefact.
        raw: Names of the raw layer's datasets.
        in_full: Whether to name every file of a folder and follow every run.

    Returns:
        A renderable for a console of rich.
    """
    return _Drawing(chain, history, states, raw, in_full=in_full).draw()


class _Drawing:
    def __init__(
        self,
        chain: Chain,
        history: History,
        states: Callable[[Artefact], list[State]],
        raw: Collection[str],
        *,
        in_full: bool,
    ) -> None:
        self._chain = chain
        self._history = history
        self._states = states
        self._raw = raw
        self._in_full = in_full
        count = len(history.runs) if in_full else DRAWN_EXECUTIONS
        self._followed = _latest_of_each_node(chain.inputs, count)
        self._numbers: dict[int, int] = {}
        self._parameters: dict[tuple[str, str], JsonValue] = {}
        self._shown: set[Artefact] = set()
        self._drawn: set[Execution] = set()

    def draw(self) -> RenderableType:
        tree = Tree("", hide_root=True)
        # A stack instead of recursion: a chain of daily updates is deep.
        waiting: _Below = [(tree, self._chain.root.name, self._chain.root)]
        while waiting:
            parent, name, artefact = waiting.pop()
            below = self._add_artefact(parent, name, artefact)
            waiting.extend(reversed(below))
        return Group(tree, self._list_runs(), self._list_parameters())

    def _add_artefact(self, parent: Tree, name: str, artefact: Artefact) -> _Below:
        """Draw one artefact; return what belongs below it."""
        if artefact in self._shown:
            self._add_reference(parent, name, artefact)
            return []
        label = self._label(name, artefact)
        self._shown.add(artefact)
        if not artefact.made_by:
            branch = parent.add(label.append_text(self._describe_origin(artefact)))
            self._add_files(branch, artefact)
            return []
        return self._add_made(parent, label, artefact)

    def _add_reference(self, parent: Tree, name: str, artefact: Artefact) -> None:
        key = artefact.tag or artefact.key[:_KEY_DIGITS]
        words = "  ".join(["", key, "see above"] if key else ["", "see above"])
        parent.add(Text.assemble(_title(name, artefact), (words, "dim")))

    def _add_made(self, parent: Tree, label: Text, artefact: Artefact) -> _Below:
        latest, *earlier = artefact.made_by
        is_followed = latest in self._followed
        if is_followed:
            label.append_text(self._describe_maker(latest))
        branch = parent.add(label)
        if len(artefact.files) > 1:
            self._add_files(branch, artefact)
        below: _Below = []
        if is_followed and latest not in self._drawn:
            self._drawn.add(latest)
            below = [(branch, name, given) for name, given in self._chain.inputs[latest]]
        return below + self._add_summary(branch, earlier if is_followed else artefact.made_by)

    def _add_summary(self, branch: Tree, executions: Iterable[Execution]) -> _Below:
        """Draw many executions as one line, with their inputs that none of them made."""
        waiting = deque(execution for execution in executions if execution not in self._drawn)
        if not waiting:
            return []
        summed: list[Execution] = []
        leaves: dict[str, dict[Artefact, None]] = defaultdict(dict)
        below: dict[Artefact, str] = {}
        while waiting:
            execution = waiting.popleft()
            if execution in self._drawn:
                continue
            self._drawn.add(execution)
            summed.append(execution)
            for name, given in self._chain.inputs[execution]:
                if given.made_by and given.made_by[0] in self._followed:
                    below[given] = name
                elif given in self._shown:
                    continue
                elif given.made_by:
                    self._shown.add(given)
                    waiting.extend(given.made_by)
                else:
                    leaves[name][given] = None
        line = branch.add(self._summarize(summed))
        for name, versions in leaves.items():
            self._add_versions(line, name, list(versions))
        return [(line, name, given) for given, name in below.items()]

    def _add_versions(self, line: Tree, name: str, versions: list[Artefact]) -> None:
        self._shown.update(versions)
        states = [state for version in versions for state in self._states(version)]
        label = Text.assemble(
            (name, "bold"),
            f"  {len(versions)} {'version' if len(versions) == 1 else 'versions'}  ",
            _count_states(states),
        )
        line.add(label.append_text(self._describe_origin(versions[0])))

    def _summarize(self, executions: list[Execution]) -> Text:
        runs = sorted({execution.run for execution in executions})
        days = [_day(self._history.runs[run]) for run in (runs[0], runs[-1])]
        nodes = ", ".join(sorted({execution.node for execution in executions}))
        count = "1 more run" if len(runs) == 1 else f"{len(runs)} more runs"
        when = days[0] if days[0] == days[1] else f"{days[0]} to {days[1]}"
        return Text(f"… {count} of {nodes}, {when}", "dim")

    def _label(self, name: str, artefact: Artefact) -> Text:
        title = _title(name, artefact)
        if artefact.tag:
            states = self._states(artefact)
            word = "in the store" if states == [State.UNCHANGED] else "gone from the store"
            return Text.assemble(title, f"  {artefact.tag}  ", (word, _STYLES[states[0]]))
        if not artefact.key:
            is_raw = artefact.name in self._raw
            return Text.assemble(title, "  none given" if is_raw else "  content not recorded")
        place, digest = _relative_path(artefact.place), "sha256"
        if len(artefact.files) > 1:
            place, digest = f"{len(artefact.files)} files in {place}", "fingerprint"
        key = artefact.key[:_KEY_DIGITS]
        states_text = _count_states(self._states(artefact))
        return Text.assemble(title, f"  {place}  {digest} {key}  ", states_text)

    def _describe_origin(self, artefact: Artefact) -> Text:
        if artefact.name in self._raw:
            return Text("  raw", "cyan")
        return Text("  made by no run whose manifest is kept", "yellow")

    def _describe_maker(self, execution: Execution) -> Text:
        number = self._numbers.setdefault(execution.run, len(self._numbers) + 1)
        words = [f"by {execution.node} in run {number}"]
        if execution in self._drawn:
            return Text(f"\n{words[0]}, see above", "dim")
        digests = []
        run = self._history.runs[execution.run]
        for name, value in run.parameters_of(execution.node).items():
            digest = parameters_digest(value)[:_PARAMETER_DIGITS]
            digests.append(f"{name} {digest}")
            self._parameters[name, digest] = value
        if digests:
            words.append(f"parameters {', '.join(digests)}")
        return Text(f"\n{', '.join(words)}", "dim")

    def _add_files(self, branch: Tree, artefact: Artefact) -> None:
        if not self._in_full or len(artefact.files) < 2:  # noqa: PLR2004
            return
        for file, state in zip(artefact.files, self._states(artefact), strict=True):
            path = os.path.relpath(file.path, artefact.place)
            label = f"{path}  {file.sha256[:_KEY_DIGITS]}  "
            branch.add(Text.assemble(label, _count_states([state])))

    def _list_runs(self) -> RenderableType:
        lines = [""]
        for index, number in self._numbers.items():
            run = self._history.runs[index]
            failed = f"  failed at {run.failed}" if run.failed else ""
            lines.append(
                f"run {number}  {run.run_id}  ended {run.finished_at.isoformat()}{failed}"
                f"  code {run.git_revision}"
            )
        return Text("\n".join(lines)) if self._numbers else ""

    def _list_parameters(self) -> RenderableType:
        width = max((len(name) for name, _ in self._parameters), default=0)
        lines = [
            f"{name:<{width}}  {digest}  {_format_value(value)}"
            for (name, digest), value in sorted(self._parameters.items(), key=lambda one: one[0])
        ]
        return Text("\n".join(["", *lines])) if lines else ""


def _title(name: str, artefact: Artefact) -> Text:
    alias = "" if name == artefact.name else f" (as {name})"
    return Text.assemble((artefact.name, "bold"), alias)


def _latest_of_each_node(executions: Iterable[Execution], count: int) -> set[Execution]:
    by_node: dict[str, list[Execution]] = defaultdict(list)
    for execution in sorted(executions, reverse=True):
        by_node[execution.node].append(execution)
    return {execution for latest in by_node.values() for execution in latest[:count]}


def _count_states(states: list[State]) -> Text:
    counts = Counter(states)
    if len(counts) == 1:
        state = states[0]
        return Text(state.value, _STYLES[state])
    words = [(f"{counts[state]} {state.value}", _STYLES[state]) for state in State if counts[state]]
    return Text(", ").join(Text(*word) for word in words)


def _format_value(value: JsonValue) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={one}" for key, one in value.items())
    return str(value)


def _day(run: RunManifest) -> str:
    return run.finished_at.date().isoformat()


def _relative_path(path: str) -> str:
    folder = Path.cwd()
    return Path(path).relative_to(folder).as_posix() if Path(path).is_relative_to(folder) else path
