"""The report on the data: its counts, and the proof that no row was lost."""

import json
from datetime import date
from typing import Any

import polars as pl
import pytest

from stock_volume.bars.ledger import RowCounts, check_balance
from stock_volume.bars.quality import report_quality
from stock_volume.errors import NoVolumeError, UnbalancedRowsError
from tests.unit.helpers import files_frame, prices_frame, quarantine_frame

PRICES = prices_frame([("A", date(2020, 1, 3)), ("A", date(2020, 1, 6)), ("B", date(2019, 5, 2))])
QUARANTINE = quarantine_frame(["weekend_date", "missing_field", "weekend_date"])
FILES = files_frame(
    {"file": "stocks/A.csv", "rows_read": 4, "rows_kept": 2, "rows_quarantined": 2},
    {
        "file": "stocks/B.csv",
        "note": "extra columns left out: x",
        "rows_read": 2,
        "rows_kept": 1,
        "rows_quarantined": 1,
        "open_unknown": 1,
        "zero_volume": 1,
    },
    {"file": "stocks/C.csv", "status": "empty", "note": "has no rows"},
    {"file": "stocks/D.csv", "status": "unreadable", "note": "is binary", "sha256": None},
    {"file": "stocks/E.csv", "status": "unreadable", "note": "is binary"},
)


def report(
    prices: pl.DataFrame = PRICES,
    quarantine: pl.DataFrame = QUARANTINE,
    files: pl.DataFrame = FILES,
) -> dict[str, Any]:
    """Make a report, as its JSON file has it."""
    return report_quality(prices.lazy(), quarantine.lazy(), files.lazy()).model_dump(mode="json")


def test_the_whole_report() -> None:
    """The report counts rows by fate, rule and flag, and files by status, with names."""
    assert report() == {
        "rows": {"read": 6, "kept": 3, "known": 0, "quarantined": 3},
        "quarantined_by_rule": {"missing_field": 1, "weekend_date": 2},
        "flagged_by_rule": {
            "date_out_of_order": 0,
            "open_unknown": 1,
            "zero_volume": 1,
            "exchange_closed": 0,
        },
        "files": {
            "found": 5,
            "read": 2,
            "empty": 1,
            "unreadable": 2,
            "rejected": 0,
            "copy": 0,
            "conflicting": 0,
            "set_aside": 0,
        },
        "troubled_files": [
            {"file": "stocks/B.csv", "status": "read", "note": "extra columns left out: x"},
            {"file": "stocks/C.csv", "status": "empty", "note": "has no rows"},
            {"file": "stocks/D.csv", "status": "unreadable", "note": "is binary"},
            {"file": "stocks/E.csv", "status": "unreadable", "note": "is binary"},
        ],
        "symbols": 2,
        "first_date": "2019-05-02",
        "last_date": "2020-01-06",
        "constant_volume": None,
    }


def test_volumes_that_do_not_vary_are_reported() -> None:
    """Where every bar has one volume the report has it; a single bar is no sign of it."""
    constant = PRICES.with_columns(pl.lit(50_000).cast(pl.Int64).alias("Volume"))
    assert report(constant)["constant_volume"] == 50_000
    one = report(
        constant.head(1), quarantine_frame([]), files_frame({"rows_read": 1, "rows_kept": 1})
    )
    assert one["constant_volume"] is None


def test_the_report_is_json() -> None:
    """The report survives a round trip through JSON unchanged."""
    assert json.loads(json.dumps(report())) == report()


def test_a_clean_archive_has_no_trouble() -> None:
    """Without rejected rows and troubled files both lists are empty."""
    files = files_frame({"rows_read": 3, "rows_kept": 3})
    clean = report(quarantine=QUARANTINE.clear(), files=files)
    assert clean["quarantined_by_rule"] == {}
    assert clean["troubled_files"] == []
    assert clean["rows"] == {"read": 3, "kept": 3, "known": 0, "quarantined": 0}


def test_an_empty_archive_has_no_dates() -> None:
    """Without rows there is no first and no last date, and the sums are zero."""
    empty = report(PRICES.clear(), QUARANTINE.clear(), FILES.clear())
    assert empty["rows"] == {"read": 0, "kept": 0, "known": 0, "quarantined": 0}
    assert (empty["symbols"], empty["first_date"], empty["last_date"]) == (0, None, None)


@pytest.mark.parametrize(
    ("prices", "quarantine", "sums"),
    [
        pytest.param(PRICES.head(2), QUARANTINE, r"6 != 2 \+ 0 \+ 3", id="a-bar-was-not-written"),
        pytest.param(PRICES, QUARANTINE.head(2), r"6 != 3 \+ 0 \+ 2", id="a-rejected-row-was-not"),
        pytest.param(
            pl.concat([PRICES, PRICES]),
            QUARANTINE,
            r"6 != 6 \+ 0 \+ 3",
            id="bars-were-written-twice",
        ),
    ],
)
def test_rows_lost_in_writing_are_an_error(
    prices: pl.DataFrame, quarantine: pl.DataFrame, sums: str
) -> None:
    """The written layers must hold as many rows as were read."""
    with pytest.raises(UnbalancedRowsError, match=sums):
        report(prices, quarantine)


def test_rows_that_were_known_count() -> None:
    """Rows of an update whose bars were held are neither kept again nor lost."""
    files = files_frame(
        {"rows_read": 3, "rows_kept": 3},
        {"file": "new/stocks/A.csv", "rows_read": 2, "rows_known": 2},
    )
    updated = report(quarantine=QUARANTINE.clear(), files=files)
    assert updated["rows"] == {"read": 5, "kept": 3, "known": 2, "quarantined": 0}


def test_losses_that_cancel_out_are_an_error() -> None:
    """A row lost in one file and made up in another is found, and both files are named."""
    files = files_frame(
        {"file": "stocks/A.csv", "rows_read": 4, "rows_kept": 3},
        {"file": "stocks/B.csv", "rows_read": 2, "rows_kept": 3},
        {"file": "stocks/C.csv", "rows_read": 1, "rows_kept": 1},
    )
    with pytest.raises(UnbalancedRowsError, match=r"\['stocks/A.csv', 'stocks/B.csv'\]"):
        check_balance(RowCounts(read=7, kept=7, known=0, quarantined=0), files)


def test_balanced_rows_pass() -> None:
    """Counts that add up, in sum and in each file, raise nothing; one row less does."""
    rows = RowCounts(read=6, kept=3, known=0, quarantined=3)
    check_balance(rows, FILES)
    with pytest.raises(UnbalancedRowsError):
        check_balance(rows.model_copy(update={"kept": 2}), FILES)


def test_bars_without_any_volume_are_an_error() -> None:
    """Where every volume is 0 the error says so, with the number, the dates and a file."""
    idle = PRICES.with_columns(pl.lit(0).cast(pl.Int64).alias("Volume"))
    words = (
        r"^all volumes are 0: not one of the 3 bars from 2019-05-02 to 2020-01-06.*stocks/A\.csv"
    )
    with pytest.raises(NoVolumeError, match=words):
        report(idle)
