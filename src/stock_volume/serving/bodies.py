"""Bodies of requests and answers, with their bounds and examples."""

import datetime as dt
import itertools
import re
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    FailFast,
    Field,
    Tag,
)
from typing_extensions import TypedDict

from stock_volume import columns
from stock_volume.bars.rules import FIRST_INEXACT_WHOLE_NUMBER, PRICE_BOUND
from stock_volume.estimator.train import EstimatorMetrics
from stock_volume.evaluation.results import HeadlineMetrics
from stock_volume.forecaster.parameters import MIN_BARS

MAX_ROWS: Final = 10_000
MAX_SYMBOLS: Final = 1_000
MAX_BARS: Final = 3_000
MAX_EVENTS: Final = 400
MAX_FOUND: Final = 100
MAX_FEATURES: Final = 5
MAX_SYMBOL_TEXT: Final = 255
"""No file system has longer names of files, from which symbols come."""

MAX_QUERY: Final = MAX_SYMBOL_TEXT

_DAY: Final = r"^\d{4}-\d{2}-\d{2}$"
NO_DATE: Final = "is not a date YYYY-MM-DD"
_OF_AVERAGE: Final = "mean volume of 30 calendar days, in shares"
_OF_MEDIAN: Final = "median adjusted close of the same days, in dollars"


def _as_numeral(value: Any) -> Any:
    """Refuse the texts that Python takes for numbers and others do not: 1_000, and blanks."""
    if isinstance(value, str) and ("_" in value or value != value.strip()):
        raise ValueError("is not a number")
    return value


AS_NUMERAL: Final = BeforeValidator(_as_numeral)
"""Of a number in a query, after its bounds: those before it are left out of the description."""

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
VolumeQuery = Annotated[
    NotNegative,
    Field(description=_OF_AVERAGE, examples=[12345]),
    AS_NUMERAL,
]
PriceQuery = Annotated[
    NotNegative,
    Field(description=_OF_MEDIAN, examples=[25]),
    AS_NUMERAL,
]
OpenPrice = Annotated[
    float,
    Field(
        description="price at the open of the session, in dollars, on the base of the latest bar",
        gt=0,
        lt=PRICE_BOUND,
        allow_inf_nan=False,
        examples=[143.5],
    ),
]
OpenQuery = Annotated[OpenPrice, AS_NUMERAL]
Price = Annotated[float, Field(strict=True, allow_inf_nan=False, lt=PRICE_BOUND)]
SymbolText = Annotated[
    str,
    Field(
        description="symbol as the data spells it; any other case means the symbol in capitals "
        "or, without one, the only symbol that differs by case alone",
        min_length=1,
        max_length=MAX_SYMBOL_TEXT,
        pattern=r"^[^/]*[^./][^/]*$",
        examples=["AAPL"],
    ),
]
"""Any name of a file could be a symbol. It has no slash, and clients take dots alone in a path for
a way up or nowhere."""

_FORECAST_EXAMPLE: Final[Any] = {
    "symbol": "AAPL",
    "security_name": "Apple Inc. - Common Stock",
    "etf": False,
    "latest_bar": "2021-01-27",
    "session": "2021-01-28",
    "forecast": 144729638,
    "quantiles": {
        "q5": 84711226,
        "q10": 92508188,
        "q50": 134630405,
        "q90": 220557557,
        "q95": 250118321,
    },
    "stale": True,
    "model": "stock_volume_forecaster:houvjixim2or4ax4",
    "event": {
        "date": "2021-01-27",
        "time": "post",
        "kind": "earnings",
        "confirmed": True,
        "reacting_session": "2021-01-28",
        "sessions_until": 0,
        "reaction": True,
        "text": "Reports earnings after the close on 2021-01-27 (confirmed); the forecast session "
        "reacts to it.",
    },
    "horizons": [
        {
            "horizon": "total_5",
            "session": "2021-02-03",
            "forecast": 612345678,
            "q10": 455123456,
            "q90": 861234567,
        }
    ],
}


