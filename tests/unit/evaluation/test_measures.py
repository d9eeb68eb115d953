"""The measures of a backtest, against their words in numpy."""

import json
import math
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, r2_score

from stock_volume import columns
from stock_volume.arrays import Floats
from stock_volume.evaluation.backtest import Plan
from stock_volume.evaluation.baselines import BASELINES
from stock_volume.evaluation.groups import COMMON_STOCK
from stock_volume.evaluation.measures import (
    bootstrap_intervals,
    eta_of,
    evaluate_backtest,
    interval_measures,
    point_measures,
)
from stock_volume.features.registry import ETA
from stock_volume.forecaster.model import FORECAST, MA5, quantile_name
from stock_volume.forecaster.parameters import BacktestParameters
from stock_volume.forecaster.universe import BUCKET, BUCKETS
from stock_volume.schemas import Backtest
from tests.unit.forecast_helpers import LEVELS, backtest_frame, scored

PARAMETERS: Final = BacktestParameters(resamples=200)
ROWS: Final = backtest_frame(symbols=18)
COMMON: Final = ROWS.filter(pl.col(COMMON_STOCK))
PLAN: Final = Plan(folds=(), min_sessions=1, note="")
POINTS: Final = ("eta_r2", "level_r2", "mdape", "mae", "qlike", "ale", "bias")


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    return _evaluate(ROWS)


def _evaluate(rows: pl.DataFrame) -> dict[str, Any]:
    """Measure a backtest, as its JSON has it."""
    return evaluate_backtest(scored(rows), PLAN, LEVELS, PARAMETERS).model_dump(mode="json")


def _bootstrap(
    rows: pl.DataFrame, parameters: BacktestParameters = PARAMETERS
) -> dict[str, list[float] | None]:
    return bootstrap_intervals(rows, parameters).model_dump(mode="json")


def _values(rows: pl.DataFrame, name: str) -> Floats:
    return rows[name].cast(pl.Float64).to_numpy()


def _point_oracle(rows: pl.DataFrame, forecast: str) -> dict[str, float]:
    volume, predicted, ma5 = (_values(rows, name) for name in (columns.VOLUME, forecast, MA5))
    level = np.log(ma5 * _values(rows, columns.CLOSE)) + _values(rows, ETA)
    error = _values(rows, ETA) - np.log(predicted / ma5)
    ratio = volume / predicted
    return {
        "eta_r2": 100 * (1 - np.sum(error**2) / np.sum(_values(rows, ETA) ** 2)),
        "level_r2": 100 * r2_score(level, level - error),
        "mdape": 100 * float(np.median(np.abs(volume - predicted) / volume)),
        "mae": mean_absolute_error(volume, predicted),
        "qlike": float(np.mean(ratio - np.log(ratio) - 1)),
        "ale": float(np.mean(np.where(ratio < 1, 2, 1) * np.abs(np.log(ratio)))),
        "bias": float(np.mean(error)),
    }


def _interval_oracle(rows: pl.DataFrame) -> dict[str, float]:
    volume = _values(rows, columns.VOLUME)
    quantiles = {level: _values(rows, quantile_name(level)) for level in LEVELS}
    losses = [
        mean_pinball_loss(np.log(volume), np.log(quantile), alpha=level)
        for level, quantile in quantiles.items()
    ]
    inside = (quantiles[0.1] <= volume) & (volume <= quantiles[0.9])
    return {
        "pinball": float(np.mean(losses)),
        "coverage_80": 100 * float(np.mean(inside)),
        **{
            f"below_q{100 * level:g}": 100 * float(np.mean(volume <= quantile))
            for level, quantile in quantiles.items()
        },
    }


def _point(rows: pl.DataFrame, forecast: str = FORECAST) -> dict[str, Any]:
    return rows.select(point_measures(forecast)).row(0, named=True)


