"""Gradient-boosted trees fitted by several workers together, each on its own rows.

LightGBM's data-parallel mode: every worker is a rank that reads and bins its blocks of rows, and
the ranks exchange histograms. All ranks share the bins of one sample, and the start of the
boosting is taken off the target here, since LightGBM averages the starts of the ranks without
regard to their rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np

from stock_volume.arrays import Floats, Indices, Matrix
from stock_volume.boosters import (
    BIN_SAMPLE_ROWS,
    Block,
    Booster,
    BoosterSettings,
    lightgbm_parameters,
    split_by_block,
)
from stock_volume.workers import Seat, current_workers

if TYPE_CHECKING:
    import lightgbm

_PLACES: Final = ("[machines:", "[local_listen_port:")
"""Beginnings of the lines of a booster's text that differ from run to run."""

_MINUTES: Final = 2
"""How long a rank waits for the others."""


class RankedRows(NamedTuple):
    """The rows of one rank.

    Attributes:
        blocks: Features, block by block.
        target: Targets of the rows of the blocks.
        weights: Their weights.
        chosen: Positions of the rows to use, ascending.
    """

    blocks: tuple[Block, ...]
    target: Floats
    weights: Floats
    chosen: Indices

    def read(self) -> Matrix:
        """Read the features of the chosen rows, shape (n, features)."""
        parts = split_by_block([block.rows for block in self.blocks], self.chosen)
        return np.concatenate(
            [
                block.read()[rows]
                for block, rows in zip(self.blocks, parts, strict=True)
                if len(rows)
            ]
        )


@dataclass(frozen=True, slots=True)
class RankedTrainingSet:
    """Rows on several ranks, with the interface of ``TrainingSet``.

    Attributes:
        rows: The rows of each rank.
        names: Names of the features.
        bins: The bins: a binary data set of LightGBM.
    """

    rows: tuple[RankedRows, ...]
    names: tuple[str, ...]
    bins: bytes

    def subset(self, rows: Indices, target: Floats | None = None) -> Self:
        """Select rows.

        Args:
            rows: Their positions among all rows, ascending.
            target: Another target, of all rows, if these are all; None for the same.

        Returns:
            The rows, with the bins of all.
        """
        ends = np.cumsum([len(one.chosen) for one in self.rows])
        parts = np.split(rows, np.searchsorted(rows, ends[:-1]))
        chosen = [
            one._replace(chosen=one.chosen[part - start])
            for one, part, start in zip(self.rows, parts, [0, *ends[:-1]], strict=True)
        ]
        if target is not None:
            targets = np.split(target, np.cumsum([len(one.target) for one in self.rows])[:-1])
            chosen = [one._replace(target=its) for one, its in zip(chosen, targets, strict=True)]
        return replace(self, rows=tuple(chosen))

    def fit(self, settings: BoosterSettings) -> Booster:
        """Fit a booster to the rows.

        Args:
            settings: How to grow it.

        Returns:
            The booster.
        """
        start = _choose_start(self.rows, settings)
        fit = partial(_fit_rank, names=self.names, bins=self.bins, settings=settings, start=start)
        return Booster.from_text(current_workers().run_together(fit, self.rows)[0])

    def count_trees(self, late: Any, settings: BoosterSettings, patience: int) -> int:
        """Count the trees of a booster of these rows that predict other rows best.

        All trees are grown: if each rank stopped by its own rows, the others would wait.

        Args:
            late: Rows of the same ranks, not among these.
            settings: How to grow the booster; ``trees`` is the most.
            patience: Trees without progress before the search stops.

        Returns:
            The number of trees with the lowest squared error on ``late``.
        """
        booster = self.fit(settings)
        measure = partial(_sum_errors, text=booster.to_text(), trees=settings.trees)
        errors = np.sum(list(current_workers().map(measure, late.rows)), axis=0)
        return _stop_early(errors, patience)


def _stop_early(errors: Floats, patience: int) -> int:
    """Find the best number of trees as early stopping would."""
    best = 0
    for number, error in enumerate(errors):
        if error < errors[best]:
            best = number
        elif number - best >= patience:
            break
    return best + 1


def rank_rows(
    blocks: Sequence[Block],
    target: Floats,
    weights: Floats,
    names: Sequence[str],
    settings: BoosterSettings,
) -> RankedTrainingSet:
    """Divide rows among the workers, and choose the bins.

    Args:
        blocks: Features of n rows.
        target: Targets, shape (n,).
        weights: Weights of the rows, shape (n,).
        names: Names of the features.
        settings: How boosters are grown, of which the number of bins matters here.

    Returns:
        The training set.
    """
    rows = _divide(blocks, target, weights, current_workers().ranks(len(target)))
    bins = _choose_bins(rows, names, settings)
    return RankedTrainingSet(rows, tuple(names), bins)


