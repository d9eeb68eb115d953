"""The report's two parts: the given figures, and what they mean."""

from copy import deepcopy
from typing import Any

import pytest

from stock_volume.bars.report import report_data
from stock_volume.estimator.report import report_estimator
from stock_volume.estimator.train import EstimatorMetrics, SplitMetrics

QUALITY: dict[str, Any] = {
    "rows": {"read": 1_234_567, "kept": 1_200_000, "quarantined": 34_567},
    "quarantined_by_rule": {"missing_field": 34_000, "duplicate_bar": 567, "weekend_date": 0},
    "flagged_by_rule": {"zero_volume": 4_321, "open_unknown": 0},
    "files": {"found": 1_010, "read": 1_007, "empty": 2, "unreadable": 1},
    "troubled_files": [
        {"file": "stocks/X.csv", "status": "unreadable", "note": "cannot be read: Bad CRC-32"},
        {"file": "etfs/Y.csv", "status": "empty", "note": "has no rows"},
    ],
    "symbols": 1_005,
    "first_date": "1962-01-02",
    "last_date": "2020-04-01",
    "constant_volume": None,
}


def _metrics(random_r2: float | None = 0.8125, time_r2: float | None = 0.75) -> EstimatorMetrics:
    return EstimatorMetrics(
        random_split=SplitMetrics(
            mae=1_234_567.4, mse=1.5e14, r2=random_r2, n_train=80_000, n_test=20_001
        ),
        time_split=SplitMetrics(
            mae=987_654.3, mse=2.25e13, r2=time_r2, n_train=79_998, n_test=20_003
        ),
    )


def _table_rows(report: str) -> list[list[str]]:
    """Cells of the rows of a report's table, below its head."""
    lines = [line for line in report.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize(
    "words",
    [
        "1,005 symbols, 1962-01-02 to 2020-04-01",
        "Of 1,234,567 rows read, 1,200,000 were kept and 34,567 quarantined",
        "Of 1,010 files, 1,007 were read, 2 empty and 1 unreadable",
        "- `stocks/X.csv` (unreadable): cannot be read: Bad CRC-32",
        "- `etfs/Y.csv` (empty): has no rows",
    ],
)
def test_data_report_has_the_figures(words: str) -> None:
    """The report has counts, dates and troubled files as given."""
    assert words in report_data(QUALITY)


def test_data_report_has_the_rules_that_were_met() -> None:
    """The table has the rules that some row met, with its fate, and no others."""
    assert _table_rows(report_data(QUALITY)) == [
        ["missing_field", "rejected", "34,000"],
        ["duplicate_bar", "rejected", "567"],
        ["zero_volume", "flagged, kept", "4,321"],
    ]


def test_data_report_of_clean_data_has_no_table_and_no_list() -> None:
    """Where no rule was met and no file troubled, there is no empty table and no empty list."""
    quality = deepcopy(QUALITY)
    quality |= {"quarantined_by_rule": {}, "troubled_files": []}
    quality["flagged_by_rule"] = {"zero_volume": 0}
    report = report_data(quality)
    assert "|" not in report
    assert "\n- " not in report
    assert "1,005 symbols" in report


def test_data_report_says_that_all_volumes_are_one() -> None:
    """Where the volumes do not vary the report has the volume, and otherwise no word of it."""
    assert "**All volumes are 50,000.**" in report_data({**QUALITY, "constant_volume": 50_000})
    assert "All volumes" not in report_data(QUALITY)


def test_estimator_report_has_the_figures_of_both_splits() -> None:
    """The table has one row a split, with errors and numbers of rows."""
    assert _table_rows(report_estimator(_metrics())) == [
        ["random", "1,234,567", "1.5e+14", "0.8125", "80,000", "20,001"],
        ["by time", "987,654", "2.25e+13", "0.7500", "79,998", "20,003"],
    ]


def test_estimator_report_says_that_it_is_no_forecast() -> None:
    """The report says that the estimator sees part of its answer."""
    assert "Neither row is the error of a forecast" in report_estimator(_metrics())


@pytest.mark.parametrize(
    ("random_r2", "time_r2", "words"),
    [
        (0.9, 0.7, "random split was optimistic: R² 0.9000 against 0.7000"),
        (0.7, 0.9, "random split was not optimistic: R² 0.7000 against 0.9000"),
    ],
)
def test_estimator_report_judges_by_the_figures(
    random_r2: float, time_r2: float, words: str
) -> None:
    """The report says of the figures at hand whether the random split was optimistic."""
    assert words in report_estimator(_metrics(random_r2, time_r2))


def test_parts_make_one_document() -> None:
    """Each part ends with a line end, so that the next one's heading starts a line."""
    assert "\n## Estimator" in report_data(QUALITY) + report_estimator(_metrics())
    assert report_data(QUALITY).startswith("# Report\n")
    assert report_estimator(_metrics()).endswith("\n")


@pytest.mark.parametrize(("random_r2", "time_r2"), [(None, None), (0.9, None), (None, 0.9)])
def test_estimator_report_says_what_is_undefined(
    random_r2: float | None, time_r2: float | None
) -> None:
    """Where volumes do not vary the cell of R² says undefined, and a sentence says why."""
    report = report_estimator(_metrics(random_r2, time_r2))
    cells = ["undefined" if r2 is None else "0.9000" for r2 in (random_r2, time_r2)]
    assert [row[3] for row in _table_rows(report)] == cells
    assert "Where R² is undefined, the volumes held out do not vary." in report
    assert "optimistic:" not in report
