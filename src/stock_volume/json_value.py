"""The type of JSON values."""

from collections.abc import Mapping, Sequence

Json = str | int | float | bool | Sequence["Json"] | Mapping[str, "Json"] | None
"""A value that JSON and YAML can represent; tuples become arrays."""