_OPENING_EXAMPLE: Final[Any] = {
    "symbol": "AAPL",
    "security_name": "Apple Inc. - Common Stock",
    "etf": False,
    "latest_bar": "2021-01-27",
    "session": "2021-01-28",
    "price": 139.52,
    "gap": -1.78,
    "forecast": 151234567,
    "quantiles": {"q10": 101234567, "q50": 147654321, "q90": 219876543},
    "before": 144729638,
    "note": "",
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
        for day in _weekdays(dt.date(2019, 11, 22), MIN_BARS)
    ],
}
"""Made up, but such as are answered."""

_HISTORY_EXAMPLE: Final[Any] = {
    "symbol": "AAPL",
    "security_name": "Apple Inc. - Common Stock",
    "etf": False,
    "vol_moving_avg": 17373838.095238097,
    "adj_close_rolling_med": 59.065900168086,
    "bars": [
        {
            "Date": "2013-03-01",
            "Open": 438.0,
            "High": 438.1799,
            "Low": 429.98,
            "Close": 430.47,
            "Adj Close": 56.137353095488,
            "Volume": 19730300,
        }
    ],
}

_RECORD_EXAMPLE: Final[Any] = {
    "symbol": "AAPL",
    "n": 501,
    "first": "2011-03-03",
    "last": "2013-03-01",
    "eta_r2": 29.281002736503204,
    "mdape": 17.75484205903822,
    "mae": 4039338.745559737,
    "coverage_80": 77.44510978043913,
    "forecasts": [
        {
            "session": "2012-12-04",
            "volume": 19895300,
            "forecast": 17204958,
            "q10": 11299436,
            "q90": 22025339,
        }
    ],
}

_POINT_EXAMPLE: Final[Any] = {
    "n": 90000,
    "symbols": 380,
    "sessions": 252,
    "eta_r2": 36.6,
    "level_r2": 97.3,
    "mdape": 16.8,
    "mae": 980000.5,
    "qlike": 0.06,
    "ale": 0.42,
    "bias": -0.01,
}
_GROUP_EXAMPLE: Final[Any] = {
    **_POINT_EXAMPLE,
    "pinball": 0.07,
    "coverage_80": 80.1,
    "below_q10": 9.9,
    "below_q50": 50.2,
    "below_q90": 90.0,
}

_OPENING_GROUP_EXAMPLE: Final[Any] = {**_GROUP_EXAMPLE, "before": _GROUP_EXAMPLE}

_MODELS_EXAMPLE: Final[Any] = {
    "estimator": {
        "tag": "stock_volume_estimator:jqvdjbxhi6fyiax4",
        "created": "2021-01-28T06:00:23+00:00",
        "trained_from": "2000-03-01",
        "trained_to": "2021-01-27",
        "inputs": ["vol_moving_avg", "adj_close_rolling_med"],
        "smallest_inputs": {"vol_moving_avg": 0.0, "adj_close_rolling_med": 0.0004},
        "largest_inputs": {"vol_moving_avg": 573576400.0, "adj_close_rolling_med": 393.9},
        "metrics": {
            "random_split": {
                "mae": 6947180.2,
                "mse": 4.2e14,
                "r2": 0.93,
                "n_train": 9600,
                "n_test": 2400,
            },
            "time_split": {
                "mae": 8488708.2,
                "mse": 2.9e14,
                "r2": 0.49,
                "n_train": 9600,
                "n_test": 2400,
            },
        },
    },
    "forecaster": {
        "tag": "stock_volume_forecaster:houvjixim2or4ax4",
        "created": "2021-01-28T06:10:27+00:00",
        "trained_from": "2010-03-02",
        "trained_to": "2021-01-27",
        "rows": 1500000,
        "symbols": 917,
        "metrics": {
            **_GROUP_EXAMPLE,
            "universe": "common stocks",
            "intervals_95": {
                "eta_r2": [35.2, 38.0],
                "eta_r2_over_har": [1.1, 2.3],
                "mae": [930000.0, 1030000.0],
                "coverage_80": [79.2, 81.0],
            },
            "by_bucket": {"above 100M": _GROUP_EXAMPLE},
            "by_occasion": {"earnings reaction": _GROUP_EXAMPLE},
            "by_variability": {"below 0.4": _GROUP_EXAMPLE},
            "by_security": {"common stocks": _GROUP_EXAMPLE},
            "by_year": {"2020": _GROUP_EXAMPLE},
            "baselines": {"har": _POINT_EXAMPLE},
            "by_horizon": {"total_5": {**_GROUP_EXAMPLE, "baselines": {"har": _POINT_EXAMPLE}}},
            "at_open": {
                **_OPENING_GROUP_EXAMPLE,
                "by_bucket": {"above 100M": _OPENING_GROUP_EXAMPLE},
                "by_gap": {"above 2": _OPENING_GROUP_EXAMPLE},
            },
            "plan": {"folds": [], "min_sessions": 252, "note": "", "horizon_step": 4},
        },
        "features": [
            {"name": "volume_lag_0", "description": "log dollar volume 0 bars ago, over base"}
        ],
    },
    "snapshot": {
        "tag": "stock_volume_snapshot:hqp7gzxim2or4ax4",
        "created": "2021-01-28T06:10:30+00:00",
        "symbols": 917,
        "latest_bar": "2021-01-27",
    },
}

