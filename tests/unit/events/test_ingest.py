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


def versions(result: IngestedEvents) -> list[tuple[Any, ...]]:
    """List date, time, confirmation, and the origins that know it, of each version."""
    fields = ["Date", "Time", "Confirmed", "KnownFrom", "KnownUntil"]
    return [
        tuple(str(value)[5:] if isinstance(value, date) else value for value in row)
        for row in result.events.select(fields).rows()
    ]


def test_a_repeated_event_is_kept_once() -> None:
    """Of rows that say the same, the one known first is kept, wherever it is."""
    result = ingested(rows("A,2020-02-03,post,,2020-01-15,no", "A,2020-02-03,post,,2020-01-06,no"))
    assert result.quarantine.select("line", "rule").rows() == [(2, "duplicate_event")]
    # The end of 6 January in New York.
    assert result.events["Known"].to_list() == [datetime(2020, 1, 7, 5, tzinfo=UTC)]


def test_a_revised_event_does_not_change_before_it_was_known() -> None:
    """Time and confirmation of a later row count from its Known, until then the earlier ones."""
    result = ingested(rows("A,2020-02-03,post,,2020-02-05,yes", "A,2020-02-03,pre,,2020-01-06,no"))
    assert versions(result) == [
        ("02-03", "pre", False, "01-07", "02-06"),
        ("02-03", "post", True, "02-06", None),
    ]
    assert not result.quarantine.height
    assert [str(day) for day in result.events["Session"]] == ["2020-02-03", "2020-02-04"]


def test_what_was_known_stays_known() -> None:
    """A later row without time or confirmation takes nothing back."""
    result = ingested(
        rows(
            "A,2020-02-03,post,,2020-01-06,yes",
            "A,2020-02-03,,,2020-01-08,",
            "A,2020-02-03,,,2020-01-10,no",
        )
    )
    assert versions(result) == [("02-03", "post", True, "01-07", None)]
    assert result.quarantine["rule"].to_list() == ["duplicate_event"] * 2


@pytest.mark.parametrize("moved", ["01-28", "02-10", "02-17"])
def test_a_moved_event_counts_until_that_was_known(moved: str) -> None:
    """A later known date of the same kind supersedes one that has not taken place."""
    result = ingested(rows("A,2020-02-03,pre,,2020-01-06", f"A,2020-{moved},pre,,2020-01-22"))
    assert sorted(versions(result), key=str) == sorted(
        [("02-03", "pre", None, "01-07", "01-23"), (moved, "pre", None, "01-23", None)], key=str
    )
    assert result.files["moved"].to_list() == [1]


@pytest.mark.parametrize(
    "line",
    [
        "A,2020-02-18,pre,,2020-01-22",
        "A,2020-02-10,pre,,2020-02-04",
        "A,2020-02-10,pre,dividend,2020-01-22",
        "B,2020-02-10,pre,,2020-01-22",
        "A,2020-02-10,pre,,2020-01-06",
    ],
    ids=["further", "after it took place", "another kind", "another symbol", "known at once"],
)
def test_another_event_supersedes_nothing(line: str) -> None:
    """Two dates are two events if they are far apart, or known too late or at once."""
    result = ingested(rows("A,2020-02-03,pre,,2020-01-06", line))
    assert result.events.height == 2
    assert result.events["KnownUntil"].null_count() == 2


def test_a_move_that_is_taken_back() -> None:
    """The first date counts again once it is announced again."""
    result = ingested(
        rows(
            "A,2020-02-03,pre,,2020-01-06",
            "A,2020-02-10,pre,,2020-01-13",
            "A,2020-02-03,pre,,2020-01-20",
            "A,2020-02-03,pre,,2020-01-21",
        )
    )
    assert versions(result) == [
        ("02-03", "pre", None, "01-07", "01-14"),
        ("02-03", "pre", None, "01-21", None),
        ("02-10", "pre", None, "01-14", "01-21"),
    ]
    assert result.quarantine["line"].to_list() == [5]


def test_a_record_of_the_past_is_no_schedule() -> None:
    """A past date without Known counts from its end where others record what was scheduled."""
    realised = rows("A,2020-01-29,pre,,,yes", "A,2019-10-30,pre,,,yes")
    result = ingested(realised, rows("A,2020-02-03,pre,,2020-01-06"))
    assert versions(result) == [
        ("10-30", "pre", True, None, None),
        ("01-29", "pre", True, "01-30", None),
        ("02-03", "pre", None, "01-07", "01-30"),
    ]


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
    from_parquet = ingested(content.getvalue(), name="events.PARQUET").events
    assert from_parquet.drop("file", "line").equals(from_csv.drop("file", "line"))


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


# Merging into what is held.


def merged(held: IngestedEvents, *texts: str, name: str = "new.csv") -> IngestedEvents:
    """Merge files into held events, and check that every row is accounted for."""
    files = EventFiles([EventFile(name, text.encode()) for text in texts])
    result = ingest_event_files(files, EventParameters(as_of=AS_OF), held)
    fates = ["rows_kept", "rows_known", "rows_quarantined"]
    counts = result.files.select("rows_read", total=pl.sum_horizontal(fates))
    assert counts["rows_read"].to_list() == counts["total"].to_list()
    assert result.files["rows_kept"].sum() == result.events.height
    assert result.files["rows_quarantined"].sum() == result.quarantine.height
    return result


