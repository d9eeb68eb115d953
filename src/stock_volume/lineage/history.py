"""The chain from an artefact back to raw files, by the manifests of the runs that made it.

Runs are linked by what files hold, not by their names: an input of a run was made by the
latest earlier run with an output of the same SHA-256, wherever either file lay, or of the
same tag in a store.
"""

import hashlib
import json
import os
import re
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from stock_volume.errors import StockVolumeError
from stock_volume.lineage.digests import FileDigest, fingerprint

PARAMETER: Final = "params:"
ALL_PARAMETERS: Final = "parameters"
SHORT: Final = 12
"""Digits of a digest that are shown; as few as eight name an artefact."""

_DIGEST_PREFIX: Final = re.compile(r"[0-9a-f]{8,64}")

Manifest = Mapping[str, Any]


class UnknownArtefactError(StockVolumeError):
    """No run's manifest tells of an artefact of this name."""


class State(StrEnum):
    """What is in the place of a file, or of a version in a store, today."""

    UNCHANGED = "unchanged"
    REPLACED = "replaced by a run"
    CHANGED = "changed since"
    GONE = "gone"


class Making(NamedTuple):
    """What a node did in a run.

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
        name: Of the dataset.
        key: SHA-256 of its file, fingerprint of its files or tag; empty if it was not kept.
        made_by: What made it, the latest first; empty if no known run did.
        files: Its files, if it is in any.
        tag: Its tag, if it is in a store.
    """

    name: str
    key: str
    made_by: tuple[Making, ...] = ()
    files: tuple[FileDigest, ...] = field(default=(), compare=False)
    tag: str | None = field(default=None, compare=False)

    @property
    def place(self) -> str:
        """Path of its file, or of the folder that all its files are in."""
        return _common_folder(self.files) if len(self.files) > 1 else self.files[0].path


@dataclass(frozen=True)
class Chain:
    """An artefact and all that it was made from.

    Attributes:
        root: The artefact.
        artefacts: The root and everything it was made from, the nearest first.
        inputs: For each making of these, its input datasets: their names there, and contents.
    """

    root: Artefact
    artefacts: tuple[Artefact, ...]
    inputs: Mapping[Making, tuple[tuple[str, Artefact], ...]]


class _Made(NamedTuple):
    making: Making
    name: str
    path: str


