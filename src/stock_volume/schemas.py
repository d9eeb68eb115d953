"""Schemas of the Parquet layers, checked by the catalog at each save and load.

A layer is saved in chunks of whole symbols: at a save every value of each chunk is
checked, at a load (a lazy scan) the columns and their types.
"""

from typing import Final

import pandera.polars as pa
import polars as pl

from stock_volume import columns
from stock_volume.bars.ingest import (
    NOTE,
    ROWS_KEPT,
    ROWS_QUARANTINED,
    ROWS_READ,
    SHA256,
    SIZE,
    STATUS,
    FileStatus,
)
from stock_volume.bars.rules import EARLIEST_DATE, FLAGGING_RULES

_positive: Final = pa.Check.gt(0)
_not_negative: Final = pa.Check.ge(0)


def _sorted_by_symbol_and_date(data: pa.PolarsData) -> pl.LazyFrame:
    symbol, day = pl.col(columns.SYMBOL), pl.col(columns.DATE)
    ascending = (symbol > symbol.shift(1)) | (
        (symbol == symbol.shift(1)) & (day > day.shift(1))
    )
    return data.lazyframe.select(ascending.fill_null(value=True))


_price_columns: Final = {
    columns.SYMBOL: pa.Column(pl.String),
    columns.SECURITY_NAME: pa.Column(pl.String),
    columns.ETF: pa.Column(pl.Boolean),
    columns.DATE: pa.Column(pl.Date, pa.Check.ge(EARLIEST_DATE)),
    columns.OPEN: pa.Column(pl.Float64, _positive, nullable=True),
    columns.HIGH: pa.Column(pl.Float64, _positive),
    columns.LOW: pa.Column(pl.Float64, _positive),
    columns.CLOSE: pa.Column(pl.Float64, _positive),
    columns.ADJ_CLOSE: pa.Column(pl.Float64, _positive),
    columns.VOLUME: pa.Column(pl.Int64, _not_negative),
}
_one_bar_a_day: Final = pa.Check(
    _sorted_by_symbol_and_date,
    name="sorted_by_symbol_and_date",
    error="rows are not strictly ascending by (Symbol, Date)",
)

Prices: Final = pa.DataFrameSchema(
    _price_columns, checks=_one_bar_a_day, strict=True, name="Prices"
)
"""Bars that broke no rule: one a (Symbol, Date), sorted by them."""

Quarantine: Final = pa.DataFrameSchema(
    {
        columns.FILE: pa.Column(pl.String),
        columns.LINE: pa.Column(pl.Int32, pa.Check.ge(2)),
        columns.RULE: pa.Column(pl.String),
        **{name: pa.Column(pl.String, nullable=True) for name in columns.BAR},
    },
    strict=True,
    name="Quarantine",
)
"""Rejected rows: where they stand, the rule they break, their fields as read."""

Files: Final = pa.DataFrameSchema(
    {
        columns.FILE: pa.Column(pl.String, unique=True),
        columns.SYMBOL: pa.Column(pl.String),
        STATUS: pa.Column(pl.String, pa.Check.isin([status.value for status in FileStatus])),
        NOTE: pa.Column(pl.String),
        SIZE: pa.Column(pl.Int64, _not_negative),
        SHA256: pa.Column(pl.String, nullable=True),
        **{
            name: pa.Column(pl.Int64, _not_negative)
            for name in (
                ROWS_READ,
                ROWS_KEPT,
                ROWS_QUARANTINED,
                *(rule.name for rule in FLAGGING_RULES),
            )
        },
    },
    strict=True,
    name="Files",
)
"""The files of the source: what became of each, and of its rows."""

Features: Final = pa.DataFrameSchema(
    {
        **_price_columns,
        columns.VOL_MOVING_AVG: pa.Column(pl.Float64, _not_negative),
        columns.ADJ_CLOSE_ROLLING_MED: pa.Column(pl.Float64, _positive),
    },
    checks=_one_bar_a_day,
    strict=True,
    name="Features",
)
"""Prices and the features of each bar."""
