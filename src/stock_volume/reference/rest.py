"""The reference of the service's routes, from its OpenAPI document."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from stock_volume.reference.table import (
    Schema,
    code,
    describe_bounds,
    describe_type,
    write_table,
)

_INTRODUCTION: Final = """# REST

Written by `make reference` from the service's OpenAPI document, which a running service has at
`/openapi.json`; its `/docs` is the same to try out. [Serving](../service.md) explains
what the answers mean. Every error is a [Problem](#problem).

"""


def describe_routes(document: Mapping[str, Any]) -> str:
    """Describe routes, bodies and answers.

    Args:
        document: The OpenAPI document.

    Returns:
        A page of Markdown.
    """
    routes = [
        _describe_operation(method.upper(), path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    schemas = document["components"]["schemas"]
    bodies = [_describe_body(name, schemas[name]) for name in sorted(schemas)]
    return _INTRODUCTION + "\n".join(["## Routes\n", *routes, "## Bodies\n", *bodies])


def _describe_operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [f"### {method} {path}\n", _sentence(operation)]
    if parameters := operation.get("parameters"):
        parts.append(_describe_parameters(parameters))
    if body := operation.get("requestBody"):
        parts.append(f"Body: {_describe_content(body['content'])}\n")
    parts.append(_describe_answers(operation["responses"]))
    return "\n".join(parts)


def _sentence(operation: Mapping[str, Any]) -> str:
    words: str = operation.get("description") or f"{operation['summary']}."
    return f"{words.strip()}\n"


def _describe_parameters(parameters: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        [
            f"`{one['name']}`",
            one["in"],
            describe_type(one["schema"]),
            code(one["schema"]["default"]) if "default" in one["schema"] else _need(one),
            describe_bounds(one["schema"]),
            one.get("description", ""),
        ]
        for one in parameters
    ]
    return write_table(["parameter", "in", "type", "default", "allowed", "meaning"], rows)


def _need(parameter: Mapping[str, Any]) -> str:
    return "required" if parameter.get("required") else ""


def _describe_answers(answers: Mapping[str, Any]) -> str:
    rows = [
        [status, _describe_content(answer.get("content", {})), answer["description"]]
        for status, answer in answers.items()
    ]
    return write_table(["status", "answer", "when"], rows)


def _describe_content(content: Mapping[str, Any]) -> str:
    return " or ".join(
        describe_type(media["schema"]) if "schema" in media else f"`{kind}`"
        for kind, media in content.items()
    )


def _describe_body(name: str, schema: Schema) -> str:
    required = schema.get("required", ())
    rows = [
        [
            f"`{field}`",
            describe_type(one),
            _default(one, required=field in required),
            describe_bounds(one),
            one.get("description", ""),
        ]
        for field, one in schema.get("properties", {}).items()
    ]
    table = write_table(["field", "type", "default", "allowed", "meaning"], rows)
    words = " ".join(schema.get("description", "").split())
    return f"### {name}\n\n{words}\n\n{table}" if rows else f"### {name}\n\n{words}\n"


def _default(schema: Schema, *, required: bool) -> str:
    if required:
        return "required"
    return code(schema["default"]) if "default" in schema else ""
