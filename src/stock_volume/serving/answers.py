"""Bodies of requests and answers, with their bounds and examples."""

import datetime as dt
import itertools
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag
from typing_extensions import TypedDict

from stock_volume import columns
from stock_volume.bars.rules import FIRST_INEXACT_WHOLE_NUMBER
from stock_volume.forecaster.parameters import LEAST_BARS

MOST_ROWS: Final = 10_000
MOST_SYMBOLS: Final = 1_000
MOST_BARS: Final = 3_000
MOST_FOUND: Final = 100
MOST_QUERY: Final = 64

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Price = Annotated[float, Field(strict=True, allow_inf_nan=False)]
SymbolText = Annotated[
    str, Field(min_length=1, max_length=32, pattern=r"^[!-~]+$", examples=["AAPL"])
]
"""Any symbol could be spelt so: printable ASCII without a space."""

_FORECAST_EXAMPLE: Final[Any] = {
    "symbol": "AAPL",
    "security_name": "Apple Inc. - Common Stock",
    "etf": False,
    "latest_bar": "2021-01-27",
    "session": "2021-01-28",
    "forecast": 144729638,
    "quantiles": {"q10": 92508188, "q50": 134630405, "q90": 220557557},
    "stale": True,
    "model": "stock_volume_forecaster:houvjixim2or4ax4",
}


def _weekdays(last: dt.date, count: int) -> list[dt.date]:
    days = (last - dt.timedelta(days=ago) for ago in range(2 * count))
    return sorted(itertools.islice((day for day in days if day.weekday() < _SATURDAY), count))


_SATURDAY: Final = 5
_BARS_EXAMPLE: Final[Any] = {
    "symbol": "MINE",
    "bars": [
        {
            "Date": day.isoformat(),
            "Open": 10.1,
            "High": 10.3,
            "Low": 9.9,
            "Close": 10.0,
            "Adj Close": 10.0,
            "Volume": 120_000 + 10_000 * day.weekday(),
        }
        for day in _weekdays(dt.date(2019, 11, 22), LEAST_BARS)
    ],
}
"""Made up, but such as are answered."""

FORECAST_EXAMPLES: Final[Any] = {
    "symbols": {"summary": "Symbols of the data", "value": {"symbols": ["AAPL", "MSFT"]}},
    "bars": {"summary": "Bars of your own", "value": _BARS_EXAMPLE},
}


class Averages(BaseModel):
    """The two inputs of the estimator.

    Attributes:
        vol_moving_avg: Mean volume of the 30 calendar days, in shares.
        adj_close_rolling_med: Median adjusted close of the same days, in dollars.
    """

    model_config = ConfigDict(extra="forbid")

    vol_moving_avg: NotNegative = Field(strict=True, examples=[12345.0])
    adj_close_rolling_med: NotNegative = Field(strict=True, examples=[25.0])


class AveragesRow(TypedDict):
    """One of many pairs: a dictionary, which takes a third of a model's time to make."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    vol_moving_avg: Annotated[NotNegative, Field(strict=True)]
    adj_close_rolling_med: Annotated[NotNegative, Field(strict=True)]


class AveragesBatch(BaseModel):
    """Many pairs of averages.

    Attributes:
        rows: The pairs.
    """

    model_config = ConfigDict(extra="forbid")

    rows: Annotated[list[AveragesRow], Field(min_length=1, max_length=MOST_ROWS)]


_ESTIMATOR_TAG: Final = Field(
    description="tag of the model that answers",
    examples=["stock_volume_estimator:jqvdjbxhi6fyiax4"],
)
_ESTIMATOR_NOTE: Final = "an estimate for the day that the two averages end on, not a forecast"


class VolumeEstimate(BaseModel):
    """An estimate of a day's volume, in shares."""

    volume: int = Field(description="shares", examples=[17447])
    model: str = _ESTIMATOR_TAG
    note: str = _ESTIMATOR_NOTE


class VolumeEstimates(BaseModel):
    """Estimates of many days' volumes, in the order of the rows asked for."""

    volumes: list[int] = Field(description="shares", examples=[[17447]])
    model: str = _ESTIMATOR_TAG
    note: str = _ESTIMATOR_NOTE


def _as_text(value: Any) -> Any:
    """Refuse the numbers that pydantic would take for seconds since 1970."""
    if not isinstance(value, (str, dt.date)):
        raise ValueError("a date is text: YYYY-MM-DD")  # noqa: TRY004  # pydantic's way
    return value


def _as_number(value: Any) -> Any:
    """Refuse texts and booleans, but not 1200.0, which is how pandas writes such a column."""
    if isinstance(value, (str, bool)):
        raise ValueError("a volume is a whole number")  # noqa: TRY004  # pydantic's way
    return value


class Bar(BaseModel):
    """A daily bar, named as in the files; an Open of null or 0 is unknown."""

    model_config = ConfigDict(extra="forbid")

    date: Annotated[dt.date, BeforeValidator(_as_text)] = Field(alias=columns.DATE)
    open: Price | None = Field(default=None, alias=columns.OPEN)
    high: Price = Field(alias=columns.HIGH)
    low: Price = Field(alias=columns.LOW)
    close: Price = Field(alias=columns.CLOSE)
    adj_close: Price = Field(alias=columns.ADJ_CLOSE)
    volume: Annotated[
        int, BeforeValidator(_as_number), Field(ge=0, lt=FIRST_INEXACT_WHOLE_NUMBER)
    ] = Field(alias=columns.VOLUME)


