"""What a body must pass before its route sees it: type, size, time, form, memory and a slot."""

import asyncio
import gzip
import json
import threading
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
        (json.dumps({"bars": [{f"x{number}": 1 for number in range(9)}]}), "9 names"),
    ],
)
def test_names_of_an_object_are_few_and_distinct(
    client: "TestClient", body: str, words: str
) -> None:
    """A repeated name is ambiguous, and each unknown one would be listed."""
    answer = client.post("/forecast", content=body, headers=JSON)
    (error,) = assert_problem(answer, 422, "body")["errors"]
    assert words in error["message"]


def test_unknown_names_of_a_small_object_are_listed(client: "TestClient") -> None:
    """An object with as many names as the API's largest is read; its unknown names are faults."""
    names = [f"x{number}" for number in range(8)]
    answer = client.post("/predict", json=dict.fromkeys(names, 1))
    assert_problem(answer, 422, "vol_moving_avg", "adj_close_rolling_med", *names)


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

    asyncio.run(app(post_to(path), receive, send))
    start, body = messages
    assert json.loads(body["body"])["status"] == start["status"]
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], headers


def post_to(path: str) -> dict[str, Any]:
    """The scope of a request with a body."""
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"50")],
        "asgi": {"version": "3.0"},
    }


def application(loader: Any, api_key: str | None = None) -> Any:
    """The routes within the surface."""
    from stock_volume.serving.app import create_app
    from stock_volume.serving.middleware import ServiceMiddleware

    return ServiceMiddleware(create_app(loader, api_key))


def test_body_that_does_not_come_is_not_waited_for(
    loader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that stops is a 408, and the end of its connection."""
    from stock_volume.serving import reading

    monkeypatch.setattr(reading, "BODY_SECONDS", 0.05)
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


def test_few_large_bodies_are_answered_at_a_time() -> None:
    """As many as there are slots hold one, the others wait for it."""
    from stock_volume.serving import reading

    most = 0

    async def hold(slots: Any, held: list[int]) -> None:
        nonlocal most
        async with slots.one():
            held.append(1)
            most = max(most, len(held))
            await asyncio.sleep(0.01)
            held.pop()

    async def run() -> None:
        slots, held = reading.Slots(), list[int]()
        await asyncio.gather(*(hold(slots, held) for _ in range(10)))

    asyncio.run(run())
    assert most == reading.SLOTS


@pytest.fixture
def without_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """No slot is ever free, and nobody waits long for one."""
    from stock_volume.serving import reading

    monkeypatch.setattr(reading, "SLOTS", 0)
    monkeypatch.setattr(reading, "WAIT_SECONDS", 0.02)


@pytest.mark.usefixtures("without_slots")
@pytest.mark.parametrize("path", ["/forecast", "/predict/batch"])
def test_wait_for_a_slot_has_an_end(loader: Any, path: str) -> None:
    """Where a large body waits too long, the response says when to retry."""
    from stock_volume.serving.reading import LARGE_BODY

    status, headers = asked(application(loader), body_of(b" " * (LARGE_BODY + 1)), path)
    assert status == 503
    assert int(headers["retry-after"]) > 0


@pytest.mark.usefixtures("without_slots")
@pytest.mark.parametrize("path", ["/forecast", "/predict/batch", "/predict"])
def test_small_body_needs_no_slot(loader: Any, path: str) -> None:
    """Large bodies do not delay small ones."""
    assert asked(application(loader), body_of(b"{}"), path)[0] == 422


def body_of(content: bytes) -> Receive:
    """Let a body arrive in one piece."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    return receive


def test_memory_of_all_bodies_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies may fill the room; one byte more is refused, until a body is answered."""
    from fastapi import HTTPException

    from stock_volume.serving import reading

    monkeypatch.setattr(reading, "MAX_HELD_BYTES", 10)
    slots = reading.Slots()
    with slots.holding() as add:
        with slots.holding() as add_other:
            add(4)
            add_other(3)
            add(3)
            with pytest.raises(HTTPException) as refused:
                add_other(1)
        assert refused.value.status_code == 503
        assert refused.value.headers
        assert int(refused.value.headers["retry-after"]) > 0
        add(3)
        with slots.holding() as add_third, pytest.raises(HTTPException):
            add_third(1)
    with slots.holding() as add:
        add(10)


def test_refused_body_leaves_its_room(loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too large for the memory that is left is a 503, and what follows is answered."""
    from stock_volume.serving import reading

    monkeypatch.setattr(reading, "MAX_HELD_BYTES", 1000)
    app = application(loader)
    for _ in range(3):
        assert asked(app, body_of(b" " * 1001), "/predict")[0] == 503
        assert asked(app, body_of(b"{}" + b" " * 998), "/predict")[0] == 422


@pytest.mark.parametrize(("spaces", "in_thread"), [(0, False), (2**14, True)])
@pytest.mark.parametrize("path", ["/forecast", "/predict/batch"])
def test_large_bodies_are_parsed_beside_the_event_loop(
    loader: Any, monkeypatch: pytest.MonkeyPatch, path: str, spaces: int, *, in_thread: bool
) -> None:
    """Parsing takes milliseconds, in which no other request would be answered."""
    from stock_volume.serving import reading

    where: list[threading.Thread] = []
    parse = reading.parse_json

    def parse_and_note(body: bytes) -> Any:
        where.append(threading.current_thread())
        return parse(body)

    monkeypatch.setattr(reading, "parse_json", parse_and_note)
    assert asked(application(loader), body_of(b"{}" + b" " * spaces), path)[0] == 422
    (thread,) = where
    assert (thread is not threading.current_thread()) == in_thread


def test_client_that_left_gets_no_slot(loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody waits for any more is not worth the time of the others."""
    from stock_volume.serving import reading

    def fail(_: bytes) -> Any:
        raise AssertionError

    monkeypatch.setattr(reading, "parse_json", fail)
    content = b" " * (reading.LARGE_BODY + 1)
    messages = iter([{"type": "http.request", "body": content, "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(messages, {"type": "http.disconnect"})

    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(application(loader)(post_to("/forecast"), receive, send))
    assert sent[0]["status"] == 499
    assert b"".join(message.get("body", b"") for message in sent) == b""


def test_few_threads_answer(client: "TestClient") -> None:
    """Each thread that computes delays the event loop, and health checks with it."""
    from anyio.to_thread import current_default_thread_limiter

    from stock_volume.serving.service import MAX_THREADS

    async def count() -> float:
        return current_default_thread_limiter().total_tokens

    assert client.portal is not None
    assert client.portal.call(count) == MAX_THREADS