def _assert_measures(group: Mapping[str, Any], rows: pl.DataFrame) -> None:
    """Check the counts of a group and every measure of it."""
    keys = (columns.SYMBOL, columns.TARGET_DATE)
    counts = [rows.height, *(len(set(rows[name])) for name in keys)]
    assert [group[name] for name in ("n", "symbols", "sessions")] == counts
    for name, value in (_point_oracle(rows, FORECAST) | _interval_oracle(rows)).items():
        assert group[name] == pytest.approx(value, rel=1e-9), name


def test_the_builder_makes_a_backtest() -> None:
    """The rows that these tests measure are what the layer's schema accepts."""
    assert Backtest.validate(ROWS).equals(ROWS)


@pytest.mark.parametrize("forecast", [FORECAST, *BASELINES])
def test_point_measures_match_their_words(forecast: str) -> None:
    """Each measure of a forecast is that of numpy and scikit-learn."""
    assert tuple(_point(ROWS, forecast)) == POINTS
    assert _point(ROWS, forecast) == pytest.approx(_point_oracle(ROWS, forecast), rel=1e-9)


def test_interval_measures_match_their_words() -> None:
    """Each measure of the quantiles is that of numpy and scikit-learn."""
    measured = ROWS.select(interval_measures(LEVELS)).row(0, named=True)
    expected = _interval_oracle(ROWS)
    assert list(measured) == list(expected)
    assert measured == pytest.approx(expected, rel=1e-9)


def test_levels_tell_which_measures_there_are() -> None:
    """Each level has its share below, beside the coverage from 10 to 90 per cent."""
    levels = (0.05, 0.1, 0.5, 0.9, 0.95)
    measured = backtest_frame(levels=levels).select(interval_measures(levels))
    below = ["below_q5", "below_q10", "below_q50", "below_q90", "below_q95"]
    assert measured.columns == ["pinball", "coverage_80", *below]


def test_a_forecast_in_shares_turns_back_to_eta() -> None:
    """ma5 is an eta of zero, and the volume itself is the observed eta."""
    turned = ROWS.select(eta_of(columns.VOLUME).alias("volume"), eta_of(MA5).alias("ma5"))
    assert turned["volume"].to_numpy() == pytest.approx(ROWS[ETA].to_numpy())
    assert turned["ma5"].to_list() == [0.0] * ROWS.height


def test_a_perfect_forecast_has_no_errors() -> None:
    """A forecast of the volume itself has R2s of 100 and no error."""
    perfect = ROWS.with_columns(pl.col(columns.VOLUME).cast(pl.Float64).alias(FORECAST))
    expected = {"eta_r2": 100, "level_r2": 100, **dict.fromkeys(POINTS[2:], 0)}
    assert _point(perfect) == pytest.approx(expected, abs=1e-9)


def test_ma5_takes_nothing_from_its_own_error() -> None:
    """The forecast that eta-R2 measures against has an eta-R2 of zero."""
    assert _point(ROWS, MA5)["eta_r2"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("times", "bias"), [(2.0, -math.log(2)), (0.5, math.log(2))])
def test_bias_is_below_zero_where_forecasts_are_too_high(times: float, bias: float) -> None:
    """A forecast of twice the volume has a bias of minus log 2."""
    rows = ROWS.with_columns((times * pl.col(columns.VOLUME)).alias(FORECAST))
    assert _point(rows)["bias"] == pytest.approx(bias)


def test_ale_counts_high_forecasts_twice() -> None:
    """Twice the volume is twice as bad a forecast as half the volume."""
    low, high = (
        _point(ROWS.with_columns((times * pl.col(columns.VOLUME)).alias(FORECAST)))["ale"]
        for times in (0.5, 2.0)
    )
    assert low == pytest.approx(math.log(2))
    assert high == pytest.approx(2 * math.log(2))


