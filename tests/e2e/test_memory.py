"""Training and backtest stay within a memory limit far below the size of their data."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import polars as pl
import pytest

from stock_volume import columns
from stock_volume.datasets.parquet import ChunkedParquetDataset
from tests.unit.forecast_helpers import FEATURE_NAMES, forecast_frame

COPIES: Final = 160
BYTES_OF_A_FEATURE: Final = 4

CHILD: Final = """
import resource, sys
import lightgbm, numpy, polars, psutil
from stock_volume.evaluation import backtest
from stock_volume.evaluation.backtest import plan_backtest, run_backtest, target_sessions
from stock_volume.forecaster import pool
from stock_volume.forecaster.parameters import BacktestParameters
from tests.unit.forecast_helpers import small_parameters

pool.BLOCK_ROWS = backtest.BLOCK_ROWS = 10_000
path, allowed = sys.argv[1], int(sys.argv[2])
lines = open("/proc/self/status").read().splitlines()
used = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (used + allowed, used + allowed))
features = polars.scan_parquet(path)
parameters = small_parameters(max_rows=5_000, n_estimators=3, quantile_trees=2)
plan = plan_backtest(target_sessions(features), parameters, BacktestParameters())
print(sum(rows.forecasts.height for rows in run_backtest(features, plan, parameters)))
"""


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of many symbols, written in parts."""
    dataset = ChunkedParquetDataset(str(tmp_path_factory.mktemp("layer") / "features.parquet"))
    frame = forecast_frame(symbols=40, sessions=100, history=300)
    for copy in range(COPIES):
        symbol = pl.format("{}_{}", pl.lit(f"{copy:03}"), columns.SYMBOL)
        dataset.save(frame.with_columns(symbol.alias(columns.SYMBOL)))
    dataset.confirm()
    return dataset.path


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_backtest_runs_in_a_fraction_of_the_features_memory(layer: Path) -> None:
    """With three fifths of its features' memory, the backtest scores every symbol."""
    rows = pl.scan_parquet(layer).select(pl.len()).collect().item()
    size = rows * len(FEATURE_NAMES) * BYTES_OF_A_FEATURE
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(layer), str(size * 3 // 5)],
        capture_output=True,
        text=True,
        check=False,
        env={"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > rows // 4
