"""Convert rows to response bodies, and request bodies to frames."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import cache
from itertools import chain
from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.bars.rules import FIRST_INEXACT_WHOLE_NUMBER
from stock_volume.exchange import Exchange
from stock_volume.features.horizon import Horizon
from stock_volume.features.schedule import NO_EVENTS, UNTIL
from stock_volume.forecaster.explain import (
    Explanation,
    KindEffect,
    describe_adaptation,
    describe_average,
    describe_kind,
)
from stock_volume.forecaster.horizons import HorizonColumns
from stock_volume.forecaster.model import FORECAST, INTERVAL_NAMES
from stock_volume.forecaster.opening import is_beyond_limit
from stock_volume.serving.bodies import (
    MAX_FEATURES,
    Bar,
    BarsRequest,
    Event,
    FeatureFactor,
    Forecast,
    ForecastExplanation,
    History,
    HorizonForecast,
    KindFactor,
    OpeningForecast,
    Overview,
    Quantiles,
    Record,
    ScoredForecast,
    SymbolInfo,
    SymbolOverview,
)
from stock_volume.snapshot import snapshot
from stock_volume.snapshot.event import describe_event
from stock_volume.snapshot.forecasts import BUSIER, QUIETER, RECENT
from stock_volume.snapshot.lookup import (
    CLOSING_TIME,
    EVENT,
    FORECAST_BEFORE,
    HORIZONS,
    MDAPE,
    OUTLOOK,
    Row,
)
from stock_volume.snapshot.own_bars import InvalidBarsError, judge_own_events

_BAR_TYPES = {
    columns.DATE: pl.Date,
    **dict.fromkeys(columns.PRICES, pl.Float64),
    columns.VOLUME: pl.Int64,
}

_IMPLAUSIBLE_GAP: Final = (
    "the gap is larger than any that counts: check the price, and whether the symbol has been "
    "split since its latest bar"
)

_COMPARED = (RECENT, BUSIER, QUIETER)
_OUTLOOK_FIELDS = ("session", "stale", "forecast", "quantiles", "event", *_COMPARED)
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


def events_frame(request: BarsRequest, exchange: Exchange) -> pl.DataFrame:
    """Judge the events of a request by the rules for files.

    Args:
        request: A validated request.
        exchange: The exchange of the model.

    Returns:
        Rows of the events layer.

    Raises:
        InvalidBarsError: An event breaks a rule.
    """
    if not request.events:
        return NO_EVENTS.events
    events = ((event.date, event.time) for event in request.events)
    return judge_own_events(request.symbol, events, exchange)


def usable_forecast(row: Row) -> Row:
    """Reject a forecast that is no number of shares.

    Args:
        row: A row of ``SymbolLookup.forecast_bars``.

    Returns:
        The same row.

    Raises:
        InvalidBarsError: The forecast or a quantile is no number of shares.
    """
    horizons = (HorizonColumns.of(horizon) for horizon, _ in row.get(HORIZONS, []))
    names = {FORECAST, *filter(_is_quantile, row), *chain.from_iterable(horizons)}
    names |= row.keys() & {FORECAST_BEFORE}
    volumes = [row[name] for name in names]
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
    return Forecast(
        **_session_forecast(row, model),
        event=_event_answer(row[EVENT]) if row.get(EVENT) else None,
        horizons=[_horizon_answer(row, *horizon) for horizon in row[HORIZONS]],
    )


def opening_answer(row: Row, price: float, model: str) -> OpeningForecast:
    """Put a forecast at the open into an answer, with whole shares.

    Args:
        row: A row of ``SymbolLookup.forecast_at_open``.
        price: Price at the open, in dollars.
        model: Tag of the model.

    Returns:
        The answer.
    """
    return OpeningForecast(
        **_session_forecast(row, model),
        price=price,
        gap=100 * (price / row[columns.CLOSE] - 1),
        before=round(row[FORECAST_BEFORE]),
        note=_IMPLAUSIBLE_GAP if is_beyond_limit(price, row[columns.CLOSE]) else "",
    )


def _session_forecast(row: Row, model: str) -> Row:
    """Fill in the fields of ``SessionForecast``."""
    return {
        **_security(row),
        "latest_bar": row[columns.DATE],
        "session": row[columns.TARGET_DATE],
        "forecast": round(row[FORECAST]),
        "quantiles": _quantiles(row),
        "stale": _is_over(row),
        "model": model,
    }


def _horizon_answer(row: Row, horizon: Horizon, session: date) -> HorizonForecast:
    names = HorizonColumns.of(horizon)
    return HorizonForecast(
        horizon=horizon.name,
        session=session,
        forecast=round(row[names.forecast]),
        q10=round(row[names.low]),
        q90=round(row[names.high]),
    )


def _is_over(row: Row) -> bool:
    is_over: bool = row[CLOSING_TIME] <= datetime.now(tz=UTC)
    return is_over


def _quantiles(row: Row) -> Quantiles:
    return Quantiles(**{name: round(value) for name, value in row.items() if _is_quantile(name)})


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


def overview_answer(rows: Iterable[Row], model: str) -> Overview:
    """Put all symbols and their forecasts into an answer.

    Args:
        rows: Rows of ``SymbolLookup.overview``.
        model: Tag of the forecaster.

    Returns:
        The answer.
    """
    return Overview(model=model, symbols=[_overview_of(row) for row in rows])


def _overview_of(row: Row) -> SymbolOverview:
    return SymbolOverview(
        **_security(row),
        latest_bar=row[snapshot.LATEST_BAR],
        dollar_volume=row[snapshot.DOLLAR_VOLUME],
        vol_moving_avg=row[columns.VOL_MOVING_AVG],
        mdape=row[MDAPE],
        **_outlook(row[OUTLOOK]),
    )


def _outlook(forecast: Row | None) -> Row:
    if forecast is None:
        return dict.fromkeys(_OUTLOOK_FIELDS)
    return {
        "session": forecast[columns.TARGET_DATE],
        "stale": _is_over(forecast),
        "forecast": round(forecast[FORECAST]),
        "quantiles": _quantiles(forecast),
        "event": _event_answer(forecast[EVENT]) if forecast[EVENT] else None,
        **{name: forecast[name] for name in _COMPARED},
    }


def explanation_answer(forecast: Row, explanation: Explanation, model: str) -> ForecastExplanation:
    """Put the explanation of a forecast into an answer.

    Args:
        forecast: The row of ``SymbolLookup.forecast``.
        explanation: Its explanation.
        model: Tag of the forecaster.

    Returns:
        The answer.
    """
    return ForecastExplanation(
        symbol=forecast[columns.SYMBOL],
        session=forecast[columns.TARGET_DATE],
        forecast=round(forecast[FORECAST]),
        start=explanation.start,
        average=explanation.average,
        average_text=describe_average(explanation.average),
        kinds=[_kind_answer(effect) for effect in explanation.kinds],
        adaptation=explanation.adaptation,
        adaptation_text=describe_adaptation(explanation.adaptation),
        model=model,
    )


def _kind_answer(effect: KindEffect) -> KindFactor:
    return KindFactor(
        kind=effect.kind,
        factor=effect.factor,
        text=describe_kind(effect.kind, effect.factor),
        features=[FeatureFactor(**one._asdict()) for one in effect.features[:MAX_FEATURES]],
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


@cache  # every answer checks the same names of columns
def _is_quantile(name: str) -> bool:
    return name.startswith("q") and name[1:].replace(".", "", 1).isdigit()
