"""The pipeline modelling: both models, their reports and the service."""

from kedro.pipeline import Node, Pipeline

from stock_volume.part import make_part
from stock_volume.pipelines.modelling.nodes import (
    adapt_backtest,
    backtest_forecaster,
    collect_findings,
    draw_backtest,
    evaluate_forecaster,
    fit_estimator,
    fit_forecaster,
    fit_opening_model,
    forecast_live_symbols,
    package_service,
    plan_windows,
    register_estimator,
    register_forecaster,
    register_snapshot,
    write_model_card,
    write_report,
)


def create_pipeline() -> Pipeline:
    """Train, measure and package both models."""
    return Pipeline([_model(), _report(), _package()], tags="modelling")


def _model() -> Pipeline:
    """Train both models, backtest the forecaster and forecast the next session."""
    return make_part(
        "modelling",
        [
            Node(
                fit_estimator,
                inputs=["estimator_features", "params:estimator"],
                outputs=["lightgbm_predictor", "estimator_metrics"],
                name="fit_estimator",
            ),
            Node(
                fit_forecaster,
                inputs=[
                    "forecast_features",
                    "backtest_plan",
                    "params:forecaster",
                    "params:exchange",
                ],
                outputs="forecaster",
                name="fit_forecaster",
            ),
            Node(
                plan_windows,
                inputs=["forecast_features", "params:forecaster", "params:backtest"],
                outputs="backtest_plan",
                name="plan_windows",
            ),
            Node(
                backtest_forecaster,
                inputs=["forecast_features", "backtest_plan", "params:forecaster"],
                outputs=["raw_backtest", "horizon_backtest"],
                confirms=["raw_backtest", "horizon_backtest"],
                name="backtest_forecaster",
            ),
            Node(
                adapt_backtest,
                inputs=["raw_backtest", "params:forecaster", "params:adaptation"],
                outputs="backtest",
                confirms="backtest",
                name="adapt_backtest",
            ),
            Node(
                fit_opening_model,
                inputs=["backtest", "forecast_features", "params:opening", "params:forecaster"],
                outputs=["opening_model", "opening_backtest"],
                confirms="opening_backtest",
                name="fit_opening_model",
            ),
            Node(
                evaluate_forecaster,
                inputs=[
                    "backtest",
                    "horizon_backtest",
                    "opening_backtest",
                    "backtest_plan",
                    "params:forecaster",
                    "params:backtest",
                ],
                outputs="forecaster_metrics",
                name="evaluate_forecaster",
            ),
            Node(
                forecast_live_symbols,
                inputs=[
                    "forecaster",
                    "raw_backtest",
                    "forecast_features",
                    "params:forecaster",
                    "params:adaptation",
                ],
                outputs=["forecasts", "forecast_log"],
                confirms="forecasts",
                name="forecast_live_symbols",
            ),
        ],
    )


def _report() -> Pipeline:
    """Draw and describe the errors of both models."""
    return make_part(
        "reporting",
        [
            Node(
                draw_backtest,
                inputs=["backtest", "forecaster"],
                outputs=[
                    "plot_calibration",
                    "plot_reliability",
                    "plot_errors",
                    "plot_symbols",
                    "plot_importance",
                ],
                name="draw_backtest",
            ),
            Node(
                write_model_card,
                inputs=["forecaster", "forecaster_metrics"],
                outputs="model_card",
                name="write_model_card",
            ),
            Node(
                collect_findings,
                inputs=[
                    "backtest",
                    "forecasts",
                    "forecast_features",
                    "estimator_features",
                    "sessions",
                    "files",
                    "quarantine",
                    "forecaster",
                    "forecaster_metrics",
                    "params:backtest",
                ],
                outputs="findings",
                name="collect_findings",
            ),
            Node(
                write_report,
                inputs=[
                    "estimator_metrics",
                    "forecaster_metrics",
                    "data_quality",
                    "findings",
                    "forecaster",
                ],
                outputs=["metrics", "report", "report_html"],
                name="write_report",
            ),
        ],
    )


def _package() -> Pipeline:
    """Store the models and a snapshot of the symbols, and build the service from them."""
    return make_part(
        "packaging",
        [
            Node(
                register_estimator,
                inputs=[
                    "lightgbm_predictor",
                    "estimator_metrics",
                    "estimator_features",
                    "files",
                    "params:estimator",
                ],
                outputs="estimator_model",
                name="register_estimator",
            ),
            Node(
                register_forecaster,
                inputs=["forecaster", "opening_model", "forecaster_metrics", "files"],
                outputs="forecaster_model",
                name="register_forecaster",
            ),
            Node(
                register_snapshot,
                inputs=[
                    "estimator_features",
                    "sessions",
                    "forecast_features",
                    "raw_backtest",
                    "backtest",
                    "events",
                    "files",
                    "params:exchange",
                    "forecaster",
                    "params:adaptation",
                ],
                outputs="snapshot_model",
                name="register_snapshot",
            ),
            Node(
                package_service,
                inputs=["estimator_model", "forecaster_model", "snapshot_model"],
                outputs="service_bento",
                name="package_service",
            ),
        ],
    )
