"""Forecasts over HTTP in this process: of known symbols, and of bars of a user's own."""

import datetime as dt
import gzip
import json
import math
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from stock_volume import columns
from stock_volume.forecaster.model import Forecaster
from stock_volume.stored_model import FORECASTER_NAME, SNAPSHOT_NAME
from tests.unit.service_helpers import (
    BENTOML_WARNINGS,
    LAST_DAY,
    NAMES,
    assert_problem,
    made_up_bars,
    stored_models,
)

if TYPE_CHECKING:
    from starlette.testclient import TestClient

pytestmark = BENTOML_WARNINGS

EVENTS = {
    "AAA": {
        "date": "2018-06-29",
        "time": "post",
        "kind": "earnings",
        "confirmed": True,
        "reacting_session": "2018-07-02",
        "sessions_until": 0,
        "reaction": True,
        "text": "Reports earnings after the close on 2018-06-29 (confirmed); the forecast session "
        "reacts to it.",
    },
    "BBB": {
        "date": "2018-07-05",
        "time": None,
        "kind": "earnings",
        "confirmed": None,
        "reacting_session": "2018-07-05",
        "sessions_until": 2,
        "reaction": False,
        "text": "Reports earnings on 2018-07-05, at an unknown time of day; the session that "
        "reacts is 2 sessions after the forecast session.",
    },
}
"""What the service knows of EVENT_ROWS."""

SYMBOLS = ["AAA", "BBB", "CCC", "DDD"]


@pytest.fixture(scope="module")
def expected() -> dict[str, dict[str, Any]]:
    """What the forecaster says of the latest row of each symbol."""
    models = stored_models()
    forecaster = Forecaster.from_files(models[FORECASTER_NAME].files)
    latest = models[SNAPSHOT_NAME].frames["latest"].collect()
    rows = forecaster.predict(latest, num_threads=1).to_dicts()
    return {row[columns.SYMBOL]: row for row in rows}


def bars_of(symbol: str, count: int | None = None) -> list[dict[str, Any]]:
    """A symbol's bars as a body has them."""
    own = made_up_bars().filter(pl.col(columns.SYMBOL) == symbol).select(columns.BAR)
    rows = own.tail(count or own.height).with_columns(pl.col(columns.DATE).cast(pl.String))
    return rows.to_dicts()


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_forecast_is_that_of_the_model(
    client: "TestClient", tags: dict[str, str], expected: dict[str, dict[str, Any]], symbol: str
) -> None:
    """A symbol's forecast is the forecaster's for its latest row, in whole shares."""
    answer = client.get(f"/forecast/{symbol}")
    assert answer.status_code == 200
    body = answer.json()
    row = expected[symbol]
    quantiles = {name: round(row[name]) for name in ("q10", "q50", "q90")}
    assert body == {
        "symbol": symbol,
        "security_name": NAMES[symbol],
        "etf": symbol == "BBB",
        "latest_bar": "2018-06-29",
        "session": "2018-07-02",
        "forecast": round(row["forecast"]),
        "quantiles": quantiles,
        "stale": True,
        "model": tags[FORECASTER_NAME],
        "event": EVENTS.get(symbol),
        "horizons": [],
    }
    assert list(quantiles.values()) == sorted(quantiles.values())


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_explanation_multiplies_up_to_the_forecast(client: "TestClient", symbol: str) -> None:
    """The product of the start and all factors is the forecast, each kind in a sentence."""
    body = client.get(f"/forecast/{symbol}/explanation").json()
    factors = [body["start"], body["average"], *(kind["factor"] for kind in body["kinds"])]
    factors.append(body["adaptation"])
    assert round(math.prod(factors)) == pytest.approx(body["forecast"], abs=1)
    forecast = client.get(f"/forecast/{symbol}").json()
    assert {name: body[name] for name in ("symbol", "session", "forecast", "model")} == {
        name: forecast[name] for name in ("symbol", "session", "forecast", "model")
    }
    effects = [abs(math.log(kind["factor"])) for kind in body["kinds"]]
    assert effects == sorted(effects, reverse=True)
    assert {kind["kind"] for kind in body["kinds"]} >= {"Volume", "Price", "The market's session"}
    for kind in body["kinds"]:
        change = f"{100 * abs(kind['factor'] - 1):.0f} %"
        assert change in kind["text"] or kind["text"].endswith("no effect to speak of.")
        assert 1 <= len(kind["features"]) <= 5
        assert all(one["description"] for one in kind["features"])


