"""The estimator as a table: the booster's own answers, between and on its thresholds."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from stock_volume import columns
from stock_volume.arrays import Floats
from stock_volume.boosters import Booster, booster_of
from stock_volume.estimator.table import EstimateTable
from stock_volume.estimator.train import EstimatorParameters, train_estimator
from stock_volume.features.registry import FeatureParameters, add_features
from tests.unit.forecast_oracles import random_bars

if TYPE_CHECKING:
    import lightgbm

ROWS: Final = 3000
PLAIN: Final[dict[str, Any]] = {
    "num_threads": 1,
    "verbose": -1,
    "deterministic": True,
    "force_row_wise": True,
    "num_leaves": 15,
    "learning_rate": 0.3,
    "max_bin": 31,
}
KINDS: Final[dict[str, dict[str, Any]]] = {
    "of volumes": {},
    "of logs": {"objective": "poisson"},
    "of medians": {"objective": "l1", "num_leaves": 31},
    "of stumps": {"num_leaves": 2},
}
"""Parameters of boosters that are unlike each other."""


def _inputs(seed: int, rows: int) -> Floats:
    """Draw averages and prices of many sizes, one in ten of each nothing."""
    random = np.random.default_rng(seed)
    sizes = np.column_stack([random.uniform(-2, 9, rows), random.uniform(-4, 5, rows)])
    drawn: Floats = np.where(random.random((rows, 2)) < 0.1, 0, 10**sizes)
    return drawn


def _volumes(inputs: Floats) -> Floats:
    """Make targets that go up and down with both inputs; every other is a small one."""
    average, price = inputs.T
    waves = np.sin(np.log1p(average)) + np.cos(2 * np.log1p(price))
    scales = np.where(np.arange(len(inputs)) % 2, 3.0, 1 + average / 1e3)
    volumes: Floats = waves * scales
    return volumes


def _train(
    inputs: Floats, targets: Sequence[float] | Floats, trees: int = 20, **changed: Any
) -> "lightgbm.Booster":
    import lightgbm

    categories = changed.pop("categorical_feature", "auto")
    data = lightgbm.Dataset(inputs, targets, categorical_feature=categories)
    return lightgbm.train(PLAIN | changed, data, num_boost_round=trees)


@pytest.fixture(scope="module", params=KINDS.values(), ids=list(KINDS))
def booster(request: pytest.FixtureRequest) -> "lightgbm.Booster":
    inputs = _inputs(0, ROWS)
    volumes = _volumes(inputs)
    if request.param.get("objective") == "poisson":
        volumes = np.abs(volumes)
    return _train(inputs, volumes, **request.param)


@pytest.fixture(scope="module")
def table(booster: "lightgbm.Booster") -> EstimateTable:
    return EstimateTable(Booster(booster))


def _expected(booster: "lightgbm.Booster", inputs: Floats) -> list[int]:
    """Ask the booster itself, and round as Python does."""
    answers: Any = booster.predict(inputs, num_threads=1)
    return [max(0, round(float(answer))) for answer in answers]


def _thresholds(booster: "lightgbm.Booster") -> list[list[float]]:
    """Read the thresholds of each input from the booster's text."""
    text = booster.model_to_string()
    features = re.findall(r"^split_feature=(.*)$", text, re.MULTILINE)
    thresholds = re.findall(r"^threshold=(.*)$", text, re.MULTILINE)
    found: list[set[float]] = [set(), set()]
    for of_tree in zip(features, thresholds, strict=True):
        for feature, threshold in zip(*(line.split() for line in of_tree), strict=True):
            found[int(feature)].add(float(threshold))
    return [sorted(values) for values in found]


def _pairs(first: Sequence[float], second: Sequence[float]) -> Floats:
    return np.array([(one, other) for one in first for other in second])


def _with_neighbours(values: Sequence[float]) -> list[float]:
    exact = np.array(values)
    near = [exact, np.nextafter(exact, -np.inf), np.nextafter(exact, np.inf)]
    return sorted({float(value) for value in np.concatenate(near)})


def test_estimates_are_the_boosters(booster: "lightgbm.Booster", table: EstimateTable) -> None:
    """An estimate is the booster's answer in whole shares, or none where that is negative."""
    inputs = _inputs(1, 5000)
    expected = _expected(booster, inputs)
    assert table.estimate_many(inputs) == expected
    assert [table.estimate(*pair) for pair in inputs.tolist()] == expected
    assert len(set(expected)) > 10


def test_estimates_turn_where_the_booster_does(
    booster: "lightgbm.Booster", table: EstimateTable
) -> None:
    """On each threshold, and on the floats next to it, the estimate is the booster's."""
    first, second = _thresholds(booster)
    assert min(len(first), len(second)) >= 3
    for pairs in (
        _pairs(_with_neighbours(first), [0.0, *second, 1e9]),
        _pairs([0.0, *first, 1e9], _with_neighbours(second)),
    ):
        expected = _expected(booster, pairs)
        assert table.estimate_many(pairs) == expected
        assert [table.estimate(*pair) for pair in pairs.tolist()] == expected


def test_estimates_at_the_ends_are_the_boosters(
    booster: "lightgbm.Booster", table: EstimateTable
) -> None:
    """Nothing, the least of floats and the greatest are estimated as the booster does."""
    ends = [0.0, -0.0, 5e-324, 1e-36, 1e-35, 1.0, 1e300, 1e308, np.finfo(np.float64).max]
    pairs = _pairs(ends, ends)
    expected = _expected(booster, pairs)
    assert table.estimate_many(pairs) == expected
    assert [table.estimate(*pair) for pair in pairs.tolist()] == expected


