"""The project's commands: Kedro's ``run``, with its own reading of parameters, and ``lineage``."""

import json
import logging
import os
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Final

import click
import yaml
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS
from kedro.framework.project import configure_logging, settings
from kedro.framework.session import KedroSession
from kedro.framework.startup import ProjectMetadata
from kedro.io import DataCatalog
from kedro.utils import find_kedro_project

from stock_volume import pipelines
from stock_volume.configuration import environments
from stock_volume.errors import StockVolumeError
from stock_volume.failures import explain, full_traceback, keep_traceback
from stock_volume.hooks import LOGS_FOLDER, MANIFEST, MANIFESTS
from stock_volume.runtime_parameters import AsTyped, nest, split

RAW_LAYER: Final = "01_raw"
WIDTH: Final = 2000
"""Columns where the output is no terminal: a line is one line."""
ERROR_LOG: Final = "error.log"
VERBOSE: Final = "STOCK_VOLUME_VERBOSE"
INTERRUPTED: Final = 130
"""The exit code of a command that Ctrl-C ended, as shells have it."""
_REPEATING_LOGGERS: Final = ("kedro.pipeline.node", "kedro.runner.sequential_runner")
"""Loggers of Kedro that say of an error what its paragraph says, too."""
_PARAMS_HELP: Final = """Parameters of this run: name=value, more after a comma or by another
--params; nested names have dots. Paths, addresses and symbols are taken as typed, and other
values are YAML."""


class UnknownNameError(StockVolumeError):
    """A pipeline or an environment does not exist."""


class CommandError(click.ClickException):
    """An error that a command shows as one paragraph; a program gets it with its cause."""

    def show(self, file: Any = None) -> None:
        """Write the paragraph."""
        click.echo(f"Error: {self.message}", file=file, err=file is None)


class ReportingCommand(click.Command):
    """A command whose errors are one paragraph each, their tracebacks in a file."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Read the command line."""
        _use_logging_of(_project())
        with _reporting(verbose="--verbose" in args or _is_verbose()):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        for name in _REPEATING_LOGGERS:
            logging.getLogger(name).addFilter(_is_news)
        with _reporting(verbose=ctx.params.pop("verbose")):
            return super().invoke(ctx)


class ParametersOption(click.Option):
    """``--params``, which may be repeated."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Read what was typed; ``--config`` may give a text or a dictionary too."""
        if isinstance(value, Mapping):
            return dict(value)
        texts = [value] if isinstance(value, str) else super().type_cast_value(ctx, value)
        given: dict[str, AsTyped] = {}
        for text in texts:
            given |= split(text)
        return nest(given)


VERBOSE_OPTION: Final = click.Option(
    ["--verbose"], is_flag=True, envvar=VERBOSE, help="Show the traceback of an error, too."
)
_OURS: Final = {
    "params": ParametersOption(
        ["--params"], multiple=True, type=click.UNPROCESSED, help=_PARAMS_HELP
    )
}


@click.group(name="stock_volume")
def cli() -> None:
    """Commands of the project stock_volume."""


def _run(**options: Any) -> Any:
    _check_names(options)
    return kedro_run.callback(**options)  # type: ignore[misc]


run: Final = ReportingCommand(
    "run",
    callback=_run,
    params=[*(_OURS.get(str(option.name), option) for option in kedro_run.params), VERBOSE_OPTION],
    help=kedro_run.help,
    context_settings=CONTEXT_SETTINGS,
)
cli.add_command(run)


@cli.command(cls=ReportingCommand, params=[VERBOSE_OPTION])
@click.argument("artefact")
@click.option("--data-root", metavar="DIR", help="Folder of the layers, as for kedro run.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole chain as JSON.")
@click.option("--files", is_flag=True, help="Name every file of a folder, follow every run.")
@click.pass_obj
def lineage(
    metadata: ProjectMetadata,
    artefact: str,
    data_root: str | None,
    as_json: bool,  # noqa: FBT001
    files: bool,  # noqa: FBT001
) -> None:
    """Print what ARTEFACT was made from, by which runs, back to the raw files.

    ARTEFACT is a dataset (prices), a file of a layer, a tag in BentoML's store
    (stock_volume:latest), or the first eight or more digits of a SHA-256.
    """
    from rich.console import Console

    from stock_volume.lineage.history import (
        Artefact,
        History,
        State,
        UnknownArtefactError,
        as_record,
        state_of,
    )
    from stock_volume.lineage.tree import draw

    logging.disable(logging.WARNING)
    catalog = _catalog(metadata.project_path, data_root)
    history = History(_manifests(catalog))
    try:
        chain = history.trace(history.find(_numbered(artefact), _sha256))
    except UnknownArtefactError as error:
        raise click.ClickException(str(error)) from error
    raw = _raw(catalog)

    @cache
    def states(one: Artefact) -> list[State]:
        return state_of(one, history, _sha256, _is_stored)

    if as_json:
        click.echo(json.dumps(as_record(chain, history, states, raw), indent=2))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    console.print(draw(chain, history, states, raw, in_full=files))


