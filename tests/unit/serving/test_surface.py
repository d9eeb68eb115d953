"""What surrounds the routes: errors of one shape, limits, keys, headers, counters, readiness."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.service_helpers import BENTOML_WARNINGS, assert_problem, stored_models

if TYPE_CHECKING:
    from starlette.testclient import TestClient

pytestmark = BENTOML_WARNINGS

ESTIMATE = "/predict?vol_moving_avg=1&adj_close_rolling_med=1"
DATA_ROUTES = [
    ("GET", ESTIMATE),
    ("POST", "/predict"),
    ("POST", "/predict/batch"),
    ("GET", "/forecast/AAA"),
    ("POST", "/forecast"),
    ("GET", "/symbols"),
    ("GET", "/symbols/AAA"),
    ("GET", "/symbols/AAA/history"),
    ("GET", "/symbols/AAA/record"),
    ("GET", "/models"),
]
OPEN_ROUTES = ["/", "/docs", "/openapi.json", "/static/docs.js", "/metrics"]


@pytest.mark.parametrize("path", ["/nothing", "/predict/1", "/predictions", "/static/no", "/a/b"])
def test_other_paths_are_not_found(client: "TestClient", path: str) -> None:
    """There is nothing at other paths, and the answer says so in the shape of all errors."""
    assert_problem(client.get(path), 404)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/predict", "GET, POST"), ("/models", "GET"), ("/forecast", "POST"), ("/livez", "GET")],
)
def test_other_methods_are_not_allowed(
    client: "TestClient", method: str, path: str, allowed: str
) -> None:
    """A method that a path does not answer is a 405 that names those it does."""
    answer = client.request(method, path)
    assert_problem(answer, 405)
    assert set(allowed.split(", ")) <= set(answer.headers["allow"].split(", "))


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/forecast"])
@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"a":' * 20_000, b"[" * 100_000])
def test_what_is_not_json_is_refused(client: "TestClient", path: str, body: bytes) -> None:
    """A body that cannot be read is the client's error."""
    answer = client.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


