"""The pipelines, and that code, catalog and parameters fit together."""

import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.project import configure_project
from kedro.pipeline import Pipeline
from pydantic import BaseModel

from stock_volume import pipelines as package
from stock_volume.bars.ingest import IngestionParameters
from stock_volume.bars.update import UpdateParameters
from stock_volume.configuration import ProjectConfigLoader
from stock_volume.estimator.train import EstimatorParameters
from stock_volume.features.registry import FeatureParameters
from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters
from stock_volume.forecaster.tuning import TuningParameters
from stock_volume.hooks.names import MANIFEST, MANIFESTS
from stock_volume.monitoring.parameters import MonitorParameters
from stock_volume.pipeline_registry import ON_REQUEST, register_pipelines
from tests.unit.helpers import LAYERS

CONF = Path(__file__).parents[3] / "conf"
STAGES = ("data_processing", "feature_engineering", "modelling")
PIPELINES = (*STAGES, *ON_REQUEST)
WRITTEN_BY_HOOKS = {MANIFEST, MANIFESTS}
MODELS: dict[str, type[BaseModel]] = {
    "ingestion": IngestionParameters,
    "features": FeatureParameters,
    "estimator": EstimatorParameters,
    "forecaster": ForecasterParameters,
    "backtest": BacktestParameters,
    "update": UpdateParameters,
    "monitor": MonitorParameters,
    "tuning": TuningParameters,
}
WITHOUT_LAYER = {
    "held_estimator_features",
    "held_forecast_features",
    "settled_files",
    "settled_event_files",
}
ELSEWHERE = {
    "forecaster_metrics": "07_model_output",
    "backtest_plan": "05_model_input",
    **dict.fromkeys(
        ["estimator_model", "forecaster_model", "snapshot_model", "service_bento"], "09_service"
    ),
    "opening_model": "07_model_output",
}
"""Layers of datasets whose folder is another layer's: see the catalog."""

OUTSIDE_THE_LAYERS = ("bentofile.yaml", "conf/tuned/parameters_modelling.yml")

LOADED = """
import importlib, json, pkgutil, sys

names = sys.argv[1:]
for name in names:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(getattr(package, "__path__", []), f"{name}."):
        importlib.import_module(module.name)
print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture(scope="module")
def pipelines() -> dict[str, Pipeline]:
    configure_project("stock_volume")
    return register_pipelines()


@pytest.fixture(scope="module")
def config() -> ProjectConfigLoader:
    return ProjectConfigLoader(str(CONF), base_env="base", default_run_env="base")


@pytest.fixture(scope="module")
def catalog(config: ProjectConfigLoader) -> dict[str, Any]:
    return {name: entry for name, entry in config["catalog"].items() if not name.startswith("_")}


def test_pipelines_are_the_stages_and_all_of_them(pipelines: dict[str, Pipeline]) -> None:
    """Each stage is a pipeline, and the default is their sum, without those on request."""
    assert set(pipelines) == {*PIPELINES, "__default__"}
    # The command line lists the modules of the package as pipelines.
    assert {one.name for one in pkgutil.iter_modules(package.__path__)} == set(PIPELINES)
    default = {node.name for node in pipelines["__default__"].nodes}
    assert default == {node.name for stage in STAGES for node in pipelines[stage].nodes}


@pytest.mark.parametrize("stage", PIPELINES)
def test_nodes_have_the_tag_of_their_stage(pipelines: dict[str, Pipeline], stage: str) -> None:
    """A node's one tag is its stage, which names its log."""
    assert pipelines[stage].nodes
    assert all(node.tags == {stage} for node in pipelines[stage].nodes)


def test_default_pipeline_needs_the_raw_bars_and_parameters_only(
    pipelines: dict[str, Pipeline],
) -> None:
    """All other datasets are made on the way; raw events are none by default."""
    inputs = pipelines["__default__"].inputs()
    raw = {name for name in inputs if not name.startswith("params:")}
    assert raw == {"raw_bars", "raw_events"}


def test_stages_run_one_after_the_other(pipelines: dict[str, Pipeline]) -> None:
    """The order of the nodes leaves no stage to come back to, so each log is whole."""
    stages = [min(node.tags) for node in pipelines["__default__"].nodes]
    assert stages == sorted(stages, key=STAGES.index)


def _datasets(pipelines: dict[str, Pipeline]) -> set[str]:
    return set().union(*(pipelines[name].datasets() for name in PIPELINES))


def test_every_dataset_is_in_the_catalog(
    pipelines: dict[str, Pipeline], catalog: dict[str, Any]
) -> None:
    """One dataset is left to memory, a plan that is stale once it was carried out; none is idle."""
    used = {name for name in _datasets(pipelines) if not name.startswith("params:")}
    assert used | WRITTEN_BY_HOOKS == set(catalog)


def test_every_parameter_is_in_the_configuration(
    pipelines: dict[str, Pipeline], config: ProjectConfigLoader
) -> None:
    """The nodes use every parameter that is configured, and no others."""
    used = {name.removeprefix("params:") for name in _datasets(pipelines) if ":" in name}
    assert used == set(config["parameters"])


