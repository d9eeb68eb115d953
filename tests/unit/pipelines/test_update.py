"""The nodes of an update: what becomes of the forecast of a symbol that is not answered."""

import logging
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_volume import columns
from stock_volume.bars.archive import open_archive
from stock_volume.bars.ingest import IngestedChunk, IngestionParameters
from stock_volume.bars.update import (
    IngestedLayers,
    UpdatedChunk,
    UpdateParameters,
    update_layers,
)
from stock_volume.events.ingest import NOTHING_HELD, IngestedEvents, ingest_event_files
from stock_volume.events.rules import EventParameters
from stock_volume.events.source import EventFile, EventFiles
from stock_volume.exchange import NYSE, ExchangeMismatchError, find_exchange
from stock_volume.features.registry import ETA
from stock_volume.features.schedule import NO_EVENTS, UNTIL
from stock_volume.forecaster.live import forecast_next_session
from stock_volume.forecaster.model import Forecaster, TrainingSummary
from stock_volume.forecaster.parameters import BacktestParameters
from stock_volume.forecaster.train import train_forecaster
from stock_volume.pipelines.feature_engineering.nodes import engineer_forecast_features
from stock_volume.pipelines.update.nodes import (
    fetch_recent_bars,
    settle_files,
    update_events,
    update_forecast_features,
    update_forecasts,
    when_pending,
)
from stock_volume.sources.event_files import EventFileSource
from tests.unit.forecast_helpers import (
    ADAPTATION,
    forecast_frame,
    small_parameters,
    without_history,
)
from tests.unit.forecast_oracles import LAST, random_bars, sessions_of
from tests.unit.helpers import (
    AS_OF,
    bars,
    csv_of,
    files_frame,
    ingested,
    trading_days,
    write_folder,
)
from tests.unit.schedule_helpers import random_events, sessions_with

FRAME = forecast_frame(symbols=4, sessions=60)
DAYS = FRAME[columns.DATE].unique().sort().to_list()
PARAMETERS = small_parameters(live_sessions=5)
HELD_TO = 30
"""Sessions that every symbol has; later ones come with updates."""

UPDATE = UpdateParameters(live_days=30)
FORECASTER = Forecaster(
    (),
    (),
    (),
    (),
    (),
    TrainingSummary(
        first_session=DAYS[0],
        last_session=DAYS[9],
        validated_from=DAYS[8],
        rows=1,
        symbols=1,
        trees=1,
        parameters=PARAMETERS,
    ),
)
"""One that forecasts nothing, for NYSE."""


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    return train_forecaster(FRAME.filter(pl.col(ETA).is_not_null()), PARAMETERS)


def held_to(sessions: int, symbols: Sequence[str] = ("S00", "S01", "S02", "S03")) -> pl.Expr:
    """Select the rows of symbols up to a session, and of the others up to that held by all."""
    end = pl.when(pl.col(columns.SYMBOL).is_in(symbols)).then(sessions).otherwise(HELD_TO)
    return pl.col(columns.DATE).rank("dense").over(columns.SYMBOL) <= end


def forecast_now(forecaster: Forecaster, frame: pl.DataFrame) -> pl.DataFrame:
    """Forecast as a run on these rows does."""
    return forecast_next_session(forecaster, without_history(forecaster, frame), PARAMETERS)


def forecasts_after(
    forecaster: Forecaster, frame: pl.DataFrame, held: pl.DataFrame, absent: Sequence[str]
) -> pl.DataFrame:
    """Forecast after an update in which some symbols were absent."""
    recent = [
        {"file": symbol, "Symbol": symbol, "status": "absent", "note": "No data"}
        if symbol in absent
        else {"file": f"{symbol}.csv", "Symbol": symbol, "rows_read": 1, "rows_kept": 1}
        for symbol in frame[columns.SYMBOL].unique().sort()
    ]
    files = files_frame(*({**file, "pending": True} for file in recent))
    (forecasts,) = update_forecasts(
        forecaster,
        without_history(forecaster, frame).backtest,
        frame.lazy(),
        frame.lazy(),
        files.lazy(),
        NOTHING_HELD.files.lazy(),
        files.lazy(),
        held.lazy(),
        PARAMETERS,
        ADAPTATION,
        UPDATE,
    )
    return forecasts


