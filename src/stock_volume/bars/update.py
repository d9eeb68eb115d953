"""Merge new source data into the layers, with an account of every row."""

from collections.abc import Iterator, Mapping
from datetime import date
from functools import partial
from typing import Final, NamedTuple

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from stock_volume import columns
from stock_volume.bars.archive import SINCE
from stock_volume.bars.ledger import (
    NOTE,
    PENDING,
    PLACE,
    ROWS_KEPT,
    ROWS_KNOWN,
    ROWS_QUARANTINED,
    ROWS_READ,
    SHA256,
    STATUS,
    FileStatus,
    RowCounts,
    account_for_rows,
    latest_files,
)
from stock_volume.bars.merge import (
    REBASED_BARS,
    MergedBars,
    MergeParameters,
    merge_bars,
)
from stock_volume.errors import UnbalancedRowsError
from stock_volume.symbols import map_layer
from stock_volume.workers import KeptPart

_EXCERPT_ROWS: Final = 50

FORECAST_ORIGIN: Final = "forecast_origin"
"""Column: the session of the bar that the forecast of an absent symbol rests on."""


class UpdateParameters(MergeParameters):
    """Parameters of an update.

    Attributes:
        overlap_days: Calendar days of held bars that are requested again.
        live_days: Symbols whose latest bar is more calendar days older than the latest of
            all are not requested.
        catch_up_sessions: Maximum number of missed sessions, up to the latest, that one
            update forecasts.
    """

    overlap_days: int = Field(default=30, ge=1)
    live_days: int = Field(default=30, ge=0)
    catch_up_sessions: int = Field(default=60, ge=1)


class IngestedLayers(NamedTuple):
    """The layers that ingestion makes.

    Attributes:
        prices: Bars, by symbol and date.
        quarantine: Rejected rows.
        files: The files.
    """

    prices: pl.LazyFrame
    quarantine: pl.LazyFrame
    files: pl.LazyFrame


class UpdatedChunk(NamedTuple):
    """A part of the layers after an update.

    Attributes:
        prices: All bars of some symbols, sorted by symbol and date; on a cluster, a
            ``RemoteFrame`` or ``KeptPart`` in their place.
        quarantine: All rejected rows, in the last chunk; none before.
        restatements: Held values of these symbols that were replaced.
        rebasings: Symbols among them that were moved to another base.
        files: All files, in the last chunk; none before. The files of the update are
            pending: the layers after the prices do not have their bars yet.
    """

    prices: pl.DataFrame
    quarantine: pl.DataFrame
    restatements: pl.DataFrame
    rebasings: pl.DataFrame
    files: pl.DataFrame


class UnchangedLayers(NamedTuple):
    """The layers of an update without news, as they are.

    Attributes:
        prices: The bars that are held.
        quarantine: The rows in quarantine.
        restatements: None.
        rebasings: None.
        files: The files that were read.
    """

    prices: pl.LazyFrame
    quarantine: pl.LazyFrame
    restatements: pl.LazyFrame
    rebasings: pl.LazyFrame
    files: pl.LazyFrame


def wanted_bars(prices: pl.LazyFrame, parameters: UpdateParameters) -> pl.DataFrame:
    """List the bars to request from a source.

    Args:
        prices: The bars held.
        parameters: How far back, and for which symbols.

    Returns:
        Symbol, ETF and ``since``, one row per live symbol, sorted.
    """
    overlap = pl.duration(days=parameters.overlap_days)
    return (
        live_symbols(prices, parameters)
        .with_columns((pl.col(columns.DATE) - overlap).alias(SINCE))
        .drop(columns.DATE)
    )


def live_symbols(prices: pl.LazyFrame, parameters: UpdateParameters) -> pl.DataFrame:
    """List the symbols that updates request.

    Args:
        prices: The bars held.
        parameters: How old the latest bar of such a symbol may be.

    Returns:
        Symbol, ETF and Date of the latest bar, one row per live symbol, sorted.
    """
    latest = pl.col(columns.DATE)
    return (
        prices.group_by(columns.SYMBOL)
        .agg(pl.col(columns.ETF).first(), latest.max())
        .collect(engine="streaming")
        .filter(latest >= latest.max() - pl.duration(days=parameters.live_days))
        .sort(columns.SYMBOL)
    )