class History:
    """Runs, by their manifests, and what each made.

    Attributes:
        runs: The manifests, the earliest first.
    """

    def __init__(self, manifests: Iterable[Manifest]) -> None:
        """Index what was made.

        Args:
            manifests: As ``RunManifestHook`` writes them, in any order.
        """
        self.runs = sorted(manifests, key=lambda run: (run["finished_at"], run["run_id"]))
        self._makers = [_makers(run) for run in self.runs]
        self._made: dict[str, list[_Made]] = defaultdict(list)
        for index, makers in enumerate(self._makers):
            for name, node in makers.items():
                content = self._output(index, name)
                making = Making(index, node)
                for file in content.files:
                    self._made[file.sha256].append(_Made(making, name, file.path))
                if content.tag:
                    self._made[content.tag].append(_Made(making, name, ""))

    def find(self, text: str, digest: Callable[[str], str | None]) -> Artefact:
        """Find the artefact that a user means.

        Args:
            text: Name of a dataset (what was last made of it), tag in a store, path of a
                file or folder, or eight or more digits of a SHA-256.
            digest: Tells the SHA-256 of a file as it is now; None without such a file.

        Returns:
            The artefact.

        Raises:
            UnknownArtefactError: None is meant, or more than one.
        """
        path = Path(text).absolute().as_posix()
        now = digest(path)
        # Files come before folders; of files the one that is there comes first.
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
        raise UnknownArtefactError(f"{text} is in no run's manifest; {self._known()}")

    def _find_by_digest(self, prefix: str, artefacts: list[Artefact]) -> Artefact:
        in_folders = self._file_where(lambda file: file.sha256.startswith(prefix))
        found: dict[str, Artefact] = {}
        for artefact in artefacts:
            whole = artefact if artefact.files and artefact.key.startswith(prefix) else None
            match = whole or in_folders(artefact.name, artefact)
            if match:
                found.setdefault(match.key, match)
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            names = ", ".join(f"{one.name} {one.key}" for one in found.values())
            raise UnknownArtefactError(f"{prefix} may be any of {names}")
        raise UnknownArtefactError(f"{prefix} is in no run's manifest; {self._known()}")

    def _file_where(
        self, matches: Callable[[FileDigest], bool]
    ) -> Callable[[str, Artefact], Artefact | None]:
        def reading(name: str, artefact: Artefact) -> Artefact | None:
            for file in artefact.files:
                if matches(file):
                    maker = self._maker(file.sha256, file.path, len(self.runs))
                    return Artefact(
                        maker.name if maker else name,
                        file.sha256,
                        (maker.making,) if maker else (),
                        (file,),
                    )
            return None

        return reading

    def trace(self, root: Artefact) -> Chain:
        """Follow an artefact back to what no run made.

        Args:
            root: The artefact, as ``find`` gives it.

        Returns:
            The chain.
        """
        inputs: dict[Making, tuple[tuple[str, Artefact], ...]] = {}
        known = {root: None}
        waiting = deque([root])
        while waiting:
            for making in waiting.popleft().made_by:
                if making in inputs:
                    continue
                inputs[making] = tuple(self._inputs(making))
                new = [artefact for _, artefact in inputs[making] if artefact not in known]
                known.update(dict.fromkeys(new))
                waiting.extend(dict.fromkeys(new))
        return Chain(root, tuple(known), inputs)

    def parameters(self, making: Making) -> dict[str, Any]:
        """Tell the parameters that a node was given, by name, without ``params:``."""
        run = self.runs[making.run]
        values: dict[str, Any] = {}
        for name in run["nodes"][making.node]["inputs"]:
            if name == ALL_PARAMETERS:
                values[name] = run[ALL_PARAMETERS]
            elif name.startswith(PARAMETER):
                short = name.removeprefix(PARAMETER)
                values[short] = _looked_up(run[ALL_PARAMETERS], short)
        return values

    def state(self, file: FileDigest, now: str | None) -> State:
        """Compare a file with what is in its place.

        Args:
            file: As a manifest has it.
            now: SHA-256 of what is there; None if nothing is.

        Returns:
            What became of it.
        """
        if now is None:
            return State.GONE
        if now == file.sha256:
            return State.UNCHANGED
        by_run = any(made.path == file.path for made in self._made.get(now, ()))
        return State.REPLACED if by_run else State.CHANGED

    def _mentions(self) -> Iterator[tuple[str, Artefact]]:
        """Everything that was made, the latest first, and then what was only used."""
        for index in reversed(range(len(self.runs))):
            # Of two outputs in one place the later one is what is there.
            for name in reversed(self._makers[index]):
                yield name, self._output(index, name)
        for index in reversed(range(len(self.runs))):
            for name in self.runs[index]["inputs"]:
                yield name, self._input(index, name)

    def _inputs(self, making: Making) -> Iterator[tuple[str, Artefact]]:
        for name in self.runs[making.run]["nodes"][making.node]["inputs"]:
            if name == ALL_PARAMETERS or name.startswith(PARAMETER):
                continue
            made_here = name in self._makers[making.run]
            yield name, (self._output if made_here else self._input)(making.run, name)

    def _output(self, index: int, name: str) -> Artefact:
        making = Making(index, self._makers[index][name])
        return _artefact(name, self.runs[index]["outputs"].get(name), (making,))

    def _input(self, index: int, name: str) -> Artefact:
        given = _artefact(name, self.runs[index]["inputs"].get(name))
        if given.tag:
            made = {self._maker(given.tag, "", index)}
        else:
            made = {self._maker(file.sha256, file.path, index) for file in given.files}
        makers = {maker for maker in made if maker}
        names = {maker.name for maker in makers} if None not in made else set()
        return Artefact(
            names.pop() if len(names) == 1 else name,
            given.key,
            tuple(sorted({maker.making for maker in makers}, reverse=True)),
            given.files,
            given.tag,
        )

    def _maker(self, key: str, path: str, before: int) -> _Made | None:
        """The latest earlier run that made this; the one that made it here, if one did."""
        makers = [made for made in self._made.get(key, ()) if made.making.run < before]
        latest = max(makers, key=lambda made: (made.path == path, made.making.run), default=None)
        # The path is no part of the answer: files of a folder have one maker in common.
        return latest and latest._replace(path="")

    def _known(self) -> str:
        made = {name for makers in self._makers for name in makers}
        used = {name for run in self.runs for name in run["inputs"]} - made
        tags = dict.fromkeys(artefact.tag for _, artefact in self._mentions() if artefact.tag)
        known = {"made": sorted(made), "used": sorted(used), "in the store": list(tags)}
        lines = [f"  {word}: {', '.join(names)}" for word, names in known.items() if names]
        return "\n".join(["known are", *lines])


