"""The baselines, each against its words in numpy."""

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_volume import columns
from stock_volume.arrays import Floats
from stock_volume.evaluation.baselines import BASELINES, Baselines
from stock_volume.features.quantities import BASE
from stock_volume.features.registry import ETA
from tests.unit.forecast_helpers import forecast_frame

HAR: Final = ["base", "volume_lag_0", "volume_mean_22"]
OLS_TECH: Final = [
    *HAR,
    "volume_mean_252",
    "return_lag_0",
    "return_mean_5",
    "return_mean_22",
    "return_mean_252",
]
ROWS: Final = forecast_frame(seed=4).filter(pl.col(ETA).is_not_null())
TRAIN: Final = ROWS.filter(pl.col(columns.DATE) < ROWS[columns.DATE].unique().sort()[60])
TEST: Final = ROWS.join(TRAIN, [columns.SYMBOL, columns.DATE], how="anti", maintain_order="left")


def _known(rows: pl.DataFrame, name: str) -> Floats:
    """Values of a feature; one that is unknown counts as no difference from the base."""
    values = rows[name].to_pandas().astype(np.float64).to_numpy()
    return np.where(np.isnan(values), 0.0, values)


def _regressed(names: list[str]) -> Callable[[pl.DataFrame, pl.DataFrame], Floats]:
    def matrix(rows: pl.DataFrame) -> Floats:
        return np.stack([np.ones(rows.height), *(_known(rows, name) for name in names)], axis=1)

    def eta(train: pl.DataFrame, test: pl.DataFrame) -> Floats:
        inputs = matrix(train)
        slopes = np.linalg.solve(inputs.T @ inputs, inputs.T @ train[ETA].to_numpy())
        predicted: Floats = matrix(test) @ slopes
        return predicted

    return eta


ORACLES: Final[dict[str, Callable[[pl.DataFrame, pl.DataFrame], Floats]]] = {
    "last_value": lambda _, test: _known(test, "volume_lag_0"),
    "ma5": lambda _, test: np.zeros(test.height),
    "ma20": lambda _, test: _known(test, "volume_mean_20"),
    "same_weekday": lambda _, test: _known(test, "volume_same_weekday"),
    "har": _regressed(HAR),
    "ols_tech": _regressed(OLS_TECH),
}
"""Forecast of eta by baseline."""


def _shares(rows: pl.DataFrame, eta: Floats) -> Floats:
    shares: Floats = np.exp(rows[BASE].to_numpy() + eta) / rows[columns.CLOSE].to_numpy()
    return shares


def _forecast(train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    return Baselines.fit(train.lazy()).forecast(test)


def test_there_is_an_oracle_of_each() -> None:
    """Every baseline is a column, in the order that reports list them in, and checked below."""
    assert tuple(_forecast(TRAIN, TEST).columns) == BASELINES == tuple(ORACLES)


@pytest.mark.parametrize("name", BASELINES)
def test_baseline_is_that_of_its_words(name: str) -> None:
    """Each baseline forecasts, in shares, what its words say, row by row."""
    assert TEST.filter(pl.col("volume_lag_0").is_null()).height > 0
    expected = _shares(TEST, ORACLES[name](TRAIN, TEST))
    assert _forecast(TRAIN, TEST)[name].to_numpy() == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(("name", "inputs"), [("har", HAR), ("ols_tech", OLS_TECH)])
def test_regression_finds_a_line(name: str, inputs: list[str]) -> None:
    """Where eta is a line in the inputs, the forecast of unseen rows is exact."""

    def with_line(rows: pl.DataFrame) -> pl.DataFrame:
        slopes = np.linspace(-0.3, 0.4, len(inputs))
        line = sum(slope * _known(rows, name) for slope, name in zip(slopes, inputs, strict=True))
        return rows.with_columns(pl.Series(ETA, 0.25 + line))

    train, test = with_line(TRAIN), with_line(TEST)
    expected = _shares(test, test[ETA].to_numpy())
    assert _forecast(train, test)[name].to_numpy() == pytest.approx(expected, rel=1e-6)


def test_test_rows_do_not_move_the_slopes() -> None:
    """A row's baselines are the same alone, whatever its outcome."""
    alone = TEST[7].with_columns(pl.lit(9.0).alias(ETA))
    expected = _forecast(TRAIN, TEST)[7]
    assert_frame_equal(_forecast(TRAIN, alone), expected, rel_tol=1e-12)


def test_an_input_that_is_never_known_is_passed_over() -> None:
    """Where no row knows an input, the regression is that on the others."""
    unknown = pl.lit(None, dtype=pl.Float32).alias("volume_mean_252")
    train, test = TRAIN.with_columns(unknown), TEST.with_columns(unknown)
    others = [name for name in OLS_TECH if name != "volume_mean_252"]
    expected = _shares(test, _regressed(others)(train, test))
    forecasts = _forecast(train, test)["ols_tech"].to_numpy()
    assert forecasts == pytest.approx(expected, rel=1e-7)
