"""The forecaster of a run on the embedded sample: its layers, its record and its pictures."""

import datetime as dt
import json
import shutil
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import plotly.io
import pytest

from tests.e2e.runs import Run, kedro_run

FIGURES = ["calibration", "reliability", "errors", "symbols", "importance"]
BASELINES = ["last_value", "ma5", "ma20", "same_weekday", "har", "ols_tech"]


@pytest.fixture(scope="module")
def backtest(sample_run: Run) -> pd.DataFrame:
    return pd.read_parquet(sample_run.path("07_model_output", "backtest.parquet"))


@pytest.fixture(scope="module")
def prices(sample_run: Run) -> pd.DataFrame:
    return pd.read_parquet(sample_run.path("02_intermediate", "prices.parquet"))


def test_backtest_holds_what_came_true(backtest: pd.DataFrame, prices: pd.DataFrame) -> None:
    """Volume is that of the target session's bar, which is the symbol's next, once each."""
    prices = prices.assign(
        next_date=prices.groupby("Symbol")["Date"].shift(-1),
        next_volume=prices.groupby("Symbol")["Volume"].shift(-1),
    )
    joined = backtest.merge(prices, on=["Symbol", "Date"], suffixes=("", "_bar"))
    assert len(joined) == len(backtest) > 1500
    assert not backtest.duplicated(["Symbol", "TargetDate"]).any()
    assert (joined["TargetDate"] == joined["next_date"]).all()
    np.testing.assert_array_equal(joined["Volume"], joined["next_volume"])


def test_every_symbol_day_of_the_windows_is_scored(
    backtest: pd.DataFrame, prices: pd.DataFrame
) -> None:
    """All bars of the last two years, of symbols with 252 bars before, were forecast.

    Nobody forecast the first session after Hurricane Sandy at the one before it.
    """
    prices = prices.assign(bars=prices.groupby("Symbol").cumcount())
    first, last = backtest["TargetDate"].min(), backtest["TargetDate"].max()
    foreseen = prices["Date"] != dt.date(2012, 10, 31)
    expected = prices[(prices["Date"] >= first) & (prices["bars"] >= 252) & foreseen]
    assert last == prices["Date"].max()
    assert (last - first).days == pytest.approx(730, abs=5)
    assert len(backtest) == len(expected)


def test_ma5_is_the_mean_of_five_logs(backtest: pd.DataFrame, prices: pd.DataFrame) -> None:
    """The headline baseline is the protocol's, turned to shares at the origin's Close."""
    logs = np.log(prices["Volume"] * prices["Close"])
    base = logs.groupby(prices["Symbol"]).transform(lambda log: log.rolling(5).mean())
    expected = prices.assign(ma5=np.exp(base) / prices["Close"])[["Symbol", "Date", "ma5"]]
    joined = backtest.merge(expected, on=["Symbol", "Date"], suffixes=("", "_expected"))
    np.testing.assert_allclose(joined["ma5"], joined["ma5_expected"], rtol=1e-9)


def test_metrics_match_the_backtest(sample_run: Run, backtest: pd.DataFrame) -> None:
    """The reported figures follow from the written forecasts alone."""
    metrics = sample_run.report("metrics.json")["forecaster"]
    error = backtest["eta"] - np.log(backtest["forecast"] / backtest["ma5"])
    eta_r2 = 100 * (1 - (error**2).sum() / (backtest["eta"] ** 2).sum())
    absolute = (backtest["Volume"] - backtest["forecast"]).abs()
    inside = (backtest["Volume"] >= backtest["q10"]) & (backtest["Volume"] <= backtest["q90"])
    assert metrics["n"] == len(backtest)
    assert metrics["eta_r2"] == pytest.approx(eta_r2)
    assert metrics["mae"] == pytest.approx(absolute.mean())
    assert metrics["mdape"] == pytest.approx(100 * (absolute / backtest["Volume"]).median())
    assert metrics["coverage_80"] == pytest.approx(100 * inside.mean())
    assert metrics["intervals_95"]["eta_r2"][0] < eta_r2 < metrics["intervals_95"]["eta_r2"][1]
    assert list(metrics["baselines"]) == BASELINES
    assert metrics["baselines"]["ma5"]["eta_r2"] == 0


def test_forecaster_beats_its_baselines(sample_run: Run) -> None:
    """On real bars of five large companies the forecaster is ahead of every baseline."""
    metrics = sample_run.report("metrics.json")["forecaster"]
    best = max(baseline["eta_r2"] for baseline in metrics["baselines"].values())
    assert metrics["eta_r2"] > best + 3