def test_an_unanswered_symbol_keeps_its_forecast_until_it_is_no_longer_live(
    forecaster: Forecaster, caplog: pytest.LogCaptureFixture
) -> None:
    """Its row stays as it was, update after update, and is named; so is its end after live_days."""
    before = forecast_now(forecaster, FRAME.filter(held_to(HELD_TO)))
    of_absent = before.filter(pl.col(columns.SYMBOL) != "S00")
    absent = ["S01", "S02", "S03"]
    held = before
    last_live = next(
        number
        for number, day in enumerate(DAYS, 1)
        if day > DAYS[HELD_TO - 1] + timedelta(days=UPDATE.live_days)
    )
    for sessions in (HELD_TO + 7, HELD_TO + 14, last_live - 1):
        caplog.clear()
        frame = FRAME.filter(held_to(sessions, ["S00"]))
        held = forecasts_after(forecaster, frame, held, absent)
        assert_frame_equal(held.filter(pl.col(columns.SYMBOL) != "S00"), of_absent)
        assert held[columns.DATE][0] == DAYS[sessions - 1]
        assert "3 symbols were not answered: their forecasts rest on earlier" in caplog.text
        assert f"S01 ({DAYS[HELD_TO - 1]})" in caplog.text
        assert "no longer live" not in caplog.text
    frame = FRAME.filter(held_to(last_live, ["S00"]))
    after = forecasts_after(forecaster, frame, held, absent)
    assert after[columns.SYMBOL].to_list() == ["S00"]
    assert "3 symbols are no longer live" in caplog.text
    assert f"S02 ({DAYS[HELD_TO - 1]})" in caplog.text


def test_an_answered_symbol_is_forecast_as_by_a_run(
    forecaster: Forecaster, caplog: pytest.LogCaptureFixture
) -> None:
    """If all are answered, forecasts equal a full run; an old bar has none, and is named."""
    before = forecast_now(forecaster, FRAME.filter(held_to(HELD_TO)))
    frame = FRAME.filter(held_to(HELD_TO + 7, ["S00", "S02", "S03"]))
    after = forecasts_after(forecaster, frame, before, [])
    assert_frame_equal(after, forecast_now(forecaster, frame))
    assert after[columns.SYMBOL].to_list() == ["S00", "S02", "S03"]
    assert "1 symbols are no longer live" in caplog.text
    assert "were not answered" not in caplog.text


def test_a_symbol_that_comes_back_is_forecast_from_its_new_bar(forecaster: Forecaster) -> None:
    """After a gap without answers, forecasts equal a run on all bars."""
    before = forecast_now(forecaster, FRAME.filter(held_to(HELD_TO)))
    gap = forecasts_after(
        forecaster, FRAME.filter(held_to(HELD_TO + 9, ["S00"])), before, ["S01", "S02", "S03"]
    )
    whole = FRAME.filter(held_to(HELD_TO + 10))
    after = forecasts_after(forecaster, whole, gap, [])
    assert_frame_equal(after, forecast_now(forecaster, whole))


@pytest.mark.parametrize("chunk_rows", [1, 10**9])
def test_features_of_untouched_symbols_are_kept(chunk_rows: int) -> None:
    """After news of one symbol, features are those that a run makes of all, in any chunks."""
    whole = random_bars(3).filter(pl.col(columns.DATE) >= date(2019, 1, 2))
    last = LAST - timedelta(days=20)
    bars = whole.filter((pl.col(columns.SYMBOL) == "LATE") | (pl.col(columns.DATE) <= last))
    before = bars.filter(pl.col(columns.DATE) <= last)
    backtest = BacktestParameters()

    def engineer(prices: pl.DataFrame) -> pl.DataFrame:
        layers = prices.lazy(), sessions_of(prices).lazy(), NO_EVENTS.events.lazy()
        settings = PARAMETERS, backtest, NYSE
        return pl.concat(engineer_forecast_features(*layers, *settings, chunk_rows))

    held = engineer(before)
    files = files_frame({"file": "LATE.csv", "Symbol": "LATE", "pending": True}).lazy()
    renewed = pl.concat(
        update_forecast_features(
            held.lazy(),
            bars.lazy(),
            sessions_of(bars).lazy(),
            NO_EVENTS.events.lazy(),
            files,
            NOTHING_HELD.files.lazy(),
            PARAMETERS,
            backtest,
            NYSE,
            chunk_rows,
        )
    )
    assert_frame_equal(renewed, engineer(bars), check_exact=True)


