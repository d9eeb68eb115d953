"""The pages of the reference."""

from pathlib import Path

import pandera.polars as pa
import pytest

from stock_volume import schemas
from stock_volume.features.schedule import GROUP_COLUMNS
from stock_volume.reference.layers import is_feature
from stock_volume.reference.meanings import MEANINGS
from stock_volume.reference.pages import describe_project

PROJECT = Path(__file__).parents[3]
FOLDER = PROJECT / "docs/reference"


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return describe_project(PROJECT)


def test_pages_are_current(pages: dict[str, str]) -> None:
    """docs/reference has exactly what the models say."""
    written = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    assert written == pages, "docs/reference is stale: run `make reference`"


def test_every_parameter_has_a_meaning(pages: dict[str, str]) -> None:
    """No model has a field without a description."""
    rows = [line for line in pages["parameters.md"].splitlines() if line.startswith("| `")]
    assert len(rows) > 80
    assert [row for row in rows if not row.split("|")[-2].strip()] == []


def test_a_parameter_has_its_bounds_and_its_default(pages: dict[str, str]) -> None:
    """Types, defaults and bounds come from the model, for nested and inherited fields too."""
    text = pages["parameters.md"]
    assert "| `forecaster.max_bin` | integer | `127` | ≥ 2, ≤ 255 |" in text
    assert "| `monitor.exit_codes.watch` | integer | `0` | ≥ 0, ≤ 255 |" in text
    assert '| `ingestion.closed_days` | `"keep"` or `"reject"` | `"keep"` |' in text
    assert "| `url` | required | `http` |" in text


def test_every_column_has_a_meaning_and_every_meaning_a_column() -> None:
    """Meanings follow the schemas."""
    layers = [one for one in vars(schemas).values() if isinstance(one, pa.DataFrameSchema)]
    own = {
        name
        for schema in layers
        for name, column in schema.columns.items()
        if not is_feature(column)
    }
    assert own - set(GROUP_COLUMNS) == set(MEANINGS)


def test_layers_mark_what_may_be_null(pages: dict[str, str]) -> None:
    """A price has no null except an unknown Open."""
    prices = pages["layers.md"].split("### prices")[1].split("###")[0]
    assert "`02_intermediate/prices.parquet`" in prices
    assert "| `Open` | Float64 | null |" in prices
    assert "| `Close` | Float64 |  |" in prices


def test_every_route_and_body_is_described(pages: dict[str, str]) -> None:
    """Each link to a body leads to its heading."""
    text = pages["rest.md"]
    assert "### GET /forecast/{symbol}\n" in text
    headings = {line[4:].lower() for line in text.splitlines() if line.startswith("### ")}
    linked = {part.split(")")[0] for part in text.split("](#")[1:]}
    assert {"forecast", "problem", "symbolsrequest"} <= linked
    assert linked <= headings
