"""The drift of features, beside plain pandas."""

import math
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd
import polars as pl
import pytest

from stock_volume import columns
from stock_volume.metrics import Floats
from stock_volume.monitoring.drift import (
    FeatureDrift,
    Windows,
    bin_edges,
    count_bins,
    lay_out_windows,
    measure_drift,
    stability_index,
    summarise_drift,
)
from stock_volume.monitoring.parameters import MonitorParameters
from tests.unit.forecast_helpers import forecast_frame, sessions_from
from tests.unit.monitoring_helpers import drift_of

DAYS: Final = sessions_from(date(2020, 1, 6), 100)
FEW: Final = MonitorParameters(window=5, least_windows=3)


def _index_by_hand(recent: "pd.Series[Any]", reference: "pd.Series[Any]") -> float:
    """The index over deciles of the reference and a bin of the unknown, in pandas."""
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


def _rows(values: Floats, days: list[date], name: str = "size") -> pl.DataFrame:
    """Rows with one feature, as many a session."""
    return pl.DataFrame(
        {
            columns.TARGET_DATE: np.repeat(
                np.array(days, "datetime64[D]"), len(values) // len(days)
            ),
            name: pl.Series(values, dtype=pl.Float32).fill_nan(None),
        }
    )


def _measured(
    values: Floats, days: list[date], name: str = "size", parameters: MonitorParameters = FEW
) -> FeatureDrift:
    windows = lay_out_windows(days, days[0], days[-1], parameters.window)
    (drift,) = measure_drift(_rows(values, days, name).lazy(), {name: 0.5}, windows, parameters)
    return drift


def test_windows_part_the_training_before_the_recent_sessions() -> None:
    """Past windows end where the recent one begins, and none holds a session twice."""
    windows = lay_out_windows(DAYS, DAYS[0], DAYS[-1], 22)
    assert windows.recent == tuple(DAYS[78:])
    assert windows.past == (tuple(DAYS[12:34]), tuple(DAYS[34:56]), tuple(DAYS[56:78]))
    assert windows.rest == tuple(DAYS[:12])


def test_windows_hold_sessions_of_training_only() -> None:
    """Sessions before the first or after the last of training are no reference."""
    windows = lay_out_windows(DAYS, DAYS[10], DAYS[40], 10)
    assert windows.recent == tuple(DAYS[90:])
    assert windows.past == (tuple(DAYS[11:21]), tuple(DAYS[21:31]), tuple(DAYS[31:41]))
    assert windows.rest == (DAYS[10],)


def test_all_sessions_may_be_recent() -> None:
    """Where there are no more sessions than a window has, there is no reference."""
    assert lay_out_windows(DAYS[:3], DAYS[0], DAYS[-1], 5) == Windows((), (), tuple(DAYS[:3]))


def test_an_index_by_hand() -> None:
    """Shares of 50 and 50 that become 80 and 20 make 0.3 ln 1.6 + 0.3 ln 2.5."""
    index = stability_index(np.array([80, 20]), np.array([500, 500]))
    assert index == pytest.approx(0.3 * math.log(1.6) + 0.3 * math.log(2.5))


def test_equal_shares_have_an_index_of_zero() -> None:
    """The number of rows does not matter."""
    assert stability_index(np.array([1, 2, 3]), np.array([10, 20, 30])) == 0


def test_an_empty_bin_counts_as_a_small_share() -> None:
    """A bin that is empty on a side makes a large index, not an infinite one."""
    index = stability_index(np.array([0, 10]), np.array([5, 5]))
    expected = (1e-4 - 0.5) * math.log(1e-4 / 0.5) + 0.5 * math.log(2)
    assert index == pytest.approx(expected)


@pytest.mark.parametrize(("recent", "reference"), [([0, 0], [1, 1]), ([1, 1], [0, 0])])
def test_nothing_has_no_index(recent: list[int], reference: list[int]) -> None:
    """Without rows on a side there is nothing to compare."""
    assert stability_index(np.array(recent), np.array(reference)) is None


