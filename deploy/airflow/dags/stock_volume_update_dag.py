# ruff: noqa: INP001
"""After the close: recent bars, new forecasts and a Bento, then monitoring.

Made by `make airflow-dags` from deploy/airflow/dag.py.j2: do not edit. docs/scheduling.md tells
how to run it.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param
from airflow.timetables.trigger import CronTriggerTimetable

RETRIES: Final = int(os.environ.get("STOCK_VOLUME_RETRIES", "2"))
FIRST_WAIT: Final = timedelta(minutes=1)
LONGEST_WAIT: Final = timedelta(minutes=30)
TASK_MAY_TAKE: Final = timedelta(hours=6)
TASKS_AT_ONCE: Final = 1

# The project's own interpreter runs each task: Airflow's environment has nothing of the project.
KEDRO_RUN: Final = """
cd "${STOCK_VOLUME_PROJECT:?must name the folder of the project}" || exit
exec "${STOCK_VOLUME_KEDRO:-.venv/bin/kedro}" run --env="$RUN_ENV" \\
  --pipelines="$RUN_PIPELINE" \\
  ${RUN_NODES:+--nodes="$RUN_NODES"} ${RUN_PARAMS:+--params="$RUN_PARAMS"}
"""


# The nodes of each task: those that pass data on in memory are together.
NODES: Final[dict[str, tuple[str, ...]]] = {
    "fetch_recent_bars": ("data_processing.fetch_recent_bars",),
    "merge_recent_bars": ("data_processing.merge_recent_bars",),
    "update_quality": ("data_processing.update_quality",),
    "update_features": ("feature_engineering.update_features",),
    "update_sessions": ("feature_engineering.update_sessions",),
    "update_forecast_features": ("feature_engineering.update_forecast_features",),
    "update_forecasts": ("modelling.update_forecasts",),
    "update_snapshot": ("packaging.update_snapshot",),
    "log_forecasts": ("modelling.log_forecasts",),
    "update_service": ("packaging.update_service",),
    "report_update": ("reporting.report_update",),
    "settle_files": ("packaging.settle_files",),
}
# The tasks that each one waits for.
AFTER: Final[dict[str, tuple[str, ...]]] = {
    "merge_recent_bars": ("fetch_recent_bars",),
    "update_quality": ("merge_recent_bars",),
    "update_features": ("update_quality",),
    "update_sessions": ("update_features",),
    "update_forecast_features": ("update_sessions",),
    "update_forecasts": ("update_forecast_features",),
    "update_snapshot": ("update_forecasts",),
    "log_forecasts": ("update_snapshot",),
    "update_service": ("log_forecasts",),
    "report_update": ("update_service",),
    "settle_files": ("report_update",),
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
    dag_id="stock_volume_daily",
    description="After the close: recent bars, new forecasts and a Bento, then monitoring.",
    schedule=CronTriggerTimetable("30 18 * * 1-5", timezone="America/New_York"),
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
    tasks = {name: kedro_run(name, "update", *nodes) for name, nodes in NODES.items()}
    for name, before in AFTER.items():
        tasks[name].set_upstream([tasks[other] for other in before])
    monitor = kedro_run("monitor", "monitor", retries=0)
    monitor.set_upstream([tasks["settle_files"]])
