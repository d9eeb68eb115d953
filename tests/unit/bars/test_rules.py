"""Rules: what each rejects, what it just lets through, and which comes first."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stock_volume.bars.ingest import IngestedChunk
from stock_volume.bars.rules import (
    CONFLICTING_FILE,
    DUPLICATE_BAR,
    FLAGGING_RULES,
    SUPERSEDED_BAR,
    Action,
    RuleParameters,
    rejecting_rules,
    screening,
)
from stock_volume.columns import BAR
from stock_volume.exchange import find_exchange
from tests.unit.helpers import (
    AS_OF,
    bar,
    csv_of,
    fate_of,
    ingested,
    places_of,
    write_folder,
)

FIRST, LAST = bar("2020-01-02"), bar("2020-01-06")
"""A Thursday and a Monday, around the row under test."""

FRIDAY = "2020-01-03"


def same_price(price: str, **changed: str) -> str:
    """Make a row whose prices are all 1, with some fields changed."""
    prices = dict.fromkeys(("open", "high", "low", "close", "adj_close"), price)
    return bar(FRIDAY, **(prices | changed))


PRECEDENCE = [
    "too_many_fields",
    "missing_field",
    "unparsable_date",
    "unparsable_number",
    "weekend_date",
    "future_date",
    "ancient_date",
    "non_positive_price",
    "high_below_low",
    "close_outside_range",
    "open_outside_range",
    "absurd_adj_close",
    "volume_not_whole",
    "price_out_of_bounds",
]

# Of a valid row: Open 10, High 12, Low 8, Close 11, Adj Close 11, Volume 100.
OFFENDING = {
    "too_many_fields": [
        *(f"{bar(FRIDAY)}{more}" for more in (",1", ",1,2", ",,1")),
        bar(FRIDAY, volume="1,000"),
    ],
    "missing_field": [
        FRIDAY,
        bar(FRIDAY).rpartition(",")[0],
        bar(FRIDAY, high=" "),
        bar(""),
        *(bar(FRIDAY, **{name: ""}) for name in ("open", "high", "low", "close")),
        *(bar(FRIDAY, **{name: ""}) for name in ("adj_close", "volume")),
        bar(FRIDAY, close='""'),
    ],
    "unparsable_date": [
        *(bar(text) for text in ("2020-02-30", "20200230", "Friday", f"{FRIDAY} 16:00")),
        *(bar(text) for text in ("01/03/2020", "03-01-2020", "+2020-1-03")),
    ],
    "unparsable_number": [
        *(bar(FRIDAY, **{name: "x"}) for name in ("open", "high", "low", "close")),
        *(bar(FRIDAY, **{name: "x"}) for name in ("adj_close", "volume")),
        *(bar(FRIDAY, high=text) for text in ("nan", "inf", "-inf", "1e999", "null", "1_2")),
        bar(FRIDAY, high='1"2"'),
        bar(FRIDAY, volume="inf"),
        bar(FRIDAY, open="nan"),
    ],
    "weekend_date": [bar("2020-01-04"), bar("2020-01-05")],
    "future_date": [bar("2021-01-01"), bar("2120-01-04")],
    "ancient_date": [bar("1899-12-29"), bar("0020-01-03")],
    "non_positive_price": [
        bar(FRIDAY, close="0"),
        bar(FRIDAY, low="0"),
        bar(FRIDAY, high="0"),
        bar(FRIDAY, low="-0.01"),
        bar(FRIDAY, open="-0.01"),
        bar(FRIDAY, open="0", high="0", low="0", close="0", adj_close="0", volume="0"),
    ],
    "high_below_low": [bar(FRIDAY, high="7.99"), bar(FRIDAY, low="12.01")],
    "close_outside_range": [bar(FRIDAY, close="12.0121"), bar(FRIDAY, close="7.9919")],
    "open_outside_range": [bar(FRIDAY, open="12.0121"), bar(FRIDAY, open="7.9919")],
    "absurd_adj_close": [
        bar(FRIDAY, adj_close="0"),
        bar(FRIDAY, adj_close="-11"),
        bar(FRIDAY, adj_close="110.001"),
        bar(FRIDAY, adj_close="1e300"),
    ],
    "volume_not_whole": [
        bar(FRIDAY, volume="100.5"),
        bar(FRIDAY, volume="-1"),
        bar(FRIDAY, volume="9007199254740993"),
        bar(FRIDAY, volume="1e300"),
    ],
    "price_out_of_bounds": [
        *(bar(FRIDAY, **{name: "9e-13"}) for name in ("low", "adj_close")),
        bar(FRIDAY, open="5e-324", low="5e-324"),
        bar(FRIDAY, adj_close="1e-300"),
        bar(FRIDAY, high="1e12"),
        same_price("9e-13"),
        same_price("1e12"),
        same_price("1e300", volume="9007199254740991"),
        same_price("9e11", adj_close="1e12"),
    ],
}

FLAGGED = {
    "date_out_of_order": [bar("2019-12-30"), bar("2019-12-31")],
    "open_unknown": [bar(FRIDAY, open="0"), bar(FRIDAY, open="0.0"), bar(FRIDAY, open="-0")],
    "zero_volume": [bar(FRIDAY, volume="0"), bar(FRIDAY, volume="0.0")],
}

KEPT = {
    "ordinary": bar(FRIDAY),
    "day-of-ingestion": bar(AS_OF.isoformat()),
    "earliest-date": bar("1900-01-01"),
    "leap-day": bar("2016-02-29"),
    "friday": bar(FRIDAY),
    "lowest-price": same_price("1e-12"),
    "highest-price": same_price("999999999999.9999"),
    "lowest-and-highest-price": bar(FRIDAY, open="0", low="1e-12", high="999999999999.9999"),
    "highest-price-of-most-shares": same_price("999999999999.9999", volume="9007199254740991"),
    "high-is-low": bar(FRIDAY, open="11", high="11", low="11"),
    "close-is-high": bar(FRIDAY, close="12"),
    "close-rounded-above-high": bar(FRIDAY, close="12.0119"),
    "close-rounded-below-low": bar(FRIDAY, close="7.9921"),
    "open-rounded-above-high": bar(FRIDAY, open="12.0119"),
    "open-rounded-below-low": bar(FRIDAY, open="7.9921"),
    "open-unknown": bar(FRIDAY, open="0"),
    "adj-close-at-the-ratio": bar(FRIDAY, adj_close="110"),
    "adj-close-tiny": bar(FRIDAY, adj_close="1e-12"),
    "volume-zero": bar(FRIDAY, volume="0"),
    "volume-whole-with-a-point": bar(FRIDAY, volume="100.0"),
    "volume-with-an-exponent": bar(FRIDAY, volume="1e3"),
    "volume-largest": bar(FRIDAY, volume="9007199254740991"),
    "quoted": ",".join(f'"{field}"' for field in bar(FRIDAY).split(",")),
    "trailing-comma": bar(FRIDAY) + ",",
    "thousands-in-quotes": bar(FRIDAY, volume='"1,000"'),
    "slashes-from-the-year-on": bar("2020/01/03"),
}


def judged(tmp_path: Path, *rows: str, **parameters: Any) -> IngestedChunk:
    return ingested(write_folder(tmp_path, {"stocks/A.csv": csv_of(*rows)}), **parameters)


def rules_met(tmp_path: Path, *rows: str, **parameters: Any) -> list[str]:
    return judged(tmp_path, *rows, **parameters).quarantine["rule"].to_list()


def fields_as_read(row: str) -> tuple[str | None, ...]:
    fields = row.replace('""', "").split(",")[:7]
    return tuple(field.strip() or None for field in [*fields, *[""] * (7 - len(fields))])


def test_the_table_is_covered_in_order() -> None:
    """Every rule of the table has its cases here, and the order of the table is known."""
    names = [rule.name for rule in rejecting_rules(RuleParameters())]
    assert names == PRECEDENCE
    assert set(names) == OFFENDING.keys()
    assert {rule.name for rule in FLAGGING_RULES} == FLAGGED.keys() | {"exchange_closed"}


def test_every_rule_says_what_it_does_and_why() -> None:
    """Each rule has its own name and a reason, and acts by its part of the table."""
    rejecting = [
        *rejecting_rules(RuleParameters(closed_days="reject")),
        CONFLICTING_FILE,
        SUPERSEDED_BAR,
        DUPLICATE_BAR,
    ]
    assert {rule.action for rule in rejecting} == {Action.REJECT}
    assert {rule.action for rule in FLAGGING_RULES} == {Action.FLAG}
    reasons = {rule.reason for rule in (*rejecting, *FLAGGING_RULES)}
    assert len(reasons) == len(rejecting) + len(FLAGGING_RULES)
    assert all(reasons)


def each_row_of(rows_by_rule: Mapping[str, Sequence[str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("rule", "row"),
        [
            pytest.param(rule, row, id=f"{rule}-{number}")
            for rule, rows in rows_by_rule.items()
            for number, row in enumerate(rows)
        ],
    )


@each_row_of(OFFENDING)
def test_an_offending_row_is_quarantined(tmp_path: Path, rule: str, row: str) -> None:
    """The row goes to the quarantine under the rule's name, with its place and its text."""
    chunk = judged(tmp_path, FIRST, row, LAST)
    assert places_of(chunk.quarantine) == [("stocks/A.csv", 3, rule)]
    assert chunk.quarantine.select(BAR).row(0) == fields_as_read(row)
    assert chunk.prices["Date"].to_list() == [date(2020, 1, 2), date(2020, 1, 6)]
    assert fate_of(chunk) == {"stocks/A.csv": (3, 2, 1)}


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in KEPT.items()])
def test_a_row_that_just_passes_is_kept(tmp_path: Path, row: str) -> None:
    """A row at, or just within, the bounds of the rules is kept."""
    chunk = judged(tmp_path, row)
    assert chunk.prices.height == 1
    assert chunk.quarantine.is_empty()


