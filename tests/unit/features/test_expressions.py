"""Expressions that several kinds of features share."""

import os
import subprocess
import sys
from typing import Final

import numpy as np
import pandas as pd
import polars as pl
import pytest

from stock_volume.features.expressions import mean_of

DIGEST: Final = """
import hashlib, sys
import numpy as np
import polars as pl
from stock_volume.features.expressions import mean_of

values = np.random.default_rng(0).normal(size=(10_000, int(sys.argv[1])))
frame = pl.DataFrame(values, orient="row")
mean = frame.select(mean_of(pl.col(name) for name in frame.columns)).to_series()
print(hashlib.sha256(mean.to_numpy().tobytes()).hexdigest())
"""


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 7])
def test_mean_of_is_that_of_pandas(number: int) -> None:
    """Nulls do not count; only nulls have no mean."""
    random = np.random.default_rng(number)
    values = random.normal(size=(500, number))
    values[random.random(values.shape) < 0.4] = np.nan
    values[0] = np.nan
    frame = pl.DataFrame(values, orient="row").fill_nan(None)
    mean = frame.select(mean_of(pl.col(name) for name in frame.columns)).to_series()
    np.testing.assert_allclose(
        mean.cast(pl.Float64).to_numpy(), pd.DataFrame(values).mean(axis=1), atol=1e-14
    )


def test_mean_of_does_not_depend_on_threads() -> None:
    """It is the same to the last bit; that of Polars is not, of five columns or more."""
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST, "7"],
            env={**os.environ, "POLARS_MAX_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "3")
    }
    assert len(digests) == 1
