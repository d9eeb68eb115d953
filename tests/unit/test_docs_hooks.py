"""The hooks of the documentation site."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def hooks() -> Any:
    spec = importlib.util.spec_from_file_location("docs_hooks", PROJECT / "docs/hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_of_the_readme_lead_into_the_site(hooks: Any) -> None:
    """Documents, pictures and the files beside the README are pages or files of the site."""
    text = (
        "[a](docs/service.md#errors) <img src='x'> ![b](docs/images/page.png) "
        '<img src="docs/images/page.png"> [c](CONTRIBUTING.md) [d](LICENSE) [e](https://x.org)'
    )
    assert hooks.move_into_docs(text) == (
        "[a](service.md#errors) <img src='x'> ![b](images/page.png) "
        '<img src="images/page.png"> [c](contributing.md) d [e](https://x.org)'
    )


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("[`rules.py`](../src/stock_volume/bars/rules.py)", "`rules.py`"),
        ("[rules](validation.md)", "[rules](validation.md)"),
        ("[nothing](../src/nothing.py)", "[nothing](../src/nothing.py)"),
    ],
)
def test_a_link_to_a_source_file_is_text(hooks: Any, link: str, shown: str) -> None:
    """A link to a file that does not exist stays, so that the strict build finds it."""
    page = SimpleNamespace(file=SimpleNamespace(src_uri="validation.md"))
    assert hooks.on_page_markdown(link, page) == shown


def test_every_decision_and_package_is_in_the_navigation(hooks: Any) -> None:
    """Nothing has to be added by hand."""
    config = SimpleNamespace(
        nav=[{"Reference": [{"Python": []}]}, {"Explanation": [{"Decisions": []}]}]
    )
    hooks.on_config(config)
    reference, explanation = config.nav
    packages = reference["Reference"][0]["Python"]
    assert "python/forecaster.md" in packages
    assert all((PROJECT / "src/stock_volume" / Path(one).stem).is_dir() for one in packages)
    decisions = explanation["Explanation"][0]["Decisions"]
    assert len(decisions) == len(list((PROJECT / "docs/decisions").glob("*.md")))
