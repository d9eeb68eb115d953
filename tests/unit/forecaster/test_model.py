"""The trained forecaster: its forecasts from its boosters, and that it keeps and travels."""

import json
import pickle
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Final

import joblib
import numpy as np
import polars as pl
import pytest
from lightgbm import Booster

from stock_volume import columns
from stock_volume.arrays import Floats
from stock_volume.exchange import NYSE, ExchangeMismatchError
from stock_volume.features.quantities import BASE
from stock_volume.features.registry import ETA
from stock_volume.forecaster.model import (
    DESCRIPTION_FILE,
    FORECAST,
    INTERVAL_NAMES,
    Forecaster,
    TrainingSummary,
    quantile_name,
)
from stock_volume.forecaster.parameters import ForecasterParameters
from stock_volume.forecaster.train import train_forecaster
from stock_volume.forecaster.universe import BUCKETS, LIQUIDITY
from stock_volume.schemas import Forecasts
from tests.unit.forecast_helpers import (
    FEATURE_NAMES,
    LEVELS,
    SIGNAL,
    forecast_frame,
    small_parameters,
)

QUANTILES = [quantile_name(level) for level in LEVELS]
KEYS = [columns.SYMBOL, columns.DATE, columns.TARGET_DATE]


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return forecast_frame().filter(pl.col(ETA).is_not_null())


@pytest.fixture(scope="module")
def forecaster(rows: pl.DataFrame) -> Forecaster:
    return train_forecaster(rows, small_parameters(boosters=2))


def _predicted(texts: tuple[str, ...], rows: pl.DataFrame) -> Floats:
    """Predictions of boosters, from their texts and a matrix in double precision."""
    matrix = rows.select(FEATURE_NAMES).to_pandas().to_numpy(dtype=np.float64)
    boosters = [Booster(model_str=text) for text in texts]
    return np.column_stack([booster.predict(matrix, num_threads=1) for booster in boosters])


def _shares(rows: pl.DataFrame, eta: Floats) -> Floats:
    shares: Floats = np.exp(rows[BASE].to_numpy() + eta) / rows[columns.CLOSE].to_numpy()
    return shares


def _buckets(rows: pl.DataFrame) -> list[int]:
    """Bucket of each row, by the dollars that part them."""
    dollars = np.exp(rows[LIQUIDITY].to_numpy().astype(np.float64))
    return [int(bucket) for bucket in np.searchsorted([1e5, 1e6, 5e6, 1e8], dollars)]


def _with_offsets(forecaster: Forecaster, of_bucket: Sequence[tuple[float, ...]]) -> Forecaster:
    return replace(forecaster, offsets=tuple(of_bucket))


def test_the_interval_lies_between_the_deciles() -> None:
    """80 of 100 volumes should fall between the quantiles 10 and 90."""
    assert INTERVAL_NAMES == ("q10", "q90")


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (0.1, "q10"),
        (0.5, "q50"),
        (0.9, "q90"),
        (0.05, "q5"),
        (0.025, "q2.5"),
        (0.07, "q7"),
        (0.29, "q29"),
        (0.57, "q57"),
        (0.999, "q99.9"),
    ],
)
def test_quantiles_are_named_by_their_per_cent(level: float, name: str) -> None:
    """The name is the level in per cent, without the errors of binary fractions."""
    assert quantile_name(level) == name


def test_forecast_is_the_shares_that_the_mean_eta_means(
    rows: pl.DataFrame, forecaster: Forecaster
) -> None:
    """The forecast is the base times e to the boosters' mean, over the Close."""
    expected = _shares(rows, _predicted(forecaster.boosters, rows).mean(axis=1))
    assert forecaster.predict(rows, 1)[FORECAST].to_numpy() == pytest.approx(expected, rel=1e-9)


