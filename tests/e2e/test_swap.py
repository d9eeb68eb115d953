"""Another Bento takes over behind nginx, under load, or does not if it fails its checks."""

import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.e2e.proxy import NGINX, nginx
from tests.e2e.runs import (
    BIN,
    PROJECT,
    Run,
    environment,
    free_port,
    kedro_run,
    served,
    serving,
)

CLIENTS = 8

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
]


@dataclass
class Load:
    """Requests without a pause, and what they were answered.

    Attributes:
        statuses: Answers by status; None counts connections that failed.
        models: Tags of forecasters, in the order in which they first answered.
    """

    statuses: Counter[int | None] = field(default_factory=Counter)
    models: list[str] = field(default_factory=list)


@contextmanager
def loading(url: str) -> Iterator[Load]:
    """Ask for forecasts without a pause, as several clients do.

    Each request has a connection of its own: nginx closes idle ones when it reloads, and a request
    that is sent just then must be repeated.
    """
    load, end = Load(), threading.Event()
    alone = {"Connection": "close"}

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            while not end.is_set():
                try:
                    answer = client.get("/forecast/AAPL", headers=alone)
                except httpx.TransportError:
                    load.statuses[None] += 1
                    continue
                load.statuses[answer.status_code] += 1
                model = answer.json().get("model")
                if model and model not in load.models:
                    load.models.append(model)

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        end.set()
        for thread in threads:
            thread.join()


@dataclass
class Site:
    """A service behind nginx, and how to swap its Bento."""

    run: Run
    url: str
    folder: Path
    ports: tuple[int, int]

    def swap(self, tag: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROJECT / "deploy/nginx/swap.sh", tag],
            env=environment(self.run.store)
            | {
                "PATH": f"{BIN}:{os.environ['PATH']}",
                "CONF": str(self.folder / "site.conf"),
                "PORTS": " ".join(map(str, self.ports)),
                "STATE": str(self.folder / "state"),
                "RELOAD": f"kill -HUP {(self.folder / 'pid').read_text().strip()}",
                "DRAIN_SECONDS": "2",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )

    def stop_servers(self) -> None:
        for pid in (self.folder / "state").glob("*.pid"):
            os.kill(int(pid.read_text()), signal.SIGTERM)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A store with two Bentos, of which nginx has the first."""
    folder = tmp_path_factory.mktemp("swap")
    run = kedro_run(folder / "data", folder / "store")
    assert run.process.returncode == 0, run.output
    first = bento_of(run)
    again = kedro_run(run.data_root, run.store, "--from-nodes", "modelling.fit_forecaster")
    assert again.process.returncode == 0, again.output
    with serving(run, folder, first) as direct:
        present = direct.base_url.port
        assert present is not None
        site = Site(again, "", folder, (present, free_port()))
        with nginx(folder, str(direct.base_url).rstrip("/")) as port:
            site.url = f"http://127.0.0.1:{port}"
            yield site
    site.stop_servers()


def bento_of(run: Run) -> str:
    return str(run.report("run_manifest.json")["outputs"]["service_bento"]["tag"])


def forecaster_of(url: str) -> str:
    with httpx.Client(base_url=url) as client:
        return served(client)["forecaster"]


def test_a_bento_that_fails_its_checks_does_not_take_over(site: Site) -> None:
    """Clients notice nothing of a Bento whose model is damaged."""
    before = forecaster_of(site.url)
    tag = bento_of(site.run)
    forecaster = site.run.report("run_manifest.json")["outputs"]["forecaster_model"]["tag"]
    (booster, *_) = (site.run.store / "models" / forecaster.replace(":", "/")).glob("*.txt")
    whole = booster.read_bytes()
    booster.write_bytes(whole[: len(whole) // 2])
    try:
        with loading(site.url) as load:
            done = site.swap(tag)
    finally:
        booster.write_bytes(whole)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"port {site.ports[0]} still answers" in done.stderr
    assert set(load.statuses) == {httpx.codes.OK}
    assert forecaster_of(site.url) == before
    assert not is_open(site.ports[1])


def test_another_bento_takes_over_under_load(site: Site) -> None:
    """Each request is answered, first by the models of the one and then of the other Bento."""
    before = forecaster_of(site.url)
    with loading(site.url) as load:
        done = site.swap(bento_of(site.run))
        assert done.returncode == 0, done.stdout + done.stderr
        time.sleep(1)
    assert set(load.statuses) == {httpx.codes.OK}
    after = forecaster_of(site.url)
    assert load.models == [before, after]
    assert f"stop the server on port {site.ports[0]}" in done.stdout


def is_open(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/livez", timeout=1)
    except httpx.TransportError:
        return False
    return True
