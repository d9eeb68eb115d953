"""Run tasks on a Dask cluster.

This is the one module that imports Dask, which is the optional extra ``dask``. Scheduling,
transport, retries and recovery from lost workers are Dask's.
"""

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from stock_volume.errors import StockVolumeError
from stock_volume.workers import RemoteFrame, Seat

if TYPE_CHECKING:
    from distributed import Client, Future

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

ADDRESS_VARIABLE: Final = "DASK_SCHEDULER_ADDRESS"
"""Environment variable with the address of a running scheduler. Dask reads it, too."""

_AHEAD_PER_THREAD: Final = 2
"""Tasks that are submitted ahead for each thread of the cluster."""

_POLL_SECONDS: Final = 0.2

_ATTEMPTS: Final = 5
"""How often tasks that run together are started, if workers are lost."""

_SAME_PACKAGES: Final = ["polars", "pyarrow", "lightgbm", "numpy"]
"""Packages whose versions must agree for equal results."""


class ClusterError(StockVolumeError):
    """The cluster cannot be used."""


class DaskParameters(BaseModel):
    """Parameters of the environment ``dask``.

    Attributes:
        workers: Worker processes of the local cluster.
        threads: Threads of each of them.
        memory_limit: Memory of each of them, such as ``4GiB``; ``auto`` for an equal share.
        dashboard: Address of the local dashboard.
        timeout_seconds: Maximum time to wait for the scheduler, and for workers.
        rows_alone: Up to this number of rows, a forecaster is trained in the process of the
            run, and equals one trained without Dask. More rows are divided among the workers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: int = Field(default=2, ge=1)
    threads: int = Field(default=1, ge=1)
    memory_limit: str = "auto"
    dashboard: str = "127.0.0.1:8787"
    timeout_seconds: float = Field(default=60.0, gt=0)
    rows_alone: int = Field(default=4_000_000, ge=0)


class DaskWorkers:
    """Runs tasks on the workers of a Dask cluster.

    Attributes:
        client: The connection to the scheduler.
    """

    def __init__(self, client: "Client", parameters: "DaskParameters") -> None:
        """Use a cluster.

        Args:
            client: A connection to its scheduler.
            parameters: How long to wait for a lost worker to be replaced, and how many rows
                one process trains on.
        """
        self.client = client
        self._timeout = parameters.timeout_seconds
        self._rows_alone = parameters.rows_alone
        self._count = len(self._addresses())

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Compute results and bring them here."""
        for future in self._run_ahead(partial(self.submit, function), items):
            yield future.result()

    def map_frames(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        stay: Collection[str] = (),
    ) -> Iterator[Result]:
        """Compute results, and bring all but the frames that stay."""
        fields = tuple(stay)

        def start(item: Item) -> tuple["Future[Any]", "Future[Any]"]:
            whole = self.submit(function, item)
            return whole, self.client.submit(_summarise, whole, fields, pure=False, priority=1)

        for whole, summary in self._run_ahead(start, items):
            yield _stand_in(whole, summary.result(), fields)

    def ranks(self, rows: int) -> int:
        """Return the workers at the start of the run: another number makes other models."""
        return self._count if rows > self._rows_alone else 1

    def run_together(
        self, function: Callable[[Item, Seat], Result], items: Sequence[Item]
    ) -> list[Result]:
        """Run tasks at the same time, each on a worker of its own; again if one is lost."""
        import stamina
        from distributed import KilledWorker

        lost = (KilledWorker, OSError)
        for attempt in stamina.retry_context(on=lost, attempts=_ATTEMPTS, timeout=None):
            with attempt:
                results = self._run_once(function, items)
        return results

    def _run_once(
        self, function: Callable[[Item, Seat], Result], items: Sequence[Item]
    ) -> list[Result]:
        self.client.wait_for_workers(len(items), timeout=self._timeout)
        addresses = self._addresses()[: len(items)]
        seats = self._assign_seats(addresses)
        futures = [
            self.client.submit(
                function, item, seat, pure=False, workers=[address], allow_other_workers=False
            )
            for item, seat, address in zip(items, seats, addresses, strict=True)
        ]
        try:
            while not all(future.done() for future in futures):  # type: ignore[no-untyped-call]
                self._check_alive(futures, addresses)
                time.sleep(_POLL_SECONDS)
            return [future.result() for future in futures]
        finally:
            # Those that wait for a lost one.
            self.client.cancel(futures)  # type: ignore[no-untyped-call]

    def _check_alive(self, futures: Sequence["Future[Any]"], addresses: Sequence[str]) -> None:
        """Raise an error early: the others wait for a task that failed or was lost."""
        for future in futures:
            if future.status == "error":
                future.result()
        if lost := set(addresses) - set(self._addresses()):
            raise ConnectionError(f"lost the workers {', '.join(sorted(lost))}")

    def _assign_seats(self, addresses: Sequence[str]) -> list[Seat]:
        ports = self.client.run(_find_free_port, workers=list(addresses))
        places = [(urlsplit(address).hostname, ports[address]) for address in addresses]
        machines = ",".join(f"{host}:{port}" for host, port in places)
        return [Seat(machines, port) for _, port in places]

    def _addresses(self) -> list[str]:
        return sorted(self.client.nthreads())  # type: ignore[no-untyped-call]

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Start a task; one that frees memory, since it uses another's result, goes first."""
        from distributed import Future

        follows = any(isinstance(argument, Future) for argument in arguments)
        return self.client.submit(function, *arguments, pure=False, priority=int(follows))

    def _run_ahead(
        self, start: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[Result]:
        waiting: deque[Result] = deque()
        for item in items:
            waiting.append(start(item))
            if len(waiting) > self._ahead():
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()

    def _ahead(self) -> int:
        """Return how many tasks to submit ahead: workers may join and leave."""
        threads: dict[str, int] = self.client.nthreads()  # type: ignore[no-untyped-call]
        return max(1, _AHEAD_PER_THREAD * sum(threads.values()))


def _find_free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("", 0))
        port: int = listener.getsockname()[1]
        return port


