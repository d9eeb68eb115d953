"""What a run shows in a terminal: the current step, and one line per completed part."""

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, Final

from kedro.framework.hooks import hook_impl
from kedro.pipeline import Node, Pipeline

from stock_volume.console import WIDTH, is_watched, print_line

if TYPE_CHECKING:
    from rich.status import Status

_NAME_WIDTH: Final = 21
_SECONDS_WIDTH: Final = 8
_MORE: Final = ", … and {} more"


class TerminalHook:
    """Shows the current step of a run, and a line for each part that is complete."""

    def __init__(self) -> None:
        """Start outside any run."""
        self._status: Status | None = None
        self._reset([])

    def _reset(self, nodes: Collection[Node]) -> None:
        self._left = Counter(part_of(node) for node in nodes)
        self._steps = len(nodes)
        self._started: dict[str, Node] = {}
        self._current: Node | None = None
        self._since = 0.0
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._made: dict[str, dict[str, int | None]] = {}

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Show that the run has started."""
        self._reset(pipeline.nodes)
        if not is_watched() or not self._steps:
            return
        import rich

        self._status = rich.get_console().status("starting")
        self._status.start()

    # Before the other hooks: the manifest's hook digests files, which takes time.
    @hook_impl(tryfirst=True)
    def before_dataset_loaded(self, node: Node) -> None:
        """Show the step: it is about to load its first input."""
        self._start(node)

    @hook_impl(tryfirst=True)
    def before_node_run(self, node: Node) -> None:
        """Show a step without inputs."""
        self._start(node)

    def _start(self, node: Node) -> None:
        if self._status is None or node.name in self._started:
            return
        self._finish()
        self._started[node.name] = node
        self._current, self._since = node, time.perf_counter()
        self._status.update(f"{node.name}  (step {len(self._started)} of {self._steps})")

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Count what a step has made; a layer is saved in chunks."""
        made = self._made.setdefault(part_of(node), {})
        rows = made.setdefault(dataset_name, None)
        if hasattr(data, "height"):
            made[dataset_name] = (rows or 0) + data.height

    @hook_impl(tryfirst=True)
    def after_pipeline_run(self) -> None:
        """Show the last part."""
        self._finish()
        self._stop()

    @hook_impl(tryfirst=True)
    def on_pipeline_error(self) -> None:
        """Leave the terminal to the error."""
        self._stop()

    def _finish(self) -> None:
        """Complete the current step, and its part if that was its last step."""
        if self._current is None:
            return
        part = part_of(self._current)
        self._seconds[part] += time.perf_counter() - self._since
        self._left[part] -= 1
        if not self._left[part]:
            print_line(describe_part(part, self._seconds[part], self._made.get(part, {})))
        self._current = None

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
        self._status, self._current = None, None


def part_of(node: Node) -> str:
    """Return the part of the pipeline that a node belongs to: its namespace, or its stage."""
    return node.namespace or min(node.tags, default=node.name)


def describe_part(part: str, seconds: float, made: dict[str, int | None]) -> str:
    """Describe a completed part in one line.

    Args:
        part: Its name.
        seconds: How long its steps took.
        made: Rows by dataset that it saved; None for a dataset without rows.

    Returns:
        At most 100 columns; datasets that do not fit are counted.
    """
    line = f"{part:<{_NAME_WIDTH}}{seconds:>{_SECONDS_WIDTH},.1f} s  "
    return line + _join_fitting(list(_describe_datasets(made)), WIDTH - len(line))


def _describe_datasets(made: dict[str, int | None]) -> Iterator[str]:
    """Yield datasets with rows first, the largest ahead, then the others."""
    ranked = sorted(made.items(), key=lambda item: -1 if item[1] is None else item[1], reverse=True)
    for name, rows in ranked:
        if rows is None:
            yield name
        elif rows:
            yield f"{rows:,} {name}"


def _join_fitting(texts: list[str], width: int) -> str:
    whole = ", ".join(texts)
    if len(whole) <= width:
        return whole
    for shown in range(len(texts) - 1, 0, -1):
        line = ", ".join(texts[:shown]) + _MORE.format(len(texts) - shown)
        if len(line) <= width:
            return line
    return f"{len(texts)} datasets"
