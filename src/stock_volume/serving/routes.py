"""The routes that answer data: HTTP in and out, nothing else."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from operator import itemgetter
from typing import Annotated, Any, Final

import numpy as np
from fastapi import APIRouter, Body, Query
from fastapi.responses import Response
from fastapi.routing import APIRoute
from prometheus_client import Counter
from pydantic import BaseModel

from stock_volume import columns
from stock_volume.bars.rules import RuleParameters
from stock_volume.json_value import Json
from stock_volume.serving.bodies import (
    AS_NUMERAL,
    ESTIMATOR_NOTE,
    FORECAST_EXAMPLES,
    MAX_FOUND,
    MAX_QUERY,
    Averages,
    AveragesBatch,
    BarsRequest,
    Forecast,
    ForecastExplanation,
    ForecastRequest,
    Forecasts,
    History,
    HorizonQuery,
    InvalidValue,
    Models,
    OpeningForecast,
    OpenQuery,
    Overview,
    PriceQuery,
    Problem,
    Record,
    SymbolInfo,
    SymbolsFound,
    SymbolsRequest,
    SymbolText,
    VolumeEstimate,
    VolumeEstimates,
    VolumeQuery,
)
from stock_volume.serving.conversion import (
    bars_frame,
    events_frame,
    explanation_answer,
    forecast_answer,
    history_answer,
    opening_answer,
    record_answer,
    symbol_answer,
    usable_forecast,
)
from stock_volume.serving.loading import LoadedModels, ModelLoader
from stock_volume.serving.problems import (
    PROBLEM_JSON,
    ProblemError,
    problem,
    symbol_problem,
    unprocessable,
)
from stock_volume.serving.reading import Slots
from stock_volume.snapshot.lookup import NothingKnownError, Row, SymbolLookup, UnknownSymbolError
from stock_volume.snapshot.snapshot import HISTORY_DAYS

Responses = dict[int | str, dict[str, Any]]
"""Descriptions of responses by status, as FastAPI takes them."""

_FORECASTS: Final = Counter("stock_volume_forecasts", "Values answered", ["kind"])
_ESTIMATES, _OF_SYMBOLS, _OF_BARS = map(_FORECASTS.labels, ("estimate", "symbol", "bars"))

_IN_ORDER: Final = itemgetter(*columns.ESTIMATOR_INPUTS)

_FEW_FOUND: Final = 5
"""Matches of a search below which similar spellings are listed, too."""

_NEAR_SHOWN: Final = 10
"""Unknown symbols of one request whose near matches are looked for."""

_PROBLEMS: Final = {
    HTTPStatus.BAD_REQUEST: "The body cannot be read",
    HTTPStatus.UNAUTHORIZED: "The API key is missing or wrong, where the server asks for one",
    HTTPStatus.NOT_FOUND: "Unknown symbol; `near` lists symbols with similar spelling",
    HTTPStatus.METHOD_NOT_ALLOWED: "The address does not answer this method",
    HTTPStatus.REQUEST_TIMEOUT: "The body did not arrive in time",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not JSON, or is compressed",
    HTTPStatus.UNPROCESSABLE_ENTITY: "A value is missing or out of bounds; `errors` names it",
    HTTPStatus.SERVICE_UNAVAILABLE: "The models are not loaded, or the server is overloaded",
}
_DETAILS: Final = {
    HTTPStatus.BAD_REQUEST: "the body is not text in UTF-8",
    HTTPStatus.UNAUTHORIZED: "the header X-API-Key is missing or wrong",
    HTTPStatus.NOT_FOUND: "APPL is not among the symbols of this model",
    HTTPStatus.METHOD_NOT_ALLOWED: "Method Not Allowed",
    HTTPStatus.REQUEST_TIMEOUT: "the body did not arrive within 15 seconds",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the body is larger than 1,048,576 bytes",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "the body must be application/json, not text/plain",
    HTTPStatus.SERVICE_UNAVAILABLE: "the models are being loaded",
}
_EXAMPLES: Final = {
    **{status: problem(status, detail) for status, detail in _DETAILS.items()},
    HTTPStatus.NOT_FOUND: problem(404, _DETAILS[HTTPStatus.NOT_FOUND], near=["AAPL", "AP"]),
    HTTPStatus.UNPROCESSABLE_ENTITY: unprocessable(
        [InvalidValue(field="vol_moving_avg", message="must be greater than or equal to 0")]
    ),
}
_HEADERS: Final = {
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate", "how to bring the key"),
    HTTPStatus.METHOD_NOT_ALLOWED: ("Allow", "the methods that the address answers"),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Retry-After", "seconds after which to try again"),
}
_ALWAYS: Final = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


def refusals(*statuses: HTTPStatus) -> Responses:
    """Describe refusals for OpenAPI.

    Args:
        statuses: Their statuses.

    Returns:
        Descriptions by status.
    """
    return {status.value: _refusal(status) for status in sorted(statuses)}


def _refusal(status: HTTPStatus) -> dict[str, Json]:
    described: dict[str, Json] = {
        "description": _PROBLEMS[status],
        "content": {
            PROBLEM_JSON: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": _EXAMPLES[status].model_dump(),
            }
        },
    }
    if status in _HEADERS:
        name, words = _HEADERS[status]
        described["headers"] = {name: {"description": words, "schema": {"type": "string"}}}
    return described


_OF_VALUES: Final = refusals(*_ALWAYS)
_OF_BODIES: Final = refusals(
    *_ALWAYS,
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)
_OF_SYMBOL: Final = refusals(*_ALWAYS, HTTPStatus.NOT_FOUND)


def data_routes(loader: ModelLoader, slots: Slots, route_class: type[APIRoute]) -> APIRouter:
    """Make the routes.

    Args:
        loader: Gives the models, once they are loaded.
        slots: Has threads for requests with bodies.
        route_class: Says what a request must pass first.

    Returns:
        The routes.
    """
    routes = APIRouter(route_class=route_class)
    _add_estimates(routes, loader, slots)
    _add_forecasts(routes, loader, slots)
    _add_symbols(routes, loader)

    @routes.get("/models", summary="Describe the models", tags=["models"], responses=_OF_VALUES)
    async def models() -> Models:
        """Describe the models that answer: their training data and their measured errors."""
        return loader.models().about

    return routes


def _add_estimates(routes: APIRouter, loader: ModelLoader, slots: Slots) -> None:
    # A look into a table needs no thread of its own.
    def estimated(average: float, price: float) -> Response:
        models = loader.models()
        volume = models.table.estimate(average, price)
        _ESTIMATES.inc()
        note = _note(models, (average, price), (average, price))
        return _as_json(VolumeEstimate(volume=volume, model=models.about.estimator.tag, note=note))

    @routes.get(
        "/predict",
        summary="Estimate a volume",
        tags=["estimates"],
        response_model=VolumeEstimate,
        responses=_OF_VALUES,
    )
    async def predict(
        vol_moving_avg: VolumeQuery,
        adj_close_rolling_med: PriceQuery,
    ) -> Response:
        """Estimate a day's volume from the two averages that end on it."""
        return estimated(vol_moving_avg, adj_close_rolling_med)

    @routes.post(
        "/predict",
        summary="Estimate a volume",
        tags=["estimates"],
        response_model=VolumeEstimate,
        responses=_OF_BODIES,
    )
    async def predict_posted(averages: Averages) -> Response:
        """Estimate a day's volume from the two averages that end on it."""
        return estimated(averages.vol_moving_avg, averages.adj_close_rolling_med)

    @routes.post(
        "/predict/batch",
        summary="Estimate many volumes",
        tags=["estimates"],
        response_model=VolumeEstimates,
        responses=_OF_BODIES,
    )
    async def predict_batch(batch: AveragesBatch) -> Response:
        """Estimate the volumes of many days."""
        return await slots.run(_estimate_many, loader.models(), batch)


