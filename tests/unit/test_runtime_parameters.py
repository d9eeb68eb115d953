"""How ``--params`` is read, and which names and values are refused."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from stock_volume.runtime_parameters import (
    Given,
    KnownParameters,
    ParameterError,
    RawValue,
    check_required,
    find_placeholders,
    flatten,
    nest,
    read_value,
    refuse_unknown,
    split,
)

CATALOG = {
    "_root": "${runtime_params:data_root, data}",
    "raw_bars": {
        "source": "${runtime_params:source, sample}",
        "server": {"url": "${runtime_params:url}"},
        "symbols": "${runtime_params:symbols, []}",
        "max_failed_share": "${runtime_params:max_failed_share, 0.1}",
    },
}
KNOWN = KnownParameters(
    find_placeholders(CATALOG),
    {"rows": 100, "backtest": {}, "backtest.test_start": None, "backtest.test_years": 2.0},
)
ELSEWHERE = {"limit": "use it with --env http"}


def read(text: str) -> dict[str, Any]:
    """Read parameters as a run does, as Kedro resolves them afterwards."""
    values = {name: read_value(name, value, KNOWN) for name, value in split(text).items()}
    return OmegaConf.to_container(OmegaConf.create(values), resolve=True)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "path",
    [
        "/x/Run #2",
        "2024_02_15",
        "007",
        "~/b",
        "a{b}",
        "a${b}",
        r"a\${b}\\${c}",
        "ON",
        "null",
        "[old] bars",
        "/mnt/a,b c",
        "a=b=c",
        "it's",
        "C:\\bars",
        "https://example.org/{symbol}.csv?a=1&b=#2",
    ],
)
@pytest.mark.parametrize("after", ["", ",source=x", ", source = x"])
def test_a_path_is_taken_as_typed(path: str, after: str) -> None:
    """Nothing in a path means something to YAML, to OmegaConf or to us."""
    assert read(f"data_root={path}{after}") == {
        "data_root": path,
        **({"source": "x"} if after else {}),
    }


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="'"), min_size=1))
def test_quotes_protect_any_text(text: str) -> None:
    """A quoted value is the text between its quotes, whatever that is."""
    assert read(f"source='{text}',data_root=y") == {"source": text, "data_root": "y"}


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("[AAPL, ON]", ["AAPL", "ON"]),
        ("[7203, 0050]", ["7203", "0050"]),
        ("[AAPL]", ["AAPL"]),
        ("['BRK A', \"C,D\", E]", ["BRK A", "C,D", "E"]),
        ("listing #1.csv", "listing #1.csv"),
    ],
)
def test_symbols_are_taken_as_typed(typed: str, expected: object) -> None:
    """Brackets make a list of texts; without them it is the path of a listing."""
    assert read(f"symbols={typed},source=x") == {"symbols": expected, "source": "x"}


def test_other_values_are_yaml() -> None:
    """Numbers, dates, lists and null are what Kedro makes of them."""
    values = read(
        "backtest.test_start=2018-01-01,max_failed_share=0.5,backtest.x=[0.1, 0.9],"
        "backtest.test_years=3,rows=5,backtest.y=null,backtest.z={a: 1, b: 2}"
    )
    assert values == {
        "backtest.test_start": "2018-01-01",
        "max_failed_share": 0.5,
        "backtest.x": [0.1, 0.9],
        "backtest.test_years": 3,
        "rows": 5,
        "backtest.y": None,
        "backtest.z": {"a": 1, "b": 2},
    }


def test_commas_at_the_ends_are_nothing() -> None:
    """Scripts that join parameters may leave one too many."""
    assert read(",source=x, ,data_root=y,") == {"source": "x", "data_root": "y"}


@pytest.mark.parametrize("text", ["source", "a:b", "=x", "source='x','y'"])
def test_what_is_no_parameter_is_refused(text: str) -> None:
    """Where name=value must begin, something else is an error."""
    with pytest.raises(ParameterError, match="is not name=value"):
        split(text)


@pytest.mark.parametrize("text", ["source=x,data_root:y", "source=x, data_root", "source=x,rows"])
def test_a_forgotten_equals_sign_is_refused(text: str) -> None:
    """A parameter without its equals sign does not become part of a path."""
    with pytest.raises(ParameterError, match="needs an equals sign"):
        read(text)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("symbols", [True, 7203], r"symbols must be text, and is True \(bool\).*\['7203', 'ON'\]"),
        ("symbols", ["AAPL", 7203], r"is 7203 \(int\)"),
        ("symbols", 7, r"is 7 \(int\)"),
        ("source", 7, r"source must be text, and is 7 \(int\).*source: '007'"),
        ("data_root", None, "and ~ as nothing"),
        ("data_root", 20240215, "2024_02_15"),
        ("source", ["x"], r"\(list\)"),
        ("source", "", "source is empty"),
        (
            "source",
            os.fsdecode(b"/x/caf\xe9.zip"),
            r"source: the name /x/caf\\xe9.zip is not UTF-8",
        ),
        ("symbols", ["A", "B\udce9"], r"symbols: the name B\\xe9 is not UTF-8"),
        ("max_failed_share", "half", r"max_failed_share = 'half': must be a number, such as 0\.1"),
        ("rows", True, "rows = True: must be a number"),
        ("rows", RawValue("[1"), "not valid YAML"),
    ],
)
def test_what_yaml_or_a_program_made_of_a_value_is_refused(
    name: str, value: object, message: str
) -> None:
    """Something else than text, or than the default's type, names itself and the remedy."""
    with pytest.raises(ParameterError, match=message):
        read_value(name, value, KNOWN)


