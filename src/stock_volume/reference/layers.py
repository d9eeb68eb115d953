"""The reference of layers, from the catalog and the schemas of its datasets."""

from collections.abc import Mapping
from typing import Any, Final

from kedro.utils import load_obj
from pandera.api.polars.components import Column
from pandera.polars import DataFrameSchema

from stock_volume.features.schedule import GROUP_COLUMNS
from stock_volume.json_value import Json
from stock_volume.reference.meanings import MEANINGS
from stock_volume.reference.table import write_table
from stock_volume.schemas import IS_FEATURE, MAY_BE_NULL

_INTRODUCTION: Final = """# Layers

Written by `make reference` from the catalog and the schemas that check each layer when it is saved
and loaded. All paths are below the data root, `data` by default; `kedro run --params data_root=DIR`
moves it. In a notebook, `catalog.load("prices")` loads one. *Null* marks columns that may be null.

"""
Entry = Mapping[str, Any]
"""An entry of the catalog."""


def describe_layers(catalog: Mapping[str, Json]) -> str:
    """Describe every dataset that has a layer.

    Args:
        catalog: Unresolved entries of the base environment.

    Returns:
        A page of Markdown.
    """
    layers: dict[str, list[str]] = {}
    for name, entry in catalog.items():
        if isinstance(entry, Mapping) and (layer := find_layer(entry)):
            layers.setdefault(layer, []).append(_describe_dataset(name, entry))
    parts = [f"## {layer}\n\n" + "\n".join(layers[layer]) for layer in sorted(layers)]
    return _INTRODUCTION + "\n".join(parts)


def find_layer(entry: Entry) -> str | None:
    """Find the layer of an entry of the catalog; None for an entry without one."""
    layer: str | None = entry.get("metadata", {}).get("kedro-viz", {}).get("layer")
    return layer


def is_feature(column: Column) -> bool:
    """Return whether a column is a feature, which docs/features.md describes."""
    return bool((column.metadata or {}).get(IS_FEATURE))


def _describe_dataset(name: str, entry: Entry) -> str:
    words = str(entry["metadata"]["description"])
    place = str(entry.get("filepath", entry.get("path", ""))).removeprefix("${_root}/")
    lines = [f"### {name}\n", f"`{place}`: {words}\n" if _is_path(place) else f"{words}\n"]
    if schema := entry.get("validator"):
        lines.append(_describe_columns(load_obj(schema)))
    elif "model" in entry:
        lines.append(f"Its fields: [JSON schema](../schemas/{name}.json).\n")
    return "\n".join(lines)


def _is_path(place: str) -> bool:
    """Return whether a path has no parts that only a run knows."""
    return bool(place) and "${" not in place


def _describe_columns(schema: DataFrameSchema) -> str:
    own = {name: one for name, one in schema.columns.items() if not is_feature(one)}
    rows = [_describe_column(name, one) for name, one in own.items() if name not in GROUP_COLUMNS]
    table = write_table(["column", "type", "null", "meaning"], rows)
    others, groups = len(schema.columns) - len(own), len(own) - len(rows)
    if not others:
        return table
    peers = f" and {groups} means of responses to events by liquidity" if groups else ""
    return f"{table}\nIn addition, {others} [features](../features.md){peers}.\n"


def _describe_column(name: str, column: Column) -> list[str]:
    metadata = column.metadata or {}
    may_be_null = metadata.get(MAY_BE_NULL, column.nullable)
    kind = str(column.dtype) if column.dtype else "Enum"
    return [f"`{name}`", kind, "null" if may_be_null else "", MEANINGS[name]]
