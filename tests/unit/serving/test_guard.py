"""What a body must pass before its route reads it: type, size, time, form, and a slot."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.service_helpers import BENTOML_WARNINGS, assert_problem, stored_models

if TYPE_CHECKING:
    from starlette.testclient import TestClient

pytestmark = BENTOML_WARNINGS

JSON = {"content-type": "application/json"}
GOOD = b'{"vol_moving_avg": 1, "adj_close_rolling_med": 1}'
Receive = Callable[[], Awaitable[dict[str, Any]]]


@pytest.mark.parametrize(
    ("path", "most"), [("/predict", 4096), ("/predict/batch", 2**20), ("/forecast", 2**20)]
)
def test_large_bodies_are_refused(client: "TestClient", path: str, most: int) -> None:
    """A body above the bound of its route is a 413, declared or not."""
    large = b" " * (most + 1)
    problem = assert_problem(client.post(path, content=large, headers=JSON), 413)
    assert f"{most:,}" in problem["detail"]
    assert problem["title"] == "Content Too Large"
    pieces = (b" " * 2**11 for _ in range(most // 2**11 + 1))
    assert_problem(client.post(path, content=pieces, headers=JSON), 413)
    assert client.post(path, content=large[:-1], headers=JSON).status_code != 413


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/x-www-form-urlencoded", "text/json", "application/jsonp"],
)
def test_other_media_types_are_refused(client: "TestClient", kind: str) -> None:
    """A body that does not say that it is JSON is refused by the type that is wanted."""
    answer = client.post("/predict", content=GOOD, headers={"content-type": kind})
    assert "must be application/json" in assert_problem(answer, 415)["detail"]


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json"]
)
def test_json_has_many_names(client: "TestClient", kind: str) -> None:
    """A type of JSON may have parameters, or a name of its own."""
    answer = client.post("/predict", content=GOOD, headers={"content-type": kind})
    assert answer.status_code == 200


def test_compressed_bodies_are_refused(client: "TestClient") -> None:
    """A body may be small and become large, so none is unpacked."""
    headers = {**JSON, "content-encoding": "gzip"}
    answer = client.post("/predict", content=gzip.compress(GOOD), headers=headers)
    assert_problem(answer, 415)
    assert answer.headers["accept-encoding"] == "identity"


def test_place_of_what_is_not_json_is_named(client: "TestClient") -> None:
    """The line and column of the fault are named."""
    answer = client.post("/predict", content=b'{\n  "vol_moving_avg": 1,,\n}', headers=JSON)
    (error,) = assert_problem(answer, 422, "body")["errors"]
    assert "at line 2, column 23" in error["message"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[" * 4000, "nested too deeply"),
        (b"\xff\xfe\xfd", "UTF-8"),
        (b'{"vol_moving_avg": %s}' % (b"9" * 4050), None),
        (b"9" * 4096, None),
    ],
)
def test_what_cannot_be_read_is_a_bad_request(
    client: "TestClient", body: bytes, words: str | None
) -> None:
    """Faults without a location have messages of their own."""
    answer = client.post("/predict", content=body, headers=JSON)
    if words is None:
        assert answer.status_code == 422
    else:
        assert words in assert_problem(answer, 400)["detail"]


def test_numbers_of_many_digits_are_refused(client: "TestClient") -> None:
    """A number that Python does not read, for the time it takes, is the client's error."""
    answer = client.post("/forecast", content=b"[" + b"9" * 5000 + b"]", headers=JSON)
    assert "digits" in assert_problem(answer, 400)["detail"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"symbols": ["A"], "symbols": ["B"]}', '"symbols" more than once'),
        (json.dumps({f"x{number}": 1 for number in range(50_000)}), "50,000 names"),
        (json.dumps({"bars": [{f"x{number}": 1 for number in range(17)}]}), "17 names"),
    ],
)
def test_names_of_an_object_are_few_and_distinct(
    client: "TestClient", body: str, words: str
) -> None:
    """A repeated name is ambiguous, and each unknown one would be listed."""
    answer = client.post("/forecast", content=body, headers=JSON)
    (error,) = assert_problem(answer, 422, "body")["errors"]
    assert words in error["message"]


