"""The service over HTTP, from the Bento in the store and from the project."""

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import joblib
import pandas as pd
import pytest

from tests.e2e.runs import (
    BIN,
    PROJECT,
    Run,
    add_foreign_models,
    bentoml_command,
    copy_store,
    environment,
    free_port,
    pinned,
    served,
    serving,
)
from tests.unit.document_commands import find_commands

VALID = {"vol_moving_avg": "12345", "adj_close_rolling_med": "25"}


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


def test_forecasts_match_the_run(client: httpx.Client, sample_run: Run) -> None:
    """Each symbol is forecast as the run wrote it to forecasts.parquet, in whole shares."""
    written = pd.read_parquet(sample_run.path("07_model_output", "forecasts.parquet"))
    answer = client.post("/forecast", json={"symbols": written["Symbol"].tolist()}).json()
    assert answer["problems"] == []
    served = pd.DataFrame(answer["forecasts"])
    assert served["symbol"].tolist() == written["Symbol"].tolist()
    assert served["forecast"].tolist() == written["forecast"].round().astype(int).tolist()
    quantiles = pd.DataFrame(served["quantiles"].tolist())
    for name in ("q10", "q50", "q90"):
        assert quantiles[name].tolist() == written[name].round().astype(int).tolist()
    assert set(served["latest_bar"]) == {"2013-03-01"}
    assert set(served["session"]) == {"2013-03-04"}
    assert served["stale"].all()


def test_bars_are_forecast_as_the_run_did(client: httpx.Client, sample_run: Run) -> None:
    """Real bars in a request have the forecasts of the run: the feature code is the same.

    FB's are all sent; of IBM's the latest 3,000, nearly all that the features use.
    """
    prices = pd.read_parquet(sample_run.path("02_intermediate", "prices.parquet"))
    for symbol, tolerance in (("FB", 0.0), ("IBM", 0.05)):
        own = prices[prices["Symbol"] == symbol].tail(3000)
        bars = own.drop(columns=["Symbol", "Security Name", "ETF"]).astype({"Date": str})
        body = {"symbol": symbol, "bars": bars.to_dict("records")}
        answer = client.post("/forecast", json=body)
        assert answer.status_code == httpx.codes.OK, answer.text
        known = client.get(f"/forecast/{symbol}").json()["forecast"]
        assert answer.json()["forecast"] == pytest.approx(known, rel=tolerance)


def test_batch_is_far_fewer_answers(client: httpx.Client) -> None:
    """A thousand rows are one answer, each as if asked for alone."""
    rows = [
        {"vol_moving_avg": 1e4 * number, "adj_close_rolling_med": 400.0 - number / 4}
        for number in range(1000)
    ]
    volumes = client.post("/predict/batch", json={"rows": rows}).json()["volumes"]
    assert len(volumes) == len(rows)
    for place in (0, 1, 500, 999):
        assert client.get("/predict", params=rows[place]).json()["volume"] == volumes[place]


