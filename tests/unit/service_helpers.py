"""A small market of made-up bars, and the models of a run on it, for tests of the service."""

import datetime as dt
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pytest

from stock_volume import columns
from stock_volume.arrays import Floats
from stock_volume.boosters import Booster
from stock_volume.datasets import BentoDataset
from stock_volume.estimator.train import EstimatorMetrics, SplitMetrics
from stock_volume.evaluation.backtest import plan_backtest, target_sessions
from stock_volume.evaluation.measures import evaluate_backtest
from stock_volume.exchange import NYSE
from stock_volume.features.calendar import trading_calendar
from stock_volume.features.market import market_sessions, market_sums
from stock_volume.features.quantities import add_quantities
from stock_volume.features.registry import (
    ETA,
    FeatureParameters,
    add_features,
    forecast_features,
)
from stock_volume.forecaster.opening import OpeningParameters, fit_opening, join_openings
from stock_volume.forecaster.parameters import BacktestParameters
from stock_volume.forecaster.train import train_forecaster
from stock_volume.json_value import Json
from stock_volume.snapshot.snapshot import take_snapshot
from stock_volume.stored_model import (
    ESTIMATOR_FILE,
    ESTIMATOR_NAME,
    EXCHANGE_FILE,
    FORECASTER_DIGEST_FILE,
    FORECASTER_NAME,
    LARGEST_INPUTS,
    SMALLEST_INPUTS,
    SNAPSHOT_NAME,
    BentoContents,
    StoredModel,
    digest_texts,
    drop_undefined,
)
from tests.unit.forecast_helpers import (
    backtest_of,
    scored,
    small_parameters,
    without_history,
)
from tests.unit.schedule_helpers import events_of

PROJECT: Final = Path(__file__).parents[2]
BENTO_NAME: Final = "stock_volume"
FIRST_DAY: Final = dt.date(2017, 1, 3)
LAST_DAY: Final = dt.date(2018, 6, 29)
NAMES: Final = {
    "AAA": "Alpha Corp. - Common Stock",
    "BBB": "Beta Fund ETF",
    "CCC": "Gamma (Holdings) Inc. - Common Stock",
    "DDD": None,
    "GONE": "Delta Corp. - Common Stock",
}
"""The last one has not traded since long before the end."""

LAST_TRADE: Final = dt.date(2018, 1, 5)
_MIN_SESSIONS: Final = 60


def model_text(volume_of: Callable[[Floats, Floats], Floats], rounds: int = 10) -> str:
    """Train a tiny booster on a function of the two inputs and give its text."""
    import lightgbm

    random = np.random.default_rng(0)
    inputs = random.uniform(0, 1e6, (500, 2))
    data = lightgbm.Dataset(
        inputs,
        volume_of(inputs[:, 0], inputs[:, 1]),
        feature_name=list(columns.ESTIMATOR_INPUTS),
    )
    parameters = {"num_threads": 1, "verbose": -1, "deterministic": True, "force_row_wise": True}
    return lightgbm.train(parameters, data, num_boost_round=rounds).model_to_string()


EVENT_ROWS: Final = """\
Symbol,Date,Time,Known,Confirmed
AAA,2018-06-29,post,2018-06-20,yes
AAA,2018-03-29,post,2018-03-20,yes
BBB,2018-07-05,,,
CCC,2018-07-03,pre,2018-06-30,yes
"""
"""Events; at the last bar, the ones of AAA and BBB were known and ahead."""


@cache
def made_up_bars() -> pl.DataFrame:
    """Make the prices: a bar a symbol and session, the volumes of random walks."""
    days = [
        day for day in trading_calendar(FIRST_DAY, LAST_DAY, NYSE)[columns.DATE] if day <= LAST_DAY
    ]
    return pl.concat(_bars_of(symbol, days, number) for number, symbol in enumerate(NAMES))


def _bars_of(symbol: str, days: list[dt.date], seed: int) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    count = len(days)
    close = 50 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    walk = np.cumsum(random.normal(0, 0.1, count))
    volume = np.round(2e5 * (seed + 1) * np.exp(walk - walk.mean() + random.normal(0, 0.3, count)))
    frame = pl.DataFrame(
        {
            columns.SYMBOL: [symbol] * count,
            columns.SECURITY_NAME: [NAMES[symbol]] * count,
            columns.ETF: [symbol == "BBB"] * count,
            columns.DATE: days,
            columns.OPEN: close * 0.999,
            columns.HIGH: close * 1.01,
            columns.LOW: close * 0.99,
            columns.CLOSE: close,
            columns.ADJ_CLOSE: close * 0.98,
            columns.VOLUME: volume.astype(np.int64),
        },
        schema_overrides={columns.SECURITY_NAME: pl.String},
    )
    if symbol != "GONE":
        return frame
    stopped = pl.col(columns.DATE) > LAST_TRADE
    return frame.with_columns(
        pl.when(stopped).then(0).otherwise(columns.VOLUME).alias(columns.VOLUME)
    )