def test_estimates_are_whole_numbers_of_python(table: EstimateTable) -> None:
    """An estimate is an int, alone or among many, and never negative."""
    inputs = _inputs(2, 500)
    alone = [table.estimate(*pair) for pair in inputs.tolist()]
    many = table.estimate_many(inputs.tolist())
    assert {type(volume) for volume in alone + many} == {int}
    assert alone == many
    assert min(alone) >= 0


def test_negative_answers_are_none() -> None:
    """Where the booster answers below zero the estimate is zero, elsewhere it is not."""
    inputs = _inputs(0, ROWS)
    booster = _train(inputs, _volumes(inputs))
    answers: Any = booster.predict(inputs, num_threads=1)
    estimates = np.array(EstimateTable(Booster(booster)).estimate_many(inputs))
    assert (answers < -1).sum() > 100
    assert (estimates[answers < 0] == 0).all()
    assert (estimates[answers > 1] > 0).all()


def test_no_inputs_have_no_estimates(table: EstimateTable) -> None:
    """Of no rows there are no estimates."""
    assert table.estimate_many(np.empty((0, 2))) == []


@pytest.mark.parametrize("tree", [0, 1])
def test_inputs_keep_their_places(tree: int) -> None:
    """A booster that looks at one of the inputs is not answered by the other."""
    inputs = _inputs(3, ROWS)
    booster = _train(inputs, 1e3 * np.log1p(inputs[:, tree]), trees=5)
    other = 1 - tree
    assert _thresholds(booster)[tree]
    assert not _thresholds(booster)[other]
    table = EstimateTable(Booster(booster))
    assert table.estimate_many(inputs) == _expected(booster, inputs)
    moved = inputs.copy()
    moved[:, other] = moved[::-1, other]
    assert table.estimate_many(moved) == table.estimate_many(inputs)


@pytest.mark.parametrize(
    ("target", "expected"), [(1234.0, 1234), (2.5, 2), (3.5, 4), (0.0, 0), (-7.0, 0)]
)
def test_a_constant_target_has_one_estimate(target: float, expected: int) -> None:
    """A booster without splits has one answer, rounded to the even number where in doubt."""
    booster = _train(_inputs(4, 100), np.full(100, target), trees=3)
    assert _thresholds(booster) == [[], []]
    table = EstimateTable(Booster(booster))
    assert {table.estimate(*pair) for pair in _pairs([0, 1, 1e308], [0, 1, 1e308])} == {expected}
    assert table.estimate_many([[0.0, 0.0], [5.0, 1e9]]) == [expected, expected]


def test_a_booster_read_from_text_has_the_same_table(
    booster: "lightgbm.Booster", table: EstimateTable
) -> None:
    """A booster that went through its text gives the same estimates."""
    inputs = _inputs(5, 2000)
    again = EstimateTable(Booster.from_text(booster.model_to_string()))
    assert again.estimate_many(inputs) == table.estimate_many(inputs)


def test_the_projects_own_estimator_has_a_table() -> None:
    """The booster that training makes is answered for on every bar it was trained on."""
    features = add_features(random_bars(1), FeatureParameters())
    parameters = EstimatorParameters(n_estimators=30)
    trained = train_estimator(features.lazy(), parameters)
    table = EstimateTable(booster_of(trained.model))
    inputs = features.select(columns.ESTIMATOR_INPUTS).to_numpy()
    expected = _expected(trained.model.booster_, inputs)
    assert table.estimate_many(inputs) == expected
    assert [table.estimate(*pair) for pair in inputs.tolist()] == expected
    assert len(set(expected)) > 100


@pytest.mark.parametrize("count", [1, 3])
def test_a_booster_of_other_inputs_is_refused(count: int) -> None:
    """A booster that does not take the two inputs is refused, with the number of its own."""
    assert len(columns.ESTIMATOR_INPUTS) == 2
    inputs = np.random.default_rng(0).random((100, count))
    booster = _train(inputs, inputs[:, 0], trees=1)
    with pytest.raises(ValueError, match=f"has {count} inputs"):
        EstimateTable(Booster(booster))


def test_a_booster_of_categories_is_refused() -> None:
    """A split by categories is no threshold, and the booster is refused."""
    random = np.random.default_rng(0)
    inputs = np.column_stack([random.integers(0, 8, 2000), random.random(2000)]).astype(float)
    targets = np.array([5.0, 1, 7, 2, 9, 3, 8, 4])[inputs[:, 0].astype(int)]
    booster = _train(inputs, targets, trees=2, categorical_feature=[0], min_data_per_group=1)
    with pytest.raises(ValueError, match="split by =="):
        EstimateTable(Booster(booster))


@pytest.mark.parametrize(
    ("setting", "words"),
    [("linear_tree", "linear leaves"), ("zero_as_missing", "zero for missing")],
)
def test_a_booster_that_no_table_can_tell_is_refused(setting: str, words: str) -> None:
    """Lines in the leaves, or zeros that go their own way, are no table."""
    import lightgbm

    inputs = np.random.default_rng(0).uniform(-1, 1, (500, 2)) * np.array([[0], [1]] * 250)
    parameters = {setting: True, "num_threads": 1, "verbose": -1}
    data = lightgbm.Dataset(inputs, inputs[:, 0] + inputs[:, 1], params=parameters)
    with pytest.raises(ValueError, match=words):
        EstimateTable(Booster(lightgbm.train(parameters, data, num_boost_round=3)))
