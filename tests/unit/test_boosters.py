"""Boosters: what they were trained with, and what they remember of it."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

import lightgbm
import numpy as np
import pytest

import stock_volume
from stock_volume.arrays import Floats, Matrix
from stock_volume.boosters import (
    Block,
    Booster,
    BoosterSettings,
    RegressorSettings,
    TrainingSet,
    bin_rows,
    booster_of,
    fit_regressor,
    lightgbm_parameters,
)

SETTINGS: Final = BoosterSettings(
    trees=5,
    learning_rate=0.3,
    leaves=7,
    seed=1,
    min_rows_in_leaf=10,
    feature_fraction=1.0,
    bagging_fraction=1.0,
    lambda_l2=0.0,
    max_bin=63,
    quantized=False,
    num_threads=1,
)
NAMES: Final = ("first", "second", "constant")


def _inputs(rows: int = 400) -> Floats:
    random = np.random.default_rng(0)
    return np.column_stack([random.random(rows), random.random(rows) - 5, np.full(rows, 3.0)])


def _bin(inputs: Matrix, target: Floats, *cuts: int) -> TrainingSet:
    """Bin rows, divided into blocks at some positions."""
    blocks = [Block(len(part), partial(np.copy, part)) for part in np.split(inputs, cuts)]
    return bin_rows(blocks, target, np.ones(len(inputs)), NAMES, SETTINGS)


@pytest.fixture(scope="module")
def booster() -> Booster:
    inputs = _inputs()
    target = inputs[:, 0] + 10 * inputs[:, 1]
    return _bin(inputs, target).fit(SETTINGS)


def test_text_is_read_back_as_written(booster: Booster) -> None:
    """A booster that went through its text has that text, and predicts the same."""
    again = Booster.from_text(booster.to_text())
    assert again.to_text() == booster.to_text()
    np.testing.assert_array_equal(again.predict(_inputs(), 1), booster.predict(_inputs(), 1))


def test_largest_inputs_are_the_largest_in_training(booster: Booster) -> None:
    """Each feature has the largest value that it was trained on, to the last digit."""
    expected = dict(zip(NAMES, _inputs().max(axis=0).tolist(), strict=True))
    assert booster.largest_inputs() == expected
    assert Booster.from_text(booster.to_text()).largest_inputs() == expected


def test_largest_inputs_of_a_regressor_are_exact() -> None:
    """The rows that are added to a regressor's cells do not change its largest inputs."""
    cells = np.array([[0.0, 0.0], [1e9 + 1 / 3, 0.0], [5.0, 0.0]] * 20)
    settings = RegressorSettings(
        trees=2, learning_rate=0.1, leaves=3, min_weight_in_leaf=1, seed=0, num_threads=1
    )
    model = fit_regressor(cells, cells[:, 0], np.ones(len(cells)), ["a", "b"], settings)
    assert booster_of(model).largest_inputs() == {"a": 1e9 + 1 / 3, "b": 0.0}


def test_gains_are_of_the_features_that_matter(booster: Booster) -> None:
    """The gain is largest where the target varies most, and nothing without variation."""
    first, second, constant = booster.gains()
    assert second > first > constant == 0


@pytest.mark.parametrize(("sign", "expected"), [(1, SETTINGS.trees), (-1, 1)])
def test_trees_are_counted_up_to_the_lowest_error(sign: int, expected: int) -> None:
    """On late rows of the same target all trees help; on an opposite one the first is best."""
    half = _inputs()
    inputs = np.concatenate([half, half])
    target = np.concatenate([half[:, 0], sign * half[:, 0]])
    rows = _bin(inputs, target)
    early, late = rows.subset(np.arange(len(half))), rows.subset(np.arange(len(half), len(inputs)))
    assert early.count_trees(late, SETTINGS, patience=3) == expected


def _without_threads(booster: Any) -> str:
    text: str = booster.model_to_string()
    return text.replace("[num_threads: 1]", "[num_threads: 0]")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cuts", [(), (200,), (1, 100, 100, 399)], ids=str)
def test_blocks_give_the_booster_of_the_whole_matrix(
    cuts: tuple[int, ...], dtype: type[np.floating]
) -> None:
    """However the rows are divided, empty blocks included, LightGBM fits the same trees."""
    inputs = _inputs().astype(dtype)
    inputs[::7, 0] = np.nan
    target = np.nan_to_num(inputs[:, 0]) + 10 * inputs[:, 1]
    whole = lightgbm.train(
        lightgbm_parameters(SETTINGS),
        lightgbm.Dataset(
            inputs,
            target,
            weight=np.ones(len(inputs)),
            feature_name=list(NAMES),
            params=lightgbm_parameters(SETTINGS),
        ),
    )
    assert _bin(inputs, target, *cuts).fit(SETTINGS).to_text() == _without_threads(whole)


def test_a_block_is_read_twice_and_not_kept() -> None:
    """Each block is read for the choice of the bins and for the binning, in order."""
    inputs = _inputs()
    reads: list[int] = []

    def read(number: int) -> Floats:
        reads.append(number)
        return inputs[200 * number : 200 * (number + 1)]

    blocks = [Block(200, partial(read, number)) for number in range(2)]
    bin_rows(blocks, inputs[:, 0], np.ones(400), NAMES, SETTINGS)
    assert reads == [0, 1, 0, 1]


def test_two_modules_call_lightgbm() -> None:
    """Only these modules of the package import LightGBM, so that two files replace it."""
    package = Path(stock_volume.__file__).parent
    callers = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.split()[:2] in (["import", "lightgbm"], ["from", "lightgbm"])
    }
    assert callers == {"boosters.py", "ranked_boosters.py"}


def test_import_is_quick() -> None:
    """Importing the module does not import LightGBM, which takes a second."""
    code = "import sys, stock_volume.boosters; sys.exit('lightgbm' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