def _estimate_many(models: LoadedModels, batch: AveragesBatch) -> Response:
    inputs = np.array(list(map(_IN_ORDER, batch.rows)), dtype=np.float64)
    volumes = models.table.estimate_many(inputs)
    _ESTIMATES.inc(len(volumes))
    note = _note(models, inputs.min(axis=0), inputs.max(axis=0))
    return _as_json(VolumeEstimates(volumes=volumes, model=models.about.estimator.tag, note=note))


def _note(models: LoadedModels, smallest: Iterable[float], largest: Iterable[float]) -> str:
    """Describe what estimates are, and name inputs outside the training range.

    Args:
        models: The models.
        smallest: The smallest value of each input that was asked for.
        largest: The largest one.
    """
    parts = [ESTIMATOR_NOTE]
    for name, low, high, least, most in zip(
        columns.ESTIMATOR_INPUTS, smallest, largest, models.smallest, models.largest, strict=True
    ):
        if low < least:
            parts.append(f"{name} is below {least:,.10g}, the smallest that was trained on")
        if high > most:
            parts.append(f"{name} is above {most:,.10g}, the largest that was trained on")
    return "; ".join(parts)


def _as_json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


def _add_forecasts(routes: APIRouter, loader: ModelLoader, slots: Slots) -> None:
    # Look-ups need no thread of their own.
    @routes.get(
        "/forecast/{symbol}",
        summary="Forecast a symbol",
        tags=["forecasts"],
        response_model=Forecast,
        responses=_OF_SYMBOL,
    )
    async def forecast(symbol: SymbolText, horizon: HorizonQuery = None) -> Response:
        """Forecast the session after a symbol's latest bar, and beyond it."""
        models = loader.models()
        (row,) = models.lookup.forecast([symbol])
        answer = forecast_answer(row, models.about.forecaster.tag)
        if horizon is not None:
            answer = _select_horizon(answer, horizon)
        _OF_SYMBOLS.inc()
        return _as_json(answer)

    @routes.get(
        "/forecast/{symbol}/open",
        summary="Forecast a symbol at the open",
        tags=["forecasts"],
        responses=_OF_SYMBOL,
    )
    def forecast_at_open(symbol: SymbolText, price: OpenQuery) -> OpeningForecast:
        """Forecast the session after a symbol's latest bar, once its opening price is known."""
        models = loader.models()
        row = models.lookup.forecast_at_open(symbol, price)
        _OF_SYMBOLS.inc()
        return opening_answer(row, price, models.about.forecaster.tag)

    @routes.get(
        "/forecast/{symbol}/explanation",
        summary="Explain a forecast",
        tags=["forecasts"],
        responses=_OF_SYMBOL,
    )
    def explanation(symbol: SymbolText) -> ForecastExplanation:
        """Explain the forecast of a symbol by the effect of each kind of feature."""
        models = loader.models()
        (row,) = models.lookup.forecast([symbol])
        return explanation_answer(row, models.lookup.explain(symbol), models.about.forecaster.tag)

    @routes.get(
        "/forecasts",
        summary="List all forecasts",
        tags=["forecasts"],
        response_model=Overview,
        responses=_OF_VALUES,
    )
    def forecasts() -> Response:
        """List all symbols, the most traded first, with their forecasts."""
        return loader.models().listing.answer()

    @routes.post(
        "/forecast",
        summary="Forecast many symbols, or bars of your own",
        tags=["forecasts"],
        response_model=Forecasts | Forecast | OpeningForecast,
        responses={**_OF_SYMBOL, **_OF_BODIES},
    )
    async def forecast_posted(
        request: Annotated[ForecastRequest, Body(openapi_examples=FORECAST_EXAMPLES)],
    ) -> Response:
        """Forecast many symbols, or from bars of your own.

        With `symbols`, each is answered by a forecast or by a problem; where none is known
        the answer is a 404. With `bars`, of one symbol, the forecast uses only these, with
        the features that the model was trained on. With `price` in addition, it is the forecast
        at the open.
        """
        if isinstance(request, BarsRequest):
            return await slots.run(_forecast_bars, loader.models(), request)
        return await slots.run(_forecast_symbols, loader.models(), request)


