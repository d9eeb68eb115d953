"""Progress is shown in a terminal only."""

import io
from collections.abc import Callable, Iterable

import polars as pl
import pytest
import rich
from rich.console import Console

from stock_volume.progress import progress, transfer, watch
from stock_volume.symbols import map_layer, map_symbols


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


BARS = pl.LazyFrame({"Symbol": [symbol for symbol in "AABBBC" for _ in range(1000)]})


def consume(results: Iterable[object]) -> int:
    """Print a line of the log after each result, which also shows the progress so far."""
    count = 0
    for count, _ in enumerate(results, 1):  # noqa: B007
        rich.get_console().print("a line of the log")
    return count


@pytest.mark.parametrize("work", [map_symbols, map_layer])
def test_work_on_ranges_of_symbols_shows_symbols_and_rows(
    monkeypatch: pytest.MonkeyPatch, work: Callable[..., Iterable[object]]
) -> None:
    """What is done is counted in symbols and rows, with their rate."""
    output = Terminal()
    on_console(monkeypatch, output)
    assert consume(work(pl.DataFrame.clear, BARS, rows=1500, task="measuring the sessions")) == 3
    shown = output.getvalue()
    assert "measuring the sessions" in shown
    assert "0/3 symbols" in shown
    assert "3/3 symbols, 6,000 rows, " in shown


def test_work_without_a_name_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions that the service calls, too, leave the terminal alone."""
    output = Terminal()
    on_console(monkeypatch, output)
    assert consume(map_symbols(pl.DataFrame.clear, BARS, rows=1500)) == 3
    assert output.getvalue() == 3 * "a line of the log\n"


def test_items_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items are counted as they are consumed."""
    output = Terminal()
    on_console(monkeypatch, output)
    assert consume(watch("abc", "drawing", "figures")) == 3
    assert "drawing" in output.getvalue()
    assert "0/3 figures" in output.getvalue()
    assert "3/3 figures" in output.getvalue()


def test_no_items_show_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no bar from 0 to 0."""
    output = Terminal()
    on_console(monkeypatch, output)
    assert consume(watch("", "drawing", "figures")) == 0
    assert not output.getvalue()
