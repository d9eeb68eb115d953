"""The main job on real bars of the reference archive, where it is at hand."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.e2e.runs import PROJECT, Run, assert_features_match_pandas, kedro_run

ARCHIVE = PROJECT.parent / "shared" / "data" / "stock-market-dataset.zip"
SYMBOLS = 60

pytestmark = pytest.mark.skipif(
    not ARCHIVE.is_file(), reason=f"the reference archive is not at {ARCHIVE}"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on the first symbols of the archive, as a zip."""
    folder = tmp_path_factory.mktemp("reference")
    source = folder / "first.zip"
    with zipfile.ZipFile(ARCHIVE) as whole, zipfile.ZipFile(source, "w") as first:
        bars = sorted(
            (name for name in whole.namelist() if "/" in name), key=lambda n: Path(n).name
        )
        for name in ["symbols_valid_meta.csv", *bars[:SYMBOLS]]:
            first.writestr(name, whole.read(name))
    run = kedro_run(folder / "data", folder / "store", params={"source": source})
    assert run.process.returncode == 0, run.output
    return run


@pytest.fixture(scope="module")
def raw(run: Run) -> pd.DataFrame:
    """The same files, read by pandas."""
    with zipfile.ZipFile(run.data_root.parent / "first.zip") as archive:
        frames = [
            pd.read_csv(archive.open(name)).assign(Symbol=Path(name).stem)
            for name in archive.namelist()
            if "/" in name
        ]
    return pd.concat(frames)


def test_no_row_is_lost(run: Run, raw: pd.DataFrame) -> None:
    """Rows that pandas reads are rows kept and rows quarantined."""
    rows = run.report("data_quality.json")["rows"]
    assert rows["read"] == len(raw) == rows["kept"] + rows["quarantined"]
    assert run.report("data_quality.json")["symbols"] == SYMBOLS


def test_kept_values_are_the_raw_ones(run: Run, raw: pd.DataFrame) -> None:
    """Every kept bar has the values of its raw row; only an Open of 0 became unknown."""
    prices = pd.read_parquet(run.path("02_intermediate", "prices.parquet"))
    prices["Date"] = prices["Date"].astype(str)
    both = prices.merge(raw, on=["Symbol", "Date"], suffixes=("", " raw"), validate="1:1")
    assert len(both) == len(prices)
    for column in ["High", "Low", "Close", "Adj Close", "Volume"]:
        np.testing.assert_array_equal(both[column], both[f"{column} raw"])
    np.testing.assert_array_equal(both["Open"].fillna(0), both["Open raw"])


def test_names_come_from_the_listing(run: Run) -> None:
    """Security names and ETF flags are the listing's."""
    prices = pd.read_parquet(run.path("02_intermediate", "prices.parquet"))
    named = prices.drop_duplicates("Symbol").set_index("Symbol")
    assert named.loc["AAPL", "Security Name"] == "Apple Inc. - Common Stock"
    assert not named.loc["AAPL", "ETF"]
    assert named.loc["AAAU", "ETF"]


def test_features_match_pandas(run: Run) -> None:
    """Features equal those of plain pandas on every row."""
    assert_features_match_pandas(run)


def test_estimator_explains_most_of_the_variance(run: Run) -> None:
    """The estimator fits held-out days of real symbols, on both splits."""
    estimator = run.report("metrics.json")["estimator"]
    assert estimator["random_split"]["r2"] > 0.5
    assert estimator["time_split"]["r2"] > 0.5


def test_forecaster_is_ahead_and_calibrated(run: Run) -> None:
    """On later sessions of real symbols it beats each baseline, and covers about 80 per cent."""
    metrics = run.report("metrics.json")["forecaster"]
    assert metrics["universe"] == "common stocks"
    best = max(baseline["eta_r2"] for baseline in metrics["baselines"].values())
    assert metrics["eta_r2"] > best + 3
    assert metrics["coverage_80"] == pytest.approx(80, abs=4)
    assert metrics["by_security"]["ETFs"]["n"] > 0


def test_every_live_symbol_is_forecast(run: Run, raw: pd.DataFrame) -> None:
    """Symbols that traded in the last days have a forecast with quantiles in order."""
    forecasts = pd.read_parquet(run.path("07_model_output", "forecasts.parquet"))
    assert not forecasts["Symbol"].duplicated().any()
    assert set(forecasts["Symbol"]) <= set(raw["Symbol"])
    assert len(forecasts) > 0.9 * SYMBOLS
    assert (forecasts[["q10", "q50", "q90"]].diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