def absent_symbols(
    requested: pl.DataFrame, reported: Mapping[str, str], found: pl.DataFrame, held: pl.DataFrame
) -> dict[str, str]:
    """Find symbols of which a source has no file, or the same file without bars as before.

    Args:
        requested: The symbols requested, one row each.
        reported: Reasons that the source itself reports, by symbol.
        found: All files that the source has, including files that were read before.
        held: Files that the layers were made from.

    Returns:
        The reason by symbol, sorted.
    """
    barren = (
        latest_files(held)
        .filter(_has_no_bars())
        .select(columns.SYMBOL, SHA256, _reason().alias(NOTE))
        .drop_nulls(SHA256)
    )
    known = found.filter(pl.col(STATUS) == FileStatus.KNOWN).drop(NOTE)
    again = known.join(barren, on=[columns.SYMBOL, SHA256])
    others = found.join(again, on=columns.FILE, how="anti")
    unanswered = requested.select(columns.SYMBOL).join(others, on=columns.SYMBOL, how="anti")
    reasons = dict(again.select(columns.SYMBOL, NOTE).rows())
    missing = {
        symbol: reasons.get(symbol, "the source has no file of it")
        for symbol in unanswered[columns.SYMBOL]
    }
    return dict(sorted((missing | dict(reported)).items()))


def unanswered_symbols(recent_files: pl.DataFrame) -> pl.DataFrame:
    """List the symbols of which an update got no bars.

    Args:
        recent_files: Files of the update, including absent ones.

    Returns:
        Symbol and the reason as ``note``, one row per symbol, sorted.
    """
    answered = recent_files.filter(~_has_no_bars())
    return (
        recent_files.join(answered, on=columns.SYMBOL, how="anti")
        .select(columns.SYMBOL, _reason().alias(NOTE))
        .unique(columns.SYMBOL, keep="first", maintain_order=True)
        .sort(columns.SYMBOL)
    )


def _has_no_bars() -> pl.Expr:
    return pl.col(ROWS_KEPT) + pl.col(ROWS_KNOWN) == 0


def _reason() -> pl.Expr:
    """Return the note of a file without bars, or that its rows were rejected."""
    return pl.when(pl.col(NOTE) != "").then(NOTE).otherwise(pl.lit("no row of it is valid"))


def update_layers(
    held: IngestedLayers, recent: IngestedLayers, parameters: UpdateParameters, rows: int
) -> Iterator[UpdatedChunk]:
    """Merge new source data into the layers.

    Args:
        held: The layers.
        recent: The layers of the source's answer.
        parameters: Tolerances.
        rows: Minimum number of rows, held and recent, of the symbols merged at a time.

    Yields:
        The updated layers, a range of symbols at a time; nothing where nothing is new.

    Raises:
        UnbalancedRowsError: Nothing is new, and the files do not account for the bars held.
    """
    files = held.files.collect()
    news = _select_news(held, recent, files, parameters)
    if not news.height:
        _check_held(held.prices, files)
        return
    bars = _select_bars(recent.prices, news)
    nothing = _merge_nothing(held.prices)
    no_rows, no_files = held.quarantine.head(0).collect(), files.clear()
    set_aside, counts = [nothing.set_aside], [nothing.counts]
    merge = partial(merge_bars, parameters=parameters)
    unchanged = UpdatedChunk(
        nothing.prices, no_rows, nothing.restatements, nothing.rebasings, no_files
    )
    for merged in map_layer(
        merge,
        held.prices,
        bars,
        rows=rows,
        held=held.prices,
        changed=news[columns.SYMBOL],
        stay=["prices"],
        task="merging bars",
    ):
        if isinstance(merged, KeptPart):
            yield unchanged._replace(prices=merged)  # type: ignore[arg-type]  # not a frame
            continue
        set_aside.append(merged.set_aside)
        counts.append(merged.counts)
        yield UpdatedChunk(merged.prices, no_rows, merged.restatements, merged.rebasings, no_files)
    # An interrupted update may have left rows of files that the ledger lacks.
    quarantine = held.quarantine.join(
        held.files, on=columns.FILE, how="semi", maintain_order="left"
    ).collect()
    aside = pl.concat(set_aside)
    rejected = pl.concat(
        [
            recent.quarantine.join(
                news.lazy(), on=columns.FILE, how="semi", maintain_order="left"
            ).collect(),
            _quarantine_bars(aside, news),
        ]
    )
    new = _drop_known_rejections(rejected, news, quarantine, files)
    yield UpdatedChunk(
        nothing.prices,
        pl.concat([quarantine, new]),
        nothing.restatements,
        nothing.rebasings,
        pl.concat([files, account_for_rows(news, files, pl.concat(counts), aside, new)]),
    )


