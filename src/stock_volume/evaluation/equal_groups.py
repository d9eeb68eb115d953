"""Groups of rows in reports: each set of rows appears once."""

from collections.abc import Mapping
from typing import Final, TypeVar

from stock_volume.evaluation.results import GroupMetrics

MIN_SESSIONS_OF_MONTH: Final = 5
"""A month with fewer sessions is not measured on its own."""

SAME_ROWS: Final = " = "
"""Between the names of groups that have the same rows."""


_Group = TypeVar("_Group", bound=GroupMetrics)


def merge_equal(groups: Mapping[str, _Group]) -> dict[str, _Group]:
    """Merge groups of the same rows, and leave out groups without rows.

    Groups have the same rows if all their counts and measures are equal.

    Args:
        groups: Measures by name of the group.

    Returns:
        Measures by name, or by the joined names of equal groups, in order of the first name.
    """
    names: dict[str, list[str]] = {}
    for name, measures in groups.items():
        if measures.n:
            names.setdefault(measures.model_dump_json(), []).append(name)
    return {SAME_ROWS.join(equal): groups[equal[0]] for equal in names.values()}