def test_large_answers_are_compressed(client: "TestClient") -> None:
    """A large answer is sent smaller to those who take it so, and a small one as it is."""
    for accepted in ("gzip", "br, GZIP;q=0.5"):
        packed = client.get("/models", headers={"Accept-Encoding": accepted})
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["vary"] == "Accept-Encoding"
        assert int(packed.headers["content-length"]) < len(packed.content) / 2
    for refused in ("identity", "gzip;q=0", "gzip; q=0.0, br"):
        plain = client.get("/models", headers={"Accept-Encoding": refused})
        assert "content-encoding" not in plain.headers
        assert plain.headers["vary"] == "Accept-Encoding"
        assert plain.json() == packed.json()
    small = client.get("/symbols/AAA", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in small.headers


@pytest.fixture(scope="module")
def loader() -> Any:
    """A loader that has loaded."""
    from stock_volume.serving.loading import LoadedModels, ModelLoader

    loader = ModelLoader()
    loader.start(lambda: LoadedModels.of(*stored_models().values()))
    loader.wait(seconds=60)
    return loader


def asked(app: Any, receive: Receive, path: str = "/forecast") -> tuple[int, dict[str, str]]:
    """Post to an application, without a client that minds how a body comes."""
    messages: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"50")],
        "asgi": {"version": "3.0"},
    }
    asyncio.run(app(scope, receive, send))
    start, body = messages
    assert json.loads(body["body"])["status"] == start["status"]
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], headers


def application(loader: Any, api_key: str | None = None) -> Any:
    """The routes within the surface."""
    from stock_volume.serving.app import create_app
    from stock_volume.serving.middleware import ServiceMiddleware

    return ServiceMiddleware(create_app(loader, api_key))


def test_body_that_does_not_come_is_not_waited_for(
    loader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that stops is a 408, and the end of its connection."""
    from stock_volume.serving import guard

    monkeypatch.setattr(guard, "BODY_SECONDS", 0.05)
    pieces = iter([{"type": "http.request", "body": b"{}", "more_body": True}])

    async def receive() -> dict[str, Any]:
        for piece in pieces:
            return piece
        await asyncio.sleep(60)
        raise AssertionError

    status, headers = asked(application(loader), receive)
    assert status == 408
    assert headers["connection"] == "close"
    assert headers["content-type"] == "application/problem+json"


def test_body_that_breaks_off_is_refused(loader: Any) -> None:
    """A client that leaves while it sends is its own fault."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    assert asked(application(loader), receive)[0] == 400


def test_body_is_not_read_without_the_key(loader: Any) -> None:
    """Who has no key sends bodies for nothing."""

    async def receive() -> dict[str, Any]:
        raise AssertionError

    for path in ("/forecast", "/predict", "/predict/batch"):
        assert asked(application(loader, "k"), receive, path)[0] == 401


def test_few_bodies_are_answered_at_a_time() -> None:
    """As many as there are slots hold one, the others wait for it."""
    from stock_volume.serving import guard

    most = 0

    async def hold(slots: Any, held: list[int]) -> None:
        nonlocal most
        async with slots.one():
            held.append(1)
            most = max(most, len(held))
            await asyncio.sleep(0.01)
            held.pop()

    async def run() -> None:
        slots, held = guard.Slots(), list[int]()
        await asyncio.gather(*(hold(slots, held) for _ in range(10)))

    asyncio.run(run())
    assert most == guard.SLOTS


@pytest.mark.parametrize(("waiting", "seconds"), [(0, 10.0), (5, 0.02)])
def test_patience_has_an_end(
    monkeypatch: pytest.MonkeyPatch, loader: Any, waiting: int, seconds: float
) -> None:
    """Where too many wait, or one waits too long, the response says when to retry."""
    from stock_volume.serving import guard

    monkeypatch.setattr(guard, "MAX_WAITING", waiting)
    monkeypatch.setattr(guard, "WAIT_SECONDS", seconds)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    monkeypatch.setattr(guard, "SLOTS", 0)
    status, headers = asked(application(loader), receive)
    assert status == 503
    assert int(headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("slots", "waiting", "requests", "refused"),
    [(1, 3, 4, 0), (1, 3, 5, 1), (1, 3, 7, 3), (None, None, 66, 0), (None, None, 67, 1)],
)
def test_as_many_wait_as_may(
    monkeypatch: pytest.MonkeyPatch,
    slots: int | None,
    waiting: int | None,
    requests: int,
    refused: int,
) -> None:
    """With room for three to wait for a slot, four are accepted; by default, 2 and 64 (docs)."""
    from fastapi import HTTPException

    from stock_volume.serving import guard

    monkeypatch.setattr(guard, "WAIT_SECONDS", 600)  # no machine is so busy
    if slots and waiting:
        monkeypatch.setattr(guard, "SLOTS", slots)
        monkeypatch.setattr(guard, "MAX_WAITING", waiting)

    async def run() -> list[bool]:
        guarded, end = guard.Slots(), asyncio.Event()

        async def ask() -> bool:
            try:
                async with guarded.one():
                    await end.wait()
            except HTTPException:
                return False
            return True

        first = [asyncio.create_task(ask()) for _ in range(guard.SLOTS)]
        await asyncio.sleep(0)  # they have the slots
        others = [asyncio.create_task(ask()) for _ in range(requests - guard.SLOTS)]
        await asyncio.sleep(0)
        end.set()
        return await asyncio.gather(*first, *others)

    assert asyncio.run(run()).count(False) == refused
