"""Runtime parameters: how ``--params`` is parsed, and which names and values are refused.

Kedro parses each value as YAML, which cuts ``Run #2`` at its blank, and turns ``007`` into a
number and the symbol ON into a boolean. Here a value has the type of its default: text (a path,
an address, symbols) is taken as typed, and anything else is YAML.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import PurePath
from typing import Any, Final

import yaml
from omegaconf import OmegaConf

from stock_volume.errors import StockVolumeError, suggest_name
from stock_volume.files import path_to_text
from stock_volume.json_value import Json

_NAME: Final = r"[A-Za-z_][\w-]*(?:\.[\w-]+)*"
_ASSIGNMENT: Final = re.compile(rf"[\s,]*(?P<name>{_NAME})\s*=\s*")
_QUOTED: Final = re.compile(r"""(?P<value>'[^']*'|"[^"]*")[\s,]*(?=,|$)""")
_UNQUOTED: Final = re.compile(rf"(?P<value>.*?)(?=[\s,]*,\s*{_NAME}\s*=|[\s,]*$)", re.DOTALL)
_UNASSIGNED: Final = re.compile(rf",\s*(?P<name>{_NAME})\s*(?=[:,]|$)")
_ELEMENT: Final = re.compile(r"""\s*(?P<value>'[^']*'|"[^"]*"|[^,]*?)\s*(?:,|$)""")
_PLACEHOLDER: Final = re.compile(
    rf"\$\{{runtime_params:\s*(?P<name>{_NAME})\s*(?:(?P<end>\}})|,(?P<default>[^{{}}]*)\}}|,)"
)
_NULLS: Final = ("null", "~")
_INTERPOLATION: Final = re.compile(r"(\\*)\$\{")

RENAMED: Final = {
    "forecaster.least_sessions": "forecaster.min_sessions",
    "backtest.least_sessions": "backtest.min_sessions",
    "monitor.least_forecasts": "monitor.min_forecasts",
    "monitor.least_windows": "monitor.min_windows",
}
"""New names of renamed parameters, by former name."""


Given = str | int | float | bool | PurePath | Sequence["Given"] | Mapping[str, "Given"] | None
"""The value of a parameter, as YAML or a program gives it."""


class ParameterError(StockVolumeError):
    """A runtime parameter is unknown, missing or invalid."""


class RawValue(str):
    """A value of ``--params`` as typed, before it is parsed as text or YAML."""

    __slots__ = ()


class Kind(Enum):
    """The type of a parameter."""

    TEXT = auto()
    """One text."""
    TEXTS = auto()
    """One text or a list of them."""
    VALUE = auto()
    """Any YAML value."""


@dataclass(frozen=True)
class Placeholder:
    """The place of a runtime parameter in the configuration: ``${runtime_params:name, default}``.

    Attributes:
        kind: Type of the default; text if there is none.
        default: The default, if it is known before Kedro resolves the configuration.
        required: Whether there is no default.
    """

    kind: Kind
    default: Json = None
    required: bool = False


@dataclass(frozen=True)
class KnownParameters:
    """The parameters that exist in one environment.

    Attributes:
        placeholders: Placeholders by the name of their parameter.
        configured: Values of the configured parameters by dotted name, groups included.
        texts: Dotted names of the fields of models that are text, or null.
    """

    placeholders: Mapping[str, Placeholder]
    configured: Mapping[str, Json]
    texts: frozenset[str] = frozenset()

    def __contains__(self, name: str) -> bool:
        """Return whether a parameter exists, or is a field of one that is not a group."""
        if name in self.placeholders or name in self.configured:
            return True
        parents = [name[: match.start()] for match in re.finditer(r"\.", name)]
        return any(
            parent in self.configured and not isinstance(self.configured[parent], dict)
            for parent in parents
        )

    def names(self) -> list[str]:
        """List every name, both of groups and of their members."""
        return sorted({*self.placeholders, *self.configured})


def split(text: str) -> dict[str, RawValue]:
    """Split ``name=value,name=value``.

    A comma ends a value only if ``name=`` follows; other commas, blanks, ``#`` and ``=`` are part
    of the value. Quotes around a whole value protect its content.

    Args:
        text: The argument of ``--params``.

    Returns:
        The values by name, still quoted; the last one if a name is repeated.

    Raises:
        ParameterError: A part is not ``name=value``.
    """
    found: dict[str, RawValue] = {}
    position = 0
    while rest := text[position:].strip(" \t\n,"):
        begin = _ASSIGNMENT.match(text, position)
        if begin is None:
            raise ParameterError(
                f"--params: {rest!r} is not name=value; write one, as in "
                "--params source=archive.zip,data_root=/mnt/big, and quote a value with a comma "
                "and an equals sign in it: source='a,b=c.zip'"
            )
        value = _QUOTED.match(text, begin.end()) or _UNQUOTED.match(text, begin.end())
        assert value is not None  # noqa: S101  # any text matches  # nosec B101
        found[begin["name"]] = RawValue(value["value"])
        position = value.end()
    return found


