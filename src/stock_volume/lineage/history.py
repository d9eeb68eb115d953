"""The chain from an artefact back to raw files, by the manifests of the runs that made it.

Runs are linked by content, not by name: an input of a run was made by the latest earlier run
with an output of the same SHA-256, wherever either file was, or of the same tag in a store.
"""

import os
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from stock_volume.errors import StockVolumeError
from stock_volume.files import path_to_text
from stock_volume.lineage.digests import FileDigest, fingerprint
from stock_volume.lineage.manifest import Content, RunManifest, StoredTag, is_parameter

_DIGEST_PREFIX: Final = re.compile(r"[0-9a-f]{8,64}")


class UnknownArtefactError(StockVolumeError):
    """No manifest has the artefact that a user asked for, or several fit."""


class State(StrEnum):
    """What became of a file, or of a version in a store."""

    UNCHANGED = "unchanged"
    REPLACED = "replaced by a run"
    CHANGED = "changed since"
    GONE = "gone"


class Execution(NamedTuple):
    """One execution of a node.

    Attributes:
        run: Index of the run in the history.
        node: Name of the node.
    """

    run: int
    node: str


@dataclass(frozen=True, slots=True)
class Artefact:
    """Content that a dataset had.

    Attributes:
        name: Name of the dataset.
        key: SHA-256 of its file, fingerprint of its files, or tag; empty if it was not recorded.
        made_by: The executions that made it, latest first; empty if no known run did.
        files: Its files, if it consists of any.
        tag: Its tag, if it is in a store.
    """

    name: str
    key: str
    made_by: tuple[Execution, ...] = ()
    files: tuple[FileDigest, ...] = field(default=(), compare=False)
    tag: str | None = field(default=None, compare=False)

    @property
    def place(self) -> str:
        """Path of the only file, or of the folder that contains all files."""
        return _common_folder(self.files) if len(self.files) > 1 else self.files[0].path


@dataclass(frozen=True)
class Chain:
    """An artefact and everything it was made from.

    Attributes:
        root: The artefact.
        artefacts: The root and everything it was made from, nearest first.
        inputs: The inputs of each execution: their names there, and their contents.
    """

    root: Artefact
    artefacts: tuple[Artefact, ...]
    inputs: Mapping[Execution, tuple[tuple[str, Artefact], ...]]


class _Output(NamedTuple):
    execution: Execution
    name: str
    path: str