def test_edges_are_deciles() -> None:
    """Each edge is the last value of its tenth."""
    values = np.random.default_rng(0).permutation(np.arange(100.0))
    assert bin_edges(values).tolist() == [9, 19, 29, 39, 49, 59, 69, 79, 89]


def test_a_constant_has_a_bin_of_its_own() -> None:
    """A value below or above a constant falls into another bin than it."""
    edges = bin_edges(np.full(20, 3.0, dtype=np.float32).astype(np.float64))
    values = np.array([2.9, 3.0, 3.0, 3.1, np.nan])
    counts = count_bins(values, np.zeros(5, dtype=np.int64), 1, edges)
    assert counts.tolist() == [[1, 2, 1, 1]]


def test_a_value_that_fills_a_decile_has_a_bin_of_its_own() -> None:
    """A value that stands at two deciles is parted from those below it."""
    values = np.sort(np.concatenate([np.arange(75.0), np.full(25, 40.0)]))
    edges = bin_edges(values)
    assert edges.tolist() == [9, 19, 29, 39, np.nextafter(40, 0), 40, 44, 54, 64]
    counts = count_bins(np.array([39.5, 40.0]), np.zeros(2, dtype=np.int64), 1, edges)
    assert counts.tolist() == [[0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]]


def test_nothing_known_has_one_bin_beside_that_of_the_unknown() -> None:
    """A feature that was unknown throughout and no longer is falls into another bin."""
    edges = bin_edges(np.empty(0))
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
def test_indices_match_pandas(values: Floats) -> None:
    """The recent index, and the highest of past windows against the rest, are as by hand."""
    days = DAYS[:30]
    values = values.astype(np.float32).astype(np.float64)
    drift = _measured(values, days)
    by_day = pd.Series(values)
    number = pd.Series(np.repeat(np.arange(30), 100))
    reference = by_day[number < 25]
    assert drift.psi == pytest.approx(_index_by_hand(by_day[number >= 25], reference), abs=1e-9)
    # The bins are those of the whole reference, also for a window against the rest of it.
    known = np.sort(reference.dropna().to_numpy())
    cuts = [known[math.floor(place * (len(known) - 1) / 10)] for place in range(1, 10)]
    bins = pd.Series(np.searchsorted(cuts, by_day)).where(by_day.notna(), 10)
    usual = []
    for start in range(0, 25, 5):
        inside = (number >= start) & (number < start + 5)
        now = bins[inside].value_counts(normalize=True).reindex(range(11), fill_value=0)
        outside = bins[~inside & (number < 25)]
        then = outside.value_counts(normalize=True).reindex(range(11), fill_value=0)
        now, then = now.clip(lower=1e-4), then.clip(lower=1e-4)
        usual.append(float(((now - then) * np.log(now / then)).sum()))
    assert drift.usual == pytest.approx(max(usual), abs=1e-9)


def test_a_shift_is_beyond_what_is_usual() -> None:
    """A feature that moves after training is told from one that does not."""
    random = np.random.default_rng(3)
    still = random.normal(0, 1, 3000)
    moved = still + np.repeat([0.0, 1.5], [2500, 500])
    assert not _measured(still, DAYS[:30]).beyond(0.1)
    assert _measured(moved, DAYS[:30]).beyond(0.25)


def test_a_season_is_usual() -> None:
    """A feature that moves as far in every window has a high index, and has not moved."""
    level = np.repeat(np.tile([0.0, 3.0], 3), 500)
    drift = _measured(level + np.random.default_rng(4).normal(0, 1, 3000), DAYS[:30])
    assert drift.psi is not None
    assert drift.psi > 0.25
    assert not drift.beyond(0.1)


def test_a_feature_that_turns_unknown_has_moved() -> None:
    """The bin of the unknown counts like any other."""
    values = np.where(np.arange(3000) < 2500, np.random.default_rng(5).normal(0, 1, 3000), np.nan)
    assert _measured(values, DAYS[:30]).beyond(0.25)


