"""Nodes of the pipeline modelling."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from stock_volume import columns
from stock_volume.bars.ledger import SHA256
from stock_volume.bars.quality import QualityReport
from stock_volume.bars.report import report_data
from stock_volume.estimator.report import report_estimator
from stock_volume.estimator.train import (
    EstimatorMetrics,
    EstimatorParameters,
    TrainedEstimator,
    train_estimator,
)
from stock_volume.evaluation.backtest import (
    Plan,
    check_windows,
    plan_backtest,
    run_backtest,
    target_sessions,
)
from stock_volume.evaluation.card import report_forecaster, write_card
from stock_volume.evaluation.measures import evaluate_backtest
from stock_volume.evaluation.plots import (
    plot_calibration,
    plot_errors,
    plot_importance,
    plot_reliability,
    plot_symbols,
)
from stock_volume.exchange import Exchange
from stock_volume.features.market import check_targets
from stock_volume.features.registry import ETA
from stock_volume.forecaster.live import forecast_next_session
from stock_volume.forecaster.log import by_latest_origin, logged_forecasts
from stock_volume.forecaster.model import Forecaster
from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters
from stock_volume.forecaster.train import check_enough, latest_training_rows, train_forecaster
from stock_volume.lineage.digests import fingerprint, git_revision, package_versions
from stock_volume.metrics import in_words
from stock_volume.snapshot.snapshot import take_snapshot
from stock_volume.stored_model import ESTIMATOR_FILE, EXCHANGE_FILE, BentoContents, StoredModel

logger = logging.getLogger(__name__)

Plot = Any
"""A plotly figure, which would take half a second to import for its name."""


class FittedRegressor(Protocol):
    """A fitted ``LGBMRegressor``, which would take a second to import for its name."""

    @property
    def booster_(self) -> Any:
        """The booster."""


def fit_estimator(features: pl.LazyFrame, parameters: EstimatorParameters) -> TrainedEstimator:
    """Train and measure the estimator."""
    return train_estimator(features, parameters)


def register_estimator(
    model: FittedRegressor,
    metrics: EstimatorMetrics,
    features: pl.LazyFrame,
    files: pl.LazyFrame,
    parameters: EstimatorParameters,
) -> StoredModel:
    """Put the estimator into words that the model store keeps."""
    day = pl.col(columns.DATE)
    first, last = (
        features.select(day.min().alias("first"), day.max().alias("last")).collect().row(0)
    )
    return _stored(
        {ESTIMATOR_FILE: model.booster_.model_to_string()},
        files,
        {"time_split_r2": in_words(metrics["time_split"]["r2"], ".4f")},
        {
            "inputs": list(columns.ESTIMATOR_INPUTS),
            "target": columns.VOLUME,
            "first_session": str(first),
            "last_session": str(last),
            "parameters": parameters.model_dump(),
            "metrics": metrics,
        },
    )


def _stored(
    texts: dict[str, str],
    files: pl.LazyFrame,
    labels: dict[str, str] | None = None,
    metadata: dict[str, Any] | None = None,
    frames: dict[str, pl.LazyFrame] | None = None,
) -> StoredModel:
    """Add to a model what it was made from."""
    data = fingerprint(files.select(columns.FILE, SHA256).collect().iter_rows())
    revision = git_revision(Path(__file__).parent)
    return StoredModel(
        files=texts,
        frames=frames or {},
        labels={"data": data[:12], "git_revision": revision[:12], **(labels or {})},
        metadata={
            **(metadata or {}),
            "data_fingerprint": data,
            "versions": package_versions(),
            "git_revision": revision,
        },
    )


def plan_windows(
    features: pl.LazyFrame, forecaster: ForecasterParameters, backtest: BacktestParameters
) -> Plan:
    """Lay out the windows of the backtest; fails if a model cannot be trained or tested."""
    plan = plan_backtest(target_sessions(features), forecaster, backtest)
    if plan.note:
        logger.warning("backtest: %s", plan.note)
    check_windows(features, plan, forecaster)
    check_enough(latest_training_rows(features, forecaster), "the forecaster", forecaster)
    return plan


def backtest_forecaster(
    features: pl.LazyFrame, plan: Plan, parameters: ForecasterParameters
) -> Iterator[pl.DataFrame]:
    """Forecast the windows of the backtest, each with a model of its own."""
    yield from run_backtest(features, plan, parameters)


def evaluate_forecaster(
    backtest: pl.LazyFrame,
    plan: Plan,
    forecaster: ForecasterParameters,
    parameters: BacktestParameters,
) -> dict[str, Any]:
    """Measure the backtest."""
    metrics = evaluate_backtest(backtest, forecaster.quantiles, parameters)
    logger.info("forecaster, backtest: eta-R2 %s %%", in_words(metrics["eta_r2"], ".2f"))
    return {**metrics, "plan": plan.model_dump(mode="json")}


def fit_forecaster(
    features: pl.LazyFrame,
    plan: Plan,
    parameters: ForecasterParameters,
    exchange: Exchange,
) -> Forecaster:
    """Train the forecaster that is shipped, on the latest years."""
    del plan  # nothing is trained before the plan has shown that there are rows enough
    check_targets(features, exchange)
    rows = latest_training_rows(features, parameters).collect(engine="streaming")
    return train_forecaster(rows, parameters, exchange.code)


def register_forecaster(
    forecaster: Forecaster, metrics: dict[str, Any], files: pl.LazyFrame
) -> StoredModel:
    """Put the forecaster into words that the model store keeps."""
    return _stored(
        forecaster.to_files(),
        files,
        {"backtest_eta_r2": in_words(metrics["eta_r2"], ".2f"), "exchange": forecaster.exchange},
        {"target": ETA, "exchange": forecaster.exchange, **forecaster.about, "metrics": metrics},
    )


def forecast_live_symbols(
    forecaster: Forecaster, features: pl.LazyFrame, parameters: ForecasterParameters
) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    """Forecast the next session of every live symbol, and log what was forecast."""
    forecasts = forecast_next_session(forecaster, features, parameters)
    return forecasts, by_latest_origin(logged_forecasts(forecaster, forecasts, features))


def draw_backtest(
    backtest: pl.LazyFrame, forecaster: Forecaster
) -> tuple[Plot, Plot, Plot, Plot, Plot]:
    """Draw the figures of the backtest, and what the forecaster rests on."""
    return (
        plot_calibration(backtest, forecaster.levels),
        plot_reliability(backtest),
        plot_errors(backtest),
        plot_symbols(backtest),
        plot_importance(forecaster.importance()),
    )


def write_model_card(forecaster: Forecaster, metrics: dict[str, Any]) -> str:
    """Write the model card of the forecaster."""
    return write_card(metrics, forecaster.about, git_revision(Path(__file__).parent))


def register_snapshot(  # noqa: PLR0913, PLR0917 (five layers go in)
    features: pl.LazyFrame,
    sessions: pl.LazyFrame,
    forecast_features: pl.LazyFrame,
    backtest: pl.LazyFrame,
    files: pl.LazyFrame,
    exchange: Exchange,
) -> StoredModel:
    """Take what the service needs to know of the symbols."""
    snapshot = take_snapshot(features, sessions, forecast_features, backtest, exchange)
    return _stored(
        {EXCHANGE_FILE: exchange.model_dump_json(indent=2)},
        files,
        {"exchange": exchange.code},
        frames=snapshot._asdict(),
    )


def package_service(
    estimator: StoredModel, forecaster: StoredModel, snapshot: StoredModel
) -> BentoContents:
    """Name the models that the Bento pins, and label it by them."""
    estimator_tag, forecaster_tag, snapshot_tag = (
        str(model.tag) for model in (estimator, forecaster, snapshot)
    )
    return BentoContents(
        models=(estimator_tag, forecaster_tag, snapshot_tag),
        labels={
            "estimator": estimator_tag.replace(":", "-"),
            "forecaster": forecaster_tag.replace(":", "-"),
            "snapshot": snapshot_tag.replace(":", "-"),
            **estimator.labels,
            **forecaster.labels,
        },
    )


def write_report(
    estimator: EstimatorMetrics, forecaster: dict[str, Any], data_quality: QualityReport
) -> tuple[dict[str, Any], str]:
    """Gather the models' errors, as figures and in words."""
    words = [
        report_data(data_quality),
        report_estimator(estimator),
        "\n",
        report_forecaster(forecaster),
    ]
    return {"estimator": estimator, "forecaster": forecaster}, "".join(words)