def test_features_with_events_match_a_run_on_all_bars() -> None:
    """After news of one symbol, the features of all symbols with events are renewed."""
    whole = random_bars(3).filter(pl.col(columns.DATE) >= date(2018, 1, 2))
    last = LAST - timedelta(days=20)
    bars = whole.filter((pl.col(columns.SYMBOL) == "LATE") | (pl.col(columns.DATE) <= last))
    before = bars.filter(pl.col(columns.DATE) <= last)
    old, new = random_events(whole, 3), random_events(whole, 4)
    backtest = BacktestParameters()

    def engineer(prices: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
        layers = prices.lazy(), sessions_with(prices, events).lazy(), events.lazy()
        return pl.concat(engineer_forecast_features(*layers, PARAMETERS, backtest, NYSE, 10**9))

    files = files_frame({"file": "LATE.csv", "Symbol": "LATE", "pending": True}).lazy()
    sessions = sessions_with(bars, new).lazy()
    settings = NOTHING_HELD.files.lazy(), PARAMETERS, backtest, NYSE, 10**9
    for held in (engineer(before, old), engineer(before, new).drop("schedule_response")):
        renewed = update_forecast_features(
            held.lazy(), bars.lazy(), sessions, new.lazy(), files, *settings
        )
        assert_frame_equal(pl.concat(renewed), engineer(bars, new), check_exact=True)


RULES = EventParameters(as_of=date(2020, 12, 31))


def ingest_rows(*rows: str, held: IngestedEvents | None = None) -> IngestedEvents:
    """Ingest rows of events, or merge them into those held."""
    content = "\n".join(("Symbol,Date,Time", *rows)).encode()
    return ingest_event_files(EventFiles([EventFile("events.csv", content)]), RULES, held)


def lazy(layers: IngestedEvents) -> tuple[pl.LazyFrame, pl.LazyFrame, pl.LazyFrame]:
    return layers.events.lazy(), layers.quarantine.lazy(), layers.files.lazy()


def test_an_update_merges_events_into_those_held(tmp_path: Path) -> None:
    """Without a source, or with one that has no news, the layers stay; else they grow."""
    prices = ingested(write_folder(tmp_path / "bars", {"stocks/A.csv": csv_of(*bars(20))})).prices
    held = lazy(ingest_rows("A,2020-01-03,"))
    (kept,) = update_events(EventFileSource(None, tmp_path), prices.lazy(), *held, RULES)
    assert kept == held
    path = tmp_path / "coming.csv"
    path.write_text("Symbol,Date\nA,2020-04-03\n", encoding="utf-8")
    source = EventFileSource(str(path), tmp_path)
    (merged,) = update_events(source, prices.lazy(), *held, RULES)
    assert isinstance(merged, IngestedEvents)
    assert merged.events["Date"].to_list() == [date(2020, 1, 3), date(2020, 4, 3)]
    assert merged.files["pending"].to_list() == [False, True]
    again = lazy(merged)
    (kept,) = update_events(source, prices.lazy(), *again, RULES)
    assert kept == again


def test_news_of_events_alone_renew_features_and_forecasts(forecaster: Forecaster) -> None:
    """Without any new bar, what depends on events is that of a run with them."""
    prices = random_bars(3).filter(pl.col(columns.DATE) >= date(2018, 1, 2))
    held = ingest_rows(*(f"LATE,{day},pre" for day in ("2018-05-01", "2019-02-05")))
    coming = LAST + timedelta(days=2)
    merged = ingest_rows("LATE,2019-05-07,post", f"WHOLE,{coming},pre", held=held)
    none = files_frame({"file": "LATE.csv", "Symbol": "LATE", "pending": False}).lazy()
    settings = PARAMETERS, BacktestParameters(), NYSE, 10**9

    def engineer(events: pl.DataFrame) -> pl.DataFrame:
        sessions = sessions_with(prices, events).lazy()
        made = engineer_forecast_features(prices.lazy(), sessions, events.lazy(), *settings)
        return pl.concat(made)

    def update(events: IngestedEvents) -> list[pl.DataFrame]:
        sessions = sessions_with(prices, events.events).lazy()
        layers = engineer(held.events).lazy(), prices.lazy(), sessions, events.events.lazy()
        return list(update_forecast_features(*layers, none, events.files.lazy(), *settings))

    renewed = pl.concat(update(merged))
    assert_frame_equal(renewed, engineer(merged.events), check_exact=True)
    latest = renewed.filter(pl.col(columns.DATE) == LAST, pl.col(columns.SYMBOL) == "WHOLE")
    assert latest[UNTIL].null_count() == 0
    assert update(held) == []
    backtest = without_history(forecaster, FRAME).backtest
    inputs = forecaster, backtest, FRAME.lazy(), FRAME.lazy(), none
    for ledger, count in ((merged.files, 1), (held.files, 0)):
        made = update_forecasts(
            *inputs, ledger.lazy(), none, FRAME.head(0).lazy(), PARAMETERS, ADAPTATION, UPDATE
        )
        assert len(list(made)) == count


def test_nodes_wait_for_news_of_bars_or_events() -> None:
    """A node runs while a file of either ledger is pending, and settling ends that."""
    node = when_pending(lambda value: value)
    none, held = files_frame({"file": "A.csv", "Symbol": "A"}).lazy(), ingest_rows("A,2020-01-03,")
    merged = ingest_rows("A,2020-04-03,", held=held).files.lazy()
    assert list(node(none, held.files.lazy(), 7)) == []
    assert list(node(none, merged, 7)) == [7]
    ((files, events),) = settle_files(none, merged, object(), "")
    assert isinstance(files, pl.DataFrame)
    assert isinstance(events, pl.DataFrame)
    assert not events["pending"].any()
    assert events.drop("pending").equals(merged.collect().drop("pending"))
    assert files.equals(none.collect())
    settled = held.files.lazy()
    assert list(settle_files(none, settled, object(), "")) == [(none, settled)]


def test_what_an_archive_lacks_is_absent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An update names each live symbol that it gets no bars of, again and again."""
    caplog.set_level(logging.WARNING)
    sound = csv_of(*bars(20))
    names = ("A", "B", "C")
    first = write_folder(tmp_path / "old", {f"stocks/{name}.csv": sound for name in names})
    chunk = ingested(first)
    held = chunk.files.lazy()
    recent = write_folder(
        tmp_path / "new", {"stocks/A.csv": csv_of(*bars(21)), "stocks/B.csv": "<html>wait</html>"}
    )
    for _ in range(2):
        fetched = list(
            fetch_recent_bars(
                open_archive(recent),
                chunk.prices.lazy(),
                held,
                FORECASTER,
                IngestionParameters(as_of=date(2020, 12, 31)),
                UPDATE,
            )
        )
        files = pl.concat([part.files for part in fetched])
        assert set(files.filter(status="absent")["Symbol"]) | set(
            files.filter(status="unreadable")["Symbol"]
        ) == {"B", "C"}
        assert "C: the source has no file of it" in caplog.text
        held = pl.concat([held.collect(), files.filter(pl.col("status") != "absent")]).lazy()
    assert files.select("Symbol", "status").rows() == [("B", "unreadable"), ("C", "absent")]
    assert files["note"][0].startswith("names no column of a bar")


ODD_FILES = {
    "stocks/A.csv": csv_of(*bars(20)),
    "stocks/A (1).csv": csv_of(*bars(20)),
    "etfs/A.csv": csv_of(*(row.replace(",10,12,8,11,11,", ",50,60,40,55,55,") for row in bars(9))),
    "stocks/B.csv": csv_of(*(f"{row}.5" for row in bars(3))),
    "stocks/C.csv": "no header\n",
    "stocks/D.csv": csv_of(*(f"{day:%m/%d/%Y},10,12,8,11,11,100" for day in trading_days(20))),
    "stocks/E.csv": csv_of(),
}
STATUSES = {
    "stocks/A.csv": "read",
    "stocks/A (1).csv": "copy",
    "etfs/A.csv": "conflicting",
    "stocks/B.csv": "rejected",
    "stocks/C.csv": "unreadable",
    "stocks/D.csv": "unreadable",
    "stocks/E.csv": "empty",
}


def updated_layers(
    held: IngestedChunk, folder: Path, ingestion: IngestionParameters
) -> list[UpdatedChunk]:
    """Update held layers from a folder."""
    layers = IngestedLayers(*(frame.lazy() for frame in held))
    fetched = list(
        fetch_recent_bars(
            open_archive(folder), layers.prices, layers.files, FORECASTER, ingestion, UPDATE
        )
    )
    recent = IngestedLayers(*(pl.concat(frames).lazy() for frames in zip(*fetched, strict=True)))
    return list(update_layers(layers, recent, UPDATE, 1_000))


def test_bars_of_another_exchange_are_not_fetched(tmp_path: Path) -> None:
    """An update for another exchange than the forecaster's ends before it asks the source."""
    folder = write_folder(tmp_path, dict(ODD_FILES))
    london = IngestionParameters(as_of=AS_OF, exchange=find_exchange("XLON"))
    with pytest.raises(ExchangeMismatchError, match="trained for XNYS, not for XLON"):
        updated_layers(ingested(folder), folder, london)


def test_an_update_from_the_same_odd_files_changes_nothing(tmp_path: Path) -> None:
    """Copies, conflicts and unreadable files are no news the second time."""
    folder = write_folder(tmp_path, dict(ODD_FILES))
    held = ingested(folder)
    assert dict(held.files.select("file", "status").rows()) == STATUSES
    assert updated_layers(held, folder, IngestionParameters(as_of=AS_OF)) == []


def test_an_update_reads_again_what_another_parameter_makes_readable(tmp_path: Path) -> None:
    """A file refused for its dates is read once their format is named, although it is the same."""
    folder = write_folder(tmp_path, dict(ODD_FILES))
    held = ingested(folder)
    ingestion = IngestionParameters(as_of=AS_OF, date_format="%m/%d/%Y")
    chunks = updated_layers(held, folder, ingestion)
    prices = pl.concat([chunk.prices for chunk in chunks])
    assert prices.filter(Symbol="D").height == 20
    news = pl.concat([chunk.files for chunk in chunks]).filter("pending")
    assert news.select("Symbol", "status", "rows_kept").rows() == [("D", "read", 20)]
