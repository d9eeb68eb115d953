"""Runtime parameters: how ``--params`` is read, and which names and values are refused.

Kedro reads each value as YAML, which cuts ``Run #2`` at its blank and makes a number of ``007``
and a boolean of the symbol ON. Here a value has the type of its default: where the configuration
asks for text (a path, an address, symbols), it is taken as typed; elsewhere it is YAML.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum, auto
from pathlib import PurePath
from typing import Any, Final

import yaml
from omegaconf import OmegaConf

from stock_volume.errors import StockVolumeError

_NAME: Final = r"[A-Za-z_][\w-]*(?:\.[\w-]+)*"
_BEGIN: Final = re.compile(rf"[\s,]*(?P<name>{_NAME})\s*=\s*")
_QUOTED: Final = re.compile(r"""(?P<value>'[^']*'|"[^"]*")[\s,]*(?=,|$)""")
_PLAIN: Final = re.compile(rf"(?P<value>.*?)(?=[\s,]*,\s*{_NAME}\s*=|[\s,]*$)", re.DOTALL)
_UNASSIGNED: Final = re.compile(rf",\s*(?P<name>{_NAME})\s*(?=[:,]|$)")
_ELEMENT: Final = re.compile(r"""\s*(?P<value>'[^']*'|"[^"]*"|[^,]*?)\s*(?:,|$)""")
_ASKED: Final = re.compile(
    rf"\$\{{runtime_params:\s*(?P<name>{_NAME})\s*(?:(?P<end>\}})|,(?P<default>[^{{}}]*)\}}|,)"
)
_INTERPOLATION: Final = re.compile(r"(\\*)\$\{")


class ParameterError(StockVolumeError):
    """A runtime parameter is unknown, or its value is not what it must be."""


class AsTyped(str):
    """A value of ``--params``, before it is known whether it is text or YAML."""

    __slots__ = ()


class Kind(Enum):
    """What a parameter holds."""

    TEXT = auto()
    """One text."""
    TEXTS = auto()
    """One text or a list of them."""
    VALUE = auto()
    """Whatever YAML makes of it."""


@dataclass(frozen=True)
class Asked:
    """What the configuration asks of a runtime parameter: ``${runtime_params:name, default}``.

    Attributes:
        kind: The kind of the default; text without one.
        default: What holds without the parameter, where it is known before Kedro resolves it.
        required: Whether there is no default.
    """

    kind: Kind
    default: Any = None
    required: bool = False


@dataclass(frozen=True)
class Known:
    """The parameters that exist in one environment.

    Attributes:
        asked: Names that its catalog asks for.
        configured: Names and values of its parameters, nested ones by dotted names.
    """

    asked: Mapping[str, Asked]
    configured: Mapping[str, Any]

    def __contains__(self, name: str) -> bool:
        """Return whether a parameter exists, or is a field of one that is no group."""
        if name in self.asked or name in self.configured:
            return True
        parents = [name[: match.start()] for match in re.finditer(r"\.", name)]
        return any(
            parent in self.configured and not isinstance(self.configured[parent], dict)
            for parent in parents
        )

    def names(self) -> list[str]:
        """List every name: a group and what it holds, both."""
        return sorted({*self.asked, *self.configured})


