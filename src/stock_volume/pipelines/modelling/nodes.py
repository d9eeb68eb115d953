"""Nodes of the pipeline modelling."""

import logging
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import polars as pl

from stock_volume import columns
from stock_volume.bars.ledger import SHA256
from stock_volume.bars.quality import QualityReport
from stock_volume.bars.report import report_data
from stock_volume.boosters import FittedRegressor, booster_of
from stock_volume.estimator.report import report_estimator
from stock_volume.estimator.train import (
    EstimatorMetrics,
    EstimatorParameters,
    TrainedEstimator,
    train_estimator,
)
from stock_volume.evaluation import backtest as backtests
from stock_volume.evaluation.backtest import (
    BacktestRows,
    Plan,
    check_windows,
    plan_backtest,
    run_backtest,
    target_sessions,
)
from stock_volume.evaluation.card import report_forecaster, write_card
from stock_volume.evaluation.measures import ScoredLayers, evaluate_backtest
from stock_volume.evaluation.opening_backtest import backtest_opening
from stock_volume.evaluation.plots import (
    plot_calibration,
    plot_errors,
    plot_importance,
    plot_reliability,
    plot_symbols,
)
from stock_volume.evaluation.results import BacktestMetrics, ModelMetrics
from stock_volume.exchange import Exchange
from stock_volume.features.market import check_targets
from stock_volume.features.registry import ETA
from stock_volume.forecaster.adaptation import AdaptationParameters
from stock_volume.forecaster.history import History
from stock_volume.forecaster.live import forecast_next_session
from stock_volume.forecaster.log import by_latest_origin, logged_forecasts
from stock_volume.forecaster.model import Forecaster
from stock_volume.forecaster.opening import (
    OpeningModel,
    OpeningParameters,
    fit_opening,
    join_openings,
)
from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters
from stock_volume.forecaster.train import check_enough, latest_training_rows, train_forecaster
from stock_volume.json_value import Json
from stock_volume.lineage.digests import fingerprint, git_revision, package_versions
from stock_volume.metrics import in_words
from stock_volume.progress import watch
from stock_volume.reporting.find import ReportedLayers, find
from stock_volume.reporting.findings import Findings, Provenance
from stock_volume.reporting.html import ReportedResults, write_html
from stock_volume.reporting.verdict import in_sentences, judge
from stock_volume.snapshot.snapshot import take_snapshot
from stock_volume.stored_model import (
    ESTIMATOR_FILE,
    EXCHANGE_FILE,
    FORECASTER_DIGEST_FILE,
    LARGEST_INPUTS,
    SMALLEST_INPUTS,
    BentoContents,
    StoredModel,
    digest_texts,
)

logger = logging.getLogger(__name__)

Plot = Any
"""A plotly figure; importing plotly for its name would take half a second."""


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
    """Describe the estimator for the model store."""
    day = pl.col(columns.DATE)
    first, last = (
        features.select(day.min().alias("first"), day.max().alias("last")).collect().row(0)
    )
    smallest = features.select(pl.col(columns.ESTIMATOR_INPUTS).min()).collect().row(0, named=True)
    booster = booster_of(model)
    return _describe_origin(
        {ESTIMATOR_FILE: booster.to_text()},
        files,
        {"time_split_r2": in_words(metrics.time_split.r2, ".4f")},
        {
            "inputs": list(columns.ESTIMATOR_INPUTS),
            SMALLEST_INPUTS: smallest,
            LARGEST_INPUTS: booster.largest_inputs(),
            "target": columns.VOLUME,
            "first_session": str(first),
            "last_session": str(last),
            "parameters": parameters.model_dump(),
            "metrics": metrics.model_dump(),
        },
    )


def _describe_origin(
    texts: dict[str, str],
    files: pl.LazyFrame,
    labels: dict[str, str] | None = None,
    metadata: Mapping[str, Json] | None = None,
    frames: dict[str, pl.LazyFrame] | None = None,
) -> StoredModel:
    """Add to a model which data, code and packages made it."""
    data = _fingerprint_data(files)
    revision = git_revision()
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


def _fingerprint_data(files: pl.LazyFrame) -> str:
    return fingerprint(files.select(columns.FILE, SHA256).collect().iter_rows())