@cache
def stored_models() -> dict[str, StoredModel]:
    """Make the models of a run on the made-up bars, as they go into the store, by name."""
    bars = made_up_bars()
    sessions = market_sessions([market_sums(add_quantities(bars))], NYSE)
    rows = forecast_features(bars, sessions)
    parameters = small_parameters(min_sessions=_MIN_SESSIONS)
    forecaster = train_forecaster(
        rows.filter(pl.col(ETA).is_not_null(), pl.col("sessions") >= _MIN_SESSIONS), parameters
    )
    asked = BacktestParameters(min_sessions=_MIN_SESSIONS)
    plan = plan_backtest(target_sessions(rows.lazy()), parameters, asked)
    backtest = backtest_of(rows, plan, parameters)
    metrics = evaluate_backtest(scored(backtest), plan, parameters.quantiles, asked)
    openings = join_openings(backtest.lazy(), rows.lazy())
    opening = fit_opening(openings, OpeningParameters(n_estimators=5), parameters)
    features = add_features(bars, FeatureParameters())
    events = events_of(EVENT_ROWS)
    snapshot = take_snapshot(
        features.lazy(),
        sessions.lazy(),
        without_history(forecaster, rows),
        backtest.lazy(),
        events.lazy(),
        NYSE,
        forecaster,
    )
    estimator = model_text(lambda average, price: 2 * average + price)
    split = SplitMetrics(mae=1.5, mse=4.0, r2=0.5, n_train=80, n_test=20)
    about: dict[str, Json] = {
        "metrics": EstimatorMetrics(random_split=split, time_split=split).model_dump(),
        "first_session": "2017-01-03",
        "last_session": "2018-06-29",
        SMALLEST_INPUTS: dict(zip(columns.ESTIMATOR_INPUTS, (2000.0, 3000.0), strict=True)),
        LARGEST_INPUTS: Booster.from_text(estimator).largest_inputs(),
    }
    return {
        ESTIMATOR_NAME: StoredModel({ESTIMATOR_FILE: estimator}, metadata=about),
        FORECASTER_NAME: StoredModel(
            forecaster.to_files() | opening.to_files(),
            metadata={"metrics": metrics.model_dump(mode="json")},
        ),
        SNAPSHOT_NAME: StoredModel(
            {
                EXCHANGE_FILE: NYSE.model_dump_json(),
                FORECASTER_DIGEST_FILE: digest_texts(forecaster.to_files()),
            },
            frames=snapshot._asdict(),
        ),
    }


def save_model(name: str) -> str:
    """Put a model into the store of this process as a new version, and give its tag."""
    import bentoml

    stored = stored_models()[name]
    with bentoml.models.create(name, metadata=drop_undefined(stored.metadata)) as model:
        stored.write_into(Path(model.path))
    return str(model.tag)


def save_bento(folder: Path, tags: dict[str, str]) -> str:
    """Build a Bento that pins some models, as a run does, and give its tag."""
    dataset = BentoDataset(
        BENTO_NAME, str(folder / "service_bento.json"), str(PROJECT / "bentofile.yaml")
    )
    dataset.save(BentoContents(tuple(tags.values()), labels={}))
    return dataset.tag


BENTOML_WARNINGS: Final = [
    # BentoML's imports use what its own dependencies have deprecated.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    # Starlette would rather have httpx2.
    pytest.mark.filterwarnings("ignore:Using .httpx. with .starlette.testclient."),
]
PROBLEM_JSON: Final = "application/problem+json"


def assert_problem(answer: Any, status: int, *fields: str) -> dict[str, Any]:
    """Check that an answer is a problem detail, and that it names the fields."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM_JSON
    problem: dict[str, Any] = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "errors", "near"}
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert "Traceback" not in answer.text
    assert [error["field"] for error in problem["errors"]] == list(fields)
    for error in problem["errors"]:
        assert f"{error['field']}: {error['message']}" in problem["detail"]
    return problem
