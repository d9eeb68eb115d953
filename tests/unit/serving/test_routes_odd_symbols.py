"""Symbols as files may be named, asked for over HTTP in this process."""

from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import polars as pl
import pytest

from stock_volume import columns
from stock_volume.serving.loading import LoadedModels, ModelLoader
from stock_volume.stored_model import SERVED_NAMES
from tests.unit.service_helpers import BENTOML_WARNINGS, stored_models

if TYPE_CHECKING:
    from starlette.testclient import TestClient

pytestmark = BENTOML_WARNINGS

ODD: Final = {
    "AAA": "abc",
    "BBB": "ABC",
    "CCC": "Übung ß 株 [1]#%?&+;=",
    "DDD": " BRK B.A\\'\"^ ",
    "GONE": "..gone",
}
"""What the symbols of the made-up market are renamed to."""

FORECAST: Final = [symbol for name, symbol in ODD.items() if name != "GONE"]


@pytest.fixture(scope="module")
def odd_client() -> Iterator["TestClient"]:
    """A client of the service's routes, with renamed symbols."""
    from starlette.testclient import TestClient

    from stock_volume.serving.app import create_app

    estimator, forecaster, snapshot = (stored_models()[name] for name in SERVED_NAMES)
    renamed = {
        name: frame.with_columns(pl.col(columns.SYMBOL).replace(ODD))
        if columns.SYMBOL in frame.collect_schema()
        else frame
        for name, frame in snapshot.frames.items()
    }
    loader = ModelLoader()
    loader.start(lambda: LoadedModels.of(estimator, forecaster, replace(snapshot, frames=renamed)))
    loader.wait(60)
    with TestClient(create_app(loader)) as client:
        yield client


def test_odd_symbols_are_listed(odd_client: "TestClient") -> None:
    """The list has each symbol as it is, blanks included."""
    listed = odd_client.get("/symbols").json()["symbols"]
    assert {one["symbol"] for one in listed} == set(ODD.values())


@pytest.mark.parametrize("route", ["/symbols/{}", "/symbols/{}/history", "/symbols/{}/record"])
@pytest.mark.parametrize("symbol", ODD.values())
def test_what_is_listed_can_be_asked_for(odd_client: "TestClient", route: str, symbol: str) -> None:
    """Whatever is listed has an answer at each address, percent-encoded, that names it as it is."""
    answer = odd_client.get(route.format(quote(symbol, safe="")))
    assert answer.status_code == HTTPStatus.OK, answer.text
    assert answer.json()["symbol"] == symbol


@pytest.mark.parametrize("symbol", FORECAST)
def test_what_is_listed_can_be_forecast(odd_client: "TestClient", symbol: str) -> None:
    """Whatever is listed and traded has a forecast, alone and among others."""
    alone = odd_client.get(f"/forecast/{quote(symbol, safe='')}").json()
    assert alone["symbol"] == symbol
    posted = odd_client.post("/forecast", json={"symbols": FORECAST}).json()
    assert alone in posted["forecasts"]
    assert posted["problems"] == []


def test_the_exact_spelling_wins(odd_client: "TestClient") -> None:
    """Two symbols that differ by case alone are two; any other spelling means the capitals."""
    answers = [odd_client.get(f"/forecast/{symbol}").json() for symbol in ("abc", "ABC")]
    assert [answer["symbol"] for answer in answers] == ["abc", "ABC"]
    assert answers[0]["forecast"] != answers[1]["forecast"]
    assert odd_client.get("/forecast/Abc").json() == answers[1]


def test_search_looks_beyond_blanks(odd_client: "TestClient") -> None:
    """A symbol that begins with a blank is found by what it shows."""
    found = odd_client.get("/symbols", params={"query": "brk"}).json()["symbols"]
    assert [one["symbol"] for one in found] == [ODD["DDD"]]