def _forecast_bars(models: LoadedModels, request: BarsRequest) -> Response:
    lookup = models.lookup
    events = events_frame(request, lookup.exchange)
    row = usable_forecast(
        lookup.forecast_bars(bars_frame(request), RuleParameters(), events, request.price)
    )
    _OF_BARS.inc()
    tag = models.about.forecaster.tag
    if request.price is not None:
        return _as_json(opening_answer(row, request.price, tag))
    return _as_json(forecast_answer(row, tag))


def _forecast_symbols(models: LoadedModels, request: SymbolsRequest) -> Response:
    rows, problems = _each_forecast(models.lookup, request.symbols)
    if not rows:
        raise ProblemError(_none_known(problems))
    _OF_SYMBOLS.inc(len(rows))
    tag = models.about.forecaster.tag
    forecasts = [forecast_answer(row, tag) for row in rows]
    return _as_json(Forecasts(forecasts=forecasts, problems=problems))


def _select_horizon(answer: Forecast, name: str) -> Forecast:
    """Leave out the other horizons; refuse one that the model does not forecast."""
    known = {one.horizon: one for one in answer.horizons}
    if name not in known:
        allowed = f"it forecasts {', '.join(known)}" if known else "it forecasts none"
        raise ProblemError(
            problem(HTTPStatus.NOT_FOUND, f"this model has no horizon {name}: {allowed}")
        )
    return answer.model_copy(update={"horizons": [known[name]]})


