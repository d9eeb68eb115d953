"""Estimates of a day's volume, over HTTP in this process."""

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_volume.boosters import Booster
from stock_volume.estimator.table import EstimateTable
from stock_volume.stored_model import ESTIMATOR_FILE, ESTIMATOR_NAME
from tests.unit.service_helpers import (
    BENTOML_WARNINGS,
    assert_problem,
    model_text,
    stored_models,
)

if TYPE_CHECKING:
    from starlette.testclient import TestClient

pytestmark = BENTOML_WARNINGS

GOOD = {"vol_moving_avg": "1000.5", "adj_close_rolling_med": "12.25"}
Query = list[tuple[str, str]]


@pytest.fixture(scope="module")
def booster() -> Any:
    """The estimator's booster, which answers are compared with."""
    import lightgbm

    text = stored_models()[ESTIMATOR_NAME].files[ESTIMATOR_FILE]
    return lightgbm.Booster(model_str=text)


def expected_volume(booster: Any, average: float, price: float) -> int:
    """What the booster itself says, as whole shares."""
    return max(0, round(float(booster.predict([[average, price]], num_threads=1)[0])))


def with_field(name: str, *values: str) -> Query:
    """A valid query, except for one field that has several values, or none."""
    others = [(field, value) for field, value in GOOD.items() if field != name]
    return [*others, *((name, value) for value in values)]


def test_answer_has_volume_model_and_note(client: "TestClient", tags: dict[str, str]) -> None:
    """A good request is answered with a whole volume, the model's tag and a note."""
    answer = client.get("/predict", params=GOOD)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"volume", "model", "note"}
    assert type(body["volume"]) is int
    assert body["volume"] > 0
    assert body["model"] == tags[ESTIMATOR_NAME]
    assert "not a forecast" in body["note"]


@pytest.mark.parametrize(
    ("average", "price"), [("0", "0"), ("500000", "250000.5"), ("1e6", "0"), ("1e308", "1e-308")]
)
def test_answer_is_that_of_the_booster(
    client: "TestClient", booster: Any, average: str, price: str
) -> None:
    """The two values reach the model in their places, by GET and by POST alike."""
    query = {"vol_moving_avg": average, "adj_close_rolling_med": price}
    expected = expected_volume(booster, float(average), float(price))
    assert client.get("/predict", params=query).json()["volume"] == expected
    body = {name: float(value) for name, value in query.items()}
    assert client.post("/predict", json=body).json()["volume"] == expected


def test_batch_answers_each_row_in_order(client: "TestClient", booster: Any) -> None:
    """A batch is answered as its rows would be one by one."""
    rows = [(average, 1e6 - average) for average in np.linspace(0, 1e6, 300).tolist()]
    body = [{"vol_moving_avg": one, "adj_close_rolling_med": other} for one, other in rows]
    answer = client.post("/predict/batch", json={"rows": body})
    assert answer.status_code == 200
    assert answer.json()["volumes"] == [expected_volume(booster, *row) for row in rows]


def test_other_parameters_are_refused(client: "TestClient") -> None:
    """A parameter that the address does not take is named, with those that it does."""
    (error,) = assert_problem(
        client.get("/predict", params={**GOOD, "symbol": "A"}), 422, "symbol"
    )["errors"]
    assert "adj_close_rolling_med, vol_moving_avg" in error["message"]
    for path in ("/models", "/symbols/AAA", "/symbols"):
        assert_problem(client.get(path, params={"more": "1"}), 422, "more")


def test_parameters_stand_once(client: "TestClient") -> None:
    """Of a parameter that is given twice it cannot be known which was meant."""
    (error,) = assert_problem(
        client.get("/predict", params=with_field("vol_moving_avg", "1", "2")), 422, "vol_moving_avg"
    )["errors"]
    assert "more than once" in error["message"]
    assert_problem(client.get("/symbols?limit=1&limit=1"), 422, "limit")


def test_note_names_inputs_below_the_training(client: "TestClient") -> None:
    """An input below the smallest of the data is said so, in single answers and batches."""
    about = client.get("/models").json()["estimator"]
    smallest, largest = about["smallest_inputs"], about["largest_inputs"]
    plain = client.get("/predict", params=smallest).json()
    assert plain["note"].endswith("not a forecast")
    name, other = GOOD
    sent = {name: smallest[name] / 2, other: 2 * largest[other]}
    more = (
        f"; {name} is below {smallest[name]:,.10g}, the smallest that was trained on"
        f"; {other} is above {largest[other]:,.10g}, the largest that was trained on"
    )
    rows = {"rows": [smallest, sent, largest]}
    for answer in (client.get("/predict", params=sent), client.post("/predict/batch", json=rows)):
        assert answer.json()["note"] == plain["note"] + more


