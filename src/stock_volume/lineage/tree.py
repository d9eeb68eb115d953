"""A chain of provenance as a tree on the terminal."""

import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from stock_volume.lineage.history import (
    SHORT,
    Artefact,
    Chain,
    History,
    Making,
    State,
    parameters_digest,
)

FOLLOWED: Final = 1
"""Runs of one node that are drawn, the latest ones, unless asked for all; others are summed up."""

_STYLES: Final = {
    State.UNCHANGED: "green",
    State.REPLACED: "yellow",
    State.CHANGED: "red",
    State.GONE: "red",
}


def draw(
    chain: Chain,
    history: History,
    states: Callable[[Artefact], list[State]],
    raw: Collection[str] = (),
    *,
    in_full: bool = False,
) -> RenderableType:
    """Draw a chain: what was made above what it was made from, then the runs.

    Args:
        chain: The chain.
        history: The runs it was traced in.
        states: Tells what became of an artefact.
        raw: Names of the datasets of the raw layer.
        in_full: Whether to name every file of a folder, and follow every run.

    Returns:
        What a console of rich can print.
    """
    return _Drawing(chain, history, states, raw, in_full=in_full).all()


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
        self._followed = _followed(chain.inputs, len(history.runs) if in_full else FOLLOWED)
        self._numbers: dict[int, int] = {}
        self._parameters: dict[tuple[str, str], Any] = {}
        self._shown: set[Artefact] = set()
        self._drawn: set[Making] = set()

    def all(self) -> RenderableType:
        tree = Tree("", hide_root=True)
        # A stack in place of recursion: a chain of daily updates is deep.
        waiting = [(tree, self._chain.root.name, self._chain.root)]
        while waiting:
            parent, name, artefact = waiting.pop()
            below = self._branch(parent, name, artefact)
            waiting.extend(reversed(below))
        return Group(tree, self._runs(), self._given())

    def _branch(
        self, parent: Tree, name: str, artefact: Artefact
    ) -> list[tuple[Tree, str, Artefact]]:
        """Draw one artefact; tell what is to be drawn below."""
        if artefact in self._shown:
            key = artefact.tag or artefact.key[:SHORT]
            words = "  ".join(["", key, "see above"] if key else ["", "see above"])
            parent.add(Text.assemble(_named(name, artefact), (words, "dim")))
            return []
        label = self._label(name, artefact)
        self._shown.add(artefact)
        if not artefact.made_by:
            branch = parent.add(label.append_text(self._origin(artefact)))
            self._name_files(branch, artefact)
            return []
        latest, *earlier = artefact.made_by
        follow = latest in self._followed
        if follow:
            label.append_text(self._maker(latest))
        branch = parent.add(label)
        if len(artefact.files) > 1:
            self._name_files(branch, artefact)
        below: list[tuple[Tree, str, Artefact]] = []
        if follow and latest not in self._drawn:
            self._drawn.add(latest)
            below = [(branch, given, one) for given, one in self._chain.inputs[latest]]
        return below + self._sum_up(branch, earlier if follow else artefact.made_by)

    def _sum_up(self, branch: Tree, makings: Iterable[Making]) -> list[tuple[Tree, str, Artefact]]:
        """Draw many runs as one line, and what they were given that no such run made."""
        waiting = deque(making for making in makings if making not in self._drawn)
        if not waiting:
            return []
        summed: list[Making] = []
        leaves: dict[str, dict[Artefact, None]] = defaultdict(dict)
        below: dict[Artefact, str] = {}
        while waiting:
            making = waiting.popleft()
            if making in self._drawn:
                continue
            self._drawn.add(making)
            summed.append(making)
            for name, given in self._chain.inputs[making]:
                if given.made_by and given.made_by[0] in self._followed:
                    below[given] = name
                elif given in self._shown:
                    continue
                elif given.made_by:
                    self._shown.add(given)
                    waiting.extend(given.made_by)
                else:
                    leaves[name][given] = None
        line = branch.add(self._summary(summed))
        for name, givens in leaves.items():
            self._shown.update(givens)
            states = [state for given in givens for state in self._states(given)]
            line.add(
                Text.assemble(
                    (name, "bold"),
                    f"  {len(givens)} {'version' if len(givens) == 1 else 'versions'}  ",
                    _told(states),
                ).append_text(self._origin(next(iter(givens))))
            )
        return [(line, name, given) for given, name in below.items()]

    def _summary(self, makings: list[Making]) -> Text:
        runs = sorted({making.run for making in makings})
        days = [_day(self._history.runs[run]) for run in (runs[0], runs[-1])]
        nodes = ", ".join(sorted({making.node for making in makings}))
        count = "1 more run" if len(runs) == 1 else f"{len(runs)} more runs"
        when = days[0] if days[0] == days[1] else f"{days[0]} to {days[1]}"
        return Text(f"… {count} of {nodes}, {when}", "dim")

    def _label(self, name: str, artefact: Artefact) -> Text:
        label = _named(name, artefact)
        if artefact.tag:
            states = self._states(artefact)
            word = "in the store" if states == [State.UNCHANGED] else "gone from the store"
            return Text.assemble(label, f"  {artefact.tag}  ", (word, _STYLES[states[0]]))
        if not artefact.key:
            return Text.assemble(label, "  kept in no file")
        count, word = len(artefact.files), "sha256"
        place = _shown_path(artefact.place) if count else "no file"
        if count > 1:
            place, word = f"{count} files in {place}", "fingerprint"
        told = _told(self._states(artefact))
        return Text.assemble(label, f"  {place}  {word} {artefact.key[:SHORT]}  ", told)

    def _origin(self, artefact: Artefact) -> Text:
        if artefact.name in self._raw:
            return Text("  raw", "cyan")
        return Text("  made by no run whose manifest is kept", "yellow")

    def _maker(self, making: Making) -> Text:
        number = self._numbers.setdefault(making.run, len(self._numbers) + 1)
        words = [f"by {making.node} in run {number}"]
        if making in self._drawn:
            return Text(f"\n{words[0]}, see above", "dim")
        digests = []
        for name, value in self._history.parameters(making).items():
            digests.append(f"{name} {parameters_digest(value)[:8]}")
            self._parameters[name, parameters_digest(value)[:8]] = value
        if digests:
            words.append(f"parameters {', '.join(digests)}")
        return Text(f"\n{', '.join(words)}", "dim")

    def _name_files(self, branch: Tree, artefact: Artefact) -> None:
        if not self._in_full or len(artefact.files) < 2:  # noqa: PLR2004
            return
        for file, state in zip(artefact.files, self._states(artefact), strict=True):
            path = os.path.relpath(file.path, artefact.place)
            branch.add(Text.assemble(f"{path}  {file.sha256[:SHORT]}  ", _told([state])))

    def _runs(self) -> RenderableType:
        lines = [""]
        for index, number in self._numbers.items():
            run = self._history.runs[index]
            failed = f"  failed at {run['failed']}" if run.get("failed") else ""
            lines.append(
                f"run {number}  {run['run_id']}  ended {run['finished_at']}{failed}"
                f"  code {run['git_revision']}"
            )
        return Text("\n".join(lines)) if self._numbers else ""

    def _given(self) -> RenderableType:
        width = max((len(name) for name, _ in self._parameters), default=0)
        lines = [
            f"{name:<{width}}  {digest}  {_words(value)}"
            for (name, digest), value in sorted(self._parameters.items(), key=lambda one: one[0])
        ]
        return Text("\n".join(["", *lines])) if lines else ""


def _named(name: str, artefact: Artefact) -> Text:
    alias = "" if name == artefact.name else f" (as {name})"
    return Text.assemble((artefact.name, "bold"), alias)


def _followed(makings: Iterable[Making], count: int) -> set[Making]:
    by_node: dict[str, list[Making]] = defaultdict(list)
    for making in sorted(makings, reverse=True):
        by_node[making.node].append(making)
    return {making for of_node in by_node.values() for making in of_node[:count]}


def _told(states: list[State]) -> Text:
    counts = Counter(states)
    if len(counts) == 1:
        state = states[0]
        return Text(state.value, _STYLES[state])
    words = [(f"{counts[state]} {state.value}", _STYLES[state]) for state in State if counts[state]]
    return Text(", ").join(Text(*word) for word in words)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={one}" for key, one in value.items())
    return str(value)


def _day(run: Any) -> str:
    return datetime.fromisoformat(run["finished_at"]).date().isoformat()


def _shown_path(path: str) -> str:
    folder = Path.cwd()
    return Path(path).relative_to(folder).as_posix() if Path(path).is_relative_to(folder) else path
