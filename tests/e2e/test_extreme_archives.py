"""Archives that are valid and extreme: a run ends with its models, or with one clear paragraph.

The runs are in this process, which spares the start of a hundred of others, and leave out the
Bento, for which BentoML would have to be pointed at another store.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
import polars as pl
import polars.selectors as cs
import pytest
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from stock_volume.bars.rules import FIRST_INEXACT_WHOLE_NUMBER, MIN_PRICE, PRICE_BOUND
from stock_volume.errors import NoVolumeError, StockVolumeError, TooFewRowsError
from stock_volume.evaluation.backtest import NoBacktestError
from stock_volume.serving.conversion import forecast_answer, record_answer
from stock_volume.serving.loading import LoadedModels
from stock_volume.stored_model import (
    ESTIMATOR_NAME,
    FORECASTER_NAME,
    SNAPSHOT_NAME,
    StoredModel,
)
from tests.e2e.runs import PROJECT

FIRST: Final = date(2018, 1, 2)
SESSIONS: Final = 260
TINY: Final[dict[str, Any]] = {
    "estimator": {"n_estimators": 10},
    "forecaster": {
        "num_threads": 1,
        "n_estimators": 10,
        "num_leaves": 7,
        "early_stopping_rounds": 3,
        "quantile_trees": 5,
        "boosters": 1,
        "horizons": [2],
        "totals": [5],
    },
    "backtest": {"resamples": 20},
}

# Kedro asks pydantic's models in a way that pydantic has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

Files = dict[str, str]
Shares = Callable[[int], int]


def weekdays(first: date) -> Iterator[date]:
    days = (first + timedelta(days=number) for number in range(60_000))
    return (day for day in days if day.isoweekday() <= 5)


def bars(
    sessions: int = SESSIONS,
    first: date = FIRST,
    seed: int = 0,
    volume: Shares | None = None,
    move: float = 0.01,
) -> str:
    """Make the text of a file: one bar a weekday, of a price that moves at random."""
    random = np.random.default_rng(seed)
    close = 20 * np.exp(np.cumsum(random.normal(0, move, sessions)))
    traded = np.round(1e5 * np.exp(random.normal(0, 0.4, sessions))).astype(int)
    lines = ["Date,Open,High,Low,Close,Adj Close,Volume"]
    for number, day in enumerate(islice(weekdays(first), sessions)):
        price = f"{close[number]:.4f}"
        shares = traded[number] if volume is None else volume(number)
        lines.append(
            f"{day},{price},{1.01 * close[number]:.4f},{0.99 * close[number]:.4f},{price},{price},"
            f"{shares}"
        )
    return "\n".join(lines) + "\n"


def some(count: int = 3, folder: str = "stocks", **changed: Any) -> Files:
    return {f"{folder}/S{number}.csv": bars(seed=number, **changed) for number in range(count)}


def last_day(sessions: int) -> date:
    return list(islice(weekdays(FIRST), sessions))[-1]


def corners(seed: int, length: int) -> str:
    """Make bars at the corners of what the rules let pass, each corner for some sessions."""
    random = np.random.default_rng(seed)
    prices = (MIN_PRICE, float(np.nextafter(PRICE_BOUND, 0)))
    lines = ["Date,Open,High,Low,Close,Adj Close,Volume"]
    for number, day in enumerate(islice(weekdays(FIRST), SESSIONS)):
        if number % length == 0:
            low, high = sorted(random.choice(prices, 2).tolist())
            close = float(random.choice([low, high]))
            open_ = float(random.choice([0.0, low, high]))
            adjusted = float(random.choice([MIN_PRICE, min(10 * close, prices[1])]))
            shares = int(random.choice([0, 1, FIRST_INEXACT_WHOLE_NUMBER - 1]))
        lines.append(f"{day},{open_!r},{high!r},{low!r},{close!r},{adjusted!r},{shares}")
    return "\n".join(lines) + "\n"


def joined(early: str, late: str) -> str:
    return early + late.partition("\n")[2]


NAMES: Final = ("A B", "ÄÖ", "CON", "a'b\"c", "\N{ROCKET}", "NULL", "<b>x")
SUCCEEDING: Final[Mapping[str, tuple[Files, dict[str, Any]]]] = {
    "constant-prices": (some(move=0), {}),
    "constant-volumes": (some(volume=lambda _: 50_000), {}),
    "nothing-varies": (some(move=0, volume=lambda _: 50_000), {}),
    "one-symbol-of-200-bars": (some(1, sessions=200), {}),
    "from-1900-on": ({"stocks/OLD.csv": bars(31_000, date(1900, 1, 2))}, {}),
    "two-symbols-that-never-meet": (
        {"stocks/A.csv": bars(first=date(2010, 1, 4)), "stocks/B.csv": bars(seed=1)},
        {},
    ),
    "a-gap-of-thirty-years": (
        {"stocks/A.csv": joined(bars(first=date(1985, 1, 2)), bars(seed=1))},
        {},
    ),
    "odd-names": ({f"stocks/{name}.csv": bars(seed=ord(name[0])) for name in NAMES}, {}),
    "only-etfs": (some(folder="etfs"), {}),
    "thousands-of-bars-without-volume": (
        some() | {"stocks/IDLE.csv": bars(3000, date(2007, 1, 3), volume=lambda _: 0)},
        {},
    ),
    "no-volume-at-the-end": (some(volume=lambda bar: 0 if bar >= 240 else 1000 + bar), {}),
    "listed-yesterday": (some() | {"stocks/NEW.csv": bars(1, last_day(SESSIONS))}, {}),
    "a-window-of-one-row": (some(1), {"backtest": {"test_start": str(last_day(SESSIONS))}}),
    "corners-of-the-bounds": (
        {f"stocks/K{length}.csv": corners(length, length) for length in (1, 2, 5, 30)}
        | {"etfs/E.csv": corners(7, 3)},
        {},
    ),
    "corners-beside-others": (some() | {"stocks/K.csv": corners(0, 4)}, {}),
    "one-absurd-row": (
        some()
        | {"stocks/X.csv": joined(bars(), "\n2020-06-01" + ",1e300" * 5 + ",9007199254740991\n")},
        {},
    ),
}
REFUSED: Final[Mapping[str, tuple[Files, dict[str, Any], type[StockVolumeError], str]]] = {
    "one-row": (some(1, sessions=1), {}, TooFewRowsError, "has 1 of the 10 bars"),
    "60-rows-of-a-symbol": (
        some(1, sessions=60),
        {},
        TooFewRowsError,
        "too few bars to train the model of the backtest's window 1 of 1",
    ),
    "one-day": (
        {f"stocks/S{number}.csv": bars(1, seed=number) for number in range(40)},
        {},
        TooFewRowsError,
        "all bars are of one day",
    ),
    "two-days": (
        {f"stocks/S{number}.csv": bars(2, seed=number) for number in range(40)},
        {},
        NoBacktestError,
        "too few sessions for a backtest",
    ),
    "no-volume": (
        {"stocks/Z.csv": bars(1000, volume=lambda _: 0)},
        {},
        NoVolumeError,
        "all volumes are 0: not one of the 1,000 bars",
    ),
    "three-trades": (
        {"stocks/Z.csv": bars(1000, volume=lambda bar: 100 if bar in {50, 400, 800} else 0)},
        {},
        NoBacktestError,
        "too few sessions for a backtest",
    ),
    "a-test-after-the-data": (
        some(),
        {"backtest": {"test_start": "2030-01-02"}},
        NoBacktestError,
        "choose another backtest.test_start",
    ),
}


@pytest.fixture(scope="module")
def project() -> None:
    bootstrap_project(PROJECT)


@contextmanager
def quiet() -> Iterator[None]:
    """Put the loggers back as they were: a session of Kedro sets them up for the process."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:], root.level = handlers, level


