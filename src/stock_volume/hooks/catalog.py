"""What a catalog holds: the manifests of earlier runs, contents of datasets, and parameters."""

import logging
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

from kedro.io import DataCatalog
from pydantic import BaseModel, JsonValue
from pydantic_core import to_jsonable_python

from stock_volume.hooks.names import MANIFESTS
from stock_volume.lineage.digests import digest_path
from stock_volume.lineage.manifest import ALL_PARAMETERS, Content, RunManifest, StoredTag
from stock_volume.sources.address import is_remote, redact_address

logger = logging.getLogger(__name__)


def load_manifests(catalog: DataCatalog) -> list[RunManifest]:
    """Load the manifests of all runs.

    Args:
        catalog: The catalog of a run.

    Returns:
        The manifests, in any order; none if there are none yet.
    """
    if MANIFESTS not in catalog or not catalog.exists(MANIFESTS):
        return []
    return [load() for load in catalog.load(MANIFESTS).values()]


def next_sequence(catalog: DataCatalog) -> int:
    """Return the number of a run that is about to leave a manifest.

    Args:
        catalog: The catalog of the run.
    """
    return 1 + max((run.sequence for run in load_manifests(catalog)), default=0)


def read_content(catalog: DataCatalog, name: str) -> Content | None:
    """Digest the files of a dataset, or look up its tag.

    Args:
        catalog: The catalog of a run.
        name: Name of the dataset.

    Returns:
        The content; None if the dataset is missing, in memory, or has no digests.
    """
    dataset: Any = catalog[name]
    if hasattr(type(dataset), "tag"):  # on the instance, the property would ask the store
        return StoredTag(tag=dataset.tag)
    if hasattr(dataset, "digests"):
        digests = dataset.digests()
        return None if digests is None else tuple(digests)
    path = getattr(dataset, "path", None) or fixed_path(dataset)
    if isinstance(path, str):
        logger.warning("the manifest has no digest of %s at %s", name, redact_address(path))
        return None
    if path is None or not path.exists():
        return None  # in memory
    return tuple(digest_path(path.absolute()))


def fixed_path(dataset: Any) -> Path | str | None:
    """Return the path that a dataset is configured with.

    Args:
        dataset: A dataset of Kedro.

    Returns:
        The path or address; None if the dataset has none, or has to fetch its files first.
    """
    attributes = getattr(dataset, "__dict__", {})
    path = attributes.get("path") or attributes.get("_path")
    if not path:
        return None
    # A pathlib.Path would drop a slash of an address.
    return str(path) if is_remote(str(path)) else Path(path)


def recorded_parameters(catalog: DataCatalog) -> dict[str, JsonValue]:
    """Return all parameters as a manifest records them.

    Args:
        catalog: The catalog of a run.

    Returns:
        The parameters, without secrets in addresses.
    """
    parameters: dict[str, JsonValue] = _for_manifest(
        to_jsonable_python(catalog.load(ALL_PARAMETERS))
    )
    return parameters


def list_computed(catalog: DataCatalog) -> list[str]:
    """Name the parameters that were not given and have no fixed default, such as today's date.

    Args:
        catalog: The catalog of a run.

    Returns:
        Their dotted names.
    """
    return list(_iterate_computed("", catalog.load(ALL_PARAMETERS)))


def _iterate_computed(prefix: str, parameters: Any) -> Iterator[str]:
    match parameters:
        case dict():
            for name, value in parameters.items():
                yield from _iterate_computed(f"{prefix}{name}.", value)
        case BaseModel():
            for name, info in type(parameters).model_fields.items():
                if name not in parameters.model_fields_set and info.default_factory:
                    yield f"{prefix}{name}"
                else:
                    yield from _iterate_computed(f"{prefix}{name}.", getattr(parameters, name))


def _for_manifest(parameters: Any) -> Any:
    """Remove queries and passwords from addresses, and write infinity as text."""
    match parameters:
        case dict():
            return {name: _for_manifest(value) for name, value in parameters.items()}
        case list():
            return [_for_manifest(value) for value in parameters]
        case str() if is_remote(parameters):
            return redact_address(parameters)
        case float() if not isfinite(parameters):
            return str(parameters)
    return parameters