def split(text: str) -> dict[str, AsTyped]:
    """Split ``name=value,name=value``.

    A comma ends a value where ``name=`` follows; other commas, blanks, ``#`` and ``=`` belong to
    it. Quotes around a whole value protect what is in them.

    Args:
        text: As given to ``--params``.

    Returns:
        The values by name, still with their quotes; the last one where a name is repeated.

    Raises:
        ParameterError: Something is no ``name=value``.
    """
    found: dict[str, AsTyped] = {}
    position = 0
    while rest := text[position:].strip(" \t\n,"):
        begin = _BEGIN.match(text, position)
        if begin is None:
            raise ParameterError(
                f"--params: {rest!r} is not name=value; write one, as in "
                "--params source=archive.zip,data_root=/mnt/big, and quote a value with a comma "
                "and an equals sign in it: source='a,b=c.zip'"
            )
        value = _QUOTED.match(text, begin.end()) or _PLAIN.match(text, begin.end())
        assert value is not None  # noqa: S101 - the plain pattern matches any text
        found[begin["name"]] = AsTyped(value["value"])
        position = value.end()
    return found


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into dictionaries within dictionaries.

    Args:
        flat: Values by dotted name.

    Returns:
        The same, nested.

    Raises:
        ParameterError: A name is both a value and a group.
    """
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *groups, last = name.split(".")
        inner = nested
        for group in groups:
            inner = inner.setdefault(group, {})
            if not isinstance(inner, dict):
                raise ParameterError(f"{name}: {group} is given a value and fields at once")
        if isinstance(inner.get(last), dict):
            raise ParameterError(f"{name} is given a value and fields at once")
        inner[last] = value
    return nested


def flatten(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of dictionaries within dictionaries by dotted name.

    Args:
        nested: Values and dictionaries of them.
        prefix: Put before each name.

    Yields:
        A name and its value, which is no dictionary but an empty one.
    """
    for name, value in nested.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def asked_in(entries: Any) -> dict[str, Asked]:
    """Find the runtime parameters that configuration asks for.

    Args:
        entries: Configuration as read, with its interpolations.

    Returns:
        What it asks, by the parameter's name.
    """
    found: dict[str, Asked] = {}
    for text in _texts(entries):
        for match in _ASKED.finditer(text):
            found.setdefault(match["name"], _asked(match))
    return found


def refuse_unknown(given: Iterable[str], known: Known, elsewhere: Mapping[str, str]) -> None:
    """Refuse parameters that do not exist, or do nothing.

    Args:
        given: Dotted names.
        known: What there is.
        elsewhere: Names that do nothing in this environment, and why.

    Raises:
        ParameterError: A name is not known; the message has the near match, and all there are.
    """
    for name in given:
        if name in known:
            continue
        if name in elsewhere:
            raise ParameterError(f"the parameter {name} does nothing here: {elsewhere[name]}")
        group = name.rpartition(".")[0]
        near = get_close_matches(name, [*known.names(), *elsewhere], n=1)
        hint = f"; did you mean {near[0]}?" if near else "."
        fields = [other for other in known.names() if other.startswith(f"{group}.")]
        existing = fields if group and fields else _outline(known)
        raise ParameterError(
            f"there is no parameter {name}{hint} There are: {', '.join(existing)}. If "
            f"{name}= is part of a value, that needs quotes around it"
        )


def check_complete(given: Iterable[str], known: Known) -> None:
    """Refuse to go on without a parameter that has no default.

    Args:
        given: Dotted names.
        known: What there is.

    Raises:
        ParameterError: One is missing.
    """
    missing = [name for name, asked in known.asked.items() if asked.required]
    for name in set(missing) - set(given):
        raise ParameterError(f"the parameter {name} is missing; give it: --params {name}=…")


def read_value(name: str, value: Any, known: Known) -> Any:
    """Read one value by the kind of its parameter.

    Args:
        name: Dotted name.
        value: As typed, or as a program or a file of YAML gave it.
        known: What there is.

    Returns:
        The value for Kedro's configuration, in which ``${`` is escaped where it is text.

    Raises:
        ParameterError: YAML or the caller made something else of a text, or the value does not
            have the type of the default.
    """
    asked = known.asked.get(name)
    if asked is None or asked.kind is Kind.VALUE:
        # Fields of a group have a model, which knows more than the default's type.
        single = None if "." in name else known.configured.get(name)
        default = asked.default if asked else single
        return _checked(name, _from_yaml(name, value), default)
    if isinstance(value, AsTyped):
        _refuse_unassigned(name, value, known)
        value = _listed(value) if asked.kind is Kind.TEXTS else _unquoted(value)
    return _escaped(as_text(name, value, several=asked.kind is Kind.TEXTS))


