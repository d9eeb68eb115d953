"""The drift of features, checked against plain pandas."""

import math
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd
import polars as pl
import pytest

from stock_volume import columns
from stock_volume.arrays import Floats
from stock_volume.monitoring.drift import (
    Windows,
    choose_bin_edges,
    compute_psi,
    count_bins,
    lay_out_windows,
    measure_drift,
    summarise_drift,
)
from stock_volume.monitoring.parameters import MonitorParameters
from stock_volume.monitoring.report import FeatureDrift, FeatureKind, Period
from tests.unit.forecast_helpers import forecast_frame, sessions_from
from tests.unit.monitoring_helpers import make_drift

DAYS: Final = sessions_from(date(2020, 1, 6), 100)
FEW: Final = MonitorParameters(window=5, min_windows=3)


def _compute_psi_in_pandas(recent: "pd.Series[Any]", reference: "pd.Series[Any]") -> float:
    """Compute the index over deciles of the reference and a bin of unknown values in pandas."""
    known = reference.dropna().sort_values().to_numpy()
    deciles = [known[math.floor(place * (len(known) - 1) / 10)] for place in range(1, 10)]
    cuts = [-np.inf, *deciles, np.inf]
    total = 0.0
    for low, high in pairwise(cuts):
        now = ((recent > low) & (recent <= high)).mean()
        then = ((reference > low) & (reference <= high)).mean()
        now, then = max(now, 1e-4), max(then, 1e-4)
        total += (now - then) * math.log(now / then)
    now, then = max(recent.isna().mean(), 1e-4), max(reference.isna().mean(), 1e-4)
    return float(total + (now - then) * math.log(now / then))


def _make_rows(values: Floats, days: list[date], name: str = "size") -> pl.DataFrame:
    """Make rows with one feature, the same number per session."""
    return pl.DataFrame(
        {
            columns.TARGET_DATE: np.repeat(
                np.array(days, "datetime64[D]"), len(values) // len(days)
            ),
            name: pl.Series(values, dtype=pl.Float32).fill_nan(None),
        }
    )


def _measure(
    values: Floats, days: list[date], name: str = "size", parameters: MonitorParameters = FEW
) -> FeatureDrift:
    windows = lay_out_windows(days, Period(first=days[0], last=days[-1]), parameters.window)
    (drift,) = measure_drift(
        _make_rows(values, days, name).lazy(), {name: 0.5}, windows, parameters
    )
    return drift


def test_windows_divide_the_training_before_the_recent_sessions() -> None:
    """Past windows end where the recent one begins, and do not overlap."""
    windows = lay_out_windows(DAYS, Period(first=DAYS[0], last=DAYS[-1]), 22)
    assert windows.recent == tuple(DAYS[78:])
    assert windows.past == (tuple(DAYS[12:34]), tuple(DAYS[34:56]), tuple(DAYS[56:78]))
    assert windows.rest == tuple(DAYS[:12])


def test_windows_contain_sessions_of_training_only() -> None:
    """Sessions before the first or after the last of training are left out."""
    windows = lay_out_windows(DAYS, Period(first=DAYS[10], last=DAYS[40]), 10)
    assert windows.recent == tuple(DAYS[90:])
    assert windows.past == (tuple(DAYS[11:21]), tuple(DAYS[21:31]), tuple(DAYS[31:41]))
    assert windows.rest == (DAYS[10],)


def test_all_sessions_may_be_recent() -> None:
    """With no more sessions than a window has, there is no reference."""
    assert lay_out_windows(DAYS[:3], Period(first=DAYS[0], last=DAYS[-1]), 5) == Windows(
        (), (), tuple(DAYS[:3])
    )


def test_psi_matches_a_calculation_by_hand() -> None:
    """Shares of 50 and 50 that become 80 and 20 give 0.3 ln 1.6 + 0.3 ln 2.5."""
    index = compute_psi(np.array([80, 20]), np.array([500, 500]))
    assert index == pytest.approx(0.3 * math.log(1.6) + 0.3 * math.log(2.5))


def test_equal_shares_have_a_psi_of_zero() -> None:
    """The number of rows does not matter."""
    assert compute_psi(np.array([1, 2, 3]), np.array([10, 20, 30])) == 0


def test_an_empty_bin_counts_as_a_small_share() -> None:
    """A bin that is empty on one side gives a large index, not an infinite one."""
    index = compute_psi(np.array([0, 10]), np.array([5, 5]))
    expected = (1e-4 - 0.5) * math.log(1e-4 / 0.5) + 0.5 * math.log(2)
    assert index == pytest.approx(expected)