def test_constants_and_unknown_features_have_not_moved() -> None:
    """A constant has an index of 0, as has a feature that nobody ever knew."""
    assert _measured(np.ones(3000), DAYS[:30]).psi == 0
    unknown = _measured(np.full(3000, np.nan), DAYS[:30])
    assert (unknown.psi, unknown.usual) == (0, 0)
    assert not unknown.beyond(0.1)


def test_few_windows_tell_nothing_of_chance() -> None:
    """Without enough windows in training no feature counts as moved."""
    drift = _measured(np.linspace(0, 1, 1500), DAYS[:15])  # two past windows, three needed
    assert drift.usual is None
    assert drift.psi is not None
    assert not drift.beyond(0.1)
    assert _measured(np.linspace(0, 1, 2000), DAYS[:20]).usual is not None


def test_without_a_reference_there_is_no_index() -> None:
    """Where every session is recent there is nothing to compare with."""
    assert _measured(np.ones(300), DAYS[:3])[2:4] == (None, None)


def test_every_feature_of_the_model_is_measured() -> None:
    """A real frame's features come with their kinds and gains, highest index first."""
    rows = forecast_frame(symbols=6, sessions=60)
    names = ["size", "market_return", "target_month", *rows.columns[20:40]]
    gains = {name: 1 / (place + 1) for place, name in enumerate(dict.fromkeys(names))}
    days = rows[columns.TARGET_DATE].unique().sort().to_list()
    windows = lay_out_windows(days, days[0], days[-1], 5)
    drifts = measure_drift(rows.lazy(), gains, windows, FEW)
    assert {drift.feature: drift.gain for drift in drifts} == gains
    indices = [drift.psi or 0 for drift in drifts]
    assert indices == sorted(indices, reverse=True)
    kinds = {drift.feature: drift.kind for drift in drifts}
    assert kinds["size"] == "symbol"
    assert kinds["market_return"] == "market"
    assert kinds["target_month"] == "calendar"


def test_beyond_takes_both_bounds() -> None:
    """The index must reach the threshold and exceed the feature's usual ones."""
    assert drift_of(psi=0.1, usual=0.08).beyond(0.1)
    assert not drift_of(psi=0.0999, usual=0.08).beyond(0.1)
    assert not drift_of(psi=0.3, usual=0.3).beyond(0.1)
    assert not drift_of(psi=0.3, usual=None).beyond(0.1)
    assert not drift_of(psi=None, usual=0.1).beyond(0.1)


def test_a_summary_counts_gain_without_the_calendar() -> None:
    """Shares are of the gain, in per cent; the calendar, which always moves, is left out."""
    drifts = [
        drift_of(psi=0.15, gain=0.1),
        drift_of(psi=0.4, gain=0.2),
        drift_of(psi=0.4, kind="market", gain=0.03),
        drift_of(psi=9.0, kind="calendar", gain=0.6),
        drift_of(gain=0.07),
    ]
    summary = summarise_drift(drifts, MonitorParameters())
    assert summary.pop("moved_gain") == pytest.approx(33)
    assert summary.pop("moved_far_gain") == pytest.approx(23)
    assert summary == {"comparable": True, "features": 4, "moved": 3, "moved_far": 2}


@pytest.mark.parametrize("changed", [{"psi": None}, {"usual": None}, {"kind": "calendar"}])
def test_a_summary_tells_that_nothing_can_be_compared(changed: dict[str, Any]) -> None:
    """An index without its usual range, or of the calendar alone, is no comparison."""
    assert not summarise_drift([drift_of(**changed)], MonitorParameters())["comparable"]


def test_a_window_may_lack_rows() -> None:
    """A past window without a row is passed over."""
    days = DAYS[:30]
    windows = lay_out_windows(days, days[0], days[-1], 5)
    rows = _rows(np.random.default_rng(6).normal(0, 1, 3000), days)
    few = rows.filter(~pl.col(columns.TARGET_DATE).is_between(days[5], days[5] + timedelta(days=6)))
    (drift,) = measure_drift(few.lazy(), {"size": 1.0}, windows, FEW)
    assert drift.usual is not None
    assert drift.usual < 0.5