FORECAST_EXAMPLES: Final[Any] = {
    "symbols": {"summary": "Symbols of the data", "value": {"symbols": ["AAPL", "MSFT"]}},
    "bars": {"summary": "Bars of your own", "value": _BARS_EXAMPLE},
}


_AVERAGE: Final = Field(strict=True, description=_OF_AVERAGE, examples=[12345.0])
_MEDIAN: Final = Field(strict=True, description=_OF_MEDIAN, examples=[25.0])


class Averages(BaseModel):
    """The two inputs of the estimator."""

    model_config = ConfigDict(extra="forbid")

    vol_moving_avg: NotNegative = _AVERAGE
    adj_close_rolling_med: NotNegative = _MEDIAN


class AveragesRow(TypedDict):
    """One of many pairs: a dictionary, which takes a third of a model's time to make."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    vol_moving_avg: Annotated[NotNegative, _AVERAGE]
    adj_close_rolling_med: Annotated[NotNegative, _MEDIAN]


class AveragesBatch(BaseModel):
    """Many pairs of averages."""

    model_config = ConfigDict(extra="forbid")

    # To collect what is wrong with ten thousand rows takes seconds and half a gigabyte.
    rows: Annotated[
        list[AveragesRow],
        FailFast(),
        Field(description="the pairs", min_length=1, max_length=MAX_ROWS),
    ]


_ESTIMATOR_TAG: Final = Field(
    description="tag of the model that answers",
    examples=["stock_volume_estimator:jqvdjbxhi6fyiax4"],
)
ESTIMATOR_NOTE: Final = "an estimate for the day that the two averages end on, not a forecast"
_NOTE: Final = Field(
    default=ESTIMATOR_NOTE,
    description="what the answer is, and which input is below or above all that was trained on",
)


class VolumeEstimate(BaseModel):
    """An estimate of a day's volume, in shares."""

    volume: int = Field(description="shares", examples=[17447])
    model: str = _ESTIMATOR_TAG
    note: str = _NOTE


class VolumeEstimates(BaseModel):
    """Estimates of many days' volumes."""

    volumes: list[int] = Field(
        description="shares, in the order of the rows asked for", examples=[[17447]]
    )
    model: str = _ESTIMATOR_TAG
    note: str = _NOTE


def _as_day(value: Any) -> Any:
    """Refuse the numbers, and texts of numbers, that pydantic takes for seconds since 1970."""
    if isinstance(value, dt.date) or (isinstance(value, str) and re.fullmatch(_DAY, value)):
        return value
    raise ValueError(NO_DATE)


def _as_number(value: Any) -> Any:
    """Refuse texts and booleans, but not 1200.0, which is how pandas writes such a column."""
    if isinstance(value, (str, bool)):
        raise ValueError("is not a whole number")  # noqa: TRY004  # pydantic's way
    return value


