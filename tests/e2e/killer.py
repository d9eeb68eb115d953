"""Preloaded by Dask workers: kills the worker once at the first task of each stage.

The folder ``KILLED`` gets a file per stage, so that the task runs when it is tried again.
"""

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from stock_volume import ranked_boosters, symbols
from stock_volume.bars import ingest
from stock_volume.datasets import parts

KILLED = Path(os.environ["KILLED"])


def kill_once(stage: str) -> None:
    try:
        (KILLED / stage).touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def killing(function: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
    def task(*arguments: Any, **options: Any) -> Any:
        kill_once(name(*arguments, **options))
        return function(*arguments, **options)

    return task


def name_mapped(function: Any, _task: object) -> str:
    return str(getattr(function, "func", function).__name__)


def name_layer(*_: object, folder: str, **_options: object) -> str:
    return f"write {Path(folder).name}"


# Tasks name their functions by module, so workers run these in their place.
symbols._apply = killing(symbols._apply, name_mapped)  # noqa: SLF001
ingest._ingest_files = killing(ingest._ingest_files, lambda *_: "ingest")  # noqa: SLF001
parts.write_part = killing(parts.write_part, name_layer)


def fit_and_die(fit: Callable[..., str]) -> Callable[..., str]:
    """Kill the worker while trees are grown, and not before: the ranks are connected by then."""

    def task(*arguments: Any, **options: Any) -> str:
        import lightgbm

        train = lightgbm.train
        lightgbm.train = partial(train, callbacks=[lambda _: kill_once("training")])
        try:
            return fit(*arguments, **options)
        finally:
            lightgbm.train = train

    return task


ranked_boosters._fit_rank = fit_and_die(ranked_boosters._fit_rank)  # noqa: SLF001
