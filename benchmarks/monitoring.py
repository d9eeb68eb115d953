"""Count the verdicts of the monitoring over the windows of a run's backtest.

Usage: python benchmarks/monitoring.py DATA_ROOT [--window N] [--step N] [--forward]

Every window of N sessions of the backtest is judged as if it had just ended. Its forecasts, by
models that had not seen them, are the log of one forecaster. They are compared with the rest of
the backtest (``--forward``: with its earlier sessions), and the features of the window with the
training of its model. The gains are the shipped forecaster's.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Final, NamedTuple, Self

import joblib
import polars as pl

from stock_volume import columns
from stock_volume.evaluation.backtest import Plan
from stock_volume.evaluation.groups import FOLD
from stock_volume.features.quantities import YEAR
from stock_volume.forecaster.log import FORECASTER, TRAINED_TO
from stock_volume.forecaster.model import FORECAST
from stock_volume.monitoring.monitor import (
    Layers,
    LogPartitions,
    MonitoredForecaster,
    monitor,
)
from stock_volume.monitoring.parameters import MonitorParameters, Verdict
from stock_volume.monitoring.report import MonitoringReport, Period

IN_USE: Final = "backtest"


class Run(NamedTuple):
    """What a run left in its data root."""

    prices: pl.LazyFrame
    features: pl.LazyFrame
    backtest: pl.DataFrame
    plan: Plan
    importance: dict[str, float]

    @classmethod
    def load(cls, root: Path) -> Self:
        """Load the layers and the forecaster of a run."""
        outputs = root / "07_model_output"
        plan = (outputs / "backtest_plan.json").read_text(encoding="utf-8")
        return cls(
            prices=pl.scan_parquet(root / "02_intermediate" / "prices.parquet"),
            features=pl.scan_parquet(root / "04_feature" / "forecast_features.parquet"),
            backtest=pl.read_parquet(outputs / "backtest.parquet"),
            plan=Plan.model_validate_json(plan),
            importance=joblib.load(root / "06_models" / "forecaster.joblib").importance(),
        )


def make_log(rows: pl.DataFrame, plan: Plan) -> LogPartitions:
    """Turn rows of a backtest into the log that its models would have written.

    Args:
        rows: Rows of ``run_backtest``.
        plan: The windows of the backtest.

    Returns:
        Functions that load the forecasts, by the ISO date of their origin.
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


def judge_window(
    run: Run, first: date, last: date, parameters: MonitorParameters, *, forward: bool
) -> MonitoringReport:
    """Monitor a run as if a window had just ended.

    Args:
        run: The run.
        first: First session of the window.
        last: Last session of the window.
        parameters: The window's length and the thresholds.
        forward: Compare with earlier sessions only.

    Returns:
        The monitoring report.
    """
    target = pl.col(columns.TARGET_DATE)
    own = run.backtest.filter(target.is_between(first, last))
    others = target < first if forward else ~target.is_between(first, last)
    fold = run.plan.folds[own[FOLD][0]]
    layers = Layers(
        run.prices.filter(pl.col(columns.DATE) <= last),
        run.features.filter(target <= last),
        run.backtest.filter(others).lazy(),
        run.plan.min_sessions,
    )
    trained_on = Period(first=fold.train_start, last=fold.train_end)
    forecaster = MonitoredForecaster(IN_USE, trained_on, run.importance)
    return monitor(make_log(own, run.plan), layers, forecaster, parameters)


def main() -> None:
    """Judge every window, and count the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--window", type=int, default=MonitorParameters().window)
    parser.add_argument("--step", type=int, help="sessions between windows; a window's by default")
    parser.add_argument(
        "--forward",
        action="store_true",
        help="compare with earlier sessions only, a year or more",
    )
    arguments = parser.parse_args()
    run = Run.load(arguments.data_root)
    parameters = MonitorParameters(window=arguments.window)
    verdicts: Counter[Verdict] = Counter()
    sessions = run.backtest[columns.TARGET_DATE].unique().sort().to_list()
    print("| window | verdict | gain that drifted, % | reasons |\n|---|---|---:|---|")
    for window in list_windows(sessions, arguments.window, arguments.step or arguments.window):
        first, last = window[0], window[-1]
        if arguments.forward and first < sessions[YEAR]:
            continue
        report = judge_window(run, first, last, parameters, forward=arguments.forward)
        verdicts[report.verdict] += 1
        drifted = f"{report.drift.drifted_gain:.1f}"
        reasons = "" if report.verdict == Verdict.OK else "; ".join(report.reasons)
        print(f"| {first} to {last} | {report.verdict} | {drifted} | {reasons} |", flush=True)
    print("\n" + json.dumps(verdicts))


if __name__ == "__main__":
    main()