def test_explanation_of_nothing_is_not_found(client: "TestClient") -> None:
    """What has no forecast has no explanation."""
    assert_problem(client.get("/forecast/AAAB/explanation"), 404)
    assert_problem(client.get("/forecast/GONE/explanation"), 404)


def test_all_forecasts_are_listed(client: "TestClient", tags: dict[str, str]) -> None:
    """Every symbol is listed, the most traded first, with what is answered of it alone."""
    body = client.get("/forecasts").json()
    assert body["model"] == tags[FORECASTER_NAME]
    dollars = [row["dollar_volume"] for row in body["symbols"]]
    assert dollars == sorted(dollars, reverse=True)
    assert sorted(row["symbol"] for row in body["symbols"]) == sorted(NAMES)
    for row in body["symbols"]:
        symbol = row["symbol"]
        known = client.get(f"/symbols/{symbol}").json()
        history = client.get(f"/symbols/{symbol}/history").json()
        record = client.get(f"/symbols/{symbol}/record").json()
        same = ("symbol", "security_name", "etf", "latest_bar", "dollar_volume")
        assert {name: row[name] for name in same} == {name: known[name] for name in same}
        assert row["vol_moving_avg"] == history["vol_moving_avg"]
        assert row["mdape"] == record.get("mdape")
        forecast = client.get(f"/forecast/{symbol}").json()
        shared = ("session", "stale", "forecast", "quantiles", "event")
        assert {name: row[name] for name in shared} == {name: forecast.get(name) for name in shared}
        volumes = [bar["Volume"] for bar in history["bars"][-60:]]
        if symbol == "GONE":
            assert row["recent_sessions"] is row["busier_sessions"] is None
        else:
            assert row["recent_sessions"] == 60
            busier = sum(volume > row["forecast"] for volume in volumes)
            assert row["busier_sessions"] == busier


