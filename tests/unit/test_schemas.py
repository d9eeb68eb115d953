"""Schemas: what each layer accepts, and everything it refuses."""

from datetime import date
from typing import Any, Literal

import pandera.errors
import pandera.polars as pa
import polars as pl
import pytest

from stock_volume.schemas import Features, Files, Prices, Quarantine
from tests.unit.helpers import files_frame, prices_frame, quarantine_frame

DAY = date(2020, 1, 2)
PRICES = prices_frame()
FEATURES = PRICES.with_columns(
    pl.Series("vol_moving_avg", [0.0, 0.5, 2.0]),
    pl.Series("adj_close_rolling_med", [10.5, 10.5, 10.5]),
)
QUARANTINE = quarantine_frame(["missing_field", "weekend_date"])
FILES = files_frame(
    {"rows_read": 3, "rows_kept": 2, "rows_quarantined": 1},
    {"file": "etfs/B.csv", "status": "unreadable", "note": "is binary", "sha256": None},
)

LAYERS = [
    pytest.param(Prices, PRICES, id="prices"),
    pytest.param(Features, FEATURES, id="features"),
    pytest.param(Quarantine, QUARANTINE, id="quarantine"),
    pytest.param(Files, FILES, id="files"),
]
BY_SYMBOL_AND_DATE = [
    pytest.param(Prices, PRICES, id="prices"),
    pytest.param(Features, FEATURES, id="features"),
]
COLUMNS = [
    pytest.param(schema, frame, column, id=f"{schema.name}-{column}")
    for schema, frame in (
        (Prices, PRICES),
        (Features, FEATURES),
        (Quarantine, QUARANTINE),
        (Files, FILES),
    )
    for column in frame.columns
]
NULLABLE = {
    "Prices": {"Open"},
    "Features": {"Open"},
    "Quarantine": {"Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"},
    "Files": {"sha256"},
}


def refused(schema: pa.DataFrameSchema, frame: pl.DataFrame, match: str | None = None) -> None:
    with pytest.raises((pandera.errors.SchemaError, pandera.errors.SchemaErrors), match=match):
        schema.validate(frame)


def with_values(frame: pl.DataFrame, column: str, values: list[Any]) -> pl.DataFrame:
    return frame.with_columns(pl.Series(column, values, frame.schema[column]))


@pytest.mark.parametrize(("schema", "frame"), LAYERS)
def test_a_good_frame_is_accepted_as_it_is(schema: pa.DataFrameSchema, frame: pl.DataFrame) -> None:
    """A good frame comes back equal, scanned or in memory."""
    assert schema.validate(frame).equals(frame)
    assert schema.validate(frame.lazy()).collect().equals(frame)


@pytest.mark.parametrize(("schema", "frame"), LAYERS)
def test_a_frame_without_rows_is_accepted(schema: pa.DataFrameSchema, frame: pl.DataFrame) -> None:
    """A chunk without rows is accepted, since chunks may come without any."""
    assert schema.validate(frame.clear()).is_empty()


@pytest.mark.parametrize(("schema", "frame", "column"), COLUMNS)
def test_a_wrong_type_is_refused(
    schema: pa.DataFrameSchema, frame: pl.DataFrame, column: str
) -> None:
    """Each column has one type, checked in memory and on a scan."""
    other = pl.Int8 if frame.schema[column] == pl.Boolean else pl.Binary
    values = [None] * frame.height
    wrong = frame.with_columns(pl.Series(column, values, other))
    refused(schema, wrong, column)
    with pytest.raises((pandera.errors.SchemaError, pandera.errors.SchemaErrors), match=column):
        schema.validate(wrong.lazy())


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        ("Volume", pl.Float64),
        ("Volume", pl.Int32),
        ("Close", pl.Float32),
        ("Date", pl.Datetime),
        ("ETF", pl.Int64),
        ("Symbol", pl.Categorical),
    ],
)
def test_a_type_that_is_nearly_right_is_refused(column: str, dtype: type[pl.DataType]) -> None:
    """A type that holds the same values is not the same type."""
    refused(Prices, PRICES.with_columns(pl.col(column).cast(dtype)), column)


@pytest.mark.parametrize(("schema", "frame", "column"), COLUMNS)
def test_a_missing_column_is_refused(
    schema: pa.DataFrameSchema, frame: pl.DataFrame, column: str
) -> None:
    """No column may be missing."""
    refused(schema, frame.drop(column), column)


@pytest.mark.parametrize(("schema", "frame"), LAYERS)
def test_an_extra_column_is_refused(schema: pa.DataFrameSchema, frame: pl.DataFrame) -> None:
    """No column may be there that the schema does not name."""
    refused(schema, frame.with_columns(stowaway=pl.lit(1)), "stowaway")


