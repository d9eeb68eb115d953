"""Show the progress of long work in a terminal, and nothing in logs."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

_REFRESHES_A_SECOND: Final = 4
_BAR_WIDTH: Final = 6
"""Short, so that the line fits into 80 columns."""


class Advance(Protocol):
    """Reports progress."""

    def __call__(self, done: float, rows: int = 0) -> None:
        """Add to what is done.

        Args:
            done: Units done since the last call.
            rows: Rows done since the last call.
        """


@contextmanager
def progress(description: str, total: float, unit: str) -> Iterator[Advance]:
    """Show the work done, its rate and the time left in a line of the terminal, if there is one.

    Args:
        description: Name of the work.
        total: Number of units.
        unit: Plural name of a unit, such as ``files``.

    Yields:
        A function that adds to what is done.
    """
    from rich.progress import MofNCompleteColumn, TextColumn

    columns = [MofNCompleteColumn(), TextColumn(f"{unit}{{task.fields[counted]}},")]
    with _line(columns) as shown:
        task = shown.add_task(description, total=total, counted="")
        seen = 0

        def advance(done: float, rows: int = 0) -> None:
            nonlocal seen
            seen += rows
            shown.update(task, advance=done, counted=_format_rows(seen, shown.tasks[0].elapsed))

        yield advance


@contextmanager
def transfer(description: str, size: float | None) -> Iterator[Callable[[float], None]]:
    """Show the bytes of a file received, their rate and the time left, as ``progress`` does.

    Args:
        description: Name of the transfer.
        size: Total number of bytes; None if it is unknown.

    Yields:
        A function that sets the number of bytes received.
    """
    from rich.progress import DownloadColumn, TransferSpeedColumn

    with _line([DownloadColumn(), TransferSpeedColumn()]) as shown:
        task = shown.add_task(description, total=size)
        yield lambda received: shown.update(task, completed=received)


def _line(columns: "Iterable[ProgressColumn]") -> "Progress":
    import rich
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeftColumn

    # The console that Kedro logs to, so that log lines appear above the bar.
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
        # With FORCE_COLOR a console calls every output a terminal, even a file.
        disable=not (console.is_terminal and console.file.isatty()),
    )


def _format_rows(rows: int, seconds: float | None) -> str:
    if not rows:
        return ""
    rate = f", {rows / seconds:,.0f}/s" if seconds else ""
    return f", {rows:,} rows{rate}"
