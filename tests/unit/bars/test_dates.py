"""Dates: read where they mean one day only, and refused where they can mean several."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_volume.bars.dates import check_format, is_ambiguous, read_date

DAY = date(2019, 3, 4)


@pytest.mark.parametrize(
    "text",
    [
        "2019-03-04",
        "20190304",
        "2019-3-4",
        "2019/03/04",
        "2019.3.4",
        "Mar 4, 2019",
        "March 4, 2019",
        "4 Mar 2019",
        "04 March 2019",
        "4-Mar-2019",
        "2019-03-04 00:00:00",
        "2019-03-04T00:00",
        "2019-03-04 00:00:00.000000",
        "2019-03-04 00:00:00-05:00",
        "2019-03-04T00:00:00+00:00",
        "2019-03-04T05:00:00Z",
        "2019-03-04 06:00:00+01:00",
    ],
)
def test_dates_that_mean_one_day(text: str) -> None:
    """Each spelling of a day that no country reads otherwise is read."""
    assert read_date(text) == DAY
    assert not is_ambiguous(text)


@pytest.mark.parametrize(
    "text", ["03/04/2019", "3/4/19", "04.03.2019", "04-03-2019", "03/04/2019 00:00"]
)
def test_dates_that_can_mean_several_days(text: str) -> None:
    """Day and month that could be swapped are no date without a format."""
    assert read_date(text) is None
    assert is_ambiguous(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "today",
        "2019-02-30",
        "20190230",
        "2019-03",
        "201903",
        "1551657600",
        "2019-W10-1",
        "2019-03-04 09:30:00",
        "2019-03-04T04:00:00Z",  # midnight in New York only in summer
        "2019-03-04 16:00:00-05:00",
        "4-Mar-19",
    ],
)
def test_what_is_no_day(text: str) -> None:
    """Texts that are no calendar day, or a moment within one, are no dates."""
    assert read_date(text) is None


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)))
def test_iso_dates_are_read_whatever_format_is_named(day: date) -> None:
    """A format for ambiguous dates changes nothing for dates that are not."""
    for date_format in (None, "%m/%d/%Y", "%d.%m.%y"):
        assert read_date(day.isoformat(), date_format) == day


@given(st.dates(date(1970, 1, 1), date(2068, 12, 31)))
def test_a_named_format_reads_ambiguous_dates(day: date) -> None:
    """With its format, an ambiguous date is the day that it was written for."""
    for date_format in ("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%y"):
        assert read_date(day.strftime(date_format), date_format) == day


@pytest.mark.parametrize("date_format", ["%m/%d/%Y", "%d.%m.%y", "%Y-%m-%d", "%d %b %y"])
def test_formats_of_a_whole_day_are_accepted(date_format: str) -> None:
    """A format that names day, month and year is taken as it is."""
    assert check_format(date_format) == date_format


@pytest.mark.parametrize("date_format", ["", "%Y", "%m/%d", "%j", "MM/DD/YYYY", "%Y-%d-%m"])
def test_formats_of_less_than_a_day_are_refused(date_format: str) -> None:
    """A format that leaves the day open, or contradicts ISO 8601, is an error."""
    with pytest.raises(ValueError, match=r"is no format|reads"):
        check_format(date_format)
