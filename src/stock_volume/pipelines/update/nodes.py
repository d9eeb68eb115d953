"""Nodes of the pipeline update: they yield nothing when nothing has changed."""

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial, wraps
from typing import Any, Final

import polars as pl

from stock_volume import columns
from stock_volume.bars.archive import BarSource, warn_of_absent
from stock_volume.bars.ingest import IngestedChunk, IngestionParameters
from stock_volume.bars.ledger import (
    PENDING,
    STATUS,
    FileStatus,
    known_contents,
    list_absent,
    unread_name,
)
from stock_volume.bars.update import (
    IngestedLayers,
    UnchangedLayers,
    UpdatedChunk,
    UpdateParameters,
    UpdateReport,
    absent_symbols,
    describe_update,
    live_symbols,
    set_aside_symbols,
    unanswered_symbols,
    unchanged_layers,
    update_layers,
    wanted_bars,
)
from stock_volume.evaluation.backtest import feature_window
from stock_volume.events.ingest import IngestedEvents, ingest_event_files
from stock_volume.events.rules import EventParameters
from stock_volume.events.source import EventSource
from stock_volume.exchange import Exchange
from stock_volume.features.registry import FeatureParameters, add_features
from stock_volume.features.schedule import earnings_of, sessions_around
from stock_volume.features.window import expired_symbols, renew_features, stale_symbols
from stock_volume.forecaster.adaptation import AdaptationParameters
from stock_volume.forecaster.history import History
from stock_volume.forecaster.live import forecast_next_session
from stock_volume.forecaster.log import (
    by_latest_origin,
    forecasts_to_come,
    logged_forecasts,
    missed_forecasts,
)
from stock_volume.forecaster.model import Forecaster
from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters
from stock_volume.pipelines.data_processing.nodes import ingest_watched, read_events
from stock_volume.pipelines.feature_engineering.nodes import ESTIMATOR_TASK, FORECASTER_TASK
from stock_volume.symbols import map_layer
from stock_volume.workers import change_frame, clear_frame

logger = logging.getLogger(__name__)

_NAMED: Final = 10
"""Symbols that a warning names."""

POSITIONAL: Final = inspect.Parameter.POSITIONAL_ONLY


def fetch_recent_bars(  # noqa: PLR0913, PLR0917 (a source, two layers and a model go in)
    source: BarSource,
    prices: pl.LazyFrame,
    files: pl.LazyFrame,
    forecaster: Forecaster,
    ingestion: IngestionParameters,
    update: UpdateParameters,
) -> Iterator[IngestedChunk]:
    """Request bars from the source, and judge the files that were not read before."""
    # Before any layer changes: bars do not say which exchange they are from.
    forecaster.check_exchange(ingestion.exchange)
    wanted = wanted_bars(prices, update)
    archive = source.recent(wanted)
    held = files.collect()
    name = unread_name(archive.path.name, held[columns.FILE])
    in_archive = partial(_add_archive, name=name)
    logger.info("%s: looking for news of %d symbols", archive.path, wanted.height)
    news = pl.col(STATUS) != FileStatus.KNOWN
    found = []
    for chunk in ingest_watched(archive, ingestion, known_contents(held)):
        found.append(chunk.files)
        yield IngestedChunk(
            chunk.prices,
            change_frame(chunk.quarantine, in_archive),
            in_archive(chunk.files.filter(news)),
        )
    absent = absent_symbols(wanted, archive.absent, pl.concat(found), held)
    warn_of_absent(archive.path, absent)
    if absent:
        rows = list_absent(absent, chunk.files)
        yield IngestedChunk(clear_frame(chunk.prices), clear_frame(chunk.quarantine), rows)