@pytest.mark.parametrize(("schema", "frame", "column"), COLUMNS)
def test_nulls_stand_only_where_they_may(
    schema: pa.DataFrameSchema, frame: pl.DataFrame, column: str
) -> None:
    """A null in the last row is refused in every column but those that may be unknown."""
    values = [*frame[column][:-1].to_list(), None]
    holed = with_values(frame, column, values)
    if column in NULLABLE[str(schema.name)]:
        assert schema.validate(holed).equals(holed)
    else:
        refused(schema, holed)


@pytest.mark.parametrize(("schema", "frame"), BY_SYMBOL_AND_DATE)
@pytest.mark.parametrize(
    "order", [[1, 0, 2], [2, 0, 1], [0, 2, 1]], ids=["dates", "symbols", "symbol-parted"]
)
def test_unsorted_rows_are_refused(
    schema: pa.DataFrameSchema, frame: pl.DataFrame, order: list[int]
) -> None:
    """Rows must come by symbol and, within it, by date."""
    refused(schema, frame[order], r"\(Symbol, Date\)")


@pytest.mark.parametrize(("schema", "frame"), BY_SYMBOL_AND_DATE)
@pytest.mark.parametrize("order", [[0, 0, 2], [0, 1, 1], [0, 1, 2, 2]], ids=str)
def test_a_symbol_and_date_twice_is_refused(
    schema: pa.DataFrameSchema, frame: pl.DataFrame, order: list[int]
) -> None:
    """There is one bar a symbol and date."""
    refused(schema, frame[order], r"\(Symbol, Date\)")


@pytest.mark.parametrize(("schema", "frame"), BY_SYMBOL_AND_DATE)
@pytest.mark.parametrize("column", ["Open", "High", "Low", "Close", "Adj Close"])
@pytest.mark.parametrize("value", [0.0, -0.01])
def test_a_price_that_is_not_positive_is_refused(
    schema: pa.DataFrameSchema, frame: pl.DataFrame, column: str, value: float
) -> None:
    """Every price is above zero; the smallest one above is accepted."""
    prices = [None if column == "Open" else 1.0, 1.0]
    refused(schema, with_values(frame, column, [*prices, value]), "positive prices")
    schema.validate(with_values(frame, column, [*prices, 5e-324]))


@pytest.mark.parametrize(("schema", "frame"), BY_SYMBOL_AND_DATE)
def test_a_negative_volume_is_refused(schema: pa.DataFrameSchema, frame: pl.DataFrame) -> None:
    """A volume of zero is accepted, one below is not."""
    schema.validate(with_values(frame, "Volume", [0, 0, 0]))
    refused(schema, with_values(frame, "Volume", [0, 0, -1]), "volume of zero or more")


@pytest.mark.parametrize(("schema", "frame"), BY_SYMBOL_AND_DATE)
def test_a_date_before_1900_is_refused(schema: pa.DataFrameSchema, frame: pl.DataFrame) -> None:
    """The first day of 1900 is accepted, the day before is not."""
    schema.validate(with_values(frame, "Date", [date(1900, 1, 1), DAY, DAY]))
    refused(schema, with_values(frame, "Date", [date(1899, 12, 31), DAY, DAY]), "1900-01-01")


@pytest.mark.parametrize(
    ("column", "value", "match"),
    [
        pytest.param("vol_moving_avg", -0.5, "average volume", id="negative-average"),
        pytest.param("adj_close_rolling_med", 0.0, "median price", id="median-of-zero"),
        pytest.param("adj_close_rolling_med", -1.0, "median price", id="negative-median"),
    ],
)
def test_features_without_sense_are_refused(
    column: Literal["vol_moving_avg", "adj_close_rolling_med"], value: float, match: str
) -> None:
    """An average volume is not negative, and a median price is positive."""
    refused(Features, with_values(FEATURES, column, [1.0, value, 1.0]), match)


@pytest.mark.parametrize("column", ["rows_read", "rows_kept", "rows_known", "rows_quarantined"])
def test_unbalanced_files_are_refused(column: str) -> None:
    """In each file the rows read are those kept and those quarantined."""
    wrong = FILES.with_columns(pl.col(column) + pl.Series([0, 1]))
    refused(Files, wrong, "as many rows read as kept, known and quarantined")


@pytest.mark.parametrize(("schema", "frame"), BY_SYMBOL_AND_DATE)
def test_a_scan_is_checked_for_its_columns_only(
    schema: pa.DataFrameSchema, frame: pl.DataFrame
) -> None:
    """A lazy frame passes by its columns and types; its rows are not read."""
    unread = with_values(frame, "Close", [-1.0, -1.0, -1.0])
    assert isinstance(schema.validate(unread.lazy()), pl.LazyFrame)
    refused(schema, unread)
