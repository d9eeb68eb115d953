"""Compare the service with the original's server and with bare FastAPI, in one session.

Usage: python benchmarks/serve.py [--serve-python PYTHON] [--rounds N]
       python benchmarks/serve.py [--serve-python PYTHON] --soak MINUTES
                                  [--connections N] [--restarts N]

Serves the latest Bento of the store, with its snapshot expanded to as many symbols as the full
archive has. wrk loads the servers in turn over 8 connections, and then the Bento with batches,
with forecasts of symbols, their explanations and the list of all forecasts and, over 40
connections, with forecasts from 3,000 bars. With --soak, only the Bento is loaded, with good and
bad requests, for the given time; with --restarts, the server is stopped and started under load.
"""

import argparse
import itertools
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import polars as pl
import psutil
from measure import bento_environment
from omegaconf import OmegaConf

from stock_volume.checksums import write_checksums
from stock_volume.stored_model import MODEL_DESCRIPTION

HERE: Final = Path(__file__).parent / "serving"
RESULTS: Final = Path(__file__).parent / "results" / "serve.json"
ESTIMATE: Final = "/predict?vol_moving_avg=12345&adj_close_rolling_med=25"
FULL_ARCHIVE: Final = 8049
CONNECTIONS: Final = 8
BATCH: Final = 1000
BARS: Final = 3000
BARS_CONNECTIONS: Final = 40
QUIET_THREADS: Final = {"OMP_WAIT_POLICY": "PASSIVE"}
MIB: Final = 2**20
SATURDAY: Final = 5

Figures = dict[str, float]


@dataclass
class Server:
    """A running server."""

    url: str
    process: psutil.Process
    ready_seconds: float

    def _tree(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its processes so far."""
        times = [process.cpu_times() for process in self._tree()]
        return float(sum(one.user + one.system for one in times))

    def resident_mib(self) -> float:
        """Return the resident memory of all its processes."""
        return float(sum(process.memory_info().rss for process in self._tree())) / MIB


def find_free_port() -> str:
    """Find a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


@contextmanager
def served(
    command: Sequence[str], environment: dict[str, str], ready: str, port: str | None = None
) -> Iterator[Server]:
    """Start a server and stop it at the end.

    Args:
        command: Its command; ``{port}`` is replaced by the port.
        environment: Variables in addition to the inherited ones.
        ready: Path that responds once the server is ready.
        port: Its port; by default a free one.

    Yields:
        The server.
    """
    port = port or find_free_port()
    start = time.perf_counter()
    process = subprocess.Popen(
        [part.replace("{port}", port) for part in command],
        cwd=HERE,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while not _answers(url + ready):
            if process.poll() is not None or time.perf_counter() - start > 60:  # noqa: PLR2004
                raise SystemExit(f"{command[0]} does not serve")
            time.sleep(0.02)
        yield Server(url, psutil.Process(process.pid), time.perf_counter() - start)
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        # Under load, a thousand requests may be answered before this one.
        return httpx.get(url, timeout=10).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def load(
    server: Server,
    path: str,
    seconds: int,
    script: str | None = None,
    *,
    connections: int = CONNECTIONS,
) -> Figures:
    """Load a server with wrk.

    Args:
        server: The server.
        path: Path to request.
        seconds: Duration.
        script: Script for wrk in benchmarks/serving.
        connections: Number of concurrent requests.

    Returns:
        Requests per second, p50 and p99 in milliseconds, errors, the server's CPU
        microseconds per request, and its peak memory in MiB.
    """
    before = server.cpu_seconds()
    scripted = ["-s", str(HERE / script)] if script else []
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *scripted]
    command += ["-H", "Accept-Encoding: gzip"]
    process = subprocess.Popen(
        [*command, "--timeout", "30s", server.url + path],
        stdout=subprocess.PIPE,
        text=True,
    )
    most = 0.0
    while process.poll() is None:
        most = max(most, server.resident_mib())
        time.sleep(0.1)
    output = process.communicate()[0]
    requests = _number(r"(\d+) requests in", output)
    return {
        "rps": _number(r"Requests/sec:\s+([\d.]+)", output),
        "p50": _milliseconds(r"50%\s+([\d.]+)(\w+)", output),
        "p99": _milliseconds(r"99%\s+([\d.]+)(\w+)", output),
        "errors": _number(r"Non-2xx or 3xx responses: (\d+)", output)
        + sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", output))),
        "cpu_us": 1e6 * (server.cpu_seconds() - before) / max(requests, 1),
        "max_mib": most,
    }


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found[1]) if found else 0.0


