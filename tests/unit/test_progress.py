"""Progress is shown in a terminal only."""

import io

import pytest
import rich
from rich.console import Console

from stock_volume.progress import progress, transfer


class Terminal(io.StringIO):
    """What a person looks at."""

    def isatty(self) -> bool:
        return True


def on_console(monkeypatch: pytest.MonkeyPatch, output: io.StringIO) -> None:
    """Write to a console of 80 columns that FORCE_COLOR makes a terminal."""
    console = Console(file=output, width=80, color_system=None, _environ={"FORCE_COLOR": "1"})
    monkeypatch.setattr(rich, "get_console", lambda: console)


def shown(monkeypatch: pytest.MonkeyPatch, output: io.StringIO) -> str:
    """Make some progress, and return what it shows."""
    on_console(monkeypatch, output)
    with progress("reading bars", 8049, "files") as advance:
        for _ in range(4):
            advance(2000, 7_000)
            rich.get_console().print("a line of the log")
    return output.getvalue()


def test_a_watched_terminal_shows_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, rows, their rate and the time left fit into a line of 80 columns."""
    text = shown(monkeypatch, Terminal())
    assert "8,000/8,049 files, 28,000 rows, " in text
    assert "/s, " in text
    assert " left" in text
    assert "…" not in text


@pytest.mark.parametrize(("size", "there"), [(2_345_678_901, "1.2/2.3 GB"), (None, "1.2/? GB")])
def test_a_file_shows_its_bytes(
    monkeypatch: pytest.MonkeyPatch, size: int | None, there: str
) -> None:
    """The bytes received are shown, with their rate and the time left."""
    output = Terminal()
    on_console(monkeypatch, output)
    with transfer("fetching bars", size) as show:
        show(600_000_000)
        show(1_234_567_890)
        rich.get_console().print("a line of the log")
    assert there in output.getvalue()
    assert "/s" in output.getvalue()
    assert " left" in output.getvalue()
    assert "…" not in output.getvalue()


def test_a_log_stays_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal only the log is written, whatever FORCE_COLOR says."""
    assert shown(monkeypatch, io.StringIO()) == 4 * "a line of the log\n"
