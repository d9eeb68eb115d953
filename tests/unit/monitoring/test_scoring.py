"""Scores of past forecasts, checked against plain pandas."""

import math
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_volume import columns
from stock_volume.evaluation.groups import COMMON_STOCK
from stock_volume.evaluation.headline import Universe
from stock_volume.evaluation.measures import sums_by_session
from stock_volume.features.quantities import BARS_SO_FAR, BASE
from stock_volume.features.registry import ETA
from stock_volume.forecaster.log import FORECASTER, TRAINED_TO
from stock_volume.forecaster.model import FORECAST, MA5
from stock_volume.monitoring.parameters import MonitorParameters
from stock_volume.monitoring.report import Comparison, Measure, ScoringCounts, UsualRange
from stock_volume.monitoring.scoring import (
    MADE,
    Scored,
    compare_errors,
    compare_value,
    measure_sessions,
    measure_windows,
    read_log,
    score_forecasts,
    select_comparable,
    summarise_errors,
)
from tests.unit.forecast_helpers import backtest_frame, forecast_frame, forget_targets
from tests.unit.monitoring_helpers import (
    IN_USE,
    make_bars,
    make_log,
    make_range,
    partition_log,
)

FEATURES: Final = forecast_frame(symbols=8, sessions=12)
BARS: Final = make_bars(FEATURES)
LOG: Final = make_log(FEATURES)
DAYS: Final = FEATURES[columns.DATE].unique().sort().to_list()
NO_SCORES: Final = ScoringCounts(**dict.fromkeys(ScoringCounts.model_fields, 0))
FEW: Final = MonitorParameters(min_windows=3, error_tail=0.4)
ONE: Final = (pl.col(columns.SYMBOL) == "S00") & (pl.col(columns.DATE) == DAYS[3])


def _score(
    log: pl.DataFrame = LOG,
    bars: pl.DataFrame = BARS,
    features: pl.DataFrame = FEATURES,
    least: int = 1,
) -> Scored:
    return score_forecasts(log, IN_USE, bars.lazy(), features.lazy(), least)


def _refuse() -> pl.DataFrame:
    raise AssertionError("a partition that is too old was read")


def test_forecasts_are_joined_with_their_outcomes() -> None:
    """Each forecast with a bar gets its volume, and eta as the backtest computes it."""
    rows, counts = _score()
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
    assert counts == NO_SCORES.model_copy(update={"logged": 96, "without_outcome": 8, "scored": 88})


SHARES: Final = [FORECAST, "q10", "q50", "q90"]


@pytest.mark.parametrize("ratio", [4, 0.1])
@pytest.mark.parametrize("correction", [1.0, 1.3])
def test_a_split_since_the_forecast_is_undone(ratio: float, correction: float) -> None:
    """A forecast made before a split is scored in today's shares."""
    before = LOG.with_columns(
        pl.col(columns.CLOSE) * ratio,
        (pl.col(columns.VOLUME) / ratio * correction).round().cast(pl.Int64),
        *(pl.col(name) / ratio for name in SHARES),
    )
    assert_frame_equal(_score(before).rows, _score().rows)


@pytest.mark.parametrize("ratio", [4, 0.1])
@pytest.mark.parametrize("correction", [1.0, 1.3])
def test_a_split_leaves_forecasts_of_volumes_as_traded(ratio: float, correction: float) -> None:
    """If the source rescales prices only, the forecasts stay as they are."""
    before = LOG.with_columns(
        pl.col(columns.CLOSE) * ratio,
        (pl.col(columns.VOLUME) * correction).round().cast(pl.Int64),
    )
    assert_frame_equal(_score(before).rows, _score().rows)


@pytest.mark.parametrize("volume", [0, None])
def test_a_split_is_undone_without_a_volume(volume: int | None) -> None:
    """Without a volume at the origin, volumes count as rescaled, as most sources have them."""
    before = LOG.with_columns(
        pl.col(columns.CLOSE) * 4,
        pl.lit(volume, dtype=pl.Int64).alias(columns.VOLUME),
        *(pl.col(name) / 4 for name in SHARES),
    )
    none = FEATURES.with_columns(pl.lit(0, dtype=pl.Int64).alias(columns.VOLUME))
    assert_frame_equal(_score(before).rows, _score().rows)
    assert_frame_equal(_score(before, features=none).rows, _score().rows)