def test_no_json_can_hold_what_json_has_no_word_for(catalog: dict[str, Any]) -> None:
    """Datasets of JSON refuse NaN and infinity: all are pydantic models or have no floats."""
    types = {
        name: entry.get("dataset", entry)
        for name, entry in catalog.items()
        if str(entry.get("filepath", "")).endswith(".json") and not name.startswith("plot_")
    }
    assert "monitoring" in types
    for name, entry in types.items():
        if entry["type"] == "json.JSONDataset":
            assert entry["save_args"]["allow_nan"] is False, name


def test_every_dataset_has_a_layer(catalog: dict[str, Any]) -> None:
    """Kedro-Viz shows each dataset in its layer, which is its folder with few exceptions."""
    for name, entry in catalog.items():
        if name in WITHOUT_LAYER:
            assert "kedro-viz" not in entry["metadata"]
            continue
        layer = entry["metadata"]["kedro-viz"]["layer"]
        assert layer in LAYERS, name
        filepath = Path(entry.get("landing") or entry.get("filepath") or ".")
        if filepath.parts[:1] == ("data",):
            assert layer == ELSEWHERE.get(name, filepath.parts[1]), name


def test_every_dataset_is_described(catalog: dict[str, Any]) -> None:
    """The description is one or two sentences, which Kedro-Viz shows above the preview."""
    for name, entry in catalog.items():
        assert re.fullmatch(r"[A-Z].{20,120}\.", entry["metadata"]["description"]), name


def test_layers_move_with_the_data_root() -> None:
    """The run's parameter data_root moves every file of the catalog, and source the input."""
    moved = ProjectConfigLoader(
        str(CONF),
        base_env="base",
        default_run_env="base",
        runtime_params={"data_root": "elsewhere", "source": "bars.zip"},
    )["catalog"]
    places = [entry.get("filepath") for entry in moved.values() if entry]
    data = [
        place
        for entry, place in zip(moved.values(), places, strict=True)
        if place and place not in OUTSIDE_THE_LAYERS
    ]
    assert len(data) > 8
    assert all(place.startswith("elsewhere/") for place in data)
    source = moved["raw_bars"]["source"]
    assert (source["location"], source["landing"]) == ("bars.zip", "elsewhere/01_raw")


@pytest.mark.parametrize("name", MODELS)
def test_configured_parameters_are_the_defaults(name: str, config: ProjectConfigLoader) -> None:
    """Configuration spells out each default of the model, except values of the clock."""
    model, configured = MODELS[name], config["parameters"][name]
    fixed = {key for key, field in model.model_fields.items() if field.default_factory is None}
    assert set(configured) == fixed
    assert model.model_validate(configured).model_dump(mode="json", include=fixed) == configured
    assert model().model_dump(mode="json", include=fixed) == configured


@pytest.mark.parametrize("name", MODELS)
def test_unknown_parameters_are_refused(name: str, config: ProjectConfigLoader) -> None:
    """A mistyped key is refused rather than ignored."""
    with pytest.raises(ValueError, match="mistyped"):
        MODELS[name].model_validate({**config["parameters"][name], "mistyped": 1})


def test_chunks_of_features_have_rows(config: ProjectConfigLoader) -> None:
    """The one parameter without a model is a positive whole number."""
    rows = config["parameters"]["feature_chunk_rows"]
    assert isinstance(rows, int)
    assert rows > 0


def _loaded_by(*names: str) -> Iterator[str]:
    """Top-level packages that importing some packages, with all in them, loads."""
    answer = subprocess.run(
        [sys.executable, "-c", LOADED, *names], capture_output=True, text=True, check=True
    )
    modules: list[str] = json.loads(answer.stdout.splitlines()[-1])
    assert set(names) <= set(modules)
    return (module.partition(".")[0] for module in modules)


def test_domain_knows_neither_kedro_nor_bentoml() -> None:
    """Sources, bars, features, models, monitoring, metrics and lineage load no framework."""
    domain = (
        *("bars", "sources", "features", "estimator", "forecaster", "monitoring"),
        *("evaluation", "reporting", "metrics", "lineage", "columns"),
    )
    loaded = set(_loaded_by(*(f"stock_volume.{name}" for name in domain)))
    assert "polars" in loaded
    assert not loaded & {"kedro", "kedro_datasets", "bentoml", "_bentoml_sdk", "fastapi"}


def test_serving_knows_no_kedro() -> None:
    """What a Bento serves loads neither Kedro nor what the pipelines alone need."""
    loaded = set(_loaded_by("stock_volume.serving"))
    assert {"bentoml", "fastapi", "polars"} <= loaded
    assert not loaded & {"kedro", "kedro_datasets", "pandera", "exchange_calendars", "pandas"}


def test_registering_pipelines_loads_nothing_heavy() -> None:
    """A command that runs no model waits for neither LightGBM nor BentoML."""
    loaded = set(_loaded_by("stock_volume.pipelines", "stock_volume.hooks"))
    assert "kedro" in loaded
    assert not loaded & {"lightgbm", "bentoml", "sklearn"}
