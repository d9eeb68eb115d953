"""Tables of Markdown, and types and bounds of JSON schemas in words."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

Schema = Mapping[str, Any]
"""A JSON schema, or a part of one."""

_BOUNDS: Final = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
}
_SIZES: Final = (("minLength", "maxLength", "characters"), ("minItems", "maxItems", "items"))


def write_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table in Markdown.

    Args:
        heads: Heads of the columns.
        rows: Cells of each row, as Markdown of one line.

    Returns:
        The table, ending with a line break.
    """
    lines = [list(heads), ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(_escape(cell) for cell in cells)} |\n" for cells in lines)


def describe_type(schema: Schema) -> str:
    """Describe the type of a value.

    Args:
        schema: Its JSON schema; references are links to a heading of the same page.

    Returns:
        Markdown, such as ``number or null``.
    """
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return " or ".join(describe_type(choice) for choice in choices)
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(f"`{json.dumps(value)}`" for value in values)
    if schema.get("type") == "array":
        return _describe_list(schema)
    return str(schema.get("format", schema.get("type", "any value")))


def describe_bounds(schema: Schema) -> str:
    """Describe which values of a type are accepted.

    Args:
        schema: Its JSON schema.

    Returns:
        The bounds of the value, or of a list's items; empty if there are none.
    """
    own = [words.format(schema[key]) for key, words in _BOUNDS.items() if key in schema]
    sizes = [
        _describe_size(schema.get(least), schema.get(most), unit) for least, most, unit in _SIZES
    ]
    inner = [*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())]
    return ", ".join(filter(None, [*own, *sizes, *map(describe_bounds, inner)]))


def code(value: object) -> str:
    """Write a value as code, as JSON does."""
    return f"`{json.dumps(value, ensure_ascii=False, default=str)}`"


def _describe_size(least: int | None, most: int | None, unit: str) -> str:
    if most is None:
        return f"at least {least} {unit}" if least else ""
    return f"{least} to {most} {unit}" if least else f"at most {most} {unit}"


def _describe_list(schema: Schema) -> str:
    items = schema.get("items")
    return f"list of {describe_type(items)}" if items else "list"


def _escape(cell: str) -> str:
    return " ".join(cell.split()).replace("|", r"\|")