def state_of(
    artefact: Artefact,
    history: History,
    digest: Callable[[str], str | None],
    stored: Callable[[str], bool],
) -> list[State]:
    """Tell what became of an artefact's files, or of its version in a store.

    Args:
        artefact: The artefact.
        history: The runs.
        digest: Tells the SHA-256 of a file as it is now; None without such a file.
        stored: Tells whether the store has a tag.

    Returns:
        A state a file, or the one of the tag; none for what was not kept.
    """
    if artefact.tag:
        return [State.UNCHANGED if stored(artefact.tag) else State.GONE]
    return [history.state(file, digest(file.path)) for file in artefact.files]


def parameters_digest(value: object) -> str:
    """Digest a parameter's value.

    Args:
        value: Of types that JSON knows.

    Returns:
        SHA-256 over its JSON with sorted keys, in hexadecimal.
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def as_record(
    chain: Chain,
    history: History,
    states: Callable[[Artefact], list[State]],
    raw: Collection[str] = (),
) -> dict[str, Any]:
    """Write a chain as a graph for other programs; artefacts are known by their position.

    Args:
        chain: The chain.
        history: The runs it was traced in.
        states: Tells what became of an artefact.
        raw: Names of the datasets of the raw layer.

    Returns:
        The artefacts, the nodes that made them and their runs, of types that JSON knows.
    """
    position = {artefact: number for number, artefact in enumerate(chain.artefacts)}

    def made(making: Making) -> dict[str, str]:
        return {"run_id": history.runs[making.run]["run_id"], "node": making.node}

    runs = [history.runs[index] for index in sorted({making.run for making in chain.inputs})]
    return {
        "artefacts": [
            {
                "name": artefact.name,
                "raw": not artefact.made_by and artefact.name in raw,
                "made_by": [made(making) for making in artefact.made_by],
                **_content_record(artefact, states(artefact)),
            }
            for artefact in chain.artefacts
        ],
        "nodes": [
            {
                **made(making),
                "parameters": history.parameters(making),
                "inputs": [{"as": name, "artefact": position[given]} for name, given in inputs],
            }
            for making, inputs in chain.inputs.items()
        ],
        "runs": [
            {key: run[key] for key in ("run_id", "finished_at", "git_revision", "versions")}
            for run in runs
        ],
    }


def _content_record(artefact: Artefact, states: list[State]) -> dict[str, Any]:
    if artefact.tag:
        return {"tag": artefact.tag, "state": states[0].value}
    if not artefact.files:
        return {}
    return {
        "sha256" if len(artefact.files) == 1 else "fingerprint": artefact.key,
        "files": [
            {**file._asdict(), "state": state.value}
            for file, state in zip(artefact.files, states, strict=True)
        ],
    }


def _makers(run: Manifest) -> dict[str, str]:
    """Name the node that made each output, in the order of the run."""
    return {output: node for node, record in run["nodes"].items() for output in record["outputs"]}


def _artefact(name: str, content: Any, made_by: tuple[Making, ...] = ()) -> Artefact:
    """Read what a manifest says that a dataset held: files, a tag, or nothing that was kept."""
    if not content:
        return Artefact(name, "", made_by)
    if "tag" in content:
        return Artefact(name, content["tag"], made_by, tag=content["tag"])
    return _of_files(name, tuple(FileDigest(**file) for file in content), made_by)


def _of_files(name: str, files: tuple[FileDigest, ...], made_by: tuple[Making, ...]) -> Artefact:
    if len(files) == 1:
        return Artefact(name, files[0].sha256, made_by, files)
    folder = _common_folder(files)
    digests = [(os.path.relpath(file.path, folder), file.sha256) for file in files]
    return Artefact(name, fingerprint(digests), made_by, files)


def _common_folder(files: tuple[FileDigest, ...]) -> str:
    return os.path.commonpath([str(PurePosixPath(file.path).parent) for file in files])


def _looked_up(parameters: Any, name: str) -> Any:
    for part in name.split("."):
        parameters = parameters[part]
    return parameters
