"""The routes that answer data: HTTP in and out, nothing else."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from operator import itemgetter
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Query
from fastapi.params import Depends as Dependency
from fastapi.responses import Response
from prometheus_client import Counter
from pydantic import BaseModel

from stock_volume import columns
from stock_volume.bars.rules import RuleParameters
from stock_volume.forecaster.book import Book, NothingKnownError, Row, UnknownSymbolError
from stock_volume.forecaster.snapshot import HISTORY_DAYS
from stock_volume.serving.answers import (
    FORECAST_EXAMPLES,
    MOST_FOUND,
    MOST_QUERY,
    Averages,
    AveragesBatch,
    BarsRequest,
    Forecast,
    ForecastRequest,
    Forecasts,
    History,
    Models,
    NotNegative,
    Problem,
    Record,
    SymbolInfo,
    SymbolsFound,
    SymbolText,
    VolumeEstimate,
    VolumeEstimates,
)
from stock_volume.serving.frames import (
    bars_frame,
    forecast_answer,
    history_answer,
    record_answer,
    symbol_answer,
)
from stock_volume.serving.loading import ModelLoader
from stock_volume.serving.problems import PROBLEM_JSON, ProblemError, symbol_problem

_FORECASTS: Final = Counter("stock_volume_forecasts", "Values answered", ["kind"])
_ESTIMATES, _OF_SYMBOLS, _OF_BARS = map(_FORECASTS.labels, ("estimate", "symbol", "bars"))

_IN_ORDER: Final = itemgetter(*columns.ESTIMATOR_INPUTS)

_NEAR_SHOWN: Final = 10
"""Unknown symbols of one request whose near matches are looked for."""

_PROBLEMS: Final = {
    HTTPStatus.BAD_REQUEST: "The body cannot be read",
    HTTPStatus.UNAUTHORIZED: "The API key is missing or wrong, where the server asks for one",
    HTTPStatus.NOT_FOUND: "Nothing is known of the symbol; `near` names symbols spelt alike",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large",
    HTTPStatus.UNPROCESSABLE_ENTITY: "A value is missing or out of bounds; `errors` names it",
    HTTPStatus.SERVICE_UNAVAILABLE: "The models are not loaded, yet or at all",
}


def _refusals(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    always = (HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE)
    return {
        status.value: {
            "description": _PROBLEMS[status],
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted({*always, *statuses})
    }


_OF_VALUES: Final = _refusals(HTTPStatus.UNPROCESSABLE_ENTITY)
_OF_BODIES: Final = _refusals(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
_OF_SYMBOL: Final = _refusals(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)


def data_routes(loader: ModelLoader, dependencies: Sequence[Dependency]) -> APIRouter:
    """Make the routes.

    Args:
        loader: Gives the models, once they are loaded.
        dependencies: What is asked of each request first.

    Returns:
        The routes.
    """
    routes = APIRouter(dependencies=dependencies)
    _add_estimates(routes, loader)
    _add_forecasts(routes, loader)
    _add_symbols(routes, loader)

    @routes.get(
        "/models", summary="Tell which models answer", tags=["models"], responses=_refusals()
    )
    async def models() -> Models:
        """Tell which models answer, what they were trained on, and how well they did."""
        return loader.models().about

    return routes


def _add_estimates(routes: APIRouter, loader: ModelLoader) -> None:
    # A look into a table needs no thread of its own.
    def estimated(averages: Averages) -> Response:
        models = loader.models()
        volume = models.table.estimate(averages.vol_moving_avg, averages.adj_close_rolling_med)
        _ESTIMATES.inc()
        return _as_json(VolumeEstimate(volume=volume, model=models.about.estimator.tag))

    @routes.get(
        "/predict",
        summary="Estimate a volume",
        tags=["estimates"],
        response_model=VolumeEstimate,
        responses=_OF_VALUES,
    )
    async def predict(
        vol_moving_avg: Annotated[NotNegative, Query(examples=[12345])],
        adj_close_rolling_med: Annotated[NotNegative, Query(examples=[25])],
    ) -> Response:
        """Estimate a day's volume from the two averages that end on it."""
        return estimated(
            Averages.model_construct(
                vol_moving_avg=vol_moving_avg, adj_close_rolling_med=adj_close_rolling_med
            )
        )

    @routes.post(
        "/predict",
        summary="Estimate a volume",
        tags=["estimates"],
        response_model=VolumeEstimate,
        responses=_OF_BODIES,
    )
    async def predict_posted(averages: Averages) -> Response:
        """Estimate a day's volume from the two averages that end on it."""
        return estimated(averages)

    @routes.post(
        "/predict/batch",
        summary="Estimate many volumes",
        tags=["estimates"],
        response_model=VolumeEstimates,
        responses=_OF_BODIES,
    )
    async def predict_batch(batch: AveragesBatch) -> Response:
        """Estimate the volumes of many days."""
        models = loader.models()
        volumes = models.table.estimate_many(list(map(_IN_ORDER, batch.rows)))
        _ESTIMATES.inc(len(volumes))
        return _as_json(VolumeEstimates(volumes=volumes, model=models.about.estimator.tag))