def test_quantiles_match_their_boosters_calibrated(
    rows: pl.DataFrame, forecaster: Forecaster
) -> None:
    """Each quantile is its booster's, with its bucket's offset, in order."""
    offsets = [(-2.0 - n, 0.1 * n, 2.0 + n) for n in range(len(BUCKETS))]
    calibrated = _with_offsets(forecaster, offsets).predict(rows, 1)
    added = np.array([offsets[bucket] for bucket in _buckets(rows)])
    assert len(np.unique(added[:, 0])) == len(BUCKETS)
    eta = _predicted(forecaster.quantile_boosters, rows) + added
    for place, name in enumerate(QUANTILES):
        expected = _shares(rows, eta[:, place])
        assert calibrated[name].to_numpy() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("spread", [0.0, 4.0, -4.0])
def test_quantiles_ascend(rows: pl.DataFrame, forecaster: Forecaster, spread: float) -> None:
    """Quantiles never cross, not even where their offsets would turn them round."""
    turned = _with_offsets(forecaster, [(spread, 0.0, -spread)] * len(BUCKETS))
    forecasts = turned.predict(rows, 1)
    for lower, upper in pairwise(QUANTILES):
        assert (forecasts[lower] <= forecasts[upper]).all()


def test_rows_come_back_in_their_order(rows: pl.DataFrame, forecaster: Forecaster) -> None:
    """Each row has its own forecast, whatever the order of rows and columns."""
    order = np.random.default_rng(0).permutation(rows.height)
    shuffled = rows[order].select(reversed(rows.columns))
    forecasts = forecaster.predict(shuffled, 1)
    assert forecasts.equals(forecaster.predict(rows, 1)[order])
    assert forecasts.select(KEYS).equals(shuffled.select(KEYS))


def test_forecasts_are_what_the_layer_holds(rows: pl.DataFrame, forecaster: Forecaster) -> None:
    """The columns and types match the schema, and the target's volume is no input."""
    forecasts = forecaster.predict(rows.drop(ETA, columns.VOLUME, "next_volume"), 1)
    assert Forecasts.validate(forecasts).columns == [*KEYS, FORECAST, *QUANTILES]


def test_no_rows_have_no_forecasts(rows: pl.DataFrame, forecaster: Forecaster) -> None:
    """Where there is nothing to forecast, the frame is empty, and has its columns."""
    assert Forecasts.validate(forecaster.predict(rows.clear(), 1)).is_empty()


def test_one_row_is_forecast_as_among_others(rows: pl.DataFrame, forecaster: Forecaster) -> None:
    """A row's forecast does not depend on the rows beside it."""
    assert forecaster.predict(rows[100], 1).equals(forecaster.predict(rows, 1)[100])


def test_forecaster_survives_pickle_and_joblib(
    rows: pl.DataFrame, forecaster: Forecaster, tmp_path: Path
) -> None:
    """A copy from a file is equal, has no loaded boosters in it, and forecasts the same."""
    before = forecaster.predict(rows, 1)
    joblib.dump(forecaster, tmp_path / "forecaster.joblib")
    pickled = pickle.loads(pickle.dumps(forecaster))  # noqa: S301
    for copy in (pickled, joblib.load(tmp_path / "forecaster.joblib")):
        assert copy == forecaster
        assert set(vars(copy)) == {field.name for field in fields(Forecaster)}
        assert copy.predict(rows, 1).equals(before)


def test_forecaster_survives_its_files(rows: pl.DataFrame, forecaster: Forecaster) -> None:
    """What is read from the files is equal to what was written, and forecasts the same."""
    files = forecaster.to_files()
    assert set(files) == {
        DESCRIPTION_FILE,
        "mean_0.txt",
        "mean_1.txt",
        *(f"{name}.txt" for name in QUANTILES),
    }
    again = Forecaster.from_files(dict(sorted(files.items())))
    assert again == forecaster
    assert again.to_files() == files
    assert again.predict(rows, 1).equals(forecaster.predict(rows, 1))


TRAINING: Final = TrainingSummary(
    first_session=date(2018, 1, 2),
    last_session=date(2018, 6, 29),
    validated_from=date(2018, 5, 1),
    rows=3,
    symbols=1,
    trees=2,
    parameters=ForecasterParameters(),
)