def test_note_names_inputs_beyond_the_training(client: "TestClient") -> None:
    """An input above the largest that was trained on is said so, in single answers and batches."""
    largest = client.get("/models").json()["estimator"]["largest_inputs"]
    assert list(largest) == list(GOOD)
    assert all(0 < most <= 1e6 for most in largest.values())
    beyond = {name: 2 * most for name, most in largest.items()}
    plain = client.get("/predict", params=largest).json()
    assert plain["note"].endswith("not a forecast")
    for sent in ({**largest, name: beyond[name]} for name in largest):
        (name,) = (name for name in sent if sent[name] != largest[name])
        answers = (
            client.get("/predict", params=sent),
            client.post("/predict/batch", json={"rows": [largest, sent, largest]}),
        )
        for answer in answers:
            more = f"; {name} is above {largest[name]:,.10g}, the largest that was trained on"
            assert answer.json()["note"] == plain["note"] + more
        # It is true that such an answer is that for the largest.
        assert answers[0].json()["volume"] == plain["volume"]


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "is missing"),
        ([""], "is not a number"),
        (["many"], "is not a number"),
        (["1,000"], "is not a number"),
        (["0x10"], "is not a number"),
        (["null"], "is not a number"),
        (["1;drop"], "is not a number"),
        (["\x00"], "is not a number"),
        (["½"], "is not a number"),
        (["1_000"], "is not a number"),
        ([" 1"], "is not a number"),
        (["1\n"], "is not a number"),
        (["-1"], "greater than or equal to 0"),
        (["-1e-300"], "greater than or equal to 0"),
        (["inf"], "finite number"),
        (["-inf"], "finite number"),
        (["Infinity"], "finite number"),
        (["1e999"], "finite number"),
        (["nan"], "finite number"),
        (["NaN"], "finite number"),
        (["garbage", "rubbish"], "more than once"),
        (["1", "rubbish"], "more than once"),
    ],
)
def test_bad_value_is_refused_by_name(
    client: "TestClient", name: str, values: list[str], message: str
) -> None:
    """A missing or unusable value is a problem detail that names the field and the bound."""
    answer = client.get("/predict", params=with_field(name, *values))
    (error,) = assert_problem(answer, 422, name)["errors"]
    assert message in error["message"]


def test_every_bad_value_is_named(client: "TestClient") -> None:
    """Where both values are bad, both are named."""
    assert_problem(client.get("/predict"), 422, *GOOD)
    assert_problem(client.get("/predict", params=dict.fromkeys(GOOD, "nan")), 422, *GOOD)


def test_names_are_exact(client: "TestClient") -> None:
    """A mistyped name is another one."""
    query = [(name.upper(), value) for name, value in GOOD.items()]
    assert_problem(client.get("/predict", params=query), 422, *map(str.upper, GOOD))


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


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("value", ["1", None, True, [1], {}, -1, -1e-300, float("nan"), 1e999])
def test_bad_value_of_a_body_is_refused_by_name(
    client: "TestClient", name: str, value: object
) -> None:
    """A value in JSON that is no number, or out of bounds, is named."""
    body: dict[str, object] = {key: float(text) for key, text in GOOD.items()}
    text = json.dumps({**body, name: value})
    headers = {"content-type": "application/json"}
    assert_problem(client.post("/predict", content=text, headers=headers), 422, name)
    text = json.dumps({"rows": [body, {**body, name: value}]})
    batch = client.post("/predict/batch", content=text, headers=headers)
    assert_problem(batch, 422, f"rows.1.{name}")


@pytest.mark.parametrize("count", [0, 10_001])
def test_batch_has_bounds(client: "TestClient", count: int) -> None:
    """A batch without rows, or of too many, is refused as a whole."""
    row = dict.fromkeys(GOOD, 1)
    assert_problem(client.post("/predict/batch", json={"rows": [row] * count}), 422, "rows")


def test_many_bad_rows_are_named_by_the_first(client: "TestClient") -> None:
    """A batch of bad rows is refused by the first: all that is wrong would fill the memory."""
    rows = [{"vol_moving_avg": -1, "adj_close_rolling_med": 1}] * 250
    assert_problem(client.post("/predict/batch", json={"rows": rows}), 422, "rows.0.vol_moving_avg")
    names = dict.fromkeys("abcdefgh", 1)
    answer = client.post("/predict/batch", json={"rows": [names] * 10_000})
    assert_problem(answer, 422, *(f"rows.0.{name}" for name in (*GOOD, *names)))


def test_estimates_are_never_negative() -> None:
    """Where the booster answers below zero the estimate is zero."""
    text = model_text(lambda average, price: average - price - 5e5)
    table = EstimateTable(Booster.from_text(text))
    estimates = [table.estimate(average, 1e6 - average) for average in np.linspace(0, 1e6, 21)]
    assert min(estimates) == 0
    assert max(estimates) > 0
    assert all(type(one) is int for one in estimates)
