"""Whether the features still are distributed as in training.

The population stability index (Siddiqi, Credit Risk Scorecards, 2006, chapter 8) of a feature
over bins is the sum of (recent share - reference share) * log(recent share / reference share);
by his rule of thumb below 0.1 is no change, above 0.25 a large one. The rule is of scores of
many independent clients. Rows of a few sessions are not independent: they share a market, and
sessions a season. So an index only counts here where it is beyond those of past windows, too.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from stock_volume import columns
from stock_volume.features.calendar import CALENDAR_FEATURES
from stock_volume.features.market import MARKET_FEATURES
from stock_volume.metrics import Floats
from stock_volume.monitoring.parameters import MonitorParameters

BINS: Final = 10
LEAST_SHARE: Final = 1e-4
"""Share that an empty bin counts as: the logarithm of 0 is none."""

_AT_A_TIME: Final = 16
"""Features read at a time: memory grows with it."""

_PLACES: Final = np.linspace(0, 1, BINS + 1)[1:-1]
_CALENDAR: Final = frozenset(feature.name for feature in CALENDAR_FEATURES)
_MARKET: Final = frozenset(feature.name for feature in MARKET_FEATURES)

Counts = npt.NDArray[np.int64]
T = TypeVar("T")


class FeatureDrift(NamedTuple):
    """How far a feature is from its training.

    Attributes:
        feature: Its name.
        kind: ``symbol``, ``market`` or ``calendar``: the latter two are the same for all
            symbols of a session.
        psi: Index of the recent window against the reference; null where either is empty.
        usual: Highest index of a past window of as many sessions against the rest of the
            reference; null where there are too few windows.
        gain: Share of the gain of the model's splits.
    """

    feature: str
    kind: str
    psi: float | None
    usual: float | None
    gain: float

    def beyond(self, threshold: float) -> bool:
        """Tell whether the index is above a threshold and above its usual ones."""
        known = self.psi is not None and self.usual is not None
        return known and self.psi >= threshold and self.psi > self.usual  # type: ignore[operator]


class Windows(NamedTuple):
    """Target sessions by what they are compared as.

    Attributes:
        past: Windows of the reference, each of as many sessions as the recent one.
        rest: Sessions of the reference in no window: the first ones.
        recent: The window that is judged.
    """

    past: tuple[tuple[date, ...], ...]
    rest: tuple[date, ...]
    recent: tuple[date, ...]


def lay_out_windows(sessions: Sequence[date], first: date, last: date, window: int) -> Windows:
    """Part sessions into the recent window, and the windows of training before it.

    Args:
        sessions: Target sessions of the features, ascending.
        first: First session of training.
        last: Last session of training.
        window: Sessions of a window.

    Returns:
        The windows. A session of training that is recent is no reference.
    """
    recent = tuple(sessions[-window:])
    before = sessions[: -len(recent)] if recent else ()
    reference = tuple(day for day in before if first <= day <= last)
    rest = len(reference) % window
    return Windows(tuple(_parts(reference[rest:], window)), reference[:rest], recent)


def _parts(items: tuple[T, ...], length: int) -> Iterator[tuple[T, ...]]:
    return (items[start : start + length] for start in range(0, len(items), length))


def bin_edges(values: Floats) -> Floats:
    """Lay the edges of bins at the deciles.

    A value that takes up a whole decile has a bin of its own, so that one of values below
    it is not lost in its bin.

    Args:
        values: Of the reference, without NaN.

    Returns:
        Ascending edges, each the last value of its bin; beyond the last edge is one more.
    """
    if not values.size:
        return np.empty(0)
    edges, times = np.unique(np.quantile(values, _PLACES, method="lower"), return_counts=True)
    return np.union1d(edges, np.nextafter(edges[times > 1], -np.inf, dtype=edges.dtype))


def count_bins(
    values: Floats, groups: npt.NDArray[np.integer], count: int, edges: Floats
) -> Counts:
    """Count the values of each group in each bin.

    Args:
        values: Shape (n,); NaN is unknown.
        groups: Group of each value, from 0, shape (n,).
        count: Number of groups.
        edges: Of the bins.

    Returns:
        Shape (groups, bins); the last bin is of the unknown.
    """
    bins = len(edges) + 2
    places = np.searchsorted(edges, values, side="left")
    places[np.isnan(values)] = bins - 1
    return np.bincount(groups * bins + places, minlength=count * bins).reshape(count, bins)


def stability_index(recent: Counts, reference: Counts) -> float | None:
    """Compute the population stability index.

    Args:
        recent: Counts by bin.
        reference: Counts by the same bins.

    Returns:
        The index; null where there is nothing on a side.
    """
    if not recent.sum() or not reference.sum():
        return None
    now = np.maximum(recent / recent.sum(), LEAST_SHARE)
    then = np.maximum(reference / reference.sum(), LEAST_SHARE)
    return float(np.sum((now - then) * np.log(now / then)))


def measure_drift(
    features: pl.LazyFrame,
    importance: Mapping[str, float],
    windows: Windows,
    parameters: MonitorParameters,
) -> list[FeatureDrift]:
    """Measure the drift of every feature of the model.

    Args:
        features: Rows of ``forecast_features``.
        importance: Share of the gain by feature.
        windows: What is compared.
        parameters: Tell how many past windows are enough.

    Returns:
        One entry a feature, the furthest beyond its threshold of chance first.
    """
    drifts = []
    past = len(windows.past)
    for name, counts in _counted(features, list(importance), windows):
        reference, recent = counts[:-1], counts[-1]
        total = reference.sum(axis=0)
        usual = [stability_index(one, total - one) for one in reference[:past]]
        known = [index for index in usual if index is not None]
        drifts.append(
            FeatureDrift(
                feature=name,
                kind=_kind(name),
                psi=stability_index(recent, total),
                usual=max(known) if len(known) >= parameters.least_windows else None,
                gain=importance[name],
            )
        )
    return sorted(drifts, key=lambda drift: (-(drift.psi or 0.0), drift.feature))


def _kind(name: str) -> str:
    if name in _CALENDAR:
        return "calendar"
    return "market" if name in _MARKET else "symbol"


def _counted(
    features: pl.LazyFrame, names: Sequence[str], windows: Windows
) -> Iterator[tuple[str, Counts]]:
    """Count each feature by window (the past ones, the rest, the recent one) and bin."""
    groups = [*windows.past, windows.rest, windows.recent]
    number = {day: place for place, days in enumerate(groups) for day in days}
    if not number:
        return
    known = features.filter(pl.col(columns.TARGET_DATE).is_in(list(number)))
    by_row: Any = None
    for some in _parts(tuple(names), _AT_A_TIME):
        rows = known.select(columns.TARGET_DATE, *some).collect(engine="streaming")
        by_row = rows[columns.TARGET_DATE].replace_strict(number, return_dtype=pl.Int64).to_numpy()
        recent = by_row == len(groups) - 1
        for name in some:
            values = rows[name].fill_null(np.nan).to_numpy()
            reference = values[~recent]
            edges = bin_edges(reference[~np.isnan(reference)])
            yield name, count_bins(values, by_row, len(groups), edges)


def summarise_drift(
    drifts: Sequence[FeatureDrift], parameters: MonitorParameters
) -> dict[str, Any]:
    """Sum up the drift by the gain that it touches.

    Args:
        drifts: Of the features.
        parameters: The thresholds.

    Returns:
        Shares, in per cent, of the model's gain by features that moved and that moved far,
        those of the calendar left out; and whether it could be told.
    """
    counted = [drift for drift in drifts if drift.kind != "calendar"]

    def gain(threshold: float) -> float:
        return 100 * sum(drift.gain for drift in counted if drift.beyond(threshold))

    return {
        "comparable": any(drift.psi is not None and drift.usual is not None for drift in counted),
        "features": len(counted),
        "moved": sum(drift.beyond(parameters.psi_watch) for drift in counted),
        "moved_gain": gain(parameters.psi_watch),
        "moved_far": sum(drift.beyond(parameters.psi_retrain) for drift in counted),
        "moved_far_gain": gain(parameters.psi_retrain),
    }