class History:
    """The manifests of all runs, indexed by the contents that the runs made.

    Attributes:
        runs: The manifests, earliest first.
    """

    def __init__(self, manifests: Iterable[RunManifest]) -> None:
        """Index the outputs of all runs.

        Args:
            manifests: The manifests, in any order.
        """
        self.runs = sorted(manifests, key=lambda run: (run.sequence, run.finished_at, run.run_id))
        self._makers = [run.makers() for run in self.runs]
        self._outputs: dict[str, list[_Output]] = defaultdict(list)
        for index, makers in enumerate(self._makers):
            for name, node in makers.items():
                self._index(self._output(index, name), Execution(index, node))

    def _index(self, artefact: Artefact, execution: Execution) -> None:
        for file in artefact.files:
            self._outputs[file.sha256].append(_Output(execution, artefact.name, file.path))
        if artefact.tag:
            self._outputs[artefact.tag].append(_Output(execution, artefact.name, ""))

    def find(self, text: str, digest: Callable[[str], str | None]) -> Artefact:
        """Find the artefact that a user means.

        Args:
            text: Name of a dataset (its latest content is meant), tag in a store, path of a
                file or folder, or at least eight digits of a SHA-256.
            digest: Returns the current SHA-256 of a file, or None if there is no such file.

        Returns:
            The artefact.

        Raises:
            UnknownArtefactError: No artefact fits, or the digits fit several.
        """
        path = path_to_text(Path(text).absolute())
        now = digest(path)
        # Files come before folders; among files, the current content comes first.
        readings: list[Callable[[str, Artefact], Artefact | None]] = [
            lambda name, artefact: artefact if name == text else None,
            lambda _, artefact: artefact if artefact.tag == text else None,
            self._file_where(lambda file: (file.path, file.sha256) == (path, now)),
            self._file_where(lambda file: file.sha256 == now),
            self._file_where(lambda file: file.path == path),
            lambda _, artefact: artefact if artefact.files and artefact.place == path else None,
        ]
        mentions = list(self._mentions())
        for reading in readings:
            for name, artefact in mentions:
                if match := reading(name, artefact):
                    return match
        if _DIGEST_PREFIX.fullmatch(text):
            return self._find_by_digest(text, [artefact for _, artefact in mentions])
        raise UnknownArtefactError(f"{text} is in no run's manifest; {self._list_known()}")

    def _find_by_digest(self, prefix: str, artefacts: list[Artefact]) -> Artefact:
        file_of = self._file_where(lambda file: file.sha256.startswith(prefix))
        found: dict[str, Artefact] = {}
        for artefact in artefacts:
            whole = artefact if artefact.files and artefact.key.startswith(prefix) else None
            match = whole or file_of(artefact.name, artefact)
            if match:
                found.setdefault(match.key, match)
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            names = ", ".join(f"{one.name} {one.key}" for one in found.values())
            raise UnknownArtefactError(f"{prefix} may be any of {names}")
        raise UnknownArtefactError(f"{prefix} is in no run's manifest; {self._list_known()}")

    def _file_where(
        self, matches: Callable[[FileDigest], bool]
    ) -> Callable[[str, Artefact], Artefact | None]:
        """Make a function that returns the first matching file of an artefact."""

        def reading(name: str, artefact: Artefact) -> Artefact | None:
            for file in artefact.files:
                if matches(file):
                    maker = self._find_maker(file.sha256, file.path, len(self.runs))
                    return Artefact(
                        maker.name if maker else name,
                        file.sha256,
                        (maker.execution,) if maker else (),
                        (file,),
                    )
            return None

        return reading

    def find_makers(self, content: Content) -> list[Execution]:
        """Find the executions that made a content, or files of it that are all still there.

        Args:
            content: What a dataset holds; a folder may hold files of several runs.

        Returns:
            The executions, latest first.
        """
        keys = _keys(content)
        outputs = {output for key in keys for output in self._outputs.get(key, ())}
        makers = {
            made.execution
            for made in outputs
            if _keys(self.runs[made.execution.run].outputs[made.name]) <= keys
        }
        return sorted(makers, reverse=True)

    def trace(self, root: Artefact) -> Chain:
        """Follow an artefact back to what no run made.

        Args:
            root: The artefact, as ``find`` returns it.

        Returns:
            The chain.
        """
        inputs: dict[Execution, tuple[tuple[str, Artefact], ...]] = {}
        known = {root: None}
        waiting = deque([root])
        while waiting:
            for execution in waiting.popleft().made_by:
                if execution in inputs:
                    continue
                inputs[execution] = tuple(self._inputs(execution))
                new = [artefact for _, artefact in inputs[execution] if artefact not in known]
                known.update(dict.fromkeys(new))
                waiting.extend(dict.fromkeys(new))
        return Chain(root, tuple(known), inputs)

    def state(self, file: FileDigest, now: str | None) -> State:
        """Compare a file of a manifest with the current content of its path.

        Args:
            file: The file, as its manifest records it.
            now: SHA-256 of the current content; None if the file is gone.

        Returns:
            What became of the file.
        """
        if now is None:
            return State.GONE
        if now == file.sha256:
            return State.UNCHANGED
        by_run = any(output.path == file.path for output in self._outputs.get(now, ()))
        return State.REPLACED if by_run else State.CHANGED

    def _mentions(self) -> Iterator[tuple[str, Artefact]]:
        """Yield every output, latest first, and then every input."""
        for index in reversed(range(len(self.runs))):
            # Of two outputs at one path, the later one is what is there now.
            for name in reversed(self._makers[index]):
                yield name, self._output(index, name)
        for index in reversed(range(len(self.runs))):
            for name in self.runs[index].inputs:
                yield name, self._input(index, name)

    def _inputs(self, execution: Execution) -> Iterator[tuple[str, Artefact]]:
        for name in self.runs[execution.run].nodes[execution.node].inputs:
            if is_parameter(name):
                continue
            made_here = name in self._makers[execution.run]
            yield name, (self._output if made_here else self._input)(execution.run, name)

    def _output(self, index: int, name: str) -> Artefact:
        execution = Execution(index, self._makers[index][name])
        return _artefact(name, self.runs[index].outputs.get(name), (execution,))

    def _input(self, index: int, name: str) -> Artefact:
        given = _artefact(name, self.runs[index].inputs.get(name))
        if given.tag:
            found = {self._find_maker(given.tag, "", index)}
        else:
            found = {self._find_maker(file.sha256, file.path, index) for file in given.files}
        makers = {maker for maker in found if maker}
        names = {maker.name for maker in makers} if None not in found else set()
        return Artefact(
            names.pop() if len(names) == 1 else name,
            given.key,
            tuple(sorted({maker.execution for maker in makers}, reverse=True)),
            given.files,
            given.tag,
        )

    def _find_maker(self, key: str, path: str, before: int) -> _Output | None:
        """Find the latest earlier run that made a content, preferably at the same path."""
        outputs = [made for made in self._outputs.get(key, ()) if made.execution.run < before]
        latest = max(
            outputs, key=lambda made: (made.path == path, made.execution.run), default=None
        )
        # Without the path, files of one folder made by one run have equal makers.
        return latest and latest._replace(path="")

    def _list_known(self) -> str:
        made = {name for makers in self._makers for name in makers}
        used = {name for run in self.runs for name in run.inputs} - made
        tags = dict.fromkeys(artefact.tag for _, artefact in self._mentions() if artefact.tag)
        known = {"made": sorted(made), "used": sorted(used), "in the store": list(tags)}
        lines = [f"  {word}: {', '.join(names)}" for word, names in known.items() if names]
        return "\n".join(["known are", *lines])