def test_boosters_of_the_mean_keep_their_order() -> None:
    """Ten boosters and more are read in the order of their numbers, not of their names."""
    many = Forecaster(
        features=("size",),
        boosters=tuple(f"mean {number}" for number in range(12)),
        quantile_boosters=("lower", "upper"),
        levels=(0.025, 0.975),
        offsets=((-0.1, 0.1),) * len(BUCKETS),
        training=TRAINING,
    )
    assert Forecaster.from_files(dict(sorted(many.to_files().items()))) == many


def test_description_is_json(forecaster: Forecaster) -> None:
    """What is not a booster is JSON that anything reads."""
    description = json.loads(forecaster.to_files()[DESCRIPTION_FILE])
    assert description["features"] == list(FEATURE_NAMES)
    assert description["levels"] == list(LEVELS)
    assert np.array(description["offsets"]).shape == (len(BUCKETS), len(LEVELS))
    summary = forecaster.training
    assert description["about"]["last_session"] == str(summary.last_session)
    assert description["about"]["rows"] == summary.rows


def test_number_of_threads_is_no_property_of_the_model(forecaster: Forecaster) -> None:
    """Forecasters trained with one thread and with two are equal, and so are their files."""
    summary = forecaster.training
    parameters = summary.parameters.model_copy(update={"num_threads": 7})
    other = replace(
        forecaster,
        training=TrainingSummary(**{**dict(summary), "parameters": parameters}),
    )
    assert other.to_files() == forecaster.to_files()
    assert pickle.dumps(other) == pickle.dumps(forecaster)
    assert not any("[num_threads: 1]" in text for text in forecaster.to_files().values())
    assert pickle.loads(pickle.dumps(forecaster)) == forecaster  # noqa: S301 (made here)


def test_texts_of_earlier_versions_are_read_and_kept(forecaster: Forecaster) -> None:
    """A text names a parameter as earlier versions did: equal forecasters have equal texts."""
    texts = forecaster.to_files()
    parameters = json.loads(texts[DESCRIPTION_FILE])["about"]["parameters"]
    assert parameters["least_sessions"] == forecaster.training.parameters.min_sessions
    assert "min_sessions" not in parameters
    assert Forecaster.from_files(texts) == forecaster


def test_the_exchange_is_kept(forecaster: Forecaster) -> None:
    """A forecaster knows its exchange after it was written and read; that of old ones is NYSE."""
    london = replace(forecaster, exchange="XLON")
    assert Forecaster.from_files(london.to_files()) == london
    assert Forecaster.from_files(forecaster.to_files()).exchange == "XNYS"
    state = {name: value for name, value in vars(forecaster).items() if name != "exchange"}
    old = object.__new__(Forecaster)
    old.__dict__.update(state)
    assert old.exchange == "XNYS"


def test_a_forecaster_is_for_one_exchange(forecaster: Forecaster) -> None:
    """A check against another exchange fails, and names both."""
    forecaster.check_exchange(NYSE)
    match = "trained for XLON, not for XNYS: .* set the parameter exchange to XLON"
    with pytest.raises(ExchangeMismatchError, match=match):
        replace(forecaster, exchange="XLON").check_exchange(NYSE)


def test_importance_is_of_the_gain_of_all_boosters(forecaster: Forecaster) -> None:
    """Each feature has its share of the gain, the shares sum to 1, the signal's are largest."""
    importance = forecaster.importance()
    assert list(importance) == list(FEATURE_NAMES)
    assert sum(importance.values()) == pytest.approx(1)
    assert min(importance.values()) >= 0
    assert sum(importance[name] for name in SIGNAL) > 0.5
    gains = sum(Booster(model_str=text).feature_importance("gain") for text in forecaster.boosters)
    assert list(importance.values()) == pytest.approx((gains / np.sum(gains)).tolist())