def test_qlike_punishes_low_forecasts_more() -> None:
    """Half the volume is a worse forecast than twice the volume."""
    low, high = (
        _point(ROWS.with_columns((times * pl.col(columns.VOLUME)).alias(FORECAST)))["qlike"]
        for times in (0.5, 2.0)
    )
    assert low == pytest.approx(2 - math.log(2) - 1)
    assert high == pytest.approx(0.5 + math.log(2) - 1)


def test_bounds_of_the_interval_are_inside() -> None:
    """A volume that equals a quantile is below it, and inside the interval."""
    volume = pl.col(columns.VOLUME).cast(pl.Float64)
    rows = ROWS.with_columns(volume.alias(quantile_name(level)) for level in LEVELS)
    measured = rows.select(interval_measures(LEVELS)).row(0, named=True)
    assert measured == {
        "pinball": 0,
        **dict.fromkeys(["coverage_80", "below_q10", "below_q50", "below_q90"], 100),
    }


def test_headline_is_of_common_stocks(metrics: dict[str, Any]) -> None:
    """The measures at the top level are of the common stocks."""
    assert metrics["universe"] == "common stocks"
    assert 0 < COMMON.height < ROWS.height
    _assert_measures(metrics, COMMON)
    assert metrics["intervals_95"] == _bootstrap(COMMON)


def test_buckets_are_of_common_stocks_and_add_up(metrics: dict[str, Any]) -> None:
    """Each bucket of liquidity is measured on the common stocks in it."""
    assert tuple(metrics["by_bucket"]) == BUCKETS
    for number, name in enumerate(BUCKETS):
        _assert_measures(metrics["by_bucket"][name], COMMON.filter(pl.col(BUCKET) == number))
    assert sum(group["n"] for group in metrics["by_bucket"].values()) == metrics["n"]


def test_years_are_of_common_stocks_and_add_up(metrics: dict[str, Any]) -> None:
    """Each year of the target sessions is measured, in order."""
    assert list(metrics["by_year"]) == ["2018", "2019"]
    for year, group in metrics["by_year"].items():
        days = COMMON[columns.TARGET_DATE].to_list()
        _assert_measures(group, COMMON.filter([str(day.year) == year for day in days]))
    assert sum(group["n"] for group in metrics["by_year"].values()) == metrics["n"]


def test_kinds_of_securities_add_up(metrics: dict[str, Any]) -> None:
    """Common stocks, other stocks and ETFs are apart from each other, and all symbols."""
    groups = metrics["by_security"]
    etf = pl.col(columns.ETF)
    _assert_measures(groups["common stocks"], COMMON)
    _assert_measures(groups["other stocks"], ROWS.filter(~etf & ~pl.col(COMMON_STOCK)))
    _assert_measures(groups["ETFs"], ROWS.filter(etf))
    _assert_measures(groups["all symbols"], ROWS)
    parts = sum(groups[name]["n"] for name in ("common stocks", "other stocks", "ETFs"))
    assert parts == groups["all symbols"]["n"] == ROWS.height


def test_baselines_are_measured_on_the_same_rows(metrics: dict[str, Any]) -> None:
    """Each baseline has the point measures, of the rows of the headline, and no others."""
    assert tuple(metrics["baselines"]) == BASELINES
    for name, group in metrics["baselines"].items():
        assert group["n"] == metrics["n"]
        measured = {measure: group[measure] for measure in POINTS}
        assert measured == pytest.approx(_point_oracle(COMMON, name), rel=1e-9, abs=1e-12)
        assert "pinball" not in group


def test_without_common_stocks_the_headline_is_of_all_symbols() -> None:
    """Where there is no common stock, all symbols are the headline, and are said to be."""
    rows = ROWS.filter(~pl.col(COMMON_STOCK))
    metrics = _evaluate(rows)
    assert metrics["universe"] == "all symbols"
    _assert_measures(metrics, rows)
    nothing = {"n": 0, "symbols": 0, "sessions": 0}
    assert metrics["by_security"]["common stocks"] == nothing


