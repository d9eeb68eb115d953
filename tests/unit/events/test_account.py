"""The account of the events, in the report on the quality of the data."""

from datetime import date

import polars as pl
import pytest

from stock_volume.errors import UnbalancedRowsError
from stock_volume.events.account import EventAccount, account_for_events, report_events
from stock_volume.events.ingest import IngestedEvents, ingest_event_files
from stock_volume.events.rules import EventParameters
from stock_volume.events.source import EventFile, EventFiles
from tests.unit.helpers import AS_OF, prices_frame

TEXT = b"""Symbol,Date,Time,Kind,Known
A,2020-02-03,post,,2020-01-03
A,2020-05-04,,,
A,2020-05-32,post
A,2020-06-01,pre,dividend,
LOST,2020-02-04,pre,,
"""


def ingested(*contents: bytes) -> IngestedEvents:
    files = [EventFile(f"{place}.csv", content) for place, content in enumerate(contents)]
    return ingest_event_files(EventFiles(files), EventParameters(as_of=AS_OF))


def account(result: IngestedEvents) -> EventAccount | None:
    events, quarantine, files = (frame.lazy() for frame in result)
    return account_for_events(events, quarantine, files, prices_frame().lazy())


def test_every_row_is_accounted_for() -> None:
    """The account counts rows by fate and rule, events by kind, and symbols without bars."""
    found = account(ingested(TEXT, b"\0"))
    assert found is not None
    assert (found.rows_read, found.rows_kept, found.rows_quarantined) == (5, 4, 1)
    assert found.quarantined_by_rule == {"unparsable_date": 1}
    assert found.flagged_by_rule["time_unknown"] == 1
    assert found.by_kind == {"dividend": 1, "earnings": 3}
    assert (found.symbols, found.without_bars, found.without_bars_first) == (2, 1, ("LOST",))
    assert found.without_known == 3
    assert (found.first_date, found.last_date) == (date(2020, 2, 3), date(2020, 6, 1))
    assert list(found.unread_files) == ["1.csv"]


def test_no_files_give_no_account() -> None:
    """Without a source of events the report on the data has no account of them."""
    assert account(ingested()) is None


@pytest.mark.parametrize("layer", ["events", "quarantine"])
def test_a_lost_row_is_an_error(layer: str) -> None:
    """A row that is neither kept nor quarantined fails the run."""
    result = ingested(TEXT)
    lost = result._replace(**{layer: getattr(result, layer)[1:]})
    with pytest.raises(UnbalancedRowsError, match="rows of events"):
        account(lost)


def test_the_report_says_what_was_assumed() -> None:
    """The report says that dates without a record count as scheduled, and what is unused."""
    found = account(ingested(TEXT, b"\0"))
    assert found is not None
    text = "\n".join(report_events(found))
    assert "3 do not record when they became known" in text
    assert "1 symbols have events and no bars, such as LOST." in text
    assert "1 events are of other kinds than earnings" in text
    assert "| unparsable_date | rejected | 1 |" in text
    assert "- `1.csv`: is binary" in text


def test_events_with_a_record_need_no_warning() -> None:
    """Where every event records when it became known, nothing is assumed."""
    found = account(ingested(TEXT.splitlines(keepends=True)[0] + b"A,2020-02-03,post,,2020-01-03"))
    assert found is not None
    assert found.without_known == 0
    assert "do not record" not in "\n".join(report_events(found))


def test_layers_have_the_columns_of_their_schemas() -> None:
    """The layers pass their schemas, with and without rows."""
    from stock_volume.schemas import EventFiles as FilesSchema
    from stock_volume.schemas import EventQuarantine, Events

    for result in (ingested(TEXT), ingested()):
        for schema, frame in zip((Events, EventQuarantine, FilesSchema), result, strict=True):
            assert isinstance(schema.validate(frame), pl.DataFrame)
