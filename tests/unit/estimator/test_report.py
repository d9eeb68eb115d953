"""The section on the estimator: the given figures, and what they mean."""

import pytest

from stock_volume.estimator.report import report_estimator
from stock_volume.estimator.train import EstimatorMetrics, SplitMetrics


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


def test_the_section_is_one_of_the_report() -> None:
    """The section begins with a heading of its own and ends with a line end."""
    assert report_estimator(_metrics()).startswith("## Estimator")
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