def _milliseconds(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if not found:
        return float("nan")
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]]


def pinned(store: Path, name: str) -> Path:
    """Find the version of a model that the store's latest Bento pins."""
    bentos = store / "bentos" / "stock_volume"
    bento: Any = OmegaConf.load(
        bentos / (bentos / "latest").read_text(encoding="utf-8").strip() / "bento.yaml"
    )
    (tag,) = (str(model.tag) for model in bento.models if model.tag.startswith(f"{name}:"))
    return store / "models" / tag.replace(":", "/")


def blow_up(snapshot: Path, symbols: int) -> None:
    """Repeat the symbols of a snapshot under other names until there are enough.

    Args:
        snapshot: Folder of the stored snapshot, which is modified.
        symbols: Number of symbols wanted.
    """
    held = pl.read_parquet(snapshot / "symbols.parquet")["Symbol"]
    copies = -(-symbols // len(held))
    for path in snapshot.glob("*.parquet"):
        frame = pl.read_parquet(path)
        if "Symbol" not in frame.columns:  # the market, not its symbols
            continue
        if copies > 1:
            extra = symbols - len(held) * (copies - 1)
            last = frame.filter(pl.col("Symbol").is_in(held.head(extra).implode()))
            whole = [frame] * (copies - 1)
            named = [
                one.with_columns(pl.concat_str("Symbol", pl.lit(f"~{copy}" if copy else "")))
                for copy, one in enumerate([*whole, last])
            ]
            frame = pl.concat(named).sort("Symbol", maintain_order=True)
        frame.write_parquet(path, row_group_size=16_384)
    write_checksums(snapshot, exclude=[MODEL_DESCRIPTION])


def compare(store: Path, serve_python: Path, joblib_file: Path, rounds: int, seconds: int) -> Any:
    """Load the three servers in turn.

    Args:
        store: BentoML's home.
        serve_python: Interpreter with only the requirements of serving.
        joblib_file: The estimator as joblib.
        rounds: Number of loads of each server.
        seconds: Duration of each load.

    Returns:
        Medians of the figures by server, and the figures of the Bento's other routes.
    """
    model_file = pinned(store, "stock_volume_estimator") / "model.txt"
    bento = [str(serve_python.with_name("bentoml")), "serve", "stock_volume:latest"]
    uvicorn = [str(serve_python.with_name("uvicorn")), "bare:app", "--log-level", "warning"]
    gunicorn = [str(Path(sys.executable).with_name("gunicorn")), "original:app", "-w", "1"]
    port = ["--port", "{port}"]
    ways = {
        "original": ([*gunicorn, "-b", "127.0.0.1:{port}"], {"JOBLIB_FILE": str(joblib_file)}),
        "bare": ([*uvicorn, *port], {"MODEL_FILE": str(model_file)}),
        "ours": ([*bento, *port], {}),
    }
    environment = {**bento_environment(store), **QUIET_THREADS}
    runs: dict[str, list[Figures]] = {way: [] for way in ways}
    alone: Figures = {}
    for _ in range(rounds):
        for way, (command, more) in ways.items():
            ready = "/readyz" if way == "ours" else ESTIMATE
            with served(command, environment | more, ready) as server:
                load(server, ESTIMATE, 1)
                figures = load(server, ESTIMATE, seconds)
                figures |= {"ready_s": server.ready_seconds, "mib": server.resident_mib()}
                if way == "ours":
                    alone = _load_other_routes(server, seconds, figures)
            runs[way].append(figures)
            print(way, _rounded(figures), flush=True)
    servers = {
        way: {name: statistics.median(run[name] for run in of_way) for name in of_way[0]}
        for way, of_way in runs.items()
    }
    for way, of_way in runs.items():
        servers[way]["errors"] = sum(run["errors"] for run in of_way)
    return {"servers": servers, "alone": alone}


def _load_other_routes(server: Server, seconds: int, figures: Figures) -> Figures:
    """Load the Bento's other routes, the one with the highest memory use last."""
    batch = load(server, "/predict/batch", seconds, "batch.lua")
    path = _forecast_path(server)
    forecast = load(server, path, seconds)
    explained = load(server, f"{path}/explanation", seconds)
    listing = load(server, "/forecasts", seconds)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["BARS_FILE"] = str(_bars_file(server, Path(scratch)))  # of bars.lua
        bars = load(server, "/forecast", seconds, "bars.lua", connections=BARS_CONNECTIONS)
    return {
        "predict_mib": figures["max_mib"],
        "batch_rows_a_second": batch["rps"] * BATCH,
        "batch_errors": batch["errors"],
        "batch_cheaper": batch["rps"] * BATCH / figures["rps"],
        "batch_cheaper_cpu": figures["cpu_us"] / (batch["cpu_us"] / BATCH),
        "batch_mib": batch["max_mib"],
        "forecast_rps": forecast["rps"],
        "forecast_of_predict": forecast["rps"] / figures["rps"],
        "explanation_rps": explained["rps"],
        "explanation_p50": explained["p50"],
        "list_rps": listing["rps"],
        "list_p50": listing["p50"],
        "list_p99": listing["p99"],
        **_list_once(server),
        "forecast_p50": forecast["p50"],
        "forecast_p99": forecast["p99"],
        "forecast_mib": forecast["max_mib"],
        "bars_rps": bars["rps"],
        "bars_p50": bars["p50"],
        "bars_p99": bars["p99"],
        "bars_errors": bars["errors"],
        "bars_mib": bars["max_mib"],
        "mib": server.resident_mib(),
    }


def _list_once(server: Server) -> Figures:
    """Time one list of all forecasts, and count its bytes."""
    start = time.perf_counter()
    with httpx.stream("GET", f"{server.url}/forecasts") as response:
        sent = sum(map(len, response.iter_raw()))
    seconds = time.perf_counter() - start
    return {"list_ms": 1000 * seconds, "list_kib": sent / 2**10}


def _bars_file(server: Server, folder: Path) -> Path:
    """Write a request with many bars: a symbol's bars, repeated, on weekdays up to its latest."""
    (found,) = httpx.get(f"{server.url}/symbols", params={"limit": 1}).json()["symbols"]
    address = f"{server.url}/symbols/{found['symbol']}/history"
    own = httpx.get(address, params={"days": 731}).json()["bars"]
    ago = (
        date.fromisoformat(found["latest_bar"]) - timedelta(days=day) for day in itertools.count()
    )
    days = itertools.islice((day for day in ago if day.weekday() < SATURDAY), BARS)
    bars = [
        {**bar, "Date": day.isoformat()}
        for day, bar in zip(days, itertools.cycle(reversed(own)), strict=False)
    ]
    path = folder / "bars.json"
    path.write_text(json.dumps({"bars": bars}), encoding="utf-8")
    return path


def _forecast_path(server: Server) -> str:
    found = httpx.get(f"{server.url}/symbols").json()["symbols"]
    return f"/forecast/{found[0]['symbol']}"


def _rounded(figures: Figures) -> dict[str, float]:
    return {name: round(value, 2) for name, value in figures.items()}


def print_comparison(results: Any) -> None:
    """Print the figures as a Markdown table, and their ratios."""
    names = ("rps", "p50", "p99", "errors", "cpu_us", "ready_s", "mib")
    print("\n| server | requests/s | p50 ms | p99 ms | errors | CPU us | ready s | MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    servers = results["servers"]
    for way, figures in servers.items():
        print(f"| {way} | {' | '.join(f'{figures[name]:.4g}' for name in names)} |")
    ours = servers["ours"]
    print(f"\nours / bare FastAPI: {ours['rps'] / servers['bare']['rps']:.2f}")
    print(f"ours / original: {ours['rps'] / servers['original']['rps']:.2f}")
    print(f"p99 / p50: {ours['p99'] / ours['p50']:.2f}")
    print(json.dumps(_rounded(results["alone"]), indent=2))


def soak(
    store: Path, serve_python: Path, minutes: float, connections: int, restarts: int
) -> dict[str, Any]:
    """Load the Bento with good and bad requests and record its memory.

    Args:
        store: BentoML's home.
        serve_python: Interpreter with the requirements of serving.
        minutes: Duration.
        connections: Number of concurrent requests.
        restarts: How often the server is stopped and started again under load.

    Returns:
        Number of responses by kind, of errors of connections (while the server is stopped, clients
        try to connect again and again), and for each start of the server, the seconds until it was
        ready and resident MiB over time.
    """
    bento = [str(serve_python.with_name("bentoml")), "serve", "stock_volume:latest"]
    command = [*bento, "--port", "{port}"]
    environment = bento_environment(store) | QUIET_THREADS
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as scratch:
        with served(command, environment, "/readyz", port) as server:
            inputs = _mixed_input(server, Path(scratch))
        memory, ready = [], []
        load_seconds = round(60 * minutes)
        with served(command, environment, "/readyz", port) as server:
            wrk = subprocess.Popen(
                [
                    *("wrk", "-t1", f"-c{connections}", f"-d{load_seconds}s", "--latency"),
                    *("--timeout", "30s", "-s", str(HERE / "mixed.lua"), url),
                ],
                env={**os.environ, **inputs},
                stdout=subprocess.PIPE,
                text=True,
            )
            ready.append(server.ready_seconds)
            memory.append(_watch(server, wrk, load_seconds / (restarts + 1)))
        try:
            while wrk.poll() is None:
                with served(command, environment, "/readyz", port) as server:
                    ready.append(server.ready_seconds)
                    memory.append(_watch(server, wrk, load_seconds / (restarts + 1)))
        finally:
            wrk.terminate()
            output = wrk.communicate()[0]
    counts = [map(int, line.split()) for line in re.findall(r"counted\s+(.*)", output)]
    totals = [sum(column) for column in zip(*counts, strict=True)]
    return {
        **dict(zip(("answered", "refused", "busy", "server_errors"), totals, strict=True)),
        **{
            f"{kind}_errors": _number(rf"{kind} (\d+)", output)
            for kind in ("connect", "read", "write", "timeout")
        },
        "rps": _number(r"Requests/sec:\s+([\d.]+)", output),
        "p50": _milliseconds(r"50%\s+([\d.]+)(\w+)", output),
        "p99": _milliseconds(r"99%\s+([\d.]+)(\w+)", output),
        "ready_seconds": [round(seconds, 1) for seconds in ready],
        "mib": memory,
        "mib_grown_in_second_half": [
            round(one[-1] - one[len(one) // 2], 1) for one in memory if one
        ],
    }


def _watch(server: Server, wrk: "subprocess.Popen[str]", seconds: float) -> list[float]:
    """Sample the memory of a server until the load or the time ends."""
    end = time.monotonic() + seconds
    memory = []
    while wrk.poll() is None and time.monotonic() < end:
        time.sleep(min(10, seconds / 10))
        memory.append(round(server.resident_mib(), 1))
    return memory


def _mixed_input(server: Server, folder: Path) -> dict[str, str]:
    found = httpx.get(f"{server.url}/symbols", params={"limit": 100}).json()["symbols"]
    symbols = folder / "symbols.txt"
    symbols.write_text("\n".join(one["symbol"] for one in found), encoding="utf-8")
    return {"BARS_FILE": str(_bars_file(server, folder)), "SYMBOLS_FILE": str(symbols)}


def main() -> None:
    """Measure, print and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    home = Path(os.environ.get("BENTOML_HOME", Path.home() / "bentoml"))
    parser.add_argument("--store", type=Path, default=home, help="BentoML's home")
    parser.add_argument("--serve-python", type=Path, default=Path(sys.executable))
    parser.add_argument("--data-root", type=Path, default=Path("data"), help="data root of the run")
    parser.add_argument("--symbols", type=int, default=FULL_ARCHIVE)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--soak", type=float, metavar="MINUTES")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="of --soak")
    parser.add_argument("--restarts", type=int, default=0, help="under the load of --soak")
    arguments = parser.parse_args()
    joblib_file = arguments.data_root.absolute() / "06_models" / "lightgbm_predictor.joblib"
    if not arguments.soak and not joblib_file.is_file():
        parser.error(f"{joblib_file}: no such file; run `make run`, or set --data-root")
    if not shutil.which("wrk"):
        parser.error("wrk is not installed; on Debian: apt-get install wrk")
    if not (arguments.store / "bentos" / "stock_volume").is_dir():
        parser.error(f"{arguments.store} has no Bento stock_volume; `make run` builds one")
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(scratch) / "store"
        shutil.copytree(arguments.store, store)
        blow_up(pinned(store, "stock_volume_snapshot"), arguments.symbols)
        if arguments.soak:
            results = soak(
                store,
                arguments.serve_python.absolute(),
                arguments.soak,
                arguments.connections,
                arguments.restarts,
            )
            print(json.dumps(results, indent=2))
        else:
            results = compare(
                store,
                arguments.serve_python.absolute(),
                joblib_file,
                arguments.rounds,
                arguments.seconds,
            )
            print_comparison(results)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
