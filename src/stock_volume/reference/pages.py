"""All pages of the reference, by the name of their file."""

from collections.abc import Mapping
from pathlib import Path

from kedro.framework.startup import bootstrap_project
from pydantic import BaseModel

from stock_volume.cluster import DaskParameters
from stock_volume.configuration import (
    CATALOG,
    PARAMETERS,
    ProjectConfigLoader,
    environments,
    parameter_models,
)
from stock_volume.exchange import Exchange
from stock_volume.reference.layers import describe_layers
from stock_volume.reference.parameters import describe_parameters
from stock_volume.reference.rest import describe_routes
from stock_volume.runtime_parameters import Placeholder
from stock_volume.serving.app import create_app
from stock_volume.serving.loading import ModelLoader


def write_pages(project: Path, folder: Path) -> None:
    """Write the pages of the reference.

    Args:
        project: The project's folder.
        folder: Where the pages go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in describe_project(project).items():
        (folder / name).write_text(page, encoding="utf-8")


def describe_project(project: Path) -> dict[str, str]:
    """Describe parameters, layers and routes.

    Args:
        project: The project's folder.

    Returns:
        Pages of Markdown by the name of their file.
    """
    bootstrap_project(project)
    models = _models()
    configured, _ = _loader(project, "base").read_unresolved(PARAMETERS)
    plain = {name: value for name, value in configured.items() if isinstance(value, int)}
    catalog, _ = _loader(project, "base").read_unresolved(CATALOG)
    return {
        "parameters.md": describe_parameters(models, _find_places(project), plain),
        "layers.md": describe_layers(catalog),
        "rest.md": describe_routes(create_app(ModelLoader()).openapi()),
    }


def _models() -> dict[str, type[BaseModel]]:
    models = {name: model for name, model in parameter_models().items() if model is not Exchange}
    return models | {"dask": DaskParameters}


def _find_places(project: Path) -> Mapping[str, Mapping[str, Placeholder]]:
    names = [env for env in environments(project / "conf") if env not in ("local", "tuned")]
    return {env: _loader(project, env).find_placeholders() for env in names}


def _loader(project: Path, env: str) -> ProjectConfigLoader:
    return ProjectConfigLoader(project / "conf", env, base_env="base", default_run_env="local")
