"""Progress of long work, shown while a person watches and silent in logs."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

_REFRESHES_A_SECOND: Final = 4
_BAR_WIDTH: Final = 6
"""Short, so that all fits into 80 columns."""


class Advance(Protocol):
    """Tells of progress."""

    def __call__(self, done: float, rows: int = 0) -> None:
        """Count what is done.

        Args:
            done: Units done since the last call.
            rows: Rows done since the last call.
        """


@contextmanager
def progress(description: str, total: float, unit: str) -> Iterator[Advance]:
    """Show a line with what is done, its rate and the time left, if a terminal is watched.

    Args:
        description: What is being done.
        total: Units in all.
        unit: Name of a unit, such as ``files``.

    Yields:
        A function to count what is done.
    """
    from rich.progress import MofNCompleteColumn, TextColumn

    columns = [MofNCompleteColumn(), TextColumn(f"{unit}{{task.fields[counted]}},")]
    with _line(columns) as shown:
        task = shown.add_task(description, total=total, counted="")
        seen = 0

        def advance(done: float, rows: int = 0) -> None:
            nonlocal seen
            seen += rows
            shown.update(task, advance=done, counted=_counted(seen, shown.tasks[0].elapsed))

        yield advance


@contextmanager
def transfer(description: str, size: float | None) -> Iterator[Callable[[float], None]]:
    """Show how much of a file has arrived, its rate and the time left, as ``progress`` does.

    Args:
        description: What is being done.
        size: Bytes in all; None if that is unknown.

    Yields:
        A function to tell how many bytes there are.
    """
    from rich.progress import DownloadColumn, TransferSpeedColumn

    with _line([DownloadColumn(), TransferSpeedColumn()]) as shown:
        task = shown.add_task(description, total=size)
        yield lambda there: shown.update(task, completed=there)


def _line(columns: "Iterable[ProgressColumn]") -> "Progress":
    import rich
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeftColumn

    # The console that Kedro's log is written to, so that its lines stand above the bar.
    console = rich.get_console()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=_BAR_WIDTH),
        *columns,
        TimeLeftColumn(),
        TextColumn("left"),
        console=console,
        transient=True,
        refresh_per_second=_REFRESHES_A_SECOND,
        # FORCE_COLOR makes a terminal of whatever the console writes to, a log too.
        disable=not (console.is_terminal and console.file.isatty()),
    )


def _counted(rows: int, seconds: float | None) -> str:
    if not rows:
        return ""
    rate = f", {rows / seconds:,.0f}/s" if seconds else ""
    return f", {rows:,} rows{rate}"
