"""Find the commands, links and paths in the project's documents."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

PROJECT: Final = Path(__file__).parents[2]
DOCUMENTS: Final = tuple(
    sorted(
        path.relative_to(PROJECT).as_posix()
        for path in (*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"))
    )
)
HISTORY: Final = "CHANGELOG.md"
"""Speaks of commands and files of the past, too."""

PROGRAMS: Final = (
    *("make", "kedro", "bentoml", "python", "pytest", "pip", "curl", "docker", "stock_volume"),
    *("airflow", "dask", "mkdocs", "pip-audit"),
)
"""Words that begin a command in the text."""

_FENCE: Final = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"`([^`\n]+)`")
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
_HEADING: Final = re.compile(r"^#{1,6} (.*)$", re.MULTILINE)
_ASSIGNMENT: Final = re.compile(r"^[A-Z_]\w*=")
_ENDS: Final = ("&&", "||", ";", "|", ">>", ">", "&")


class Command(NamedTuple):
    """A command in a document.

    Attributes:
        document: Path of the document.
        words: Program and arguments.
    """

    document: str
    words: tuple[str, ...]


def read(document: str) -> str:
    """Read a document of the project."""
    return (PROJECT / document).read_text(encoding="utf-8")


def find_blocks(document: str, language: str) -> list[str]:
    """Find the blocks of code in a language."""
    return [text for _, name, text in _FENCE.findall(read(document)) if name == language]


def find_code(document: str) -> list[str]:
    """Find the code within the text."""
    return _CODE.findall(_FENCE.sub("", read(document)))


def find_commands(document: str) -> Iterator[Command]:
    """Find the commands of blocks and of the text."""
    for block in find_blocks(document, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            yield from _split(document, line)
    for code in find_code(document):
        if code.split(" ")[0].rsplit("/", 1)[-1] in PROGRAMS and " " in code:
            yield from _split(document, code)
        elif re.match(r"--(params|env|pipelines|namespaces|nodes|to-nodes|from-nodes)[ =]", code):
            yield from _split(document, f"kedro run {code}")


def find_links(document: str) -> list[str]:
    """Find the targets of links and pictures."""
    return [one or other for one, other in _LINK.findall(_FENCE.sub("", read(document)))]


def find_anchors(document: str) -> set[str]:
    """Find the anchors of headings, as GitHub and the site make them."""
    headings = _HEADING.findall(_FENCE.sub("", read(document)))
    return {_slug(heading) for heading in headings}


def _slug(heading: str) -> str:
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.lower())
    return re.sub(r"[^\w\- ]", "", words).strip().replace(" ", "-")


def _split(document: str, line: str) -> Iterator[Command]:
    words: list[str] = []
    for word in [*shlex.split(line, comments=True), ";"]:
        if word in _ENDS:
            if words:
                yield Command(document, tuple(words))
            words = []
        elif words or not _ASSIGNMENT.match(word):
            words.append(word)
