"""Oracles of the forecaster's features: their descriptions in plain pandas, and random bars.

They are written from the descriptions, by other means than the features: pandas on the bars
of one symbol at a time, and loops over days where a feature looks for a day.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from math import isnan, nan
from statistics import fmean
from typing import Any, Final

import numpy as np
import pandas as pd
import polars as pl

from stock_volume import columns
from stock_volume.exchange import NYSE
from stock_volume.features.calendar import trading_calendar
from stock_volume.features.market import market_sessions, market_sums
from stock_volume.features.quantities import add_quantities

FIRST: Final = date(2016, 1, 4)
LAST: Final = date(2019, 7, 31)
MOURNING: Final = date(2018, 12, 5)
"""An unforeseen closure: a session without bars."""

Oracle = Callable[[Any], Any]
"""Maps the bars of a symbol, or sessions, to a series; pandas has no types."""


def _prices(random: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    """Make prices with jumps, bars with equal prices, dividends and a reverse split."""
    jumps = random.normal(0, 0.3, rows) * (random.random(rows) < 0.02)
    close = 20 * np.exp(np.cumsum(random.standard_t(4, rows) * 0.015 + jumps))
    flat = random.random(rows) < 0.02
    up, down, within = np.where(flat, 0, random.random((3, rows))) * 0.03
    factors = 1 + random.random(rows) * 0.02 * (random.random(rows) < 0.05)
    factors[rows // 2] = 1.5
    return {
        columns.OPEN: np.where(random.random(rows) < 0.03, np.nan, close * np.exp(up * within)),
        columns.HIGH: close * np.exp(up),
        columns.LOW: close * np.exp(-down),
        columns.CLOSE: close,
        columns.ADJ_CLOSE: close * np.cumprod(factors) / 2,
    }


def _volumes(random: np.random.Generator, returns: np.ndarray, size: float) -> np.ndarray:
    """Make volumes that rise with the return and sometimes spike; some are zero."""
    rows = len(returns)
    spikes = random.exponential(2.5, rows) * (random.random(rows) < 0.03)
    logs = size + random.normal(0, 0.6, rows) + 8 * np.abs(returns) + spikes
    volumes: np.ndarray = np.exp(logs) * (random.random(rows) > 0.03)
    return volumes.astype(np.int64)


def _bars_of(
    random: np.random.Generator, symbol: str, days: Sequence[date], size: float
) -> pl.DataFrame:
    prices = _prices(random, len(days))
    returns = np.diff(np.log(prices[columns.CLOSE]), prepend=np.log(20))
    return pl.DataFrame(
        {
            columns.SYMBOL: [symbol] * len(days),
            columns.SECURITY_NAME: [f"{symbol} Inc."] * len(days),
            columns.ETF: [symbol.startswith("ETF")] * len(days),
            columns.DATE: days,
            **prices,
            columns.VOLUME: _volumes(random, returns, size),
        }
    ).with_columns(pl.col(columns.OPEN).fill_nan(None))


def random_bars(seed: int, first_day: date = FIRST) -> pl.DataFrame:
    """Make bars of irregular symbols, sorted by symbol and date.

    Days are missing, one symbol starts late, one pauses for a month and then for eleven
    weeks, one trades now above and now below what counts as liquid, and one has bars on
    holidays. After the long pause, the day 13 weeks before is about ten bars back.

    Args:
        seed: Of the random numbers.
        first_day: First day of the bars.

    Returns:
        The bars, up to ``LAST``.
    """
    random = np.random.default_rng(seed)
    sessions = trading_calendar(first_day, LAST, NYSE)[columns.DATE].to_list()
    sessions.remove(MOURNING)
    weekdays = pd.bdate_range(first_day, LAST).date.tolist()
    first = random.integers(200, 600)
    pauses = {*range(first, first + 22), *range(first + 122, first + 177)}
    symbols = {
        "ETF1": (sessions, 11.0),
        "ETF2": (sessions, 12.0),
        "HOLIDAYS": (weekdays, 12.0),
        "LATE": (sessions[250:], 12.0),
        "PAUSED": ([day for at, day in enumerate(sessions) if at not in pauses], 12.0),
        "THIN": (sessions, 9.7),
        "WHOLE": (sessions, 12.0),
    }
    return pl.concat(
        _bars_of(random, symbol, [day for day in days if random.random() > 0.04], size)
        for symbol, (days, size) in symbols.items()
    )


def sessions_of(bars: pl.DataFrame) -> pl.DataFrame:
    """Compute the sessions of bars, in one chunk."""
    return market_sessions([market_sums(add_quantities(bars))], NYSE)


def _change(series: Any) -> Any:
    return np.log(series / series.shift(1))


def quantities(bars: Any) -> Any:
    """Add the quantities from which the features of one symbol are computed.

    Args:
        bars: Bars of one symbol in order of date, in pandas.

    Returns:
        The bars with more columns.
    """
    past = bars.reset_index(drop=True)
    dollars = past[columns.VOLUME] * past[columns.CLOSE]
    factor = past[columns.ADJ_CLOSE] / past[columns.CLOSE]
    past["bars"] = range(1, len(past) + 1)
    past["etf"] = past[columns.ETF].astype(float)
    past["without_trade"] = past[columns.VOLUME] == 0
    past["volume"] = np.log(dollars.where(past[columns.VOLUME] > 0))
    past["change"] = past["volume"].diff()
    past["base"] = past["volume"].rolling(5, min_periods=1).mean()
    past["abnormal"] = past["volume"] - past["base"].shift(1)
    past["abnormal_std"] = past["abnormal"].rolling(252, min_periods=40).std()
    past["surprise"] = past["volume"] - past["volume"].rolling(22, min_periods=5).median().shift(1)
    past["surprise_std"] = past["surprise"].rolling(252, min_periods=40).std()
    past["return"] = _change(past[columns.ADJ_CLOSE])
    past["move"] = past["return"].abs()
    past["volatility"] = past["return"].rolling(22, min_periods=10).std()
    past["score"] = past["move"] / past["volatility"].shift(1)
    past["range"] = np.log(past[columns.HIGH] / past[columns.LOW])
    past["gap"] = np.log(past[columns.OPEN] / past[columns.CLOSE].shift(1))
    past["payout"] = (factor / factor.shift(1) - 1).clip(0, 0.2)
    return past


def _add_relative(past: Any) -> None:
    """Add quantities relative to the market, and the event score."""
    past["relative_abnormal"] = past["abnormal"] - past["market_abnormal_volume"]
    past["relative_surprise"] = past["surprise"] - past["market_volume_surprise"]
    move = (past["return"] - past["market_return"]).abs()
    typical = move.rolling(126, min_periods=20).median().shift(1)
    past["surprise_score"] = (past["surprise"] / (past["surprise_std"] + 0.05)).clip(0, 6)
    past["event"] = np.sqrt(past["surprise_score"] * (move / (1.5 * typical + 0.00015)).clip(0, 6))


def _add_outcomes(past: Any, *names: str) -> None:
    """Add the outcome of the target session; unknown where the next bar is not on it."""
    on_target = past[columns.DATE].shift(-1) == past[columns.TARGET_DATE]
    for name in names:
        past[f"next_{name}"] = past[name].shift(-1).where(on_target)


def _row_before(rows: Mapping[Any, int], target: Any, weeks: int) -> int:
    """Find the row of a day some weeks before, or of the four days before that; otherwise -1."""
    if pd.isna(target):
        return -1
    days = (target - timedelta(weeks=weeks, days=back) for back in range(5))
    return next((rows[day] for day in days if day in rows), -1)


def _add_rows_before(frame: Any, many_weeks: Iterable[int]) -> None:
    rows = {day: row for row, day in enumerate(frame[columns.DATE])}
    for weeks in many_weeks:
        frame[weeks] = [_row_before(rows, day, weeks) for day in frame[columns.TARGET_DATE]]


def pasts(bars: pl.DataFrame, sessions: pl.DataFrame) -> list[Any]:
    """Make the input of the oracles of bars.

    Args:
        bars: Bars of any number of symbols.
        sessions: Rows of ``market_sessions``.

    Returns:
        A pandas frame a symbol: bars, quantities, sessions, and rows of weeks before.
    """
    frames = []
    of_sessions = sessions.with_columns(pl.col("kind").cast(pl.String)).to_pandas()
    for symbol in bars.partition_by(columns.SYMBOL, maintain_order=True):
        past = quantities(symbol.to_pandas()).merge(of_sessions, on=columns.DATE, how="left")
        _add_relative(past)
        _add_outcomes(past, "abnormal", "relative_abnormal")
        _add_rows_before(past, (1, *_QUARTERS, *_YEARS))
        frames.append(past)
    return frames


def market_days(bars: pl.DataFrame) -> Any:
    """Make the input of the oracles of sessions: sessions with the market's means.

    Args:
        bars: Bars of any number of symbols.

    Returns:
        A pandas frame of the sessions from the first bar's to the last's.
    """
    symbols = bars.partition_by(columns.SYMBOL, maintain_order=True)
    every = pd.concat(quantities(symbol.to_pandas()) for symbol in symbols)
    liquid = every[(every["bars"] > 60) & (every["volume"] > 13)]
    stocks, etfs = (liquid[liquid[columns.ETF] == etf].set_index("Date") for etf in (False, True))
    spikes = (stocks["abnormal"] > 1).astype(float).where(stocks["abnormal"].notna())
    measures = {
        "market_abnormal_volume": stocks["abnormal"].clip(-2, 2),
        "market_volume_surprise": stocks["surprise"].clip(-3, 3),
        "market_return": stocks["return"].clip(-0.3, 0.3),
        "market_abs_return": stocks["move"].clip(0, 0.3),
        "market_spikes": spikes,
        "etf_abnormal_volume": etfs["abnormal"].clip(-2, 2),
        "etf_volume_surprise": etfs["surprise"].clip(-3, 3),
    }
    means = pd.DataFrame({name: one.groupby("Date").mean() for name, one in measures.items()})
    days = every[columns.DATE]
    known = trading_calendar(days.min().date(), days.max().date(), NYSE)
    days = known.to_pandas().merge(means, on=columns.DATE, how="left")
    days["next_market_abnormal_volume"] = days["market_abnormal_volume"].shift(-1)
    _add_rows_before(days, [52])
    return days


# Parts of oracles.


def _is(column: str) -> Oracle:
    return lambda past: past[column]


def _shifted(column: str, bars: int) -> Oracle:
    return lambda past: past[column].shift(bars)


def _rolled(column: str, window: int, least: int, statistic: str) -> Oracle:
    return lambda past: getattr(past[column].rolling(window, min_periods=least), statistic)()


def _ewm(column: str, half_life: int) -> Oracle:
    """Compute the exponential mean of the known values so far."""

    def mean(past: Any) -> Any:
        known = past[column].dropna()
        return known.ewm(halflife=half_life).mean().reindex(past.index, method="ffill")

    return mean


def _less(column: str, minuend: Oracle) -> Oracle:
    return lambda past: minuend(past) - past[column]


def _over_base(oracle: Oracle) -> Oracle:
    return _less("base", oracle)


def _ratio(dividend: Oracle, divisor: Oracle) -> Oracle:
    return lambda past: dividend(past) / divisor(past)


def _quarter(window: int) -> int:
    return max(2, window // 4)


def _mean(values: Iterable[float], least: int = 1) -> float:
    """Average the known values."""
    known = [value for value in values if not isnan(value)]
    return fmean(known) if len(known) >= least else nan


def _gathered(column: str, weeks: int) -> Oracle:
    return lambda past: pd.Series(
        [past[column][row] if row >= 0 else nan for row in past[weeks]], dtype=float
    )


def _since(event: Oracle) -> Oracle:
    """Count the bars since an event."""

    def count(past: Any) -> Any:
        counts, bars = [], nan
        for happened in event(past):
            bars = 0 if happened else bars + 1
            counts.append(bars)
        return pd.Series(counts)

    return count


def _answers(
    keys: Iterable[Hashable], outcomes: Iterable[float], times: int, least: int
) -> list[float]:
    """Average what followed the last earlier rows of the same key.

    An outcome belongs to the target session, so the outcome of an earlier row is known by now.
    """
    past: dict[Hashable, list[float]] = defaultdict(list)
    answers = []
    for key, outcome in zip(keys, outcomes, strict=True):
        answers.append(_mean(past[key][-times:], least))
        past[key].append(outcome)
    return answers


def _response(outcome: str, key: Sequence[str], times: int, least: int) -> Oracle:
    """Average an outcome over similar sessions; rows without a session are alike, too."""

    def oracle(past: Any) -> Any:
        keys = (
            tuple(None if pd.isna(value) else value for value in row)
            for row in past[list(key)].itertuples(index=False)
        )
        return pd.Series(_answers(keys, past[f"next_{outcome}"], times, least))

    return oracle


# The oracles of bars.


def _slope(market: np.ndarray, own: np.ndarray) -> float:
    """Fit a line to the pairs in which both values are known."""
    both = ~np.isnan(market) & ~np.isnan(own)
    if both.sum() < 60:
        return nan
    return float(np.polynomial.polynomial.polyfit(market[both], own[both], 1)[1])


def _beta(past: Any) -> Any:
    market, own = past["market_abnormal_volume"].to_numpy(), past["abnormal"].to_numpy()
    starts = ((row, max(0, row - 251)) for row in range(len(past)))
    return pd.Series(
        [_slope(market[start : row + 1], own[start : row + 1]) for row, start in starts]
    )


def _skewness(values: np.ndarray) -> float:
    """Divide the third moment by the cube of the standard deviation, both of the population."""
    centred = values[~np.isnan(values)]
    centred = centred - centred.mean()
    return float((centred**3).mean() / (centred**2).mean() ** 1.5)


def _skew(past: Any) -> Any:
    return past["abnormal"].rolling(252, min_periods=60).apply(_skewness, raw=True)


def _autocorrelation(past: Any) -> Any:
    products, squares = past["change"] * past["change"].shift(1), past["change"] ** 2
    return (
        products.rolling(252, min_periods=60).mean() / squares.rolling(252, min_periods=60).mean()
    )


def _close_location(past: Any) -> Any:
    low = past[columns.LOW]
    return (past[columns.CLOSE] - low) / (past[columns.HIGH] - low) - 0.5


_VOLUME_ORACLES: Final[dict[str, Oracle]] = {
    **{f"volume_lag_{bars}": _over_base(_shifted("volume", bars)) for bars in range(10)},
    **{
        f"volume_{statistic}_{window}": _over_base(
            _rolled("volume", window, _quarter(window), statistic)
        )
        for statistic, windows in {
            "mean": (2, 3, 10, 20, 22, 63, 126, 252),
            "median": (10, 22, 63),
            "min": (5, 22, 63, 252),
            "max": (5, 22, 63, 252),
        }.items()
        for window in windows
    },
    **{
        f"volume_std_{window}": _rolled("volume", window, _quarter(window), "std")
        for window in (5, 10, 22, 63, 252)
    },
    **{f"volume_ewm_{bars}": _over_base(_ewm("volume", bars)) for bars in (1, 3, 10, 40)},
    "volume_same_weekday": _over_base(_gathered("volume", 1)),
    **{f"abnormal_volume_lag_{bars}": _shifted("abnormal", bars) for bars in range(5)},
    "abnormal_volume_mean_22": _rolled("abnormal", 22, 10, "mean"),
    "abnormal_volume_mean_63": _rolled("abnormal", 63, 10, "mean"),
    "abnormal_volume_std_63": _rolled("abnormal", 63, 20, "std"),
    "abnormal_volume_std_252": _is("abnormal_std"),
    "abnormal_volume_score": _ratio(_is("abnormal"), _is("abnormal_std")),
    "abnormal_volume_skew_252": _skew,
    **{
        f"relative_abnormal_volume_lag_{bars}": _shifted("relative_abnormal", bars)
        for bars in range(4)
    },
    "relative_abnormal_volume_std_252": _rolled("relative_abnormal", 252, 40, "std"),
    **{
        f"relative_volume_surprise_lag_{bars}": _shifted("relative_surprise", bars)
        for bars in range(4)
    },
    **{
        f"relative_volume_surprise_ewm_{bars}": _ewm("relative_surprise", bars)
        for bars in (1, 3, 10)
    },
    "relative_volume_surprise_mean_5": _rolled("relative_surprise", 5, 2, "mean"),
    "relative_volume_surprise_mean_22": _rolled("relative_surprise", 22, 5, "mean"),
    "volume_surprise_over_etfs": _less("etf_volume_surprise", _is("surprise")),
    "market_beta": _beta,
    "volume_autocorrelation": _autocorrelation,
    "size": _rolled("volume", 22, 5, "mean"),
    "illiquidity": lambda past: np.log((past["move"] + 0.0001) / np.exp(past["volume"])),
    "zero_volume_share_63": _rolled("without_trade", 63, 5, "mean"),
    "age": _is("bars"),
    "bars_since_spike": _since(lambda past: (past["abnormal"] > 1) & (past["score"] > 1.5)),
    "bars_since_surprise": _since(lambda past: past["surprise"] > 2 * past["surprise_std"]),
    "bars_since_large_return": _since(lambda past: past["score"] > 3),
}

_PRICE_ORACLES: Final[dict[str, Oracle]] = {
    **{f"return_lag_{bars}": _shifted("return", bars) for bars in range(5)},
    **{f"abs_return_lag_{bars}": _shifted("move", bars) for bars in range(5)},
    **{f"range_lag_{bars}": _shifted("range", bars) for bars in range(3)},
    **{
        f"return_mean_{window}": _rolled("return", window, _quarter(window), "mean")
        for window in (5, 22, 252)
    },
    "volatility_5": _rolled("return", 5, 3, "std"),
    "volatility_22": _is("volatility"),
    "volatility_252": _rolled("return", 252, 63, "std"),
    "volatility_ratio": _ratio(_rolled("return", 5, 3, "std"), _is("volatility")),
    "return_score": _is("score"),
    "range_mean_22": _rolled("range", 22, 5, "mean"),
    "range_over_mean_5": lambda past: past["range"] - _rolled("range", 5, 2, "mean")(past),
    "range_over_mean_22": lambda past: past["range"] - _rolled("range", 22, 2, "mean")(past),
    "gap": _is("gap"),
    "gap_score": lambda past: past["gap"].abs() / past["volatility"],
    "close_location": _close_location,
    "intraday_return": lambda past: np.log(past[columns.CLOSE] / past[columns.OPEN]),
    "drawdown_252": lambda past: np.log(
        past[columns.ADJ_CLOSE] / _rolled(columns.ADJ_CLOSE, 252, 60, "max")(past)
    ),
    "rise_252": lambda past: np.log(
        past[columns.ADJ_CLOSE] / _rolled(columns.ADJ_CLOSE, 252, 60, "min")(past)
    ),
    "log_price": lambda past: np.log(past[columns.CLOSE]),
    "payout": _is("payout"),
}


def _on(flag: str, times: int) -> Oracle:
    """Average over sessions with a flag; unknown on the others."""
    response = _response("abnormal", [flag], times, 1)
    return lambda past: response(past).where(past[flag].eq(True))  # noqa: FBT003


_RESPONSE_ORACLES: Final[dict[str, Oracle]] = {
    "response_weekday": _response("abnormal", ["target_weekday"], 26, 4),
    "response_kind": _response("abnormal", ["kind"], 8, 1),
    "response_kind_month": _response("abnormal", ["kind", "target_month"], 6, 1),
    "response_relative": _response("relative_abnormal", ["kind"], 8, 1),
    **{
        f"response_{flag}": _on(f"target_{flag}", times)
        for flag, times in {
            "triple_witching": 8,
            "double_witching": 8,
            "russell_reconstitution": 4,
            "index_review": 6,
            "early_close": 6,
            "other_month_end": 12,
            "quarter_end": 6,
        }.items()
    },
}

_QUARTERS: Final = (13, 26, 39, 52)
_YEARS: Final = (52, 104, 156)

_Around = Callable[[Sequence[float], int], float]
"""Maps the values of all bars and the row of one to a summary of the values around it."""


def _weighted(reach: int) -> _Around:
    def around(values: Sequence[float], row: int) -> float:
        rows = range(max(0, row - reach), min(len(values), row + reach + 1))
        weights = {near: 1 - abs(near - row) / (reach + 1) for near in rows}
        return sum(weight * values[near] for near, weight in weights.items() if values[near] > 0)

    return around


def _greatest(first: int, last: int) -> _Around:
    def around(values: Sequence[float], row: int) -> float:
        near = values[max(0, row + first) : max(0, row + last + 1)]
        return max((value for value in near if not isnan(value)), default=nan)

    return around


_AROUND: Final[dict[str, tuple[str, _Around]]] = {
    "score": ("event", lambda values, row: values[row]),
    "abnormal": ("abnormal", lambda values, row: values[row]),
    "near_1": ("event", _weighted(1)),
    "near_3": ("event", _weighted(3)),
    "near_6": ("event", _weighted(6)),
    "most_5": ("event", _greatest(-5, 5)),
    "before_10": ("event", _greatest(-10, -1)),
    "after_10": ("event", _greatest(1, 10)),
}


def _event(name: str, *many_weeks: int) -> Oracle:
    """Average the summaries around days some weeks before, at least ten bars back."""
    column, around = _AROUND[name]

    def oracle(past: Any) -> Any:
        values = past[column].tolist()
        about = [around(values, row) for row in range(len(values))]
        many_rows = zip(*(past[weeks] for weeks in many_weeks), strict=True)
        return pd.Series(
            [
                _mean(about[row] for row in rows if 0 <= row <= own - 10)
                for own, rows in enumerate(many_rows)
            ]
        )

    return oracle


def _overdue(weeks: int) -> Oracle:
    last = _rolled("event", 10, 1, "max")
    return lambda past: _event("before_10", weeks)(past) - last(past)


def _is_event(past: Any) -> Any:
    greatest = past["event"].rolling(20, min_periods=1).max()
    return (past["event"] > 1.2) & (past["event"] == greatest)


_EVENT_ORACLES: Final[dict[str, Oracle]] = {
    **{f"event_score_lag_{bars}": _shifted("event", bars) for bars in range(3)},
    "volume_surprise_score": _is("surprise_score"),
    **{f"event_score_max_{bars}": _rolled("event", bars, 1, "max") for bars in (5, 10, 20, 40)},
    **{f"event_{name}_13": _event(name, 13) for name in _AROUND},
    **{f"event_{name}_52": _event(name, 52) for name in _AROUND},
    **{f"event_{name}_quarters": _event(name, *_QUARTERS) for name in _AROUND},
    **{f"event_{name}_years": _event(name, *_YEARS) for name in _AROUND},
    "event_overdue_13": _overdue(13),
    "event_overdue_52": _overdue(52),
    "bars_since_event": _since(_is_event),
}

BAR_ORACLES: Final[dict[str, Oracle]] = {
    "etf": _is("etf"),
    **_VOLUME_ORACLES,
    **_PRICE_ORACLES,
    **_RESPONSE_ORACLES,
    **_EVENT_ORACLES,
}
"""The definition of each feature of a bar, on one of the frames of ``pasts``."""


# The oracles of sessions.

_MEANS: Final = (
    "market_abnormal_volume",
    "market_volume_surprise",
    "market_return",
    "market_abs_return",
    "market_spikes",
    "etf_abnormal_volume",
    "etf_volume_surprise",
)


def _market_response(key: Sequence[str], times: int, least: int) -> Oracle:
    return _response("market_abnormal_volume", key, times, least)


MARKET_ORACLES: Final[dict[str, Oracle]] = {
    **{name: _is(name) for name in _MEANS},
    **{
        f"market_abnormal_volume_lag_{bars}": _shifted("market_abnormal_volume", bars)
        for bars in range(1, 5)
    },
    "market_volume_surprise_mean_5": _rolled("market_volume_surprise", 5, 1, "mean"),
    "market_volume_surprise_mean_22": _rolled("market_volume_surprise", 22, 5, "mean"),
    "market_volume_surprise_over_mean_5": lambda days: (
        days["market_volume_surprise"] - _rolled("market_volume_surprise", 5, 1, "mean")(days)
    ),
    "market_return_sum_5": _rolled("market_return", 5, 1, "sum"),
    "market_volatility_22": _rolled("market_return", 22, 10, "std"),
    "market_abs_return_mean_22": _rolled("market_abs_return", 22, 5, "mean"),
    "market_abs_return_over_mean_22": _ratio(
        _is("market_abs_return"), _rolled("market_abs_return", 22, 5, "mean")
    ),
    "market_abnormal_volume_year_ago": _gathered("market_abnormal_volume", 52),
    "market_spikes_year_ago": _gathered("market_spikes", 52),
    "market_response_kind": _market_response(["kind"], 8, 1),
    "market_response_kind_month": _market_response(["kind", "target_month"], 10, 1),
    "market_response_kind_weekday": _market_response(["kind", "target_weekday"], 12, 2),
    "market_response_holiday": _market_response(["target_month", "holiday_offset"], 10, 2),
    "market_response_week": _market_response(
        ["target_month", "week_of_month", "target_weekday"], 12, 3
    ),
    "market_response_year_end": _market_response(["target_sessions_to_year_end"], 12, 3),
    "market_response_year_start": _market_response(["target_sessions_from_year_start"], 12, 3),
    "market_response_weekday": _market_response(["target_weekday"], 60, 10),
    "market_response_month_end": _market_response(
        ["target_month", "target_sessions_to_month_end"], 12, 3
    ),
    "market_response_expiry": _market_response(
        ["target_sessions_since_expiry", "target_weekday"], 12, 3
    ),
}
"""The definition of each feature of the market, on ``market_days``."""