def test_keys_that_are_no_text_are_refused(client: "TestClient") -> None:
    """Even a key that no encoding can write is answered by a problem detail."""
    answer = client.post(
        "/predict", content=rb'{"\ud800": 1}', headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_large_bodies_are_refused(client: "TestClient") -> None:
    """A body above a mebibyte is a 413, declared or not."""
    large = b" " * (2**20 + 1)
    headers = {"content-type": "application/json"}
    assert_problem(client.post("/forecast", content=large, headers=headers), 413)
    pieces = (b" " * 2**16 for _ in range(20))
    assert_problem(client.post("/forecast", content=pieces, headers=headers), 413)
    assert client.post("/forecast", content=large[:-1], headers=headers).status_code != 413


def test_service_is_ready(client: "TestClient") -> None:
    """The routes that a cluster asks are there beside the answers."""
    assert [client.get(path).status_code for path in ("/livez", "/readyz")] == [200, 200]


@pytest.mark.parametrize("path", OPEN_ROUTES)
def test_open_routes_answer(client: "TestClient", path: str) -> None:
    """The page, its files, the API's description and the counters are served."""
    assert client.get(path).status_code == 200


def test_pages_have_security_headers(client: "TestClient") -> None:
    """The page runs scripts of its own only, stands in no frame, and tells no other site of it."""
    headers = client.get("/").headers
    assert headers["content-type"].startswith("text/html")
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert headers["x-frame-options"] == "DENY"
    for path in ("/", "/models", "/nothing", "/livez"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_no_other_site_may_read(client: "TestClient") -> None:
    """Without being told to, the service lets no page of another site read its answers."""
    origin = {"Origin": "https://example.org"}
    assert "access-control-allow-origin" not in client.get(ESTIMATE, headers=origin).headers
    asked = {**origin, "Access-Control-Request-Method": "POST"}
    assert client.options("/predict", headers=asked).status_code == 405


def counted(client: "TestClient", start: str) -> dict[str, float]:
    """Counters whose line starts so."""
    lines = client.get("/metrics").text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith(start))
    return {name: float(value) for name, value in pairs}


def test_requests_are_counted_by_route(client: "TestClient") -> None:
    """Counters tell routes and refusals apart, and have no series for each path or symbol."""
    before = counted(client, "stock_volume_")
    client.get(ESTIMATE)
    client.get("/predict")
    client.get("/forecast/AAA")
    client.get("/forecast/NOPE1")
    client.get("/forecast/NOPE2")
    client.get("/nope/3")
    after = counted(client, "stock_volume_")
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown['stock_volume_requests_total{route="/predict",status="200"}'] == 1
    assert grown['stock_volume_requests_total{route="/forecast/{symbol}",status="404"}'] == 2
    assert grown['stock_volume_requests_total{route="other",status="404"}'] == 1
    assert grown['stock_volume_forecasts_total{kind="estimate"}'] == 1
    assert grown['stock_volume_forecasts_total{kind="symbol"}'] == 1
    assert grown['stock_volume_refused_total{status="404"}'] == 3
    assert grown['stock_volume_refused_total{status="422"}'] == 1
    assert not any("NOPE" in name or "nope" in name for name in after)


def test_description_is_complete(client: "TestClient") -> None:
    """The OpenAPI description has every route, each with its refusals and an example."""
    described = client.get("/openapi.json").json()["paths"]
    paths = {path.partition("?")[0].replace("AAA", "{symbol}") for _, path in DATA_ROUTES}
    assert set(described) == {*paths, "/metrics", "/livez", "/readyz"}
    for path in paths:
        for operation in described[path].values():
            assert {"200", "401", "503"} <= set(operation["responses"])
            assert operation["description"]


@pytest.fixture
def loader() -> Any:
    """A loader that has not started."""
    from stock_volume.serving.loading import ModelLoader

    return ModelLoader()


def client_of(loader: Any, api_key: str | None = None) -> "TestClient":
    """A client of the routes alone, with a loader of the test's own."""
    from starlette.testclient import TestClient

    from stock_volume.serving.app import create_app
    from stock_volume.serving.surface import Surface

    app = create_app(loader, api_key)
    app.add_middleware(Surface)
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def guarded(loader: Any) -> "TestClient":
    """A client of routes that ask for a key."""
    from stock_volume.serving.loading import LoadedModels

    loader.start(lambda: LoadedModels.of(*stored_models().values()))
    loader.wait(seconds=60)
    return client_of(loader, "s3cret")


@pytest.mark.parametrize(("method", "path"), DATA_ROUTES)
def test_data_routes_ask_for_the_key(guarded: "TestClient", method: str, path: str) -> None:
    """With a key set, every data route refuses requests without it, or with another."""
    for headers in ({}, {"X-API-Key": ""}, {"X-API-Key": "s3cre"}, {"X-API-Key": "Ä".encode()}):
        answer = guarded.request(method, path, headers=headers)
        assert_problem(answer, 401)
        assert answer.headers["www-authenticate"]
    assert guarded.request(method, path, headers={"X-API-Key": "s3cret"}).status_code != 401


@pytest.mark.parametrize("path", OPEN_ROUTES)
def test_open_routes_ask_for_no_key(guarded: "TestClient", path: str) -> None:
    """The page, its files and the counters are open."""
    assert guarded.get(path).status_code == 200


def test_key_comes_from_the_environment(loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment variable sets the key, and an empty one sets none."""
    monkeypatch.setenv("STOCK_VOLUME_API_KEY", "k")
    assert client_of(loader).get("/models").status_code == 401
    monkeypatch.setenv("STOCK_VOLUME_API_KEY", "")
    assert client_of(loader).get("/models").status_code == 503


@pytest.mark.parametrize(("method", "path"), [route for route in DATA_ROUTES if "GET" in route])
def test_requests_wait_for_the_models(loader: Any, method: str, path: str) -> None:
    """While the models are loaded, each data route is a 503 that says to try again."""
    from stock_volume.serving.loading import LoadedModels

    go_on = threading.Event()

    def load() -> Any:
        go_on.wait(60)
        return LoadedModels.of(*stored_models().values())

    loader.start(load)
    answer = client_of(loader).request(method, path)
    assert "being loaded" in assert_problem(answer, 503)["detail"]
    assert int(answer.headers["retry-after"]) > 0
    assert not loader.is_ready
    go_on.set()
    loader.wait(60)
    assert loader.is_ready


def test_models_that_cannot_be_loaded_are_logged(
    loader: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Where the models do not load, requests are refused and the log, not the answer, says why."""

    def load() -> Any:
        raise FileNotFoundError(tmp_path / "model.txt")

    loader.start(load)
    loader.wait(60)
    answer = client_of(loader).get(ESTIMATE)
    assert "could not be loaded" in assert_problem(answer, 503)["detail"]
    assert "model.txt" not in answer.text
    assert "model.txt" in caplog.text


def test_snapshot_of_another_run_is_refused(loader: Any) -> None:
    """A forecaster and a snapshot that do not fit together never answer."""
    from stock_volume.serving.loading import LoadedModels
    from stock_volume.stored_model import SNAPSHOT_NAME, StoredModel

    models = dict(stored_models())
    frames = models[SNAPSHOT_NAME].frames
    models[SNAPSHOT_NAME] = StoredModel(
        frames={**frames, "latest": frames["latest"].drop("volume_lag_0")}
    )
    with pytest.raises(Exception, match="asks for 1 features that the snapshot lacks"):
        LoadedModels.of(*models.values())
    assert not loader.is_ready
