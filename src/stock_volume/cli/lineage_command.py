"""``kedro lineage``: what an artefact was made from."""

import json
import logging
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from kedro.framework.session import KedroSession
from kedro.io import DataCatalog, DatasetError

from stock_volume.cli.reporting import VERBOSE_OPTION, ReportingCommand, project_folder
from stock_volume.files import text_to_path
from stock_volume.hooks.names import MANIFEST, MANIFESTS

if TYPE_CHECKING:  # every command of Kedro loads this module
    from stock_volume.lineage.manifest import RunManifest

_TAG: Final = re.compile(r"[\w.-]+:[\w.-]+")
"""Name and version in the store."""

RAW_LAYER: Final = "01_raw"
WIDTH: Final = 2000
"""Columns if the output is not a terminal, so that no line is wrapped."""


@click.command(cls=ReportingCommand, params=[VERBOSE_OPTION])
@click.argument("artefact")
@click.option("--data-root", metavar="DIR", help="Folder of the layers, as for kedro run.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole chain as JSON.")
@click.option("--files", is_flag=True, help="Name every file of a folder, follow every run.")
def lineage(
    artefact: str,
    data_root: str | None,
    as_json: bool,  # noqa: FBT001
    files: bool,  # noqa: FBT001
) -> None:
    """Print what ARTEFACT was made from, by which runs, back to the raw files.

    ARTEFACT is a dataset (prices), a file of a layer, a tag in BentoML's store
    (stock_volume:latest), or at least the first eight digits of a SHA-256.
    """
    from rich.console import Console

    from stock_volume.lineage.graph import build_graph
    from stock_volume.lineage.history import (
        Artefact,
        History,
        State,
        UnknownArtefactError,
        state_of,
    )
    from stock_volume.lineage.tree import draw

    logging.disable(logging.WARNING)
    artefact = resolve_latest(artefact)
    catalog = _catalog(data_root or find_recorded_data_root(artefact))
    history = History(read_manifests(catalog))
    try:
        chain = history.trace(history.find(artefact, _current_sha256))
    except UnknownArtefactError as error:
        raise click.ClickException(str(error)) from error
    raw = _raw_datasets(catalog)

    @cache
    def states(one: Artefact) -> list[State]:
        return state_of(one, history, _current_sha256, _is_stored)

    if as_json:
        graph = build_graph(chain, history, states, raw)
        click.echo(json.dumps(graph.model_dump(mode="json"), indent=2))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    console.print(draw(chain, history, states, raw, in_full=files))


def _catalog(data_root: str | None) -> DataCatalog:
    runtime_params = {"data_root": data_root} if data_root else {}
    session: Any = KedroSession.create(project_folder(), runtime_params=runtime_params)
    catalog: DataCatalog = session.load_context().catalog
    return catalog


def read_manifests(catalog: DataCatalog) -> list["RunManifest"]:
    """Read the manifests of all runs.

    Args:
        catalog: The project's catalog.

    Returns:
        The manifests, in any order.

    Raises:
        ClickException: There are none.
        DatasetError: One of them is invalid.
    """
    if not catalog.exists(MANIFESTS):
        latest: Any = catalog[MANIFEST]
        raise click.ClickException(f"no run has left a manifest in {latest.path.parent}")
    partitions: dict[str, Callable[[], RunManifest]] = catalog.load(MANIFESTS)
    try:
        return [load() for load in partitions.values()]
    except DatasetError as error:
        error.add_note("or move the file out of the folder")
        raise


def _raw_datasets(catalog: DataCatalog) -> set[str]:
    """Return the names of the raw layer's datasets, by their metadata for Kedro-Viz."""
    layers = {name: getattr(catalog[name], "metadata", None) or {} for name in catalog}
    return {
        name
        for name, metadata in layers.items()
        if metadata.get("kedro-viz", {}).get("layer") == RAW_LAYER
    }


@cache
def _current_sha256(path: str) -> str | None:
    from stock_volume.lineage.digests import digest_file

    file = text_to_path(path)
    return digest_file(file).sha256 if file.is_file() else None


def resolve_latest(artefact: str) -> str:
    """Replace ``latest`` in a tag by the latest version in the store.

    Args:
        artefact: What a user typed; anything but such a tag stays as it is.

    Returns:
        The tag.

    Raises:
        ClickException: The store has no version of this name.
    """
    name, _, version = artefact.partition(":")
    if version != "latest":
        return artefact
    tag = _stored_tag(name)
    if tag is None:
        raise click.ClickException(f"{artefact}: BentoML's store has no {name}")
    return tag


def find_recorded_data_root(artefact: str) -> str | None:
    """Find the data root of the run that made a Bento or a model.

    Args:
        artefact: A tag in the store, or anything else.

    Returns:
        The data root, if it was recorded and still exists.
    """
    if _TAG.fullmatch(artefact) is None or not _is_stored(artefact):
        return None
    import bentoml

    from stock_volume.datasets.bento import TAG_FILE

    try:
        models = [str(model.tag) for model in bentoml.bentos.get(artefact).info.models]
    except bentoml.exceptions.NotFound:
        models = [artefact]
    for model in models:
        tag_file = bentoml.models.get(model).info.metadata.get(TAG_FILE)
        if isinstance(tag_file, str) and Path(tag_file).is_file():
            return Path(tag_file).parents[1].as_posix()  # the file is in a layer of the data root
    return None


@cache
def _is_stored(tag: str) -> bool:
    return _stored_tag(tag) is not None


def _stored_tag(tag: str) -> str | None:
    """Look up a tag among the Bentos and the models of the store."""
    import bentoml

    for get in (bentoml.bentos.get, bentoml.models.get):
        try:
            return str(get(tag).tag)
        except bentoml.exceptions.NotFound:
            continue
    return None
