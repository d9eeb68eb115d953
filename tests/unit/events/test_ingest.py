"""Files of events: which rows are kept, which are set aside, and why."""

import json
from datetime import UTC, date, datetime
from io import BytesIO
from typing import Any

import polars as pl
import pytest

from stock_volume.errors import SourceError
from stock_volume.events.ingest import IngestedEvents, ingest_event_files
from stock_volume.events.rules import EventParameters
from stock_volume.events.source import EventFile, EventFiles

AS_OF = date(2020, 12, 31)
HEADER = "Symbol,Date,Time,Kind,Known,Confirmed"


def ingested(*texts: str | bytes, name: str = "events.csv", **changed: Any) -> IngestedEvents:
    """Ingest files of events as of ``AS_OF``."""
    contents = [text if isinstance(text, bytes) else text.encode() for text in texts]
    files = EventFiles([EventFile(name, content) for content in contents])
    return ingest_event_files(files, EventParameters(**{"as_of": AS_OF, **changed}))


def rows(*lines: str, header: str = HEADER) -> str:
    """Write a file of events."""
    return "\n".join((header, *lines)) + "\n"


# A good row after the one under test, since a file without any is an error.
GOOD = "Z,2020-02-03,post"


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("A,2020-02-03,post,,,,1", "too_many_fields"),
        (",2020-02-03,post", "missing_field"),
        ("A,,post", "missing_field"),
        ("A,2020-02-30,post", "unparsable_date"),
        ("A,03/02/2020,post", "unparsable_date"),
        ("A,2020-02-03,soon", "unparsable_time"),
        ("A,2020-02-03,16:05", "unparsable_time"),
        ("A,2020-02-03,post,,2020-99", "unparsable_known"),
        ("A,2020-02-03,post,,,maybe", "unparsable_confirmed"),
        ("A,1820-02-03,post", "ancient_date"),
        ("A,2120-02-03,post", "far_date"),
        ("A,2020-02-03,post,,2021-03-01", "known_in_future"),
    ],
)
def test_row_that_breaks_a_rule_is_set_aside(line: str, rule: str) -> None:
    """A row is quarantined as read, with its file, its line and the rule; the others are kept."""
    result = ingested(rows(line, GOOD))
    found = result.quarantine.select("file", "line", "rule").rows()
    assert found == [("events.csv", 2, rule)]
    assert result.quarantine["Symbol"].to_list() == [line.split(",", maxsplit=1)[0] or None]
    assert result.events["Symbol"].to_list() == ["Z"]


@pytest.mark.parametrize(
    "line",
    [
        "A,2020-02-03",
        "A,2022-02-04,pre",
        "A,1900-01-02",
        "A,2020-02-03,,,2020-12-31,no",
        "A,2020-02-03,,,,",
    ],
)
def test_row_at_a_bound_is_kept(line: str) -> None:
    """A row at the edge of a rule is kept."""
    assert not ingested(rows(line), max_days_ahead=400).quarantine.height


@pytest.mark.parametrize(
    ("written", "time"),
    [
        *((word, "pre") for word in ("pre", "BMO", "Pre-Market", "time-pre-market", "dmh")),
        *((word, "post") for word in ("post", "AMC", "after hours", "time-after-hours")),
        *((word, None) for word in ("", "time-not-supplied", "NaN")),
    ],
)
def test_times_of_the_sources_are_read(written: str, time: str | None) -> None:
    """Times are pre, post or unknown, however a source writes them."""
    assert ingested(rows(f"A,2020-02-03,{written}")).events["Time"].to_list() == [time]


def test_rows_balance() -> None:
    """Rows read are rows kept and quarantined, for each of several files."""
    first, second = (
        rows("A,2020-02-03,post", "A,bad,post"),
        rows("A,2020-02-03,post", "B,2020-02-04"),
    )
    counts = ingested(first, second).files.select("rows_read", "rows_kept", "rows_quarantined")
    assert all(read == kept + aside for read, kept, aside in counts.rows())
    assert counts["rows_read"].sum() == 4


