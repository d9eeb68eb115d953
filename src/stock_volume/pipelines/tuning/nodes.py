"""Nodes of the pipeline tuning."""

import polars as pl

from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters
from stock_volume.forecaster.tuning import TuningParameters, TuningTrials, tune_forecaster


def tune(
    forecast_features: pl.LazyFrame,
    parameters: ForecasterParameters,
    backtest_parameters: BacktestParameters,
    tuning: TuningParameters,
) -> tuple[dict[str, object], TuningTrials]:
    """Search for a better setting, which only ``--env tuned`` reads."""
    result = tune_forecaster(forecast_features, parameters, backtest_parameters, tuning)
    return {"forecaster": result.parameters.model_dump(mode="json")}, result.search