def test_list_is_written_again_when_a_session_is_over(
    client: "TestClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list is written once, and again when the session's closing time has passed."""
    from stock_volume.serving import conversion, listing, service

    assert client.get("/readyz").status_code == 200

    class Clock:
        moment = dt.datetime(2018, 7, 2, 19, 59, tzinfo=dt.UTC)

        @classmethod
        def now(cls, tz: dt.tzinfo) -> dt.datetime:
            return cls.moment.astimezone(tz)

    for module in (conversion, listing):
        monkeypatch.setattr(module, "datetime", Clock)
    written = listing.Listing(service.loader.models().lookup, "model")
    first = written.answer()
    assert written.answer().body is first.body
    assert gzip.decompress(first.compressed_content) == first.body
    Clock.moment += dt.timedelta(minutes=1)
    bodies = [json.loads(bytes(one.body)) for one in (first, written.answer())]
    stale = [{row["stale"] for row in body["symbols"]} for body in bodies]
    assert stale == [{False, None}, {True, None}]


def test_symbols_are_found_in_lower_case(client: "TestClient") -> None:
    """A symbol may be written small; the answer spells it as the data does."""
    assert client.get("/forecast/aaa").json()["symbol"] == "AAA"


def test_unknown_symbol_is_not_found(client: "TestClient") -> None:
    """An unknown symbol is a 404 that names symbols of similar spelling."""
    problem = assert_problem(client.get("/forecast/AAAB"), 404)
    assert "AAA" in problem["near"]
    assert "AAAB" in problem["detail"]


def test_symbol_that_stopped_trading_is_not_forecast(client: "TestClient") -> None:
    """Of a known symbol without trades there is no forecast, and the answer says why."""
    problem = assert_problem(client.get("/forecast/GONE"), 404)
    assert problem["near"] == []
    assert "no longer traded" in problem["detail"]


@pytest.mark.parametrize("symbol", ["A" * 256, "..."])
def test_text_that_no_symbol_has_is_refused(client: "TestClient", symbol: str) -> None:
    """Text that no file could be named by is refused by name."""
    assert_problem(client.get(f"/forecast/{symbol}"), 422, "symbol")


@pytest.mark.parametrize("symbol", ["A" * 255, "A%20B", "%00", "%C3%84", "%ED%A0%80", "A%2FB"])
def test_text_that_a_symbol_might_have_is_looked_for(client: "TestClient", symbol: str) -> None:
    """Text that is not among the symbols is a 404, whatever its characters are."""
    assert_problem(client.get(f"/forecast/{symbol}"), 404)


def test_many_symbols_are_answered_in_order(client: "TestClient") -> None:
    """A list has a forecast for each symbol, as if asked for alone, and a problem for others."""
    asked = ["DDD", "NOPE", "aaa", "GONE", "DDD"]
    body = client.post("/forecast", json={"symbols": asked}).json()
    alone = [client.get(f"/forecast/{symbol}").json() for symbol in ("DDD", "AAA", "DDD")]
    assert body["forecasts"] == alone
    assert [problem["status"] for problem in body["problems"]] == [404, 404]
    assert ["NOPE" in body["problems"][0]["detail"], "GONE" in body["problems"][1]["detail"]] == [
        True,
        True,
    ]


def test_no_symbol_known_is_not_found(client: "TestClient") -> None:
    """Where none of the symbols can be forecast, the answer is a 404."""
    problem = assert_problem(client.post("/forecast", json={"symbols": ["AAAX", "GONE"]}), 404)
    assert "1 others" in problem["detail"]
    assert "AAA" in problem["near"]


@pytest.mark.parametrize("symbols", [[], ["A"] * 1001, "AAA", [1], [None], ["A/B"], ["\ud800"]])
def test_lists_have_bounds(client: "TestClient", symbols: object) -> None:
    """A list that is empty or too long, or holds what is no symbol, is a 422."""
    answer = client.post(
        "/forecast",
        content=json.dumps({"symbols": symbols}),
        headers={"content-type": "application/json"},
    )
    field = "symbols" if not symbols or len(str(symbols)) > 100 or symbols == "AAA" else "symbols.0"
    assert_problem(answer, 422, field)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_all_bars_forecast_as_the_run_did(client: "TestClient", symbol: str) -> None:
    """Bars that are sent are forecast as the run's own: the feature code is one."""
    body = {"symbol": symbol, "etf": symbol == "BBB", "bars": bars_of(symbol)}
    answer = client.post("/forecast", json=body)
    assert answer.status_code == 200, answer.text
    known = client.get(f"/forecast/{symbol}").json()
    assert answer.json() == {**known, "security_name": None, "event": None}


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("ratio", [0.97, 1.03, 4])
def test_all_bars_and_a_price_forecast_as_at_the_open(
    client: "TestClient", symbol: str, ratio: float
) -> None:
    """With a price, the answer is what the service says of the symbol at the open."""
    bars = bars_of(symbol)
    price = ratio * bars[-1]["Close"]
    body = {"symbol": symbol, "etf": symbol == "BBB", "bars": bars, "price": price}
    answer = client.post("/forecast", json=body)
    assert answer.status_code == 200, answer.text
    known = client.get(f"/forecast/{symbol}/open", params={"price": price}).json()
    assert answer.json() == {**known, "security_name": None}


@pytest.mark.parametrize("price", [0, -1, "20", 1e300, True])
def test_price_with_bars_is_bounded(client: "TestClient", price: object) -> None:
    """A price is a number above zero."""
    body = {"bars": bars_of("AAA", 100), "price": price}
    assert_problem(client.post("/forecast", json=body), 422, "price")


def test_no_price_is_as_none(client: "TestClient") -> None:
    """Where the price is not known yet, null may be sent."""
    body: dict[str, Any] = {"bars": bars_of("AAA", 100)}
    one, other = (
        client.post("/forecast", json=sent).json() for sent in (body, {**body, "price": None})
    )
    assert one == other


def test_order_of_bars_does_not_matter(client: "TestClient") -> None:
    """Bars may come in any order of date."""
    bars = bars_of("AAA", 100)
    one, other = (
        client.post("/forecast", json={"bars": order}).json() for order in (bars, bars[::-1])
    )
    assert one == other
    assert one["symbol"] == "unnamed"


def test_fresh_bars_are_forecast_past_the_data(client: "TestClient") -> None:
    """Bars newer than the run's data are forecast for the session after the newest."""
    bars = bars_of("AAA", 200)
    days = [dt.date(2018, 7, day) for day in (2, 3, 5)]
    fresh = [{**bars[-1], "Date": day.isoformat()} for day in days]
    body = client.post("/forecast", json={"bars": [*bars, *fresh]}).json()
    assert (body["latest_bar"], body["session"]) == ("2018-07-05", "2018-07-06")
    assert days[0] > LAST_DAY
    assert body["forecast"] > 0


def test_history_can_be_sent_back(client: "TestClient") -> None:
    """The bars of /history are bars that /forecast takes."""
    history = client.get("/symbols/CCC/history", params={"days": 731}).json()["bars"]
    answer = client.post("/forecast", json={"symbol": "CCC", "bars": history})
    assert answer.json()["forecast"] == client.get("/forecast/CCC").json()["forecast"]


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"Close": 1e9}, "close_outside_range"),
        ({"High": 0.01}, "high_below_low"),
        ({"Low": -1.0}, "non_positive_price"),
        ({"Adj Close": -2.0}, "absurd_adj_close"),
        ({"Date": "2018-06-23"}, "weekend_date"),
        ({"Date": "2999-06-24"}, "future_date"),
        ({"Date": "1800-06-24"}, "ancient_date"),
        ({"Open": 1e9}, "open_outside_range"),
    ],
)
def test_bar_that_breaks_a_rule_is_named(
    client: "TestClient", changed: dict[str, object], rule: str
) -> None:
    """A bar that ingestion would reject is refused by its place and the rule."""
    bars = bars_of("AAA", 80)
    bars[7] |= changed
    problem = assert_problem(client.post("/forecast", json={"bars": bars}), 422, "bars.7")
    assert problem["errors"][0]["message"].startswith(f"{rule}: ")


