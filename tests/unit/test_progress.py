"""Progress is shown to a person, and to nobody else."""

import io

import pytest
import rich
from rich.console import Console

from stock_volume.progress import progress


def shown(monkeypatch: pytest.MonkeyPatch, *, watched: bool) -> str:
    """Make some progress on a console of 80 columns, and tell what it shows."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=watched, width=80, color_system=None)
    monkeypatch.setattr(rich, "get_console", lambda: console)
    with progress("reading bars", 8049, "files") as advance:
        for _ in range(4):
            advance(2000, 7_000)
            rich.get_console().print("a line of the log")
    return output.getvalue()


def test_a_watched_terminal_shows_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, rows, their rate and the time left fit into a line of 80 columns."""
    text = shown(monkeypatch, watched=True)
    assert "8000/8049 files, 28,000 rows, " in text
    assert "/s, " in text
    assert " left" in text
    assert "…" not in text


def test_a_log_stays_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no terminal is watched, nothing but the log is written."""
    assert shown(monkeypatch, watched=False) == 4 * "a line of the log\n"
