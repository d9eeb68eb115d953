"""What a person who watches a run sees."""

import io
import logging
from collections.abc import Iterator

import pytest
import rich
from rich.console import Console

from stock_volume.console import is_watched, print_line, print_wrapped, watch


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def handlers() -> Iterator[None]:
    """Give the root logger a handler as the project's configuration does, for one test."""
    root = logging.getLogger()
    before = list(root.handlers)
    root.handlers = [logging.StreamHandler(io.StringIO())]
    yield
    root.handlers = before


def on_console(monkeypatch: pytest.MonkeyPatch, output: io.StringIO, width: int = 140) -> None:
    console = Console(file=output, width=width, color_system=None, _environ={"FORCE_COLOR": "1"})
    monkeypatch.setattr(rich, "get_console", lambda: console)


@pytest.mark.usefixtures("handlers")
def test_in_a_terminal_only_warnings_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kedro's lines are left to the log files; a warning is shown as a sentence."""
    output = Terminal()
    on_console(monkeypatch, output)
    watch()
    assert is_watched()
    logger = logging.getLogger("stock_volume.test")
    logger.setLevel(logging.INFO)
    logger.info("Running node: fit")
    logger.warning("all volumes are %d", 5)
    assert output.getvalue() == "! all volumes are 5\n"


@pytest.mark.usefixtures("handlers")
def test_piped_output_keeps_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal nothing changes."""
    on_console(monkeypatch, io.StringIO())
    before = list(logging.getLogger().handlers)
    watch()
    assert not is_watched()
    assert logging.getLogger().handlers == before


@pytest.mark.parametrize(("width", "widest"), [(140, 100), (60, 60)])
def test_long_texts_are_wrapped_at_words(
    monkeypatch: pytest.MonkeyPatch, width: int, widest: int
) -> None:
    """No line is longer than 100 columns, and a path is never cut."""
    output = Terminal()
    on_console(monkeypatch, output, width)
    path = "/a/" + "long-" * 30 + "path"
    print_wrapped(f"{'many words ' * 30}{path} [bold]end", "! ", "  ")
    lines = output.getvalue().splitlines()
    assert lines[0].startswith("! many words")
    assert all(line.startswith("  ") for line in lines[1:])
    assert all(len(line) <= widest for line in lines if path not in line)
    assert f"  {path}" in lines
    assert lines[-1].endswith("[bold]end")


def test_a_line_is_printed_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command to copy is one line, however long it is."""
    output = Terminal()
    on_console(monkeypatch, output, 40)
    print_line("serve  " + "x" * 120)
    assert output.getvalue() == "serve  " + "x" * 120 + "\n"
