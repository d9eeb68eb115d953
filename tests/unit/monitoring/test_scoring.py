"""Scores of past forecasts, beside plain pandas."""

import math
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_volume import columns
from stock_volume.evaluation.backtest import COMMON_STOCK
from stock_volume.evaluation.baselines import MA5
from stock_volume.features.quantities import BARS_SO_FAR, BASE
from stock_volume.features.registry import ETA
from stock_volume.forecaster.log import FORECASTER, TRAINED_TO
from stock_volume.forecaster.model import FORECAST
from stock_volume.monitoring.parameters import MonitorParameters
from stock_volume.monitoring.scoring import (
    MADE,
    MEASURES,
    Scored,
    by_session,
    compare_errors,
    like_with_like,
    measures_of,
    read_log,
    rolling_measures,
    score_forecasts,
    sums_by_session,
)
from tests.unit.forecast_helpers import backtest_frame, forecast_frame, forget_targets
from tests.unit.monitoring_helpers import (
    IN_USE,
    bars_of,
    comparison_of,
    log_of,
    partitions_of,
)

FEATURES: Final = forecast_frame(symbols=8, sessions=12)
BARS: Final = bars_of(FEATURES)
LOG: Final = log_of(FEATURES)
DAYS: Final = FEATURES[columns.DATE].unique().sort().to_list()
FEW: Final = MonitorParameters(least_windows=3, error_tail=0.4)
ONE: Final = (pl.col(columns.SYMBOL) == "S00") & (pl.col(columns.DATE) == DAYS[3])


def _scored(
    log: pl.DataFrame = LOG,
    bars: pl.DataFrame = BARS,
    features: pl.DataFrame = FEATURES,
    least: int = 1,
) -> Scored:
    return score_forecasts(log, IN_USE, bars.lazy(), features.lazy(), least)


def _refuse() -> pl.DataFrame:
    raise AssertionError("a partition that is too old was read")


