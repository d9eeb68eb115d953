"""Forecasts at the open: what they learn from a gap, and how they are kept."""

import json
import pickle
from typing import Final

import numpy as np
import polars as pl
import pytest
from lightgbm import Booster
from pydantic import ValidationError

from stock_volume.features.registry import ETA, NEXT_OPEN
from stock_volume.forecaster.model import FORECAST, MA5
from stock_volume.forecaster.opening import (
    MAX_GAP,
    OPENING_FILE,
    OPENING_INPUTS,
    OPENING_QUANTILES,
    OpeningModel,
    OpeningParameters,
    OtherInputsError,
    fit_opening,
    gap_score,
    join_openings,
)
from tests.unit.forecast_helpers import opening_frame, small_parameters

FORECASTER: Final = small_parameters()
PARAMETERS: Final = OpeningParameters(min_rows_in_leaf=20)
ROWS: Final = opening_frame()


@pytest.fixture(scope="module")
def model() -> OpeningModel:
    return fit_opening(ROWS, PARAMETERS, FORECASTER)


def inputs_of(rows: pl.DataFrame) -> dict[str, np.ndarray]:
    """The inputs, computed with NumPy."""
    values = {name: rows[name].to_numpy().astype(np.float64) for name in rows.columns[3:]}
    gap = np.clip(np.log(values[NEXT_OPEN] / values["Close"]), -MAX_GAP, MAX_GAP)
    return {
        "gap": gap,
        "gap_score": gap / values["volatility_22"],
        "eta_before": np.log(values[FORECAST] / values[MA5]),
        "width": np.log(values["q90"] / values["q10"]),
        "size": values["size"],
        "volatility_22": values["volatility_22"],
        "occasion": values["occasion"],
    }


def test_it_predicts_what_its_boosters_do(model: OpeningModel) -> None:
    """The forecast is the one before times exp of the first booster, on inputs made by hand."""
    inputs = inputs_of(ROWS)
    assert tuple(inputs) == OPENING_INPUTS
    matrix = np.column_stack(list(inputs.values())).astype(np.float32)
    errors = [Booster(model_str=text).predict(matrix, num_threads=1) for text in model.boosters]
    before = ROWS[FORECAST].to_numpy()
    predicted = model.predict(ROWS, 1)
    np.testing.assert_allclose(predicted[FORECAST], before * np.exp(errors[0]))
    expected = before[:, None] * np.exp(np.sort(np.column_stack(errors[1:]), axis=1))
    np.testing.assert_allclose(predicted.select(OPENING_QUANTILES).to_numpy(), expected)


def test_a_gap_raises_the_forecast(model: OpeningModel) -> None:
    """Volumes that follow the size of the gap are learnt, beyond what was forecast before."""
    predicted = model.predict(ROWS, 1)
    actual = (ROWS[MA5] * ROWS[ETA].exp()).to_numpy()
    errors = [np.log(actual / one[FORECAST].to_numpy()).std() for one in (ROWS, predicted)]
    assert errors[1] < 0.6 * errors[0]
    small, large = (
        model.predict(ROWS.with_columns((pl.col("Close") * ratio).alias(NEXT_OPEN)), 1)
        for ratio in (1.0, 1.1)
    )
    assert np.mean(large[FORECAST].to_numpy() > small[FORECAST].to_numpy()) > 0.95
    inside = (actual >= predicted["q10"].to_numpy()) & (actual <= predicted["q90"].to_numpy())
    assert 0.7 < inside.mean() < 0.9


def test_a_gap_beyond_the_limit_counts_as_the_limit(model: OpeningModel) -> None:
    """A split that the bars do not know moves the forecast no more than a crash does."""
    ratios = [np.exp(-MAX_GAP), 0.1]
    limit, beyond = (
        model.predict(ROWS.with_columns((pl.col("Close") * ratio).alias(NEXT_OPEN)), 1)
        for ratio in ratios
    )
    assert limit.equals(beyond)