def test_forecasts_of_other_forecasters_are_left_out() -> None:
    """Neither an earlier nor an unknown forecaster is scored."""
    earlier = pl.col(columns.DATE) < DAYS[4]
    unknown = pl.col(columns.DATE) == DAYS[4]
    whose = pl.when(earlier).then(pl.lit("fedcba9876543210")).when(~unknown).then(FORECASTER)
    bad = pl.when(earlier | unknown).then(100.0).otherwise(1.0)
    rows, counts = _score(LOG.with_columns(whose.alias(FORECASTER), pl.col(FORECAST) * bad))
    assert_frame_equal(rows, _score().rows.filter(pl.col(columns.TARGET_DATE) > DAYS[5]))
    assert counts.logged == LOG.height
    assert counts.by_other_forecasters == 8 * 5
    assert counts.seen_by_training == 0


def test_a_log_without_identities_is_left_out() -> None:
    """Forecasts that were logged without an identity count as made by others."""
    old = LOG.drop(FORECASTER, columns.VOLUME)
    rows, counts = _score(read_log(partition_log(old), DAYS[0]))
    assert not rows.height
    assert counts.by_other_forecasters == counts.logged == LOG.height


def test_sessions_of_training_are_not_scored() -> None:
    """Forecasts count from the session after the last one of training."""
    target = DAYS[4]
    known = LOG.with_columns(pl.lit(target).alias(TRAINED_TO))
    rows, counts = _score(known)
    assert rows[columns.TARGET_DATE].min() == DAYS[5]
    assert counts.seen_by_training == 8 * 4


def test_a_forecast_of_unknown_training_is_not_scored() -> None:
    """A forecast without the end of its training may have seen its session."""
    unknown = LOG.with_columns(pl.lit(None, dtype=pl.Date).alias(TRAINED_TO))
    rows, counts = _score(unknown)
    assert not rows.height
    assert counts.seen_by_training == LOG.height


@pytest.mark.parametrize("late", [0, 1])
def test_late_forecasts_are_not_scored(late: int) -> None:
    """A forecast made on its session, or later, does not count."""
    made = pl.col(columns.TARGET_DATE) + timedelta(days=late)
    rows, counts = _score(LOG.with_columns(pl.when(ONE).then(made).otherwise(MADE).alias(MADE)))
    assert counts.made_too_late == 1
    assert rows.height == 87


def test_the_latest_of_several_forecasts_counts() -> None:
    """Of several forecasts for one symbol and session, the last one made is scored."""
    again = LOG.filter(ONE).with_columns(pl.col(FORECAST) * 10, pl.col(MADE) - timedelta(days=1))
    for log in (pl.concat([again, LOG]), pl.concat([LOG, again])):
        rows, counts = _score(log)
        assert counts.repeated == 1
        assert rows.equals(_score().rows)


def test_a_later_forecast_that_does_not_count_replaces_none() -> None:
    """A later forecast by a model trained on the session replaces no earlier one."""
    later = LOG.with_columns(pl.col(columns.TARGET_DATE).alias(TRAINED_TO), pl.col(FORECAST) * 3)
    assert _score(pl.concat([LOG, later])).rows.equals(_score().rows)


def test_a_session_without_trades_is_not_scored() -> None:
    """A Volume of 0 has no logarithm; the backtest leaves such bars out, too."""
    first = (pl.col(columns.SYMBOL) == "S00") & (pl.col(columns.DATE) == DAYS[4])
    idle = pl.when(first).then(0).otherwise(columns.VOLUME).alias(columns.VOLUME)
    rows, counts = _score(bars=BARS.with_columns(idle))
    assert rows.height == 87
    assert counts.without_outcome == 9


def test_a_missing_bar_leaves_a_forecast_without_outcome() -> None:
    """A symbol without a bar of the session has no score."""
    rows, counts = _score(bars=BARS.filter(pl.col(columns.SYMBOL) != "S03"))
    assert "S03" not in rows[columns.SYMBOL].to_list()
    assert counts.without_outcome == 8 + 11


