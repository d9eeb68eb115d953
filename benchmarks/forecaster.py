"""Compare the forecaster's training with one bare ``lightgbm.train``; measure its options.

Usage: python benchmarks/forecaster.py ARCHIVE.zip [--rounds N] [--options]

The stages run in turn, each in a separate process, for N rounds; figures are medians, except that
peak memory is the maximum. ``--options`` adds a backtest of each training option, trained from
``--train-start`` to the day before ``--test-start`` and tested until ``--test-end``.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl
from measure import Stage, measured
from measure import main as measure_stage

from stock_volume.boosters import lightgbm_parameters
from stock_volume.datasets.parquet import ChunkedParquetDataset
from stock_volume.evaluation.backtest import plan_backtest, run_backtest, target_sessions
from stock_volume.evaluation.headline import select_headline
from stock_volume.evaluation.measures import eta_r2_of
from stock_volume.exchange import NYSE
from stock_volume.features.schedule import NO_EVENTS
from stock_volume.forecaster.adaptation import AdaptationParameters, forecast_rows
from stock_volume.forecaster.history import History
from stock_volume.forecaster.live import forecast_next_session
from stock_volume.forecaster.model import FORECAST, Forecaster
from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters
from stock_volume.forecaster.settings import mean_settings
from stock_volume.forecaster.train import (
    latest_training_rows,
    row_weights,
    train_forecaster,
)
from stock_volume.pipelines.data_processing.nodes import ingest_bars
from stock_volume.pipelines.feature_engineering.nodes import (
    describe_sessions,
    engineer_forecast_features,
)

CHUNK_ROWS: Final = 100_000
ALL_ROWS_AND_FEATURES: Final = {"boosters": 1, "bagging_fraction": 1.0, "feature_fraction": 1.0}
"""Settings that quantized gradients require."""

OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "default": {},
    "max_bin 63": {"max_bin": 63},
    "320,000 rows for a booster": {"max_rows": 320_000},
    "160,000 rows for a booster": {"max_rows": 160_000},
    "80,000 rows for a booster": {"max_rows": 80_000},
    "40,000 rows for a booster": {"max_rows": 40_000},
    "row sampling 0.35": {"bagging_fraction": 0.35},
    "half-life 1 year": {"half_life_sessions": 252.0},
    "learning rate 0.025": {"learning_rate": 0.025, "n_estimators": 600},
    "one booster": {"boosters": 1},
    "one booster, all rows and features": ALL_ROWS_AND_FEATURES,
    "the same, quantized gradients": {**ALL_ROWS_AND_FEATURES, "quantized": True},
}

Figures = dict[str, Any]


def features(source: Path, target: Path) -> Figures:
    """Compute the forecaster's features of every symbol from prices."""
    figures: Figures = {}
    with measured(figures):
        prices = ChunkedParquetDataset(str(source)).load()
        events = NO_EVENTS.events.lazy()
        sessions = describe_sessions(prices, events, NYSE, CHUNK_ROWS).lazy()
        layer = ChunkedParquetDataset(str(target))
        for chunk in engineer_forecast_features(
            prices,
            sessions,
            events,
            ForecasterParameters(),
            BacktestParameters(),
            NYSE,
            CHUNK_ROWS,
        ):
            layer.save(chunk)
        layer.confirm()
    return {**figures, "rows": _height(layer.load())}


def train(source: Path, target: Path) -> Figures:
    """Train the forecaster on the latest years of features."""
    import lightgbm  # noqa: F401  # its import is not training

    parameters = ForecasterParameters()
    figures: Figures = {}
    with measured(figures):
        rows = latest_training_rows(pl.scan_parquet(source), parameters)
        forecaster = train_forecaster(rows, parameters)
    target.write_text(json.dumps(forecaster.to_files()), encoding="utf-8")
    summary = forecaster.training
    return {**figures, "rows": summary.rows, "trees": summary.trees}


def bare(source: Path, target: Path) -> Figures:
    """Train the same number of trees on the same matrix with one ``lightgbm.train``."""
    import lightgbm

    parameters = ForecasterParameters()
    rows = latest_training_rows(pl.scan_parquet(source), parameters).collect(engine="streaming")
    forecaster = Forecaster.from_files(json.loads(target.read_text("utf-8")))
    matrix, eta = rows.select(forecaster.features).to_numpy(), rows["eta"].to_numpy()
    weights = row_weights(rows, parameters)
    trees = forecaster.training.trees
    figures: Figures = {}
    with measured(figures):
        dataset = lightgbm.Dataset(matrix, eta, weight=weights)
        setting = lightgbm_parameters(mean_settings(rows.height, parameters))
        lightgbm.train({**setting, "num_iterations": trees * parameters.boosters}, dataset)
    return {**figures, "rows": rows.height, "trees": trees}