def state_of(
    artefact: Artefact,
    history: History,
    digest: Callable[[str], str | None],
    is_stored: Callable[[str], bool],
) -> list[State]:
    """Find what became of an artefact's files, or of its version in a store.

    Args:
        artefact: The artefact.
        history: The runs.
        digest: Returns the current SHA-256 of a file, or None if there is no such file.
        is_stored: Returns whether the store has a tag.

    Returns:
        One state per file, or the state of the tag; none if its content was not recorded.
    """
    if artefact.tag:
        return [State.UNCHANGED if is_stored(artefact.tag) else State.GONE]
    return [history.state(file, digest(file.path)) for file in artefact.files]


def key_of(content: Content | None) -> str:
    """Return what identifies a content.

    Args:
        content: What a dataset holds or held.

    Returns:
        SHA-256 of its file, fingerprint of its files, or tag; empty if it is unknown.
    """
    return _artefact("", content).key


def _keys(content: Content) -> set[str]:
    if isinstance(content, StoredTag):
        return {content.tag}
    return {file.sha256 for file in content}


def _artefact(name: str, content: Content | None, made_by: tuple[Execution, ...] = ()) -> Artefact:
    match content:
        case StoredTag(tag=tag):
            return Artefact(name, tag, made_by, tag=tag)
        case None | ():
            return Artefact(name, "", made_by)
        case [file]:
            return Artefact(name, file.sha256, made_by, content)
    folder = _common_folder(content)
    digests = [(os.path.relpath(file.path, folder), file.sha256) for file in content]
    return Artefact(name, fingerprint(digests), made_by, content)


def _common_folder(files: tuple[FileDigest, ...]) -> str:
    return os.path.commonpath([str(PurePosixPath(file.path).parent) for file in files])
