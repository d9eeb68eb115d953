"""Commands that report an error as one paragraph, in this process."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import click
import pytest
from click.testing import CliRunner

from stock_volume.cli.reporting import VERBOSE, VERBOSE_OPTION, CommandError, ReportingCommand
from stock_volume.errors import SourceError

pytestmark = pytest.mark.usefixtures("project")


@pytest.fixture(autouse=True)
def filters() -> Iterator[None]:
    """Take the filters of a command off Kedro's loggers."""
    yield
    for name in ("kedro.pipeline.node", "kedro.runner.sequential_runner"):
        logging.getLogger(name).filters.clear()


def command(act: Callable[[], Any]) -> click.Command:
    """Make a command that does something."""
    return ReportingCommand("x", callback=act, params=[VERBOSE_OPTION])


def failing(error: BaseException) -> click.Command:
    """Make a command that raises."""

    def fail() -> None:
        raise error

    return command(fail)


def test_a_known_error_is_one_paragraph() -> None:
    """What is wrong, and no traceback."""
    done = CliRunner().invoke(failing(SourceError("bars.zip: no\nsuch file.")))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: bars.zip: no such file. Traceback: ")
    assert done.stderr.count("\n") == 1


def test_a_fault_is_one_paragraph_too() -> None:
    """It asks for a report."""
    done = CliRunner().invoke(failing(ZeroDivisionError("by zero")))
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ZeroDivisionError: by zero. This is a fault of stock_v")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("arguments", "env"), [(["--verbose"], {}), ([], {VERBOSE: "1"})])
def test_the_traceback_is_shown_on_request(arguments: list[str], env: dict[str, str]) -> None:
    """An option and a variable of the environment show it before the paragraph."""
    done = CliRunner().invoke(failing(SourceError("no")), arguments, env=env)
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: no. Traceback: ")


def test_interrupting_is_quiet() -> None:
    """Ctrl-C ends with the exit code that shells know, and without a word."""
    done = CliRunner().invoke(failing(KeyboardInterrupt()))
    assert (done.exit_code, done.output) == (130, "")


def test_an_exit_code_stays() -> None:
    """The verdict of the monitoring is no error."""
    assert CliRunner().invoke(failing(SystemExit(20))).exit_code == 20


def test_a_program_gets_the_error() -> None:
    """Outside a shell the error is raised, with its cause."""
    with pytest.raises(CommandError) as caught:
        failing(SourceError("no")).main([], standalone_mode=False)
    assert isinstance(caught.value.__cause__, SourceError)


def test_what_the_paragraph_says_is_not_logged_too() -> None:
    """Kedro's own announcements of an error are left out, its news are not."""
    logger = logging.getLogger("kedro.pipeline.node")

    def act() -> None:
        records = [
            logger.makeRecord("", level, "", 0, "Node failed", (), None)
            for level in (logging.ERROR, logging.INFO)
        ]
        assert [bool(logger.filter(record)) for record in records] == [False, True]

    assert CliRunner().invoke(command(act)).exit_code == 0