@each_row_of(FLAGGED)
def test_a_flagged_row_is_kept_and_counted(tmp_path: Path, rule: str, row: str) -> None:
    """A flagged row is kept, and counted in the report of its file under that flag only."""
    chunk = judged(tmp_path, FIRST, row, LAST)
    assert chunk.quarantine.is_empty()
    assert chunk.prices.height == 3
    counts = chunk.files.select(FLAGGED.keys()).row(0, named=True)
    assert counts == {**dict.fromkeys(FLAGGED, 0), rule: 1}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param(f"{bar(FRIDAY, open='')},1", "too_many_fields", id="fields-missing"),
        pytest.param(bar("", open="x"), "missing_field", id="missing-date"),
        pytest.param(bar("x", open=""), "missing_field", id="missing-unparsable"),
        pytest.param(bar("x", open="x"), "unparsable_date", id="date-number"),
        pytest.param(bar("2020-01-04", open="x"), "unparsable_number", id="number-weekend"),
        pytest.param(bar("2021-01-02"), "weekend_date", id="weekend-future"),
        pytest.param(bar("1899-12-30"), "weekend_date", id="weekend-ancient"),
        pytest.param(bar("2021-01-01", low="0"), "future_date", id="future-price"),
        pytest.param(bar("1899-12-29", low="0"), "ancient_date", id="ancient-price"),
        pytest.param(bar(FRIDAY, high="0"), "non_positive_price", id="price-range"),
        pytest.param(bar(FRIDAY, high="7"), "high_below_low", id="range-close"),
        pytest.param(bar(FRIDAY, close="7", open="7"), "close_outside_range", id="close-open"),
        pytest.param(bar(FRIDAY, open="7", adj_close="0"), "open_outside_range", id="open-adj"),
        pytest.param(bar(FRIDAY, adj_close="0", volume="-1"), "absurd_adj_close", id="adj-volume"),
        pytest.param(same_price("1e300", volume="0.5"), "volume_not_whole", id="volume-bounds"),
        pytest.param(bar("2020-01-02", high="1e12"), "price_out_of_bounds", id="bounds-duplicate"),
    ],
)
def test_the_first_broken_rule_is_named(tmp_path: Path, row: str, expected: str) -> None:
    """A row that breaks two rules is quarantined once, under the earlier of the table."""
    assert rules_met(tmp_path, FIRST, row) == [expected]


