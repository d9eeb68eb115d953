"""Nodes of the pipeline tuning."""

from typing import Any

import polars as pl

from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters
from stock_volume.forecaster.tuning import TuningParameters, tune_forecaster


def tune(
    features: pl.LazyFrame,
    forecaster: ForecasterParameters,
    backtest: BacktestParameters,
    tuning: TuningParameters,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Search for a better setting, and write it where only ``--env tuned`` reads it."""
    tuned = tune_forecaster(features, forecaster, backtest, tuning)
    return (
        {"forecaster": tuned.parameters.model_dump(mode="json")},
        {"plan": tuned.plan.model_dump(mode="json"), "trials": tuned.trials},
    )
