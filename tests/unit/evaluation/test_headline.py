"""The headline universe: common stocks wherever all frames have some."""

from typing import Final

import polars as pl
import pytest

from stock_volume.evaluation.groups import COMMON_STOCK
from stock_volume.evaluation.headline import (
    Universe,
    choose_universe,
    select_headline,
    select_universe,
)

MIXED: Final = pl.DataFrame({"n": [1, 2, 3], COMMON_STOCK: [False, True, True]})
OTHERS: Final = pl.DataFrame({"n": [4, 5], COMMON_STOCK: [False, False]})
EMPTY: Final = MIXED.clear()


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([MIXED], "common stocks"),
        ([OTHERS], "all symbols"),
        ([EMPTY], "all symbols"),
        ([], "all symbols"),
        ([MIXED, MIXED], "common stocks"),
        ([MIXED, OTHERS], "all symbols"),
        ([OTHERS, MIXED], "all symbols"),
        ([MIXED, EMPTY], "common stocks"),
    ],
)
def test_common_stocks_are_the_headline_if_all_frames_have_some(
    frames: list[pl.DataFrame], expected: str
) -> None:
    """Frames are compared on common stocks, unless one with rows has none; empty ones abstain."""
    assert choose_universe(*frames) == expected


@pytest.mark.parametrize(
    ("universe", "expected"), [(Universe.COMMON_STOCKS, [2, 3]), (Universe.ALL_SYMBOLS, [1, 2, 3])]
)
def test_a_universe_selects_its_rows_in_order(universe: Universe, expected: list[int]) -> None:
    """Common stocks leave out other rows, all symbols leave out none."""
    assert select_universe(MIXED, universe)["n"].to_list() == expected


def test_the_headline_is_never_empty_for_lack_of_common_stocks() -> None:
    """Rows without a common stock are all in the headline, others only if they are one."""
    assert select_headline(OTHERS).equals(OTHERS)
    assert select_headline(MIXED)["n"].to_list() == [2, 3]
