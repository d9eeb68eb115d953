"""Commands that report an error as one paragraph and write its traceback to a file."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
import yaml
from kedro.framework.project import configure_logging, settings
from kedro.utils import find_kedro_project

from stock_volume.console import is_watched, watch, wrap
from stock_volume.failures import explain, full_traceback, save_traceback
from stock_volume.hooks.names import LOGS_FOLDER

ERROR_LOG: Final = "error.log"
VERBOSE: Final = "STOCK_VOLUME_VERBOSE"
INTERRUPTED: Final = 130
"""The shells' exit code of a command ended by Ctrl-C."""

_REPEATING_LOGGERS: Final = ("kedro.pipeline.node", "kedro.runner.sequential_runner")
"""Loggers of Kedro that repeat what the paragraph says."""

VERBOSE_OPTION: Final = click.Option(
    ["--verbose"],
    is_flag=True,
    envvar=VERBOSE,
    help="Show all messages in a terminal, and the traceback of an error.",
)


class CommandError(click.ClickException):
    """An error that a command shows as one paragraph; a program can read its cause."""

    def show(self, file: Any = None) -> None:
        """Print the paragraph."""
        text = f"Error: {self.message}"
        shown = "\n".join(wrap(text)) if is_watched() else text
        click.echo(shown, file=file, err=file is None)


class ReportingCommand(click.Command):
    """A command that reports each error as one paragraph and writes its traceback to a file."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Parse the command line."""
        _configure_logging(project_folder())
        with _reporting(verbose="--verbose" in args or _is_verbose()):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        for name in _REPEATING_LOGGERS:
            logging.getLogger(name).addFilter(_is_new_information)
        verbose = ctx.params.pop("verbose")
        if not verbose:
            watch()
        with _reporting(verbose=verbose):
            return super().invoke(ctx)


def project_folder() -> Path:
    """Return the folder of the Kedro project that the current folder belongs to."""
    return find_kedro_project(Path.cwd()) or Path.cwd()


@contextmanager
def _reporting(*, verbose: bool) -> Iterator[None]:
    """Turn an error into a paragraph that says where its traceback is.

    Raises:
        CommandError: Replaces any other error.
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
        log = save_traceback(error, project_folder() / LOGS_FOLDER / ERROR_LOG)
        is_known, text = explain(error)
        hint = "" if verbose else "; --verbose shows it"
        place = f"Traceback: {log or 'not saved'}{hint}."
        fault = "" if is_known else "This is a fault of stock_volume; please report it. "
        raise CommandError(f"{text.rstrip('.')}. {fault}{place}") from error


def _is_new_information(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR and not str(record.msg).startswith("No nodes ran")


def _is_verbose() -> bool:
    return bool(click.BOOL.convert(os.environ.get(VERBOSE) or "0", None, None))


def _configure_logging(project: Path) -> None:
    """Use the project's logging in its subfolders, too; Kedro looks in the current folder only."""
    path = project / settings.CONF_SOURCE / "logging.yml"
    if project != Path.cwd() and path.is_file() and "KEDRO_LOGGING_CONFIG" not in os.environ:
        configure_logging(yaml.safe_load(path.read_text(encoding="utf-8")))