HELD = rows("A,2020-02-03,pre", "B,2020-02-04,,,2020-01-06", "B,bad,post")


def test_new_events_are_added_to_those_held() -> None:
    """A file of the coming weeks drops no past event."""
    held = ingested(HELD)
    result = merged(held, rows("A,2020-05-04,post", "A,2020-02-03,pre", "C,bad,"))
    assert result.events.select("Symbol", "Date").rows() == [
        ("A", date(2020, 2, 3)),
        ("A", date(2020, 5, 4)),
        ("B", date(2020, 2, 4)),
    ]
    assert result.files.select("file", "rows_known", "pending").rows() == [
        ("events.csv", 0, False),
        ("new.csv", 1, True),
    ]
    assert result.quarantine.select("file", "rule").rows() == [
        ("events.csv", "unparsable_date"),
        ("new.csv", "unparsable_date"),
    ]


def test_the_same_content_is_no_news() -> None:
    """A file that was read is not read again, whatever its name; equal rows change nothing."""
    held = ingested(HELD)
    for before, after in zip(held, merged(held, HELD), strict=True):
        assert after.equals(before)
    repeated = merged(held, rows("B,2020-02-04,,,2020-01-06"))
    assert repeated.events.equals(held.events)
    assert not repeated.files["pending"].any()


def test_a_merged_version_counts_from_its_known() -> None:
    """A revision from a later file leaves the held version until it was known."""
    result = merged(
        ingested(HELD), rows("B,2020-02-04,post,,2020-01-13", "B,2020-02-11,,,2020-01-20")
    )
    assert versions(result)[1:] == [
        ("02-04", None, None, "01-07", "01-14"),
        ("02-04", "post", None, "01-14", "01-21"),
        ("02-11", None, None, "01-21", None),
    ]


def test_a_held_row_that_another_replaces_is_set_aside() -> None:
    """A row with the same Known and another Time, or with an earlier Known, takes its place."""
    result = merged(ingested(HELD), rows("A,2020-02-03,post", "B,2020-02-04,,,2020-01-02"))
    assert result.quarantine.select("file", "line", "rule").rows() == [
        ("events.csv", 4, "unparsable_date"),
        ("events.csv", 2, "contradicting_time"),
        ("events.csv", 3, "duplicate_event"),
    ]
    assert result.events["file"].to_list() == ["new.csv", "new.csv"]


def test_the_order_of_updates_does_not_matter_where_known_is_recorded() -> None:
    """Merged one by one, files with Known give the events of one run on all of them."""
    lines = [
        "A,2020-02-03,pre,,2020-01-06,no",
        "A,2020-02-03,post,,2020-01-13,",
        "A,2020-02-10,post,,2020-01-20,yes",
        "B,2020-02-05,post,,2020-01-20,yes",
    ]
    drop = ["file", "line"]
    at_once = ingested(*(rows(line) for line in lines)).events.drop(drop)
    for order in (lines, lines[::-1]):
        result = ingested(rows(order[0]))
        for line in order[1:]:
            result = merged(result, rows(line))
        assert result.events.drop(drop).equals(at_once)


def test_a_coming_date_that_moves_without_known_became_known_with_the_update() -> None:
    """In a file without Known, a coming date beside a held one supersedes it from the update on."""
    held = ingested(rows("A,2021-02-03,pre"))
    result = merged(held, rows("A,2021-02-10,pre"))
    assert versions(result) == [
        ("02-03", "pre", None, None, "01-04"),
        ("02-10", "pre", None, "01-04", None),
    ]


def test_files_with_one_name_are_distinguished() -> None:
    """The ledger numbers files of the same name, so that each row has one file."""
    result = merged(ingested(HELD), rows("C,2020-02-03"), name="events.csv")
    assert result.files["file"].to_list() == ["events.csv", "events.csv#2"]
    assert ingested(rows("A,2020-02-03"), rows("B,2020-02-03")).events["file"].to_list() == [
        "events.csv",
        "events.csv#2",
    ]


def test_rows_that_an_interrupted_update_left_are_read_again() -> None:
    """Events of a file that the ledger lacks are dropped; the file is read again."""
    held, news = ingested(HELD), rows("C,2020-02-03,post", "C,bad,")
    whole = merged(held, news)
    interrupted = whole._replace(files=held.files)
    for expected, found in zip(whole, merged(interrupted, news), strict=True):
        assert found.equals(expected)


def test_number_of_lines_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of rubbish does not fill the memory; the other files go on."""
    monkeypatch.setattr("stock_volume.events.parse.MAX_ROWS", 4)
    result = ingested(rows("x", "x", "x", "x"), rows("x", "x", GOOD))
    assert result.files["status"].to_list() == ["unreadable", "read"]
    assert result.files["note"][0] == "has 5 lines, more than the 4 allowed"
