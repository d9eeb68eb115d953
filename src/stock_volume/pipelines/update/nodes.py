"""Nodes of the pipeline update: they yield nothing where nothing has changed."""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import polars as pl

from stock_volume import columns
from stock_volume.bars.archive import BarSource, warn_of_absent
from stock_volume.bars.ingest import IngestedChunk, IngestionParameters
from stock_volume.bars.ledger import NOTE, PENDING, SHA256, STATUS, FileStatus
from stock_volume.bars.update import (
    IngestedLayers,
    UnchangedLayers,
    UpdatedChunk,
    UpdateParameters,
    absent_symbols,
    describe_update,
    known_contents,
    live_symbols,
    set_aside_symbols,
    unanswered_symbols,
    unchanged_layers,
    unread_name,
    update_layers,
    wanted_bars,
)
from stock_volume.evaluation.backtest import feature_window
from stock_volume.exchange import Exchange
from stock_volume.features.registry import FeatureParameters
from stock_volume.features.window import renew_features, stale_symbols
from stock_volume.forecaster.live import forecast_next_session
from stock_volume.forecaster.log import (
    by_latest_origin,
    forecasts_to_come,
    logged_forecasts,
    missed_forecasts,
)
from stock_volume.forecaster.model import Forecaster
from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters
from stock_volume.pipelines.data_processing.nodes import assess_quality, ingest_watched
from stock_volume.pipelines.feature_engineering.nodes import (
    describe_sessions,
    engineer_features,
)
from stock_volume.pipelines.modelling.nodes import package_service, register_snapshot
from stock_volume.stored_model import BentoContents, StoredModel
from stock_volume.symbols import map_symbols

logger = logging.getLogger(__name__)

_NAMED: Final = 10


def fetch_recent_bars(  # noqa: PLR0913, PLR0917 (a source, two layers and a model go in)
    source: BarSource,
    prices: pl.LazyFrame,
    files: pl.LazyFrame,
    forecaster: Forecaster,
    ingestion: IngestionParameters,
    update: UpdateParameters,
) -> Iterator[IngestedChunk]:
    """Ask the source for bars, and judge those of files that were not read before."""
    # Before any layer changes: bars do not say which exchange they are from.
    forecaster.check_exchange(ingestion.exchange)
    wanted = wanted_bars(prices, update)
    archive = source.recent(wanted)
    held = files.collect()
    name = unread_name(archive.path.name, held[columns.FILE])
    in_archive = (pl.lit(f"{name}/") + pl.col(columns.FILE)).alias(columns.FILE)
    logger.info("%s: looking for news of %d symbols", archive.path, wanted.height)
    news = pl.col(STATUS) != FileStatus.KNOWN
    found = []
    for chunk in ingest_watched(archive, ingestion, known_contents(held)):
        found.append(chunk.files)
        yield IngestedChunk(
            chunk.prices,
            chunk.quarantine.with_columns(in_archive),
            chunk.files.filter(news).with_columns(in_archive),
        )
    absent = absent_symbols(wanted, archive.absent, pl.concat(found), held)
    warn_of_absent(archive.path, absent)
    if absent:
        rows = _absent(absent, chunk.files)
        yield IngestedChunk(chunk.prices.clear(), chunk.quarantine.clear(), rows)


def _absent(absent: Mapping[str, str], like: pl.DataFrame) -> pl.DataFrame:
    rows = pl.DataFrame(
        {
            columns.FILE: list(absent),
            columns.SYMBOL: list(absent),
            STATUS: FileStatus.ABSENT.value,
            NOTE: list(absent.values()),
        }
    )
    others = [name for name in like.columns if name not in rows.columns]
    return rows.with_columns(
        pl.lit(None if name == SHA256 else 0, like.schema[name]).alias(name) for name in others
    ).select(like.columns)


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
    """Join the recent bars to those that are held."""
    held = IngestedLayers(prices, quarantine, files)
    recent = IngestedLayers(recent_prices, recent_quarantine, recent_files)
    chunk = None
    for chunk in update_layers(held, recent, parameters, chunk_rows):
        yield chunk
    if chunk is None:
        logger.info("nothing is new")
        yield unchanged_layers(held)  # Kedro wants something of each output
        return
    aside = set_aside_symbols(chunk.files.filter(PENDING))
    if aside.height:
        logger.warning(
            "%d symbols are set aside, for their bars cannot be joined (docs/updates.md): %s",
            aside.height,
            ", ".join(f"{symbol} ({rule})" for symbol, rule in aside.head(_NAMED).rows()),
        )


def _pending(files: pl.LazyFrame) -> pl.DataFrame:
    return files.filter(PENDING).collect()


def update_quality(
    prices: pl.LazyFrame, quarantine: pl.LazyFrame, files: pl.LazyFrame
) -> Iterator[dict[str, Any]]:
    """Report on the data after the update; fails if a row was lost."""
    if _pending(files).height:
        yield assess_quality(prices, quarantine, files)


def report_update(  # noqa: PLR0913, PLR0917 (they are what it tells of)
    prices: pl.LazyFrame,
    quarantine: pl.LazyFrame,
    files: pl.LazyFrame,
    restatements: pl.LazyFrame,
    rebasings: pl.LazyFrame,
    recent_files: pl.LazyFrame,
    forecasts: pl.LazyFrame,
) -> Iterator[dict[str, Any]]:
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
        "%(added)d bars added, %(restated)d restated, %(rebased)d brought to another base",
        report["bars"],
    )
    yield report


