"""Train the models beyond the next session."""

import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from stock_volume import columns
from stock_volume.arrays import Floats, Indices
from stock_volume.boosters import Booster
from stock_volume.features.horizon import Horizon, known_by
from stock_volume.forecaster.calibrate import conformal_offsets
from stock_volume.forecaster.horizons import HORIZON_LEVELS, HorizonModel
from stock_volume.forecaster.parameters import ForecasterParameters
from stock_volume.forecaster.pool import sample_positions
from stock_volume.forecaster.settings import AnyTrainingSet, Sample, Split, quantile_settings
from stock_volume.forecaster.universe import BUCKETS, bucket_number

logger = logging.getLogger(__name__)

_MIN_ROWS: Final = 50


class HorizonBoosters(NamedTuple):
    """The boosters of a horizon, before calibration.

    Attributes:
        horizon: The horizon.
        mean: Booster of the mean.
        quantiles: Boosters of the quantiles, one per level of ``HORIZON_LEVELS``.
    """

    horizon: Horizon
    mean: Booster
    quantiles: tuple[Booster, ...]


def fit_horizons(
    training: AnyTrainingSet, known: pl.DataFrame, split: Split, parameters: ForecasterParameters
) -> list[HorizonBoosters]:
    """Fit the boosters of each horizon, on the bins of the next session's.

    An outcome counts only if it was known at the end of the window, and for the quantiles only if
    it was known before the sessions that calibrate them.

    Args:
        training: The rows, binned.
        known: Target session and ``Horizon.eta`` of the rows.
        split: The rows that quantiles are fitted to, and those that calibrate them.
        parameters: Parameters of the forecaster.

    Returns:
        The boosters; a horizon with fewer than 50 known outcomes is left out.
    """
    horizons = parameters.all_horizons
    early = known[split.early]
    every = known.with_columns(known_by(horizons, known[columns.TARGET_DATE]))
    before = early.with_columns(known_by(horizons, early[columns.TARGET_DATE]))
    after = every[split.late]
    fitted = []
    for number, horizon in enumerate(horizons):
        outcomes = before[horizon.eta], after[horizon.eta]
        if min(rows.count() for rows in outcomes) < _MIN_ROWS:
            logger.warning("forecaster: too few sessions to forecast %s", horizon.name)
            continue
        seed = (parameters.random_state, Sample.HORIZON, number)
        of_mean = _sample(np.arange(every.height), every[horizon.eta], parameters, seed)
        of_quantiles = _sample(split.early, before[horizon.eta], parameters, seed)
        target = every[horizon.eta].to_numpy()
        rows = training.subset(of_quantiles, target)
        fitted.append(
            HorizonBoosters(
                horizon,
                training.subset(of_mean, target).fit(
                    quantile_settings(split.rows, None, parameters)
                ),
                tuple(
                    rows.fit(quantile_settings(split.rows, level, parameters))
                    for level in HORIZON_LEVELS
                ),
            )
        )
    return fitted


def _sample(
    rows: Indices, outcomes: pl.Series, parameters: ForecasterParameters, seed: Sequence[int]
) -> Indices:
    known = rows[outcomes.is_not_null().to_numpy()]
    return sample_positions(known, parameters.horizon_rows, *seed)


def calibrate_horizons(
    boosters: Sequence[HorizonBoosters], late: pl.DataFrame, predicted: Floats
) -> tuple[HorizonModel, ...]:
    """Calibrate the quantiles of each horizon.

    Args:
        boosters: What ``fit_horizons`` returned.
        late: The rows that calibrate, with ``Horizon.eta`` and the feature ``LIQUIDITY``.
        predicted: Their quantiles, one horizon after the other, shape (n, all).

    Returns:
        The models.
    """
    known = late.with_columns(
        known_by([one.horizon for one in boosters], late[columns.TARGET_DATE])
    )
    buckets = late.select(bucket_number()).to_series().to_numpy()
    models = []
    for number, (horizon, mean, quantiles) in enumerate(boosters):
        actual = known[horizon.eta]
        rows = actual.is_not_null().to_numpy()
        first = number * len(quantiles)
        offsets = conformal_offsets(
            actual.to_numpy()[rows],
            predicted[rows, first : first + len(quantiles)],
            HORIZON_LEVELS,
            buckets[rows],
            len(BUCKETS),
        )
        texts = tuple(booster.to_text() for booster in quantiles)
        models.append(
            HorizonModel(horizon, mean.to_text(), texts, tuple(map(tuple, offsets.tolist())))
        )
    return tuple(models)