@pytest.mark.parametrize("factor", [1e12, 1e11, 1e-12])
def test_latest_bar_in_another_unit_is_refused(client: "TestClient", factor: float) -> None:
    """A latest bar whose prices are off by far makes no forecast of nothing, or of everything."""
    bars = bars_of("AAA", 80)
    for name in ("Open", "High", "Low", "Close", "Adj Close"):
        bars[-1][name] *= factor
    answer = client.post("/forecast", json={"bars": bars})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("bars.79")


@pytest.mark.parametrize(
    ("price", "volume", "status"),
    [
        (1e308, 1000, 422),
        (1e300, 2**53 - 1, 422),
        (1e12, 1, 422),
        (9e11, 2**53 - 1, 422),
        (1e-300, 2**53 - 1, 422),
        (9e11, 1, 200),
        (9e11, 10**12, 200),
        (1e-300, 10**12, 422),
        (1e-12, 10**12, 200),
    ],
)
def test_absurd_numbers_never_fail(
    client: "TestClient", price: float, volume: int, status: int
) -> None:
    """Bars of whatever prices and volumes are forecast or refused."""
    same = dict.fromkeys(("Open", "High", "Low", "Close", "Adj Close"), price)
    bars = [{**bar, **same, "Volume": volume} for bar in bars_of("AAA", 80)]
    for more in ({}, {"price": price}, {"price": 5e-324}, {"price": 1e9}):
        assert client.post("/forecast", json={"bars": bars, **more}).status_code == status