def as_text(name: str, value: Any, *, several: bool = False) -> Any:
    """Return a value that must be text; YAML turns some words into numbers or booleans.

    Args:
        name: What the message calls the value.
        value: A text or a path; a list of texts.
        several: Whether a list is allowed, and none at all.

    Returns:
        The text or the list of texts; None where there is none.

    Raises:
        ParameterError: It is something else, or empty.
    """
    if several and value is None:
        return None
    if several and isinstance(value, (list, tuple)):
        return [_as_one_text(name, one, "['7203', 'ON']") for one in value]
    return _as_one_text(name, value, "['7203', 'ON']" if several else "'007'")


def _outline(known: Known) -> list[str]:
    """Name parameters as briefly as one line allows: groups by their name."""
    groups = {name.partition(".")[0] for name in known.configured if "." in name}
    single = {name for name in known.names() if "." not in name} - groups
    return sorted(single) + sorted(f"{group}.…" for group in groups)


def _texts(entries: Any) -> Iterator[str]:
    match entries:
        case str():
            yield entries
        case Mapping():
            for value in entries.values():
                yield from _texts(value)
        case list():
            for value in entries:
                yield from _texts(value)


def _asked(match: re.Match[str]) -> Asked:
    if match["end"]:
        return Asked(Kind.TEXT, required=True)
    if match["default"] is None:  # an interpolation itself
        return Asked(Kind.VALUE)
    default = yaml.safe_load(match["default"])
    if isinstance(default, str):
        return Asked(Kind.TEXT, default)
    return Asked(Kind.VALUE if default else Kind.TEXTS, default)


def _as_one_text(name: str, value: Any, example: str) -> str:
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, str) and value:
        return str(value)
    if value == "":
        raise ParameterError(f"{name} is empty; leave it out for its default")
    raise ParameterError(
        f"{name} must be text, and is {value!r} ({type(value).__name__}): without quotes, YAML "
        "reads words such as ON, NO, 007 and 2024_02_15 as booleans and numbers, and ~ as "
        f"nothing; put quotes around it, as in {name.rpartition('.')[2]}: {example}"
    )


def _unquoted(value: str) -> str:
    """Take off quotes, if they are around the whole value."""
    return value[1:-1] if _QUOTED.fullmatch(value) else str(value)


def _listed(value: str) -> str | list[str]:
    """Read ``[AAPL, ON]`` as a list; anything else is one text."""
    if not (value.startswith("[") and value.endswith("]")):
        return _unquoted(value)
    elements = (match["value"] for match in _ELEMENT.finditer(value[1:-1]))
    return [_unquoted(element) for element in elements if element]


def _refuse_unassigned(name: str, value: str, known: Known) -> None:
    """Refuse ``a.zip,data_root:x``, in which a parameter would become part of a text."""
    if value[:1] in ("'", '"'):
        return
    for match in _UNASSIGNED.finditer(value):
        if match["name"] in known:
            raise ParameterError(
                f"{name}={value}: {match['name']} needs an equals sign to be a parameter; if it "
                f"is part of the value, put that in quotes: {name}='{value}'"
            )


def _from_yaml(name: str, value: Any) -> Any:
    if not isinstance(value, AsTyped):
        return value
    try:
        return OmegaConf.to_container(OmegaConf.from_dotlist([f"value={value}"]))["value"]  # type: ignore[index,call-overload]
    except yaml.YAMLError as error:
        raise ParameterError(f"{name}={value}: the value is not valid YAML") from error


def _checked(name: str, value: Any, default: Any) -> Any:
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


def _escaped(value: Any) -> Any:
    """Keep OmegaConf from taking ``${`` in a text for an interpolation."""
    match value:
        case str():
            return _INTERPOLATION.sub(r"\1\1\\${", value)
        case list():
            return [_escaped(one) for one in value]
    return value
