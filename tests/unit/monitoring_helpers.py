"""Builders that the tests of the monitoring share."""

from collections.abc import Callable
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl

from stock_volume import columns
from stock_volume.evaluation.headline import Universe
from stock_volume.features.quantities import BASE
from stock_volume.features.registry import ETA, NEXT_VOLUME
from stock_volume.forecaster.log import FORECASTER, TRAINED_TO
from stock_volume.forecaster.model import FORECAST
from stock_volume.monitoring.parameters import MonitorParameters, Verdict
from stock_volume.monitoring.report import (
    Comparison,
    DriftReport,
    ErrorSummary,
    FeatureDrift,
    FeatureKind,
    ForecastCounts,
    MonitoringReport,
    Period,
    UsualRange,
    Window,
)
from stock_volume.monitoring.scoring import MADE, compare_value

LONG_AGO: Final = date(2000, 1, 3)
IN_USE: Final = "0123456789abcdef"
"""Identity of the forecaster in use."""

NO_FORECASTS: Final = ForecastCounts(**dict.fromkeys(ForecastCounts.model_fields, 0))


def make_bars(features: pl.DataFrame) -> pl.DataFrame:
    """Make the bars that are the targets of rows of ``forecast_features``."""
    return features.filter(pl.col(NEXT_VOLUME).is_not_null()).select(
        columns.SYMBOL,
        pl.col(columns.TARGET_DATE).alias(columns.DATE),
        columns.CLOSE,
        pl.col(NEXT_VOLUME).alias(columns.VOLUME),
    )


def make_log(
    features: pl.DataFrame, *, noise: float = 0.3, skill: float = 0.5, seed: int = 1
) -> pl.DataFrame:
    """Make forecasts that predict a part of eta, one per row, as read from the log."""
    random = np.random.default_rng(seed)
    shares = (features[BASE].exp() / features[columns.CLOSE]).to_numpy()
    eta = features[ETA].fill_null(0.0).to_numpy()
    forecast = shares * np.exp(skill * eta + random.normal(0, noise, features.height))
    origins = features.select(
        columns.SYMBOL, columns.DATE, columns.TARGET_DATE, columns.CLOSE, columns.VOLUME
    )
    return origins.with_columns(
        pl.Series(FORECAST, forecast),
        pl.Series("q10", forecast * 0.6),
        pl.Series("q50", forecast),
        pl.Series("q90", forecast * 1.7),
        pl.lit(LONG_AGO).alias(TRAINED_TO),
        pl.lit(IN_USE).alias(FORECASTER),
        pl.col(columns.DATE).alias(MADE),
    )


def partition_log(log: pl.DataFrame) -> dict[str, Callable[[], pl.DataFrame]]:
    """Divide a log into the partitions that the catalog loads."""
    return {
        str(made): part.drop(MADE).clone
        for (made,), part in log.partition_by(MADE, as_dict=True).items()
    }


def make_drift(**changed: Any) -> FeatureDrift:
    """Make a feature that has not drifted, with some attributes changed."""
    drift = FeatureDrift(
        feature="f", kind=FeatureKind.SYMBOL, psi=0.05, highest_past_psi=0.08, gain=0.2
    )
    return drift.model_copy(update=changed)


def make_range(**changed: Any) -> UsualRange:
    """Make the usual range of a measure with two bad sides, with some attributes changed."""
    usual = UsualRange(median=0.0, low=-0.1, high=0.1, lowest=-0.2, highest=0.2)
    return usual.model_copy(update=changed)


def make_comparison(value: float = 0.0, **changed: Any) -> Comparison:
    """Compare a value with the range that ``make_range`` makes."""
    usual = make_range(**changed)
    return compare_value(value, usual, np.array([usual.lowest, usual.median, usual.highest]))


NO_ERRORS: Final = ErrorSummary(
    **dict.fromkeys(ErrorSummary.model_fields, 0) | {"universe": Universe.ALL_SYMBOLS}
)


def make_drift_report(drifts: tuple[FeatureDrift, ...] = (), **changed: Any) -> DriftReport:
    """Make a report of features that have not drifted, with some attributes changed."""
    report = DriftReport(
        comparable=True,
        features=len(drifts),
        drifted=0,
        drifted_gain=0.0,
        strongly_drifted=0,
        strongly_drifted_gain=0.0,
        seen_sessions=0,
        by_feature=drifts,
    )
    return report.model_copy(update=changed)


def make_report(**changed: Any) -> MonitoringReport:
    """Make a report without any forecast, with some attributes changed."""
    report = MonitoringReport(
        verdict=Verdict.WATCH,
        reasons=("a reason",),
        window=Window(first=date(2021, 1, 6), last=date(2021, 1, 8), sessions=3),
        trained_on=Period(first=LONG_AGO, last=date(2020, 12, 31)),
        forecasts=NO_FORECASTS,
        errors=NO_ERRORS,
        backtest=NO_ERRORS,
        comparisons={},
        by_session=(),
        drift=make_drift_report(),
        parameters=MonitorParameters(),
    )
    return report.model_copy(update=changed)
