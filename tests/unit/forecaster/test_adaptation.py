"""Adaptation of forecasts: against a loop over sessions, and without a look at the future."""

from collections import defaultdict

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from stock_volume.features.registry import ETA
from stock_volume.forecaster.adaptation import (
    AdaptationParameters,
    adapt,
    measure_bias,
    shift,
    sum_errors,
)
from stock_volume.forecaster.model import FORECAST, MA5, quantile_name
from stock_volume.forecaster.universe import BUCKET, LIQUIDITY
from tests.unit.forecast_helpers import LEVELS, backtest_frame

NAMES = list(map(quantile_name, LEVELS))
PARAMETERS = AdaptationParameters(
    half_life_sessions=5, prior_sessions=2, window_rows=20, prior_rows=30
)
ROWS = backtest_frame(symbols=6, sessions=50)
TARGETS = ROWS["TargetDate"].unique().sort().to_list()


def adapted(rows: pl.DataFrame, parameters: AdaptationParameters = PARAMETERS) -> pl.DataFrame:
    return adapt(rows, measure_bias([sum_errors(rows)], parameters), LEVELS, parameters)


def unknown_from(rows: pl.DataFrame, place: int) -> pl.DataFrame:
    """The rows as they were before a session: outcomes are unknown from it on."""
    known = pl.col("TargetDate") < TARGETS[place]
    return rows.with_columns(pl.when(known).then(ETA).alias(ETA))


def loop(rows: pl.DataFrame, parameters: AdaptationParameters) -> dict[tuple[str, str], float]:
    """Adapt session by session with plain Python, as the docstrings describe it."""
    decay = 0.5 ** (1 / parameters.half_life_sessions)
    totals: dict[int, float] = defaultdict(float)
    weights: dict[int, float] = defaultdict(float)
    errors: dict[tuple[str, str], list[float]] = defaultdict(list)
    result = {}
    for target in TARGETS:
        of_session = rows.filter(pl.col("TargetDate") == target).to_dicts()
        biases = {
            bucket: totals[bucket] / (weights[bucket] + parameters.prior_sessions)
            for bucket in {row[BUCKET] for row in of_session}
        }
        means = defaultdict(list)
        for row in of_session:
            symbol, bias = row["Symbol"], biases[row[BUCKET]]
            means[row[BUCKET]].append(row[ETA] - np.log(row[FORECAST] / row[MA5]))
            result[symbol, str(target), FORECAST] = row[FORECAST] * np.exp(bias)
            moved = []
            for name, level in zip(NAMES, LEVELS, strict=True):
                past = errors[symbol, name][-parameters.window_rows :]
                share = len(past) / (len(past) + parameters.prior_rows)
                own = np.quantile(past, level) * share if len(past) >= 10 else 0.0
                moved.append(row[name] * np.exp(bias + own))
                errors[symbol, name].append(row[ETA] - np.log(row[name] / row[MA5]) - bias)
            for name, value in zip(NAMES, sorted(moved), strict=True):
                result[symbol, str(target), name] = value
        for bucket, of_bucket in means.items():
            totals[bucket] = totals[bucket] * decay + np.clip(of_bucket, -2, 2).mean()
            weights[bucket] = weights[bucket] * decay + 1
    return result  # type: ignore[return-value]


def test_equals_a_loop_over_sessions() -> None:
    """Bias and offsets are what a loop over the sessions finds."""
    expected = loop(ROWS, PARAMETERS)
    for row in adapted(ROWS).to_dicts():
        for name in (FORECAST, *NAMES):
            key = (row["Symbol"], str(row["TargetDate"]), name)
            assert row[name] == pytest.approx(expected[key], rel=1e-9)  # type: ignore[index]


@pytest.mark.parametrize("place", [1, 12, 49])
def test_a_forecast_knows_no_outcome_of_its_session_or_later(place: int) -> None:
    """Without the outcomes from a session on, the forecasts up to it are the same."""
    until = pl.col("TargetDate") <= TARGETS[place]
    columns = ["Symbol", "TargetDate", FORECAST, *NAMES]
    before = adapted(unknown_from(ROWS, place))
    assert_frame_equal(
        before.filter(until).select(columns), adapted(ROWS).filter(until).select(columns)
    )


