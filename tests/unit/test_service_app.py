"""The service's answers, with a tiny model in a store of its own."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_volume import columns
from stock_volume.metrics import Floats
from stock_volume.serving.estimate import VolumeEstimator
from stock_volume.stored_model import ESTIMATOR_FILE, ESTIMATOR_NAME

if TYPE_CHECKING:
    from starlette.testclient import TestClient


pytestmark = [
    # BentoML's imports use what its own dependencies have deprecated.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    # Starlette would rather have httpx2.
    pytest.mark.filterwarnings("ignore:Using .httpx. with .starlette.testclient."),
]

PROBLEM_JSON = "application/problem+json"
GOOD = {"vol_moving_avg": "1000.5", "adj_close_rolling_med": "12.25"}
Query = list[tuple[str, str]]


def model_text(volume_of: Callable[[Floats, Floats], Floats]) -> str:
    """Train a tiny booster on a function of the two inputs and give its text."""
    import lightgbm

    random = np.random.default_rng(0)
    inputs = random.uniform(0, 1e6, (500, 2))
    data = lightgbm.Dataset(
        inputs,
        volume_of(inputs[:, 0], inputs[:, 1]),
        feature_name=list(columns.ESTIMATOR_INPUTS),
    )
    parameters = {"num_threads": 1, "verbose": -1, "deterministic": True, "force_row_wise": True}
    return lightgbm.train(parameters, data, num_boost_round=10).model_to_string()


@pytest.fixture(scope="module")
def tag(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Put a model into a store that is there for this module only."""
    import bentoml
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml._internal.models import ModelStore

    home = tmp_path_factory.mktemp("bentoml")
    BentoMLContainer.bentoml_home.set(str(home))
    BentoMLContainer.model_store.set(ModelStore(home / "models"))
    with bentoml.models.create(ESTIMATOR_NAME) as model:
        text = model_text(lambda average, price: 2 * average + price)
        Path(model.path_of(ESTIMATOR_FILE)).write_text(text, encoding="utf-8")
    yield str(model.tag)
    BentoMLContainer.model_store.reset()
    BentoMLContainer.bentoml_home.reset()


@pytest.fixture(scope="module")
def client(tag: str) -> Iterator["TestClient"]:
    from starlette.testclient import TestClient

    from stock_volume.serving.service import StockVolume

    assert tag
    service: Any = StockVolume
    with TestClient(service.to_asgi(), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def estimator(tmp_path: Path) -> Callable[[Callable[[Floats, Floats], Floats]], VolumeEstimator]:
    """Make estimators with a booster trained on a function."""

    def make(volume_of: Callable[[Floats, Floats], Floats]) -> VolumeEstimator:
        (tmp_path / ESTIMATOR_FILE).write_text(model_text(volume_of), encoding="utf-8")
        return VolumeEstimator(tmp_path / ESTIMATOR_FILE)

    return make


Make = Callable[[Callable[[Floats, Floats], Floats]], VolumeEstimator]


def with_field(name: str, *values: str) -> Query:
    """A good query, but for one field that has some values, or none."""
    others = [(field, value) for field, value in GOOD.items() if field != name]
    return [*others, *((name, value) for value in values)]


def test_answer_has_volume_model_and_note(client: "TestClient", tag: str) -> None:
    """A good request is answered with a whole volume, the model's tag and a note."""
    answer = client.get("/predict", params=GOOD)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"volume", "model", "note"}
    assert type(body["volume"]) is int
    assert body["volume"] > 0
    assert body["model"] == tag
    assert "not a forecast" in body["note"]


@pytest.mark.parametrize(
    ("average", "price"), [("0", "0"), ("500000", "250000.5"), ("1e6", "0"), ("1e308", "1e-308")]
)
def test_answer_is_that_of_the_estimator(
    client: "TestClient", estimator: Make, average: str, price: str
) -> None:
    """The two values reach the booster in their places."""
    query = {"vol_moving_avg": average, "adj_close_rolling_med": price}
    expected = estimator(lambda average, price: 2 * average + price)(float(average), float(price))
    assert client.get("/predict", params=query).json()["volume"] == expected


def test_other_parameters_are_left_alone(client: "TestClient") -> None:
    """A parameter that the service does not know changes nothing."""
    plain, more = (
        client.get("/predict", params=query).json() for query in (GOOD, {**GOOD, "symbol": "A"})
    )
    assert plain == more