def update_features(
    prices: pl.LazyFrame, files: pl.LazyFrame, parameters: FeatureParameters, chunk_rows: int
) -> Iterator[pl.DataFrame]:
    """Make the estimator's features anew: they cost less than to find out which changed."""
    if _pending(files).height:
        yield from engineer_features(prices, parameters, chunk_rows)


def update_sessions(
    prices: pl.LazyFrame, files: pl.LazyFrame, exchange: Exchange, chunk_rows: int
) -> Iterator[pl.DataFrame]:
    """Measure the market anew."""
    if _pending(files).height:
        yield describe_sessions(prices, exchange, chunk_rows)


def update_forecast_features(  # noqa: PLR0913, PLR0917 (they are what they are made from)
    held: pl.LazyFrame,
    prices: pl.LazyFrame,
    sessions: pl.LazyFrame,
    files: pl.LazyFrame,
    forecaster: ForecasterParameters,
    backtest: BacktestParameters,
    chunk_rows: int,
) -> Iterator[pl.DataFrame]:
    """Compute the forecaster's features of the symbols that have changed, and keep the rest."""
    pending = _pending(files)
    if pending.height:
        window = feature_window(sessions.collect(), forecaster, backtest)
        symbols = stale_symbols(held, pending[columns.SYMBOL], window.sessions)
        renew = partial(renew_features, symbols=symbols, window=window)
        yield from map_symbols(renew, prices, held, rows=chunk_rows)


def update_forecasts(  # noqa: PLR0913, PLR0917 (they are what it is made from)
    forecaster: Forecaster,
    features: pl.LazyFrame,
    prices: pl.LazyFrame,
    files: pl.LazyFrame,
    recent_files: pl.LazyFrame,
    held: pl.LazyFrame,
    parameters: ForecasterParameters,
    update: UpdateParameters,
) -> Iterator[pl.DataFrame]:
    """Forecast the next session of every live symbol, answered or not."""
    if not _pending(files).height:
        return
    unanswered = unanswered_symbols(recent_files.collect())
    kept = unanswered.join(live_symbols(prices, update), on=columns.SYMBOL, how="semi")
    forecasts = forecast_next_session(forecaster, features, parameters, kept[columns.SYMBOL])
    yield forecasts
    _warn_of_forecasts(forecasts, kept, held.collect())


def _warn_of_forecasts(forecasts: pl.DataFrame, kept: pl.DataFrame, held: pl.DataFrame) -> None:
    """Name the symbols whose forecasts are of earlier sessions, or are there no more."""
    of_kept = forecasts.join(kept, on=columns.SYMBOL, how="semi", maintain_order="left")
    earlier = of_kept.filter(pl.col(columns.DATE) < forecasts[columns.DATE].max())
    if earlier.height:
        logger.warning(
            "%d symbols were not answered: their forecasts rest on earlier sessions: %s",
            earlier.height,
            _named_with_dates(earlier),
        )
    dropped = held.join(forecasts, on=columns.SYMBOL, how="anti", maintain_order="left")
    if dropped.height:
        logger.warning(
            "%d symbols are no longer live and have no forecast any more (docs/updates.md); "
            "their last ones rested on: %s",
            dropped.height,
            _named_with_dates(dropped),
        )


def _named_with_dates(forecasts: pl.DataFrame) -> str:
    first = forecasts.select(columns.SYMBOL, columns.DATE).head(_NAMED).rows()
    return ", ".join(f"{symbol} ({day})" for symbol, day in first)


def log_forecasts(  # noqa: PLR0913, PLR0917 (they are what it is made from)
    forecaster: Forecaster,
    forecasts: pl.LazyFrame,
    features: pl.LazyFrame,
    files: pl.LazyFrame,
    logged: Mapping[str, Callable[[], pl.DataFrame]],
    parameters: ForecasterParameters,
    update: UpdateParameters,
) -> Iterator[dict[str, pl.DataFrame]]:
    """Log the forecasts of the sessions that came since the last update, and of the next."""
    if _pending(files).height:
        sessions = update.catch_up_sessions
        made = logged_forecasts(forecaster, forecasts_to_come(forecasts.collect()), features)
        missed = missed_forecasts(forecaster, features, logged, parameters, sessions)
        yield missed | by_latest_origin(made)


def update_snapshot(  # noqa: PLR0913, PLR0917 (five layers go in)
    features: pl.LazyFrame,
    sessions: pl.LazyFrame,
    forecast_features: pl.LazyFrame,
    backtest: pl.LazyFrame,
    files: pl.LazyFrame,
    exchange: Exchange,
) -> Iterator[StoredModel]:
    """Take a new snapshot for the service."""
    if _pending(files).height:
        yield register_snapshot(features, sessions, forecast_features, backtest, files, exchange)


def update_service(
    estimator: StoredModel, forecaster: StoredModel, snapshot: StoredModel, files: pl.LazyFrame
) -> Iterator[BentoContents]:
    """Package the models with the new snapshot."""
    if _pending(files).height:
        yield package_service(estimator, forecaster, snapshot)


def settle_files(files: pl.LazyFrame, log: object, service: str) -> Iterator[pl.DataFrame]:
    """Note that every layer knows the bars of every file: an update begun is complete."""
    del log, service  # they have to be there first
    if _pending(files).height:
        yield files.with_columns(pl.lit(value=False).alias(PENDING)).collect()