def unchanged_layers(held: IngestedLayers) -> UnchangedLayers:
    """Return the layers as they are.

    Args:
        held: The layers.

    Returns:
        The same layers, without restatements and rebasings.
    """
    nothing = _merge_nothing(held.prices)
    return UnchangedLayers(
        held.prices,
        held.quarantine,
        nothing.restatements.lazy(),
        nothing.rebasings.lazy(),
        held.files,
    )


def _merge_nothing(prices: pl.LazyFrame) -> MergedBars:
    """Merge no bars, for frames with the right columns and no rows."""
    no_bars = prices.head(0).collect()
    return merge_bars(no_bars, no_bars, MergeParameters())


def _select_news(
    held: IngestedLayers,
    recent: IngestedLayers,
    files: pl.DataFrame,
    parameters: UpdateParameters,
) -> pl.DataFrame:
    """Select the files of an update with content that is new."""
    latest = latest_files(files)
    content = [columns.SYMBOL, PLACE, SHA256]
    # A file that could not be read has no digest; it is news once, and again once it is read.
    unread = latest_files(recent.files.collect()).join(
        latest.filter(pl.col(STATUS) != FileStatus.SET_ASIDE),
        on=[*content, STATUS],
        how="anti",
        nulls_equal=True,
        maintain_order="left",
    )
    changed = unread.join(latest, on=content, how="anti")
    again = unread.join(changed, on=columns.SYMBOL, how="anti")
    if again.height:
        # They were set aside before: they are news only if they can be merged now.
        merged = merge_bars(
            _select_bars(held.prices, again).collect(),
            _select_bars(recent.prices, again).collect(),
            parameters,
        )
        still_aside = again.join(merged.set_aside, on=columns.SYMBOL, how="semi")
        unread = unread.join(still_aside, on=columns.FILE, how="anti", maintain_order="left")
    return unread.drop(PLACE)


def _select_bars(bars: pl.LazyFrame, files: pl.DataFrame) -> pl.LazyFrame:
    symbols = files.lazy().select(columns.SYMBOL)
    return bars.join(symbols, on=columns.SYMBOL, how="semi", maintain_order="left")


def _check_held(prices: pl.LazyFrame, files: pl.DataFrame) -> None:
    bars, kept = prices.select(pl.len()).collect().item(), files[ROWS_KEPT].sum()
    if bars != kept:
        raise UnbalancedRowsError(
            f"{bars} bars are held, and the files account for {kept}: an update was interrupted "
            "while it replaced its layers. Update from the same source again, or run in full"
        )


def _quarantine_bars(set_aside: pl.DataFrame, files: pl.DataFrame) -> pl.DataFrame:
    """Turn bars that cannot be merged into rows of the quarantine; their line is 0."""
    place = pl.int_range(pl.len()).over(columns.SYMBOL).alias(PLACE)
    # Bars no longer know their file: distribute them over the symbol's files by count.
    file_of_bar = (
        files.join(set_aside, on=columns.SYMBOL, how="semi", maintain_order="left")
        .select(columns.SYMBOL, pl.col(columns.FILE).repeat_by(ROWS_KEPT))
        .explode(columns.FILE)
        .drop_nulls()
        .with_columns(place)
    )
    in_files = set_aside.with_columns(place).join(
        file_of_bar, on=[columns.SYMBOL, PLACE], how="left", maintain_order="left"
    )
    return in_files.select(
        columns.FILE,
        pl.lit(0, pl.Int32).alias(columns.LINE),
        columns.RULE,
        *(pl.col(name).cast(pl.String) for name in columns.BAR),
    )


def _drop_known_rejections(
    rejected: pl.DataFrame, news: pl.DataFrame, quarantine: pl.DataFrame, files: pl.DataFrame
) -> pl.DataFrame:
    """Drop rejected rows that are in the quarantine already, by symbol and rule."""
    content = [columns.SYMBOL, columns.RULE, *columns.BAR]
    symbols = columns.FILE, columns.SYMBOL
    before = quarantine.join(files.select(symbols), on=columns.FILE)
    return (
        rejected.join(news.select(symbols), on=columns.FILE, maintain_order="left")
        .join(before, on=content, how="anti", nulls_equal=True, maintain_order="left")
        .select(rejected.columns)
    )


