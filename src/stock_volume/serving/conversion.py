"""Convert rows to response bodies, and request bodies to frames."""

from datetime import UTC, datetime

import polars as pl

from stock_volume import columns
from stock_volume.bars.rules import FIRST_INEXACT_WHOLE_NUMBER
from stock_volume.features.schedule import UNTIL
from stock_volume.forecaster.model import FORECAST, INTERVAL_NAMES
from stock_volume.serving.bodies import (
    Bar,
    BarsRequest,
    Event,
    Forecast,
    History,
    Quantiles,
    Record,
    ScoredForecast,
    SymbolInfo,
)
from stock_volume.snapshot import snapshot
from stock_volume.snapshot.event import describe_event
from stock_volume.snapshot.lookup import CLOSING_TIME, EVENT, Row
from stock_volume.snapshot.own_bars import InvalidBarsError

_BAR_TYPES = {
    columns.DATE: pl.Date,
    **dict.fromkeys(columns.PRICES, pl.Float64),
    columns.VOLUME: pl.Int64,
}

_BAR_NAMES = {field: str(info.alias) for field, info in Bar.model_fields.items()}


def bars_frame(request: BarsRequest) -> pl.DataFrame:
    """Put the bars of a request into the columns of ``prices``.

    Args:
        request: A validated request.

    Returns:
        One row per bar, in the order of the request.
    """
    rows = [bar.model_dump(by_alias=True) for bar in request.bars]
    return pl.DataFrame(rows, schema=_BAR_TYPES).select(
        pl.lit(request.symbol).alias(columns.SYMBOL),
        pl.lit(None, dtype=pl.String).alias(columns.SECURITY_NAME),
        pl.lit(request.etf).alias(columns.ETF),
        *columns.BAR,
    )


def usable_forecast(row: Row) -> Row:
    """Reject a forecast that is no number of shares.

    Args:
        row: A row of ``SymbolLookup.forecast_bars``.

    Returns:
        The same row.

    Raises:
        InvalidBarsError: The forecast or a quantile is no number of shares.
    """
    volumes = [row[FORECAST], *(value for name, value in row.items() if _is_quantile(name))]
    if not all(0 <= value < FIRST_INEXACT_WHOLE_NUMBER for value in volumes):
        raise InvalidBarsError(
            "the forecast of these bars is no number of shares: their prices or volumes are absurd"
        )
    return row


def forecast_answer(row: Row, model: str) -> Forecast:
    """Put a forecast into an answer, with whole shares.

    Args:
        row: A row of ``SymbolLookup.forecast`` or ``SymbolLookup.forecast_bars``.
        model: Tag of the model.

    Returns:
        The answer.
    """
    session = row[columns.TARGET_DATE]
    return Forecast(
        **_security(row),
        latest_bar=row[columns.DATE],
        session=session,
        forecast=round(row[FORECAST]),
        quantiles=Quantiles(
            **{name: round(value) for name, value in row.items() if _is_quantile(name)}
        ),
        stale=row[CLOSING_TIME] <= datetime.now(tz=UTC),
        model=model,
        event=_event_answer(row[EVENT]) if row.get(EVENT) else None,
    )


def _event_answer(event: Row) -> Event:
    return Event(
        date=event[columns.DATE],
        time=event[columns.TIME],
        kind=event[columns.EVENT_KIND],
        confirmed=event[columns.CONFIRMED],
        reacting_session=event[columns.SESSION],
        sessions_until=event[UNTIL],
        reaction=event[UNTIL] == 0,
        text=describe_event(event),
    )


def symbol_answer(row: Row) -> SymbolInfo:
    """Put what is known of a symbol into an answer."""
    return SymbolInfo(
        **_security(row),
        first_bar=row[snapshot.FIRST_BAR],
        latest_bar=row[snapshot.LATEST_BAR],
        bars=row[snapshot.BARS],
        dollar_volume=row[snapshot.DOLLAR_VOLUME],
    )


def history_answer(known: Row, bars: list[Row]) -> History:
    """Put the latest bars of a symbol into an answer."""
    return History(
        **_security(known),
        vol_moving_avg=known[columns.VOL_MOVING_AVG],
        adj_close_rolling_med=known[columns.ADJ_CLOSE_ROLLING_MED],
        # Without validation: its bounds apply to requests, not to bars of the data.
        bars=[
            Bar.model_construct(**{field: bar[name] for field, name in _BAR_NAMES.items()})
            for bar in bars
        ],
    )


def record_answer(measures: Row, scored: list[Row]) -> Record:
    """Put the record of a symbol into an answer."""
    return Record(
        symbol=measures[columns.SYMBOL],
        **{name: value for name, value in measures.items() if name != columns.SYMBOL},
        forecasts=[
            ScoredForecast(
                session=row[columns.TARGET_DATE],
                volume=row[columns.VOLUME],
                **{name: round(row[name]) for name in (FORECAST, *INTERVAL_NAMES)},
            )
            for row in scored
        ],
    )


def _security(row: Row) -> Row:
    return {
        "symbol": row[columns.SYMBOL],
        "security_name": row.get(columns.SECURITY_NAME),
        "etf": row[columns.ETF],
    }


def _is_quantile(name: str) -> bool:
    return name.startswith("q") and name[1:].replace(".", "", 1).isdigit()
