"""Progress bars in a terminal; logs stay free of them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from stock_volume.console import is_terminal

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

Item = TypeVar("Item")

_REFRESHES_PER_SECOND: Final = 4
_BAR_WIDTH: Final = 6
"""Characters; short enough for a line of 80 columns."""


class Advance(Protocol):
    """Advances a progress bar."""

    def __call__(self, done: float, rows: int = 0) -> None:
        """Add work to the progress bar.

        Args:
            done: Units completed since the last call.
            rows: Rows processed since the last call.
        """


@contextmanager
def progress(description: str, total: float, unit: str) -> Iterator[Advance]:
    """Show completed units, row rate and remaining time on one terminal line.

    Shows nothing when the output is not a terminal.

    Args:
        description: Name of the task.
        total: Number of units.
        unit: Plural name of a unit, such as ``files``.

    Yields:
        A function that advances the progress bar.
    """
    from rich.progress import TextColumn

    shown = f"{{task.completed:,.0f}}/{{task.total:,.0f}} {unit}{{task.fields[counted]}},"
    with _make_display([TextColumn(shown)]) as display:
        task = display.add_task(description, total=total, counted="")
        rows_done = 0

        def advance(done: float, rows: int = 0) -> None:
            nonlocal rows_done
            rows_done += rows
            counted = _format_rows(rows_done, display.tasks[0].elapsed)
            display.update(task, advance=done, counted=counted)

        yield advance


def watch(items: Sequence[Item], description: str, unit: str) -> Iterator[Item]:
    """Show how many items have been consumed.

    Args:
        items: The items; nothing is shown without any.
        description: Name of the task.
        unit: Plural name of an item.

    Yields:
        The items.
    """
    if not items:
        return
    with progress(description, len(items), unit) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def transfer(description: str, size: float | None) -> Iterator[Callable[[float], None]]:
    """Show the bytes received, their rate and the remaining time, as ``progress`` does.

    Args:
        description: Name of the transfer.
        size: Total number of bytes; None if it is unknown.

    Yields:
        A function that sets the number of bytes received.
    """
    from rich.progress import DownloadColumn, TransferSpeedColumn

    with _make_display([DownloadColumn(), TransferSpeedColumn()]) as display:
        task = display.add_task(description, total=size)
        yield lambda received: display.update(task, completed=received)


def _make_display(columns: "Iterable[ProgressColumn]") -> "Progress":
    import rich
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeftColumn

    # Kedro logs to this console, so log lines appear above the bar.
    console = rich.get_console()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=_BAR_WIDTH),
        *columns,
        TimeLeftColumn(),
        TextColumn("left"),
        console=console,
        transient=True,
        refresh_per_second=_REFRESHES_PER_SECOND,
        disable=not is_terminal(),
    )


def _format_rows(rows: int, seconds: float | None) -> str:
    if not rows:
        return ""
    rate = f", {rows / seconds:,.0f}/s" if seconds else ""
    return f", {rows:,} rows{rate}"
