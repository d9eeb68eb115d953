"""Measure how much a forecast from a symbol's latest bars deviates from one on its full history.

Usage: python benchmarks/history.py [DATA_ROOT]

Uses the layers of a run, and every symbol with ten years of bars that can be forecast.
"""

import statistics
import sys
from pathlib import Path

import joblib
import polars as pl

from stock_volume import columns
from stock_volume.bars.rules import RuleParameters
from stock_volume.forecaster.live import latest_of_each
from stock_volume.forecaster.model import FORECAST
from stock_volume.snapshot.own_bars import features_of_bars

LENGTHS = (60, 120, 252, 504, 1000, 2000, 3000)
MIN_BARS = 2520


def main() -> None:
    """Measure and print."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "data")
    prices = pl.scan_parquet(root / "02_intermediate" / "prices.parquet")
    sessions = pl.read_parquet(root / "03_primary" / "sessions.parquet")
    features = pl.scan_parquet(root / "04_feature" / "forecast_features.parquet")
    forecaster = joblib.load(root / "06_models" / "forecaster.joblib")
    latest = latest_of_each(features)
    long = latest.filter(pl.col("sessions") >= MIN_BARS)
    whole = forecaster.predict(long)
    print(f"{long.height} symbols\n\n| bars | median | 90 % below |\n|---:|---:|---:|")
    bars = {
        symbol: prices.filter(pl.col(columns.SYMBOL) == symbol).collect()
        for symbol in whole[columns.SYMBOL]
    }
    for length in LENGTHS:
        rows = [
            features_of_bars(own.tail(length), sessions, RuleParameters()) for own in bars.values()
        ]
        ratio = forecaster.predict(pl.concat(rows))[FORECAST] / whole[FORECAST]
        off = sorted(100 * (ratio - 1).abs())
        print(
            f"| {length:,} | {statistics.median(off):.1f} % | {off[int(0.9 * len(off))]:.1f} % |",
            flush=True,
        )


if __name__ == "__main__":
    main()
