"""The section on data quality: the figures as given, and nothing empty."""

from datetime import date
from typing import Final

import pytest

from stock_volume.bars.ledger import FileStatus, RowCounts
from stock_volume.bars.quality import QualityReport, TroubledFile
from stock_volume.bars.report import report_data

QUALITY: Final = QualityReport(
    rows=RowCounts(read=1_234_567, kept=1_200_000, known=0, quarantined=34_567),
    quarantined_by_rule={"missing_field": 34_000, "duplicate_bar": 567, "weekend_date": 0},
    flagged_by_rule={"zero_volume": 4_321, "open_unknown": 0},
    files={"found": 1_010, "read": 1_007, "empty": 2, "unreadable": 1, "set_aside": 0},
    troubled_files=(
        TroubledFile(
            file="stocks/X.csv", status=FileStatus.UNREADABLE, note="cannot be read: Bad CRC-32"
        ),
        TroubledFile(file="etfs/Y.csv", status=FileStatus.EMPTY, note="has no rows"),
    ),
    symbols=1_005,
    first_date=date(1962, 1, 2),
    last_date=date(2020, 4, 1),
    constant_volume=None,
)
CLEAN: Final = QUALITY.model_copy(
    update={
        "quarantined_by_rule": {},
        "flagged_by_rule": {"zero_volume": 0},
        "files": {"found": 1_007, "read": 1_007, "empty": 0},
        "troubled_files": (),
    }
)


@pytest.mark.parametrize(
    "words",
    [
        "1,005 symbols, 1962-01-02 to 2020-04-01",
        "Of 1,234,567 rows read, 1,200,000 were kept and 34,567 quarantined",
        "Of 1,010 files, 1,007 were read (2 empty, 1 unreadable).",
        "- `stocks/X.csv` (unreadable): cannot be read: Bad CRC-32",
        "- `etfs/Y.csv` (empty): has no rows",
    ],
)
def test_the_section_has_the_figures(words: str) -> None:
    """Counts, dates and troubled files are written as given."""
    assert words in report_data(QUALITY)


def test_the_table_has_the_rules_that_rows_met() -> None:
    """Each rule that some row met has a line with its fate and count, and no other rule has."""
    lines = [line for line in report_data(QUALITY).splitlines() if line.startswith("|")]
    assert lines[2:] == [
        "| missing_field | rejected | 34,000 |",
        "| duplicate_bar | rejected | 567 |",
        "| zero_volume | flagged, kept | 4,321 |",
    ]


def test_clean_data_have_no_table_and_no_list() -> None:
    """Where no rule was met and no file is troubled, there is neither an empty table nor a list."""
    section = report_data(CLEAN)
    assert "|" not in section
    assert "\n- " not in section
    assert "Of 1,007 files, 1,007 were read." in section


def test_volumes_that_are_all_equal_are_named() -> None:
    """Where the volumes do not vary the section has the volume, and otherwise no word of it."""
    constant = QUALITY.model_copy(update={"constant_volume": 50_000})
    assert "**All volumes are 50,000.**" in report_data(constant)
    assert "All volumes" not in report_data(QUALITY)


def test_the_section_begins_the_report() -> None:
    """The section has the report's title, and ends with a line end for the next section."""
    assert report_data(QUALITY).startswith("# Report\n")
    assert report_data(QUALITY).endswith("\n")
