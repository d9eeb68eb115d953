"""What surrounds the routes: errors of one shape, limits, keys, headers, counters, readiness."""

import asyncio
import re
import threading
import time
from dataclasses import replace
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
    ("GET", "/forecast/AAA/open?price=20"),
    ("GET", "/forecast/AAA/explanation"),
    ("GET", "/forecasts"),
    ("POST", "/forecast"),
    ("GET", "/symbols"),
    ("GET", "/symbols/AAA"),
    ("GET", "/symbols/AAA/history"),
    ("GET", "/symbols/AAA/record"),
    ("GET", "/models"),
]
OPEN_ROUTES = ["/", "/docs", "/openapi.json", "/static/docs.js", "/metrics"]


@pytest.mark.parametrize(
    "path",
    [
        *("/nothing", "/predict/1", "/predictions", "/static/no", "/a/b"),
        # The router would redirect to the host that the client names.
        *("/models/", "/readyz/", "/docs/", "/symbols/"),
        # BentoML's own, which reveal nothing of this service.
        *("/docs.json", "/healthz"),
    ],
)
def test_other_paths_are_not_found(client: "TestClient", path: str) -> None:
    """There is nothing at other paths, and the answer says so in the shape of all errors."""
    assert_problem(client.get(path, follow_redirects=False), 404)


@pytest.mark.parametrize(
    "path",
    [*OPEN_ROUTES, "/models", "/forecast/AAA", ESTIMATE, "/livez", "/readyz", "/schema.json"],
)
def test_head_is_get_without_the_body(client: "TestClient", path: str) -> None:
    """HEAD is answered like GET, without the body."""
    got, head = client.get(path), client.head(path)
    assert (got.status_code, head.status_code, head.content) == (200, 200, b"")
    changing = {"content-length", "last-modified"} if path == "/metrics" else set()
    assert {name: value for name, value in head.headers.items() if name not in changing} == {
        name: value for name, value in got.headers.items() if name not in changing
    }


def test_head_of_errors_has_no_body(client: "TestClient") -> None:
    """An error keeps its status, and has the length of the body of GET."""
    for path in ("/nothing", "/predict", "/forecast/NOPE", "/healthz"):
        got, head = client.get(path), client.head(path)
        assert head.status_code == got.status_code >= 400
        assert head.content == b""
        assert head.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/static/docs.js", "/static_content/swagger-ui.css"]
)
def test_files_are_requested_again(client: "TestClient", path: str) -> None:
    """Files may be kept, but are asked for each time, and are not sent again if they are known."""
    answer = client.get(path)
    assert answer.headers["cache-control"] == "no-cache"
    again = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", [ESTIMATE, "/models", "/symbols", "/nothing", "/metrics"])
def test_data_is_not_kept(client: "TestClient", path: str) -> None:
    """What a key may be asked for is kept by no cache on the way."""
    assert client.get(path).headers["cache-control"] == "no-store"


def test_files_are_compressed(client: "TestClient") -> None:
    """A file of the page is sent smaller, and under the same tag, to those who take it so."""
    path = "/static/style.css"
    plain = client.get(path, headers={"Accept-Encoding": "identity"})
    packed = client.get(path, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content
    assert packed.headers["etag"] == f"W/{plain.headers['etag']}"
    tag = {"If-None-Match": packed.headers["etag"], "Accept-Encoding": "gzip"}
    assert client.get(path, headers=tag).status_code == 304


def test_range_that_is_not_there_is_refused(client: "TestClient") -> None:
    """Past the end of a file there is nothing, and the answer says how long it is."""
    answer = client.get("/static/docs.js", headers={"Range": "bytes=100000-"})
    assert assert_problem(answer, 416)["title"] == "Range Not Satisfiable"
    assert answer.headers["content-range"].startswith("bytes */")


def test_docs_work_below_a_prefix(client: "TestClient") -> None:
    """The pages name their files relative to themselves, and their scripts the description."""
    for path in ("/", "/docs"):
        assert not re.findall(r'(?:href|src)="/', client.get(path).text)
    assert '"openapi.json"' in client.get("/static/docs.js").text


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/predict", "GET, HEAD, POST"),
        ("/models", "GET, HEAD"),
        ("/forecast", "POST"),
        ("/livez", "GET, HEAD"),
        ("/", "GET, HEAD"),
        ("/static/docs.js", "GET, HEAD"),
    ],
)
def test_other_methods_are_not_allowed(
    client: "TestClient", method: str, path: str, allowed: str
) -> None:
    """A method that a path does not answer is a 405 that names those it does."""
    answer = client.request(method, path)
    assert_problem(answer, 405)
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/forecast"])
@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"a":' * 20_000, b"[" * 100_000])
def test_what_is_not_json_is_refused(client: "TestClient", path: str, body: bytes) -> None:
    """A body that cannot be read is the client's error."""
    answer = client.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code in ({413} if path == "/predict" and len(body) > 4096 else {400, 422})
    assert answer.headers["content-type"] == "application/problem+json"