def test_the_target_need_not_be_in_the_features() -> None:
    """Outcomes are read from the bars; the features provide the origins only."""
    forgotten = forget_targets(FEATURES, pl.lit(value=True))
    assert _score(features=forgotten).rows.equals(_score().rows)


def test_origins_must_be_comparable() -> None:
    """An origin without a base, or with less history than the backtest requires, is left out."""
    features = FEATURES.with_columns(
        pl.when(ONE).then(None).otherwise(BASE).alias(BASE),
        pl.when(pl.col(columns.SYMBOL) == "S01").then(9).otherwise(BARS_SO_FAR).alias(BARS_SO_FAR),
    )
    rows, counts = _score(features=features, least=10)
    assert counts.not_comparable == 1 + 11
    assert rows.height == 88 - 12
    assert _score(features=features, least=9).counts.not_comparable == 1


def test_a_symbol_that_the_features_lack_is_left_out() -> None:
    """A forecast whose origin the layer lacks cannot be compared."""
    rows, counts = _score(features=FEATURES.filter(pl.col(columns.SYMBOL) != "S05"))
    assert counts.not_comparable == 11
    assert "S05" not in rows[columns.SYMBOL].to_list()


def test_the_log_is_read_from_a_session_on() -> None:
    """Forecasts for earlier sessions are dropped; the others have the date they were made."""
    log = read_log(partition_log(LOG), DAYS[6])
    assert log.height == 8 * 7
    assert log[columns.TARGET_DATE].min() == DAYS[6]
    assert (log[MADE] == log[columns.DATE]).all()


def test_old_partitions_are_not_read() -> None:
    """A log of many years costs no more than its latest sessions."""
    partitions: dict[str, Callable[[], pl.DataFrame]] = {
        **partition_log(LOG),
        "2010-01-04": _refuse,
        "2010-01-05.parquet": _refuse,
    }
    assert read_log(partitions, DAYS[0]).height == LOG.height


def test_partitions_may_differ() -> None:
    """A partition may have more quantiles, and its name may have a suffix."""
    first, *rest = LOG.partition_by(MADE)
    more = first.with_columns(pl.col(FORECAST).alias("q95")).drop(MADE)
    partitions = partition_log(pl.concat(rest)) | {f"{first[MADE][0]}.parquet": lambda: more}
    log = read_log(partitions, DAYS[0])
    assert log.height == LOG.height
    assert log["q95"].null_count() == LOG.height - first.height
    assert log[MADE].to_list() == sorted(log[MADE].to_list())


def test_an_empty_log_scores_nothing() -> None:
    """Without any partition there are no rows, and all counts are 0."""
    rows, counts = _score(read_log({}, DAYS[0]))
    assert not rows.height
    assert counts == NO_SCORES


def test_sums_and_measures_agree() -> None:
    """A window's measures from its sums match the ones from its rows, and pandas."""
    rows = backtest_frame(symbols=5, sessions=9)
    sums = sums_by_session(rows)
    days = sums[columns.TARGET_DATE].to_list()
    rolled = measure_windows(sums, 4)
    assert all(len(values) == 6 for values in rolled.values())
    for start in range(6):
        window = rows.filter(pl.col(columns.TARGET_DATE).is_in(days[start : start + 4]))
        measured = summarise_errors(window, Universe.ALL_SYMBOLS).model_dump()
        for measure in Measure:
            assert rolled[measure][start] == pytest.approx(measured[measure], rel=1e-9)
        frame = window.to_pandas()
        error = frame["eta"] - np.log(frame["forecast"] / frame["ma5"])
        inside = (frame["Volume"] >= frame["q10"]) & (frame["Volume"] <= frame["q90"])
        assert rolled[Measure.RMSE][start] == pytest.approx(math.sqrt((error**2).mean()))
        assert rolled[Measure.BIAS][start] == pytest.approx(error.mean())
        assert rolled[Measure.COVERAGE_80][start] == pytest.approx(100 * inside.mean())
        assert rolled[Measure.ETA_R2][start] == pytest.approx(
            100 * (1 - (error**2).sum() / (frame["eta"] ** 2).sum())
        )