def test_the_api_keeps_to_its_description(client: httpx.Client) -> None:
    """schemathesis, asking what the description allows and forbids, finds nothing."""
    found = subprocess.run(
        [
            *(str(BIN / "schemathesis"), "--config-file", str(PROJECT / "tests/schemathesis.toml")),
            *("run", str(client.base_url.join("/openapi.json")), "--max-examples", "10"),
            *("--seed", "1"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
    )
    assert found.returncode == 0, found.stdout[-5000:]


def test_counters_are_published(client: httpx.Client) -> None:
    """What the server's processes have answered and refused is counted by route."""
    for params in (VALID, VALID, {}):
        client.get("/predict", params=params)
    lines = client.get("/metrics").text.splitlines()
    counted = dict(line.rsplit(" ", 1) for line in lines if line.startswith("stock_volume_"))
    assert float(counted['stock_volume_requests_total{route="/predict",status="200"}']) >= 2
    assert float(counted['stock_volume_refused_total{status="422"}']) >= 1
    assert float(counted['stock_volume_forecasts_total{kind="estimate"}']) >= 2


def examples_of(document: str) -> list[str]:
    """The Python examples of a document."""
    text = (PROJECT / document).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_examples_of_clients_run(client: httpx.Client) -> None:
    """The README's clients work unchanged, except for the server's address."""
    examples = examples_of("README.md")
    assert len(examples) == 2
    for example in examples:
        here = example.replace("http://localhost:3000", str(client.base_url).rstrip("/"))
        run = subprocess.run(
            [sys.executable, "-c", here], capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        assert re.search(r"\d", run.stdout), run.stdout


@pytest.mark.parametrize("document", ["README.md", "docs/tutorial.md"])
def test_examples_of_curl_are_answered(client: httpx.Client, document: str) -> None:
    """Every address that a document requests has an answer."""
    commands = [one.words for one in find_commands(document) if one.words[0] == "curl"]
    addresses = [word for words in commands for word in words if word.startswith("localhost:3000")]
    assert len(addresses) >= 2
    for address in addresses:
        answer = client.get(address.removeprefix("localhost:3000"))
        assert answer.status_code == httpx.codes.OK, address


def test_other_paths_and_methods_are_client_errors(client: httpx.Client) -> None:
    """What is not there is a 404, what cannot be done to it a 405."""
    assert client.get("/nothing").status_code == httpx.codes.NOT_FOUND
    assert client.put("/predict").status_code == httpx.codes.METHOD_NOT_ALLOWED


@pytest.fixture(scope="module")
def busy_store(sample_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run, its store copied, with newer models in it that no Bento pins."""
    run = copy_store(sample_run, tmp_path_factory.mktemp("busy"))
    add_foreign_models(run.store)
    return run


def test_project_serves_the_latest_complete_run(busy_store: Run) -> None:
    """``bentoml serve`` in the project serves the newest Bento's models, not the store's newest."""
    with serving(busy_store, PROJECT) as client:
        assert served(client) == pinned(busy_store)
        assert client.get("/predict", params=VALID).json()["volume"] > 0


@pytest.mark.slow
def test_bento_serves_its_own_models_from_an_archive(busy_store: Run, tmp_path: Path) -> None:
    """Exported and imported into a store with newer models, a Bento serves those that it pins."""
    tag = busy_store.report("run_manifest.json")["outputs"]["service_bento"]["tag"]
    archive = tmp_path / "archive.bento"
    exported = bentoml_command(busy_store.store, tmp_path, "export", tag, str(archive))
    assert exported.returncode == 0, exported.stderr
    elsewhere = replace(busy_store, store=tmp_path / "store")
    elsewhere.store.mkdir()
    imported = bentoml_command(elsewhere.store, tmp_path, "import", str(archive))
    assert imported.returncode == 0, imported.stderr
    add_foreign_models(elsewhere.store)
    with serving(elsewhere, tmp_path, tag) as client:
        assert served(client) == pinned(busy_store)


def test_bento_without_its_models_is_not_served(busy_store: Run, tmp_path: Path) -> None:
    """If a model that a Bento pins is gone, the server ends, and names it."""
    store = copy_store(busy_store, tmp_path).store
    gone = pinned(busy_store)["forecaster"]
    shutil.rmtree(store / "models" / gone.replace(":", "/"))
    for folder, what in ((tmp_path, ["stock_volume:latest"]), (PROJECT, [])):
        ended = bentoml_command(store, folder, "serve", *what, "--port", str(free_port()))
        assert ended.returncode != 0
        assert gone in ended.stderr
        assert "Traceback" not in ended.stderr


def test_project_without_a_bento_is_not_served(tmp_path: Path) -> None:
    """Without a Bento there is nothing to serve in the project, and the error says what to run."""
    ended = bentoml_command(tmp_path, PROJECT, "serve", "--port", str(free_port()))
    assert ended.returncode != 0
    assert "no Bento stock_volume" in ended.stderr
    assert "`kedro run`" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_in_use_is_named(client: httpx.Client, sample_run: Run, tmp_path: Path) -> None:
    """A second server on a port ends with one line that names the port."""
    port = str(client.base_url.port)
    ended = bentoml_command(
        sample_run.store, tmp_path, "serve", "stock_volume:latest", "--port", port
    )
    assert ended.returncode != 0
    (line,) = ended.stderr.strip().splitlines()
    assert f"cannot listen on port {port}" in line


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


def test_bento_is_served_by_its_own_sources(
    sample_run: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Served by its tag, the Bento runs its copy: BentoML finds the installed one first."""
    run = copy_store(sample_run, tmp_path)
    (app,) = run.store.glob("bentos/stock_volume/*/src/src/stock_volume/serving/app.py")
    text = app.read_text(encoding="utf-8")
    app.write_text(text.replace('title="stock_volume"', 'title="the copy"'), encoding="utf-8")
    with serving(run, tmp_path_factory.mktemp("away"), "stock_volume:latest") as client:
        assert client.get("/openapi.json").json()["info"]["title"] == "the copy"


def test_unusable_key_keeps_the_service_from_starting(
    sample_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that no header can carry ends the command with an error."""
    monkeypatch.setenv("STOCK_VOLUME_API_KEY", " ")
    run = subprocess.run(
        [BIN / "bentoml", "serve", "stock_volume:latest", "--port", str(free_port())],
        cwd=tmp_path,
        env=environment(sample_run.store),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode != 0
    assert "STOCK_VOLUME_API_KEY must be printable ASCII" in run.stdout + run.stderr


def test_head_and_refusals_keep_the_connection(client: httpx.Client) -> None:
    """After an answer without a body, or to a body that was not read, the next one is its own."""
    host, port = client.base_url.host, client.base_url.port
    assert port is not None
    posted = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
    requests = (
        b"HEAD /models HTTP/1.1\r\nHost: x\r\n\r\n",
        posted + b"Content-Length: 5\r\n\r\n12345",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    found = b""
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall(b"".join(requests))
        while received := connection.recv(2**16):
            found += received
    assert re.findall(rb"HTTP/1.1 (\d+)", found) == [b"200", b"415", b"200"]
    assert b"estimator" not in found