def assert_refused(client: "TestClient", query: Query, *fields: str) -> list[dict[str, str]]:
    answer = client.get("/predict", params=query)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == PROBLEM_JSON
    body = answer.json()
    assert set(body) == {"type", "title", "status", "detail", "errors"}
    assert body["status"] == 422
    assert [error["field"] for error in body["errors"]] == list(fields)
    assert all(
        f"{error['field']}: {error['message']}" in body["detail"] for error in body["errors"]
    )
    errors: list[dict[str, str]] = body["errors"]
    return errors


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "required"),
        ([""], "valid number"),
        (["many"], "valid number"),
        (["1,000"], "valid number"),
        (["0x10"], "valid number"),
        (["null"], "valid number"),
        (["1;drop"], "valid number"),
        (["\x00"], "valid number"),
        (["½"], "valid number"),
        (["-1"], "greater than or equal to 0"),
        (["-1e-300"], "greater than or equal to 0"),
        (["inf"], "finite number"),
        (["-inf"], "finite number"),
        (["Infinity"], "finite number"),
        (["1e999"], "finite number"),
        (["nan"], "finite number"),
        (["NaN"], "finite number"),
        (["garbage", "rubbish"], "valid number"),
        (["1", "rubbish"], "valid number"),
    ],
)
def test_bad_value_is_refused_by_name(
    client: "TestClient", name: str, values: list[str], message: str
) -> None:
    """A missing or unusable value is a problem detail that names the field and the bound."""
    (error,) = assert_refused(client, with_field(name, *values), name)
    assert message in error["message"]


def test_every_bad_value_is_named(client: "TestClient") -> None:
    """Where both values are bad, both are named."""
    assert_refused(client, [], *GOOD)
    assert_refused(client, [(name, "nan") for name in GOOD], *GOOD)


def test_names_are_exact(client: "TestClient") -> None:
    """A mistyped name is a missing field."""
    query = [(name.upper(), value) for name, value in GOOD.items()]
    assert_refused(client, query, *GOOD)


@settings(deadline=None, max_examples=100)
@given(values=st.lists(st.tuples(st.sampled_from(list(GOOD)), st.text(max_size=8)), max_size=4))
def test_no_text_makes_the_service_fail(client: "TestClient", values: Query) -> None:
    """Whatever the values, the answer is an estimate or a refusal."""
    answer = client.get("/predict", params=values)
    assert answer.status_code in {200, 422}


@settings(deadline=None, max_examples=100)
@given(average=st.floats(), price=st.floats())
def test_every_number_is_estimated_or_refused(
    client: "TestClient", average: float, price: float
) -> None:
    """Numbers that are finite and not negative are estimated, all others are refused."""
    query = {"vol_moving_avg": repr(average), "adj_close_rolling_med": repr(price)}
    good = all(0 <= value < float("inf") for value in (average, price))
    assert client.get("/predict", params=query).status_code == (200 if good else 422)


@pytest.mark.parametrize("path", ["/nothing", "/predict/1", "/predictions", "/openapi.json"])
def test_other_paths_are_not_found(client: "TestClient", path: str) -> None:
    """There is nothing at other paths."""
    assert client.get(path, params=GOOD).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_not_allowed(client: "TestClient", method: str) -> None:
    """Estimates are there to GET only."""
    answer = client.request(method, "/predict", params=GOOD)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"


def test_service_is_ready(client: "TestClient") -> None:
    """The routes that a cluster asks are there beside the estimates."""
    assert [client.get(path).status_code for path in ("/livez", "/readyz")] == [200, 200]


def test_estimates_are_never_negative(estimator: Make) -> None:
    """Where the booster answers below zero the estimate is zero."""
    estimate = estimator(lambda average, price: average - price - 5e5)
    estimates = [estimate(average, 1e6 - average) for average in np.linspace(0, 1e6, 21)]
    assert min(estimates) == 0
    assert max(estimates) > 0
    assert all(type(one) is int for one in estimates)


def test_estimates_are_rounded_to_shares(estimator: Make) -> None:
    """An estimate is the booster's prediction, to the nearest share."""
    import lightgbm

    def volume_of(average: Floats, price: Floats) -> Floats:
        return average / 7 + price / 3

    estimate = estimator(volume_of)
    booster: Any = lightgbm.Booster(model_str=model_text(volume_of))
    for average, price in pairwise(np.linspace(0, 1e6, 9).tolist()):
        predicted = booster.predict([[average, price]], num_threads=1)[0]
        assert abs(estimate(average, price) - predicted) <= 0.5
