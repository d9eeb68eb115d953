"""The main job on the embedded sample, through the command line."""

import hashlib
import re
import shutil
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from sklearn.model_selection import train_test_split

from tests.e2e.runs import Run, assert_features_match_pandas, kedro_run

INPUTS = ["vol_moving_avg", "adj_close_rolling_med"]
SYMBOLS = ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
NODES = [
    "data_processing.ingest_bars",
    "data_processing.ingest_events",
    "data_processing.assess_quality",
    "feature_engineering.engineer_features",
    "feature_engineering.describe_sessions",
    "feature_engineering.engineer_forecast_features",
    "modelling.fit_estimator",
    "packaging.register_estimator",
    "modelling.plan_windows",
    "modelling.backtest_forecaster",
    "modelling.adapt_backtest",
    "modelling.fit_opening_model",
    "modelling.evaluate_forecaster",
    "modelling.fit_forecaster",
    "packaging.register_forecaster",
    "packaging.register_snapshot",
    "modelling.forecast_live_symbols",
    "reporting.draw_backtest",
    "reporting.write_model_card",
    "reporting.collect_findings",
    "reporting.write_report",
    "packaging.package_service",
]
LAYERS = [
    "02_intermediate/prices.parquet",
    "03_primary/sessions.parquet",
    "04_feature/features.parquet",
    "04_feature/forecast_features.parquet",
    "07_model_output/backtest.parquet",
    "07_model_output/opening_backtest.parquet",
    "07_model_output/forecasts.parquet",
]


def completed(run: Run) -> list[str]:
    return [line.split()[-1] for line in run.output.splitlines() if "Completed node:" in line]


def test_every_node_runs_once(sample_run: Run) -> None:
    """A plain run makes every artefact, each by one node."""
    assert sorted(completed(sample_run)) == sorted(NODES)


def test_prices_are_typed_and_sorted(sample_run: Run) -> None:
    """Prices hold one typed row a symbol and day, sorted by them."""
    path = sample_run.path("02_intermediate", "prices.parquet")
    types = {field.name: str(field.type) for field in pq.read_schema(path)}
    assert types == {
        "Symbol": "large_string",
        "Security Name": "large_string",
        "ETF": "bool",
        "Date": "date32[day]",
        **dict.fromkeys(["Open", "High", "Low", "Close", "Adj Close"], "double"),
        "Volume": "int64",
    }
    prices = pl.read_parquet(path)
    assert prices.select("Symbol", "Date").equals(
        prices.select("Symbol", "Date").unique().sort("Symbol", "Date")
    )
    assert prices["Symbol"].unique().sort().to_list() == SYMBOLS


def test_prices_match_the_package(sample_run: Run) -> None:
    """Every bar of the package's file reaches the prices with its values."""
    from importlib import resources

    raw = resources.files("bokeh_sampledata") / "_data" / "stocks.csv.gz"
    with resources.as_file(raw) as file:
        expected = pd.read_csv(file).sort_values(["Ticker", "Date"])
    prices = pd.read_parquet(sample_run.path("02_intermediate", "prices.parquet"))
    assert len(prices) == len(expected) == 12_154
    for column in ["Open", "High", "Low", "Close", "Adj Close", "Volume"]:
        np.testing.assert_array_equal(prices[column], expected[column])


def test_features_match_pandas(sample_run: Run) -> None:
    """Features of real bars equal those of plain pandas, from the first row on."""
    assert_features_match_pandas(sample_run)


def test_metrics_match_the_saved_model(sample_run: Run) -> None:
    """The random split's errors are the joblib model's, on scikit-learn's own split."""
    features = pd.read_parquet(sample_run.path("04_feature", "features.parquet"))
    model = joblib.load(sample_run.path("06_models", "lightgbm_predictor.joblib"))
    train, test = train_test_split(features[[*INPUTS, "Volume"]], test_size=0.2, random_state=42)
    predicted = model.predict(test[INPUTS])
    metrics = sample_run.report("metrics.json")
    assert set(metrics) == {"estimator", "forecaster"}
    assert set(metrics["estimator"]) == {"random_split", "time_split"}
    random_split = metrics["estimator"]["random_split"]
    assert random_split["mae"] == pytest.approx(mean_absolute_error(test["Volume"], predicted))
    assert random_split["mse"] == pytest.approx(mean_squared_error(test["Volume"], predicted))
    assert random_split["r2"] == pytest.approx(r2_score(test["Volume"], predicted))
    assert (random_split["n_train"], random_split["n_test"]) == (len(train), len(test))
    assert type(model).__name__ == "LGBMRegressor"
    assert model.get_params()["n_estimators"] == 100
    assert model.get_params()["num_leaves"] == 31


def test_time_split_tests_later_days(sample_run: Run) -> None:
    """The split by time holds out about a fifth of the rows."""
    split = sample_run.report("metrics.json")["estimator"]["time_split"]
    share = split["n_test"] / (split["n_train"] + split["n_test"])
    assert split["n_train"] + split["n_test"] == 12_154
    assert 0.15 < share < 0.25


def test_quality_adds_up(sample_run: Run) -> None:
    """Rows read are rows kept and rows quarantined, and the files are all accounted for."""
    quality = sample_run.report("data_quality.json")
    assert quality["rows"] == {"read": 12_154, "kept": 12_154, "known": 0, "quarantined": 0}
    assert {status: count for status, count in quality["files"].items() if count} == {
        "found": 5,
        "read": 5,
    }
    assert quality["symbols"] == 5
    assert (quality["first_date"], quality["last_date"]) == ("2000-03-01", "2013-03-01")


