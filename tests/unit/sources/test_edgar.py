"""EDGAR as a source of events, against a local server with its formats and faults."""

import json
import time
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import pytest

from stock_volume.errors import SourceError
from stock_volume.sources.edgar import EdgarEvents, is_new_york_time
from tests.unit.servers import Answer, answering

CONTACT = "Jane Doe jane@example.org"
FAST = {"per_second": 10, "retry": {"attempts": 3, "wait_seconds": 0.01}}
TICKERS = {
    "0": {"cik_str": 320193, "ticker": "AAPL", "title": "Apple Inc."},
    "1": {"cik_str": 1067983, "ticker": "BRK-B", "title": "Berkshire Hathaway Inc"},
}
TICKERS_PATH, APPLE = "/files/company_tickers.json", "/submissions/CIK0000320193.json"
BERKSHIRE, OLDER = "/submissions/CIK0001067983.json", "CIK0000320193-submissions-001.json"


def filings(*rows: tuple[str, str, str]) -> dict[str, list[str]]:
    """List filings by column: form, items, time of acceptance."""
    forms, items, accepted = zip(*rows, strict=True) if rows else ((), (), ())
    return {"form": list(forms), "items": list(items), "acceptanceDateTime": list(accepted)}


def submissions(recent: dict[str, list[str]], *older: str) -> dict[str, Any]:
    """Make the document of a company."""
    files = [{"name": name, "filingCount": 1} for name in older]
    return {"cik": "320193", "filings": {"recent": recent, "files": files}}


RECENT = filings(
    ("8-K", "2.02,9.01", "2020-10-29T20:30:42.000Z"),  # 16:30 in New York
    ("8-K", "5.02", "2020-09-30T20:31:00.000Z"),
    ("10-Q", "", "2020-07-31T10:30:00.000Z"),
    ("8-K/A", "2.02", "2020-08-03T20:30:00.000Z"),
    ("8-K", "2.02", "2020-07-30T11:00:00.000Z"),  # 7:00
)
DOCUMENTS = {
    TICKERS_PATH: TICKERS,
    APPLE: submissions(RECENT, OLDER),
    f"/submissions/{OLDER}": filings(
        ("8-K", "12,7", "2004-04-14T20:30:00.000Z"), ("8-K", "12", "2006-04-14T20:30:00.000Z")
    ),
    BERKSHIRE: submissions(filings()),
}


def fetch(
    answer: Callable[[str, dict[str, str], int], Answer], symbols: list[str]
) -> list[tuple[str, date, str]]:
    with answering(answer) as server:
        source = EdgarEvents(
            CONTACT, f"{server.url}{TICKERS_PATH}", f"{server.url}/submissions/", FAST
        )
        return source.fetch(symbols)


def serve(path: str, headers: dict[str, str], _before: int) -> Answer:
    if CONTACT not in headers.get("user-agent", ""):
        return Answer(b"<html>Undeclared Automated Tool</html>", 403)
    if path not in DOCUMENTS:
        return Answer(b"<Error><Code>NoSuchKey</Code></Error>", 404)
    return Answer(json.dumps(DOCUMENTS[path]).encode())


def test_results_on_form_8k_are_releases() -> None:
    """Releases are 8-K filings with results, on New York's clock, older files included."""
    assert fetch(serve, ["AAPL"]) == [
        ("AAPL", date(2004, 4, 14), "post"),
        ("AAPL", date(2020, 7, 30), "pre"),
        ("AAPL", date(2020, 10, 29), "post"),
    ]


def test_symbols_are_spelled_as_in_the_data() -> None:
    """Share classes are found however the data writes them; unknown symbols have no events."""
    assert fetch(serve, ["BRK.B", "NONE", "aapl"])[0][0] == "aapl"
    assert fetch(serve, ["NONE"]) == []


@pytest.mark.parametrize("missing", [APPLE, f"/submissions/{OLDER}"])
def test_a_missing_document_is_no_error(missing: str) -> None:
    """A CIK without submissions, or a file that is gone, leaves out its filings only."""

    def answer(path: str, headers: dict[str, str], before: int) -> Answer:
        return Answer(status=404) if path == missing else serve(path, headers, before)

    assert len(fetch(answer, ["AAPL"])) == (0 if missing == APPLE else 2)


def test_no_contact_is_an_error() -> None:
    """Without a contact nothing is asked."""
    for contact in (None, "", "Jane Doe"):
        with pytest.raises(ValueError, match="--params contact="):
            EdgarEvents(contact)


def test_refusal_says_what_to_do() -> None:
    """A 403 is not repeated, and its error names the contact."""
    asked = []

    def refuse(path: str, _headers: dict[str, str], _before: int) -> Answer:
        asked.append(path)
        return Answer(b"<html>", 403)

    with pytest.raises(SourceError, match=r"HTTP 403.*--params contact"):
        fetch(refuse, ["AAPL"])
    assert len(asked) == 1


FAULTS = [
    Answer(b"slow down", 429, {"Retry-After": "0"}),
    Answer(b"", 503),
    Answer(b"<html>maintenance</html>"),
    Answer(b'{"filings": {"rec'),
    Answer(json.dumps(DOCUMENTS[APPLE]).encode(), cut=40),
]


@pytest.mark.parametrize("fault", FAULTS, ids=["429", "503", "page", "truncated", "cut"])
@pytest.mark.parametrize("times", [1, 3])
def test_a_fault_is_repeated_and_then_reported(fault: Answer, times: int) -> None:
    """A fault that passes goes unnoticed; one that stays is an error with the address."""

    def answer(path: str, headers: dict[str, str], before: int) -> Answer:
        return fault if path == APPLE and before < times else serve(path, headers, before)

    if times == 1:
        assert len(fetch(answer, ["AAPL"])) == 3
    else:
        with pytest.raises(SourceError, match="CIK0000320193"):
            fetch(answer, ["AAPL"])


