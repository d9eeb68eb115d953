"""Adaptation of forecasts to the errors observed since, without training again.

Two errors are slow enough to correct. After a break in the market all forecasts of a bucket of
liquidity err in the same direction for weeks: the bias is an exponentially weighted mean of the
errors of its sessions. And the intervals of some symbols are too wide or too narrow for years: the
offsets of a symbol's quantiles are the same quantiles of its latest errors, a rolling form of
conformal calibration (Gibbs and Candes, 'Adaptive Conformal Inference Under Distribution Shift',
NeurIPS 2021, adapt the level instead). Both are drawn towards 0 while they rest on few errors, and
both use only outcomes that were known at the origin.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from stock_volume import columns
from stock_volume.features.expressions import UNITS, to_units
from stock_volume.features.registry import ETA
from stock_volume.forecaster.model import FORECAST, MA5, Forecaster, quantile_name, shares_at_base
from stock_volume.forecaster.universe import BUCKET, bucket_number

BIAS: Final = "bias"
"""Column: what is added to the log of the forecasts of a bucket of liquidity."""

_ERRORS: Final = "errors"
_ROWS: Final = "rows"
_MIN_ROWS: Final = 10
_MAX_ERROR: Final = 2.0
"""An error counts as no more in the bias, so that one symbol does not move its bucket."""


class AdaptationParameters(BaseModel):
    """Parameters of the adaptation.

    Attributes:
        half_life_sessions: Age at which the weight of a session's mean error has halved.
        prior_sessions: Sessions without error that the bias is averaged with.
        window_rows: Latest errors of a symbol that its quantiles are calibrated on; 0 for none.
        prior_rows: Errors at which a symbol's own calibration counts half.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    half_life_sessions: float = Field(default=20.0, gt=0)
    prior_sessions: float = Field(default=3.0, ge=0)
    window_rows: int = Field(default=125, ge=0)
    prior_rows: float = Field(default=250.0, ge=0)


def error_of(forecast: str) -> pl.Expr:
    """Compute the error of a forecast or quantile in eta, the observed less the forecast.

    Args:
        forecast: Column of the forecast, in shares.

    Returns:
        Expression over rows with ``eta`` and ``ma5``; null where the outcome is unknown.
    """
    return pl.col(ETA) - (pl.col(forecast) / pl.col(MA5)).log()


def forecast_rows(
    forecaster: Forecaster, features: pl.DataFrame, num_threads: int = 0
) -> pl.DataFrame:
    """Forecast rows, with the columns that an adaptation needs.

    Args:
        forecaster: The forecaster.
        features: Rows of ``forecast_features`` with a known base.
        num_threads: Threads; 0 for all cores.

    Returns:
        The columns of ``Forecaster.predict``, not adapted, with ``ma5``, ``eta`` and ``bucket``,
        in the same order.
    """
    known = features.select(shares_at_base().alias(MA5), ETA, bucket_number().alias(BUCKET))
    return pl.concat([forecaster.predict(features, num_threads), known], how="horizontal")


def sum_errors(rows: pl.DataFrame) -> pl.DataFrame:
    """Sum the errors of forecasts by bucket of liquidity and session.

    Args:
        rows: Rows of ``forecast_rows``.

    Returns:
        ``bucket``, ``TargetDate``, the sum of the errors in units of 2^-40, and their number.
    """
    scored = rows.filter(pl.col(ETA).is_not_null())
    return scored.group_by(BUCKET, columns.TARGET_DATE).agg(
        to_units(error_of(FORECAST).clip(-_MAX_ERROR, _MAX_ERROR)).sum().alias(_ERRORS),
        pl.len().alias(_ROWS),
    )