class Bar(BaseModel):
    """A daily bar, named as in the files."""

    model_config = ConfigDict(extra="forbid")

    date: Annotated[
        dt.date,
        BeforeValidator(_as_day),
        Field(description="the session, YYYY-MM-DD", json_schema_extra={"pattern": _DAY}),
    ] = Field(alias=columns.DATE)
    open: Price | None = Field(
        default=None, alias=columns.OPEN, description="dollars; unknown where null, 0 or left out"
    )
    high: Price = Field(alias=columns.HIGH, description="dollars")
    low: Price = Field(alias=columns.LOW, description="dollars")
    close: Price = Field(alias=columns.CLOSE, description="dollars")
    adj_close: Price = Field(
        alias=columns.ADJ_CLOSE, description="dollars, with later splits and dividends undone"
    )
    volume: Annotated[
        int, Field(ge=0, lt=FIRST_INEXACT_WHOLE_NUMBER), BeforeValidator(_as_number)
    ] = Field(alias=columns.VOLUME, description="shares")


class SymbolsRequest(BaseModel):
    """Ask for the forecasts of many symbols."""

    model_config = ConfigDict(extra="forbid", title="Symbols")

    symbols: Annotated[
        list[SymbolText],
        FailFast(),
        Field(description="the symbols", min_length=1, max_length=MAX_SYMBOLS),
    ]


class OwnEvent(BaseModel):
    """A release of earnings, as it is scheduled."""

    model_config = ConfigDict(extra="forbid")

    date: Annotated[dt.date, Field(description="its date in the exchange's time zone")]
    time: Annotated[
        Literal["pre", "post"] | None,
        Field(description="before or after the close of that day; null where unknown"),
    ] = None


class BarsRequest(BaseModel):
    """Ask for a forecast from bars of your own."""

    model_config = ConfigDict(extra="forbid", title="Bars")

    symbol: Annotated[SymbolText, Field(description="how the answer calls them")] = "unnamed"
    etf: Annotated[bool, Field(strict=True, description="whether they are of an ETF")] = False
    price: Annotated[OpenPrice, Field(strict=True)] | None = Field(
        default=None,
        description="price at the open of the session to be forecast, in dollars, on the base of "
        "the latest bar; with it, the answer is the forecast at the open",
    )
    bars: Annotated[
        list[Bar],
        FailFast(),
        Field(
            description="one symbol's bars, up to the session before the one to be forecast",
            min_length=MIN_BARS,
            max_length=MAX_BARS,
        ),
    ]
    events: Annotated[
        list[OwnEvent],
        FailFast(),
        Field(
            description="releases of earnings of the symbol, past and coming; the model must have "
            "been trained with events",
            max_length=MAX_EVENTS,
        ),
    ] = []


def _kind_of(request: Any) -> str:
    has_bars = isinstance(request, BarsRequest) or (isinstance(request, dict) and "bars" in request)
    return "bars" if has_bars else "symbols"


ForecastRequest = Annotated[
    Annotated[SymbolsRequest, Tag("symbols")] | Annotated[BarsRequest, Tag("bars")],
    Discriminator(_kind_of),
]

_SYMBOL: Final = Field(description="as the data spells it", examples=["AAPL"])
_NAME: Final = Field(
    description="name of the security, where it is known", examples=["Apple Inc. - Common Stock"]
)
_ETF: Final = Field(description="whether it is an ETF")
_LATEST_BAR: Final = Field(description="date of its latest bar", examples=["2021-01-27"])
_DOLLAR_VOLUME: Final = Field(
    description="dollars traded a day, mean of the last 22 bars", examples=[14123456789.0]
)
_LATEST_AVERAGE: Final = Field(
    description="mean volume of the last 30 calendar days, in shares", examples=[111213141.5]
)


class Quantiles(BaseModel):
    """Bounds that the session's volume stays below with a given probability, in shares."""

    # A model may be trained for more.
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, int]

    q10: int = Field(description="shares; the volume is below it in one case of ten")
    q50: int = Field(description="shares; the median")
    q90: int = Field(description="shares; the volume is below it in nine cases of ten")


class Event(BaseModel):
    """An event of a symbol, as known at the close of its latest bar."""

    date: dt.date = Field(description="the day of the event")
    time: Literal["pre", "post"] | None = Field(
        description="`pre`: before the close; `post`: after it; null where unknown"
    )
    kind: str = Field(description="the kind of event", examples=["earnings"])
    confirmed: bool | None = Field(
        description="whether the company has confirmed the date; null where unknown"
    )
    reacting_session: dt.date = Field(description="the session that reacts to the event")
    sessions_until: int = Field(
        description="sessions from the forecast session to the one that reacts, at most 20"
    )
    reaction: bool = Field(description="whether the forecast session reacts to the event")
    text: str = Field(description="the same in a sentence")