def test_a_repeated_event_is_kept_once() -> None:
    """Of equal rows the one known first is kept; it is confirmed if any of them is."""
    result = ingested(
        rows(
            "A,2020-02-03,post,,2020-01-15,no",
            "A,2020-02-03,post,,2020-01-06,no",
            "A,2020-02-03,post,,,yes",
        )
    )
    assert result.quarantine.select("line", "rule").rows() == [
        (2, "duplicate_event"),
        (4, "duplicate_event"),
    ]
    known, confirmed = result.events.select("Known", "Confirmed").row(0)
    # The end of 6 January in New York.
    assert (known, confirmed) == (datetime(2020, 1, 7, 5, tzinfo=UTC), True)


@pytest.mark.parametrize(
    ("times", "kept"),
    [
        (("pre", "post"), "post"),
        (("post", "pre"), "pre"),
        (("pre", ""), "pre"),
        (("", "post"), "post"),
    ],
)
def test_of_contradicting_times_the_last_known_one_counts(
    times: tuple[str, str], kept: str
) -> None:
    """A row with a time counts before one without, and a later row before an earlier one."""
    result = ingested(rows(*(f"A,2020-02-03,{time}" for time in times)))
    assert result.events["Time"].to_list() == [kept]
    assert result.quarantine["rule"].to_list() == ["contradicting_time"]


def test_events_of_other_kinds_and_symbols_do_not_meet() -> None:
    """The same date may have events of several kinds and symbols; earnings are the default."""
    result = ingested(rows("A,2020-02-03,pre", "A,2020-02-03,post,Dividend", "B,2020-02-03,post"))
    assert result.events.select("Symbol", "Kind").rows() == [
        ("A", "dividend"),
        ("A", "earnings"),
        ("B", "earnings"),
    ]


def test_flags_count_kept_rows() -> None:
    """Flagged rows are kept and counted."""
    result = ingested(
        rows("A,2020-02-01,", "A,2020-02-10,pre", "B,2020-02-03,pre,,2020-02-03 17:00:00")
    )
    flags = ["time_unknown", "no_session", "known_late", "close_to_another"]
    assert result.files.select(flags).row(0) == (1, 1, 1, 1)
    assert result.events.height == 3


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_order_and_spelling_of_columns(separator: str) -> None:
    """Columns are found by name, in any order and case, with any separator."""
    text = "note,TIME,ticker,date\nx,post,A,2020-02-03\n".replace(",", separator)
    assert ingested(text).events.select("Symbol", "Date", "Time").rows() == [
        ("A", date(2020, 2, 3), "post")
    ]


def test_parquet_is_read_as_csv_is() -> None:
    """A Parquet file with typed columns gives the same events as the CSV file."""
    content = BytesIO()
    moment = datetime(2020, 1, 6, 15, tzinfo=UTC)
    pl.DataFrame(
        {"Symbol": ["A"], "Date": [date(2020, 2, 3)], "Time": ["post"], "Known": [moment]}
    ).write_parquet(content)
    from_csv = ingested(rows(f"A,2020-02-03,post,,{moment.isoformat()}")).events
    assert ingested(content.getvalue(), name="events.PARQUET").events.equals(from_csv)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"Symbol,When\nA,2020-02-03\n", "has no column Date"),
        (b"Date,Date,Symbol\n", "two columns for Date"),
        (b"\0\1\2", "binary"),
        (json.dumps({"data": []}).encode(), "has no column Symbol"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(content: bytes, reason: str) -> None:
    """Without any usable file the run ends with the name of the first problem."""
    with pytest.raises(SourceError, match=f"events.csv .*{reason}"):
        ingested(content)


def test_an_unreadable_file_does_not_stop_the_others() -> None:
    """A file that cannot be read is in the account, with its reason; the others are read."""
    files = ingested(b"\0", rows(GOOD)).files
    assert files.select("status", "rows_kept").rows() == [("unreadable", 0), ("read", 1)]
    assert "binary" in files["note"][0]


def test_no_files_make_no_events() -> None:
    """Without a source the layers are empty, with the same columns and types."""
    nothing, something = ingested(), ingested(rows(GOOD))
    for empty, filled in zip(nothing, something, strict=True):
        assert not empty.height
        assert empty.schema == filled.schema
    assert ingested(rows()).files["status"].to_list() == ["empty"]
