"""Forecasts beyond the next session: what they learn from, and that nothing leaks."""

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_volume import columns
from stock_volume.arrays import Floats
from stock_volume.features.horizon import Horizon
from stock_volume.features.quantities import BASE
from stock_volume.features.registry import ETA
from stock_volume.forecaster.horizons import HorizonColumns
from stock_volume.forecaster.model import Forecaster, shares_at_base
from stock_volume.forecaster.train import MissingOutcomesError, train_forecaster
from tests.unit.forecast_helpers import forecast_frame, small_parameters

SECOND, TOTAL = HORIZONS = (Horizon(2), Horizon(3, total=True))
PARAMETERS = small_parameters(horizons=(2,), totals=(3,), quantile_trees=30)


def with_outcomes(rows: pl.DataFrame) -> pl.DataFrame:
    """Add outcomes: the second session repeats eta, the total is larger by half."""
    return rows.with_columns(
        (pl.col(ETA) * 1.0).alias(SECOND.eta), (pl.col(ETA) + 0.5).alias(TOTAL.eta)
    )


ROWS = with_outcomes(forecast_frame(symbols=12, sessions=120))
TRAINING = ROWS.filter(pl.col(ETA).is_not_null())
TARGETS = TRAINING[columns.TARGET_DATE].unique().sort().to_list()


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    return train_forecaster(TRAINING, PARAMETERS)


@pytest.fixture(scope="module")
def forecasts(forecaster: Forecaster) -> pl.DataFrame:
    return forecaster.predict_horizons(TRAINING, 1)


def eta_of(forecasts: pl.DataFrame, column: str, horizon: Horizon) -> Floats:
    unit = TRAINING.select(shares_at_base()).to_series() * horizon.scale
    return (forecasts[column] / unit).log().to_numpy()


@pytest.mark.parametrize("horizon", HORIZONS, ids=lambda horizon: horizon.name)
def test_each_horizon_learns_its_own_outcome(forecasts: pl.DataFrame, horizon: Horizon) -> None:
    """The forecast of a horizon follows its outcome, and its interval holds about 80 %."""
    names = HorizonColumns.of(horizon)
    actual = TRAINING[horizon.eta].to_numpy()
    predicted = eta_of(forecasts, names.forecast, horizon)
    assert np.corrcoef(actual, predicted)[0, 1] > 0.6
    assert abs((actual - predicted).mean()) < 0.05
    low, high = (eta_of(forecasts, name, horizon) for name in (names.low, names.high))
    assert 0.6 < ((low <= actual) & (actual <= high)).mean() < 0.95
    assert (forecasts[names.low] <= forecasts[names.high]).all()


def test_the_next_session_is_forecast_as_without_horizons(forecaster: Forecaster) -> None:
    """Horizons change nothing of the model of the next session."""
    alone = train_forecaster(TRAINING, small_parameters(quantile_trees=30))
    assert_frame_equal(forecaster.predict(ROWS, 1), alone.predict(ROWS, 1))


def test_outcomes_beyond_the_window_are_not_learnt(forecaster: Forecaster) -> None:
    """Outcomes of the last rows, which reach beyond the last target session, change nothing."""
    last = {SECOND: TARGETS[-1:], TOTAL: TARGETS[-2:]}
    changed = TRAINING.with_columns(
        pl.when(pl.col(columns.TARGET_DATE).is_in(days)).then(99.0).otherwise(h.eta).alias(h.eta)
        for h, days in last.items()
    )
    assert train_forecaster(changed, PARAMETERS).horizons == forecaster.horizons
    earlier = TRAINING.with_columns(
        pl.when(pl.col(columns.TARGET_DATE) == TARGETS[-2])
        .then(99.0)
        .otherwise(SECOND.eta)
        .alias(SECOND.eta)
    )
    assert train_forecaster(earlier, PARAMETERS).horizons != forecaster.horizons


def test_quantiles_do_not_see_what_calibrates_them(forecaster: Forecaster) -> None:
    """Outcomes of sessions that calibrate change offsets and the mean, but no quantile."""
    late = forecaster.training.validated_from
    before = TARGETS[TARGETS.index(late) - 1]
    changed = TRAINING.with_columns(
        pl.when(pl.col(columns.TARGET_DATE) >= before)
        .then(pl.col(SECOND.eta) + 5)
        .otherwise(SECOND.eta)
        .alias(SECOND.eta)
    )
    other = train_forecaster(changed, PARAMETERS).horizons[0]
    assert other.quantiles == forecaster.horizons[0].quantiles
    assert other.offsets != forecaster.horizons[0].offsets


def test_files_give_an_equal_forecaster(forecaster: Forecaster) -> None:
    """Written and read again, a forecaster has the same horizons."""
    again = Forecaster.from_files(forecaster.to_files())
    assert again == forecaster
    assert [model.horizon for model in again.horizons] == list(HORIZONS)


def test_a_horizon_that_the_data_is_too_short_for_is_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The horizon is named in a warning, and the others are forecast."""
    unknown = TRAINING.with_columns(pl.lit(None, pl.Float64).alias(TOTAL.eta))
    forecaster = train_forecaster(unknown, PARAMETERS)
    assert [model.horizon for model in forecaster.horizons] == [SECOND]
    assert "too few sessions to forecast total_3" in caplog.text


def test_features_for_other_horizons_are_refused() -> None:
    """A layer without the outcomes of a horizon is an error that names them."""
    with pytest.raises(MissingOutcomesError, match=r"no eta_h4: .*feature_engineering"):
        train_forecaster(TRAINING, small_parameters(horizons=(2, 4)))


def test_rows_without_horizons_have_their_origin() -> None:
    """Without horizons there is one row per row, with its symbol and date."""
    alone = train_forecaster(TRAINING, small_parameters())
    rows = ROWS.filter(pl.col(BASE).is_not_null())
    assert_frame_equal(alone.predict_horizons(rows, 1), rows.select("Symbol", "Date"))
