"""Symbols and models over HTTP, in this process."""

from typing import TYPE_CHECKING

import polars as pl
import pytest

from stock_volume import columns
from stock_volume.stored_model import ESTIMATOR_NAME, FORECASTER_NAME, SNAPSHOT_NAME
from tests.unit.forecast_helpers import FEATURE_NAMES
from tests.unit.service_helpers import (
    BENTOML_WARNINGS,
    NAMES,
    assert_problem,
    made_up_bars,
    stored_models,
)

if TYPE_CHECKING:
    from starlette.testclient import TestClient

pytestmark = BENTOML_WARNINGS


def found(client: "TestClient", **query: object) -> list[str]:
    """Symbols that a search finds, in order."""
    answer = client.get("/symbols", params={name: str(value) for name, value in query.items()})
    assert answer.status_code == 200
    return [one["symbol"] for one in answer.json()["symbols"]]


def test_search_finds_symbols_and_names(client: "TestClient") -> None:
    """A search looks at symbols and at names, in any case, taking characters as they are."""
    assert found(client, query="aa") == ["AAA"]
    assert found(client, query="HOLDINGS") == ["CCC"]
    assert found(client, query="(") == ["CCC"]
    assert found(client, query=".*") == []
    assert set(found(client, query="")) == set(NAMES)


def test_limit_cuts_and_total_counts(client: "TestClient") -> None:
    """Of many matches as many are listed as were asked for, and all are counted."""
    body = client.get("/symbols", params={"query": "corp", "limit": 1}).json()
    assert (len(body["symbols"]), body["total"]) == (1, 2)


@pytest.mark.parametrize(
    ("name", "value"), [("limit", 0), ("limit", 101), ("limit", "many"), ("query", "x" * 256)]
)
def test_bounds_of_a_search(client: "TestClient", name: str, value: object) -> None:
    """A limit or a query out of bounds is refused by name."""
    assert_problem(client.get("/symbols", params={name: str(value)}), 422, name)


def test_symbol_has_what_is_known(client: "TestClient") -> None:
    """A symbol's first and latest bar, their number and the dollar volume match its bars."""
    bars = made_up_bars().filter(pl.col(columns.SYMBOL) == "CCC")
    dollars = (bars[columns.CLOSE] * bars[columns.VOLUME]).tail(22).mean()
    assert client.get("/symbols/CCC").json() == {
        "symbol": "CCC",
        "security_name": NAMES["CCC"],
        "etf": False,
        "first_bar": "2017-01-03",
        "latest_bar": "2018-06-29",
        "bars": bars.height,
        "dollar_volume": pytest.approx(dollars),
    }


@pytest.mark.parametrize("days", [1, 5, 30, 731])
def test_history_has_the_bars_of_the_days(client: "TestClient", days: int) -> None:
    """The history has the bars of as many calendar days up to the latest bar, as they are."""
    body = client.get("/symbols/BBB/history", params={"days": days}).json()
    date = pl.col(columns.DATE)
    own = made_up_bars().filter(pl.col(columns.SYMBOL) == "BBB")
    wanted = own.filter(date > date.max() - pl.duration(days=days)).select(columns.BAR)
    assert body["bars"] == wanted.with_columns(date.cast(pl.String)).to_dicts()
    month = own.filter(date > date.max() - pl.duration(days=30))
    assert body["vol_moving_avg"] == pytest.approx(month[columns.VOLUME].mean())
    assert body["adj_close_rolling_med"] == pytest.approx(month[columns.ADJ_CLOSE].median())


@pytest.mark.parametrize("days", ["0", "732", "-1", "x", "1.5", ""])
def test_bounds_of_a_history(client: "TestClient", days: str) -> None:
    """A number of days out of bounds is refused by name."""
    assert_problem(client.get("/symbols/BBB/history", params={"days": days}), 422, "days")


def test_record_is_that_of_the_backtest(client: "TestClient") -> None:
    """A symbol's record has its measures, and its latest forecasts with the actual volumes."""
    frames = stored_models()[SNAPSHOT_NAME].frames
    own = pl.col(columns.SYMBOL) == "DDD"
    measures = frames["records"].filter(own).collect().row(0, named=True)
    scored = frames["scored"].filter(own).collect()
    body = client.get("/symbols/DDD/record").json()
    assert {name: body[name] for name in ("n", "eta_r2", "mdape", "mae", "coverage_80")} == {
        name: pytest.approx(measures[name])
        for name in ("n", "eta_r2", "mdape", "mae", "coverage_80")
    }
    assert len(body["forecasts"]) == 60
    last = scored.row(-1, named=True)
    assert body["forecasts"][-1] == {
        "session": str(last[columns.TARGET_DATE]),
        "volume": last[columns.VOLUME],
        "forecast": round(last["forecast"]),
        "q10": round(last["q10"]),
        "q90": round(last["q90"]),
    }


@pytest.mark.parametrize("route", ["", "/history", "/record"])
def test_unknown_symbols_are_not_found(client: "TestClient", route: str) -> None:
    """An unknown symbol is a 404 with near matches, whatever is asked of it."""
    assert "CCC" in assert_problem(client.get(f"/symbols/CCCX{route}"), 404)["near"]


def test_models_tell_what_answers(client: "TestClient", tags: dict[str, str]) -> None:
    """The models have their tags, the window of training, the metrics and every feature."""
    body = client.get("/models").json()
    assert body["estimator"]["tag"] == tags[ESTIMATOR_NAME]
    assert body["forecaster"]["tag"] == tags[FORECASTER_NAME]
    assert body["snapshot"]["tag"] == tags[SNAPSHOT_NAME]
    assert body["estimator"]["inputs"] == ["vol_moving_avg", "adj_close_rolling_med"]
    for name, model in ((ESTIMATOR_NAME, "estimator"), (FORECASTER_NAME, "forecaster")):
        assert body[model]["metrics"] == stored_models()[name].metadata["metrics"]
    assert body["estimator"]["trained_from"] == "2017-01-03"
    assert body["estimator"]["trained_to"] == body["forecaster"]["trained_to"] == "2018-06-29"
    assert body["forecaster"]["symbols"] == len(NAMES)
    assert [feature["name"] for feature in body["forecaster"]["features"]] == list(FEATURE_NAMES)
    assert all(feature["description"] for feature in body["forecaster"]["features"])
    assert (body["snapshot"]["symbols"], body["snapshot"]["latest_bar"]) == (5, "2018-06-29")