HorizonQuery = Annotated[
    str | None,
    Field(
        description="leave out other horizons: `h2` to `h5`, `total_5` or `total_20`, as trained",
        max_length=20,
        examples=["total_5"],
    ),
]


class HorizonForecast(BaseModel):
    """A forecast beyond the next session."""

    horizon: str = Field(
        description="`h3` is the third session, `total_5` the total of the next five",
        examples=["total_5"],
    )
    session: dt.date = Field(description="the session, or the last one of a total")
    forecast: int = Field(description="shares; about the median of what may come")
    q10: int = Field(description="shares; the volume is below it in one case of ten")
    q90: int = Field(description="shares; the volume is below it in nine cases of ten")


class SessionForecast(BaseModel):
    """What every forecast of the session after a symbol's latest bar has."""

    symbol: str = _SYMBOL
    security_name: str | None = _NAME
    etf: bool = _ETF
    latest_bar: dt.date = Field(description="date of the latest bar that the forecast uses")
    session: dt.date = Field(description="the session that is forecast: the next one after it")
    forecast: int = Field(description="shares; about the median of what may come")
    quantiles: Quantiles = Field(description="shares; what may come, around the forecast")
    stale: bool = Field(description="whether the session is over: newer bars are needed")
    model: str = Field(description="tag of the model that answers")


class Forecast(SessionForecast):
    """A forecast of the session after a symbol's latest bar."""

    model_config = ConfigDict(json_schema_extra={"example": _FORECAST_EXAMPLE})

    event: Event | None = Field(
        default=None,
        description="the next event of the symbol, if one is known; the run must have had events",
    )
    horizons: list[HorizonForecast] = Field(
        default=[], description="forecasts beyond the next session"
    )


class OpeningForecast(SessionForecast):
    """A forecast of a session whose opening price is known."""

    model_config = ConfigDict(json_schema_extra={"example": _OPENING_EXAMPLE})

    price: float = Field(description="price at the open, as given, in dollars")
    gap: float = Field(description="its change from the close of the latest bar, in per cent")
    before: int = Field(description="shares; the forecast that was made before the open")
    note: str = Field(description="why the price may be wrong; empty if it is plausible")


class InvalidValue(BaseModel):
    """A value that was refused."""

    field: str = Field(
        description="its name; with its place where it is one of a list",
        examples=["rows.3.vol_moving_avg"],
    )
    message: str = Field(
        description="the bound or the rule it breaks",
        examples=["must be greater than or equal to 0"],
    )


class Problem(BaseModel):
    """A problem detail (RFC 9457)."""

    type: str = Field(default="about:blank", description="URI of the kind of problem")
    title: str = Field(description="the kind of problem, in words", examples=["Not Found"])
    status: int = Field(description="HTTP status code", examples=[404])
    detail: str = Field(
        description="what is wrong with this request",
        examples=["APPL is not among the symbols of this model"],
    )
    errors: list[InvalidValue] = Field(default=[], description="values that were refused")
    near: list[str] = Field(
        default=[],
        description="known symbols with a spelling similar to the unknown one",
        examples=[["AAPL", "AP"]],
    )


class Forecasts(BaseModel):
    """Forecasts of many symbols, and why others have none."""

    forecasts: list[Forecast] = Field(description="in the order of the symbols asked for")
    problems: list[Problem] = Field(description="one for each symbol without a forecast")