@pytest.mark.parametrize("price", [None, 0.0, -1.0])
def test_an_unknown_gap_has_no_score(price: float | None) -> None:
    """Neither without a price nor without a move is there a gap in units of volatility."""
    row = ROWS.head(1)
    unknown = row.with_columns(pl.lit(price, pl.Float64).alias(NEXT_OPEN))
    still = row.with_columns(pl.lit(0.0, pl.Float32).alias("volatility_22"))
    for one in (unknown, still):
        assert one.select(gap_score()).item() is None


def test_only_sessions_with_an_opening_price_are_joined() -> None:
    """Rows of the backtest are joined by their origin, and sorted by session."""
    features = ROWS.select(
        "Symbol",
        "Date",
        "size",
        "volatility_22",
        pl.when(Symbol="S00").then(None).otherwise(NEXT_OPEN).alias(NEXT_OPEN),
    )
    backtest = ROWS.drop(NEXT_OPEN, "size", "volatility_22").sort("Symbol", descending=True)
    joined = join_openings(backtest.lazy(), features.lazy())
    expected = ROWS.filter(pl.col("Symbol") != "S00").sort("TargetDate", "Symbol")
    assert joined.select(ROWS.columns).equals(expected)


def test_files_and_pickles_give_an_equal_model(model: OpeningModel) -> None:
    """What is written is read again, beside files of others; a loaded booster is not pickled."""
    model.predict(ROWS.head(3), 1)
    others = {"forecaster.json": "{}", "mean_0.txt": ""}
    assert OpeningModel.from_files(others | model.to_files()) == model
    assert pickle.loads(pickle.dumps(model)) == model  # noqa: S301 (our own)
    assert (model.first_session, model.last_session) == (
        ROWS["TargetDate"].min(),
        ROWS["TargetDate"].max(),
    )
    assert model.rows == ROWS.height
    assert len(pickle.dumps(model)) == len(pickle.dumps(fit_opening(ROWS, PARAMETERS, FORECASTER)))


def test_fifty_rows_are_enough() -> None:
    """All rows are in one leaf where it needs more: each forecast is corrected alike."""
    model = fit_opening(ROWS.head(50), OpeningParameters(), FORECASTER)
    ratio = model.predict(ROWS, 1)[FORECAST] / ROWS[FORECAST]
    assert ratio.std() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("rows", [0, 1, 49])
def test_without_enough_rows_there_is_no_model(rows: int) -> None:
    """No files, and none are missed."""
    empty = fit_opening(ROWS.head(rows), PARAMETERS, FORECASTER)
    assert not empty.is_trained
    assert empty.to_files() == {}
    assert OpeningModel.from_files({"forecaster.json": "{}"}) == empty


def test_a_model_with_other_inputs_is_refused(model: OpeningModel) -> None:
    """Its boosters would read the wrong columns."""
    files = model.to_files()
    description = json.loads(files[OPENING_FILE])
    description["inputs"] = description["inputs"][::-1]
    with pytest.raises(OtherInputsError, match="run the pipeline modelling again"):
        OpeningModel.from_files(files | {OPENING_FILE: json.dumps(description)})


def test_a_sample_is_trained_on() -> None:
    """No more rows than the limit, the same in each training."""
    few = OpeningParameters(max_rows=300, min_rows_in_leaf=20)
    model = fit_opening(ROWS, few, FORECASTER)
    assert model.rows == 300
    assert fit_opening(ROWS, few, FORECASTER) == model
    assert fit_opening(ROWS, few, small_parameters(random_state=7)) != model


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("first_sessions", 0),
        ("refit_sessions", 0),
        ("max_rows", 99),
        ("n_estimators", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("inf")),
        ("num_leaves", 1),
        ("min_rows_in_leaf", 0),
        ("leaves", 3),
    ],
)
def test_parameters_are_bounded(name: str, value: float) -> None:
    """A value out of bounds and an unknown name are refused."""
    with pytest.raises(ValidationError):
        OpeningParameters(**{name: value})