def test_manifest_links_inputs_to_outputs(sample_run: Run) -> None:
    """The manifest has the digests of what went in and came out, and what each node did."""
    manifest = sample_run.report("run_manifest.json")
    assert set(manifest["nodes"]) == set(NODES)
    assert manifest["nodes"]["data_processing.ingest_bars"]["rows"]["prices"] == 12_154
    assert all(node["seconds"] > 0 for node in manifest["nodes"].values())
    assert len(manifest["inputs"]["raw_bars"]) == 6
    for digest in [*manifest["inputs"]["raw_bars"], *manifest["outputs"]["estimator_features"]]:
        content = Path(digest["path"]).read_bytes()
        assert digest["sha256"] == hashlib.sha256(content).hexdigest()
        assert digest["size"] == len(content)
    assert manifest["outputs"]["service_bento"]["tag"].startswith("stock_volume:")
    assert manifest["parameters"]["estimator"]["n_estimators"] == 100
    assert "lightgbm" in manifest["versions"]


def test_report_says_what_the_splits_do_not_measure(sample_run: Run) -> None:
    """The report has the figures, and says what they do not mean."""
    report = sample_run.path("08_reporting", "report.md").read_text(encoding="utf-8")
    mae = sample_run.report("metrics.json")["estimator"]["random_split"]["mae"]
    assert f"{mae:,.0f}" in report
    assert "Neither row is the error of a forecast" in report


def test_run_says_where_everything_is(sample_run: Run) -> None:
    """The last lines name the layers, the report, the model and how to serve it."""
    assert str(sample_run.path("02_intermediate", "prices.parquet")) in sample_run.output
    assert str(sample_run.path("08_reporting", "report.md")) in sample_run.output
    assert "bentoml serve stock_volume:" in sample_run.output


def test_nothing_partial_is_left(sample_run: Run) -> None:
    """No file aside is left behind."""
    assert not list(sample_run.data_root.rglob("*.partial"))


def test_two_runs_make_equal_layers_and_models(sample_run: Run, tmp_path: Path) -> None:
    """A second run makes byte-identical layers and model text."""
    last = "modelling.fit_estimator,modelling.fit_opening_model,modelling.forecast_live_symbols"
    again = kedro_run(tmp_path / "data", tmp_path / "store", "--to-nodes", last)
    assert again.process.returncode == 0, again.output
    for layer in LAYERS:
        assert sample_run.path(layer).read_bytes() == again.path(layer).read_bytes()
    first, second = (
        joblib.load(run.path("06_models", "lightgbm_predictor.joblib")).booster_.model_to_string()
        for run in (sample_run, again)
    )
    assert first == second
    one, other = (
        joblib.load(run.path("06_models", "forecaster.joblib")) for run in (sample_run, again)
    )
    assert one.to_files() == other.to_files()


def test_only_missing_outputs_are_made(sample_run: Run, tmp_path: Path) -> None:
    """With --only-missing-outputs, only what was deleted is made again, also on a later day."""
    data = tmp_path / "data"
    shutil.copytree(sample_run.data_root, data)
    for path in (data / "08_reporting" / "run_manifests").iterdir():
        text = path.read_text(encoding="utf-8")
        earlier, number = re.subn(r'"as_of": "[\d-]+"', '"as_of": "2026-01-02"', text)
        assert number == len(["ingestion", "event_rules"])
        path.write_text(earlier, encoding="utf-8")
    (data / "08_reporting" / "report.md").unlink()
    run = kedro_run(data, sample_run.store, "--only-missing-outputs")
    assert run.process.returncode == 0, run.output
    assert completed(run) == ["reporting.write_report"]
    manifest = run.report("run_manifest.json")
    assert list(manifest["nodes"]) == ["reporting.write_report"]
    assert set(manifest["outputs"]) == {"metrics", "report", "report_html"}
    nothing = kedro_run(data, sample_run.store, "--only-missing-outputs")
    assert nothing.process.returncode == 0, nothing.output
    assert completed(nothing) == []
    assert nothing.report("run_manifest.json") == manifest


def test_stages_run_one_by_one(tmp_path: Path) -> None:
    """Each pipeline runs alone, on what the one before it left."""
    data, store = tmp_path / "data", tmp_path / "store"
    first = kedro_run(data, store, "--pipelines", "data_processing")
    assert completed(first) == [
        f"data_processing.{name}" for name in ("ingest_bars", "ingest_events", "assess_quality")
    ]
    assert not (data / "04_feature").exists()
    second = kedro_run(data, store, "--pipelines", "feature_engineering")
    assert sorted(completed(second)) == [
        "feature_engineering.describe_sessions",
        "feature_engineering.engineer_features",
        "feature_engineering.engineer_forecast_features",
    ]
    third = kedro_run(data, store, "--pipelines", "modelling")
    assert sorted(completed(third)) == sorted(NODES[NODES.index("modelling.fit_estimator") :])
    logs = {log.stem for log in (Path(__file__).parents[2] / "logs").glob("*.log")}
    assert logs >= {"data_processing", "feature_engineering", "modelling"}
