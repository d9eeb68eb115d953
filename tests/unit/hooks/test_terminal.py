"""What a run shows in a terminal."""

import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import rich
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from rich.console import Console

from stock_volume.console import WIDTH, WatchedHandler
from stock_volume.hooks import TerminalHook
from stock_volume.hooks.terminal import describe_part
from tests.unit.hook_helpers import fail, run


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """A terminal that somebody watches."""
    output = Terminal()
    console = Console(file=output, width=100, color_system=None, _environ={"FORCE_COLOR": "1"})
    monkeypatch.setattr(rich, "get_console", lambda: console)
    handler = WatchedHandler()
    logging.getLogger().addHandler(handler)
    yield output
    logging.getLogger().removeHandler(handler)


def frame(_: object) -> pl.DataFrame:
    return pl.DataFrame({"a": range(12_345)})


def both(left: pl.DataFrame, right: pl.DataFrame) -> str:
    return f"{left.height + right.height} rows"


def parts() -> Pipeline:
    """Two parts whose nodes may run in turns."""
    one = [Node(frame, "start", "first", name="a"), Node(frame, "first", "third", name="c")]
    two = [
        Node(frame, "first", "second", name="b"),
        Node(both, ["second", "third"], "text", name="d"),
    ]
    return Pipeline(
        [
            Pipeline(one, namespace="one", prefix_datasets_with_namespace=False),
            Pipeline(two, namespace="two", prefix_datasets_with_namespace=False),
        ]
    )


def shown(output: Terminal) -> list[str]:
    """Return the lines about parts, without the codes that move the cursor."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", output.getvalue())
    return re.findall(r"(?:one|two) +[\d.]+ s  .*", text)


def catalog() -> DataCatalog:
    return DataCatalog({"start": MemoryDataset("go")})


def test_each_part_is_one_line(terminal: Terminal, tmp_path: Path) -> None:
    """A part is shown once, when its last step is done, with its time and what it has made."""
    run(tmp_path, parts(), catalog(), TerminalHook())
    first, second = shown(terminal)
    assert first.startswith("one                       0.")
    assert first.endswith(" s  12,345 first, 12,345 third")
    assert second.endswith(" s  12,345 second, text")
    assert "two.d  (step 4 of 4)" in terminal.getvalue()


def test_a_failed_part_has_no_line(terminal: Terminal, tmp_path: Path) -> None:
    """The error has the last word."""
    failing = Pipeline([Node(fail, "text", "never", name="fail")])
    last = Pipeline(failing, namespace="two", prefix_datasets_with_namespace=False)
    with pytest.raises(ArithmeticError):
        run(tmp_path, parts() + last, catalog(), TerminalHook())
    assert [line.split()[0] for line in shown(terminal)] == ["one"]
    assert terminal.getvalue().endswith("\x1b[2K")  # nothing is left of the current step


def test_nothing_is_shown_without_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Piped output has the lines of the log only."""
    run(tmp_path, parts(), catalog(), TerminalHook())
    assert "step" not in capsys.readouterr().out


def test_what_does_not_fit_is_counted() -> None:
    """A line has at most 100 columns; the largest datasets are named first."""
    made: dict[str, int | None] = {f"some_long_dataset_{number}": number for number in range(20)}
    made |= {"forecasts": 8049, "empty": 0, "model": None}
    line = describe_part("modelling", 12_345.67, made)
    assert len(line) <= WIDTH
    assert line.startswith(
        "modelling            12,345.7 s  8,049 forecasts, 19 some_long_dataset_19"
    )
    assert line.endswith(" more")
    assert "empty" not in line
    huge: dict[str, int | None] = {"x" * 90: None, "y" * 90: None}
    assert describe_part("modelling", 1, huge).endswith("2 datasets")
