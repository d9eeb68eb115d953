"""Explanations of forecasts."""

import math
from typing import Final

import polars as pl
import pytest

from stock_volume.features.registry import ETA, FEATURE_KINDS
from stock_volume.forecaster.explain import (
    describe_adaptation,
    describe_average,
    describe_kind,
    explain_forecast,
)
from stock_volume.forecaster.model import FORECAST, Forecaster
from stock_volume.forecaster.train import train_forecaster
from tests.unit.forecast_helpers import forecast_frame, small_parameters

FRAME: Final = forecast_frame(symbols=4, sessions=60)
ROWS: Final = FRAME.filter(pl.col(ETA).is_not_null())


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    return train_forecaster(ROWS, small_parameters(boosters=2))


def forecast_of(forecaster: Forecaster, row: pl.DataFrame) -> float:
    return float(forecaster.predict(row, 1)[FORECAST].item())


def test_factors_make_the_forecast(forecaster: Forecaster) -> None:
    """Start, average and the factors of all features multiply up to each row's forecast."""
    for row in ROWS.tail(5).iter_slices(1):
        explained = explain_forecast(forecaster, row, forecast_of(forecaster, row), 1)
        factors = [feature.factor for kind in explained.kinds for feature in kind.features]
        assert len(factors) == len(forecaster.features)
        product = explained.start * explained.average * math.prod(factors)
        assert product == pytest.approx(forecast_of(forecaster, row))
        assert explained.adaptation == pytest.approx(1)
        adapted = explain_forecast(forecaster, row, 1.2 * forecast_of(forecaster, row), 1)
        assert adapted.adaptation == pytest.approx(1.2)
        for kind in explained.kinds:
            assert kind.factor == pytest.approx(math.prod(one.factor for one in kind.features))


def test_features_are_of_their_kind_and_in_order(forecaster: Forecaster) -> None:
    """Each feature is listed under its kind with its value, the largest effect first."""
    row = ROWS.tail(1)
    explained = explain_forecast(forecaster, row, forecast_of(forecaster, row), 1)
    for kind in explained.kinds:
        known = {feature.name: feature.description for feature in FEATURE_KINDS[kind.kind]}
        effects = [abs(math.log(feature.factor)) for feature in kind.features]
        assert effects == sorted(effects, reverse=True)
        for feature in kind.features:
            assert feature.description == known[feature.name]
            assert feature.value == row[feature.name].cast(pl.Float64).item()


def test_an_unknown_feature_has_no_value_but_an_effect(forecaster: Forecaster) -> None:
    """A null is explained like a number: the product is still the forecast."""
    unknown = next(name for name, share in forecaster.importance().items() if share > 0)
    row = ROWS.tail(1).with_columns(pl.lit(None, pl.Float32).alias(unknown))
    explained = explain_forecast(forecaster, row, forecast_of(forecaster, row), 1)
    effects = {one.name: one for kind in explained.kinds for one in kind.features}
    assert effects[unknown].value is None
    factors = (one.factor for one in effects.values())
    product = explained.start * explained.average * math.prod(factors)
    assert product == pytest.approx(forecast_of(forecaster, row))


def test_feature_that_no_tree_uses_has_no_effect(forecaster: Forecaster) -> None:
    """A feature without any gain multiplies the forecast by 1."""
    row = ROWS.tail(1)
    explained = explain_forecast(forecaster, row, forecast_of(forecaster, row), 1)
    importance = forecaster.importance()
    factors = {one.name: one.factor for kind in explained.kinds for one in kind.features}
    unused = [name for name, share in importance.items() if share == 0]
    assert unused
    assert {factors[name] for name in unused} == {1.0}


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        (1.124, "Its recent volume: raises the forecast by 12 %."),
        (0.5, "Its recent volume: lowers the forecast by 50 %."),
        (1.004, "Its recent volume: no effect to speak of."),
        (2.5, "Its recent volume: raises the forecast by 150 %."),
    ],
)
def test_effects_are_put_in_words(factor: float, text: str) -> None:
    """A factor is described as a change in per cent."""
    assert describe_kind("Volume", factor) == text


def test_every_kind_has_words() -> None:
    """No kind is called by its heading in the documentation."""
    for kind in FEATURE_KINDS:
        assert not describe_kind(kind, 1.1).startswith(f"{kind}:")


def test_average_is_put_in_words() -> None:
    """The average row lies above or below the mean of five sessions, or equals it."""
    assert describe_average(0.98) == (
        "On average, volume is 2 % below the mean of the last five sessions."
    )
    assert "3 % above" in describe_average(1.03)
    assert "equals" in describe_average(1.001)


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        (1.05, "Recent forecasts of similar symbols were too low: raises the forecast by 5 %."),
        (0.9, "Recent forecasts of similar symbols were too high: lowers the forecast by 10 %."),
        (1.001, "Recent forecasts of similar symbols were right on average."),
    ],
)
def test_the_adaptation_is_put_in_words(factor: float, text: str) -> None:
    """The sentence names the side of the errors and the correction."""
    assert describe_adaptation(factor) == text
