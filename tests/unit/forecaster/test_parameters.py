"""Parameters of the forecaster and of its backtest: what is accepted, and what is refused."""

from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters
from stock_volume.forecaster.tuning import TuningParameters

MODELS = [ForecasterParameters, BacktestParameters, TuningParameters]


@pytest.mark.parametrize("model", MODELS)
def test_defaults_are_valid(model: type[BaseModel]) -> None:
    """The defaults pass the checks that values from a file pass."""
    assert model.model_validate(model().model_dump()) == model()
    assert model.model_validate(model().model_dump(mode="json")) == model()


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        (ForecasterParameters, "train_years", 0),
        (ForecasterParameters, "feature_years", -0.1),
        (ForecasterParameters, "min_sessions", 0),
        (ForecasterParameters, "n_estimators", 0),
        (ForecasterParameters, "n_estimators", "many"),
        (ForecasterParameters, "learning_rate", 0),
        (ForecasterParameters, "num_leaves", 1),
        (ForecasterParameters, "min_rows_in_leaf", 0),
        (ForecasterParameters, "feature_fraction", 0),
        (ForecasterParameters, "feature_fraction", 1.01),
        (ForecasterParameters, "bagging_fraction", 0),
        (ForecasterParameters, "bagging_fraction", 1.01),
        (ForecasterParameters, "lambda_l2", -0.1),
        (ForecasterParameters, "max_bin", 1),
        (ForecasterParameters, "max_bin", 256),
        (ForecasterParameters, "half_life_sessions", 0),
        (ForecasterParameters, "etf_weight", 0),
        (ForecasterParameters, "boosters", 0),
        (ForecasterParameters, "validation_share", 0),
        (ForecasterParameters, "validation_share", 1),
        (ForecasterParameters, "early_stopping_rounds", 0),
        (ForecasterParameters, "quantiles", [0.0, 0.1, 0.5, 0.9]),
        (ForecasterParameters, "quantiles", [0.1, 0.5, 0.9, 1.0]),
        (ForecasterParameters, "quantile_rows", 99),
        (ForecasterParameters, "quantile_trees", 0),
        (ForecasterParameters, "quantile_learning_rate", 0),
        (ForecasterParameters, "quantile_leaves", 1),
        (ForecasterParameters, "random_state", 1.5),
        (ForecasterParameters, "num_threads", -1),
        (ForecasterParameters, "live_sessions", 0),
        (ForecasterParameters, "n_trees", 100),
        (BacktestParameters, "test_years", 0),
        (BacktestParameters, "refit_months", 0),
        (BacktestParameters, "min_sessions", 0),
        (BacktestParameters, "resamples", 9),
        (BacktestParameters, "block_sessions", 0),
        (BacktestParameters, "test_start", "yesterday"),
        (BacktestParameters, "test_months", 3),
        (TuningParameters, "trials", 0),
        (TuningParameters, "folds", 0),
        (TuningParameters, "timeout", 60),
    ],
)
def test_values_out_of_bounds_are_refused(model: type[BaseModel], name: str, value: object) -> None:
    """An unknown key or a value out of bounds is refused, and the error names it."""
    with pytest.raises(ValidationError, match=name):
        model.model_validate({name: value})


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        (ForecasterParameters, "feature_years", 0.0),
        (ForecasterParameters, "lambda_l2", 0.0),
        (ForecasterParameters, "feature_fraction", 1.0),
        (ForecasterParameters, "max_bin", 255),
        (ForecasterParameters, "num_threads", 0),
        (ForecasterParameters, "half_life_sessions", None),
        (ForecasterParameters, "half_life_sessions", 250.0),
        (BacktestParameters, "resamples", 10),
        (BacktestParameters, "test_years", 0.5),
        (TuningParameters, "trials", 1),
    ],
)
def test_values_at_the_bounds_are_accepted(
    model: type[BaseModel], name: str, value: object
) -> None:
    """The outermost values that make sense are taken as they are."""
    assert getattr(model.model_validate({name: value}), name) == value


@pytest.mark.parametrize("levels", [[0.9, 0.5, 0.1], [0.1, 0.1, 0.5, 0.9]], ids=str)
def test_levels_ascend(levels: list[float]) -> None:
    """Levels that descend or repeat are refused."""
    with pytest.raises(ValidationError, match="quantiles are not ascending"):
        ForecasterParameters.model_validate({"quantiles": levels})


@pytest.mark.parametrize(
    "levels",
    [[], [0.5], [0.5, 0.9], [0.1, 0.9], [0.1, 0.5], [0.25, 0.5, 0.75], [0.05, 0.25, 0.75, 0.95]],
    ids=str,
)
def test_levels_that_are_measured_must_be_there(levels: list[float]) -> None:
    """Levels that lack 10, 50 or 90 per cent are refused, with the three in the message."""
    with pytest.raises(ValidationError, match=r"0\.1, 0\.5 and 0\.9 must be among the quantiles"):
        ForecasterParameters.model_validate({"quantiles": levels})


@pytest.mark.parametrize("part", ["bagging_fraction", "feature_fraction"])
def test_quantized_gradients_need_everything(part: str) -> None:
    """Quantized gradients are refused with a part of the rows or of the features."""
    whole = {"quantized": True, "bagging_fraction": 1.0, "feature_fraction": 1.0}
    assert ForecasterParameters.model_validate(whole).quantized
    with pytest.raises(ValidationError, match="quantized needs"):
        ForecasterParameters.model_validate({**whole, part: 0.9})


@pytest.mark.parametrize("model", MODELS)
def test_parameters_cannot_change(model: type[BaseModel]) -> None:
    """Parameters are frozen once made."""
    parameters = model()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(parameters, next(iter(type(parameters).model_fields)), 3)


def test_days_may_be_written_out() -> None:
    """Days come from files as ISO strings, or as dates; each may be left out."""
    written = BacktestParameters.model_validate(
        {"train_start": "2018-01-01", "test_start": "2021-01-01", "test_end": "2022-12-31"}
    )
    assert written == BacktestParameters(
        train_start=date(2018, 1, 1), test_start=date(2021, 1, 1), test_end=date(2022, 12, 31)
    )
    assert BacktestParameters.model_validate({"test_start": "2021-01-01"}).train_start is None


def test_a_test_may_be_of_one_day() -> None:
    """The test may end on the day that it starts on."""
    day = date(2021, 1, 4)
    assert BacktestParameters(test_start=day, test_end=day).test_end == day


@pytest.mark.parametrize(
    "days",
    [
        {"train_start": "2021-01-01", "test_start": "2020-01-01"},
        {"train_start": "2021-01-01", "test_start": "2021-01-01"},
        {"test_start": "2021-01-01", "test_end": "2020-12-31"},
        {"train_start": "2018-01-01", "test_start": "2021-01-01", "test_end": "2019-01-01"},
    ],
)
def test_days_out_of_order_are_refused(days: dict[str, Any]) -> None:
    """Training starts before the test, and the test starts before it ends."""
    with pytest.raises(ValidationError, match="not in order"):
        BacktestParameters.model_validate(days)


@pytest.mark.parametrize("name", ["train_start", "test_end"])
def test_windows_without_a_start_of_the_test_are_refused(name: str) -> None:
    """A bound that would be passed over without a test_start is refused."""
    with pytest.raises(ValidationError, match="need a test_start"):
        BacktestParameters.model_validate({name: "2020-01-01"})
