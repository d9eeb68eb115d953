"""Parameters and names of ``kedro run``, in this process."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kedro.framework.cli.utils import find_run_command

from stock_volume.cli import cli, run
from stock_volume.runtime_parameters import RawValue

pytestmark = pytest.mark.usefixtures("project")


def given(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    """Return the parameters that Kedro's command gets."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(
        "stock_volume.cli.run_command.kedro_run.callback", lambda **options: found | options
    )
    return run.main([*arguments], prog_name="run", standalone_mode=False)["params"]


def test_kedro_runs_ours() -> None:
    """Also the command ``stock_volume`` does."""
    assert find_run_command("stock_volume") is run
    assert cli.commands["run"] is run


def test_parameters_may_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are kept; the last one of a name holds."""
    params = given(
        monkeypatch, "--params", "source=a #1,backtest.x=1", "--params", "backtest.y=2,source=b"
    )
    assert params == {"source": "b", "backtest": {"x": "1", "y": "2"}}
    assert isinstance(params["source"], RawValue)


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
