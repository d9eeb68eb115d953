"""The lock files."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


def pins(name: str) -> dict[str, str]:
    """Read the pinned versions of a lock file, by package."""
    text = (PROJECT / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)(?:\[.*?\])?==(\S+)", text, re.MULTILINE))


def unconditional_pins(name: str) -> set[str]:
    """List the packages that a lock file has for every platform."""
    text = (PROJECT / name).read_text(encoding="utf-8")
    return set(re.findall(r"^([\w.-]+)(?:\[.*?\])?==\S+ \\$", text, re.MULTILINE))


@pytest.mark.parametrize(
    ("name", "package"),
    [("dev", "pytest"), ("notebook", "jupyterlab"), ("docs", "mkdocs-material")],
)
def test_locks_on_top_of_the_main_one_repeat_no_pin(name: str, package: str) -> None:
    """They are installed on top of it, and have only what they add."""
    added = pins(f"requirements-{name}.lock")
    assert package in added
    assert not added.keys() & unconditional_pins("requirements.lock")


@pytest.mark.parametrize("package", ["pytest", "kedro-viz", "mypy", "jupyterlab", "mkdocs"])
def test_a_run_installs_no_tools(package: str) -> None:
    """What tests, graphs and notebooks need is installed on demand."""
    assert package not in pins("requirements.lock")


@pytest.mark.parametrize("name", ["notebook", "docs"])
def test_development_agrees_with_what_is_added(name: str) -> None:
    """All can be installed in one environment."""
    dev, added = pins("requirements-dev.lock"), pins(f"requirements-{name}.lock")
    assert all(dev[package] == added[package] for package in dev.keys() & added.keys())