@pytest.mark.parametrize("path", [TICKERS_PATH, APPLE])
@pytest.mark.parametrize("document", [[], {"a": 1}, {"filings": {}}, None])
def test_another_document_is_an_error(path: str, document: Any) -> None:
    """JSON of another shape is an error that names the address, never an empty history."""

    def answer(asked: str, headers: dict[str, str], before: int) -> Answer:
        body = json.dumps(document).encode()
        return Answer(body) if asked == path else serve(asked, headers, before)

    with pytest.raises(SourceError, match=r"not a|no JSON document"):
        fetch(answer, ["AAPL"])


def test_requests_keep_the_pace() -> None:
    """Ten requests a second at most: four take three tenths of a second."""
    moments = []

    def answer(path: str, headers: dict[str, str], before: int) -> Answer:
        moments.append(time.monotonic())
        return serve(path, headers, before)

    fetch(answer, ["AAPL", "BRK-B"])
    assert len(moments) == 4
    assert moments[-1] - moments[0] > 0.25
    with pytest.raises(ValueError, match="per_second"):
        EdgarEvents(CONTACT, server={"per_second": 11})


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["2020-10-29T20:30:00Z"], False),  # either reading is possible
        (["2020-10-29T20:30:00Z", "2020-10-30T01:15:00Z"], False),  # 21:15; 1:15 is impossible
        (["2020-10-29T16:30:00Z", "2020-10-30T07:01:00Z"], True),  # 7:01; 3:01 is impossible
        ([], False),
    ],
)
def test_times_marked_as_utc_may_be_new_yorks(texts: list[str], *, expected: bool) -> None:
    """EDGAR is closed at night, which shows what a company's times mean."""
    assert is_new_york_time([datetime.fromisoformat(text) for text in texts]) is expected


def test_times_of_such_a_company_are_read_as_they_are() -> None:
    """Where the times are New York's, 16:30 is after the close."""
    documents = filings(
        ("8-K", "2.02", "2020-10-29T16:30:00.000Z"), ("4", "", "2020-10-30T07:01:00Z")
    )

    def answer(path: str, headers: dict[str, str], before: int) -> Answer:
        if path == APPLE:
            return Answer(json.dumps(submissions(documents)).encode())
        return serve(path, headers, before)

    assert fetch(answer, ["AAPL"]) == [("AAPL", date(2020, 10, 29), "post")]


@pytest.mark.parametrize(
    ("filing", "problem"),
    [
        (("8-K", None, "2020-10-29T20:30:42.000Z"), r"recent\.items\.0: .*valid string"),
        ((8, "2.02", "2020-10-29T20:30:42.000Z"), r"recent\.form\.0: .*valid string"),
        (("8-K", "2.02", "29 October 2020"), r"recent\.acceptanceDateTime\.0: .*isoformat"),
        (("8-K", "2.02", 20201029), r"recent\.acceptanceDateTime\.0: .*expected text"),
        (("8-K", "2.02", "0001-01-01T00:00:00+14:00"), "out of the calendar"),
        (("8-K", "2.02", "9999-12-31T23:59:59Z"), "out of the calendar"),
    ],
)
def test_filing_of_another_form_is_an_error(filing: tuple[Any, Any, Any], problem: str) -> None:
    """The message names the document and the field."""
    documents = {**DOCUMENTS, APPLE: submissions(filings(filing))}

    def answer(path: str, *_: object) -> Answer:
        return Answer(json.dumps(documents[path]).encode())

    with pytest.raises(SourceError, match=rf"CIK0000320193\.json: not a list .*{problem}"):
        fetch(answer, ["AAPL"])


@pytest.mark.parametrize("cik", [None, "x", -1, 10**10, float("inf")])
def test_number_that_is_no_cik_is_an_error(cik: object) -> None:
    """The message names the table and the field."""
    table = {"0": {"cik_str": cik, "ticker": "AAPL", "title": "Apple Inc."}}
    with pytest.raises(SourceError, match=r"not a table of symbols \(0\.cik_str: "):
        fetch(lambda *_: Answer(json.dumps(table).encode()), ["AAPL"])


@pytest.mark.parametrize("name", ["../tickers.json", "http://other.example/a.json", "", "a\0"])
def test_older_file_is_beside_the_company(name: str) -> None:
    """A name that leads elsewhere is refused."""
    document = json.dumps(submissions(filings(), name)).encode()
    with pytest.raises(SourceError, match=r"files\.0\.name: "):
        fetch(
            lambda path, *_: (
                Answer(document) if path == APPLE else serve(path, {"user-agent": CONTACT}, 0)
            ),
            ["AAPL"],
        )


def test_older_file_that_names_older_files_ends() -> None:
    """Only the document of the company lists files: one that lists itself is read once."""
    documents = {**DOCUMENTS, APPLE: submissions(RECENT, APPLE.rsplit("/", 1)[-1])}
    with pytest.raises(SourceError, match=r"CIK0000320193\.json: not a list of filings"):
        fetch(lambda path, *_: Answer(json.dumps(documents[path]).encode()), ["AAPL"])


def test_document_nested_too_deeply_is_no_document() -> None:
    """The parser's own limit is an error of the source, too."""
    with pytest.raises(SourceError, match="no JSON document"):
        fetch(lambda *_: Answer(b"[" * 100_000), ["AAPL"])