def measure_bias(sums: Iterable[pl.DataFrame], parameters: AdaptationParameters) -> pl.DataFrame:
    """Measure the bias after each session.

    Args:
        sums: Rows of ``sum_errors``, in any number of frames.
        parameters: Parameters.

    Returns:
        ``TargetDate``, ``bucket`` and ``bias``, in logs, which rests on the sessions up to
        ``TargetDate``; sorted by session.
    """
    by = [BUCKET, columns.TARGET_DATE]
    total = pl.concat(sums).group_by(by).sum().sort(by)
    half_life, prior = parameters.half_life_sessions, parameters.prior_sessions
    decay = 0.5 ** (1 / half_life)
    weight = (1 - decay ** pl.int_range(1, pl.len() + 1)) / (1 - decay)
    mean = (pl.col(_ERRORS) / UNITS / pl.col(_ROWS)).ewm_mean(half_life=half_life)
    bias = (mean * weight / (weight + prior)).over(BUCKET)
    return total.select(columns.TARGET_DATE, BUCKET, bias.alias(BIAS)).sort(columns.TARGET_DATE)


def adapt(
    rows: pl.DataFrame,
    bias: pl.DataFrame,
    levels: Sequence[float],
    parameters: AdaptationParameters,
) -> pl.DataFrame:
    """Adapt forecasts to the errors of earlier sessions.

    Args:
        rows: Rows of ``forecast_rows``, all of each symbol, sorted by symbol and target session;
            where ``eta`` is unknown, the outcome is not used.
        bias: Rows of ``measure_bias``.
        levels: Levels of the quantiles.
        parameters: Parameters.

    Returns:
        The rows, in the same order, with adapted forecasts and quantiles, which ascend.
    """
    shifted = _look_up(rows, bias)
    names = [quantile_name(level) for level in levels]
    offsets = {
        name: pl.col(BIAS) + _own_offset(name, level, parameters)
        for name, level in zip(names, levels, strict=True)
    }
    adapted = shifted.with_columns(
        pl.col(FORECAST) * pl.col(BIAS).exp(),
        *(pl.col(name) * offset.exp() for name, offset in offsets.items()),
    )
    ascending = np.sort(adapted.select(names).to_numpy(), axis=1)
    return adapted.drop(BIAS).with_columns(
        pl.Series(name, ascending[:, place]) for place, name in enumerate(names)
    )


def shift(forecasts: pl.DataFrame, features: pl.DataFrame, bias: pl.DataFrame) -> pl.DataFrame:
    """Shift forecasts of symbols without past forecasts by the bias of their bucket.

    Args:
        forecasts: The columns of ``Forecaster.predict``.
        features: The rows of ``forecast_features`` that they were made from.
        bias: ``bucket`` and ``bias``, at most one row per bucket.

    Returns:
        The forecasts, in the same order.
    """
    factor = (
        features.select(bucket_number().alias(BUCKET))
        .join(bias, on=BUCKET, how="left", maintain_order="left")
        .select(pl.col(BIAS).fill_null(0.0).exp())
        .to_series()
    )
    volumes = pl.exclude(columns.SYMBOL, columns.DATE, columns.TARGET_DATE)
    return forecasts.with_columns(volumes * factor)


def _look_up(rows: pl.DataFrame, bias: pl.DataFrame) -> pl.DataFrame:
    """Add the bias of the sessions before each target."""
    number = "number"
    found = (
        rows.with_row_index(number)
        .select(number, columns.TARGET_DATE, BUCKET)
        .sort(columns.TARGET_DATE)
        .join_asof(
            bias,
            on=columns.TARGET_DATE,
            by=BUCKET,
            allow_exact_matches=False,
            check_sortedness=False,
        )
        .sort(number)
    )
    return rows.with_columns(found[BIAS].fill_null(0.0))


def _own_offset(name: str, level: float, parameters: AdaptationParameters) -> pl.Expr:
    """Calibrate a quantile on the latest errors of the symbol, of earlier sessions."""
    window = parameters.window_rows
    if not window:
        return pl.lit(0.0)
    error = error_of(name) - pl.col(BIAS)
    least = min(_MIN_ROWS, window)
    quantile = error.rolling_quantile(level, "linear", window_size=window, min_samples=least)
    rows = error.is_not_null().cast(pl.Float64).rolling_sum(window, min_samples=1)
    offset = quantile * rows / (rows + parameters.prior_rows)
    return offset.shift(1).over(columns.SYMBOL).fill_null(0.0)
