"""Results of a backtest as JSON: complete, flat, and read back as written."""

import json
from typing import Final

import polars as pl
import pytest
from pydantic import ValidationError

from stock_volume.evaluation.backtest import Plan
from stock_volume.evaluation.groups import COMMON_STOCK
from stock_volume.evaluation.measures import evaluate_backtest
from stock_volume.evaluation.results import (
    BacktestMetrics,
    BootstrapIntervals,
    GroupMetrics,
    PointMetrics,
)
from stock_volume.forecaster.parameters import BacktestParameters
from tests.unit.forecast_helpers import LEVELS, backtest_frame, scored

ROWS: Final = backtest_frame(symbols=18)
PLAN: Final = Plan(folds=(), min_sessions=1, note="")
COUNTS: Final = {"n": 0, "symbols": 0, "sessions": 0}


def _evaluate(rows: pl.DataFrame, levels: tuple[float, ...] = LEVELS) -> BacktestMetrics:
    return evaluate_backtest(scored(rows), PLAN, levels, BacktestParameters(resamples=20))


@pytest.mark.parametrize("rows", [ROWS, ROWS.filter(~pl.col(COMMON_STOCK)), ROWS.head(1)])
def test_json_is_read_back_as_written(rows: pl.DataFrame) -> None:
    """Metrics that went through JSON are equal, and dump the same JSON again."""
    metrics = _evaluate(rows)
    again = BacktestMetrics.model_validate_json(metrics.model_dump_json())
    assert again == metrics
    assert again.model_dump(mode="json") == metrics.model_dump(mode="json")


def test_headline_measures_are_at_the_top_level() -> None:
    """The JSON has the headline's measures beside the groups, without nesting."""
    dumped = json.loads(_evaluate(ROWS).model_dump_json())
    groups = {"intervals_95", "baselines", "plan", "by_horizon", "at_open"}
    groups |= {f"by_{name}" for name in ("bucket", "occasion", "variability", "security", "year")}
    measures = {*GroupMetrics.model_fields, "universe"}
    assert set(dumped) == groups | measures
    assert set(dumped["baselines"]["ma5"]) == set(PointMetrics.model_fields)


def test_groups_without_rows_dump_counts_only() -> None:
    """A group without rows has None for every measure, and its JSON has its counts alone."""
    metrics = _evaluate(ROWS.filter(~pl.col(COMMON_STOCK)))
    empty = metrics.by_security["common stocks"]
    assert (empty.n, empty.eta_r2, empty.coverage_80) == (0, None, None)
    assert json.loads(empty.model_dump_json()) == COUNTS
    assert json.loads(metrics.model_dump_json())["by_security"]["common stocks"] == COUNTS


def test_undefined_measures_of_rows_dump_as_null() -> None:
    """A measure that some rows leave undefined is null in JSON, and not left out."""
    dumped = json.loads(_evaluate(ROWS.head(1)).model_dump_json())
    assert dumped["level_r2"] is None
    assert dumped["n"] == 1


def test_further_quantiles_have_fields_of_their_own() -> None:
    """A quantile beyond the usual three adds the share below it, by its name."""
    levels = (0.1, 0.25, 0.5, 0.9)
    metrics = _evaluate(backtest_frame(levels=levels), levels)
    dumped = json.loads(metrics.model_dump_json())
    assert 0 < dumped["below_q25"] < 100
    assert BacktestMetrics.model_validate(dumped) == metrics


@pytest.mark.parametrize("model", [PointMetrics, GroupMetrics, BootstrapIntervals])
def test_results_are_frozen_and_checked(model: type[PointMetrics]) -> None:
    """A field of a wrong type is refused, and no field can be set afterwards."""
    with pytest.raises(ValidationError):
        model.model_validate({**COUNTS, "mae": "many"})
    group = GroupMetrics.model_validate(COUNTS)
    with pytest.raises(ValidationError):
        setattr(group, "n", 3)  # noqa: B010  # the type checker refuses an assignment
    with pytest.raises(ValidationError):
        GroupMetrics.model_validate({**COUNTS, "below_q25": "many"})