def test_keys_that_are_no_text_are_refused(client: "TestClient") -> None:
    """Even a key that no encoding can write is answered by a problem detail."""
    answer = client.post(
        "/predict", content=rb'{"\ud800": 1}', headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_service_is_ready(client: "TestClient") -> None:
    """The routes that a cluster asks are there beside the answers."""
    assert [client.get(path).status_code for path in ("/livez", "/readyz")] == [200, 200]


@pytest.mark.parametrize("path", OPEN_ROUTES)
def test_open_routes_answer(client: "TestClient", path: str) -> None:
    """The page, its files, the API's description and the counters are served."""
    assert client.get(path).status_code == 200


def test_pages_have_security_headers(client: "TestClient") -> None:
    """The page runs only its own scripts, fits in no frame, and sends no referrer elsewhere."""
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
    """Unless configured, the service lets no page of another site read its answers."""
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
    """Counters distinguish routes and refusals, and have no series for each path or symbol."""
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


@pytest.fixture(scope="module")
def description(client: "TestClient") -> Any:
    """The OpenAPI description."""
    return client.get("/openapi.json").json()


def test_description_is_complete(description: Any) -> None:
    """The OpenAPI description has every route, each with its refusals and an example."""
    described = description["paths"]
    paths = {path.partition("?")[0].replace("AAA", "{symbol}") for _, path in DATA_ROUTES}
    assert set(described) == {*paths, "/metrics", "/livez", "/readyz"}
    for path in paths:
        for operation in described[path].values():
            responses = operation["responses"]
            assert {"200", "401", "405", "422", "503"} <= set(responses)
            assert operation["description"]
            for status, header in (
                ("401", "WWW-Authenticate"),
                ("405", "Allow"),
                ("503", "Retry-After"),
            ):
                assert header in responses[status]["headers"]
            if "requestBody" in operation:
                assert {"400", "408", "413", "415"} <= set(responses)
    assert "application/problem+json" in described["/readyz"]["get"]["responses"]["503"]["content"]


def names_in(value: Any) -> set[str]:
    """Name all that is described by a value, at any depth."""
    if isinstance(value, list):
        return set().union(*map(names_in, value))
    if isinstance(value, dict):
        return set(value).union(*map(names_in, value.values()))
    return set()


def test_description_gives_bounds_in_its_own_words(description: Any) -> None:
    """No bound has pydantic's name, which a reader of JSON Schema does not know."""
    assert not names_in(description) & {"ge", "gt", "le", "lt", "multiple_of"}
    parameters = {
        parameter["name"]: parameter["schema"]
        for operations in description["paths"].values()
        for parameter in operations.get("get", {}).get("parameters", [])
    }
    bounds = {"days": (1, 731), "limit": (1, 100), "vol_moving_avg": (0, None)}
    for name, (least, most) in bounds.items():
        assert (parameters[name].get("minimum"), parameters[name].get("maximum")) == (least, most)


def test_description_has_words_and_examples(description: Any) -> None:
    """Each field and parameter is described, and each answer of data and each problem shown."""
    schemas = description["components"]["schemas"]
    for name, schema in schemas.items():
        assert "Attributes:" not in schema["description"], name
        for field, about in schema.get("properties", {}).items():
            assert about.get("description"), f"{name}.{field}"
    for path, operations in description["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                assert parameter.get("description") or parameter["schema"].get("description"), path
            for status, response in operation["responses"].items():
                if status != "200":
                    (content,) = response["content"].values()
                    assert str(content["example"]["status"]) == status
    for name in ("Models", "History", "Record", "Forecast"):
        assert schemas[name]["example"]
    assert set(schemas["Quantiles"]["properties"]) == {"q10", "q50", "q90"}
    volume = schemas["Bar"]["properties"]["Volume"]
    assert (volume["type"], volume["minimum"], volume["exclusiveMaximum"]) == ("integer", 0, 2**53)


def test_examples_fit_their_schemas() -> None:
    """What the description shows is what is answered."""
    from stock_volume.serving import bodies

    models = (
        bodies.Models,
        bodies.History,
        bodies.Record,
        bodies.Forecast,
        bodies.OpeningForecast,
    )
    for model in models:
        example = model.model_json_schema()["example"]
        assert model.model_validate(example).model_dump(mode="json", by_alias=True) == example


@pytest.fixture
def loader() -> Any:
    """A loader that has not started."""
    from stock_volume.serving.loading import ModelLoader

    return ModelLoader()


def client_of(loader: Any, api_key: str | None = None) -> "TestClient":
    """A client of the routes alone, with a loader of the test's own."""
    from starlette.testclient import TestClient

    from stock_volume.serving.app import create_app
    from stock_volume.serving.middleware import ServiceMiddleware

    app = create_app(loader, api_key)
    app.add_middleware(ServiceMiddleware)
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


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/forecast", "/forecast?no=1"])
@pytest.mark.parametrize("kind", ["application/json", "text/plain", ""])
def test_key_is_looked_at_first(guarded: "TestClient", path: str, kind: str) -> None:
    """Without the key a body is neither read nor mentioned."""
    answer = guarded.post(path, content=b"{" * 2**21, headers={"content-type": kind})
    assert_problem(answer, 401)


def test_key_is_described(guarded: "TestClient") -> None:
    """The description says which routes ask for the key, and how it is brought."""
    described = guarded.get("/openapi.json").json()
    (scheme,) = described["components"]["securitySchemes"].values()
    assert scheme == {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    for path, operations in described["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) == (path not in {"/metrics", "/livez", "/readyz"})


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


def test_line_break_is_no_part_of_the_key(loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that comes from a file ends with a line break, which no header can bring."""
    monkeypatch.setenv("STOCK_VOLUME_API_KEY", "two words\n")
    client = client_of(loader)
    assert client.get("/models", headers={"X-API-Key": "two words"}).status_code == 503
    assert client.get("/models").status_code == 401


@pytest.mark.parametrize("key", [" ", "\n", "kľúč", "a\x01b", "a\nb"])
def test_key_that_no_header_brings_is_refused(
    loader: Any, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """The service does not start, rather than be open, or closed to everybody."""
    from stock_volume.serving.guard import InvalidKeyError

    monkeypatch.setenv("STOCK_VOLUME_API_KEY", key)
    with pytest.raises(InvalidKeyError, match="STOCK_VOLUME_API_KEY must be printable ASCII"):
        client_of(loader)


@pytest.mark.parametrize(("method", "path"), [route for route in DATA_ROUTES if "GET" in route])
def test_requests_wait_for_the_models(
    loader: Any, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    """Where the models take too long to load, each data route is a 503 that says to try again."""
    from stock_volume.serving import guard
    from stock_volume.serving.loading import LoadedModels

    monkeypatch.setattr(guard, "LOAD_SECONDS", 0.02)
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


def test_request_is_answered_once_the_models_are_loaded(loader: Any) -> None:
    """A request that comes while the models are loaded waits for them."""
    from stock_volume.serving.loading import LoadedModels

    asked = threading.Event()

    def load() -> Any:
        asked.wait(60)
        time.sleep(0.1)  # the request is waiting
        return LoadedModels.of(*stored_models().values())

    loader.start(load)
    client = client_of(loader)
    assert not loader.is_ready
    asked.set()
    assert client.get(ESTIMATE).status_code == 200
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
    snapshot = models[SNAPSHOT_NAME]
    frames = snapshot.frames
    models[SNAPSHOT_NAME] = StoredModel(
        snapshot.files, frames={**frames, "latest": frames["latest"].drop("volume_lag_0")}
    )
    with pytest.raises(Exception, match="needs 1 features that the snapshot lacks"):
        LoadedModels.of(*models.values())
    assert not loader.is_ready


def test_a_snapshot_without_its_exchange_is_refused() -> None:
    """A snapshot of an earlier version does not say when its sessions close."""
    from stock_volume.serving.loading import LoadedModels
    from stock_volume.stored_model import SNAPSHOT_NAME, StoredModel

    models = dict(stored_models())
    models[SNAPSHOT_NAME] = StoredModel(frames=models[SNAPSHOT_NAME].frames)
    with pytest.raises(Exception, match="the snapshot does not name its exchange"):
        LoadedModels.of(*models.values())


def test_a_forecaster_of_another_exchange_is_refused() -> None:
    """A forecaster for New York never answers beside a snapshot of London."""
    from stock_volume.exchange import find_exchange
    from stock_volume.serving.loading import LoadedModels
    from stock_volume.stored_model import EXCHANGE_FILE, SNAPSHOT_NAME, StoredModel

    models = dict(stored_models())
    london = {EXCHANGE_FILE: find_exchange("XLON").model_dump_json()}
    models[SNAPSHOT_NAME] = StoredModel(london, frames=models[SNAPSHOT_NAME].frames)
    with pytest.raises(Exception, match="trained for XNYS, not for XLON"):
        LoadedModels.of(*models.values())


def test_forecasts_of_another_forecaster_are_refused() -> None:
    """A snapshot whose forecasts another model made is not served as this one's."""
    from stock_volume.serving.loading import LoadedModels
    from stock_volume.stored_model import FORECASTER_DIGEST_FILE, SNAPSHOT_NAME

    models = dict(stored_models())
    snapshot = models[SNAPSHOT_NAME]
    for digest in ({FORECASTER_DIGEST_FILE: "0" * 64}, {}):
        others = {name: text for name, text in snapshot.files.items() if "sha256" not in name}
        models[SNAPSHOT_NAME] = replace(snapshot, files=others | digest)
        with pytest.raises(Exception, match="run the pipeline update or modelling again"):
            LoadedModels.of(*models.values())


def test_faults_are_logged_and_answered(
    loader: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server error is a problem detail without particulars; the log has them."""
    from starlette.testclient import TestClient

    def fail() -> Any:
        raise RuntimeError("at the seams")

    monkeypatch.setattr(loader, "models", fail)
    client = TestClient(client_of(loader).app)  # that lets no exception pass
    answer = client.get("/models")
    assert "seams" not in assert_problem(answer, 500)["detail"]
    assert "at the seams" in caplog.text


def test_answer_that_does_not_come_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before BentoML loses patience, in a shape of its own, a problem says to try again."""
    from starlette.testclient import TestClient

    from stock_volume.serving import middleware, service

    async def sleep(_scope: Any, _receive: Any, _send: Any) -> None:
        await asyncio.sleep(60)

    config: Any = service.StockVolume
    assert config.config["traffic"]["timeout"] > middleware.MAX_SECONDS
    monkeypatch.setattr(middleware, "MAX_SECONDS", 0.05)
    answer = TestClient(middleware.ServiceMiddleware(sleep)).get("/")
    assert_problem(answer, 503)
    assert answer.headers["retry-after"]


def test_answer_that_has_begun_may_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that reads slowly is sent the rest."""
    from starlette.responses import StreamingResponse
    from starlette.testclient import TestClient

    from stock_volume.serving import middleware

    async def pieces() -> Any:
        for piece in ("one", "two"):
            yield piece
            await asyncio.sleep(0.1)

    monkeypatch.setattr(middleware, "MAX_SECONDS", 0.05)
    assert (
        TestClient(middleware.ServiceMiddleware(StreamingResponse(pieces()))).get("/").text
        == "onetwo"
    )


def test_work_that_does_not_end_is_given_up(loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a thread is still at is not waited for."""
    from stock_volume.serving import middleware

    go_on = threading.Event()
    monkeypatch.setattr(loader, "models", lambda: go_on.wait(60))
    monkeypatch.setattr(middleware, "MAX_SECONDS", 0.05)
    with client_of(loader) as client:
        assert_problem(client.get("/symbols"), 503)
        go_on.set()
