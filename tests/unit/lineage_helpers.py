"""Manifests written by hand, and the chains through them."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from io import StringIO
from typing import Any

from rich.console import Console

from stock_volume.lineage.history import Artefact, Chain, History, State, state_of
from stock_volume.lineage.manifest import RunManifest
from stock_volume.lineage.tree import draw

Content = list[dict[str, Any]] | dict[str, str]
PRICES, FEATURES, FORECASTS = "/d/prices.parquet", "/d/features.parquet", "/d/forecasts.parquet"
RAW = {"raw_bars"}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def file(path: str, text: str) -> list[dict[str, Any]]:
    return [{"path": path, "size": len(text), "sha256": sha(text)}]


def node(inputs: list[str], *outputs: str) -> dict[str, Any]:
    return {"seconds": 1.0, "rows": {}, "inputs": inputs, "outputs": list(outputs)}


def manifest(
    day: int,
    nodes: dict[str, Any],
    inputs: Mapping[str, Content],
    outputs: Mapping[str, Content],
) -> dict[str, Any]:
    return {
        "run_id": f"run-{day}",
        "finished_at": f"2026-01-{day:02}T20:00:00+00:00",
        "is_complete": True,
        "pipelines": ["__default__"],
        "planned": list(nodes),
        "git_revision": "c0ffee",
        "code": "c0de",
        "versions": {"python": "3.11"},
        "parameters": {"features": {"window_days": 30}, "deep": {"er": 5}},
        "computed": [],
        "inputs": dict(inputs),
        "nodes": nodes,
        "outputs": dict(outputs),
    }


def first_run(day: int = 1) -> dict[str, Any]:
    """From an archive to prices, features, a model and a service: a diamond over prices."""
    return manifest(
        day,
        {
            "ingest": node(["raw_bars"], "prices"),
            "engineer": node(["prices", "params:features", "params:deep.er"], "features"),
            "describe": node(["prices"], "counts"),
            "register": node(["features", "counts"], "model"),
            "package": node(["model"], "service"),
        },
        {"raw_bars": file("/raw/archive.zip", "archive")},
        {
            "prices": file(PRICES, "prices 1"),
            "features": file(FEATURES, "features 1"),
            "model": {"tag": "model:v1"},
            "service": {"tag": "service:v1"},
        },
    )


def update(day: int, before: str) -> dict[str, Any]:
    """Prices made from what was held and an archive of recent bars."""
    return manifest(
        day,
        {"merge": node(["held_prices", "raw_bars"], "prices")},
        {
            "held_prices": file(PRICES, before),
            "raw_bars": file(f"/raw/{day}.zip", f"archive {day}"),
        },
        {"prices": file(PRICES, f"prices {day}")},
    )


def modelling(day: int, prices: str) -> dict[str, Any]:
    """A partial run on prices of an earlier one."""
    return manifest(
        day,
        {"engineer": node(["prices", "params:features"], "features")},
        {"prices": file(PRICES, prices)},
        {"features": file(FEATURES, f"features {day}")},
    )


def disk(**texts: str) -> Callable[[str], str | None]:
    """Files that are there: prices, features, and archives by their number."""
    digests = {f"/d/{name}.parquet": sha(text) for name, text in texts.items()}
    return digests.get


def history_of(manifests: Iterable[dict[str, Any]]) -> History:
    """Validate manifests as they are on disk, and index them."""
    return History(RunManifest.model_validate(one) for one in manifests)


def trace(history: History, text: str) -> Chain:
    return history.trace(history.find(text, disk()))


def links(history: History, chain: Chain) -> dict[str, list[str]]:
    """The chain in short: who made what in which run, and of what."""
    return {
        f"{history.runs[execution.run].run_id} {execution.node}": [name for name, _ in inputs]
        for execution, inputs in chain.inputs.items()
    }


def states_in(
    history: History, digest: Callable[[str], str | None], *, stored: bool = True
) -> Callable[[Artefact], list[State]]:
    return lambda artefact: state_of(artefact, history, digest, lambda _: stored)


def drawn(history: History, text: str, *, in_full: bool = False, **texts: str) -> str:
    """The tree as text."""
    chain = trace(history, text)
    console = Console(file=StringIO(), width=200)
    states = states_in(history, disk(**texts))
    console.print(draw(chain, history, states, RAW, in_full=in_full))
    output = console.file
    assert isinstance(output, StringIO)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines())


def partitions(*names: int) -> list[dict[str, Any]]:
    return [entry for one in names for entry in file(f"/d/log/{one}.parquet", f"log {one}")]


def logged(day: int) -> dict[str, Any]:
    """A run that adds one file to a folder."""
    return manifest(
        day,
        {"forecast": node(["prices"], "log")},
        {"prices": file(PRICES, f"prices {day}")},
        {"log": partitions(day)},
    )


def monitored(day: int, *names: int) -> dict[str, Any]:
    """A run that reads the folder."""
    return manifest(
        day,
        {"monitor": node(["log"], "verdict")},
        {"log": partitions(*names)},
        {"verdict": file("/d/verdict.json", "good")},
    )


def daily(days: int) -> History:
    """One run from the archive, and an update on each day after it."""
    updates = [update(day, f"prices {day - 1}") for day in range(2, days + 1)]
    return history_of([first_run(), *updates])
