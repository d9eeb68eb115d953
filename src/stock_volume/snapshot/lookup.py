"""Look up symbols: search, history, record and forecast."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import polars as pl

from stock_volume import columns
from stock_volume.bars.rules import RuleParameters
from stock_volume.errors import StockVolumeError
from stock_volume.exchange import Exchange
from stock_volume.features.horizon import Horizon
from stock_volume.features.registry import NEXT_OPEN
from stock_volume.features.schedule import NO_EVENTS, Schedule, next_events, sessions_around
from stock_volume.forecaster.adaptation import shift
from stock_volume.forecaster.explain import Explanation, explain_forecast
from stock_volume.forecaster.model import FORECAST, INTERVAL_NAMES, MA5, Forecaster, shares_at_base
from stock_volume.forecaster.occasion import find_occasions
from stock_volume.forecaster.opening import UNTRAINED, OpeningModel
from stock_volume.snapshot.own_bars import features_of_bars
from stock_volume.snapshot.search import SymbolSearch, similar_symbols
from stock_volume.snapshot.snapshot import LATEST_BAR, Snapshot

Row = dict[str, Any]

CLOSING_TIME: Final = "closing_time"
"""Field of a forecast: when its session closes, unless early."""

HORIZONS: Final = "horizons"
"""Field of a forecast: its horizons, each with its last session."""

EVENT: Final = "event"
"""Field of a forecast: the row of the symbol's next known event, or None."""

MDAPE: Final = "mdape"
"""Field of an overview: median absolute percentage error of a symbol in the backtest, or None."""

OUTLOOK: Final = "outlook"
"""Field of an overview: the symbol's row of ``SymbolLookup.forecast``, or None."""

FORECAST_BEFORE: Final = "forecast_before"
"""Field of a forecast at the open: the forecast that was made before it."""

_ORIGIN: Final = (
    columns.SYMBOL,
    columns.SECURITY_NAME,
    columns.ETF,
    columns.DATE,
    columns.TARGET_DATE,
    CLOSING_TIME,
)
"""Fields that a forecast at the open has in common with the one before it."""

_RECENT_DATES: Final = 64
"""Sessions whose closing time is kept: nearly all symbols have the same next session."""

_ONE_THREAD: Final = 1
"""Requests run side by side already."""


class UnknownSymbolError(StockVolumeError):
    """An unknown symbol, or one that matches several."""

    def __init__(self, symbol: str, known: Mapping[str, Sequence[str]]) -> None:
        """Keep the symbol and the symbols that it may have meant.

        Args:
            symbol: The requested symbol.
            known: The symbols of the data, by their form in upper case.
        """
        super().__init__(f"{symbol} is not among the symbols of this model")
        self._symbol, self._known = symbol, known

    def near(self) -> list[str]:
        """Find symbols of similar spelling."""
        return similar_symbols(self._symbol, self._known)


class NothingKnownError(StockVolumeError):
    """The data has too little about a known symbol to answer."""


class IncompatibleModelError(StockVolumeError):
    """The forecaster and the snapshot do not belong together."""


