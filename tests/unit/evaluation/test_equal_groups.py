"""Groups of the same rows are one group."""

from stock_volume.evaluation.equal_groups import merge_equal
from stock_volume.evaluation.results import GroupMetrics


def measured(n: int, mdape: float | None = None) -> GroupMetrics:
    return GroupMetrics(n=n, symbols=min(n, 2), sessions=min(n, 3), mdape=mdape)


def test_groups_of_the_same_rows_are_merged() -> None:
    """Equal counts and measures are one group under all its names; others stay."""
    groups = {"a": measured(9, 1.5), "b": measured(0), "c": measured(9, 1.6), "d": measured(9, 1.5)}
    assert merge_equal(groups) == {"a = d": groups["a"], "c": groups["c"]}


def test_groups_without_rows_are_left_out() -> None:
    """Nothing is left of groups without rows."""
    assert merge_equal({"a": measured(0), "b": measured(0)}) == {}
