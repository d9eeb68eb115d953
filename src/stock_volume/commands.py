"""Commands that the project adds to Kedro's."""

import json
import logging
from functools import cache
from pathlib import Path
from typing import Any, Final

import click
from kedro.framework.session import KedroSession
from kedro.framework.startup import ProjectMetadata
from kedro.io import DataCatalog

from stock_volume.hooks import MANIFEST, MANIFESTS

RAW_LAYER: Final = "01_raw"
WIDTH: Final = 2000
"""Columns where the output is no terminal: a line is one line."""


@click.group(name="stock_volume")
def commands() -> None:
    """Commands of the project stock_volume."""


@commands.command()
@click.argument("artefact")
@click.option("--data-root", metavar="DIR", help="Folder of the layers, as for kedro run.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole chain as JSON.")
@click.option("--files", is_flag=True, help="Name every file of a folder, follow every run.")
@click.pass_obj
def lineage(
    metadata: ProjectMetadata,
    artefact: str,
    data_root: str | None,
    as_json: bool,  # noqa: FBT001
    files: bool,  # noqa: FBT001
) -> None:
    """Print what ARTEFACT was made from, by which runs, back to the raw files.

    ARTEFACT is a dataset (prices), a file of a layer, a tag in BentoML's store
    (stock_volume:latest), or the first eight or more digits of a SHA-256.
    """
    from rich.console import Console

    from stock_volume.lineage_tree import draw
    from stock_volume.provenance import (
        Artefact,
        History,
        State,
        UnknownArtefactError,
        as_record,
        state_of,
    )

    logging.disable(logging.WARNING)
    catalog = _catalog(metadata.project_path, data_root)
    history = History(_manifests(catalog))
    try:
        chain = history.trace(history.find(_numbered(artefact), _sha256))
    except UnknownArtefactError as error:
        raise click.ClickException(str(error)) from error
    raw = _raw(catalog)

    @cache
    def states(one: Artefact) -> list[State]:
        return state_of(one, history, _sha256, _is_stored)

    if as_json:
        click.echo(json.dumps(as_record(chain, history, states, raw), indent=2))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    console.print(draw(chain, history, states, raw, in_full=files))


def _catalog(project: Path, data_root: str | None) -> DataCatalog:
    runtime_params = {"data_root": data_root} if data_root else {}
    session: Any = KedroSession.create(project, runtime_params=runtime_params)
    catalog: DataCatalog = session.load_context().catalog
    return catalog


def _manifests(catalog: DataCatalog) -> list[dict[str, Any]]:
    if not catalog.exists(MANIFESTS):
        latest: Any = catalog[MANIFEST]
        raise click.ClickException(f"no run has left a manifest in {latest.path.parent}")
    return [load() for load in catalog.load(MANIFESTS).values()]


def _raw(catalog: DataCatalog) -> set[str]:
    """Names of the raw layer's datasets, by what they tell Kedro-Viz."""
    layers = {name: getattr(catalog[name], "metadata", None) or {} for name in catalog}
    return {
        name
        for name, metadata in layers.items()
        if metadata.get("kedro-viz", {}).get("layer") == RAW_LAYER
    }


@cache
def _sha256(path: str) -> str | None:
    from stock_volume.lineage import digest_file

    return digest_file(Path(path)).sha256 if Path(path).is_file() else None


def _numbered(artefact: str) -> str:
    """Replace ``latest`` in a tag by the version that the store means by it."""
    name, _, version = artefact.partition(":")
    if version != "latest":
        return artefact
    found = _stored(name)
    if found is None:
        raise click.ClickException(f"{artefact}: BentoML's store has no {name}")
    return found


@cache
def _is_stored(tag: str) -> bool:
    return _stored(tag) is not None


def _stored(tag: str) -> str | None:
    """Look a tag up among Bentos, and among models."""
    import bentoml

    for get in (bentoml.bentos.get, bentoml.models.get):
        try:
            return str(get(tag).tag)
        except bentoml.exceptions.NotFound:
            continue
    return None
