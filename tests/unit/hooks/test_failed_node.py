"""The name of the failed node in an error."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kedro.pipeline import Node, Pipeline

from stock_volume.hooks import FailedNodeHook
from tests.unit.hook_helpers import fail, run, stages, start


def fail_at_the_second_chunk(_: object) -> Iterator[str]:
    yield "first"
    raise ArithmeticError("nothing adds up")


@pytest.mark.parametrize("function", [fail, fail_at_the_second_chunk])
def test_an_error_names_the_failed_node(tmp_path: Path, function: Any) -> None:
    """A node that fails while its chunks are saved is named, too."""
    failing = Pipeline([Node(function, "after_0", "never", name="failing", tags="two")])
    with pytest.raises(ArithmeticError) as caught:
        run(tmp_path, stages("one: a") + failing, start(), FailedNodeHook())
    assert caught.value.__notes__ == ["in the node failing"]