class SymbolLookup:
    """Look up symbols in the snapshot of a run, and forecast them."""

    def __init__(
        self,
        forecaster: Forecaster,
        frames: Mapping[str, pl.LazyFrame],
        exchange: Exchange,
        opening: OpeningModel = UNTRAINED,
    ) -> None:
        """Read the small frames; bars and past forecasts are read on request.

        Forecasts come from the snapshot. The forecaster answers users' own bars and explains.

        Args:
            forecaster: The trained forecaster.
            frames: The frames of ``Snapshot``, by name.
            exchange: The exchange of the snapshot.
            opening: The model of forecasts at the open.

        Raises:
            ExchangeMismatchError: The forecaster was trained for another exchange.
            IncompatibleModelError: The snapshot lacks frames, or features of the forecaster.
        """
        forecaster.check_exchange(exchange)
        missing = [name for name in Snapshot._fields if name not in frames]
        if missing:
            raise IncompatibleModelError(f"the snapshot has no {', '.join(missing)}")
        snapshot = Snapshot(**{name: frames[name] for name in Snapshot._fields})
        self._forecaster = forecaster
        self._opening = opening
        self._exchange = exchange
        self._symbols = snapshot.symbols.collect()
        self._latest = snapshot.latest.collect()
        missing = [name for name in forecaster.features if name not in self._latest.columns]
        if missing:
            raise IncompatibleModelError(
                f"the forecaster needs {len(missing)} features that the snapshot lacks, "
                f"such as {missing[0]}: create both in one run"
            )
        self._sessions = snapshot.sessions.collect()
        self._records = snapshot.records.collect()
        self._forecasts = snapshot.forecasts.collect()
        self._event_of = {
            event[columns.SYMBOL]: event
            for event in snapshot.events.collect().iter_rows(named=True)
        }
        self._bias = snapshot.bias.collect()
        self._history, self._scored = snapshot.history, snapshot.scored
        self._search = SymbolSearch(self._symbols)
        self._place = _places(self._symbols)
        self._by_upper_case: dict[str, list[str]] = {}
        for symbol in self._place:
            self._by_upper_case.setdefault(symbol.upper(), []).append(symbol)
        self._latest_place = _places(self._latest)
        self._record_place = _places(self._records)
        self._forecast_place = _places(self._forecasts)
        recently = lru_cache(maxsize=_RECENT_DATES)
        self._closing_time = recently(exchange.closing_time)
        self._horizons = recently(self._horizons_from)

    @property
    def size(self) -> int:
        """Number of symbols."""
        return self._symbols.height

    @property
    def latest_bar(self) -> date:
        """Date of the latest bar of all symbols."""
        latest: date = self._symbols.select(pl.col(LATEST_BAR).max()).item()
        return latest

    @property
    def closing_times(self) -> list[datetime]:
        """When the sessions of the forecasts close, unless early, in ascending order."""
        targets = self._forecasts[columns.TARGET_DATE].unique()
        return sorted(map(self._closing_time, targets))

    def symbol(self, symbol: str) -> Row:
        """Describe a symbol.

        Args:
            symbol: As spelled in the data. Otherwise the symbol in upper case is found or,
                without one, the only symbol that differs by case alone.

        Returns:
            Its row of ``Snapshot.symbols``.

        Raises:
            UnknownSymbolError: There is no such symbol.
        """
        return self._symbols.row(self._find(symbol), named=True)

    def search(self, query: str, limit: int) -> tuple[list[Row], int]:
        """Find symbols by the start of the symbol, or by any part of the name.

        Args:
            query: What to look for; empty for all.
            limit: Maximum number of rows.

        Returns:
            The first rows of ``SymbolSearch.matches``, and the number of all.
        """
        found = self._search.matches(query)
        return found.head(limit).to_dicts(), found.height

    def similar(self, query: str) -> list[Row]:
        """Find symbols despite typing errors: the rows of ``SymbolSearch.similar``.

        Args:
            query: What to look for.
        """
        return self._search.similar(query).to_dicts()

    def overview(self) -> Iterator[Row]:
        """Describe all symbols.

        Yields:
            Rows of ``Snapshot.symbols``, the most traded first, each with its error in the
            backtest and its forecast.
        """
        errors = dict(self._records.select(columns.SYMBOL, MDAPE).iter_rows())
        for row in self._search.matches("").iter_rows(named=True):
            symbol = row[columns.SYMBOL]
            is_forecast = symbol in self._forecast_place
            yield {
                **row,
                MDAPE: errors.get(symbol),
                OUTLOOK: self._forecast_of(symbol) if is_forecast else None,
            }

    def history(self, symbol: str, days: int) -> list[Row]:
        """Look up the latest bars of a symbol.

        Args:
            symbol: The symbol.
            days: Calendar days, the last of which is the latest bar's.

        Returns:
            Its bars, ascending.

        Raises:
            UnknownSymbolError: There is no such symbol.
        """
        known = self.symbol(symbol)
        return (
            self._history.filter(
                pl.col(columns.SYMBOL) == known[columns.SYMBOL],
                pl.col(columns.DATE) > known[LATEST_BAR] - timedelta(days=days),
            )
            .drop(columns.SYMBOL)
            .collect()
            .to_dicts()
        )

    def record(self, symbol: str) -> tuple[Row, list[Row]]:
        """Look up how accurate the backtest's forecasts of a symbol were.

        Args:
            symbol: The symbol.

        Returns:
            Its measures, and its latest forecasts with the actual volumes.

        Raises:
            UnknownSymbolError: There is no such symbol.
            NothingKnownError: The backtest has scored no forecast of it.
        """
        spelling = self._spell(symbol)
        if spelling not in self._record_place:
            raise NothingKnownError(
                f"the backtest has scored no forecast of {spelling}: it takes a year of bars"
            )
        measures = self._records.row(self._record_place[spelling], named=True)
        scored = self._scored.filter(pl.col(columns.SYMBOL) == spelling)
        return measures, scored.collect().to_dicts()

    def forecastable(self, symbol: str) -> str:
        """Find a symbol that can be forecast.

        Args:
            symbol: The symbol.

        Returns:
            The symbol as spelled in the data.

        Raises:
            UnknownSymbolError: There is no such symbol.
            NothingKnownError: It has no features to forecast from.
        """
        spelling = self._spell(symbol)
        if spelling not in self._forecast_place:
            latest = self.symbol(spelling)[LATEST_BAR]
            raise NothingKnownError(
                f"{spelling} cannot be forecast from its latest bar, of {latest}: it was no longer "
                "traded, or the bar is older than the features"
            )
        return spelling

    def forecast(self, symbols: Iterable[str]) -> list[Row]:
        """Look up the forecasts of the session after each symbol's latest bar.

        Args:
            symbols: The symbols.

        Returns:
            One row per symbol, in the same order: rows of ``Snapshot.forecasts`` with the
            closing time and the event.

        Raises:
            UnknownSymbolError: There is no such symbol.
            NothingKnownError: It has no features to forecast from.
        """
        return [self._forecast_of(self.forecastable(symbol)) for symbol in symbols]

    def explain(self, symbol: str) -> Explanation:
        """Explain the forecast of a symbol.

        Args:
            symbol: The symbol.

        Returns:
            The factors whose product is the forecast.

        Raises:
            UnknownSymbolError: There is no such symbol.
            NothingKnownError: It has no features to forecast from.
        """
        spelling = self.forecastable(symbol)
        row = self._latest[self._latest_place[spelling]]
        forecast: float = self._forecast_of(spelling)[FORECAST]
        return explain_forecast(self._forecaster, row, forecast, _ONE_THREAD)

    def forecast_at_open(self, symbol: str, price: float) -> Row:
        """Forecast the session after the latest bar of a symbol, given what it opened at.

        Args:
            symbol: The symbol.
            price: Price at the open of the session, in dollars, on the base of the latest bar.

        Returns:
            Names, dates and closing time as in the row of ``forecast``; ``Close`` of the latest
            bar; in shares the forecast before the open, and the forecast and the quantiles of
            ``OpeningModel.predict``.

        Raises:
            UnknownSymbolError: There is no such symbol.
            NothingKnownError: It has no features to forecast from, or the model has no forecasts at
                the open.
        """
        spelling = self.forecastable(symbol)
        latest = self._latest[self._latest_place[spelling]]
        return self._correct(self._forecast_of(spelling), latest, price)

    def _correct(self, made_before: Row, latest: pl.DataFrame, price: float) -> Row:
        """Correct a forecast by the gap at the open.

        Args:
            made_before: The forecast.
            latest: The row of features that it was made from.
            price: Price at the open.
        """
        if not self._opening.is_trained:
            raise NothingKnownError(
                "this model does not forecast at the open: its backtest has too few opening "
                "prices, or an earlier version trained it"
            )
        rows = latest.with_columns(
            shares_at_base().alias(MA5),
            find_occasions(latest),
            pl.lit(price, pl.Float64).alias(NEXT_OPEN),
            *(pl.lit(made_before[name]).alias(name) for name in (FORECAST, *INTERVAL_NAMES)),
        )
        (at_open,) = self._opening.predict(rows, _ONE_THREAD).to_dicts()
        return {
            **{name: made_before[name] for name in _ORIGIN},
            columns.CLOSE: latest[columns.CLOSE].item(),
            FORECAST_BEFORE: made_before[FORECAST],
            **at_open,
        }

    def forecast_bars(
        self,
        bars: pl.DataFrame,
        rules: RuleParameters,
        events: pl.DataFrame = NO_EVENTS.events,
        price: float | None = None,
    ) -> Row:
        """Forecast the session after the latest bar of one symbol.

        Args:
            bars: The columns of ``prices``.
            rules: Bounds of the rules that the bars must keep.
            events: Events of the symbol, rows of the events layer.
            price: Price at the open of the session, if it is known.

        Returns:
            A row like a row of ``forecast``, without recent sessions; with a price, a row like
            that of ``forecast_at_open``.

        Raises:
            InvalidBarsError: The bars break a rule, or are too few to forecast from.
            NothingKnownError: The model has no forecasts at the open.
        """
        rules = rules.model_copy(update={"exchange": self._exchange})
        schedule = Schedule(events, sessions_around(events.lazy(), self._exchange))
        features = features_of_bars(bars, self._sessions, rules, schedule)
        names = features.select(columns.SECURITY_NAME, columns.ETF)
        forecast = shift(self._forecaster.predict(features, _ONE_THREAD), features, self._bias)
        made = pl.concat([names, forecast], how="horizontal")
        if price is not None:
            before = self._with_sessions(made.row(0, named=True))
            return self._correct(before, features, price)
        horizons = self._forecaster.predict_horizons(features, _ONE_THREAD)
        beyond = horizons.drop(columns.SYMBOL, columns.DATE)
        whole = pl.concat([made, beyond], how="horizontal")
        row = self._with_sessions(whole.row(0, named=True))
        ahead = next_events(features, schedule).to_dicts() if events.height else []
        return {**row, EVENT: ahead[0] if ahead else None}

    def warm_up(self) -> None:
        """Run each kind of request once: the first one is slow."""
        symbol = next(iter(self._latest_place), None)
        if symbol is not None:
            self.explain(symbol)
            self.history(symbol, 1)

    def _find(self, symbol: str) -> int:
        upper_case = symbol.upper()
        alike = self._by_upper_case.get(upper_case, [])
        for spelling in (symbol, upper_case):
            if spelling in self._place:
                return self._place[spelling]
        if len(alike) != 1:
            raise UnknownSymbolError(symbol, self._by_upper_case)
        return self._place[alike[0]]

    def _spell(self, symbol: str) -> str:
        spelling: str = self._symbols[columns.SYMBOL][self._find(symbol)]
        return spelling

    def _forecast_of(self, spelling: str) -> Row:
        """Build the complete row on request: storing one for each symbol would take 22 MiB."""
        row = self._forecasts.row(self._forecast_place[spelling], named=True)
        return self._with_sessions(row) | {EVENT: self._event_of.get(spelling)}

    def _with_sessions(self, forecast: Row) -> Row:
        """Add when the session closes, and the sessions of the horizons."""
        target = forecast[columns.TARGET_DATE]
        return forecast | {
            CLOSING_TIME: self._closing_time(target),
            HORIZONS: self._horizons(target),
        }

    def _horizons_from(self, target: date) -> list[tuple[Horizon, date]]:
        """List the horizons with their last sessions in the calendar."""
        targets = self._sessions[columns.TARGET_DATE]
        place = targets.search_sorted(target)
        return [
            (model.horizon, targets[place + model.horizon.sessions - 1])
            for model in self._forecaster.horizons
            if place + model.horizon.sessions <= len(targets)
        ]

    @property
    def exchange(self) -> Exchange:
        """The exchange of the symbols."""
        return self._exchange


def _places(rows: pl.DataFrame) -> dict[str, int]:
    return {symbol: place for place, symbol in enumerate(rows[columns.SYMBOL])}