def test_too_short_a_series_has_no_window() -> None:
    """Fewer sessions than a window has give none; as many give one."""
    sums = sums_by_session(backtest_frame(symbols=2, sessions=3))
    assert all(not len(values) for values in measure_windows(sums, 4).values())
    assert all(len(values) == 1 for values in measure_windows(sums, 3).values())


def test_the_series_has_an_entry_per_session() -> None:
    """Entries are in order of time, with the measures of that session alone."""
    rows = backtest_frame(symbols=4, sessions=6)
    series = measure_sessions(sums_by_session(rows))
    days = rows[columns.TARGET_DATE].unique().sort()
    assert [errors.session for errors in series] == days.to_list()
    for errors, day in zip(series, days, strict=True):
        session = rows.filter(pl.col(columns.TARGET_DATE) == day)
        expected = summarise_errors(session, Universe.ALL_SYMBOLS).model_dump()
        assert errors.n == 4
        measured = errors.model_dump(include=set(map(str, Measure)))
        assert measured == pytest.approx({name: expected[name] for name in Measure})


def test_the_same_kinds_and_symbols_are_compared() -> None:
    """Both sides keep common stocks; the backtest keeps the symbols that were scored."""
    backtest = backtest_frame(symbols=12)
    scored = _score().rows.filter(pl.col(columns.SYMBOL) != "S00")
    rows, reference, universe = select_comparable(scored, backtest.lazy())
    assert universe == "common stocks"
    assert rows[COMMON_STOCK].all()
    assert set(rows[columns.SYMBOL]) == {"S01", "S04", "S05"}
    assert set(reference[columns.SYMBOL]) == {"S01", "S04", "S05"}


@pytest.mark.parametrize("side", ["scored", "backtest"])
def test_without_common_stocks_all_symbols_are_compared(side: str) -> None:
    """If either side has no common stock, both keep everything."""
    none = pl.lit(value=False).alias(COMMON_STOCK)
    backtest, scored = backtest_frame(symbols=8), _score().rows
    if side == "scored":
        scored = scored.with_columns(none)
    else:
        backtest = backtest.with_columns(none)
    rows, reference, universe = select_comparable(scored, backtest.lazy())
    assert universe == "all symbols"
    assert rows.height == scored.height
    assert reference.height == backtest.height


def test_new_symbols_are_compared_with_the_whole_backtest() -> None:
    """If the backtest has none of the symbols, it keeps all of its own."""
    new = _score().rows.with_columns(("N" + pl.col(columns.SYMBOL)).alias(columns.SYMBOL))
    backtest = backtest_frame(symbols=12)
    rows, reference, _ = select_comparable(new, backtest.lazy())
    assert rows.height == new.filter(COMMON_STOCK).height
    assert reference.height == backtest.filter(COMMON_STOCK).height


def test_without_scores_the_backtest_keeps_its_headline() -> None:
    """Without scores the backtest keeps its common stocks for the report."""
    backtest = backtest_frame(symbols=12)
    rows, reference, universe = select_comparable(_score(LOG.clear()).rows, backtest.lazy())
    assert not rows.height
    assert universe == "common stocks"
    assert reference.height == backtest.filter(COMMON_STOCK).height


def _make_sums(bias: list[float]) -> pl.DataFrame:
    """Make sums of sessions with one forecast each, which misses an eta of 2 by a bias."""
    days = [date(2020, 1, 1) + timedelta(days=place) for place in range(len(bias))]
    error = np.array(bias)
    return pl.DataFrame(
        {
            columns.TARGET_DATE: days,
            "sse": error**2,
            "sst": np.full(len(bias), 4.0),
            "errors": error,
            "absolute": np.zeros(len(bias)),
            "inside": (np.abs(error) < 0.5).astype(float),
            "n": np.ones(len(bias)),
        }
    )


def _compare(recent: list[float], past: list[float], **changed: Any) -> dict[Measure, Comparison]:
    parameters = FEW.model_copy(update=changed)
    return compare_errors(_make_sums(recent), _make_sums(past), parameters)