@pytest.mark.parametrize(("recent", "reference"), [([0, 0], [1, 1]), ([1, 1], [0, 0])])
def test_without_rows_there_is_no_psi(recent: list[int], reference: list[int]) -> None:
    """Without rows on either side there is nothing to compare."""
    assert compute_psi(np.array(recent), np.array(reference)) is None


def test_bin_edges_are_deciles() -> None:
    """Each edge is the last value of its tenth."""
    values = np.random.default_rng(0).permutation(np.arange(100.0))
    assert choose_bin_edges(values).tolist() == [9, 19, 29, 39, 49, 59, 69, 79, 89]


def test_a_constant_has_a_bin_of_its_own() -> None:
    """Values below or above a constant fall into other bins."""
    edges = choose_bin_edges(np.full(20, 3.0, dtype=np.float32).astype(np.float64))
    values = np.array([2.9, 3.0, 3.0, 3.1, np.nan])
    counts = count_bins(values, np.zeros(5, dtype=np.int64), 1, edges)
    assert counts.tolist() == [[1, 2, 1, 1]]


def test_a_value_that_fills_a_decile_has_a_bin_of_its_own() -> None:
    """A value at two deciles does not share its bin with smaller ones."""
    values = np.sort(np.concatenate([np.arange(75.0), np.full(25, 40.0)]))
    edges = choose_bin_edges(values)
    assert edges.tolist() == [9, 19, 29, 39, np.nextafter(40, 0), 40, 44, 54, 64]
    counts = count_bins(np.array([39.5, 40.0]), np.zeros(2, dtype=np.int64), 1, edges)
    assert counts.tolist() == [[0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]]


def test_an_unknown_feature_has_one_bin_for_known_values() -> None:
    """A feature that was always unknown falls into another bin once it is known."""
    edges = choose_bin_edges(np.empty(0))
    counts = count_bins(np.array([np.nan, 1.0, 2.0]), np.array([0, 1, 1]), 2, edges)
    assert counts.tolist() == [[0, 1], [2, 0]]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.random.default_rng(1).normal(0, 1, 3000), id="noise"),
        pytest.param(np.linspace(0, 9, 3000) ** 2, id="trend"),
        pytest.param(
            np.where(np.random.default_rng(2).random(3000) < 0.2, np.nan, np.linspace(0, 1, 3000)),
            id="gaps",
        ),
    ],
)
def test_psi_matches_pandas(values: Floats) -> None:
    """The recent index, and the highest of past windows against the rest, match pandas."""
    days = DAYS[:30]
    values = values.astype(np.float32).astype(np.float64)
    drift = _measure(values, days)
    by_day = pd.Series(values)
    number = pd.Series(np.repeat(np.arange(30), 100))
    reference = by_day[number < 25]
    assert drift.psi == pytest.approx(
        _compute_psi_in_pandas(by_day[number >= 25], reference), abs=1e-9
    )
    # A past window has the bins of the whole reference, too.
    known = np.sort(reference.dropna().to_numpy())
    cuts = [known[math.floor(place * (len(known) - 1) / 10)] for place in range(1, 10)]
    bins = pd.Series(np.searchsorted(cuts, by_day)).where(by_day.notna(), 10)
    past = []
    for start in range(0, 25, 5):
        inside = (number >= start) & (number < start + 5)
        now = bins[inside].value_counts(normalize=True).reindex(range(11), fill_value=0)
        outside = bins[~inside & (number < 25)]
        then = outside.value_counts(normalize=True).reindex(range(11), fill_value=0)
        now, then = now.clip(lower=1e-4), then.clip(lower=1e-4)
        past.append(float(((now - then) * np.log(now / then)).sum()))
    assert drift.highest_past_psi == pytest.approx(max(past), abs=1e-9)


def test_a_shift_exceeds_every_past_window() -> None:
    """A feature that shifts after training has drifted; one that does not shift has not."""
    random = np.random.default_rng(3)
    still = random.normal(0, 1, 3000)
    moved = still + np.repeat([0.0, 1.5], [2500, 500])
    assert not _measure(still, DAYS[:30]).exceeds(0.1)
    assert _measure(moved, DAYS[:30]).exceeds(0.25)