def _as_json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


def _add_forecasts(routes: APIRouter, loader: ModelLoader) -> None:
    @routes.get(
        "/forecast/{symbol}", summary="Forecast a symbol", tags=["forecasts"], responses=_OF_SYMBOL
    )
    def forecast(symbol: SymbolText) -> Forecast:
        """Forecast the session after a symbol's latest bar."""
        models = loader.models()
        (row,) = models.book.forecast([symbol])
        _OF_SYMBOLS.inc()
        return forecast_answer(row, models.about.forecaster.tag)

    @routes.post(
        "/forecast",
        summary="Forecast many symbols, or bars of your own",
        tags=["forecasts"],
        responses={**_OF_SYMBOL, **_OF_BODIES},
    )
    def forecast_posted(
        request: Annotated[ForecastRequest, Body(openapi_examples=FORECAST_EXAMPLES)],
    ) -> Forecasts | Forecast:
        """Forecast many symbols, or from bars of your own.

        With `symbols`, each is answered by a forecast or by a problem; where none is known
        the answer is a 404. With `bars`, of one symbol, the answer rests on these alone, by
        the features that the model was trained on.
        """
        models = loader.models()
        tag = models.about.forecaster.tag
        if isinstance(request, BarsRequest):
            row = models.book.forecast_bars(bars_frame(request), RuleParameters())
            _OF_BARS.inc()
            return forecast_answer(row, tag)
        rows, problems = _each_forecast(models.book, request.symbols)
        if not rows:
            raise ProblemError(_none_known(problems))
        _OF_SYMBOLS.inc(len(rows))
        return Forecasts(forecasts=[forecast_answer(row, tag) for row in rows], problems=problems)


def _each_forecast(book: Book, symbols: Iterable[str]) -> tuple[list[Row], list[Problem]]:
    """Forecast all symbols in one go, but for those that cannot be."""
    known: list[str] = []
    problems: list[Problem] = []
    for symbol in symbols:
        try:
            known.append(book.forecastable(symbol))
        except (UnknownSymbolError, NothingKnownError) as error:
            problems.append(symbol_problem(error, with_near=len(problems) < _NEAR_SHOWN))
    return (book.forecast(known) if known else []), problems


def _none_known(problems: Sequence[Problem]) -> Problem:
    first = problems[0]
    others = f"; nor can {len(problems) - 1} others be forecast" if len(problems) > 1 else ""
    near = list(dict.fromkeys(symbol for problem in problems for symbol in problem.near))
    return first.model_copy(update={"detail": first.detail + others, "near": near})


def _add_symbols(routes: APIRouter, loader: ModelLoader) -> None:
    @routes.get("/symbols", summary="Find symbols", tags=["symbols"], responses=_OF_VALUES)
    def symbols(
        query: Annotated[str, Query(max_length=MOST_QUERY, examples=["apple"])] = "",
        limit: Annotated[int, Query(ge=1, le=MOST_FOUND)] = 20,
    ) -> SymbolsFound:
        """Find symbols by their start, or by a part of the security's name."""
        rows, total = loader.models().book.search(query, limit)
        return SymbolsFound(symbols=[symbol_answer(row) for row in rows], total=total)

    @routes.get(
        "/symbols/{symbol}",
        summary="Tell what is known of a symbol",
        tags=["symbols"],
        responses=_OF_SYMBOL,
    )
    def symbol(symbol: SymbolText) -> SymbolInfo:
        """Tell what is known of a symbol."""
        return symbol_answer(loader.models().book.symbol(symbol))

    @routes.get(
        "/symbols/{symbol}/history",
        summary="List the latest bars",
        tags=["symbols"],
        responses=_OF_SYMBOL,
    )
    def history(
        symbol: SymbolText,
        days: Annotated[
            int, Query(ge=1, le=HISTORY_DAYS, description="calendar days up to the latest bar")
        ] = 365,
    ) -> History:
        """List the latest bars of a symbol."""
        book = loader.models().book
        return history_answer(book.symbol(symbol), book.history(symbol, days))

    @routes.get(
        "/symbols/{symbol}/record",
        summary="Tell how the forecasts came true",
        tags=["symbols"],
        responses=_OF_SYMBOL,
    )
    def record(symbol: SymbolText) -> Record:
        """Tell how the forecasts of a symbol came true in the backtest."""
        return record_answer(*loader.models().book.record(symbol))