def nest(flat: Mapping[str, Given]) -> dict[str, Given]:
    """Turn dotted names into nested dictionaries.

    Args:
        flat: Values by dotted name.

    Returns:
        The nested values.

    Raises:
        ParameterError: A name is both a value and a group.
    """
    nested: dict[str, Given] = {}
    for name, value in flat.items():
        *groups, last = name.split(".")
        inner = nested
        for group in groups:
            fields = inner.setdefault(group, {})
            if not isinstance(fields, dict):
                raise ParameterError(f"{name}: {group} is given both a value and fields")
            inner = fields
        if isinstance(inner.get(last), dict):
            raise ParameterError(f"{name} is given both a value and fields")
        inner[last] = value
    return nested


def flatten(nested: Mapping[str, Given], prefix: str = "") -> Iterator[tuple[str, Given]]:
    """Yield the values of nested dictionaries by dotted name.

    Args:
        nested: Values and nested dictionaries.
        prefix: Prefix of each name.

    Yields:
        A name and its value; the only dictionaries among the values are empty.
    """
    for name, value in nested.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def find_placeholders(entries: Any) -> dict[str, Placeholder]:
    """Find the placeholders of runtime parameters in a configuration.

    Args:
        entries: The configuration, unresolved.

    Returns:
        Placeholders by the name of their parameter.
    """
    found: dict[str, Placeholder] = {}
    for text in _iterate_texts(entries):
        for match in _PLACEHOLDER.finditer(text):
            found.setdefault(match["name"], _parse_placeholder(match))
    return found


def refuse_unknown(given: Iterable[str], known: KnownParameters, unused: Mapping[str, str]) -> None:
    """Refuse parameters that do not exist or have no effect.

    Args:
        given: Dotted names.
        known: The existing parameters.
        unused: Parameters without effect in this environment, with the reason.

    Raises:
        ParameterError: A name is unknown; the message gives its new name, or suggests the closest
            name and lists all.
    """
    for name in given:
        if name in known:
            continue
        if name in RENAMED:
            raise ParameterError(describe_rename(name))
        if name in unused:
            raise ParameterError(f"the parameter {name} does nothing here: {unused[name]}")
        group = name.rpartition(".")[0]
        hint = suggest_name(name, [*known.names(), *unused])
        fields = [other for other in known.names() if other.startswith(f"{group}.")]
        existing = fields if group and fields else _summarize_names(known)
        raise ParameterError(
            f"there is no parameter {name}{hint} There are: {', '.join(existing)}. If "
            f"{name}= is part of a value, that needs quotes around it"
        )


def describe_rename(name: str) -> str:
    """Describe the renaming of a parameter.

    Args:
        name: A key of ``RENAMED``.

    Returns:
        A sentence with both names.
    """
    return f"the parameter {name} is now called {RENAMED[name]}"


def check_required(given: Iterable[str], known: KnownParameters) -> None:
    """Check that each parameter without a default is given.

    Args:
        given: Dotted names.
        known: The existing parameters.

    Raises:
        ParameterError: A parameter is missing.
    """
    required = [name for name, one in known.placeholders.items() if one.required]
    for name in set(required) - set(given):
        raise ParameterError(f"the parameter {name} is missing; give it: --params {name}=…")


def read_value(name: str, value: Any, known: KnownParameters) -> Any:
    """Parse a value according to the type of its parameter.

    Args:
        name: Dotted name.
        value: As typed, or as passed by a program or a YAML file.
        known: The existing parameters.

    Returns:
        The value for Kedro's configuration; ``${`` is escaped in text.

    Raises:
        ParameterError: The value is not text although the parameter is, or does not have the
            type of the default.
    """
    if name in known.texts and isinstance(value, RawValue) and value not in _NULLS:
        return _escape(_unquote(value))  # %m/%d/%Y is not YAML
    placeholder = known.placeholders.get(name)
    if placeholder is None or placeholder.kind is Kind.VALUE:
        # Fields of a group are validated by its model, not by the type of a default.
        single = None if "." in name else known.configured.get(name)
        default = placeholder.default if placeholder else single
        return _check_type(name, _parse_yaml(name, value), default)
    if isinstance(value, RawValue):
        _refuse_unassigned(name, value, known)
        value = _parse_list(value) if placeholder.kind is Kind.TEXTS else _unquote(value)
    return _escape(check_text(name, value, several=placeholder.kind is Kind.TEXTS))


