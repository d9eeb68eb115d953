"""The reference of parameters, from their models and from the catalogs."""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import BaseModel

from stock_volume.exchange import NYSE, Exchange
from stock_volume.json_value import Json
from stock_volume.reference.meanings import PLACES
from stock_volume.reference.table import Schema, code, describe_bounds, describe_type, write_table
from stock_volume.runtime_parameters import Placeholder

_INTRODUCTION: Final = """# Parameters

Written by `make reference` from the models of the parameters and from the catalogs.
`kedro run --params forecaster.max_rows=200000` sets one for a run, and
`conf/local/parameters.yml` for all runs. An unknown
name or a value out of bounds ends the command before anything runs.

"""
_PLACES: Final = """## Places and sources

Which bars and events are read, and where the layers are. An environment is chosen with `--env`.

"""
_EXCHANGE: Final = ("code of an exchange", code(NYSE.code), "", "The exchange of the bars.")
_ATTRIBUTE: Final = re.compile(r"^    (\w+): (.*?)(?=^    \w+: |^\S|\Z)", re.MULTILINE | re.DOTALL)


def describe_parameters(
    models: Mapping[str, type[BaseModel]],
    places: Mapping[str, Mapping[str, Placeholder]],
    plain: Mapping[str, Json],
) -> str:
    """Describe every parameter.

    Args:
        models: Models by the name of their parameter.
        places: Placeholders in the catalog by environment and name.
        plain: Defaults of parameters that are a single value, by name.

    Returns:
        A page of Markdown.
    """
    groups = "\n".join(_describe_group(name, models[name]) for name in sorted(models))
    return _INTRODUCTION + _PLACES + _describe_places(places, plain) + "\n" + groups


def read_descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Read what a model says about its fields.

    Args:
        model: Its fields are described below them, or under ``Attributes:`` of its docstring.

    Returns:
        Descriptions by field; none for a field that has none.
    """
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        _, _, listed = (inspect.getdoc(base) or "").partition("Attributes:\n")
        found |= {name: _tidy(words) for name, words in _ATTRIBUTE.findall(listed)}
    fields = model.model_fields.items()
    return found | {name: _tidy(field.description) for name, field in fields if field.description}


def _tidy(words: str) -> str:
    return " ".join(words.split()).replace("``", "`")


def _describe_places(
    places: Mapping[str, Mapping[str, Placeholder]], plain: Mapping[str, Json]
) -> str:
    rows = [[f"`{name}`", code(value), "all", PLACES[name]] for name, value in plain.items()]
    for name in sorted({name for found in places.values() for name in found}):
        users = [env for env, found in places.items() if name in found]
        first = places[users[0]][name]
        default = "required" if first.required else _default(first.default)
        everywhere = len(users) == len(places)
        where = "all" if everywhere else ", ".join(f"`{env}`" for env in users)
        rows.append([f"`{name}`", default, where, PLACES[name]])
    return write_table(["parameter", "default", "environment", "meaning"], rows)


def _default(value: Json) -> str:
    return "" if value is None else code(value)


def _describe_group(name: str, model: type[BaseModel]) -> str:
    schema = model.model_json_schema()
    first = (inspect.getdoc(model) or "").split("\n\n", 1)[0]
    heads = ["parameter", "type", "default", "allowed", "meaning"]
    rows = _iterate_rows(name, model, schema)
    return f"## {name}\n\n{_tidy(first)}\n\n{write_table(heads, rows)}"


def _iterate_rows(name: str, model: type[BaseModel], schema: Schema) -> Iterator[list[str]]:
    meanings = read_descriptions(model)
    for field, info in model.model_fields.items():
        described = schema["properties"][field]
        inner = info.annotation
        if inner is Exchange:
            yield [f"`{name}.{field}`", *_EXCHANGE]
        elif isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _iterate_rows(f"{name}.{field}", inner, inner.model_json_schema())
        else:
            need = "computed" if info.default_factory else "required"
            yield _describe_field(f"{name}.{field}", described, need, meanings.get(field, ""))


def _describe_field(name: str, schema: Schema, need: str, meaning: str) -> list[str]:
    default: Json = schema.get("default")
    shown = code(default) if "default" in schema else need
    return [f"`{name}`", describe_type(schema), shown, describe_bounds(schema), meaning]