def test_the_first_session_is_not_adapted() -> None:
    """There are no errors before it."""
    first = pl.col("TargetDate") == TARGETS[0]
    assert_frame_equal(adapted(ROWS).filter(first), ROWS.filter(first))


def test_a_constant_error_is_learnt() -> None:
    """Forecasts that are always too low by the same factor end up right."""
    biased = ROWS.with_columns(
        (pl.col(MA5) * pl.col(ETA).exp() / 2).alias(name) for name in (FORECAST, *NAMES)
    )
    patient = AdaptationParameters(half_life_sessions=50, prior_sessions=1, window_rows=0)
    last = adapted(biased, patient).filter(pl.col("TargetDate") == TARGETS[-1])
    actual = last[MA5] * last[ETA].exp()
    assert (last[FORECAST] / actual).to_list() == pytest.approx([1] * last.height, rel=0.05)


def test_quantiles_ascend() -> None:
    """Offsets of single quantiles do not make them cross."""
    rows = adapted(ROWS, AdaptationParameters(window_rows=10, prior_rows=0))
    for low, high in ((0, 1), (1, 2)):
        assert (rows[NAMES[low]] <= rows[NAMES[high]]).all()


def test_sums_do_not_depend_on_how_symbols_are_divided() -> None:
    """The bias is the same to the last bit, however the rows are divided."""
    whole = measure_bias([sum_errors(ROWS)], PARAMETERS)
    divided = [sum_errors(ROWS.filter(Symbol=symbol)) for symbol in ROWS["Symbol"].unique()]
    assert_frame_equal(measure_bias(divided, PARAMETERS), whole, check_exact=True)


def test_one_symbol_moves_its_bucket_by_no_more_than_the_limit() -> None:
    """An absurd error counts as 2."""
    absurd = ROWS.with_columns(pl.when(Symbol="S00").then(100.0).otherwise(ETA).alias(ETA))
    capped = ROWS.with_columns(
        pl.when(Symbol="S00")
        .then(2 + (pl.col(FORECAST) / pl.col(MA5)).log())
        .otherwise(ETA)
        .alias(ETA)
    )
    assert_frame_equal(
        measure_bias([sum_errors(absurd)], PARAMETERS),
        measure_bias([sum_errors(capped)], PARAMETERS),
    )


def test_without_a_window_quantiles_follow_the_bias_alone() -> None:
    """A window of no errors leaves quantiles as far from the forecast as they were."""
    moved = adapted(ROWS, AdaptationParameters(window_rows=0))
    assert not moved[FORECAST].equals(ROWS[FORECAST])
    for name in NAMES:
        distance = (moved[name] / moved[FORECAST]).to_numpy()
        np.testing.assert_allclose(distance, (ROWS[name] / ROWS[FORECAST]).to_numpy())


def test_a_symbol_without_past_forecasts_is_shifted_by_the_bias_of_its_bucket() -> None:
    """All volumes change by the same factor; a bucket without past forecasts has none."""
    origin = {"Symbol": ["A", "B"], "Date": TARGETS[:2], "TargetDate": TARGETS[1:3]}
    forecasts = pl.DataFrame({**origin, FORECAST: [100.5, 200.5], "q10": [50.25, 100.25]})
    liquidities = pl.DataFrame({LIQUIDITY: [np.log(2e6), np.log(5e8)]})
    bias = pl.DataFrame({BUCKET: [2], "bias": [np.log(1.25)]}, schema_overrides={BUCKET: pl.Int8})
    shifted = shift(forecasts, liquidities, bias)
    assert shifted[FORECAST].to_list() == pytest.approx([100.5 * 1.25, 200.5])
    assert shifted["q10"].to_list() == pytest.approx([50.25 * 1.25, 100.25])
    assert_frame_equal(shifted.select(list(origin)), forecasts.select(list(origin)))


@pytest.mark.parametrize("name", ["half_life_sessions", "prior_sessions", "prior_rows"])
def test_infinite_parameter_is_refused(name: str) -> None:
    """It would switch off what it weighs without a word."""
    with pytest.raises(ValidationError, match="finite number"):
        AdaptationParameters(**{name: float("inf")})