def test_models_of_the_backtest_saw_earlier_sessions_only(sample_run: Run) -> None:
    """Each window of training ends before its test begins, and tests follow one another."""
    folds = sample_run.report("metrics.json")["forecaster"]["plan"]["folds"]
    assert len(folds) == 2
    for fold in folds:
        assert fold["train_start"] < fold["train_end"] < fold["test_start"] < fold["test_end"]
    assert folds[0]["test_end"] < folds[1]["test_start"]


def test_forecasts_are_of_the_next_session(sample_run: Run, prices: pd.DataFrame) -> None:
    """Every symbol is forecast once, from its latest bar, for the session after it."""
    forecasts = pd.read_parquet(sample_run.path("07_model_output", "forecasts.parquet"))
    assert sorted(forecasts["Symbol"]) == sorted(prices["Symbol"].unique())
    assert set(forecasts["Date"].astype(str)) == {"2013-03-01"}
    assert set(forecasts["TargetDate"].astype(str)) == {"2013-03-04"}
    assert (forecasts["q10"] < forecasts["q50"]).all()
    assert (forecasts["q50"] < forecasts["q90"]).all()
    latest = prices.groupby("Symbol")["Volume"].apply(lambda volume: volume.tail(22).median())
    ratio = forecasts.set_index("Symbol")["forecast"] / latest
    assert ratio.between(1 / 3, 3).all()


def test_store_and_joblib_hold_one_forecaster(sample_run: Run) -> None:
    """The store has the files of the forecaster and of the model that corrects it at the open."""
    forecaster = joblib.load(sample_run.path("06_models", "forecaster.joblib"))
    versions = sample_run.store / "models" / "stock_volume_forecaster"
    tag = sample_run.report("run_manifest.json")["outputs"]["forecaster_model"]["tag"]
    folder = versions / tag.partition(":")[2]
    stored = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    for name in ("model.yaml", "SHA256SUMS"):
        stored.pop(name)
    opening = joblib.load(sample_run.path("06_models", "opening_model.joblib"))
    assert opening.is_trained
    assert stored == forecaster.to_files() | opening.to_files()


@pytest.mark.parametrize("figure", FIGURES)
def test_figures_can_be_drawn(sample_run: Run, figure: str) -> None:
    """Each figure is a plotly figure with data."""
    path = sample_run.path("08_reporting", f"plot_{figure}.json")
    drawn = plotly.io.from_json(path.read_text(encoding="utf-8"))
    assert drawn.data
    assert drawn.layout.title.text


def test_model_card_has_the_figures(sample_run: Run) -> None:
    """The card quotes the measured figures and the windows."""
    card = sample_run.path("08_reporting", "model_card.md").read_text(encoding="utf-8")
    metrics = sample_run.report("metrics.json")["forecaster"]
    assert f"**eta-R² {metrics['eta_r2']:.2f} %**" in card
    for fold in metrics["plan"]["folds"]:
        assert fold["test_start"] in card
    assert "nan" not in card.lower()


def test_explicit_windows_are_kept(tmp_path: Path) -> None:
    """The command line has the windows of the backtest, and past data says so."""
    run = kedro_run(
        tmp_path / "data",
        tmp_path / "store",
        "--to-nodes",
        "modelling.adapt_backtest",
        params={
            "backtest.train_start": "2007-01-01",
            "backtest.test_start": "2010-01-01",
            "backtest.test_end": "2011-12-31",
        },
    )
    assert run.process.returncode == 0, run.output
    plan = json.loads(run.path("07_model_output", "backtest_plan.json").read_text("utf-8"))
    assert plan["folds"] == [
        {
            "train_start": "2007-01-04",  # the 2nd was a day of mourning, out of order
            "train_end": "2009-12-31",
            "test_start": "2010-01-04",
            "test_end": "2011-12-30",
        }
    ]
    assert plan["note"] == ""
    years = pd.read_parquet(run.path("07_model_output", "backtest.parquet"))["TargetDate"]
    assert {day.year for day in years} == {2010, 2011}


def test_tuning_writes_an_environment_of_its_own(sample_run: Run, tmp_path: Path) -> None:
    """A search writes parameters that only a run with their environment would read."""
    conf, data = tmp_path / "conf", tmp_path / "data"
    shutil.copytree(sample_run.data_root, data)
    run = kedro_run(
        data,
        sample_run.store,
        "--pipelines",
        "tuning",
        params={"tuned_conf": conf, "tuning.trials": 2, "forecaster.n_estimators": 10},
    )
    assert run.process.returncode == 0, run.output
    assert "learning_rate" in (conf / "parameters_modelling.yml").read_text(encoding="utf-8")
    assert len(run.report("tuning.json")["trials"]) == 2