def run(folder: Path, files: Files, params: Mapping[str, Any]) -> None:
    """Run the default pipeline without its last node, into a folder and a store below it."""
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml._internal.models import ModelStore

    for name, text in files.items():
        path = folder / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "models").mkdir()
    given = {"source": str(folder / "source"), "data_root": str(folder / "data"), **TINY}
    for name, values in params.items():
        given[name] = {**given.get(name, {}), **values}
    nodes = [node.name for node in pipelines["__default__"].nodes if node.outputs != [BENTO]]
    with (
        BentoMLContainer.model_store.patch(ModelStore(folder / "models")),
        quiet(),
        KedroSession.create(project_path=PROJECT, runtime_params=given) as session,
    ):
        of_kedro: Any = session
        of_kedro.run(node_names=nodes)


BENTO: Final = "service_bento"


def models_in(folder: Path) -> LoadedModels:
    """Load what the service would."""
    from bentoml._internal.models import ModelStore

    store = ModelStore(folder / "models")
    names = (ESTIMATOR_NAME, FORECASTER_NAME, SNAPSHOT_NAME)
    return LoadedModels.of(*(StoredModel.from_store(store.get(name)) for name in names))


def refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is no JSON")


def assert_json(folder: Path) -> None:
    """Read every JSON file as strict readers do."""
    paths = list(folder.rglob("*.json"))
    assert paths
    for path in paths:
        json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def assert_finite(folder: Path) -> None:
    """Every number of every layer is finite, or null."""
    for path in folder.rglob("*.parquet"):
        numbers = pl.read_parquet(path).select(cs.float())
        wrong = [series.name for series in numbers if not series.is_finite().all()]
        assert not wrong, path