def test_screening_leaves_out_the_texts() -> None:
    """The screening needs the typed fields only, so that no text is parsed twice."""
    rules = rejecting_rules(RuleParameters())
    assert set(screening(rules).meta.root_names()) == {*BAR, "extra"}


def test_the_last_valid_bar_of_a_day_is_kept(tmp_path: Path) -> None:
    """Of several valid bars of a day the last in the file is kept, wherever they are."""
    rows = [
        bar(FRIDAY, volume="1"),
        bar("2020-01-02", volume="2"),
        bar(FRIDAY, volume="3"),
        bar("2020-01-02", volume="4"),
        bar(FRIDAY, volume="3"),
    ]
    chunk = judged(tmp_path, *rows)
    assert chunk.prices["Volume"].to_list() == [4, 3]
    name = "stocks/A.csv"
    assert places_of(chunk.quarantine) == [
        (name, 2, "superseded_bar"),
        (name, 3, "superseded_bar"),
        (name, 4, "duplicate_bar"),
    ]
    assert chunk.files["note"].to_list() == ["rows that a later row of the same day supersedes: 2"]


def test_the_settled_row_of_a_repeated_last_day_is_kept(tmp_path: Path) -> None:
    """Yahoo repeats its last day: the second row is the settled one, and the first is counted."""
    rows = [FIRST, bar(FRIDAY, volume="67331"), bar(FRIDAY, volume="108331")]
    chunk = judged(tmp_path, *rows)
    assert chunk.prices["Volume"].to_list() == [100, 108331]
    assert places_of(chunk.quarantine) == [("stocks/A.csv", 3, "superseded_bar")]


