"""A run on the embedded sample with invented events, through the command line."""

import json
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import joblib
import polars as pl
import pytest

from tests.e2e.runs import SMALL_FORECASTER, Run, kedro_run, serving

FIRST, LAST = date(2000, 1, 20), date(2013, 6, 1)
YEARS = {"forecaster.train_years": 1, "forecaster.feature_years": 0, "backtest.test_years": 1}


def invented_events() -> str:
    """Invent a release a quarter for two symbols, with two rows that break rules."""
    days = [FIRST + timedelta(days=91 * number) for number in range((LAST - FIRST).days // 91)]
    rows = [f"{symbol},{day},post" for symbol in ("AAPL", "MSFT") for day in days]
    return "\n".join(["Symbol,Date,Time", *rows, "IBM,2012-13-01,post", "IBM,2012-12-01,soon"])


@pytest.fixture(scope="module")
def events_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "events, 2013.csv"
    path.write_text(invented_events(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def events_run(tmp_path_factory: pytest.TempPathFactory, events_file: Path) -> Run:
    folder = tmp_path_factory.mktemp("events")
    params = {**SMALL_FORECASTER, **YEARS, "events": events_file}
    run = kedro_run(folder / "data", folder / "store", params=params)
    assert run.process.returncode == 0, run.output
    return run


def test_rows_of_events_balance(events_run: Run) -> None:
    """Every row is kept or quarantined; report and log say what was assumed."""
    kept = pl.read_parquet(events_run.path("02_intermediate", "events.parquet"))
    aside = pl.read_parquet(events_run.path("02_intermediate", "event_quarantine.parquet"))
    assert aside["rule"].to_list() == ["unparsable_date", "unparsable_time"]
    assert kept.height + aside.height == len(invented_events().splitlines()) - 1
    assert "do not record when they became known" in events_run.output
    assert "### Events" in events_run.path("08_reporting", "report.md").read_text("utf-8")


def test_the_manifest_records_the_file(events_run: Run, events_file: Path) -> None:
    """The digest of the file of events is among the inputs of the run."""
    manifest = json.loads(events_run.path("08_reporting", "run_manifest.json").read_text("utf-8"))
    (digest,) = manifest["inputs"]["raw_events"]
    assert digest["path"] == events_file.as_posix()


def test_the_forecaster_learns_from_events(events_run: Run) -> None:
    """Features of events are in the layer and the model; a symbol without events has nulls."""
    features = pl.read_parquet(events_run.path("04_feature", "forecast_features.parquet"))
    forecaster = joblib.load(events_run.path("06_models", "forecaster.joblib"))
    assert {"schedule_offset", "schedule_peers"} <= set(forecaster.features)
    known = features.group_by("Symbol").agg(pl.col("schedule_offset").count()).sort("Symbol")
    assert [count > 0 for count in known["schedule_offset"]] == [True, False, False, False, True]


def test_own_bars_and_events_forecast_as_the_run_did(events_run: Run, tmp_path: Path) -> None:
    """The service makes the features of bars and events that are sent as the run made them."""
    prices = pl.read_parquet(events_run.path("02_intermediate", "prices.parquet"))
    names = ("Date", "Open", "High", "Low", "Close", "Adj Close", "Volume")
    own = prices.filter(pl.col("Symbol") == "AAPL").select(names).tail(3000)
    days = [line.split(",")[1] for line in invented_events().splitlines() if "AAPL" in line]
    body: dict[str, Any] = {
        "symbol": "AAPL",
        "bars": own.with_columns(pl.col("Date").dt.to_string()).to_dicts(),
        "events": [{"date": day, "time": "post"} for day in days],
    }
    coming = [*body["events"], {"date": "2013-03-04", "time": "pre"}]
    with serving(events_run, tmp_path, "stock_volume:latest") as client:
        known = client.get("/forecast/AAPL").json()
        answers = [
            client.post("/forecast", json={**body, "events": events}).json()
            for events in (body["events"], [], coming)
        ]
    # Intervals depend on the age, which is that of the bars that are sent: at most 3,000.
    assert {**answers[0], "quantiles": {}, "horizons": []} == {
        **known,
        "security_name": None,
        "quantiles": {},
        "horizons": [],
    }
    assert [answer["event"] and answer["event"]["date"] for answer in answers] == [
        None,
        None,
        "2013-03-04",
    ]


def kept_layers(run: Run) -> dict[str, bytes]:
    """Read all files of a run but what reports on its execution."""
    folders = ("02_intermediate", "04_feature", "07_model_output")
    return {
        path.name: path.read_bytes()
        for folder in folders
        for path in (run.data_root / folder).glob("*.parquet")
        if not path.name.startswith("recent_")
    }


def test_news_of_events_alone_reach_the_forecasts(events_run: Run, tmp_path: Path) -> None:
    """An update without new bars merges events, renews their features and forecasts, once."""
    run = Run(tmp_path / "data", events_run.store, events_run.process)
    shutil.copytree(events_run.data_root, run.data_root)
    before = kept_layers(run)
    coming = tmp_path / "coming.csv"
    coming.write_text("Symbol,Date,Time,Known\nIBM,2013-03-04,pre,2013-02-11\n", encoding="utf-8")
    arguments = "--pipelines", "update"
    params = {**SMALL_FORECASTER, **YEARS, "events": coming}
    update = kedro_run(run.data_root, run.store, *arguments, params=params)
    assert update.process.returncode == 0, update.output
    events = pl.read_parquet(run.path("02_intermediate", "events.parquet"))
    held = pl.read_parquet(events_run.path("02_intermediate", "events.parquet"))
    assert events.height == held.height + 1
    features = pl.read_parquet(run.path("04_feature", "forecast_features.parquet"))
    latest = features.filter(pl.col("Symbol") == "IBM").tail(1)
    assert latest.select("Date", "schedule_offset", "schedule_reaction").row(0) == (
        date(2013, 3, 1),
        0.0,
        1.0,
    )
    files = pl.read_parquet(run.path("02_intermediate", "event_files.parquet"))
    assert files.select("file", "pending").rows() == [
        ("events, 2013.csv", False),
        ("coming.csv", False),
    ]
    after = kept_layers(run)
    assert before["forecasts.parquet"] != after["forecasts.parquet"]
    assert before["prices.parquet"] == after["prices.parquet"]
    again = kedro_run(run.data_root, run.store, *arguments, params=params)
    assert again.process.returncode == 0, again.output
    assert kept_layers(run) == after


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    """A path without a file ends the run with one line."""
    params = {"events": tmp_path / "none.csv"}
    run = kedro_run(tmp_path / "data", tmp_path / "store", params=params)
    assert run.process.returncode == 1
    assert "none.csv: No such file" in run.output
