"""The service over HTTP, from the Bento in the store and from the project."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import joblib
import pytest

from tests.e2e.runs import BIN, PROJECT, Run, environment

VALID = {"vol_moving_avg": "12345", "adj_close_rolling_med": "25"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def serving(run: Run, folder: Path, *what: str) -> Iterator[httpx.Client]:
    """Serve in a process of its own, and end it."""
    port = free_port()
    log = run.store / f"serve-{port}.log"
    command = [str(BIN / "bentoml"), "serve", *what, "--host", "127.0.0.1", "--port", str(port)]
    with (
        log.open("w", encoding="utf-8") as output,
        subprocess.Popen(
            command, cwd=folder, env=environment(run.store), stdout=output, stderr=output
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client,
    ):
        try:
            wait_until_ready(client, process, log)
            yield client
        finally:
            process.terminate()


def wait_until_ready(
    client: httpx.Client, process: subprocess.Popen[bytes], log: Path, seconds: float = 60
) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/readyz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"not ready:\n{log.read_text(encoding='utf-8')}")


@pytest.fixture(scope="module")
def client(sample_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the Bento that the sample run left in its store."""
    with serving(sample_run, tmp_path_factory.mktemp("away"), "stock_volume:latest") as client:
        yield client


def test_predict_answers_as_the_saved_model(client: httpx.Client, sample_run: Run) -> None:
    """GET /predict answers what the joblib model predicts, rounded to whole shares."""
    model = joblib.load(sample_run.path("06_models", "lightgbm_predictor.joblib"))
    for volume, price in [(12345, 25), (5e6, 101.5), (0, 0), (3e7, 420.25)]:
        answer = client.get(
            "/predict", params={"vol_moving_avg": volume, "adj_close_rolling_med": price}
        )
        expected = max(0, round(model.booster_.predict([[volume, price]])[0]))
        assert answer.status_code == httpx.codes.OK
        assert answer.json()["volume"] == expected


def test_answer_names_its_model(client: httpx.Client, sample_run: Run) -> None:
    """The answer carries the tag that the manifest names."""
    tag = sample_run.report("run_manifest.json")["outputs"]["estimator_model"]["tag"]
    assert client.get("/predict", params=VALID).json()["model"] == tag


@pytest.mark.parametrize("name", list(VALID))
@pytest.mark.parametrize("value", [None, "", "abc", "-1", "inf", "-inf", "nan", "1e999", "1,5"])
def test_bad_input_is_refused_by_name(client: httpx.Client, name: str, value: str | None) -> None:
    """A missing, non-numeric, negative or infinite value is a 422 that names the field."""
    params = {key: text for key, text in VALID.items() if key != name}
    if value is not None:
        params[name] = value
    answer = client.get("/predict", params=params)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [name]
    assert name in answer.json()["detail"]


def test_other_paths_and_methods_are_client_errors(client: httpx.Client) -> None:
    """What is not there is a 404, what cannot be done to it a 405."""
    assert client.get("/nothing").status_code == httpx.codes.NOT_FOUND
    assert client.put("/predict").status_code == httpx.codes.METHOD_NOT_ALLOWED


def test_project_serves_the_latest_model(sample_run: Run) -> None:
    """``bentoml serve`` in the project serves the store's latest model without a Bento."""
    with serving(sample_run, PROJECT) as client:
        assert client.get("/predict", params=VALID).json()["volume"] > 0


def test_bento_carries_its_own_sources(sample_run: Run) -> None:
    """The Bento's service imports its own copy of the package, not an installed one."""
    sources = max(sample_run.store.glob("bentos/stock_volume/*/src"))
    imported = subprocess.run(
        [sys.executable, "-c", "import service, stock_volume; print(stock_volume.__file__)"],
        cwd=sources,
        env=environment(sample_run.store),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert Path(imported).is_relative_to(sources)