class SymbolOverview(BaseModel):
    """A symbol, and its forecast if it has one."""

    symbol: str = _SYMBOL
    security_name: str | None = _NAME
    etf: bool = _ETF
    latest_bar: dt.date = _LATEST_BAR
    dollar_volume: float | None = _DOLLAR_VOLUME
    vol_moving_avg: float | None = _LATEST_AVERAGE
    mdape: float | None = Field(
        description="median absolute error of its forecasts in the backtest, in per cent of the "
        "volume; null where none was scored",
        examples=[17.8],
    )
    session: dt.date | None = Field(
        description="the session that is forecast; like all that follows, null without a forecast"
    )
    stale: bool | None = Field(description="whether the session is over")
    forecast: int | None = Field(description="shares", examples=[144729638])
    quantiles: Quantiles | None = Field(description="shares")
    recent_sessions: int | None = Field(
        description="latest bars that the forecast is compared with, at most 60", examples=[60]
    )
    busier_sessions: int | None = Field(
        description="how many of them have a larger volume than the forecast", examples=[6]
    )
    quieter_sessions: int | None = Field(
        description="how many of them have a smaller volume than the forecast", examples=[54]
    )
    event: Event | None = Field(description="the next event of the symbol, if one is known")


class Overview(BaseModel):
    """All symbols with their forecasts."""

    model: str = Field(description="tag of the forecaster")
    symbols: list[SymbolOverview] = Field(description="the most traded first")


class FeatureFactor(BaseModel):
    """The effect of a feature on a forecast."""

    name: str = Field(description="its name", examples=["volume_lag_0"])
    description: str = Field(description="what it measures")
    value: float | None = Field(description="its value; null where unknown")
    factor: float = Field(description="what it multiplies the forecast by", examples=[1.03])


class KindFactor(BaseModel):
    """The effect of the features of a kind on a forecast."""

    kind: str = Field(description="the kind, as in docs/features.md", examples=["Volume"])
    factor: float = Field(description="product of the factors of its features", examples=[1.12])
    text: str = Field(
        description="the same in a sentence",
        examples=["Its recent volume: raises the forecast by 12 %."],
    )
    features: list[FeatureFactor] = Field(
        description=f"the {MAX_FEATURES} features with the largest effect, the largest first"
    )


class ForecastExplanation(BaseModel):
    """Why a forecast is what it is: the product of `start`, `average` and all factors."""

    symbol: str = _SYMBOL
    session: dt.date = Field(description="the session that is forecast")
    forecast: int = Field(description="shares")
    start: float = Field(
        description="the mean dollar volume of the last five bars, in shares at the last close",
        examples=[120345678.9],
    )
    average: float = Field(
        description="factor of the average row of training: how far volume lies from that mean",
        examples=[0.98],
    )
    average_text: str = Field(description="the same in a sentence")
    adaptation: float = Field(
        description="factor of the adaptation to the errors of past forecasts", examples=[1.02]
    )
    adaptation_text: str = Field(description="the same in a sentence")
    kinds: list[KindFactor] = Field(description="the largest effect first")
    model: str = Field(description="tag of the model that answers")


class SymbolInfo(BaseModel):
    """What is known of a symbol."""

    symbol: str = _SYMBOL
    security_name: str | None = _NAME
    etf: bool = _ETF
    first_bar: dt.date = Field(description="date of its first bar", examples=["1980-12-12"])
    latest_bar: dt.date = _LATEST_BAR
    bars: int = Field(description="number of bars", examples=[10116])
    dollar_volume: float | None = _DOLLAR_VOLUME


class SymbolsFound(BaseModel):
    """Symbols found."""

    symbols: list[SymbolInfo] = Field(description="the best matches, the best first")
    total: int = Field(description="how many match in all", examples=[1])
    similar: list[SymbolInfo] = Field(
        default=[],
        description="where few match: others whose symbol or name is spelled similarly, the most "
        "similar first",
    )


class History(BaseModel):
    """The latest bars of a symbol, and the averages that end on the latest."""

    model_config = ConfigDict(json_schema_extra={"example": _HISTORY_EXAMPLE})

    symbol: str = _SYMBOL
    security_name: str | None = _NAME
    etf: bool = _ETF
    vol_moving_avg: float | None = _LATEST_AVERAGE
    adj_close_rolling_med: float | None = Field(description=_OF_MEDIAN)
    bars: list[Bar] = Field(description="ascending by date")


