"""Forecasts that are adapted to the errors of past ones."""

from datetime import timedelta
from typing import Final, NamedTuple

import polars as pl

from stock_volume import columns
from stock_volume.features.quantities import BASE
from stock_volume.features.registry import ETA
from stock_volume.forecaster.adaptation import (
    AdaptationParameters,
    adapt,
    forecast_rows,
    measure_bias,
    sum_errors,
)
from stock_volume.forecaster.model import Forecaster
from stock_volume.forecaster.parameters import ForecasterParameters
from stock_volume.forecaster.train import training_rows
from stock_volume.forecaster.universe import BUCKET
from stock_volume.progress import watch
from stock_volume.symbols import symbol_ranges

_REACH: Final = timedelta(days=550)
"""How far before the end of the training the errors of past forecasts count."""

_BLOCK_ROWS: Final = 500_000
_UNIT: Final = "ranges of symbols"
_KEY: Final = (columns.SYMBOL, columns.DATE)


class History(NamedTuple):
    """Past forecasts, what further ones are made from, and how they are adapted.

    Attributes:
        backtest: Rows of ``run_backtest``: forecasts of sessions that the forecaster has seen, by
            models that had not.
        features: Rows of ``forecast_features``.
        adaptation: How forecasts are adapted to the errors of past ones.
    """

    backtest: pl.LazyFrame
    features: pl.LazyFrame
    adaptation: AdaptationParameters


class AdaptedForecasts(NamedTuple):
    """Forecasts adapted to past errors.

    Attributes:
        forecasts: The columns of ``Forecaster.predict``, adapted, and of
            ``Forecaster.predict_horizons``, not adapted.
        bias: Rows of ``measure_bias`` after the latest session: one per bucket of liquidity with
            past forecasts.
    """

    forecasts: pl.DataFrame
    bias: pl.DataFrame


def forecast_adapted(
    forecaster: Forecaster,
    rows: pl.DataFrame,
    history: History,
    parameters: ForecasterParameters,
) -> AdaptedForecasts:
    """Forecast rows, adapted to the errors of earlier sessions.

    Args:
        forecaster: The trained forecaster.
        rows: Rows of ``forecast_features`` with a known base, one per origin.
        history: Past forecasts.
        parameters: Parameters of the forecaster.

    Returns:
        The forecasts, sorted by symbol and date, and the bias. A forecast depends only on outcomes
        that were known at its origin.
    """
    wanted = forecast_rows(forecaster, rows, parameters.num_threads)
    adaptation = history.adaptation
    past = _past_forecasts(forecaster, wanted, history, parameters)
    every = pl.concat([past.join(wanted.lazy(), on=_KEY, how="anti"), wanted.lazy()])
    scored = every.filter(pl.col(ETA).is_not_null())
    ranges = list(symbol_ranges(every, rows=_BLOCK_ROWS))
    watched = watch(ranges, "errors of the forecasts", _UNIT)
    sums = [sum_errors(symbols.select(scored)) for symbols in watched]
    bias = measure_bias([sum_errors(wanted.clear()), *sums], adaptation)
    adapted = [
        adapt(symbols.select(every).sort(_KEY), bias, forecaster.levels, adaptation)
        for symbols in watch(ranges, "adapting forecasts", _UNIT)
    ]
    every_row = pl.concat([wanted.clear(), *adapted])
    horizons = forecaster.predict_horizons(rows, parameters.num_threads)
    forecasts = every_row.select(forecaster.predicted_columns).join(
        horizons, on=_KEY, how="inner", maintain_order="left"
    )
    latest = bias.group_by(BUCKET, maintain_order=True).last()
    return AdaptedForecasts(forecasts, latest)


def _past_forecasts(
    forecaster: Forecaster, wanted: pl.DataFrame, history: History, parameters: ForecasterParameters
) -> pl.LazyFrame:
    """List the forecasts with known outcomes, of the backtest and since the training."""
    target, trained_to = pl.col(columns.TARGET_DATE), forecaster.training.last_session
    since = training_rows(history.features, parameters).filter(
        target > trained_to, pl.col(BASE).is_not_null()
    )
    made = forecast_rows(forecaster, since.collect(engine="streaming"), parameters.num_threads)
    past = history.backtest.filter(target <= trained_to).select(wanted.columns)
    # From a fixed day on: rounding would otherwise move forecasts in each update.
    return pl.concat([past.filter(target > trained_to - _REACH), made.lazy()])
