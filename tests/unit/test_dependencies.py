"""Bills of materials and licences."""

import json
from pathlib import Path

import pytest

from stock_volume.dependencies import (
    LICENCES_FILE,
    LOCKS,
    NOT_STATED,
    SBOM_FOLDER,
    Pin,
    build_sbom,
    describe_licences,
    read_pins,
    read_project,
)


@pytest.mark.parametrize("name", LOCKS)
def test_bill_of_materials_is_current(name: str) -> None:
    """``make sbom`` renews it after a change of the lock file."""
    bill = json.loads((SBOM_FOLDER / f"{name}.cdx.json").read_text(encoding="utf-8"))
    listed = {(one["name"], one["version"]) for one in bill["components"]}
    assert listed == {(pin.name, pin.version) for pin in read_project()[name]}


def test_page_of_licences_is_current() -> None:
    """It has a line for every package of every lock file."""
    cells = [line.split(" | ") for line in LICENCES_FILE.read_text(encoding="utf-8").splitlines()]
    listed = {(row[0].removeprefix("| "), row[1]) for row in cells if len(row) == 4}
    pins = {(pin.name, pin.version) for packages in read_project().values() for pin in packages}
    assert listed == {*pins, ("package", "version")}


def test_pins_are_read_with_their_platforms(tmp_path: Path) -> None:
    """Hashes and extras are not part of name or version."""
    lock = tmp_path / "a.lock"
    lock.write_text(
        "b[x]==2.0 \\\n    --hash=sha256:00\n"
        "a==1.0 ; os_name == 'nt' \\\n    --hash=sha256:00\n"
        "c==3\n",
        encoding="utf-8",
    )
    assert read_pins(lock) == [Pin("a", "1.0", "os_name == 'nt'"), Pin("b", "2.0"), Pin("c", "3")]


def test_licence_is_an_expression_a_name_or_a_classifier() -> None:
    """Packages state it in one of three ways, or not at all."""
    names = ("numpy", "h11", "aiosqlite", "no-such-package")
    licences = [Pin(name, "").find_licence() for name in names]
    assert "BSD-3-Clause" in licences[0]
    assert licences[1:] == ["MIT", "MIT License", NOT_STATED]


def test_bill_of_materials_depends_on_the_packages_only() -> None:
    """Two Bentos of the same packages are equal byte for byte."""
    pins = [Pin("h11", "1", "os_name == 'nt'"), Pin("uplot", "2", licence="MIT", registry="npm")]
    bill = json.loads(build_sbom(pins))
    assert build_sbom(pins) == build_sbom(pins)
    assert [one["purl"] for one in bill["components"]] == ["pkg:pypi/h11@1", "pkg:npm/uplot@2"]
    assert bill["components"][0]["description"] == "only if os_name == 'nt'"
    assert bill["components"][1]["licenses"] == [{"license": {"id": "MIT"}}]


def test_package_of_several_lists_has_one_line() -> None:
    """Whatever platforms they name."""
    page = describe_licences(
        {"run": [Pin("h11", "1")], "dev": [Pin("h11", "1", "os_name == 'nt'")]}
    )
    assert page.splitlines()[-1] == "| h11 | 1 | MIT | run, dev |"