def test_paths_and_lists_of_a_program_are_text() -> None:
    """A notebook may give a Path, and a list of symbols."""
    assert read_value("data_root", Path("a/b"), KNOWN) == "a/b"
    assert read_value("symbols", ["A", "ON"], KNOWN) == ["A", "ON"]
    assert read_value("symbols", None, KNOWN) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sourse", r"no parameter sourse; did you mean source\? There are: .*data_root, .*rows"),
        ("backtest.teststart", r"did you mean backtest\.test_start\? There are: backtest\.test_s"),
        ("bactest.test_start", r"did you mean backtest\.test_start\?"),
        ("zzz", r"no parameter zzz\. There are"),
        ("source.x", "no parameter source.x"),
        ("limit", r"limit does nothing here: use it with --env http"),
        ("limitt", r"did you mean limit\?"),
        ("forecaster.least_sessions", "is now called forecaster.min_sessions"),
    ],
)
def test_unknown_parameters_are_refused(name: str, message: str) -> None:
    """The error has the near match, and what there is; nested names have their group's."""
    with pytest.raises(ParameterError, match=message):
        refuse_unknown(["source", name], KNOWN, ELSEWHERE)


def test_known_parameters_pass() -> None:
    """Groups, fields, and fields of fields that are no group are for their models to judge."""
    names = ["source", "rows", "backtest", "backtest.test_start", "backtest.test_start.x"]
    refuse_unknown(names, KNOWN, ELSEWHERE)


def test_a_parameter_without_default_is_required() -> None:
    """What the catalog cannot do without is asked for by name."""
    with pytest.raises(ParameterError, match=re.escape("--params url=…")):
        check_required(["source"], KNOWN)
    check_required(["url"], KNOWN)


def test_a_default_that_is_an_interpolation_leaves_the_value_to_yaml() -> None:
    """Its type is not known before Kedro resolves it."""
    asked = find_placeholders(["${runtime_params:x, ${globals:y}}"])
    assert read_value("x", RawValue("5"), KnownParameters(asked, {})) == 5


def test_nested_names_come_back() -> None:
    """Dotted names and dictionaries are the same parameters, mixed ones too."""
    nested: dict[str, Given] = {"backtest": {"test_start": 1, "x.y": 2}, "rows": 3, "empty": {}}
    flat: dict[str, Given] = {"backtest.test_start": 1, "backtest.x.y": 2, "rows": 3, "empty": {}}
    assert dict(flatten(nested)) == flat
    assert nest(flat) == {
        "backtest": {"test_start": 1, "x": {"y": 2}},
        "rows": 3,
        "empty": {},
    }


@pytest.mark.parametrize("flat", [{"a": 1, "a.b": 2}, {"a.b": 2, "a": 1}])
def test_a_value_and_fields_at_once_are_refused(flat: dict[str, int]) -> None:
    """Neither is dropped for the other."""
    with pytest.raises(ParameterError, match="both a value and fields"):
        nest(flat)