def test_bars_of_closed_days_are_rejected_on_request(tmp_path: Path) -> None:
    """A bar of a holiday is kept and flagged, or rejected where the parameter says so."""
    rows = [FIRST, bar("2020-01-20"), bar("2020-01-21")]
    kept = judged(tmp_path, *rows)
    assert kept.prices.height == 3
    assert kept.files["exchange_closed"].to_list() == [1]
    without = judged(tmp_path, *rows, closed_days="reject")
    assert places_of(without.quarantine) == [("stocks/A.csv", 3, "exchange_closed")]
    assert without.files["exchange_closed"].to_list() == [0]


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        (
            {"volume": "91.35K"},
            (
                "all 2 rows are set aside; line 2: unparsable_number (Volume is '91.35K'); "
                "write plain numbers: a decimal point, and neither currency signs nor units"
            ),
        ),
        (
            {"close": ""},
            (
                "all 2 rows are set aside; line 2: missing_field (Close is None); "
                "write every field of a bar"
            ),
        ),
        (
            {"volume": "1.5"},
            (
                "all 2 rows are set aside; line 2: volume_not_whole (Volume is '1.5'); "
                "write volumes as whole shares"
            ),
        ),
    ],
)
def test_a_file_without_a_valid_row_says_why(
    tmp_path: Path, changes: dict[str, str], note: str
) -> None:
    """A symbol of which every row is set aside is named with rule, example and remedy."""
    rows = [bar("2020-01-02", **changes), bar(FRIDAY, **changes)]
    files: dict[str, str | bytes] = {"stocks/A.csv": csv_of(*rows), "stocks/B.csv": csv_of(FIRST)}
    chunk = ingested(write_folder(tmp_path, files))
    assert chunk.files.select("status", "note").row(0) == ("rejected", note)


def test_a_duplicate_of_a_rejected_row_is_kept(tmp_path: Path) -> None:
    """A rejected row does not take the place of a valid one of the same day."""
    chunk = judged(tmp_path, bar(FRIDAY, close="99"), bar(FRIDAY), bar(FRIDAY, volume="x"))
    name = "stocks/A.csv"
    assert chunk.prices["Date"].to_list() == [date(2020, 1, 3)]
    assert places_of(chunk.quarantine) == [
        (name, 2, "close_outside_range"),
        (name, 4, "unparsable_number"),
    ]


def test_a_symbol_in_both_folders_has_one_bar_a_day(tmp_path: Path) -> None:
    """Files that agree on the days in common are joined; the one that reaches further counts."""
    files = {
        "etfs/A.csv": csv_of(bar("2020-01-02", volume="8"), bar("2020-01-03", volume="9")),
        "stocks/A.csv": csv_of(bar("2020-01-03", volume="1"), bar("2020-01-06", volume="2")),
    }
    chunk = ingested(write_folder(tmp_path, dict(files)))
    assert chunk.prices.select("ETF", "Volume").rows() == [(False, 8), (False, 1), (False, 2)]
    assert places_of(chunk.quarantine) == [("etfs/A.csv", 3, "superseded_bar")]
    assert fate_of(chunk) == {"stocks/A.csv": (2, 2, 0), "etfs/A.csv": (2, 1, 1)}


def test_the_same_day_of_two_symbols_is_no_duplicate(tmp_path: Path) -> None:
    """Bars of neighbouring symbols on the same day are all kept."""
    files = {f"stocks/{symbol}.csv": csv_of(FIRST) for symbol in ("A", "B", "AB")}
    chunk = ingested(write_folder(tmp_path, dict(files)))
    assert chunk.prices["Symbol"].to_list() == ["A", "AB", "B"]
    assert chunk.quarantine.is_empty()


def test_dates_out_of_order_are_sorted_and_counted(tmp_path: Path) -> None:
    """A file upside down is sorted by date, and each step back is counted."""
    days = ["2020-01-08", "2020-01-07", "2020-01-06", "2020-01-09"]
    chunk = judged(tmp_path, *(bar(day) for day in days))
    assert [str(day) for day in chunk.prices["Date"]] == sorted(days)
    assert chunk.files["date_out_of_order"].to_list() == [2]