def check_text(name: str, value: Any, *, several: bool = False) -> Any:
    """Check that a value is text; YAML turns some words into numbers or booleans.

    Args:
        name: Name of the value in the message.
        value: A text, a path, or a list of texts.
        several: Whether a list and None are allowed.

    Returns:
        The text, the list of texts, or None.

    Raises:
        ParameterError: The value is not text, or is empty.
    """
    if several and value is None:
        return None
    if several and isinstance(value, (list, tuple)):
        return [_check_one_text(name, one, "['7203', 'ON']") for one in value]
    return _check_one_text(name, value, "['7203', 'ON']" if several else "'007'")


def _summarize_names(known: KnownParameters) -> list[str]:
    """List parameters in one line: groups by their name only."""
    groups = {name.partition(".")[0] for name in known.configured if "." in name}
    single = {name for name in known.names() if "." not in name} - groups
    return sorted(single) + sorted(f"{group}.…" for group in groups)


def _iterate_texts(entries: Any) -> Iterator[str]:
    match entries:
        case str():
            yield entries
        case Mapping():
            for value in entries.values():
                yield from _iterate_texts(value)
        case list():
            for value in entries:
                yield from _iterate_texts(value)


def _parse_placeholder(match: re.Match[str]) -> Placeholder:
    if match["end"]:
        return Placeholder(Kind.TEXT, required=True)
    if match["default"] is None:  # itself an interpolation
        return Placeholder(Kind.VALUE)
    default = yaml.safe_load(match["default"])
    if isinstance(default, str):
        return Placeholder(Kind.TEXT, default)
    return Placeholder(Kind.VALUE if default else Kind.TEXTS, default)


def _check_one_text(name: str, value: Any, example: str) -> str:
    if isinstance(value, PurePath) or (isinstance(value, str) and value):
        return _check_encoding(name, str(value))
    if value == "":
        raise ParameterError(f"{name} is empty; leave it out for its default")
    raise ParameterError(
        f"{name} must be text, and is {value!r} ({type(value).__name__}): without quotes, YAML "
        "reads words such as ON, NO, 007 and 2024_02_15 as booleans and numbers, and ~ as "
        f"nothing; put quotes around it, as in {name.rpartition('.')[2]}: {example}"
    )


def _check_encoding(name: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ParameterError(
            f"{name}: the name {path_to_text(text)} is not UTF-8; rename the file or folder, or "
            "link to it"
        ) from error
    return text


def _unquote(value: str) -> str:
    """Remove quotes around the whole value."""
    return value[1:-1] if _QUOTED.fullmatch(value) else str(value)


def _parse_list(value: str) -> str | list[str]:
    """Parse ``[AAPL, ON]`` as a list; anything else is one text."""
    if not (value.startswith("[") and value.endswith("]")):
        return _unquote(value)
    elements = (match["value"] for match in _ELEMENT.finditer(value[1:-1]))
    return [_unquote(element) for element in elements if element]


def _refuse_unassigned(name: str, value: str, known: KnownParameters) -> None:
    """Refuse ``a.zip,data_root:x``, where a parameter would become part of a text."""
    if value[:1] in ("'", '"'):
        return
    for match in _UNASSIGNED.finditer(value):
        if match["name"] in known:
            raise ParameterError(
                f"{name}={value}: {match['name']} needs an equals sign to be a parameter; if it "
                f"is part of the value, put that in quotes: {name}='{value}'"
            )


def _parse_yaml(name: str, value: Any) -> Any:
    if not isinstance(value, RawValue):
        return value
    try:
        return OmegaConf.to_container(OmegaConf.from_dotlist([f"value={value}"]))["value"]  # type: ignore[index,call-overload]
    except yaml.YAMLError as error:
        raise ParameterError(f"{name}={value}: the value is not valid YAML") from error


def _check_type(name: str, value: Any, default: Any) -> Any:
    """Check a value against the type of its default."""
    if isinstance(default, bool):
        expected, is_right = "true or false", isinstance(value, bool)
    elif isinstance(default, (int, float)):
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        expected, is_right = f"a number, such as {default}", is_number
    else:
        return value
    if not is_right:
        raise ParameterError(f"{name} = {value!r}: must be {expected}")
    return value


def _escape(value: Any) -> Any:
    """Escape ``${`` in a text, which OmegaConf would take for an interpolation."""
    match value:
        case str():
            return _INTERPOLATION.sub(r"\1\1\\${", value)
        case list():
            return [_escape(one) for one in value]
    return value