def test_forecast_that_is_no_number_is_refused() -> None:
    """What is infinite, no number, or past what is whole, is the fault of the bars."""
    from stock_volume.serving.conversion import usable_forecast
    from stock_volume.snapshot.own_bars import InvalidBarsError

    good = {"forecast": 1.0, "q10": 0.0, "q90": 2.0, "Symbol": "A", "horizons": []}
    assert usable_forecast(good) == good
    for bad in (
        {"forecast": float("inf")},
        {"q10": float("nan")},
        {"q90": 2.0**53},
        {"forecast_before": float("inf")},
    ):
        with pytest.raises(InvalidBarsError, match="absurd"):
            usable_forecast({**good, **bad})


def test_bar_that_is_given_twice_is_named(client: "TestClient") -> None:
    """Of two bars of one day, the later is refused."""
    bars = bars_of("AAA", 80)
    bars.insert(20, dict(bars[5]))
    problem = assert_problem(client.post("/forecast", json={"bars": bars}), 422, "bars.20")
    assert problem["errors"][0]["message"].startswith("duplicate_bar: ")


def test_unknown_open_is_taken(client: "TestClient") -> None:
    """An Open of null, of 0, and none at all are the same: unknown."""
    bars = bars_of("AAA", 80)
    answers = []
    for unknown in ({"Open": None}, {"Open": 0}, {}):
        sent = [{key: bar[key] for key in bar if key != "Open"} | unknown for bar in bars]
        answers.append(client.post("/forecast", json={"bars": sent}).json())
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["forecast"] > 0


def test_bars_without_trades_are_refused(client: "TestClient") -> None:
    """Where nothing was traded on the last five bars there is nothing to go by."""
    bars = bars_of("AAA", 80)
    for bar in bars[-5:]:
        bar["Volume"] = 0
    problem = assert_problem(client.post("/forecast", json={"bars": bars}), 422, "bars")
    assert "not traded" in problem["detail"]


def test_latest_bar_on_no_session_is_refused(client: "TestClient") -> None:
    """A latest bar on a holiday, or past the calendar, is refused with the calendar's range."""
    bars = bars_of("AAA", 80)
    holiday = {**bars[-1], "Date": "2018-07-04"}
    problem = assert_problem(client.post("/forecast", json={"bars": [*bars, holiday]}), 422, "bars")
    assert "2018-07-04 is no session" in problem["detail"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Date", 1_500_000_000),
        ("Date", "yesterday"),
        ("Date", "1362096000"),
        ("Date", "2018-06-22T00:00:00"),
        ("Date", "2018-6-22"),
        ("Date", "2018-06-22\n"),
        ("Date", "20180622"),
        ("Date", None),
        ("Volume", -1),
        ("Volume", 1.5),
        ("Volume", "100"),
        ("Volume", True),
        ("Volume", 2**53),
        ("Close", "10"),
        ("Close", None),
        ("Adj Close", float("inf")),
        ("High", float("nan")),
    ],
)
def test_bad_field_of_a_bar_is_named(client: "TestClient", field: str, value: object) -> None:
    """A field of the wrong kind is refused by its bar and its name."""
    bars = bars_of("AAA", 80)
    bars[3][field] = value
    answer = client.post(
        "/forecast",
        content=json.dumps({"bars": bars}),
        headers={"content-type": "application/json"},
    )
    assert_problem(answer, 422, f"bars.3.{field}")


def test_missing_and_other_fields_of_a_bar_are_named(client: "TestClient") -> None:
    """A bar lacks no field but Open, and has no other."""
    bars = bars_of("AAA", 80)
    del bars[1]["Close"]
    bars[2]["Turnover"] = 1
    assert_problem(client.post("/forecast", json={"bars": bars}), 422, "bars.1.Close")
    answer = client.post("/forecast", json={"bars": [bars[0], *bars[2:]]})
    assert_problem(answer, 422, "bars.1.Turnover")


