"""Training and measuring of the estimator."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from sklearn.model_selection import train_test_split

from stock_volume import columns
from stock_volume.arrays import Floats, Mask
from stock_volume.errors import StockVolumeError, TooFewRowsError
from stock_volume.estimator.train import (
    EstimatorParameters,
    SplitMetrics,
    TrainedEstimator,
    late_test,
    random_test,
    train_estimator,
)
from stock_volume.features.registry import FeatureParameters, add_features

PARAMETERS = EstimatorParameters(n_estimators=40)
START = date(2015, 1, 1)


def _features(symbols: int = 25, days: int = 200, seed: int = 0) -> pl.DataFrame:
    """Features of synthetic bars: volumes and prices lognormal, a symbol's level wandering."""
    random = np.random.default_rng(seed)
    frames = []
    for number in range(symbols):
        level = random.normal(12, 2) + np.cumsum(random.normal(0, 0.05, days))
        volume = np.round(np.exp(level + random.normal(0, 0.6, days))).astype(np.int64)
        price = np.exp(random.normal(3, 1) + np.cumsum(random.normal(0, 0.02, days)))
        frames.append(
            pl.DataFrame(
                {
                    columns.SYMBOL: f"S{number:02}",
                    columns.DATE: [START + timedelta(days=day) for day in range(days)],
                    columns.ADJ_CLOSE: price,
                    columns.VOLUME: volume * (random.random(days) > 0.01),
                }
            )
        )
    return add_features(pl.concat(frames), FeatureParameters())


def _inputs(features: pl.DataFrame) -> Floats:
    return features.select(columns.ESTIMATOR_INPUTS).to_numpy()


def _volume(features: pl.DataFrame) -> Floats:
    return features[columns.VOLUME].cast(pl.Float64).to_numpy()


def _late(features: pl.DataFrame, parameters: EstimatorParameters) -> Mask:
    day = features[columns.DATE].to_physical().cast(pl.Int64).to_numpy()
    return late_test(day, parameters.test_share)


@pytest.fixture(scope="module")
def features() -> pl.DataFrame:
    return _features()


@pytest.fixture(scope="module")
def trained(features: pl.DataFrame) -> TrainedEstimator:
    return train_estimator(features.lazy(), PARAMETERS)


@pytest.mark.parametrize("rows", [10, 11, 99, 1000, 12_345])
def test_random_split_is_that_of_scikit_learn(rows: int) -> None:
    """The held-out rows are the same as in the original's call of train_test_split."""
    _, expected = train_test_split(np.arange(rows), test_size=0.2, random_state=42)
    held_out = random_test(rows, EstimatorParameters())
    assert held_out.shape == (rows,)
    assert np.flatnonzero(held_out).tolist() == sorted(expected)


def test_random_split_follows_its_parameters() -> None:
    """Share and random state are taken from the parameters."""
    _, expected = train_test_split(np.arange(300), test_size=0.5, random_state=7)
    held_out = random_test(300, EstimatorParameters(test_share=0.5, random_state=7))
    assert np.flatnonzero(held_out).tolist() == sorted(expected)


@settings(deadline=None)
@given(
    days=st.lists(st.integers(-30_000, 30_000), min_size=2, max_size=60),
    share=st.floats(0.01, 0.99),
)
def test_split_by_time_parts_no_day(days: list[int], share: float) -> None:
    """Every held-out day is later than every day trained on, and there are rows of both."""
    assume(len(set(days)) > 1)
    day = np.array(days)
    held_out = late_test(day, share)
    assert 0 < held_out.sum() < len(days)
    assert day[held_out].min() > day[~held_out].max()


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=60),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 1000),
)
def test_split_by_time_holds_out_about_the_share(sizes: list[int], share: float, seed: int) -> None:
    """The part of the rows held out differs from the share by a day's rows at most."""
    day = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    held_out = late_test(day, share)
    assert abs(held_out.sum() - share * len(day)) <= max(sizes) + 1


@pytest.mark.parametrize("share", [0.01, 0.2, 0.99])
@pytest.mark.parametrize("rows", [1, 2, 500])
def test_split_by_time_needs_two_days(rows: int, share: float) -> None:
    """Rows that are all of one day cannot be split by time."""
    with pytest.raises(TooFewRowsError, match="one day"):
        late_test(np.full(rows, 18_000), share)


def test_split_by_time_of_a_crowded_last_day() -> None:
    """A last day with more rows than the share is held out whole."""
    day = np.array([1, 2, 3, 3, 3, 3, 3, 3, 3, 3])
    assert late_test(day, 0.2).tolist() == [False, False, *[True] * 8]


def test_rows_are_trained_on_or_tested_on(
    features: pl.DataFrame, trained: TrainedEstimator
) -> None:
    """In both splits the rows trained on and tested on add up to all rows."""
    for split in (trained.metrics.random_split, trained.metrics.time_split):
        assert split.n_train + split.n_test == features.height
        assert split.n_test == pytest.approx(0.2 * features.height, abs=25)


def _assert_measured(split: SplitMetrics, actual: Floats, predicted: Floats) -> None:
    assert split.n_test == len(actual)
    assert split.mae == pytest.approx(mean_absolute_error(actual, predicted), rel=1e-9)
    assert split.mse == pytest.approx(mean_squared_error(actual, predicted), rel=1e-9)
    assert split.r2 == pytest.approx(r2_score(actual, predicted), rel=1e-9)