def test_forecasts_are_put_beside_what_came_true() -> None:
    """Each forecast with a bar has eta as the backtest computes it, and its volume."""
    rows, counts = _scored()
    expected = (
        FEATURES.to_pandas()
        .dropna(subset=[ETA])
        .merge(
            LOG.drop(columns.CLOSE, columns.VOLUME).to_pandas(), on=["Symbol", "Date", "TargetDate"]
        )
    )
    assert rows.height == len(expected) == 8 * 11
    assert rows[columns.SYMBOL].to_list() == expected["Symbol"].to_list()
    assert rows[columns.TARGET_DATE].to_list() == expected["TargetDate"].dt.date.to_list()
    np.testing.assert_allclose(rows[ETA], expected["eta"], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(rows[MA5], np.exp(expected["base"]) / expected["Close"])
    np.testing.assert_array_equal(rows[columns.VOLUME], expected["next_volume"])
    np.testing.assert_array_equal(rows[FORECAST], expected["forecast"])
    assert counts == {
        "logged": 96,
        "by_other_forecasters": 0,
        "seen_by_training": 0,
        "made_too_late": 0,
        "repeated": 0,
        "not_come_true": 8,
        "not_comparable": 0,
        "scored": 88,
    }


SHARES: Final = [FORECAST, "q10", "q50", "q90"]


@pytest.mark.parametrize("ratio", [4, 0.1])
@pytest.mark.parametrize("correction", [1.0, 1.3])
def test_a_split_since_the_forecast_is_undone(ratio: float, correction: float) -> None:
    """A forecast of a symbol that has split since is scored in the shares of today."""
    before = LOG.with_columns(
        pl.col(columns.CLOSE) * ratio,
        (pl.col(columns.VOLUME) / ratio * correction).round().cast(pl.Int64),
        *(pl.col(name) / ratio for name in SHARES),
    )
    assert_frame_equal(_scored(before).rows, _scored().rows)


@pytest.mark.parametrize("ratio", [4, 0.1])
@pytest.mark.parametrize("correction", [1.0, 1.3])
def test_a_split_leaves_volumes_as_traded(ratio: float, correction: float) -> None:
    """Where the source rebases the prices alone, the forecasts stay what they were."""
    before = LOG.with_columns(
        pl.col(columns.CLOSE) * ratio,
        (pl.col(columns.VOLUME) * correction).round().cast(pl.Int64),
    )
    assert_frame_equal(_scored(before).rows, _scored().rows)


@pytest.mark.parametrize("volume", [0, None])
def test_a_split_is_undone_where_no_volume_tells(volume: int | None) -> None:
    """Without a volume at the origin, it counts as rescaled, which is the rule of sources."""
    before = LOG.with_columns(
        pl.col(columns.CLOSE) * 4,
        pl.lit(volume, dtype=pl.Int64).alias(columns.VOLUME),
        *(pl.col(name) / 4 for name in SHARES),
    )
    none = FEATURES.with_columns(pl.lit(0, dtype=pl.Int64).alias(columns.VOLUME))
    assert_frame_equal(_scored(before).rows, _scored().rows)
    assert_frame_equal(_scored(before, features=none).rows, _scored().rows)


def test_forecasts_of_other_forecasters_are_left_out() -> None:
    """Neither those of an earlier forecaster nor those of an unknown one are scored."""
    earlier = pl.col(columns.DATE) < DAYS[4]
    unknown = pl.col(columns.DATE) == DAYS[4]
    whose = pl.when(earlier).then(pl.lit("fedcba9876543210")).when(~unknown).then(FORECASTER)
    bad = pl.when(earlier | unknown).then(100.0).otherwise(1.0)
    rows, counts = _scored(LOG.with_columns(whose.alias(FORECASTER), pl.col(FORECAST) * bad))
    assert_frame_equal(rows, _scored().rows.filter(pl.col(columns.TARGET_DATE) > DAYS[5]))
    assert counts["logged"] == LOG.height
    assert counts["by_other_forecasters"] == 8 * 5
    assert counts["seen_by_training"] == 0


def test_a_log_without_forecasters_is_anothers() -> None:
    """What was logged before forecasters had an identity is left out, and counted."""
    old = LOG.drop(FORECASTER, columns.VOLUME)
    rows, counts = _scored(read_log(partitions_of(old), DAYS[0]))
    assert not rows.height
    assert counts["by_other_forecasters"] == counts["logged"] == LOG.height


def test_what_training_had_seen_is_not_scored() -> None:
    """A forecast counts from the session after the last that its model was trained on."""
    target = DAYS[4]
    known = LOG.with_columns(pl.lit(target).alias(TRAINED_TO))
    rows, counts = _scored(known)
    assert rows[columns.TARGET_DATE].min() == DAYS[5]
    assert counts["seen_by_training"] == 8 * 4


def test_a_forecast_of_unknown_training_is_not_scored() -> None:
    """Without the word of what its model had seen, a forecast may not be scored."""
    unknown = LOG.with_columns(pl.lit(None, dtype=pl.Date).alias(TRAINED_TO))
    rows, counts = _scored(unknown)
    assert not rows.height
    assert counts["seen_by_training"] == LOG.height


@pytest.mark.parametrize("late", [0, 1])
def test_what_was_made_too_late_is_not_scored(late: int) -> None:
    """A forecast that was made after its session, or later, is none."""
    made = pl.col(columns.TARGET_DATE) + timedelta(days=late)
    rows, counts = _scored(LOG.with_columns(pl.when(ONE).then(made).otherwise(MADE).alias(MADE)))
    assert counts["made_too_late"] == 1
    assert rows.height == 87


def test_the_latest_of_several_forecasts_counts() -> None:
    """Of forecasts of one symbol and session, the one made last is scored."""
    again = LOG.filter(ONE).with_columns(pl.col(FORECAST) * 10, pl.col(MADE) - timedelta(days=1))
    for log in (pl.concat([again, LOG]), pl.concat([LOG, again])):
        rows, counts = _scored(log)
        assert counts["repeated"] == 1
        assert rows.equals(_scored().rows)


def test_an_honest_forecast_outlives_a_later_one_that_is_not() -> None:
    """A later forecast by a model that had seen the session does not take its place."""
    later = LOG.with_columns(pl.col(columns.TARGET_DATE).alias(TRAINED_TO), pl.col(FORECAST) * 3)
    assert _scored(pl.concat([LOG, later])).rows.equals(_scored().rows)


def test_a_session_without_trades_is_not_scored() -> None:
    """A bar of volume 0 has no logarithm; the backtest leaves it out, too."""
    first = (pl.col(columns.SYMBOL) == "S00") & (pl.col(columns.DATE) == DAYS[4])
    idle = pl.when(first).then(0).otherwise(columns.VOLUME).alias(columns.VOLUME)
    rows, counts = _scored(bars=BARS.with_columns(idle))
    assert rows.height == 87
    assert counts["not_come_true"] == 9


def test_a_missing_bar_is_waited_for() -> None:
    """A symbol whose bar of the session is not there has no score."""
    rows, counts = _scored(bars=BARS.filter(pl.col(columns.SYMBOL) != "S03"))
    assert "S03" not in rows[columns.SYMBOL].to_list()
    assert counts["not_come_true"] == 8 + 11


def test_the_target_need_not_be_in_the_features() -> None:
    """What came true is read from the bars; the features tell the origin only."""
    forgotten = forget_targets(FEATURES, pl.lit(value=True))
    assert _scored(features=forgotten).rows.equals(_scored().rows)


def test_origins_must_be_comparable() -> None:
    """An origin without a base, or without the history of the backtest's, is left out."""
    features = FEATURES.with_columns(
        pl.when(ONE).then(None).otherwise(BASE).alias(BASE),
        pl.when(pl.col(columns.SYMBOL) == "S01").then(9).otherwise(BARS_SO_FAR).alias(BARS_SO_FAR),
    )
    rows, counts = _scored(features=features, least=10)
    assert counts["not_comparable"] == 1 + 11
    assert rows.height == 88 - 12
    assert _scored(features=features, least=9).counts["not_comparable"] == 1


def test_a_symbol_that_the_features_lack_is_left_out() -> None:
    """A forecast whose origin is not in the layer cannot be compared."""
    rows, counts = _scored(features=FEATURES.filter(pl.col(columns.SYMBOL) != "S05"))
    assert counts["not_comparable"] == 11
    assert "S05" not in rows[columns.SYMBOL].to_list()


def test_the_log_is_read_from_the_day_on() -> None:
    """Only forecasts of sessions since a day are kept, with the day they were made."""
    log = read_log(partitions_of(LOG), DAYS[6])
    assert log.height == 8 * 7
    assert log[columns.TARGET_DATE].min() == DAYS[6]
    assert (log[MADE] == log[columns.DATE]).all()


def test_old_partitions_are_not_read() -> None:
    """A log of years costs no more than its latest sessions."""
    partitions: dict[str, Callable[[], pl.DataFrame]] = {
        **partitions_of(LOG),
        "2010-01-04": _refuse,
        "2010-01-05.parquet": _refuse,
    }
    assert read_log(partitions, DAYS[0]).height == LOG.height


def test_partitions_may_differ() -> None:
    """A partition may have more quantiles, and names may end as files do."""
    first, *rest = LOG.partition_by(MADE)
    more = first.with_columns(pl.col(FORECAST).alias("q95")).drop(MADE)
    partitions = partitions_of(pl.concat(rest)) | {f"{first[MADE][0]}.parquet": lambda: more}
    log = read_log(partitions, DAYS[0])
    assert log.height == LOG.height
    assert log["q95"].null_count() == LOG.height - first.height
    assert log[MADE].to_list() == sorted(log[MADE].to_list())


def test_an_empty_log_scores_nothing() -> None:
    """Without any partition there are no rows, and all counts are 0."""
    rows, counts = _scored(read_log({}, DAYS[0]))
    assert not rows.height
    assert set(counts.values()) == {0}


def test_sums_and_measures_agree() -> None:
    """A window's measures from its sums are those of its rows, and as by hand."""
    rows = backtest_frame(symbols=5, sessions=9)
    sums = sums_by_session(rows)
    days = sums[columns.TARGET_DATE].to_list()
    rolled = rolling_measures(sums, 4)
    assert all(len(values) == 6 for values in rolled.values())
    for start in range(6):
        window = rows.filter(pl.col(columns.TARGET_DATE).is_in(days[start : start + 4]))
        measured = measures_of(window)
        for measure in MEASURES:
            assert rolled[measure][start] == pytest.approx(measured[measure], rel=1e-9)
        frame = window.to_pandas()
        error = frame["eta"] - np.log(frame["forecast"] / frame["ma5"])
        inside = (frame["Volume"] >= frame["q10"]) & (frame["Volume"] <= frame["q90"])
        assert rolled["rmse"][start] == pytest.approx(math.sqrt((error**2).mean()))
        assert rolled["bias"][start] == pytest.approx(error.mean())
        assert rolled["coverage_80"][start] == pytest.approx(100 * inside.mean())
        assert rolled["eta_r2"][start] == pytest.approx(
            100 * (1 - (error**2).sum() / (frame["eta"] ** 2).sum())
        )


def test_too_short_a_series_has_no_window() -> None:
    """Fewer sessions than a window has make none; as many make one."""
    sums = sums_by_session(backtest_frame(symbols=2, sessions=3))
    assert all(not len(values) for values in rolling_measures(sums, 4).values())
    assert all(len(values) == 1 for values in rolling_measures(sums, 3).values())


def test_the_series_has_an_entry_a_session() -> None:
    """Entries are in order of time, with the measures of the session alone."""
    rows = backtest_frame(symbols=4, sessions=6)
    series = by_session(sums_by_session(rows))
    days = rows[columns.TARGET_DATE].unique().sort()
    assert [one["session"] for one in series] == [str(day) for day in days]
    for one, day in zip(series, days, strict=True):
        measured = measures_of(rows.filter(pl.col(columns.TARGET_DATE) == day))
        assert one["n"] == 4
        assert {name: one[name] for name in MEASURES} == pytest.approx(
            {name: measured[name] for name in MEASURES}
        )


def test_like_is_compared_with_like() -> None:
    """Both sides keep common stocks, and the backtest the symbols that were scored."""
    backtest = backtest_frame(symbols=12)
    scored = _scored().rows.filter(pl.col(columns.SYMBOL) != "S00")
    rows, reference, universe = like_with_like(scored, backtest.lazy())
    assert universe == "common stocks"
    assert rows[COMMON_STOCK].all()
    assert set(rows[columns.SYMBOL]) == {"S01", "S04", "S05"}
    assert set(reference[columns.SYMBOL]) == {"S01", "S04", "S05"}


@pytest.mark.parametrize("side", ["scored", "backtest"])
def test_without_common_stocks_all_symbols_are_compared(side: str) -> None:
    """Where one side has no common stock, both keep everything."""
    none = pl.lit(value=False).alias(COMMON_STOCK)
    backtest, scored = backtest_frame(symbols=8), _scored().rows
    if side == "scored":
        scored = scored.with_columns(none)
    else:
        backtest = backtest.with_columns(none)
    rows, reference, universe = like_with_like(scored, backtest.lazy())
    assert universe == "all symbols"
    assert rows.height == scored.height
    assert reference.height == backtest.height


def test_new_symbols_are_compared_with_the_whole_backtest() -> None:
    """Where the backtest knows none of the symbols, it keeps all of its own."""
    new = _scored().rows.with_columns(("N" + pl.col(columns.SYMBOL)).alias(columns.SYMBOL))
    backtest = backtest_frame(symbols=12)
    rows, reference, _ = like_with_like(new, backtest.lazy())
    assert rows.height == new.filter(COMMON_STOCK).height
    assert reference.height == backtest.filter(COMMON_STOCK).height


def test_nothing_scored_leaves_the_backtest_as_it_is() -> None:
    """Without scores the backtest's own headline is kept for the report."""
    backtest = backtest_frame(symbols=12)
    rows, reference, universe = like_with_like(_scored(LOG.clear()).rows, backtest.lazy())
    assert not rows.height
    assert universe == "common stocks"
    assert reference.height == backtest.filter(COMMON_STOCK).height


def _sums(bias: list[float]) -> pl.DataFrame:
    """Sums of sessions of one forecast each, off by a bias, beside an eta of 2."""
    days = [date(2020, 1, 1) + timedelta(days=place) for place in range(len(bias))]
    error = np.array(bias)
    return pl.DataFrame(
        {
            columns.TARGET_DATE: days,
            "sse": error**2,
            "sst": np.full(len(bias), 4.0),
            "errors": error,
            "inside": (np.abs(error) < 0.5).astype(float),
            "n": np.ones(len(bias)),
        }
    )


def _by_measure(recent: list[float], past: list[float], **changed: Any) -> dict[str, Any]:
    parameters = FEW.model_copy(update=changed)
    compared = compare_errors(_sums(recent), _sums(past), parameters)
    return {one.measure: one for one in compared}


def test_a_window_is_compared_with_windows_of_equal_length() -> None:
    """Median, bounds and extremes are those of the backtest's windows; the tail is shared."""
    past = np.random.default_rng(0).normal(0, 0.4, 50)
    recent = [0.9, 0.7]
    compared = _by_measure(recent, past.tolist())
    assert tuple(compared) == MEASURES
    windows = np.array([past[start : start + 2].mean() for start in range(49)])
    bias = compared["bias"]
    assert bias.value == pytest.approx(0.8)
    assert bias.median == pytest.approx(np.median(windows))
    assert bias.low == pytest.approx(np.quantile(windows, 0.05))
    assert bias.high == pytest.approx(np.quantile(windows, 0.95))
    assert (bias.lowest, bias.highest) == pytest.approx((windows.min(), windows.max()))
    assert bias.as_far_out == pytest.approx(100 * (windows >= 0.8).mean())
    squares = np.sqrt([np.mean(past[start : start + 2] ** 2) for start in range(49)])
    rmse = compared["rmse"]
    assert rmse.low is None
    assert rmse.high == pytest.approx(np.quantile(squares, 0.9))
    eta_r2 = compared["eta_r2"]
    assert eta_r2.high is None
    assert eta_r2.low == pytest.approx(np.quantile(100 * (1 - squares**2 / 4), 0.1))


def test_a_share_tells_how_many_windows_are_as_far_out() -> None:
    """It is counted on the side that the window is on, the window's own value included."""
    past = [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4]
    assert _by_measure([0.3], past)["bias"].as_far_out == pytest.approx(25)
    assert _by_measure([-0.3], past)["bias"].as_far_out == pytest.approx(12.5)
    assert _by_measure([0.0], past)["eta_r2"].as_far_out == pytest.approx(100)
    assert _by_measure([0.0], past)["rmse"].as_far_out == pytest.approx(100)


def test_few_windows_are_no_comparison() -> None:
    """There must be as many windows as asked for."""
    assert not _by_measure([0.0, 0.0], [0.1, 0.2, 0.3], least_windows=3)
    assert _by_measure([0.0, 0.0], [0.1, 0.2, 0.3, 0.4], least_windows=3)


def test_unusual_is_beyond_a_bound_that_is_bad() -> None:
    """A value on a bound is usual, and one beyond a side that is not bad as well."""
    assert not comparison_of(value=0.1).unusual
    assert comparison_of(value=0.11).unusual
    assert comparison_of(value=-0.11).unusual
    assert not comparison_of(value=9.0, high=None).unusual
    assert not comparison_of(value=-9.0, low=None).unusual


def test_distance_is_in_units_of_the_furthest_window() -> None:
    """1 is where the backtest's furthest window is, on whatever side that is bad."""
    above = comparison_of(value=0.5, median=0.1, lowest=0.0, highest=0.3)
    assert above.times_as_far_out() == pytest.approx(2)
    below = comparison_of(value=-0.3, lowest=-0.1, highest=0.2)
    assert below.times_as_far_out() == pytest.approx(1.5)
    assert comparison_of(value=0.3, lowest=-0.6, highest=0.2).times_as_far_out() == pytest.approx(
        0.5
    )
    one_side = comparison_of(value=0.3, low=None, lowest=-9.0, highest=0.2)
    assert one_side.times_as_far_out() == pytest.approx(1.5)
    other_side = comparison_of(value=-0.3, high=None, lowest=-0.2, highest=9.0)
    assert other_side.times_as_far_out() == pytest.approx(1.5)
    assert comparison_of(value=0.0).times_as_far_out() == 0
    assert comparison_of(value=9.0, high=None).times_as_far_out() == 0
    assert comparison_of(value=-9.0, low=None).times_as_far_out() == 0


def test_a_window_in_which_ma5_is_right_has_no_eta_r2() -> None:
    """Windows in which ma5 has no error have no eta-R2, in the series, or to compare."""
    rows = backtest_frame(symbols=4, sessions=30).with_columns(
        pl.col(columns.VOLUME).cast(pl.Float64).alias(MA5), pl.lit(0.0).alias(ETA)
    )
    sums = sums_by_session(rows)
    assert np.isnan(rolling_measures(sums, 3)["eta_r2"]).all()
    assert {one["eta_r2"] for one in by_session(sums)} == {None}
    compared = compare_errors(sums.head(3), sums, MonitorParameters(least_windows=5))
    assert [one.measure for one in compared] == ["rmse", "bias", "coverage_80"]
    assert measures_of(rows)["eta_r2"] is None
