"""Count the verdicts of the monitoring over the windows of a run's backtest.

Usage: python benchmarks/monitoring.py DATA_ROOT [--window N] [--step N] [--forward]

Every window of N sessions of the backtest is treated as if it had just arrived. Its out-of-sample
forecasts form the log, with the models of all folds counting as one forecaster. They are compared
with the rest of the backtest (``--forward``: only with earlier sessions), and the features of the
window with the training data of its model. Gains come from the shipped forecaster.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import joblib
import polars as pl

from stock_volume import columns
from stock_volume.evaluation.backtest import FOLD, Plan
from stock_volume.features.quantities import YEAR
from stock_volume.forecaster.log import FORECASTER, TRAINED_TO
from stock_volume.forecaster.model import FORECAST
from stock_volume.monitoring.parameters import MonitorParameters
from stock_volume.monitoring.report import monitor

IN_USE: Final = "backtest"


def build_log(rows: pl.DataFrame, plan: Plan) -> dict[str, Any]:
    """Turn rows of a backtest into the forecast log that its models would have written.

    Args:
        rows: Rows of ``run_backtest``.
        plan: The windows of that backtest.

    Returns:
        Functions that load the forecasts, by origin session.
    """
    trained = pl.col(FOLD).replace_strict(
        {number: fold.train_end for number, fold in enumerate(plan.folds)}, return_dtype=pl.Date
    )
    log = rows.select(
        columns.SYMBOL,
        columns.DATE,
        columns.TARGET_DATE,
        FORECAST,
        pl.col(r"^q[\d.]+$"),
        columns.CLOSE,
        trained.alias(TRAINED_TO),
        pl.lit(IN_USE).alias(FORECASTER),
    )
    parts = log.partition_by(columns.DATE, as_dict=True)
    return {day.isoformat(): part.clone for (day,), part in sorted(parts.items())}


def list_windows(sessions: Sequence[date], length: int, step: int) -> Iterator[Sequence[date]]:
    """List windows of consecutive sessions."""
    for start in range(0, len(sessions) - length + 1, step):
        yield sessions[start : start + length]


def main() -> None:
    """Judge every window and count the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--window", type=int, default=MonitorParameters().window)
    parser.add_argument(
        "--step", type=int, help="sessions between windows; default: the window length"
    )
    parser.add_argument(
        "--forward",
        action="store_true",
        help="compare with earlier sessions only, at least a year of them",
    )
    arguments = parser.parse_args()
    root: Path = arguments.data_root
    parameters = MonitorParameters(window=arguments.window)
    prices = pl.scan_parquet(root / "02_intermediate" / "prices.parquet")
    features = pl.scan_parquet(root / "04_feature" / "forecast_features.parquet")
    backtest = pl.read_parquet(root / "07_model_output" / "backtest.parquet")
    plan = Plan.model_validate_json(
        (root / "07_model_output" / "backtest_plan.json").read_text(encoding="utf-8")
    )
    importance: Mapping[str, float] = joblib.load(
        root / "06_models" / "forecaster.joblib"
    ).importance()
    verdicts: Counter[str] = Counter()
    target = pl.col(columns.TARGET_DATE)
    sessions = backtest[columns.TARGET_DATE].unique().sort().to_list()
    print("| window | verdict | gain of moved features, % | reasons |\n|---|---|---:|---|")
    for window in list_windows(sessions, arguments.window, arguments.step or arguments.window):
        first, last = window[0], window[-1]
        own = backtest.filter(target.is_between(first, last))
        others = target < first if arguments.forward else ~target.is_between(first, last)
        if arguments.forward and first < sessions[YEAR]:
            continue
        fold = plan.folds[own[FOLD][0]]
        report = monitor(
            build_log(own, plan),
            (
                prices.filter(pl.col(columns.DATE) <= last),
                features.filter(target <= last),
                backtest.filter(others).lazy(),
            ),
            (
                IN_USE,
                {"first_session": str(fold.train_start), "last_session": str(fold.train_end)},
                importance,
            ),
            plan.least_sessions,
            parameters,
        )
        verdicts[report["verdict"]] += 1
        moved = f"{report['drift']['moved_gain']:.1f}"
        reasons = "" if report["verdict"] == "ok" else "; ".join(report["reasons"])
        print(f"| {first} to {last} | {report['verdict']} | {moved} | {reasons} |", flush=True)
    print("\n" + json.dumps(verdicts))


if __name__ == "__main__":
    main()