def plan_windows(
    forecast_features: pl.LazyFrame,
    parameters: ForecasterParameters,
    backtest_parameters: BacktestParameters,
) -> Plan:
    """Lay out the windows of the backtest; fail if a model cannot be trained or tested."""
    plan = plan_backtest(target_sessions(forecast_features), parameters, backtest_parameters)
    if plan.note:
        logger.warning("backtest: %s", plan.note)
    check_windows(forecast_features, plan, parameters)
    check_enough(latest_training_rows(forecast_features, parameters), "the forecaster", parameters)
    return plan


def backtest_forecaster(
    forecast_features: pl.LazyFrame, plan: Plan, parameters: ForecasterParameters
) -> Iterator[BacktestRows]:
    """Forecast the windows of the backtest, each with its own model."""
    yield from run_backtest(forecast_features, plan, parameters)


def adapt_backtest(
    raw_backtest: pl.LazyFrame,
    parameters: ForecasterParameters,
    adaptation: AdaptationParameters,
) -> Iterator[pl.DataFrame]:
    """Adapt the forecasts of the backtest to the errors of its earlier sessions."""
    yield from backtests.adapt_backtest(raw_backtest, parameters.quantiles, adaptation)


def fit_opening_model(
    backtest: pl.LazyFrame,
    forecast_features: pl.LazyFrame,
    parameters: OpeningParameters,
    forecaster: ForecasterParameters,
) -> tuple[OpeningModel, pl.DataFrame]:
    """Train the shipped model of forecasts at the open, and backtest models of earlier sessions."""
    rows = join_openings(backtest, forecast_features)
    tested = pl.concat(backtest_opening(rows, parameters, forecaster))
    return fit_opening(rows, parameters, forecaster), tested


def evaluate_forecaster(  # noqa: PLR0913, PLR0917 (three layers go in)
    backtest: pl.LazyFrame,
    horizon_backtest: pl.LazyFrame,
    opening_backtest: pl.LazyFrame,
    plan: Plan,
    parameters: ForecasterParameters,
    backtest_parameters: BacktestParameters,
) -> BacktestMetrics:
    """Measure the backtest."""
    layers = ScoredLayers(backtest, horizon_backtest, opening_backtest)
    metrics = evaluate_backtest(layers, plan, parameters.quantiles, backtest_parameters)
    logger.info("forecaster, backtest: eta-R2 %s %%", in_words(metrics.eta_r2, ".2f"))
    return metrics


def fit_forecaster(
    forecast_features: pl.LazyFrame,
    plan: Plan,
    parameters: ForecasterParameters,
    exchange: Exchange,
) -> Forecaster:
    """Train the shipped forecaster on the latest years."""
    del plan  # an input so that training waits until the plan shows that there are enough rows
    check_targets(forecast_features, exchange)
    rows = latest_training_rows(forecast_features, parameters)
    return train_forecaster(rows, parameters, exchange.code)


def register_forecaster(
    forecaster: Forecaster,
    opening: OpeningModel,
    metrics: BacktestMetrics,
    files: pl.LazyFrame,
) -> StoredModel:
    """Describe the forecaster for the model store, with its correction at the open."""
    return _describe_origin(
        forecaster.to_files() | opening.to_files(),
        files,
        {"backtest_eta_r2": in_words(metrics.eta_r2, ".2f"), "exchange": forecaster.exchange},
        {
            "target": ETA,
            "exchange": forecaster.exchange,
            **forecaster.training.model_dump(mode="json"),
            "metrics": metrics.model_dump(mode="json"),
        },
    )


def forecast_live_symbols(
    forecaster: Forecaster,
    raw_backtest: pl.LazyFrame,
    forecast_features: pl.LazyFrame,
    parameters: ForecasterParameters,
    adaptation: AdaptationParameters,
) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    """Forecast the next session of every live symbol and log the forecasts."""
    history = History(raw_backtest, forecast_features, adaptation)
    forecasts = forecast_next_session(forecaster, history, parameters)
    logged = logged_forecasts(forecaster, forecasts, forecast_features)
    return forecasts, by_latest_origin(logged)