def test_empty_groups_have_counts_only() -> None:
    """A bucket or a kind without rows is counted, and not measured."""
    rows = ROWS.filter(pl.col(COMMON_STOCK), pl.col(BUCKET) == 1)
    metrics = _evaluate(rows)
    empty = [*metrics["by_bucket"].values(), *metrics["by_security"].values()]
    assert [len(group) == 3 for group in empty] == [
        True,
        False,
        *[True] * 3,
        False,
        True,
        True,
        False,
    ]


def test_figures_are_plain(metrics: dict[str, Any]) -> None:
    """The figures are what JSON can hold."""
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_figures_of_a_single_row_are_plain() -> None:
    """A group of one row has figures that JSON can hold, too: no level R2, and all others."""
    one = COMMON.filter(pl.col(BUCKET) == 0).head(1)
    rows = pl.concat([one, COMMON.filter(pl.col(BUCKET) != 0)])
    metrics = _evaluate(rows)
    single = metrics["by_bucket"][BUCKETS[0]]
    assert single["n"] == 1
    assert [name for name, value in single.items() if value is None] == ["level_r2"]
    json.dumps(metrics, allow_nan=False)


@pytest.mark.parametrize("forecast", [FORECAST, *BASELINES])
@pytest.mark.parametrize("count", [1, 5])
def test_a_level_that_does_not_vary_has_no_r2(forecast: str, count: int) -> None:
    """Rows of one level have no level R2; the other measures have values."""
    measured = _point(pl.concat([ROWS.head(1)] * count), forecast)
    assert measured.pop("level_r2") is None
    assert all(math.isfinite(value) for value in measured.values())


def _headline(rows: pl.DataFrame) -> dict[str, float]:
    """The measures that have intervals."""
    point, har = _point_oracle(rows, FORECAST), _point_oracle(rows, "har")
    return {
        "eta_r2": point["eta_r2"],
        "eta_r2_over_har": point["eta_r2"] - har["eta_r2"],
        "mae": point["mae"],
        "coverage_80": _interval_oracle(rows)["coverage_80"],
    }


@pytest.mark.parametrize("seed", range(3))
def test_intervals_hold_the_figures(seed: int) -> None:
    """Each interval is around the figure of all sessions, and not empty."""
    rows = backtest_frame(seed=seed)
    point = _headline(rows)
    intervals = _bootstrap(rows)
    assert set(intervals) == set(point)
    for name, bounds in intervals.items():
        assert bounds is not None
        assert bounds[0] < point[name] < bounds[1]


def test_intervals_repeat() -> None:
    """A second bootstrap gives the same bounds, whatever the order of the rows."""
    first = _bootstrap(ROWS)
    shuffled = ROWS.sample(fraction=1, shuffle=True, seed=1)
    for name, bounds in _bootstrap(shuffled).items():
        assert bounds == pytest.approx(first[name], rel=1e-12)
    assert _bootstrap(ROWS) == first


@pytest.mark.parametrize("block", [1, 5, 1000])
def test_sessions_that_are_all_alike_have_no_interval(block: int) -> None:
    """Where every session has the same rows, resampling sessions changes nothing."""
    day = ROWS.filter(pl.col(columns.TARGET_DATE) == ROWS[columns.TARGET_DATE].min())
    rows = pl.concat(
        day.with_columns(pl.lit(date(2020, 1, number)).alias(columns.TARGET_DATE))
        for number in range(1, 21)
    )
    intervals = _bootstrap(rows, BacktestParameters(block_sessions=block))
    for name, value in _headline(rows).items():
        assert intervals[name] == pytest.approx([value] * 2)


def test_intervals_are_of_sessions_and_not_of_rows() -> None:
    """Rows of a session go together: a copy of each symbol makes no interval narrower."""
    twice = pl.concat([ROWS, ROWS.with_columns(pl.col(columns.SYMBOL) + "2")])
    for name, bounds in _bootstrap(twice).items():
        assert bounds == pytest.approx(_bootstrap(ROWS)[name])


