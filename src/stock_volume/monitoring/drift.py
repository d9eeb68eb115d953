"""Compare the distribution of the features with training.

The population stability index (PSI; Siddiqi, Credit Risk Scorecards, 2006, chapter 8) of a
feature over bins is the sum of (recent share - training share) * log(recent share / training
share). By his rule of thumb, below 0.1 is no change and above 0.25 a large one. The rule assumes
many independent clients. Rows of a few sessions are not independent: they share a market and a
season. An index therefore counts as drift only if it also exceeds that of every past window.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from stock_volume import columns
from stock_volume.arrays import Floats
from stock_volume.evaluation.measures import PER_CENT
from stock_volume.features.calendar import CALENDAR_FEATURES
from stock_volume.features.market import MARKET_FEATURES
from stock_volume.monitoring.parameters import MonitorParameters
from stock_volume.monitoring.report import DriftReport, FeatureDrift, FeatureKind, Period

BINS: Final = 10
MIN_SHARE: Final = 1e-4
"""Share assumed for an empty bin, since 0 has no logarithm."""

_BATCH: Final = 16
"""Features read at a time: memory grows with it."""

_QUANTILES: Final = np.linspace(0, 1, BINS + 1)[1:-1]
_CALENDAR: Final = frozenset(feature.name for feature in CALENDAR_FEATURES)
_MARKET: Final = frozenset(feature.name for feature in MARKET_FEATURES)

Counts = npt.NDArray[np.int64]
T = TypeVar("T")


class Windows(NamedTuple):
    """Target sessions, grouped for the comparison.

    Attributes:
        past: Windows of training, each as long as the recent one.
        rest: The first sessions of training, which fill no window.
        recent: The window that is judged.
    """

    past: tuple[tuple[date, ...], ...]
    rest: tuple[date, ...]
    recent: tuple[date, ...]


def lay_out_windows(sessions: Sequence[date], trained_on: Period, window: int) -> Windows:
    """Divide sessions into the recent window and the windows of training before it.

    Args:
        sessions: Target sessions of the features, ascending.
        trained_on: Sessions of training.
        window: Sessions per window.

    Returns:
        The windows. Recent sessions never belong to a window of training.
    """
    recent = tuple(sessions[-window:])
    before = sessions[: -len(recent)] if recent else ()
    reference = tuple(day for day in before if trained_on.contains(day))
    rest = len(reference) % window
    return Windows(tuple(_split(reference[rest:], window)), reference[:rest], recent)


def _split(items: tuple[T, ...], length: int) -> Iterator[tuple[T, ...]]:
    return (items[start : start + length] for start in range(0, len(items), length))


def choose_bin_edges(values: Floats) -> Floats:
    """Place the edges of the bins at the deciles.

    A value that fills a whole decile gets a bin of its own, so that smaller values are not
    hidden in the same bin.

    Args:
        values: Values in training, without NaN.

    Returns:
        Ascending edges, each the last value of its bin; one more bin follows the last edge.
    """
    if not values.size:
        return np.empty(0)
    edges, times = np.unique(np.quantile(values, _QUANTILES, method="lower"), return_counts=True)
    return np.union1d(edges, np.nextafter(edges[times > 1], -np.inf, dtype=edges.dtype))


def count_bins(
    values: Floats, groups: npt.NDArray[np.integer], count: int, edges: Floats
) -> Counts:
    """Count the values by group and bin.

    Args:
        values: Shape (n,); NaN where unknown.
        groups: Group of each value, from 0, shape (n,).
        count: Number of groups.
        edges: Edges of the bins.

    Returns:
        Shape (groups, bins); the last bin counts the unknown values.
    """
    bins = len(edges) + 2
    places = np.searchsorted(edges, values, side="left")
    places[np.isnan(values)] = bins - 1
    return np.bincount(groups * bins + places, minlength=count * bins).reshape(count, bins)


def compute_psi(recent: Counts, reference: Counts) -> float | None:
    """Compute the population stability index.

    Args:
        recent: Counts by bin.
        reference: Counts by the same bins.

    Returns:
        The index; None if either side has no rows.
    """
    if not recent.sum() or not reference.sum():
        return None
    now = np.maximum(recent / recent.sum(), MIN_SHARE)
    then = np.maximum(reference / reference.sum(), MIN_SHARE)
    return float(np.sum((now - then) * np.log(now / then)))


def measure_drift(
    features: pl.LazyFrame,
    importance: Mapping[str, float],
    windows: Windows,
    parameters: MonitorParameters,
) -> tuple[FeatureDrift, ...]:
    """Measure the drift of every feature of the model.

    Args:
        features: Rows of ``forecast_features``.
        importance: Share of the gain by feature.
        windows: The windows to compare.
        parameters: ``min_windows`` is the number of past windows required.

    Returns:
        One entry per feature, the highest index first.
    """
    drifts = [
        FeatureDrift(
            feature=name,
            kind=_classify(name),
            psi=compute_psi(counts[-1], counts[:-1].sum(axis=0)),
            highest_past_psi=_find_highest_past_psi(counts[:-1], len(windows.past), parameters),
            gain=importance[name],
        )
        for name, counts in _count_features(features, tuple(importance), windows)
    ]
    return tuple(sorted(drifts, key=lambda drift: (-(drift.psi or 0.0), drift.feature)))


def _find_highest_past_psi(
    reference: Counts, past: int, parameters: MonitorParameters
) -> float | None:
    """Compare each past window with the rest of training; None if too few have rows."""
    total = reference.sum(axis=0)
    indices = [compute_psi(window, total - window) for window in reference[:past]]
    known = [index for index in indices if index is not None]
    return max(known) if len(known) >= parameters.min_windows else None


def _classify(name: str) -> FeatureKind:
    if name in _CALENDAR:
        return FeatureKind.CALENDAR
    return FeatureKind.MARKET if name in _MARKET else FeatureKind.SYMBOL


def _count_features(
    features: pl.LazyFrame, names: tuple[str, ...], windows: Windows
) -> Iterator[tuple[str, Counts]]:
    """Count each feature by window (past ones, rest, recent one) and bin."""
    groups = [*windows.past, windows.rest, windows.recent]
    number = {day: place for place, days in enumerate(groups) for day in days}
    if not number:
        return
    known = features.filter(pl.col(columns.TARGET_DATE).is_in(list(number)))
    for batch in _split(names, _BATCH):
        rows = known.select(columns.TARGET_DATE, *batch).collect(engine="streaming")
        by_row = rows[columns.TARGET_DATE].replace_strict(number, return_dtype=pl.Int64).to_numpy()
        recent = by_row == len(groups) - 1
        for name in batch:
            values = rows[name].fill_null(np.nan).to_numpy()
            reference = values[~recent]
            edges = choose_bin_edges(reference[~np.isnan(reference)])
            yield name, count_bins(values, by_row, len(groups), edges)


def summarise_drift(
    drifts: Sequence[FeatureDrift], seen_sessions: int, parameters: MonitorParameters
) -> DriftReport:
    """Count the features that drifted, and add up their gain.

    Args:
        drifts: The drift of every feature.
        seen_sessions: Sessions of the recent window that training has seen.
        parameters: The thresholds.

    Returns:
        The drift of the inputs. Features of the calendar are not counted.
    """
    counted = [drift for drift in drifts if drift.kind != FeatureKind.CALENDAR]
    drifted = [drift for drift in counted if drift.exceeds(parameters.psi_watch)]
    strongly = [drift for drift in counted if drift.exceeds(parameters.psi_retrain)]
    return DriftReport(
        comparable=any(drift.comparable for drift in counted),
        features=len(counted),
        drifted=len(drifted),
        drifted_gain=_add_gain(drifted),
        strongly_drifted=len(strongly),
        strongly_drifted_gain=_add_gain(strongly),
        seen_sessions=seen_sessions,
        by_feature=tuple(drifts),
    )


def _add_gain(drifts: Sequence[FeatureDrift]) -> float:
    return PER_CENT * sum(drift.gain for drift in drifts)
