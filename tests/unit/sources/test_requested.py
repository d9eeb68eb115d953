"""The custom source documented in docs/sources/your-own.md."""

import re
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from stock_volume.bars.archive import SINCE
from stock_volume.sources.requested import Answer, Request, RequestedSource

PAGE = Path(__file__).parents[3] / "docs/sources/your-own.md"


@pytest.fixture
def example() -> dict[str, Any]:
    """Names that the page's Python code defines."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, PAGE, "exec"), names)  # noqa: S102 (a page of ours)
    return names


def test_the_example_is_a_source(example: dict[str, Any], tmp_path: Path) -> None:
    """The documented source returns all bars, recent bars, and reasons for absent symbols."""
    database = tmp_path / "bars.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(
            'CREATE TABLE bars (Symbol, Date, Open, High, Low, Close, "Adj Close", Volume)'
        )
        rows = [
            (symbol, f"2021-01-0{day}", 1, 2, 1, 2, 2, day) for symbol in "AB" for day in (4, 5)
        ]
        connection.executemany("INSERT INTO bars VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        connection.commit()
    source = example["SqliteSource"](str(database), ["A", "B"], str(tmp_path / "landing"))
    header = "Date,Open,High,Low,Close,Adj Close,Volume\n"
    everything = source.open().everything()
    assert everything.read("stocks/B.csv").decode() == (
        f"{header}2021-01-04,1,2,1,2,2,4\n2021-01-05,1,2,1,2,2,5\n"
    )
    symbols = ["A", *(f"N{number}" for number in range(19)), "B"]
    wanted = pl.DataFrame({"Symbol": symbols, "ETF": False, SINCE: date(2021, 1, 5)})
    source._max_failed_share = 0.95  # noqa: SLF001
    recent = source.recent(wanted)
    assert recent.read("stocks/A.csv").decode() == f"{header}2021-01-05,1,2,1,2,2,5\n"
    assert recent.absent["N7"] == "not in the database"


class CannedSource(RequestedSource):
    """A source that yields prepared answers."""

    def __init__(self, answers: dict[str, bytes], landing: Path) -> None:
        """Store the answers by symbol."""
        super().__init__("mine", list(answers), landing, max_failed_share=0.5)
        self._answers = answers

    def fetch(self, requests: Sequence[Request]) -> Generator[Answer]:
        for request in requests:
            yield self._answers[request.symbol]


def test_answers_without_bars_are_absent(tmp_path: Path) -> None:
    """A symbol whose answer has no bars is absent, and the reason quotes the answer."""
    bars = b"Date,Open,High,Low,Close,Adj Close,Volume\n2021-01-04,1,2,1,2,2,100\n"
    note = b'{"error": "see https://host/?key=SECRET"}'
    source = CannedSource({"A": bars, "B": note, "C": bars, "D": b""}, tmp_path)
    archive = source.everything()
    assert [file.symbol for file in archive.files] == ["A", "C"]
    assert archive.absent.keys() == {"B", "D"}
    assert archive.absent["B"].startswith('JSON in place of bars: {"error": "see https://host/?…')
    assert "SECRET" not in archive.absent["B"]
    assert archive.absent["D"] == "an empty answer"