def test_an_earlier_date_in_the_next_file_is_in_order(tmp_path: Path) -> None:
    """The order of dates is judged within a file, not from the end of the one before."""
    files = {"stocks/A.csv": csv_of(bar("2020-01-08")), "stocks/B.csv": csv_of(bar("2020-01-02"))}
    chunk = ingested(write_folder(tmp_path, dict(files)))
    assert chunk.files["date_out_of_order"].to_list() == [0, 0]


def test_a_rejected_row_does_not_put_its_neighbours_out_of_order(tmp_path: Path) -> None:
    """The order of dates is judged among valid rows."""
    chunk = judged(tmp_path, FIRST, bar("2020-12-31", low="0"), LAST)
    assert chunk.files["date_out_of_order"].to_list() == [0]
    assert chunk.files["rows_quarantined"].to_list() == [1]


def test_rejected_rows_carry_no_flag(tmp_path: Path) -> None:
    """Flags count among the rows that are kept, not among rejected ones and duplicates."""
    rejected = bar(FRIDAY, open="0", volume="0", close="99")
    twice = bar("2020-01-02", open="0", volume="0")
    chunk = judged(tmp_path, twice, rejected, FIRST)
    assert chunk.quarantine["rule"].to_list() == ["superseded_bar", "close_outside_range"]
    assert chunk.files.select("open_unknown", "zero_volume").row(0) == (0, 0)


def test_an_unknown_open_becomes_null(tmp_path: Path) -> None:
    """Open = 0 comes out as null, a known Open as it was."""
    chunk = judged(tmp_path, FIRST, bar(FRIDAY, open="0"))
    assert chunk.prices["Open"].to_list() == [10.0, None]


@pytest.mark.parametrize(
    ("parameters", "row", "expected"),
    [
        pytest.param({"price_tolerance": 0}, bar(close="12.0001"), "close_outside_range", id="0"),
        pytest.param({"price_tolerance": 0}, bar(close="12"), None, id="0-at-the-bound"),
        pytest.param({"price_tolerance": 0.5}, bar(close="18", open="4"), None, id="wide"),
        pytest.param(
            {"price_tolerance": 0.5}, bar(open="3.99"), "open_outside_range", id="wide-open"
        ),
        pytest.param({"max_adj_close_ratio": 1}, bar(adj_close="11"), None, id="ratio-1"),
        pytest.param(
            {"max_adj_close_ratio": 1}, bar(adj_close="11.01"), "absurd_adj_close", id="ratio"
        ),
        pytest.param({"max_adj_close_ratio": 1e6}, bar(adj_close="1e7"), None, id="wide-ratio"),
        pytest.param({"as_of": date(2020, 1, 2)}, bar("2020-01-02"), None, id="as-of-that-day"),
        pytest.param(
            {"as_of": date(2020, 1, 1)}, bar("2020-01-02"), "future_date", id="as-of-the-day-before"
        ),
    ],
)
def test_bounds_are_parameters(
    tmp_path: Path, parameters: dict[str, Any], row: str, expected: str | None
) -> None:
    """Each bound of the rules follows its parameter."""
    met = rules_met(tmp_path, bar("2019-12-31"), row, **parameters)
    assert met == ([expected] if expected else [])


def test_the_future_begins_after_today() -> None:
    """Where no day is given, the day of ingestion is today in UTC."""
    before = datetime.now(tz=UTC).date()
    as_of = RuleParameters().as_of
    assert before <= as_of <= datetime.now(tz=UTC).date()


@pytest.mark.parametrize(
    "parameters",
    [
        {"price_tolerance": -0.1},
        {"price_tolerance": 1},
        {"max_adj_close_ratio": 0.5},
        {"as_of": "soon"},
        {"price_tolerence": 0.1},
    ],
    ids=str,
)
def test_bounds_without_sense_are_refused(parameters: dict[str, Any]) -> None:
    """Parameters out of their range, and misspelt ones, are refused."""
    with pytest.raises(ValidationError):
        RuleParameters(**parameters)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("XNYS", "no feed reaches back so far, the year is mistyped"),
        ("XBOM", "the calendar of XBOM begins there"),
    ],
)
def test_an_ancient_date_has_its_reason(code: str, why: str) -> None:
    """A date is too early for all exchanges, or for one whose calendar begins late."""
    rules = rejecting_rules(RuleParameters(exchange=find_exchange(code)))
    (reason,) = (rule.reason for rule in rules if rule.name == "ancient_date")
    assert reason.endswith(f": {why}")
