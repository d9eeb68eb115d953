"""JSON schemas of the documents that runs and commands write, for docs/schemas."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml
from kedro.utils import load_obj
from pydantic import BaseModel

from stock_volume.json_value import Json
from stock_volume.lineage.graph import LineageGraph

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_DATASET: Final = "stock_volume.datasets.PydanticJSONDataset"
_PRINTED: Final[Mapping[str, type[BaseModel]]] = {"lineage": LineageGraph}
"""Documents that a command prints; all others are datasets."""


def describe_documents(catalog: Mapping[str, Json]) -> dict[str, str]:
    """Describe every document by its JSON schema.

    Args:
        catalog: Entries of the catalog; each ``PydanticJSONDataset`` has a schema.

    Returns:
        The schemas as JSON, by name of the dataset or of the command.
    """
    models: dict[str, type[BaseModel]] = {
        name: load_obj(str(entry["model"]))
        for name, entry in catalog.items()
        if isinstance(entry, Mapping) and entry.get("type") == _DATASET
    }
    models.update(_PRINTED)
    return {name: _describe(models[name]) for name in sorted(models)}


def write_schemas(catalog: Path, folder: Path) -> None:
    """Write the schemas into a folder, and remove schemas of former documents.

    Args:
        catalog: Path of the catalog.
        folder: The folder, which holds nothing else.
    """
    schemas = describe_documents(yaml.safe_load(catalog.read_text(encoding="utf-8")))
    for path in folder.glob("*.json"):
        if path.stem not in schemas:
            path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas.items():
        (folder / f"{name}.json").write_text(schema, encoding="utf-8")


def _describe(model: type[BaseModel]) -> str:
    schema = {"$schema": _DIALECT, **model.model_json_schema(mode="serialization")}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_schemas(Path("conf/base/catalog.yml"), Path("docs/schemas"))
