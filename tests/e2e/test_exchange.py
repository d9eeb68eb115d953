"""Another exchange: the sample's bars, relabelled, from raw bars to an answer of the service."""

import shutil
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import joblib
import polars as pl
import pytest

from stock_volume.bars.sample import lay_out_sample
from stock_volume.exchange import find_exchange
from tests.e2e.runs import Run, kedro_run, serving

LONDON = find_exchange("XLON")
YEARS = {"forecaster.train_years": 1, "forecaster.feature_years": 0, "backtest.test_years": 1}
US_FEATURES = {"target_russell_reconstitution", "target_expiry", "market_response_expiry"}


@pytest.fixture(scope="module")
def london_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on bars of the sample as if London had traded them."""
    folder = tmp_path_factory.mktemp("london")
    source = folder / "source" / "stocks"
    source.mkdir(parents=True)
    for file in (lay_out_sample(folder / "sample") / "stocks").iterdir():
        shutil.copy(file, source / f"{file.stem}.L.csv")
    params = {**YEARS, "source": source.parent, "exchange": LONDON.code}
    run = kedro_run(folder / "data", folder / "store", params=params)
    assert run.process.returncode == 0, run.output
    return run


def read(run: Run, layer: str) -> pl.DataFrame:
    return pl.read_parquet(run.path(*f"{layer}.parquet".split("/")))


def contents(folder: Path) -> dict[Path, bytes]:
    """Read the layers and models below a folder."""
    files = [*folder.rglob("*.parquet"), *folder.rglob("*.joblib")]
    return {path: path.read_bytes() for path in files}


def test_sessions_match_the_exchange(london_run: Run) -> None:
    """Sessions are London's, on days too on which New York was closed."""
    sessions = read(london_run, "03_primary/sessions")
    first, last = sessions["Date"][0], sessions["Date"][-1]
    assert sessions["Date"].to_list() == LONDON.sessions(first, last).to_list()
    assert date(2012, 7, 4) in sessions["Date"]
    assert date(2012, 6, 5) not in sessions["Date"]


def test_features_match_the_exchange(london_run: Run) -> None:
    """Features of US events are neither in the layers nor in the model."""
    features = read(london_run, "04_feature/forecast_features")
    forecaster = joblib.load(london_run.path("06_models", "forecaster.joblib"))
    assert forecaster.exchange == LONDON.code
    assert set(forecaster.features) < set(features.columns)
    assert not US_FEATURES & set(features.columns)
    assert "target_early_close" in forecaster.features


def test_bars_on_holidays_of_the_exchange_are_flagged(london_run: Run) -> None:
    """Each bar of a day on which London was closed is counted, and none is lost."""
    prices = read(london_run, "02_intermediate/prices")
    sessions = LONDON.sessions(prices["Date"].min(), prices["Date"].max())  # type: ignore[arg-type]
    closed = prices.filter(~pl.col("Date").is_in(sessions.implode()))
    files = read(london_run, "02_intermediate/files")
    assert files["exchange_closed"].sum() == closed.height > 0


@pytest.mark.slow
def test_the_service_answers_on_the_clock_of_the_exchange(london_run: Run, tmp_path: Path) -> None:
    """The service forecasts the next session of London, stale by its close."""
    with serving(london_run, tmp_path, "stock_volume:latest") as client:
        answer = client.get("/forecast/AAPL.L").json()
    session = date.fromisoformat(answer["session"])
    forecasts = read(london_run, "07_model_output/forecasts").filter(Symbol="AAPL.L")
    assert forecasts["TargetDate"].to_list() == [session]
    assert answer["stale"] is True
    closes = LONDON.closing_time(session)
    assert closes == datetime(2013, 3, 4, 16, 30, tzinfo=ZoneInfo("Europe/London"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--pipelines", "update"], "trained for XLON, not for XNYS"),
        (["--nodes", "modelling.fit_forecaster"], "belong to another exchange than XNYS"),
    ],
)
def test_another_exchange_on_the_same_layers_is_refused(
    london_run: Run, tmp_path: Path, arguments: list[str], words: str
) -> None:
    """Layers and models of London are not used for New York, and stay as they are."""
    shutil.copytree(london_run.data_root, tmp_path / "data")
    before = contents(tmp_path)
    params = {**YEARS, "source": london_run.data_root.parent / "source", "exchange": "XNYS"}
    run = kedro_run(tmp_path / "data", london_run.store, *arguments, params=params)
    assert run.process.returncode != 0
    assert words in run.output
    assert contents(tmp_path) == before