@pytest.mark.parametrize("count", [0, 59, 3001])
def test_bars_have_bounds(client: "TestClient", count: int) -> None:
    """Too few or too many bars are refused, whatever they hold."""
    bars = (bars_of("AAA") * 10)[:count]
    assert_problem(client.post("/forecast", json={"bars": bars}), 422, "bars")


@pytest.mark.parametrize("body", ["[]", "1", '"AAA"', "null", "{}"])
def test_other_bodies_are_refused(client: "TestClient", body: str) -> None:
    """JSON that asks for nothing is a 422."""
    headers = {"content-type": "application/json"}
    answer = client.post("/forecast", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_forecast_at_the_open_is_that_of_the_model(
    client: "TestClient", tags: dict[str, str]
) -> None:
    """The answer has the price and its gap, and the forecast before and at the open."""
    close = bars_of("AAA", 1)[0]["Close"]
    answer = client.get("/forecast/aaa/open", params={"price": 1.02 * close})
    assert answer.status_code == 200
    body = answer.json()
    before = client.get("/forecast/AAA").json()
    for name in ("symbol", "security_name", "etf", "latest_bar", "session", "stale", "model"):
        assert body[name] == before[name]
    assert body["model"] == tags[FORECASTER_NAME]
    assert body["before"] == before["forecast"]
    assert body["price"] == pytest.approx(1.02 * close)
    assert body["gap"] == pytest.approx(2)
    assert not body["note"]
    assert body["forecast"] > 0
    assert list(body["quantiles"]) == ["q10", "q50", "q90"]
    assert list(body["quantiles"].values()) == sorted(body["quantiles"].values())


@pytest.mark.parametrize(
    ("ratio", "noted"), [(0.6, "has been split"), (0.61, ""), (1.64, ""), (4, "has been split")]
)
def test_an_implausible_gap_is_noted(client: "TestClient", ratio: float, noted: str) -> None:
    """A price of another base is answered, with a warning that it may be one."""
    close = bars_of("AAA", 1)[0]["Close"]
    note = client.get("/forecast/AAA/open", params={"price": ratio * close}).json()["note"]
    assert noted in note
    assert bool(noted) == bool(note)


def test_price_of_nothing_is_refused_in_words(client: "TestClient") -> None:
    """The message is one that a form can show."""
    problem = assert_problem(client.get("/forecast/AAA/open?price=0"), 422, "price")
    assert problem["errors"][0]["message"] == "must be greater than 0"


@pytest.mark.parametrize("price", [5e-324, 1e-300, 1e9])
def test_any_price_at_the_open_is_answered(client: "TestClient", price: float) -> None:
    """However absurd the gap, it is a number, and noted."""
    for answer in (
        client.get("/forecast/AAA/open", params={"price": price}),
        client.post("/forecast", json={"bars": bars_of("AAA", 100), "price": price}),
    ):
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["gap"] >= -100
        assert "has been split" in body["note"]


@pytest.mark.parametrize("price", ["0", "-1", "nan", "inf", "1e300", "1_0", " 10", "ten", ""])
def test_price_at_the_open_is_bounded(client: "TestClient", price: str) -> None:
    """A price is a number above zero."""
    assert_problem(client.get("/forecast/AAA/open", params={"price": price}), 422, "price")


def test_forecast_at_the_open_needs_a_price(client: "TestClient") -> None:
    """Without a price, the answer names what is missing."""
    assert_problem(client.get("/forecast/AAA/open"), 422, "price")


def test_unknown_symbol_has_no_forecast_at_the_open(client: "TestClient") -> None:
    """The answer lists symbols of similar spelling."""
    problem = assert_problem(client.get("/forecast/AAAA/open?price=10"), 404)
    assert "AAA" in problem["near"]