class BarCounts(BaseModel):
    """Bars before and after an update.

    Attributes:
        before: Bars held before.
        added: Bars that were not held.
        after: Bars held now.
        restated: Bars of which a value was replaced.
        rebased: Bars that were rescaled to another base.
    """

    model_config = ConfigDict(frozen=True)

    before: int
    added: int
    after: int
    restated: int
    rebased: int


class Excerpt(BaseModel):
    """The beginning of a list.

    Attributes:
        count: Number of rows in all.
        first: The first rows, by column.
    """

    model_config = ConfigDict(frozen=True)

    count: int
    first: tuple[dict[str, str | float | None], ...]


class UpdateReport(BaseModel):
    """What an update did, as in ``update.json``.

    Attributes:
        files: Number of files with news.
        rows: Rows of these files by their fate.
        bars: Bars before and after.
        latest_session: Date of the latest bar.
        symbols: Number of symbols with news.
        quarantined_by_rule: Number of rejected rows of these files, by rule.
        set_aside: Symbols whose bars could not be merged, with the rule.
        rebasings: Symbols moved to another base, with the factors.
        restatements: Held values that were replaced.
        absent: Symbols without an answer, with the reason and the session that their
            forecast rests on.
    """

    model_config = ConfigDict(frozen=True)

    files: int
    rows: RowCounts
    bars: BarCounts
    latest_session: date
    symbols: int
    quarantined_by_rule: dict[str, int]
    set_aside: Excerpt
    rebasings: Excerpt
    restatements: Excerpt
    absent: Excerpt


def describe_update(
    layers: IngestedLayers,
    restatements: pl.DataFrame,
    rebasings: pl.DataFrame,
    unanswered: pl.DataFrame,
    forecasts: pl.DataFrame,
) -> UpdateReport:
    """Describe an update.

    Args:
        layers: The layers, updated; the files of the update are pending.
        restatements: Held values that were replaced.
        rebasings: Symbols that were moved to another base.
        unanswered: The result of ``unanswered_symbols``.
        forecasts: The updated forecasts.

    Returns:
        The report, with the first fifty rows of each list.
    """
    files = layers.files.filter(PENDING).collect()
    bars, latest = layers.prices.select(pl.len(), pl.col(columns.DATE).max()).collect().row(0)
    rows = RowCounts(
        read=files[ROWS_READ].sum(),
        kept=files[ROWS_KEPT].sum(),
        known=files[ROWS_KNOWN].sum(),
        quarantined=files[ROWS_QUARANTINED].sum(),
    )
    by_rule = (
        layers.quarantine.join(files.lazy(), on=columns.FILE, how="semi")
        .group_by(columns.RULE)
        .len()
        .sort(columns.RULE)
        .collect()
    )
    return UpdateReport(
        files=files.height,
        rows=rows,
        bars=BarCounts(
            before=bars - rows.kept,
            added=rows.kept,
            after=bars,
            restated=restatements.select(columns.SYMBOL, columns.DATE).n_unique(),
            rebased=rebasings[REBASED_BARS].sum(),
        ),
        latest_session=latest,
        symbols=files[columns.SYMBOL].n_unique(),
        quarantined_by_rule=dict(by_rule.rows()),
        set_aside=_excerpt(set_aside_symbols(files)),
        rebasings=_excerpt(rebasings),
        restatements=_excerpt(restatements),
        absent=_excerpt(_add_origins(unanswered, forecasts)),
    )


def _add_origins(unanswered: pl.DataFrame, forecasts: pl.DataFrame) -> pl.DataFrame:
    """Add the session that a symbol's forecast rests on, null without a forecast."""
    origins = forecasts.select(columns.SYMBOL, pl.col(columns.DATE).alias(FORECAST_ORIGIN))
    return unanswered.join(origins, on=columns.SYMBOL, how="left", maintain_order="left")


def set_aside_symbols(files: pl.DataFrame) -> pl.DataFrame:
    """List the symbols of which an update merged nothing.

    Args:
        files: Files of an update.

    Returns:
        Symbol, and the rule as ``note``.
    """
    aside = files.filter(pl.col(STATUS) == FileStatus.SET_ASIDE)
    return aside.select(columns.SYMBOL, NOTE).unique(maintain_order=True)


def _excerpt(frame: pl.DataFrame) -> Excerpt:
    shown = frame.head(_EXCERPT_ROWS).with_columns(pl.col(pl.Date).cast(pl.String))
    return Excerpt(count=frame.height, first=tuple(shown.to_dicts()))