def predict(source: Path, target: Path) -> Figures:
    """Forecast every live symbol."""
    import lightgbm  # noqa: F401  # its import is not forecasting

    files = json.loads(target.read_text("utf-8"))
    figures: Figures = {}
    with measured(figures):
        forecaster = Forecaster.from_files(files)
        rows = pl.scan_parquet(source)
        nothing_past = forecast_rows(forecaster, rows.head(0).collect()).lazy()
        history = History(nothing_past, rows, AdaptationParameters())
        forecasts = forecast_next_session(forecaster, history, ForecasterParameters())
    return {**figures, "rows": forecasts.height}


STAGES: Final[dict[str, Stage]] = {
    "features": features,
    "train": train,
    "bare": bare,
    "predict": predict,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--options", action="store_true")
    parser.add_argument("--train-start", type=date.fromisoformat, default=date(2015, 1, 1))
    parser.add_argument("--test-start", type=date.fromisoformat, default=date(2018, 1, 1))
    parser.add_argument("--test-end", type=date.fromisoformat, default=date(2018, 12, 31))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prices = ingest_prices(arguments.archive, folder)
        print_speed(prices, folder, arguments.rounds)
        if arguments.options:
            windows = BacktestParameters(
                train_start=arguments.train_start,
                test_start=arguments.test_start,
                test_end=arguments.test_end,
            )
            print_options(prices, folder, windows)


def ingest_prices(archive: Path, folder: Path) -> Path:
    """Ingest the archive and return the path of its prices."""
    from stock_volume.bars.archive import open_archive
    from stock_volume.bars.ingest import IngestionParameters

    layer = ChunkedParquetDataset(str(folder / "prices.parquet"))
    for chunk in ingest_bars(open_archive(archive), IngestionParameters()):
        layer.save(chunk.prices)
    layer.confirm()
    return layer.path


def print_speed(prices: Path, folder: Path, rounds: int) -> None:
    """Run the stages in turn and print their medians."""
    layer, model = folder / "forecast_features.parquet", folder / "forecaster.json"
    paths = {"features": (prices, layer)}
    runs: dict[str, list[Figures]] = {stage: [] for stage in STAGES}
    for _ in range(rounds):
        for stage, stage_runs in runs.items():
            stage_runs.append(run_stage(stage, *paths.get(stage, (layer, model))))
    wall = {stage: statistics.median(run["wall"] for run in runs[stage]) for stage in STAGES}
    print("\n| stage | wall s | peak MiB | rows |\n|---|---:|---:|---:|")
    for stage, stage_runs in runs.items():
        peak = max(run["peak_mib"] for run in stage_runs)
        print(f"| {stage} | {wall[stage]:.1f} | {peak:.0f} | {stage_runs[0]['rows']:,} |")
    ratio = (wall["features"] + wall["train"]) / wall["bare"]
    print(f"\nfeatures and training: {ratio:.2f} times one bare lightgbm.train", flush=True)


def run_stage(stage: str, source: Path, target: Path) -> Figures:
    """Run one stage in a separate process."""
    output = subprocess.run(
        [sys.executable, __file__, stage, source, target],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    figures: Figures = json.loads(output.splitlines()[-1])
    print(f"{stage:9} {figures['wall']:7.2f} s {figures['peak_mib']:7.0f} MiB", flush=True)
    return figures


def print_options(prices: Path, folder: Path, windows: BacktestParameters) -> None:
    """Backtest each training option on the same windows and print the results."""
    scan = ChunkedParquetDataset(str(prices)).load()
    events = NO_EVENTS.events.lazy()
    sessions = describe_sessions(scan, events, NYSE, CHUNK_ROWS).lazy()
    layer = ChunkedParquetDataset(str(folder / "options.parquet"))
    for chunk in engineer_forecast_features(
        scan, sessions, events, ForecasterParameters(), windows, NYSE, CHUNK_ROWS
    ):
        layer.save(chunk)
    layer.confirm()
    rows = layer.load()
    print("\n| option | eta-R2 % | vs. default | wall s |\n|---|---:|---:|---:|")
    reference = 0.0
    for name, changed in OPTIONS.items():
        parameters = ForecasterParameters(**changed)
        plan = plan_backtest(target_sessions(rows), parameters, windows)
        figures: Figures = {}
        with measured(figures):
            backtest = pl.concat(one.forecasts for one in run_backtest(rows, plan, parameters))
        eta_r2 = backtest.pipe(select_headline).select(eta_r2_of(FORECAST)).item()
        reference = reference or eta_r2
        print(
            f"| {name} | {eta_r2:.2f} | {eta_r2 - reference:+.2f} | {figures['wall']:.0f} |",
            flush=True,
        )


def _height(rows: pl.LazyFrame) -> int:
    return int(rows.select(pl.len()).collect().item())


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in STAGES:
        measure_stage(STAGES)
    else:
        main()
