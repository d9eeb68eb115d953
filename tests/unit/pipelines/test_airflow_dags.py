"""The committed DAGs of Airflow, read without Airflow."""

import ast
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.project import configure_project
from kedro.pipeline import Pipeline
from omegaconf import OmegaConf

from stock_volume.exchange import NYSE
from stock_volume.pipeline_registry import register_pipelines

DEPLOY = Path(__file__).parents[3] / "deploy" / "airflow"
CATALOG = Path(__file__).parents[3] / "conf" / "base" / "catalog.yml"
FILES = {
    "__default__": DEPLOY / "dags" / "stock_volume_dag.py",
    "update": DEPLOY / "dags" / "stock_volume_update_dag.py",
}
IDS = {"__default__": "stock_volume", "update": "stock_volume_daily"}
STALE = "run make airflow-dags"

Names = dict[str, tuple[str, ...]]


@pytest.fixture(scope="module")
def pipelines() -> dict[str, Pipeline]:
    configure_project("stock_volume")
    return register_pipelines()


def constant(pipeline: str, name: str) -> Any:
    module = ast.parse(FILES[pipeline].read_text(encoding="utf-8"))
    for statement in module.body:
        if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == name:
            assert statement.value is not None
            return ast.literal_eval(statement.value)
    pytest.fail(f"{FILES[pipeline].name} has no {name}")


def before(name: str, after: Names) -> set[str]:
    """All tasks that end before one begins."""
    direct = set(after.get(name, ()))
    return direct.union(*(before(other, after) for other in direct))


def test_every_dag_is_known() -> None:
    assert sorted((DEPLOY / "dags").glob("*.py")) == sorted(FILES.values())


@pytest.mark.parametrize("pipeline", FILES)
def test_every_node_is_in_one_task(pipeline: str, pipelines: dict[str, Pipeline]) -> None:
    nodes: Names = constant(pipeline, "NODES")
    named = sorted(node for group in nodes.values() for node in group)
    assert named == sorted(node.name for node in pipelines[pipeline].nodes), STALE
    assert set(constant(pipeline, "AFTER")) <= set(nodes)


@pytest.mark.parametrize("pipeline", FILES)
def test_a_task_waits_for_what_it_reads(pipeline: str, pipelines: dict[str, Pipeline]) -> None:
    """Data in memory stays within a task; what is read from a file was made by an earlier one."""
    nodes: Names = constant(pipeline, "NODES")
    after: Names = constant(pipeline, "AFTER")
    patterns = [re.sub(r"\{\w+\}", ".+", str(name)) for name in OmegaConf.load(CATALOG)]
    task_of = {node: task for task, group in nodes.items() for node in group}
    maker = {
        dataset: task_of[node.name]
        for node in pipelines[pipeline].nodes
        for dataset in node.outputs
    }
    for node in pipelines[pipeline].nodes:
        task = task_of[node.name]
        for dataset in set(node.inputs) & set(maker):
            if maker[dataset] != task:
                assert maker[dataset] in before(task, after), (dataset, STALE)
                assert any(re.fullmatch(name, dataset) for name in patterns), dataset


def test_an_update_goes_one_by_one() -> None:
    """It replaces files that it reads under other names, which the graph does not show."""
    tasks = list(constant("update", "NODES"))
    after = constant("update", "AFTER")
    assert after == {task: (last,) for last, task in pairwise(tasks)}


@pytest.mark.parametrize("pipeline", FILES)
def test_runs_do_not_overlap_nor_catch_up(pipeline: str) -> None:
    module = ast.parse(FILES[pipeline].read_text(encoding="utf-8"))
    given = {
        argument.arg: ast.unparse(argument.value)
        for statement in module.body
        if isinstance(statement, ast.With)
        for call in ast.walk(statement.items[0].context_expr)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "DAG"
        for argument in call.keywords
        if argument.arg
    }
    assert given["dag_id"] == repr(IDS[pipeline])
    assert given["max_active_runs"] == "1"
    assert given["catchup"] == "False"
    if pipeline == "__default__":
        assert given["schedule"] == "None"
    else:
        timetable = f"{NYSE.update_schedule()!r}, timezone={NYSE.time_zone!r}"
        assert given["schedule"] == f"CronTriggerTimetable({timetable})", STALE


def test_nothing_names_a_machine_or_a_registry() -> None:
    for file in [*FILES.values(), *DEPLOY.glob("*.*")]:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"/home/|/work/|/root/|/tmp/|--index-url", text), file
