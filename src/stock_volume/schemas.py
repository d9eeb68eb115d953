"""Schemas of the Parquet layers, checked by the catalog at each save and load.

A layer is saved in chunks of whole symbols: at a save every value of each chunk is
checked, at a load (a lazy scan) the columns and their types.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import pandera.polars as pa
import polars as pl

from stock_volume import columns
from stock_volume.bars.ledger import (
    HELD,
    NOTE,
    PENDING,
    ROWS_KEPT,
    ROWS_KNOWN,
    ROWS_QUARANTINED,
    ROWS_READ,
    SHA256,
    SIZE,
    STATUS,
)
from stock_volume.bars.merge import FACTORS, FIELD, REBASED_BARS, RECENT
from stock_volume.bars.rules import FLAGGING_RULES
from stock_volume.evaluation.baselines import BASELINES
from stock_volume.evaluation.groups import COMMON_STOCK, FOLD
from stock_volume.evaluation.horizon_backtest import HORIZON_TYPES
from stock_volume.evaluation.opening_backtest import OPENING_TYPES
from stock_volume.events.ingest import EVENT_TYPES, FILE_TYPES, QUARANTINE_TYPES
from stock_volume.events.rules import POST, PRE
from stock_volume.exchange import EARLIEST_DATE
from stock_volume.features.calendar import (
    CALENDAR_FEATURES,
    HOLIDAY_OFFSET,
    KIND,
    KIND_TYPES,
    WEEK,
)
from stock_volume.features.feature import Feature
from stock_volume.features.horizon import ETAS, NEXT_VOLUMES
from stock_volume.features.market import MARKET_FEATURES
from stock_volume.features.quantities import BARS_SO_FAR, BASE
from stock_volume.features.registry import ETA, FORECAST_FEATURES, NEXT_OPEN, NEXT_VOLUME
from stock_volume.features.schedule import GROUP_COLUMNS, PEER_FEATURES
from stock_volume.forecaster.horizons import HORIZON_FORECASTS
from stock_volume.forecaster.model import FORECAST
from stock_volume.forecaster.occasion import OCCASION
from stock_volume.forecaster.universe import BUCKET, VARIABILITY

MAY_BE_NULL: Final = "may be null"
"""Metadata of columns whose nulls one check of the whole frame finds."""

IS_FEATURE: Final = "is a feature"
"""Metadata of the columns that the registry of features describes."""


def _check(name: str, holds: pl.Expr) -> pa.Check:
    """Check all rows of a frame in one query; a check a column would cost one each."""
    return pa.Check(
        lambda data: data.lazyframe.select(holds), name=name, error=f"not every row {name}"
    )


def _schema(
    name: str,
    types: Mapping[str, type[pl.DataType] | pl.DataType],
    nullable: Collection[str] = (),
    checks: Sequence[pa.Check] = (),
) -> pa.DataFrameSchema:
    required = [pl.col(column).is_not_null() for column in types if column not in nullable]
    return pa.DataFrameSchema(
        {
            column: pa.Column(dtype, nullable=True, metadata={MAY_BE_NULL: column in nullable})
            for column, dtype in types.items()
        },
        checks=[_check("has no null", pl.all_horizontal(required)), *checks],
        strict=True,
        name=name,
    )


def _after_the_row_before() -> pl.Expr:
    symbol, day = pl.col(columns.SYMBOL), pl.col(columns.DATE)
    earlier_symbol = symbol.shift(1) < symbol
    earlier_day = (symbol.shift(1) == symbol) & (day.shift(1) < day)
    return (earlier_symbol | earlier_day).fill_null(value=True)


def _positive_where_known(names: Iterable[str]) -> pl.Expr:
    return pl.all_horizontal(
        ((pl.col(name) > 0) & pl.col(name).is_finite()).fill_null(value=True) for name in names
    )


_PRICE_TYPES: Final = {
    columns.SYMBOL: pl.String,
    columns.SECURITY_NAME: pl.String,
    columns.ETF: pl.Boolean,
    columns.DATE: pl.Date,
    **dict.fromkeys(columns.PRICES, pl.Float64),
    columns.VOLUME: pl.Int64,
}
_PRICE_CHECKS: Final = (
    _check("has positive prices", _positive_where_known(columns.PRICES)),
    _check("has a volume of zero or more", pl.col(columns.VOLUME) >= 0),
    _check(f"has a date from {EARLIEST_DATE}", pl.col(columns.DATE) >= EARLIEST_DATE),
    _check("comes after the row before by (Symbol, Date)", _after_the_row_before()),
)

Prices: Final = _schema("Prices", _PRICE_TYPES, [columns.OPEN], _PRICE_CHECKS)
"""Bars that broke no rule: one a (Symbol, Date), sorted by them."""

Quarantine: Final = _schema(
    "Quarantine",
    {
        columns.FILE: pl.String,
        columns.LINE: pl.Int32,
        columns.RULE: pl.String,
        **dict.fromkeys(columns.BAR, pl.String),
    },
    nullable=columns.BAR,
)
"""Rejected rows: file and line, the rule they break, their fields as read."""

_FATES: Final = (ROWS_KEPT, ROWS_KNOWN, ROWS_QUARANTINED)
_BALANCED: Final = _check(
    "has as many rows read as kept, known and quarantined",
    pl.col(ROWS_READ) == pl.sum_horizontal(_FATES),
)

Files: Final = _schema(
    "Files",
    {
        **dict.fromkeys([columns.FILE, columns.SYMBOL, STATUS, NOTE], pl.String),
        SIZE: pl.Int64,
        SHA256: pl.String,
        **dict.fromkeys([ROWS_READ, *_FATES], pl.Int64),
        **dict.fromkeys([rule.name for rule in FLAGGING_RULES], pl.Int64),
        PENDING: pl.Boolean,
    },
    nullable=[SHA256],
    checks=[
        _BALANCED,
        _check("counts no rows below none", pl.all_horizontal(pl.col(_FATES) >= 0)),
    ],
)
"""The files of the source: what became of each, and of its rows."""

Events: Final = _schema(
    "Events",
    EVENT_TYPES,
    [columns.TIME, columns.KNOWN, columns.CONFIRMED, columns.KNOWN_FROM, columns.KNOWN_UNTIL],
    [
        _check(
            "has a Time of pre, post or null",
            pl.col(columns.TIME).is_in([PRE, POST]).fill_null(value=True),
        ),
        _check(
            "has a Session on or after its Date", pl.col(columns.SESSION) >= pl.col(columns.DATE)
        ),
        _check(
            "records KnownFrom where it records Known",
            pl.col(columns.KNOWN).is_null() == pl.col(columns.KNOWN_FROM).is_null(),
        ),
    ],
)
"""Versions of events that broke no rule: one a (Symbol, Date, Kind, Known), sorted by them."""

EventQuarantine: Final = _schema(
    "EventQuarantine",
    QUARANTINE_TYPES,
    nullable=columns.EVENT,
)
"""Rejected rows of events: file and line, the rule they break, their fields as read."""

EventFiles: Final = _schema("EventFiles", FILE_TYPES, checks=[_BALANCED])
"""The files of events: what became of each, and of its rows."""

Restatements: Final = _schema(
    "Restatements",
    {
        columns.SYMBOL: pl.String,
        columns.DATE: pl.Date,
        FIELD: pl.String,
        HELD: pl.Float64,
        RECENT: pl.Float64,
    },
    nullable=[HELD],
)
"""Held values that the latest update replaced, apart from changes of the base."""

Rebasings: Final = _schema(
    "Rebasings",
    {
        columns.SYMBOL: pl.String,
        **dict.fromkeys(FACTORS, pl.Float64),
        REBASED_BARS: pl.Int64,
    },
    checks=[_check("has positive factors", _positive_where_known(FACTORS))],
)
"""Symbols that the latest update brought to another base, and how many bars that reached."""

Features: Final = _schema(
    "Features",
    {**_PRICE_TYPES, **dict.fromkeys(columns.ESTIMATOR_INPUTS, pl.Float64)},
    [columns.OPEN],
    [
        *_PRICE_CHECKS,
        _check(
            "has an average volume of zero or more",
            pl.col(columns.VOL_MOVING_AVG).is_between(0, float("inf"), closed="left"),
        ),
        _check(
            "has a positive median price", _positive_where_known([columns.ADJ_CLOSE_ROLLING_MED])
        ),
    ],
)
"""Prices and the features of each bar."""

_ORIGIN_TYPES: Final = {
    columns.SYMBOL: pl.String,
    columns.DATE: pl.Date,
    columns.TARGET_DATE: pl.Date,
}
_TARGET_AFTER_ORIGIN: Final = _check(
    "has its target after its origin", pl.col(columns.TARGET_DATE) > pl.col(columns.DATE)
)
_IN_ORDER: Final = _check("comes after the row before by (Symbol, Date)", _after_the_row_before())

_KNOWN_KINDS: Final = pa.Check(
    lambda data: data.lazyframe.collect_schema()[KIND] in KIND_TYPES,
    name="kinds",
    error=f"{KIND} is not an Enum of the kinds of session",
)


def _feature_columns(
    features: Iterable[Feature], dtype: type[pl.DataType] | None = None
) -> dict[str, pa.Column]:
    """Make the columns of features: optional where not every exchange has the feature."""
    return {
        feature.name: pa.Column(
            dtype, nullable=True, required=feature.event is None, metadata={IS_FEATURE: True}
        )
        for feature in features
    }


Sessions: Final = pa.DataFrameSchema(
    {
        columns.DATE: pa.Column(pl.Date, unique=True),
        columns.TARGET_DATE: pa.Column(pl.Date, unique=True),
        KIND: pa.Column(),
        HOLIDAY_OFFSET: pa.Column(pl.Int64, nullable=True),
        WEEK: pa.Column(pl.Int8),
        **_feature_columns(CALENDAR_FEATURES),
        **_feature_columns(MARKET_FEATURES, pl.Float64),
        **_feature_columns(PEER_FEATURES, pl.Float64),
        **{name: pa.Column(pl.Float64, nullable=True, required=False) for name in GROUP_COLUMNS},
    },
    checks=[_TARGET_AFTER_ORIGIN, _KNOWN_KINDS],
    strict=True,
    name="Sessions",
)
"""Sessions as origins: the market on each, and the calendar of the next one."""

ForecastFeatures: Final = _schema(
    "ForecastFeatures",
    {
        columns.SYMBOL: pl.String,
        columns.SECURITY_NAME: pl.String,
        columns.ETF: pl.Boolean,
        columns.DATE: pl.Date,
        columns.TARGET_DATE: pl.Date,
        columns.CLOSE: pl.Float64,
        columns.VOLUME: pl.Int64,
        BASE: pl.Float64,
        BARS_SO_FAR: pl.Int64,
        NEXT_VOLUME: pl.Int64,
        ETA: pl.Float64,
    },
    [BASE, NEXT_VOLUME, ETA],
    [_IN_ORDER, _TARGET_AFTER_ORIGIN],
).add_columns(
    {
        # Layers from before there were forecasts at the open lack it, until the next update.
        NEXT_OPEN: pa.Column(pl.Float64, nullable=True, required=False),
        NEXT_VOLUMES: pa.Column(pl.Int64, nullable=True, regex=True, required=False),
        ETAS: pa.Column(pl.Float64, nullable=True, regex=True, required=False),
        **_feature_columns(FORECAST_FEATURES, pl.Float32),
    }
)
"""Origins with what is known at each, and the target once it is known."""

Backtest: Final = pa.DataFrameSchema(
    {
        **{name: pa.Column(kind) for name, kind in _ORIGIN_TYPES.items()},
        columns.VOLUME: pa.Column(pl.Int64),
        FORECAST: pa.Column(pl.Float64),
        r"^q[\d.]+$": pa.Column(pl.Float64, regex=True),
        **{name: pa.Column(pl.Float64) for name in BASELINES},
        columns.CLOSE: pa.Column(pl.Float64),
        ETA: pa.Column(pl.Float64),
        columns.ETF: pa.Column(pl.Boolean),
        COMMON_STOCK: pa.Column(pl.Boolean),
        BUCKET: pa.Column(pl.Int8),
        OCCASION: pa.Column(pl.Int8),
        VARIABILITY: pa.Column(pl.Int8),
        FOLD: pa.Column(pl.Int32),
    },
    checks=[_TARGET_AFTER_ORIGIN, _check("is a forecast above zero", pl.col(FORECAST) > 0)],
    strict=True,
    name="Backtest",
)
"""Forecasts with the actual volumes, one row per scored symbol-day."""

HorizonBacktest: Final = pa.DataFrameSchema(
    {name: pa.Column(kind) for name, kind in HORIZON_TYPES.items()},
    checks=[_TARGET_AFTER_ORIGIN, _check("is a forecast above zero", pl.col(FORECAST) > 0)],
    strict=True,
    name="HorizonBacktest",
)
"""Forecasts beyond the next session with the actual volumes, one row per origin and horizon."""

OpeningBacktest: Final = pa.DataFrameSchema(
    {name: pa.Column(kind) for name, kind in OPENING_TYPES.items()},
    checks=[_TARGET_AFTER_ORIGIN, _check("is a forecast above zero", pl.col(FORECAST) > 0)],
    strict=True,
    name="OpeningBacktest",
)
"""Forecasts at the open with the actual volumes, beside those made before it."""

Forecasts: Final = pa.DataFrameSchema(
    {
        **{name: pa.Column(kind) for name, kind in _ORIGIN_TYPES.items()},
        FORECAST: pa.Column(pl.Float64),
        r"^q[\d.]+$": pa.Column(pl.Float64, regex=True),
        HORIZON_FORECASTS: pa.Column(pl.Float64, regex=True, required=False),
    },
    checks=[_TARGET_AFTER_ORIGIN, _check("is a forecast above zero", pl.col(FORECAST) > 0)],
    strict=True,
    name="Forecasts",
)
"""Forecasts of the next session, one row a live symbol."""
