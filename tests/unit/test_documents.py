"""What the documents say about commands, files and routes is true."""

import json
import re
import shlex
import tomllib
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlsplit

import click
import pytest
import yaml
from kedro.framework.cli.cli import KedroCLI
from kedro.framework.project import pipelines
from kedro.framework.startup import bootstrap_project

from stock_volume import __version__
from stock_volume.cli import lineage, run
from stock_volume.cli.run_command import RunOptions, check_names
from stock_volume.configuration import ProjectConfigLoader, check_values, parameter_models
from stock_volume.errors import StockVolumeError
from stock_volume.json_value import Json
from stock_volume.runtime_parameters import (
    KnownParameters,
    check_required,
    flatten,
    nest,
    read_value,
)
from stock_volume.serving.app import create_app
from stock_volume.serving.loading import ModelLoader
from tests.unit.document_commands import (
    DOCUMENTS,
    HISTORY,
    PROJECT,
    Command,
    find_anchors,
    find_blocks,
    find_code,
    find_commands,
    find_links,
)

with warnings.catch_warnings(action="ignore"):
    # While tests are collected: its options read a configuration that a served app replaces.
    from bentoml_cli.cli import create_bentoml_cli

CURRENT: Final = [document for document in DOCUMENTS if document != HISTORY]
COMMANDS: Final = {
    command.words: command for document in CURRENT for command in find_commands(document)
}
"""The last of equal commands."""

LATER: Final = ("tuned", "bucket")
"""Environments that a search, or the reader, makes."""

SERVICE: Final = "localhost:3000"
WHEEL: Final = f"dist/stock_volume-{__version__}-py3-none-any.whl"
"""What `make build` writes."""

FILE: Final = re.compile(
    r"(?!data/|\.venv|/|0\d_|conf/(?:local|bucket|NAME)/)[\w./-]+/[\w.-]+\.(?:py|toml|sh|lock|html|js|j2|yml)"
)
"""A path of a file in the repository, as the text writes it."""

UNCHECKED: Final = (
    *(".", "cd", "export", "git", "docker", "flock", "python3", "30"),  # the system's own
    *("airflow", "dask", "pip-audit"),  # installed elsewhere
)
"""Programs that are not of this project or its environment."""


def names(document: str) -> str:
    return document


def describe(command: Command) -> str:
    return f"{command.document}: {' '.join(command.words)}"[:100]


@pytest.fixture(scope="module", autouse=True)
def project() -> None:
    bootstrap_project(PROJECT)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=describe)
def test_a_command_can_be_given(command: Command) -> None:
    """Its program, subcommand, options, parameters, names and files exist."""
    program, *arguments = command.words
    program = program.rsplit("/", 1)[-1]
    if program not in UNCHECKED:
        assert program in CHECKS, f"{command.document}: nothing checks `{program}`"
        CHECKS[program](arguments)


@pytest.mark.parametrize(
    "line",
    [
        "make nothing",
        "make bench NOTHING=1",
        "kedro run --nothing",
        "kedro run --pipelines nothing",
        "kedro run --nodes nothing",
        "kedro run --namespaces nothing",
        "kedro run --env nothing",
        "kedro run --params sourse=archive.zip",
        "kedro run --params forecaster.max_bin=256",
        "kedro run --env http --params symbols=listing.csv",
        "kedro nothing",
        "bentoml serve --nothing",
        "python benchmarks/monitoring.py --nothing",
        "pytest tests/nothing",
        "pytest -m nothing",
        "pip install 'stock_volume[nothing]'",
        "pip install dist/stock_volume-9.9.9-py3-none-any.whl",
        "curl 'localhost:3000/symbols?nothing=1'",
        "curl localhost:3000/nothing",
    ],
)
def test_a_wrong_command_is_found(line: str) -> None:
    """Each check can fail."""
    program, *arguments = shlex.split(line)
    errors = (AssertionError, pytest.fail.Exception, click.ClickException, StockVolumeError)
    with pytest.raises(errors):
        CHECKS[program](arguments)


def check_make(arguments: Sequence[str]) -> None:
    text = (PROJECT / "Makefile").read_text(encoding="utf-8")
    for word in arguments:
        name, is_variable, _ = word.partition("=")
        if is_variable:
            assert re.search(rf"\b{name}=", text), f"no target takes {name}="
        else:
            assert re.search(rf"^{name}:", text, re.MULTILINE), f"no target {name}"


def check_kedro(arguments: Sequence[str]) -> None:
    if arguments[0] == "run":
        check_run(arguments[1:])
    elif arguments[0] == "lineage":
        parse(lineage, arguments[1:])
    else:
        parse(KedroCLI(PROJECT), arguments)


def check_run(arguments: Sequence[str]) -> None:
    """Parse options, and check names and parameters as a run does before it starts."""
    options = run.make_context("run", list(arguments)).params
    if options["env"] in LATER:
        options["env"] = None
    check_names(cast("RunOptions", options))
    known = {node.name for pipeline in pipelines.values() for node in pipeline.nodes}
    for option in ("node_names", "from_nodes", "to_nodes"):
        given = set(options[option] or ()) - {"…"}
        assert given <= known, f"no nodes {given - known}"
    given = set(options["namespaces"] or ())
    assert given <= {name.split(".")[0] for name in known}, f"no namespaces {given}"
    check_parameters(options["env"], options["params"] or {})