class _Summary(NamedTuple):
    """A result without the frames that stay, and their heights by field."""

    result: Any
    heights: dict[str, int]


def _summarise(result: Any, stay: tuple[str, ...]) -> _Summary:
    if not stay:
        return _Summary(None, {"": result.height})
    frames: dict[str, pl.DataFrame] = {name: getattr(result, name) for name in stay}
    brief = result._replace(**dict.fromkeys(stay))
    return _Summary(brief, {name: frame.height for name, frame in frames.items()})


def _stand_in(whole: "Future[Any]", summary: _Summary, stay: tuple[str, ...]) -> Any:
    """Replace the frames that stay by references."""
    if not stay:
        return RemoteFrame(summary.heights[""], whole)
    return summary.result._replace(
        **{name: RemoteFrame(summary.heights[name], whole, (attrgetter(name),)) for name in stay}
    )


@contextmanager
def connect(parameters: DaskParameters) -> Iterator[DaskWorkers]:
    """Connect to the scheduler that the environment names, or start a local cluster.

    Args:
        parameters: The local cluster, and how long to wait.

    Yields:
        The workers. The connection, and the local cluster, end with the context.

    Raises:
        ClusterError: Dask is not installed, or the scheduler or its workers do not answer, or
            have other versions of the packages.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ClusterError(
            f"{error}; the environment dask needs an extra: pip install 'stock_volume[dask]'"
        ) from error
    # Its import sets the level so that each connection of a worker is reported.
    logging.getLogger("distributed").setLevel(logging.WARNING)
    address = os.environ.get(ADDRESS_VARIABLE)
    if address:
        with _client(Client, address, parameters) as client:
            _check_workers(client, address, parameters)
            yield DaskWorkers(client, parameters)
        return
    with (
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=parameters.workers,
            threads_per_worker=parameters.threads,
            memory_limit=parameters.memory_limit,
            dashboard_address=parameters.dashboard,
            host="127.0.0.1",
            env={"POLARS_MAX_THREADS": str(parameters.threads)},
        ) as cluster,
        _client(Client, cluster, parameters) as client,
    ):
        logger.info(
            "dask: %d local workers, dashboard at %s", parameters.workers, client.dashboard_link
        )
        client.wait_for_workers(parameters.workers, timeout=parameters.timeout_seconds)
        yield DaskWorkers(client, parameters)


def _client(client: type["Client"], target: Any, parameters: DaskParameters) -> "Client":
    try:
        return client(target, timeout=parameters.timeout_seconds)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"{ADDRESS_VARIABLE}={target}: the scheduler does not answer: {error}"
        ) from error


def _check_workers(client: "Client", address: str, parameters: DaskParameters) -> None:
    try:
        client.wait_for_workers(1, timeout=parameters.timeout_seconds)
        client.get_versions(check=True, packages=_SAME_PACKAGES)
    except (TimeoutError, ValueError) as error:
        raise ClusterError(f"{ADDRESS_VARIABLE}={address}: {error}") from error
    logger.info(
        "dask: %d workers of %s, dashboard at %s",
        len(client.nthreads()),  # type: ignore[no-untyped-call]
        address,
        client.dashboard_link,
    )