def _each_forecast(lookup: SymbolLookup, symbols: Iterable[str]) -> tuple[list[Row], list[Problem]]:
    """Forecast all symbols that can be forecast, in one pass."""
    known: list[str] = []
    problems: list[Problem] = []
    for symbol in symbols:
        try:
            known.append(lookup.forecastable(symbol))
        except (UnknownSymbolError, NothingKnownError) as error:
            problems.append(symbol_problem(error, with_near=len(problems) < _NEAR_SHOWN))
    return (lookup.forecast(known) if known else []), problems


def _none_known(problems: Sequence[Problem]) -> Problem:
    first = problems[0]
    others = f"; nor can {len(problems) - 1} others be forecast" if len(problems) > 1 else ""
    near = list(dict.fromkeys(symbol for problem in problems for symbol in problem.near))
    return first.model_copy(update={"detail": first.detail + others, "near": near})


def _add_symbols(routes: APIRouter, loader: ModelLoader) -> None:
    @routes.get("/symbols", summary="Find symbols", tags=["symbols"], responses=_OF_VALUES)
    def symbols(
        query: Annotated[
            str,
            Query(
                description="start of the symbol, or a part of the name; empty for all",
                max_length=MAX_QUERY,
                examples=["apple"],
            ),
        ] = "",
        limit: Annotated[
            int, Query(description="most symbols to list", ge=1, le=MAX_FOUND), AS_NUMERAL
        ] = 20,
    ) -> SymbolsFound:
        """Find symbols by their start, or by a part of the security's name.

        Where few match, `similar` lists others that may have been meant.
        """
        lookup = loader.models().lookup
        rows, total = lookup.search(query, limit)
        similar = lookup.similar(query) if total < _FEW_FOUND else []
        return SymbolsFound(
            symbols=list(map(symbol_answer, rows)),
            total=total,
            similar=[symbol_answer(row) for row in similar if row not in rows],
        )

    @routes.get(
        "/symbols/{symbol}",
        summary="Describe a symbol",
        tags=["symbols"],
        responses=_OF_SYMBOL,
    )
    def symbol(symbol: SymbolText) -> SymbolInfo:
        """Describe a symbol."""
        return symbol_answer(loader.models().lookup.symbol(symbol))

    @routes.get(
        "/symbols/{symbol}/history",
        summary="List the latest bars",
        tags=["symbols"],
        responses=_OF_SYMBOL,
    )
    def history(
        symbol: SymbolText,
        days: Annotated[
            int,
            Query(ge=1, le=HISTORY_DAYS, description="calendar days up to the latest bar"),
            AS_NUMERAL,
        ] = 365,
    ) -> History:
        """List the latest bars of a symbol."""
        lookup = loader.models().lookup
        return history_answer(lookup.symbol(symbol), lookup.history(symbol, days))

    @routes.get(
        "/symbols/{symbol}/record",
        summary="Compare past forecasts with actual volumes",
        tags=["symbols"],
        responses=_OF_SYMBOL,
    )
    def record(symbol: SymbolText) -> Record:
        """Compare a symbol's forecasts in the backtest with its actual volumes."""
        return record_answer(*loader.models().lookup.record(symbol))