def test_a_season_is_no_drift() -> None:
    """A feature that shifts as far in every window has a high index, and has not drifted."""
    level = np.repeat(np.tile([0.0, 3.0], 3), 500)
    drift = _measure(level + np.random.default_rng(4).normal(0, 1, 3000), DAYS[:30])
    assert drift.psi is not None
    assert drift.psi > 0.25
    assert not drift.exceeds(0.1)


def test_a_feature_that_becomes_unknown_has_drifted() -> None:
    """The bin of unknown values counts like any other."""
    values = np.where(np.arange(3000) < 2500, np.random.default_rng(5).normal(0, 1, 3000), np.nan)
    assert _measure(values, DAYS[:30]).exceeds(0.25)


def test_constants_and_unknown_features_have_not_drifted() -> None:
    """A constant has an index of 0, as has a feature that was never known."""
    assert _measure(np.ones(3000), DAYS[:30]).psi == 0
    unknown = _measure(np.full(3000, np.nan), DAYS[:30])
    assert (unknown.psi, unknown.highest_past_psi) == (0, 0)
    assert not unknown.exceeds(0.1)


def test_too_few_past_windows_are_no_comparison() -> None:
    """Without enough windows in training no feature counts as drifted."""
    drift = _measure(np.linspace(0, 1, 1500), DAYS[:15])  # two past windows, three needed
    assert drift.highest_past_psi is None
    assert drift.psi is not None
    assert not drift.exceeds(0.1)
    assert _measure(np.linspace(0, 1, 2000), DAYS[:20]).highest_past_psi is not None


def test_without_a_reference_there_is_no_index() -> None:
    """If every session is recent, there is nothing to compare with."""
    drift = _measure(np.ones(300), DAYS[:3])
    assert (drift.psi, drift.highest_past_psi) == (None, None)


def test_every_feature_of_the_model_is_measured() -> None:
    """Each feature has its kind and its gain; the highest index comes first."""
    rows = forecast_frame(symbols=6, sessions=60)
    names = ["size", "market_return", "target_month", *rows.columns[20:40]]
    gains = {name: 1 / (place + 1) for place, name in enumerate(dict.fromkeys(names))}
    days = rows[columns.TARGET_DATE].unique().sort().to_list()
    windows = lay_out_windows(days, Period(first=days[0], last=days[-1]), 5)
    drifts = measure_drift(rows.lazy(), gains, windows, FEW)
    assert {drift.feature: drift.gain for drift in drifts} == gains
    indices = [drift.psi or 0 for drift in drifts]
    assert indices == sorted(indices, reverse=True)
    kinds = {drift.feature: drift.kind for drift in drifts}
    assert kinds["size"] == "symbol"
    assert kinds["market_return"] == "market"
    assert kinds["target_month"] == "calendar"


def test_a_summary_counts_gain_without_the_calendar() -> None:
    """Gain is in per cent; features of the calendar, which always drift, do not count."""
    drifts = (
        make_drift(psi=0.15, gain=0.1),
        make_drift(psi=0.4, gain=0.2),
        make_drift(psi=0.4, kind=FeatureKind.MARKET, gain=0.03),
        make_drift(psi=9.0, kind=FeatureKind.CALENDAR, gain=0.6),
        make_drift(gain=0.07),
    )
    report = summarise_drift(drifts, 2, MonitorParameters())
    assert (report.comparable, report.features, report.seen_sessions) == (True, 4, 2)
    assert (report.drifted, report.strongly_drifted) == (3, 2)
    assert report.drifted_gain == pytest.approx(33)
    assert report.strongly_drifted_gain == pytest.approx(23)
    assert report.by_feature == drifts


@pytest.mark.parametrize(
    "changed", [{"psi": None}, {"highest_past_psi": None}, {"kind": FeatureKind.CALENDAR}]
)
def test_drift_may_not_be_comparable(changed: dict[str, Any]) -> None:
    """An index without past windows, or of the calendar alone, is no comparison."""
    assert not summarise_drift([make_drift(**changed)], 0, MonitorParameters()).comparable


def test_a_window_may_lack_rows() -> None:
    """A past window without rows is skipped."""
    days = DAYS[:30]
    windows = lay_out_windows(days, Period(first=days[0], last=days[-1]), 5)
    rows = _make_rows(np.random.default_rng(6).normal(0, 1, 3000), days)
    few = rows.filter(~pl.col(columns.TARGET_DATE).is_between(days[5], days[5] + timedelta(days=6)))
    (drift,) = measure_drift(few.lazy(), {"size": 1.0}, windows, FEW)
    assert drift.highest_past_psi is not None
    assert drift.highest_past_psi < 0.5