def _add_archive(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    return rows.with_columns((pl.lit(f"{name}/") + pl.col(columns.FILE)).alias(columns.FILE))


def merge_recent_bars(  # noqa: PLR0913, PLR0917 (six layers go in)
    prices: pl.LazyFrame,
    quarantine: pl.LazyFrame,
    files: pl.LazyFrame,
    recent_prices: pl.LazyFrame,
    recent_quarantine: pl.LazyFrame,
    recent_files: pl.LazyFrame,
    parameters: UpdateParameters,
    chunk_rows: int,
) -> Iterator[UpdatedChunk | UnchangedLayers]:
    """Merge the recent bars into the bars held."""
    held = IngestedLayers(prices, quarantine, files)
    recent = IngestedLayers(recent_prices, recent_quarantine, recent_files)
    chunk = None
    for chunk in update_layers(held, recent, parameters, chunk_rows):
        yield chunk
    if chunk is None:
        logger.info("nothing is new")
        yield unchanged_layers(held)  # Kedro expects every output
        return
    aside = set_aside_symbols(chunk.files.filter(PENDING))
    if aside.height:
        logger.warning(
            "%d symbols are set aside: their bars cannot be merged (docs/updates.md): %s",
            aside.height,
            ", ".join(f"{symbol} ({rule})" for symbol, rule in aside.head(_NAMED).rows()),
        )


def update_events(  # noqa: PLR0913, PLR0917 (a source and four layers go in)
    source: EventSource,
    prices: pl.LazyFrame,
    events: pl.LazyFrame,
    quarantine: pl.LazyFrame,
    files: pl.LazyFrame,
    parameters: EventParameters,
) -> Iterator[IngestedEvents | tuple[pl.LazyFrame, ...]]:
    """Merge the events of the source into those held; without news, keep these."""
    held = IngestedEvents(events.collect(), quarantine.collect(), files.collect())
    ingested = ingest_event_files(read_events(source, prices), parameters, held)
    has_news = ingested.files.height > held.files.height
    if has_news:
        logger.info("%d files of events are new", ingested.files.height - held.files.height)
    yield ingested if has_news else (events, quarantine, files)


def _pending(files: pl.LazyFrame) -> pl.DataFrame:
    return files.filter(PENDING).collect()


def _any_pending(*ledgers: pl.LazyFrame) -> bool:
    return any(_pending(ledger).height for ledger in ledgers)


def when_pending(function: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    """Make a node that runs a function only while files are pending, and else yields nothing.

    Args:
        function: The function of a node, which returns or yields its outputs.

    Returns:
        The function of a node whose first inputs are the ledgers of the files of bars and of
        events.
    """

    @wraps(function)
    def node(files: pl.LazyFrame, event_files: pl.LazyFrame, *inputs: Any) -> Iterator[Any]:
        if not _any_pending(files, event_files):
            return
        outputs = function(*inputs)
        if isinstance(outputs, Iterator):
            yield from outputs
        else:
            yield outputs

    # Kedro validates parameters by the annotations of the node's inputs.
    signature = inspect.signature(function)
    ledgers = [
        inspect.Parameter(name, POSITIONAL, annotation=pl.LazyFrame)
        for name in ("ledger", "event_ledger")
    ]
    inputs = [one.replace(kind=POSITIONAL) for one in signature.parameters.values()]
    node.__signature__ = signature.replace(parameters=[*ledgers, *inputs])  # type: ignore[attr-defined]
    return node


def report_update(  # noqa: PLR0913, PLR0917 (it reports on seven layers)
    prices: pl.LazyFrame,
    quarantine: pl.LazyFrame,
    files: pl.LazyFrame,
    restatements: pl.LazyFrame,
    rebasings: pl.LazyFrame,
    recent_files: pl.LazyFrame,
    forecasts: pl.LazyFrame,
) -> Iterator[UpdateReport]:
    """Report on the update."""
    if not _pending(files).height:
        return
    report = describe_update(
        IngestedLayers(prices, quarantine, files),
        restatements.collect(),
        rebasings.collect(),
        unanswered_symbols(recent_files.collect()),
        forecasts.collect(),
    )
    logger.info(
        "%d bars added, %d restated, %d moved to another base",
        report.bars.added,
        report.bars.restated,
        report.bars.rebased,
    )
    yield report


def update_features(
    held: pl.LazyFrame,
    prices: pl.LazyFrame,
    files: pl.LazyFrame,
    parameters: FeatureParameters,
    chunk_rows: int,
) -> Iterator[pl.DataFrame]:
    """Add the estimator's features to the prices; parts without news are kept."""
    pending = _pending(files)
    if pending.height:
        # Within a part, computing all costs less than finding out which have changed.
        add = partial(add_features, parameters=parameters)
        changed = pending[columns.SYMBOL]
        yield from map_layer(
            add, prices, rows=chunk_rows, held=held, changed=changed, task=ESTIMATOR_TASK
        )


def update_forecast_features(  # noqa: PLR0913, PLR0917 (they are what they are made from)
    held: pl.LazyFrame,
    prices: pl.LazyFrame,
    sessions: pl.LazyFrame,
    events: pl.LazyFrame,
    files: pl.LazyFrame,
    event_files: pl.LazyFrame,
    forecaster: ForecasterParameters,
    backtest: BacktestParameters,
    exchange: Exchange,
    chunk_rows: int,
) -> Iterator[pl.DataFrame]:
    """Compute the forecaster's features of the symbols that have changed, and keep the rest."""
    pending = _pending(files)
    if pending.height or _any_pending(event_files):
        earnings = earnings_of(events)
        window = feature_window(sessions.collect(), forecaster, backtest)
        window = window._replace(calendar=sessions_around(earnings, exchange))
        symbols = stale_symbols(held, pending[columns.SYMBOL], window, earnings)
        renew = partial(renew_features, symbols=symbols, window=window)
        yield from map_layer(
            renew,
            *(prices, held, earnings),
            rows=chunk_rows,
            held=held,
            changed=pl.concat([symbols, expired_symbols(held, window)]),
            task=FORECASTER_TASK,
        )


def update_forecasts(  # noqa: PLR0913, PLR0917 (they are what it is made from)
    forecaster: Forecaster,
    raw_backtest: pl.LazyFrame,
    features: pl.LazyFrame,
    prices: pl.LazyFrame,
    files: pl.LazyFrame,
    event_files: pl.LazyFrame,
    recent_files: pl.LazyFrame,
    held: pl.LazyFrame,
    parameters: ForecasterParameters,
    adaptation: AdaptationParameters,
    update: UpdateParameters,
) -> Iterator[pl.DataFrame]:
    """Forecast the next session of every live symbol, answered or not."""
    if not _any_pending(files, event_files):
        return
    unanswered = unanswered_symbols(recent_files.collect())
    kept = unanswered.join(live_symbols(prices, update), on=columns.SYMBOL, how="semi")
    history = History(raw_backtest, features, adaptation)
    forecasts = forecast_next_session(forecaster, history, parameters, kept[columns.SYMBOL])
    yield forecasts
    _warn_of_forecasts(forecasts, kept, held.collect())


def _warn_of_forecasts(forecasts: pl.DataFrame, kept: pl.DataFrame, held: pl.DataFrame) -> None:
    """Name symbols whose forecasts rest on earlier sessions, or were dropped."""
    of_kept = forecasts.join(kept, on=columns.SYMBOL, how="semi", maintain_order="left")
    earlier = of_kept.filter(pl.col(columns.DATE) < forecasts[columns.DATE].max())
    if earlier.height:
        logger.warning(
            "%d symbols were not answered: their forecasts rest on earlier sessions: %s",
            earlier.height,
            _name_with_dates(earlier),
        )
    dropped = held.join(forecasts, on=columns.SYMBOL, how="anti", maintain_order="left")
    if dropped.height:
        logger.warning(
            "%d symbols are no longer live and have no forecast now (docs/updates.md); "
            "their last ones rested on: %s",
            dropped.height,
            _name_with_dates(dropped),
        )


def _name_with_dates(forecasts: pl.DataFrame) -> str:
    first = forecasts.select(columns.SYMBOL, columns.DATE).head(_NAMED).rows()
    return ", ".join(f"{symbol} ({day})" for symbol, day in first)


def log_forecasts(  # noqa: PLR0913, PLR0917 (they are what it is made from)
    forecaster: Forecaster,
    forecasts: pl.LazyFrame,
    raw_backtest: pl.LazyFrame,
    features: pl.LazyFrame,
    files: pl.LazyFrame,
    logged: Mapping[str, Callable[[], pl.DataFrame]],
    parameters: ForecasterParameters,
    adaptation: AdaptationParameters,
    update: UpdateParameters,
) -> Iterator[dict[str, pl.DataFrame]]:
    """Log forecasts of the sessions since the last update, and of the next session.

    News of events alone are not logged: the session may have taken place when they arrive.
    """
    if _pending(files).height:
        sessions = update.catch_up_sessions
        made = logged_forecasts(forecaster, forecasts_to_come(forecasts.collect()), features)
        history = History(raw_backtest, features, adaptation)
        missed = missed_forecasts(forecaster, history, logged, parameters, sessions)
        yield missed | by_latest_origin(made)


def settle_files(
    files: pl.LazyFrame, event_files: pl.LazyFrame, log: object, service: str
) -> Iterator[tuple[pl.DataFrame, ...] | tuple[pl.LazyFrame, ...]]:
    """Mark all files as settled: every layer has their bars and events."""
    del log, service  # inputs only so that they are complete first
    ledgers = files, event_files
    if _any_pending(*ledgers):
        settled = pl.lit(value=False).alias(PENDING)
        yield tuple(ledger.with_columns(settled).collect() for ledger in ledgers)
    else:
        yield ledgers  # Kedro expects every output