def _divide(
    blocks: Sequence[Block], target: Floats, weights: Floats, ranks: int
) -> tuple[RankedRows, ...]:
    """Give each rank consecutive blocks, of about as many rows; no rank is without rows."""
    ends = np.cumsum([0, *(block.rows for block in blocks)])
    wanted = ends[-1] * np.arange(1, ranks) / ranks
    cuts = sorted({0, *np.searchsorted(ends, wanted).tolist(), len(blocks)})
    return tuple(
        RankedRows(
            tuple(blocks[first:last]),
            target[ends[first] : ends[last]],
            weights[ends[first] : ends[last]],
            np.arange(ends[last] - ends[first]),
        )
        for first, last in pairwise(cuts)
        if ends[last] > ends[first]
    )


def _choose_bins(
    rows: Sequence[RankedRows], names: Sequence[str], settings: BoosterSettings
) -> bytes:
    """Choose the bins for a sample of the rows of every rank."""
    from lightgbm import Dataset

    share = min(1.0, BIN_SAMPLE_ROWS / sum(len(one.chosen) for one in rows))
    read = partial(_read_sample, share=share, seed=settings.seed)
    sample = np.concatenate(list(current_workers().map(read, enumerate(rows))))
    parameters = lightgbm_parameters(settings)
    binned = Dataset(sample, params=parameters, feature_name=list(names)).construct()
    with TemporaryDirectory() as folder:
        path = Path(folder, "bins")
        binned.subset([0]).construct().save_binary(path)
        return path.read_bytes()


def _read_sample(numbered: tuple[int, RankedRows], share: float, seed: int) -> Matrix:
    number, rows = numbered
    size = int(len(rows.chosen) * share)
    chosen = np.random.default_rng((seed, number)).choice(rows.chosen, size, replace=False)
    return rows._replace(chosen=np.sort(chosen)).read()


def _choose_start(rows: Sequence[RankedRows], settings: BoosterSettings) -> float:
    """Compute what the boosting starts from: the mean, or the quantile."""
    target = np.concatenate([one.target[one.chosen] for one in rows])
    weights = np.concatenate([one.weights[one.chosen] for one in rows])
    if settings.quantile is None:
        return float(np.average(target, weights=weights))
    order = np.argsort(target)
    reached = np.cumsum(weights[order]) >= settings.quantile * weights.sum()
    return float(target[order][np.argmax(reached)])


def _fit_rank(  # noqa: PLR0913 (the rows of a rank, and what all share)
    rows: RankedRows,
    seat: Seat,
    *,
    names: Sequence[str],
    bins: bytes,
    settings: BoosterSettings,
    start: float,
) -> str:
    """Fit a booster together with the other ranks; all return the same text.

    Raises:
        ConnectionError: A rank was lost.
    """
    import lightgbm

    parameters = {
        **lightgbm_parameters(settings),
        **_network_parameters(seat),
        "boost_from_average": False,
        "num_threads": 1,
    }
    with TemporaryDirectory() as folder:
        path = Path(folder, "bins")
        path.write_bytes(bins)
        data = lightgbm.Dataset(
            rows.read(),
            rows.target[rows.chosen] - start,
            weight=rows.weights[rows.chosen],
            reference=lightgbm.Dataset(path, params=parameters),
            feature_name=list(names),
            params=parameters,
        ).construct()
    try:
        booster = lightgbm.train(parameters, data)
    except lightgbm.basic.LightGBMError as error:
        raise ConnectionError(f"the ranks lost each other: {error}") from error
    booster.free_network()
    return _drop_places(_add_start(booster, start).model_to_string())


def _drop_places(text: str) -> str:
    """Leave out which machines fitted a booster: equal boosters have equal texts."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(_PLACES))


def _network_parameters(seat: Seat) -> dict[str, Any]:
    machines = seat.machines.count(",") + 1
    if machines == 1:
        return {}
    return {
        "tree_learner": "data",
        "machines": seat.machines,
        "num_machines": machines,
        "local_listen_port": seat.port,
        "time_out": _MINUTES,
        "pre_partition": True,
    }


def _add_start(booster: "lightgbm.Booster", start: float) -> "lightgbm.Booster":
    """Add the start to every leaf of the first tree, as LightGBM does."""
    tree = booster.dump_model(num_iteration=1)["tree_info"][0]
    for leaf in range(tree["num_leaves"]):
        booster.set_leaf_output(0, leaf, booster.get_leaf_output(0, leaf) + start)
    return booster


def _sum_errors(rows: RankedRows, text: str, trees: int) -> Floats:
    """Add up the weighted squared errors of the chosen rows after each tree, shape (trees,)."""
    import lightgbm

    booster = lightgbm.Booster(model_str=text)
    if not len(rows.chosen):
        return np.zeros(trees)
    inputs, target, weights = rows.read(), rows.target[rows.chosen], rows.weights[rows.chosen]
    predicted = np.zeros(len(target))
    errors = np.zeros(trees)
    for tree in range(trees):
        predicted += booster.predict(
            inputs, start_iteration=tree, num_iteration=1, raw_score=True, num_threads=1
        )
        errors[tree] = weights @ (target - predicted) ** 2
    return errors
