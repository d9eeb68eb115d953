# ruff: noqa: INP001
"""Everything anew: layers, models, their backtest, forecasts and a Bento.

Made by `make airflow-dags` from deploy/airflow/dag.py.j2: do not edit. docs/scheduling.md tells
how to run it.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param

RETRIES: Final = int(os.environ.get("STOCK_VOLUME_RETRIES", "2"))
FIRST_WAIT: Final = timedelta(minutes=1)
LONGEST_WAIT: Final = timedelta(minutes=30)
TASK_MAY_TAKE: Final = timedelta(hours=6)
TASKS_AT_ONCE: Final = 2

# The project's own interpreter runs each task: Airflow's environment has nothing of the project.
KEDRO_RUN: Final = """
cd "${STOCK_VOLUME_PROJECT:?must name the folder of the project}" || exit
exec "${STOCK_VOLUME_KEDRO:-.venv/bin/kedro}" run --env="$RUN_ENV" \\
  --pipelines="$RUN_PIPELINE" \\
  ${RUN_NODES:+--nodes="$RUN_NODES"} ${RUN_PARAMS:+--params="$RUN_PARAMS"}
"""


# The nodes of each task: those that pass data on in memory are together.
NODES: Final[dict[str, tuple[str, ...]]] = {
    "ingest_bars": ("data_processing.ingest_bars",),
    "assess_quality": ("data_processing.assess_quality",),
    "describe_sessions": ("feature_engineering.describe_sessions",),
    "engineer_features": ("feature_engineering.engineer_features",),
    "engineer_forecast_features": ("feature_engineering.engineer_forecast_features",),
    "fit_estimator": ("modelling.fit_estimator",),
    "plan_windows": ("modelling.plan_windows",),
    "register_estimator": ("packaging.register_estimator",),
    "backtest_forecaster": ("modelling.backtest_forecaster",),
    "fit_forecaster": ("modelling.fit_forecaster",),
    "evaluate_forecaster": ("modelling.evaluate_forecaster",),
    "forecast_live_symbols": ("modelling.forecast_live_symbols",),
    "register_snapshot": ("packaging.register_snapshot",),
    "draw_backtest": ("reporting.draw_backtest",),
    "register_forecaster": ("packaging.register_forecaster",),
    "write_model_card": ("reporting.write_model_card",),
    "write_report": ("reporting.write_report",),
    "package_service": ("packaging.package_service",),
}
# The tasks that each one waits for.
AFTER: Final[dict[str, tuple[str, ...]]] = {
    "assess_quality": ("ingest_bars",),
    "describe_sessions": ("ingest_bars",),
    "engineer_features": ("ingest_bars",),
    "engineer_forecast_features": (
        "ingest_bars",
        "describe_sessions",
    ),
    "fit_estimator": ("engineer_features",),
    "plan_windows": ("engineer_forecast_features",),
    "register_estimator": (
        "ingest_bars",
        "engineer_features",
        "fit_estimator",
    ),
    "backtest_forecaster": (
        "engineer_forecast_features",
        "plan_windows",
    ),
    "fit_forecaster": (
        "engineer_forecast_features",
        "plan_windows",
    ),
    "evaluate_forecaster": (
        "plan_windows",
        "backtest_forecaster",
    ),
    "forecast_live_symbols": (
        "engineer_forecast_features",
        "fit_forecaster",
    ),
    "register_snapshot": (
        "ingest_bars",
        "describe_sessions",
        "engineer_features",
        "engineer_forecast_features",
        "backtest_forecaster",
    ),
    "draw_backtest": (
        "backtest_forecaster",
        "fit_forecaster",
    ),
    "register_forecaster": (
        "ingest_bars",
        "fit_forecaster",
        "evaluate_forecaster",
    ),
    "write_model_card": (
        "fit_forecaster",
        "evaluate_forecaster",
    ),
    "write_report": (
        "assess_quality",
        "fit_estimator",
        "evaluate_forecaster",
    ),
    "package_service": (
        "register_estimator",
        "register_snapshot",
        "register_forecaster",
    ),
}


def runtime_params(params: Mapping[str, Any]) -> str:
    """Tell Kedro's `--params` from the DAG's."""
    given = [f"{name}={params[name]}" for name in ("source", "data_root") if params[name]]
    return ",".join([*given, *filter(None, [params["more"]])])


def kedro_run(task_id: str, pipeline: str, *nodes: str, retries: int = RETRIES) -> BashOperator:
    """Run nodes of a pipeline, or all of it, in one process."""
    return BashOperator(
        task_id=task_id,
        bash_command=KEDRO_RUN,
        env={
            "RUN_ENV": "{{ params.env }}",
            "RUN_PIPELINE": pipeline,
            "RUN_NODES": ",".join(nodes),
            "RUN_PARAMS": "{{ runtime_params(params) }}",
            "DO_NOT_TRACK": "1",
            "BENTOML_DO_NOT_TRACK": "True",
            "OMP_WAIT_POLICY": "PASSIVE",
        },
        append_env=True,
        retries=retries,
    )


with DAG(
    dag_id="stock_volume",
    description="Everything anew: layers, models, their backtest, forecasts and a Bento.",
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=TASKS_AT_ONCE,
    default_args={
        "retry_delay": FIRST_WAIT,
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": LONGEST_WAIT,
        "execution_timeout": TASK_MAY_TAKE,
    },
    params={
        "source": Param(
            os.environ.get("STOCK_VOLUME_SOURCE", ""),
            type="string",
            pattern="^[^,]*$",
            description="Archive, folder or address of the bars; empty: the catalog's.",
        ),
        "data_root": Param(
            os.environ.get("STOCK_VOLUME_DATA_ROOT", ""),
            type="string",
            pattern="^[^,]*$",
            description="Folder of all layers; empty: the catalog's.",
        ),
        "env": Param(
            os.environ.get("STOCK_VOLUME_ENV", "local"),
            type="string",
            pattern="^[A-Za-z0-9_]+$",
            description="Environment of Kedro: a folder of conf.",
        ),
        "more": Param(
            os.environ.get("STOCK_VOLUME_PARAMS", ""),
            type="string",
            description="Other parameters, as kedro run --params takes them: a.b=1,c=2.",
        ),
    },
    user_defined_macros={"runtime_params": runtime_params},
    tags=["stock_volume"],
):
    tasks = {name: kedro_run(name, "__default__", *nodes) for name, nodes in NODES.items()}
    for name, before in AFTER.items():
        tasks[name].set_upstream([tasks[other] for other in before])
