"""The project's commands, in this process."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project

from stock_volume import cli
from stock_volume.cli import CommandError, ReportingCommand, run
from stock_volume.errors import SourceError
from stock_volume.runtime_parameters import AsTyped


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, so that logs go there."""
    configure_project("stock_volume")
    monkeypatch.setattr(cli, "_project", lambda: tmp_path)
    monkeypatch.delenv(cli.VERBOSE, raising=False)
    return tmp_path


@pytest.fixture(autouse=True)
def filters() -> Iterator[None]:
    """Take the filters of a command off Kedro's loggers."""
    yield
    for name in ("kedro.pipeline.node", "kedro.runner.sequential_runner"):
        logging.getLogger(name).filters.clear()


def command(act: Callable[[], Any]) -> click.Command:
    """Make a command that does something."""
    return ReportingCommand("x", callback=act, params=[cli.VERBOSE_OPTION])


def failing(error: BaseException) -> click.Command:
    """Make a command that raises."""

    def fail() -> None:
        raise error

    return command(fail)


def given(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    """Return the parameters that Kedro's command gets."""
    found: dict[str, Any] = {}
    monkeypatch.setattr("stock_volume.cli.kedro_run.callback", lambda **options: found | options)
    return run.main([*arguments], prog_name="run", standalone_mode=False)["params"]


def test_kedro_runs_ours() -> None:
    """Also ``python -m stock_volume`` does."""
    assert find_run_command("stock_volume") is run
    assert cli.cli.commands["run"] is run


def test_parameters_may_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are kept; the last one of a name holds."""
    params = given(
        monkeypatch, "--params", "source=a #1,backtest.x=1", "--params", "backtest.y=2,source=b"
    )
    assert params == {"source": "b", "backtest": {"x": "1", "y": "2"}}
    assert isinstance(params["source"], AsTyped)


@pytest.mark.parametrize(
    ("params", "expected"),
    [("source=a b,rows=1", {"source": "a b", "rows": "1"}), ({"rows": 1}, {"rows": 1})],
)
def test_a_file_may_give_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params: object, expected: object
) -> None:
    """As a text it is read like the option; a dictionary is YAML's."""
    file = tmp_path / "run.yml"
    file.write_text(
        f"run: {{params: {params}}}\n"
        if isinstance(params, dict)
        else f"run:\n  params: {params}\n",
        encoding="utf-8",
    )
    assert given(monkeypatch, "--config", str(file)) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pipelines", "nope"], "no pipeline nope. There are: __default__, data_processing"),
        (["--pipelines", "update,modeling"], "no pipeline modeling; did you mean modelling?"),
        (["--params", "source"], "'source' is not name=value"),
    ],
)
def test_a_wrong_word_is_one_paragraph(arguments: list[str], message: str, project: Path) -> None:
    """It names what there is, and where the traceback is."""
    done = CliRunner().invoke(run, arguments)
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert f"Traceback: {project / 'logs' / 'error.log'}; --verbose shows it." in done.stderr
    assert "Traceback (most recent" in (project / "logs" / "error.log").read_text("utf-8")


def test_an_environment_must_exist(project: Path) -> None:
    """The error lists the folders of configuration."""
    for name in ("base", "yahoo"):
        (project / "conf" / name).mkdir(parents=True)
    done = CliRunner().invoke(run, ["--env", "yaho"])
    assert "no environment yaho; did you mean yahoo? There are: base, yahoo" in done.stderr


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


@pytest.mark.parametrize(("arguments", "env"), [(["--verbose"], {}), ([], {cli.VERBOSE: "1"})])
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