def test_a_window_is_compared_with_windows_of_equal_length() -> None:
    """Median, bounds and extremes come from the backtest's windows; measures share the tail."""
    past = np.random.default_rng(0).normal(0, 0.4, 50)
    recent = [0.9, 0.7]
    compared = _compare(recent, past.tolist())
    assert tuple(compared) == tuple(Measure)
    windows = np.array([past[start : start + 2].mean() for start in range(49)])
    bias = compared[Measure.BIAS]
    assert bias.value == pytest.approx(0.8)
    assert bias.median == pytest.approx(np.median(windows))
    assert bias.low == pytest.approx(np.quantile(windows, 0.05))
    assert bias.high == pytest.approx(np.quantile(windows, 0.95))
    assert (bias.lowest, bias.highest) == pytest.approx((windows.min(), windows.max()))
    assert bias.percent_as_extreme == pytest.approx(100 * (windows >= 0.8).mean())
    squares = np.sqrt([np.mean(past[start : start + 2] ** 2) for start in range(49)])
    rmse = compared[Measure.RMSE]
    assert rmse.low is None
    assert rmse.high == pytest.approx(np.quantile(squares, 0.9))
    eta_r2 = compared[Measure.ETA_R2]
    assert eta_r2.high is None
    assert eta_r2.low == pytest.approx(np.quantile(100 * (1 - squares**2 / 4), 0.1))


def test_windows_at_least_as_extreme_are_counted() -> None:
    """They are counted on the side of the value; equal ones are included."""
    past = [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4]
    assert _compare([0.3], past)[Measure.BIAS].percent_as_extreme == pytest.approx(25)
    assert _compare([-0.3], past)[Measure.BIAS].percent_as_extreme == pytest.approx(12.5)
    assert _compare([0.0], past)[Measure.ETA_R2].percent_as_extreme == pytest.approx(100)
    assert _compare([0.0], past)[Measure.RMSE].percent_as_extreme == pytest.approx(100)


def test_too_few_windows_are_no_comparison() -> None:
    """At least ``min_windows`` windows are required."""
    assert not _compare([0.0, 0.0], [0.1, 0.2, 0.3], min_windows=3)
    assert _compare([0.0, 0.0], [0.1, 0.2, 0.3, 0.4], min_windows=3)


def test_a_comparison_has_the_range_and_where_the_value_falls() -> None:
    """The parts of a comparison agree with the usual range that it repeats."""
    usual = make_range(median=0.05, high=0.1)
    comparison = compare_value(0.3, usual, np.array([0.0, 0.2, 0.3, 0.4]))
    assert comparison.model_dump(include=set(UsualRange.model_fields)) == usual.model_dump()
    assert (comparison.value, comparison.unusual) == (0.3, True)
    assert comparison.deviation_ratio == usual.measure_deviation(0.3) == pytest.approx(1)
    assert comparison.percent_as_extreme == pytest.approx(50)


def test_a_window_in_which_ma5_is_right_has_no_eta_r2() -> None:
    """Without an error of ma5, eta-R2 is NaN in the series and is not compared."""
    rows = backtest_frame(symbols=4, sessions=30).with_columns(
        pl.col(columns.VOLUME).cast(pl.Float64).alias(MA5), pl.lit(0.0).alias(ETA)
    )
    sums = sums_by_session(rows)
    assert np.isnan(measure_windows(sums, 3)[Measure.ETA_R2]).all()
    assert all(math.isnan(errors.eta_r2) for errors in measure_sessions(sums))
    compared = compare_errors(sums.head(3), sums, MonitorParameters(min_windows=5))
    assert list(compared) == ["rmse", "bias", "coverage_80"]
    assert summarise_errors(rows, Universe.ALL_SYMBOLS).eta_r2 is None


def test_without_rows_every_measure_is_none() -> None:
    """The summary of no forecasts has counts of 0, and no figure."""
    summary = summarise_errors(backtest_frame(symbols=2).clear(), Universe.ALL_SYMBOLS).model_dump()
    assert (summary.pop("universe"), summary.pop("n")) == (Universe.ALL_SYMBOLS, 0)
    assert (summary.pop("symbols"), summary.pop("sessions")) == (0, 0)
    assert all(figure is None for figure in summary.values())