class SymbolsRequest(BaseModel):
    """Ask for the forecasts of many symbols."""

    model_config = ConfigDict(extra="forbid", title="Symbols")

    symbols: Annotated[list[SymbolText], Field(min_length=1, max_length=MOST_SYMBOLS)]


class BarsRequest(BaseModel):
    """Ask for a forecast from bars of your own.

    Attributes:
        symbol: How the answer calls them.
        etf: Whether they are of an ETF.
        bars: One symbol's bars, up to the session before the one to be forecast.
    """

    model_config = ConfigDict(extra="forbid", title="Bars")

    symbol: SymbolText = "unnamed"
    etf: Annotated[bool, Field(strict=True)] = False
    bars: Annotated[list[Bar], Field(min_length=LEAST_BARS, max_length=MOST_BARS)]


def _kind_of(request: Any) -> str:
    return "bars" if isinstance(request, dict) and "bars" in request else "symbols"


ForecastRequest = Annotated[
    Annotated[SymbolsRequest, Tag("symbols")] | Annotated[BarsRequest, Tag("bars")],
    Discriminator(_kind_of),
]


class Forecast(BaseModel):
    """A forecast of the session after a symbol's latest bar."""

    model_config = ConfigDict(json_schema_extra={"example": _FORECAST_EXAMPLE})

    symbol: str
    security_name: str | None
    etf: bool
    latest_bar: dt.date = Field(description="the bar that the forecast rests on")
    session: dt.date = Field(description="the session that is forecast: the next one after it")
    forecast: int = Field(description="shares; about the median of what may come")
    quantiles: dict[str, int] = Field(
        description="shares; the session's volume is below q10 in one case of ten"
    )
    stale: bool = Field(description="whether the session is over: newer bars are needed")
    model: str = Field(description="tag of the model that answers")


class InvalidValue(BaseModel):
    """A value that was refused.

    Attributes:
        field: Its name; with its place where it is one of a list, as in ``rows.3.name``.
        message: The bound or the rule it breaks.
    """

    field: str
    message: str


class Problem(BaseModel):
    """A problem detail (RFC 9457).

    Attributes:
        type: URI of the kind of problem.
        title: The kind of problem, in words.
        status: HTTP status code.
        detail: What is wrong with this request.
        errors: Each value that was refused.
        near: Known symbols that are spelt like an unknown one.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[InvalidValue] = []
    near: list[str] = []


class Forecasts(BaseModel):
    """Forecasts of many symbols, and why others have none.

    Attributes:
        forecasts: In the order of the symbols asked for.
        problems: One for each symbol without a forecast.
    """

    forecasts: list[Forecast]
    problems: list[Problem]


class SymbolInfo(BaseModel):
    """What is known of a symbol."""

    symbol: str = Field(examples=["AAPL"])
    security_name: str | None = Field(examples=["Apple Inc. - Common Stock"])
    etf: bool
    first_bar: dt.date
    latest_bar: dt.date
    bars: int = Field(description="number of bars")
    dollar_volume: float | None = Field(description="mean a day, over the last 22 bars")


class SymbolsFound(BaseModel):
    """Symbols found.

    Attributes:
        symbols: The best matches.
        total: How many match in all.
    """

    symbols: list[SymbolInfo]
    total: int


class History(BaseModel):
    """The latest bars of a symbol, and the averages that end on the latest."""

    symbol: str
    security_name: str | None
    etf: bool
    vol_moving_avg: float | None
    adj_close_rolling_med: float | None
    bars: list[Bar]


class ScoredForecast(BaseModel):
    """A forecast of the backtest, in shares, beside the volume that came true."""

    session: dt.date
    volume: int
    forecast: int
    q10: int
    q90: int


class Record(BaseModel):
    """How the backtest's forecasts of a symbol came true."""

    symbol: str
    n: int = Field(description="sessions scored")
    first: dt.date
    last: dt.date
    eta_r2: float | None = Field(
        description="per cent of the squared error of the five-day mean that is taken away"
    )
    mdape: float = Field(description="median absolute error, in per cent of the volume")
    mae: float = Field(description="mean absolute error, in shares")
    coverage_80: float = Field(description="per cent of volumes between q10 and q90")
    forecasts: list[ScoredForecast] = Field(description="the latest ones, ascending")


class FeatureInfo(BaseModel):
    """A feature of the forecaster."""

    name: str
    description: str


class EstimatorInfo(BaseModel):
    """The estimator that answers."""

    tag: str
    created: str
    trained_from: dt.date = Field(description="first session that was trained on")
    trained_to: dt.date = Field(description="last session that was trained on")
    inputs: list[str]
    metrics: dict[str, Any]


class ForecasterInfo(BaseModel):
    """The forecaster that answers."""

    tag: str
    created: str
    trained_from: dt.date = Field(description="first session that was trained on")
    trained_to: dt.date = Field(description="last session that was trained on")
    rows: int = Field(description="symbol-days trained on")
    symbols: int = Field(description="symbols trained on")
    metrics: dict[str, Any] = Field(description="of the backtest")
    features: list[FeatureInfo]


class SnapshotInfo(BaseModel):
    """The data that forecasts rest on."""

    tag: str
    created: str
    symbols: int
    latest_bar: dt.date


class Models(BaseModel):
    """The models that answer, and the data that they rest on."""

    estimator: EstimatorInfo
    forecaster: ForecasterInfo
    snapshot: SnapshotInfo