def test_blocks_keep_neighbouring_sessions_together() -> None:
    """Where errors last for weeks, blocks of weeks have wider intervals than single sessions."""
    fold = pl.col("fold") == 0
    rows = backtest_frame(sessions=120).with_columns(
        pl.when(fold).then(3 * pl.col(FORECAST)).otherwise(FORECAST).alias(FORECAST)
    )
    widths = []
    for block in (1, 30):
        bounds = _bootstrap(rows, BacktestParameters(block_sessions=block))["mae"]
        assert bounds is not None
        widths.append(bounds[1] - bounds[0])
    assert widths[1] > 1.5 * widths[0]


def test_one_session_can_be_measured() -> None:
    """A backtest of a single session has figures, with intervals of no width."""
    rows = ROWS.filter(pl.col(columns.TARGET_DATE) == ROWS[columns.TARGET_DATE].max())
    intervals = _bootstrap(rows)
    assert intervals["mae"] == pytest.approx([_point(rows)["mae"]] * 2)


def test_intervals_match_the_moving_block_bootstrap() -> None:
    """The bounds are near the bounds of a slow bootstrap with other draws."""
    days = ROWS[columns.TARGET_DATE].unique().sort().to_list()
    sums = {
        day: (_values(rows, columns.VOLUME) - _values(rows, FORECAST))
        for (day,), rows in ROWS.group_by(columns.TARGET_DATE)
    }
    random = np.random.default_rng(1)
    resampled = []
    for _ in range(2000):
        drawn: list[date] = []
        while len(drawn) < len(days):
            start = random.integers(0, len(days) - 4)
            drawn += days[start : start + 5]
        resampled.append(np.mean(np.abs([sums[day] for day in drawn[: len(days)]])))
    slow = np.percentile(resampled, [2.5, 97.5])
    fast = _bootstrap(ROWS, BacktestParameters(resamples=2000))["mae"]
    assert fast == pytest.approx(slow, abs=0.05 * float(np.ptp(slow)))


def _constant(rows: pl.DataFrame, rounding: float = 0.0) -> pl.DataFrame:
    """Give all rows one volume and one price, and a base that is exact up to rounding."""
    return rows.with_columns(
        pl.lit(50_000).cast(pl.Int64).alias(columns.VOLUME),
        pl.lit(20.0).alias(columns.CLOSE),
        pl.lit(50_000.0).alias(MA5),
        pl.lit(50_000.0).alias(FORECAST),
        (pl.int_range(pl.len()) % 3 * rounding).alias(ETA),
    )


@pytest.mark.parametrize("rounding", [0.0, 1e-15, 1e-12])
def test_volumes_that_do_not_vary_have_no_r2(rounding: float) -> None:
    """Where volumes and prices are constant both R2 are undefined, and the rest is measured."""
    measured = _evaluate(_constant(ROWS, rounding))
    assert (measured["eta_r2"], measured["level_r2"]) == (None, None)
    assert measured["mae"] == measured["mdape"] == 0
    intervals = measured["intervals_95"]
    assert (intervals["eta_r2"], intervals["eta_r2_over_har"]) == (None, None)
    assert intervals["mae"] == [0, 0]
    json.dumps(measured, allow_nan=False)


def test_an_interval_without_value_in_some_resample_is_undefined() -> None:
    """Where chance may draw constant sessions alone, eta-R2 has a value and no interval."""
    first = pl.col(columns.TARGET_DATE) == ROWS[columns.TARGET_DATE].min()
    rows = pl.concat([ROWS.filter(first), _constant(ROWS.filter(~first))])
    measured = _evaluate(rows)
    assert measured["eta_r2"] is not None
    assert measured["intervals_95"]["eta_r2"] is None