def draw_backtest(
    backtest: pl.LazyFrame, forecaster: Forecaster
) -> tuple[Plot, Plot, Plot, Plot, Plot]:
    """Draw the figures of the backtest and the importance of the features."""
    figures = (
        partial(plot_calibration, backtest, forecaster.levels),
        partial(plot_reliability, backtest),
        partial(plot_errors, backtest),
        partial(plot_symbols, backtest),
        partial(plot_importance, forecaster.importance()),
    )
    calibration, reliability, errors, symbols, importance = (
        draw() for draw in watch(figures, "drawing", "figures")
    )
    return calibration, reliability, errors, symbols, importance


def write_model_card(forecaster: Forecaster, metrics: BacktestMetrics) -> str:
    """Write the model card of the forecaster."""
    revision = git_revision()
    return write_card(metrics, forecaster.training, forecaster.features, revision)


def register_snapshot(  # noqa: PLR0913, PLR0917 (seven layers and a model go in)
    features: pl.LazyFrame,
    sessions: pl.LazyFrame,
    forecast_features: pl.LazyFrame,
    raw_backtest: pl.LazyFrame,
    backtest: pl.LazyFrame,
    events: pl.LazyFrame,
    files: pl.LazyFrame,
    exchange: Exchange,
    forecaster: Forecaster,
    adaptation: AdaptationParameters,
) -> StoredModel:
    """Take a snapshot of the symbols for the service, with their forecasts."""
    history = History(raw_backtest, forecast_features, adaptation)
    snapshot = take_snapshot(features, sessions, history, backtest, events, exchange, forecaster)
    return _describe_origin(
        {
            EXCHANGE_FILE: exchange.model_dump_json(indent=2),
            FORECASTER_DIGEST_FILE: digest_texts(forecaster.to_files()),
        },
        files,
        {"exchange": exchange.code},
        frames=snapshot._asdict(),
    )


def package_service(
    estimator_model: StoredModel, forecaster_model: StoredModel, snapshot_model: StoredModel
) -> BentoContents:
    """List the models that the Bento pins and label it with their tags."""
    estimator_tag, forecaster_tag, snapshot_tag = (
        str(model.tag) for model in (estimator_model, forecaster_model, snapshot_model)
    )
    return BentoContents(
        models=(estimator_tag, forecaster_tag, snapshot_tag),
        labels={
            "estimator": estimator_tag.replace(":", "-"),
            "forecaster": forecaster_tag.replace(":", "-"),
            "snapshot": snapshot_tag.replace(":", "-"),
            **estimator_model.labels,
            **forecaster_model.labels,
        },
    )


def collect_findings(  # noqa: PLR0913, PLR0917 (seven layers go in)
    backtest: pl.LazyFrame,
    forecasts: pl.LazyFrame,
    forecast_features: pl.LazyFrame,
    features: pl.LazyFrame,
    sessions: pl.LazyFrame,
    files: pl.LazyFrame,
    quarantine: pl.LazyFrame,
    forecaster: Forecaster,
    metrics: BacktestMetrics,
    parameters: BacktestParameters,
) -> Findings:
    """Find what the report shows beyond the measures."""
    layers = ReportedLayers(
        backtest, forecasts, forecast_features, features, sessions, files, quarantine
    )
    provenance = Provenance(
        data_fingerprint=_fingerprint_data(files),
        git_revision=git_revision(),
        versions=package_versions(),
        exchange=forecaster.exchange,
    )
    return find(layers, metrics, forecaster.levels, parameters, provenance)


def write_report(
    estimator_metrics: EstimatorMetrics,
    forecaster_metrics: BacktestMetrics,
    data_quality: QualityReport,
    findings: Findings,
    forecaster: Forecaster,
) -> tuple[ModelMetrics, str, str]:
    """Collect the errors of both models, as figures and as a report in Markdown and HTML."""
    sections = [
        report_data(data_quality, in_sentences(judge(forecaster_metrics, findings))),
        report_estimator(estimator_metrics),
        "\n",
        report_forecaster(forecaster_metrics),
    ]
    metrics = ModelMetrics(estimator=estimator_metrics, forecaster=forecaster_metrics)
    results = ReportedResults(metrics, data_quality, findings, forecaster.training)
    return metrics, "".join(sections), write_html(results)