def check_parameters(env: str | None, given: Mapping[str, Any]) -> None:
    """Parse values, as the hook of each session does, and validate those that have a model."""
    known = known_parameters(env)
    flat = dict(flatten(given))
    assert [name for name in flat if name not in known] == []
    if flat:  # without any, an environment is only mentioned
        check_required(flat, known)
    values = nest({name: read_value(name, value, known) for name, value in flat.items()})
    check_values(cast("Mapping[str, Json]", values), parameter_models())


@cache
def known_parameters(env: str | None) -> KnownParameters:
    loader = ProjectConfigLoader(
        str(PROJECT / "conf"), env, base_env="base", default_run_env="local"
    )
    return loader.find_parameters(parameter_models())


def check_bentoml(arguments: Sequence[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # BentoML's own
        parse(create_bentoml_cli(), arguments)


def find_module(name: str) -> str:
    """Find the file of a module that has a command."""
    spec = find_spec(name)
    assert spec is not None, f"no module {name}"
    if spec.submodule_search_locations:
        spec = find_spec(f"{name}.__main__")
    assert spec is not None, f"{name} has no command"
    assert spec.origin is not None
    return spec.origin


def check_python(arguments: Sequence[str]) -> None:
    """The script exists, and names each option."""
    if not arguments:
        return
    if arguments[0] == "-m" and arguments[1] in {"pytest", "venv", "http.server"}:
        return
    if arguments[0] == "-m":
        arguments = [find_module(arguments[1]), *arguments[2:]]
    script = PROJECT / arguments[0]
    text = script.read_text(encoding="utf-8")
    for word in arguments[1:]:
        if word.startswith("--"):
            assert f'"{word}"' in text, f"{arguments[0]} has no option {word}"


def check_pytest(arguments: Sequence[str]) -> None:
    """Markers and paths exist."""
    options = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    markers = {one.split(":")[0] for one in options["pytest"]["ini_options"]["markers"]}
    for before, word in pairwise(["", *arguments]):
        if before == "-m":
            assert word in markers, f"no marker {word}"
        elif not word.startswith("-"):
            assert (PROJECT / word.split("::")[0]).exists(), word


def check_pip(arguments: Sequence[str]) -> None:
    """Extras and files of requirements exist."""
    about = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for word in arguments:
        extras = re.fullmatch(rf"(?:stock_volume|{re.escape(WHEEL)})\[([\w,]+)\]", word)
        if extras:
            assert set(extras[1].split(",")) <= set(about["optional-dependencies"])
        elif ".whl" in word:
            pytest.fail(f"{word} is not {WHEEL}")
        if word.endswith(".lock"):
            assert (PROJECT / word).exists(), word


def check_curl(arguments: Sequence[str]) -> None:
    """The service has the route, with these query parameters."""
    address = urlsplit("http://" + next(word for word in arguments if not word.startswith("-")))
    if address.netloc != SERVICE:
        return
    operations = find_route(address.path)
    known = {one["name"] for one in operations["get"].get("parameters", ())}
    assert {name for name, _ in parse_qsl(address.query, keep_blank_values=True)} <= known


CHECKS: Final[Mapping[str, Callable[[Sequence[str]], None]]] = {
    "make": check_make,
    "kedro": check_kedro,
    "stock_volume": check_kedro,
    "bentoml": check_bentoml,
    "python": check_python,
    "pytest": check_pytest,
    "pip": check_pip,
    "curl": check_curl,
}


def parse(command: click.Command | None, words: Sequence[str]) -> None:
    """Parse the options of a command and its subcommands without running anything."""
    while isinstance(command, click.Group) and words:
        name, *words = words
        command = command.get_command(click.Context(command), name)
        assert command is not None, f"no command {name}"
    if words:  # without words, the command is only mentioned
        assert command is not None
        command.make_context(command.name, list(words))


@cache
def service() -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", create_app(ModelLoader()).openapi()["paths"])


def find_route(path: str) -> Mapping[str, Any]:
    """Find the operations of a path."""
    for template, operations in service().items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return cast("Mapping[str, Any]", operations)
    pytest.fail(f"no route {path}")


@pytest.mark.parametrize("document", CURRENT, ids=names)
def test_routes_exist(document: str) -> None:
    """Each `GET /path` is a route of the service, or of Kedro's server."""
    for code in find_code(document):
        if found := re.match(r"(GET|POST) (/[\w/{}]*)", code):
            method, path = found.groups()
            assert path == "/run" or method.lower() in find_route(path), code


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_links_lead_somewhere(document: str) -> None:
    """Files and anchors of relative links exist."""
    folder = (PROJECT / document).parent
    for link in find_links(document):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (folder / path).resolve() if path else PROJECT / document
        assert target.exists(), link
        if anchor:
            assert anchor in find_anchors(target.relative_to(PROJECT).as_posix()), link


@pytest.mark.parametrize("document", CURRENT, ids=names)
def test_files_exist(document: str) -> None:
    """Files of the project that the text names exist, from its root or from the package."""
    roots = (PROJECT, PROJECT / "src/stock_volume")
    for code in find_code(document):
        if FILE.fullmatch(code):
            assert any((root / code).exists() for root in roots), code


@pytest.mark.parametrize("document", CURRENT, ids=names)
def test_blocks_of_code_are_valid(document: str) -> None:
    """Python compiles; JSON and YAML are read."""
    for text in find_blocks(document, "python"):
        compile(text, document, "exec")
    for text in find_blocks(document, "json"):
        assert json.loads(text)
    for text in find_blocks(document, "yaml"):
        assert yaml.safe_load(text)
