"""The report as one HTML file."""

import re
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from stock_volume import columns
from stock_volume.evaluation.baselines import BASELINES
from stock_volume.evaluation.groups import COMMON_STOCK
from stock_volume.features.registry import ETA
from stock_volume.forecaster.model import FORECAST, MA5, quantile_name
from stock_volume.reporting.glossary import TERMS
from stock_volume.reporting.html import format_compactly, write_html
from stock_volume.reporting.verdict import in_sentences, judge
from tests.unit.forecast_helpers import LEVELS
from tests.unit.reporting.reported import BACKTEST, results_of

RESULTS = results_of()
HTML = write_html(RESULTS)
LEVELS_TRAINED = RESULTS.training.parameters.quantiles
VOID = {"meta", "circle", "line", "polygon", "polyline"}
CONSTANT = BACKTEST.with_columns(
    pl.lit(50_000).cast(pl.Int64).alias(columns.VOLUME),
    pl.lit(20.0).alias(columns.CLOSE),
    *(pl.lit(50_000.0).alias(name) for name in (*BASELINES, FORECAST)),
    *(pl.lit(50_000.0).alias(quantile_name(level)) for level in LEVELS),
    pl.lit(0.0).alias(ETA),
)


class Document(HTMLParser):
    """Checks that tags are balanced, and collects text, identifiers and links."""

    def __init__(self, text: str) -> None:  # noqa: D107
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        self.links += [str(given[name]) for name in ("href", "src") if name in given]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.mark.parametrize(
    "backtest",
    [
        BACKTEST,
        BACKTEST.filter(COMMON_STOCK),
        BACKTEST.filter(pl.col(columns.SYMBOL) == "S00"),
        BACKTEST.head(3),
        BACKTEST.head(1),
        CONSTANT,
    ],
    ids=["many", "common", "one-symbol", "three-rows", "one-row", "constant"],
)
def test_the_file_is_complete_and_loads_nothing(backtest: pl.DataFrame) -> None:
    """Tags are balanced, links stay in the file, and no number is missing."""
    html = write_html(results_of(backtest))
    document = Document(html)
    assert html.startswith("<!DOCTYPE html>")
    assert len(set(document.ids)) == len(document.ids)
    assert {link.removeprefix("#") for link in document.links} <= set(document.ids)
    assert not re.search(r"https?:|<script|@import|url\(", html)
    assert not re.search(r"\b(nan|inf|None|null|Undefined)\b", document.text)


def test_the_verdict_comes_first() -> None:
    """The verdict is before any table, in the words of the Markdown report."""
    verdict = in_sentences(judge(RESULTS.metrics.forecaster, RESULTS.findings))
    text = Document(HTML).text.replace("\N{NO-BREAK SPACE}", " ")
    places = [text.index(sentence) for sentence in verdict]
    assert places == sorted(places)
    assert places[-1] < text.index("The data")


def test_sections_show_what_was_found() -> None:
    """Counts, files, groups, days, symbols, forecasts and versions are there."""
    text = Document(HTML).text
    findings = RESULTS.findings
    for words in (
        "12,345 rows read",
        "no session is held on a weekend",
        "weekend_date 4",
        "2019-02 (2 sessions)",
        *(one.name for one in findings.by_bucket),
        *(one.symbol for one in findings.examples),
        "+1,100 %",
        PROVENANCE,
        f"quantiles {', '.join(f'{100 * one:g} %' for one in LEVELS_TRAINED)}",
        *TERMS,
    ):
        assert words in text
    assert text.count("early close") >= 1


PROVENANCE = RESULTS.findings.provenance.data_fingerprint


def test_names_are_escaped() -> None:
    """A file named like a tag is text."""
    assert "etfs/&lt;b&gt;.csv" in HTML
    assert "<b>.csv" not in HTML


def test_the_file_follows_the_theme_and_prints() -> None:
    """There are colours for a dark screen and rules for paper."""
    assert "@media (prefers-color-scheme: dark)" in HTML
    assert "@media print" in HTML


def test_the_only_group_has_no_table() -> None:
    """Where all symbols are common stocks, one sentence says so."""
    html = write_html(results_of(BACKTEST.filter(COMMON_STOCK)))
    assert "All rows are in one group: <strong>common stocks = all symbols</strong>" in html
    assert "other stocks" not in Document(html).text


def test_an_interval_that_always_held_and_one_that_never_did_are_drawn() -> None:
    """Charts have finite coordinates whatever the values are."""
    for text in re.findall(r'(?:points|cx|cy|x1|y1|x2|y2)="([^"]*)"', HTML):
        assert re.fullmatch(r"[\d., -]+", text)
    assert MA5 in HTML


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999.4, "999"),
        (999.6, "1 k"),
        (16_841_203, "16.8 M"),
        (5e9, "5 bn"),
        (7.25e12, "7.25 tn"),
        (4e15, "4,000 tn"),
    ],
)
def test_large_numbers_have_three_digits(value: float, text: str) -> None:
    """Numbers of shares are short enough for a table."""
    assert format_compactly(value) == text


def test_the_glossary_has_every_term() -> None:
    """What the report explains, docs/glossary.md explains, too."""
    glossary = (Path(__file__).parents[3] / "docs/glossary.md").read_text(encoding="utf-8")
    for term in TERMS:
        word = re.escape(term.partition(" (")[0])
        assert re.search(rf"^- \*\*{word}\*\*", glossary, re.MULTILINE), term


def test_nothing_set_aside_is_said_in_words() -> None:
    """Without rejected rows there is no file, line and rule to speak of."""
    assert "8 were set aside, each with its file, line and rule." in HTML
    rows = RESULTS.quality.rows.model_copy(update={"quarantined": 0})
    clean = RESULTS.quality.model_copy(update={"rows": rows})
    assert "and none was set aside." in write_html(RESULTS._replace(quality=clean))