def test_random_split_is_measured_on_the_shipped_model(
    features: pl.DataFrame, trained: TrainedEstimator
) -> None:
    """The figures are of the shipped booster on the raw rows that were held out."""
    held_out = random_test(features.height, PARAMETERS)
    predicted = np.asarray(trained.model.booster_.predict(_inputs(features), num_threads=1))
    _assert_measured(trained.metrics.random_split, _volume(features)[held_out], predicted[held_out])
    assert (trained.metrics.random_split.r2 or 0) > 0.3


def test_split_by_time_is_measured_on_a_model_of_the_earlier_days(features: pl.DataFrame) -> None:
    """Changed volumes of the later days change its errors as if the model had not moved."""
    held_out = _late(features, PARAMETERS)
    raised = features.with_columns(
        pl.when(pl.Series(held_out)).then(pl.col(columns.VOLUME) + 10**9).otherwise(columns.VOLUME)
    )
    before, after = (
        train_estimator(frame.lazy(), PARAMETERS).metrics.time_split for frame in (features, raised)
    )
    assert before.n_test == held_out.sum()
    # The predictions p stay, so mean((y + c - p)^2) - mean((y - p)^2) = c^2 + 2c mean(y - p),
    # and y + c is above every p.
    bias = (after.mse - before.mse - 1e18) / 2e9
    assert after.mae == pytest.approx(1e9 + bias, rel=1e-9)


def test_equal_input_gives_equal_models(features: pl.DataFrame, trained: TrainedEstimator) -> None:
    """A second run gives the same figures and, byte for byte, the same model."""
    again = train_estimator(features.lazy(), PARAMETERS)
    assert again.metrics == trained.metrics
    assert again.model.booster_.model_to_string() == trained.model.booster_.model_to_string()


def test_model_takes_the_two_inputs_in_order(trained: TrainedEstimator) -> None:
    """The booster names its inputs as the columns do, and has the trees asked for."""
    assert trained.model.booster_.feature_name() == list(columns.ESTIMATOR_INPUTS)
    assert trained.model.booster_.num_trees() == 40


def test_folding_costs_no_accuracy() -> None:
    """Over some heavy-tailed data sets, held-out errors are no higher than plain LightGBM's.

    On a single one either may be ahead: a handful of rows makes most of the squared error.
    """
    from lightgbm import LGBMRegressor

    parameters = EstimatorParameters(n_estimators=100)
    ratios = []
    for seed in range(4):
        features = _features(symbols=1000, days=60, seed=seed)
        inputs, volume = _inputs(features), _volume(features)
        held_out = random_test(len(volume), parameters)
        plain = LGBMRegressor(n_estimators=100, random_state=42, n_jobs=1, verbose=-1)
        plain.fit(inputs[~held_out], volume[~held_out])
        predicted = np.asarray(plain.booster_.predict(inputs[held_out], num_threads=1))
        folded = train_estimator(features.lazy(), parameters).metrics.random_split
        ratios.append(
            (
                folded.mae / mean_absolute_error(volume[held_out], predicted),
                folded.mse / mean_squared_error(volume[held_out], predicted),
            )
        )
    mae, mse = np.mean(ratios, axis=0)
    assert mae <= 1
    assert mse <= 1


@pytest.mark.parametrize("rows", [0, 1, 9])
def test_few_rows_are_refused(features: pl.DataFrame, rows: int) -> None:
    """Fewer than ten rows are too few, and the error says how many there are."""
    with pytest.raises(TooFewRowsError, match=rf"has {rows} of the 10 bars"):
        train_estimator(features.head(rows).lazy(), PARAMETERS)


def test_rows_of_one_day_are_refused(features: pl.DataFrame) -> None:
    """Enough rows of a single day cannot be split by time."""
    one_day = features.filter(pl.col(columns.DATE) == START)
    assert one_day.height == 25
    with pytest.raises(TooFewRowsError, match="one day"):
        train_estimator(one_day.lazy(), PARAMETERS)


def test_too_few_rows_is_an_error_to_act_on() -> None:
    """The error is among those that the package raises on purpose."""
    assert issubclass(TooFewRowsError, StockVolumeError)


def test_ten_rows_are_enough(features: pl.DataFrame) -> None:
    """Ten rows of several days are trained on, with leaves that the parameters allow."""
    split = train_estimator(features.head(10).lazy(), PARAMETERS).metrics.random_split
    assert (split.n_train, split.n_test) == (8, 2)


def test_defaults_match_the_original() -> None:
    """The trees and the split default to the original's LGBMRegressor call."""
    assert EstimatorParameters().model_dump(include={"n_estimators", "num_leaves"}) == {
        "n_estimators": 500,
        "num_leaves": 31,
    }
    assert EstimatorParameters().model_dump(
        include={"learning_rate", "min_rows_in_leaf", "test_share", "random_state"}
    ) == {"learning_rate": 0.1, "min_rows_in_leaf": 20, "test_share": 0.2, "random_state": 42}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_trees", 100),
        ("n_estimators", 0),
        ("n_estimators", "many"),
        ("num_leaves", 1),
        ("learning_rate", 0),
        ("min_rows_in_leaf", 0),
        ("test_share", 0),
        ("test_share", 1),
        ("random_state", 1.5),
        ("grid_size", 1),
        ("grid_size", 254),
        ("volume_share", -0.1),
        ("volume_share", 1.1),
        ("num_threads", 0),
    ],
)
def test_parameters_out_of_bounds_are_refused(name: str, value: object) -> None:
    """An unknown key or a value out of bounds is refused, and the error names it."""
    with pytest.raises(ValidationError, match=name):
        EstimatorParameters.model_validate({name: value})


def test_parameters_cannot_change() -> None:
    """Parameters are frozen once made."""
    with pytest.raises(ValidationError, match="frozen"):
        EstimatorParameters().n_estimators = 3  # type: ignore[misc]