@contextmanager
def _reporting(*, verbose: bool) -> Iterator[None]:
    """Turn an error into a paragraph that says where its traceback is.

    Raises:
        CommandError: In place of any other error.
        Exit: Ctrl-C was pressed.
    """
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None
    except Exception as error:
        if verbose:
            click.echo(full_traceback(error), err=True)
        kept = keep_traceback(error, _project() / LOGS_FOLDER / ERROR_LOG)
        is_known, text = explain(error)
        hint = "" if verbose else "; --verbose shows it"
        place = f"Traceback: {kept or 'not kept'}{hint}."
        fault = "" if is_known else "This is a fault of stock_volume; please report it. "
        raise CommandError(f"{text.rstrip('.')}. {fault}{place}") from error


def _is_news(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR and not str(record.msg).startswith("No nodes ran")


def _project() -> Path:
    return find_kedro_project(Path.cwd()) or Path.cwd()


def _is_verbose() -> bool:
    return bool(click.BOOL.convert(os.environ.get(VERBOSE) or "0", None, None))


def _use_logging_of(project: Path) -> None:
    """Log from a subfolder as from the project's folder, where alone Kedro looks."""
    path = project / settings.CONF_SOURCE / "logging.yml"
    if project != Path.cwd() and path.is_file() and "KEDRO_LOGGING_CONFIG" not in os.environ:
        configure_logging(yaml.safe_load(path.read_text(encoding="utf-8")))


def _check_names(options: Mapping[str, Any]) -> None:
    """Refuse pipelines and environments that do not exist, before anything is loaded.

    Raises:
        UnknownNameError: One does not exist; the message has the near match, and all there are.
    """
    existing = [
        "__default__",
        *(module.name for module in pkgutil.iter_modules(pipelines.__path__)),
    ]
    for name in [*options["pipelines"], *filter(None, [options["pipeline"]])]:
        _check_name("pipeline", name, existing)
    env = options["env"] or os.environ.get("KEDRO_ENV")
    conf = Path(options["conf_source"] or _project() / settings.CONF_SOURCE)
    if env and conf.is_dir() and not (conf / env).is_dir():
        _check_name("environment", env, environments(conf))


def _check_name(what: str, name: str, existing: Sequence[str]) -> None:
    if name in existing:
        return
    near = get_close_matches(name, existing, n=1)
    hint = f"; did you mean {near[0]}?" if near else "."
    raise UnknownNameError(f"there is no {what} {name}{hint} There are: {', '.join(existing)}")


def _catalog(project: Path, data_root: str | None) -> DataCatalog:
    runtime_params = {"data_root": data_root} if data_root else {}
    session: Any = KedroSession.create(project, runtime_params=runtime_params)
    catalog: DataCatalog = session.load_context().catalog
    return catalog


def _manifests(catalog: DataCatalog) -> list[dict[str, Any]]:
    if not catalog.exists(MANIFESTS):
        latest: Any = catalog[MANIFEST]
        raise click.ClickException(f"no run has left a manifest in {latest.path.parent}")
    return [load() for load in catalog.load(MANIFESTS).values()]


def _raw(catalog: DataCatalog) -> set[str]:
    """Names of the raw layer's datasets, by what they tell Kedro-Viz."""
    layers = {name: getattr(catalog[name], "metadata", None) or {} for name in catalog}
    return {
        name
        for name, metadata in layers.items()
        if metadata.get("kedro-viz", {}).get("layer") == RAW_LAYER
    }


@cache
def _sha256(path: str) -> str | None:
    from stock_volume.lineage.digests import digest_file

    return digest_file(Path(path)).sha256 if Path(path).is_file() else None


def _numbered(artefact: str) -> str:
    """Replace ``latest`` in a tag by the version that the store means by it."""
    name, _, version = artefact.partition(":")
    if version != "latest":
        return artefact
    found = _stored(name)
    if found is None:
        raise click.ClickException(f"{artefact}: BentoML's store has no {name}")
    return found


@cache
def _is_stored(tag: str) -> bool:
    return _stored(tag) is not None


def _stored(tag: str) -> str | None:
    """Look a tag up among Bentos, and among models."""
    import bentoml

    for get in (bentoml.bentos.get, bentoml.models.get):
        try:
            return str(get(tag).tag)
        except bentoml.exceptions.NotFound:
            continue
    return None