Runs = Callable[[str], Path]


@pytest.fixture(scope="module")
def succeeded(project: None, tmp_path_factory: pytest.TempPathFactory) -> Runs:  # noqa: ARG001
    """Run on an archive by its name, once, and give the folder."""

    @cache
    def folder_of(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        run(folder, *SUCCEEDING[name])
        return folder

    return folder_of


@pytest.mark.parametrize("name", SUCCEEDING)
def test_an_extreme_archive_ends_with_models(succeeded: Runs, name: str) -> None:
    """All numbers are finite or null, all JSON is valid, and the models answer."""
    folder = succeeded(name)
    data = folder / "data"
    assert_json(data)
    assert_finite(data)
    models = models_in(folder)
    assert models.lookup.size == len(SUCCEEDING[name][0])
    json.dumps(models.about.model_dump(mode="json"), allow_nan=False)
    for symbol in pl.read_parquet(data / "07_model_output" / "forecasts.parquet")["Symbol"]:
        (row,) = models.lookup.forecast([symbol])
        assert forecast_answer(row, "tag").forecast >= 0
    for symbol in pl.read_parquet(data / "07_model_output" / "backtest.parquet")["Symbol"].unique():
        record = record_answer(*models.lookup.record(symbol))
        json.dumps(record.model_dump(mode="json"), allow_nan=False)
    for document in ("model_card.md", "report.md"):
        text = (data / "08_reporting" / document).read_text(encoding="utf-8")
        assert not re.search(r"\b(nan|inf|None|null)\b", text)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("name", REFUSED)
def test_an_archive_that_is_too_small_ends_with_one_paragraph(tmp_path: Path, name: str) -> None:
    """The error says what is lacking, in one paragraph, before a forecaster is trained."""
    files, params, error, words = REFUSED[name]
    with pytest.raises(error, match=words) as raised:
        run(tmp_path, files, params)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "data" / "06_models" / "forecaster.joblib").exists()
    assert not (tmp_path / "data" / "07_model_output" / "backtest.parquet").exists()
    assert not list((tmp_path / "models").iterdir())


def test_what_does_not_vary_is_null_and_a_word(succeeded: Runs) -> None:
    """Constant volumes at constant prices are forecast, and measures of them are undefined."""
    folder = succeeded("nothing-varies")
    reporting = folder / "data" / "08_reporting"
    metrics = json.loads((reporting / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["forecaster"]["eta_r2"] is None
    assert metrics["estimator"]["time_split"]["r2"] is None
    report = (reporting / "report.md").read_text(encoding="utf-8")
    assert "eta-R² is undefined" in report
    assert "Where R² is undefined, the volumes held out do not vary." in report
    models = models_in(folder)
    assert models.about.forecaster.metrics.eta_r2 is None
    (row,) = models.lookup.forecast(["S0"])
    assert forecast_answer(row, "tag").forecast == 50_000
    assert models.table.estimate(50_000, 20) == 50_000


def test_an_absurd_row_is_set_aside_by_its_name(succeeded: Runs) -> None:
    """A price beyond all bounds costs its own row, which the quarantine names."""
    intermediate = succeeded("one-absurd-row") / "data" / "02_intermediate"
    quarantine = pl.read_parquet(intermediate / "quarantine.parquet")
    assert quarantine.select("file", "line", "rule").rows() == [
        ("stocks/X.csv", SESSIONS + 2, "price_out_of_bounds")
    ]


def test_without_a_live_symbol_nothing_is_logged(succeeded: Runs) -> None:
    """Where no symbol has traded of late there is no forecast, and no partition of none."""
    output = succeeded("no-volume-at-the-end") / "data" / "07_model_output"
    assert pl.read_parquet(output / "forecasts.parquet").is_empty()
    assert not (output / "forecast_log").exists()