class ScoredForecast(BaseModel):
    """A forecast of the backtest and the actual volume."""

    session: dt.date = Field(description="the session that was forecast")
    volume: int = Field(description="shares that were traded")
    forecast: int = Field(description="shares that were forecast")
    q10: int = Field(description="shares; the quantile 10 that was forecast")
    q90: int = Field(description="shares; the quantile 90 that was forecast")


class Record(BaseModel):
    """How accurate the backtest's forecasts of a symbol were."""

    model_config = ConfigDict(json_schema_extra={"example": _RECORD_EXAMPLE})

    symbol: str = _SYMBOL
    n: int = Field(description="sessions scored")
    first: dt.date = Field(description="first session scored")
    last: dt.date = Field(description="last session scored")
    eta_r2: float | None = Field(
        description="per cent of the squared error of the five-day mean that is taken away"
    )
    mdape: float = Field(description="median absolute error, in per cent of the volume")
    mae: float = Field(description="mean absolute error, in shares")
    coverage_80: float = Field(description="per cent of volumes between q10 and q90")
    forecasts: list[ScoredForecast] = Field(description="the latest ones, ascending")


class FeatureInfo(BaseModel):
    """A feature of the forecaster."""

    name: str = Field(description="its name")
    description: str = Field(description="what it is")


_TAG: Final = Field(description="name and version in the model store")
_CREATED: Final = Field(description="when it was stored (ISO 8601)")
_TRAINED_FROM: Final = Field(description="first session that was trained on")
_TRAINED_TO: Final = Field(description="last session that was trained on")


class EstimatorInfo(BaseModel):
    """The estimator that answers."""

    tag: str = _TAG
    created: str = _CREATED
    trained_from: dt.date = _TRAINED_FROM
    trained_to: dt.date = _TRAINED_TO
    inputs: list[str] = Field(description="names of the inputs")
    smallest_inputs: dict[str, float] = Field(
        description="smallest value of each input in the data; below it the answer is about that "
        "for the smallest"
    )
    largest_inputs: dict[str, float] = Field(
        description="largest value of each input that was trained on; above it the answer is that "
        "for the largest"
    )
    metrics: EstimatorMetrics = Field(description="errors on rows held out, in shares")


class FoldInfo(BaseModel):
    """The windows of one model of the backtest; every bound is included."""

    train_start: dt.date = Field(description="first session trained on")
    train_end: dt.date = Field(description="last session trained on")
    test_start: dt.date = Field(description="first session tested on")
    test_end: dt.date = Field(description="last session tested on")


class PlanInfo(BaseModel):
    """The windows of the backtest."""

    folds: list[FoldInfo] = Field(description="windows of each model, in order of time")
    min_sessions: int = Field(
        validation_alias=AliasChoices("min_sessions", "least_sessions"),
        description="bars of a symbol before its forecasts are scored",
    )
    note: str = Field(description="what was shortened for lack of data; empty if nothing was")
    horizon_step: int = Field(
        default=1, description="sessions from one origin of the horizons' backtest to the next"
    )


class BacktestInfo(HeadlineMetrics):
    """Measures of the backtest; those at the top level are of the headline universe."""

    plan: PlanInfo = Field(description="the windows of the backtest")


class ForecasterInfo(BaseModel):
    """The forecaster that answers."""

    tag: str = _TAG
    created: str = _CREATED
    trained_from: dt.date = _TRAINED_FROM
    trained_to: dt.date = _TRAINED_TO
    rows: int = Field(description="symbol-days trained on")
    symbols: int = Field(description="symbols trained on")
    metrics: BacktestInfo = Field(description="of the backtest; docs/forecaster.md defines them")
    features: list[FeatureInfo] = Field(description="in the order of the model")


class SnapshotInfo(BaseModel):
    """The data that forecasts are based on."""

    tag: str = _TAG
    created: str = _CREATED
    symbols: int = Field(description="number of symbols")
    latest_bar: dt.date = Field(description="date of the latest bar of all")


class Models(BaseModel):
    """The models in use and the data that they are based on."""

    model_config = ConfigDict(json_schema_extra={"example": _MODELS_EXAMPLE})

    estimator: EstimatorInfo = Field(description="answers /predict")
    forecaster: ForecasterInfo = Field(description="answers /forecast")
    snapshot: SnapshotInfo = Field(description="what is known of the symbols")
