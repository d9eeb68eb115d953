"""What a source has told since the last time, taken into the layers, row by row."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import polars as pl
from pydantic import Field

from stock_volume import columns
from stock_volume.bars.archive import SINCE
from stock_volume.bars.ledger import (
    EXAMINED,
    NOTE,
    PENDING,
    ROWS_KEPT,
    ROWS_KNOWN,
    ROWS_QUARANTINED,
    ROWS_READ,
    SHA256,
    STATUS,
    FileStatus,
)
from stock_volume.bars.merge import (
    ADDED,
    HELD,
    REBASED_BARS,
    MergedBars,
    MergeParameters,
    merge_bars,
)
from stock_volume.errors import UnbalancedRowsError
from stock_volume.symbols import map_symbols

_ASIDE: Final = "aside"
_PLACE: Final = "place"
_REJECTED: Final = "rejected"
_BEFORE: Final = "before"
_LISTED: Final = 50

FORECAST_ORIGIN: Final = "forecast_origin"
"""Of an absent symbol: the session of the bar that its forecast rests on."""


class UpdateParameters(MergeParameters):
    """Parameters of an update.

    Attributes:
        overlap_days: Calendar days of held bars that are asked for again.
        live_days: Calendar days: symbols whose latest bar is so much older than the latest
            of all are not asked for.
        catch_up_sessions: Most sessions, up to the latest, that are forecast at once.
    """

    overlap_days: int = Field(default=30, ge=1)
    live_days: int = Field(default=30, ge=0)
    catch_up_sessions: int = Field(default=60, ge=1)


class IngestedLayers(NamedTuple):
    """Layers that an ingestion makes.

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
        prices: All bars of some symbols, sorted by symbol and date.
        quarantine: All rejected rows, in the last chunk; none before.
        restatements: Held values of these symbols that were replaced.
        rebasings: Those of these symbols that were brought to another base.
        files: All files, in the last chunk; none before. Those of the update are pending:
            the layers after the prices do not know their bars yet.
    """

    prices: pl.DataFrame
    quarantine: pl.DataFrame
    restatements: pl.DataFrame
    rebasings: pl.DataFrame
    files: pl.DataFrame


class UnchangedLayers(NamedTuple):
    """The layers that an update writes, where it has nothing to write.

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
    """List what to ask a source for.

    Args:
        prices: The bars that are held.
        parameters: Tell how far back, and for which symbols.

    Returns:
        Symbol, ETF and ``since``, one row a live symbol, sorted.
    """
    overlap = pl.duration(days=parameters.overlap_days)
    return (
        live_symbols(prices, parameters)
        .with_columns((pl.col(columns.DATE) - overlap).alias(SINCE))
        .drop(columns.DATE)
    )


def live_symbols(prices: pl.LazyFrame, parameters: UpdateParameters) -> pl.DataFrame:
    """List the symbols that updates ask for.

    Args:
        prices: The bars that are held.
        parameters: Say how old the latest bar of such a symbol may be.

    Returns:
        Symbol, ETF and Date of the latest bar, one row a live symbol, sorted.
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
    wanted: pl.DataFrame, told: Mapping[str, str], found: pl.DataFrame, held: pl.DataFrame
) -> dict[str, str]:
    """Find the symbols of which a source has no file, or again the one that gave no bars.

    Args:
        wanted: What the source was asked for: a row a symbol.
        told: Why a symbol is absent, by symbol, where the source itself says so.
        found: All files that the source has, those that were read before among them.
        held: Files that the layers were made from.

    Returns:
        The reason by symbol, sorted.
    """
    barren = (
        latest_files(held)
        .filter(_gave_nothing())
        .select(columns.SYMBOL, SHA256, _reason().alias(NOTE))
        .drop_nulls(SHA256)
    )
    known = found.filter(pl.col(STATUS) == FileStatus.KNOWN).drop(NOTE)
    again = known.join(barren, on=[columns.SYMBOL, SHA256])
    others = found.join(again, on=columns.FILE, how="anti")
    unanswered = wanted.select(columns.SYMBOL).join(others, on=columns.SYMBOL, how="anti")
    reasons = dict(again.select(columns.SYMBOL, NOTE).rows())
    missing = {
        symbol: reasons.get(symbol, "the source has no file of it")
        for symbol in unanswered[columns.SYMBOL]
    }
    return dict(sorted((missing | dict(told)).items()))


def unanswered_symbols(recent_files: pl.DataFrame) -> pl.DataFrame:
    """List the symbols of which an update got no bars.

    Args:
        recent_files: Files of the update, absent ones among them.

    Returns:
        Symbol and the reason as ``note``, one row a symbol, sorted.
    """
    answered = recent_files.filter(~_gave_nothing())
    return (
        recent_files.join(answered, on=columns.SYMBOL, how="anti")
        .select(columns.SYMBOL, _reason().alias(NOTE))
        .unique(columns.SYMBOL, keep="first", maintain_order=True)
        .sort(columns.SYMBOL)
    )


def _gave_nothing() -> pl.Expr:
    return pl.col(ROWS_KEPT) + pl.col(ROWS_KNOWN) == 0


def _reason() -> pl.Expr:
    """Give the note of a file without bars, or say that its rows were rejected."""
    return pl.when(pl.col(NOTE) != "").then(NOTE).otherwise(pl.lit("no row of it is valid"))


def latest_files(files: pl.DataFrame) -> pl.DataFrame:
    """Choose what was last read of each file.

    Args:
        files: Files that the layers were made from, in the order in which they were read.

    Returns:
        The last row of each symbol and folder; a source that takes a restatement back tells
        what it told before, and that is news.
    """
    return (
        files.filter(pl.col(STATUS).is_in(EXAMINED))
        .with_columns(_place())
        .unique([columns.SYMBOL, _PLACE], keep="last", maintain_order=True)
    )


def known_contents(files: pl.DataFrame) -> frozenset[tuple[str, str]]:
    """Tell which contents need not be parsed again.

    Args:
        files: Files that the layers were made from.

    Returns:
        Symbol and digest of files that were read. The others are read again: with other
        parameters their bars may be used.
    """
    settled = latest_files(files).filter(pl.col(STATUS).is_in([FileStatus.READ, FileStatus.EMPTY]))
    return frozenset(settled.select(columns.SYMBOL, SHA256).drop_nulls().rows())


def unread_name(archive: str, files: Iterable[str]) -> str:
    """Name an archive so that its files are told from all that were read before.

    Args:
        archive: Name of the archive.
        files: Names of files that were read, each after the name of its archive.

    Returns:
        The name, with the number of the reading after it from the second on.
    """
    readings = (
        re.fullmatch(rf"{re.escape(archive)}(?:#(\d+))?", file.partition("/")[0]) for file in files
    )
    numbers = [int(reading[1] or 1) for reading in readings if reading]
    return f"{archive}#{max(numbers) + 1}" if numbers else archive


def _place() -> pl.Expr:
    """The last folder and the name of a file, whatever archive it is in."""
    return pl.col(columns.FILE).str.extract(r"([^/]*/?[^/]+)$").alias(_PLACE)


def update_layers(
    held: IngestedLayers, recent: IngestedLayers, parameters: UpdateParameters, rows: int
) -> Iterator[UpdatedChunk]:
    """Join what a source has told to the layers.

    Args:
        held: The layers.
        recent: What the source answered.
        parameters: Tolerances.
        rows: Minimum number of rows, held and recent, of the symbols merged at a time.

    Yields:
        The updated layers, a range of symbols at a time; nothing where nothing is new.

    Raises:
        UnbalancedRowsError: Nothing is new, and the bars held are not those of the files.
    """
    files = held.files.collect()
    news = _news(held, recent, files, parameters)
    if not news.height:
        _check_held(held.prices, files)
        return
    bars = _bars_of(recent.prices, news)
    nothing = _nothing_merged(held.prices)
    no_rows, no_files = held.quarantine.head(0).collect(), files.clear()
    set_aside, counts = [nothing.set_aside], [nothing.counts]
    merge = partial(merge_bars, parameters=parameters)
    for merged in map_symbols(merge, held.prices, bars, rows=rows):
        set_aside.append(merged.set_aside)
        counts.append(merged.counts)
        yield UpdatedChunk(merged.prices, no_rows, merged.restatements, merged.rebasings, no_files)
    # Rows of files that are not known yet were left by an update that was interrupted.
    quarantine = held.quarantine.join(
        held.files, on=columns.FILE, how="semi", maintain_order="left"
    ).collect()
    aside = pl.concat(set_aside)
    rejected = pl.concat(
        [
            recent.quarantine.join(
                news.lazy(), on=columns.FILE, how="semi", maintain_order="left"
            ).collect(),
            _rejected_bars(aside, news),
        ]
    )
    new = _unlike(rejected, news, quarantine, files)
    yield UpdatedChunk(
        nothing.prices,
        pl.concat([quarantine, new]),
        nothing.restatements,
        nothing.rebasings,
        pl.concat([files, _accounted(news, files, pl.concat(counts), aside, new)]),
    )


def unchanged_layers(held: IngestedLayers) -> UnchangedLayers:
    """Give the layers as they are.

    Args:
        held: The layers.

    Returns:
        The same, lazily, and that nothing was restated.
    """
    nothing = _nothing_merged(held.prices)
    return UnchangedLayers(
        held.prices,
        held.quarantine,
        nothing.restatements.lazy(),
        nothing.rebasings.lazy(),
        held.files,
    )


def _nothing_merged(prices: pl.LazyFrame) -> MergedBars:
    """Give frames without a row, in the columns of each."""
    no_bars = prices.head(0).collect()
    return merge_bars(no_bars, no_bars, MergeParameters())


def _news(
    held: IngestedLayers,
    recent: IngestedLayers,
    files: pl.DataFrame,
    parameters: UpdateParameters,
) -> pl.DataFrame:
    """Choose the files of an update that tell something new."""
    latest = latest_files(files)
    content = [columns.SYMBOL, _PLACE, SHA256]
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
        # They were set aside before; unless they can be joined now, they are no news.
        merged = merge_bars(
            _bars_of(held.prices, again).collect(),
            _bars_of(recent.prices, again).collect(),
            parameters,
        )
        in_vain = again.join(merged.set_aside, on=columns.SYMBOL, how="semi")
        unread = unread.join(in_vain, on=columns.FILE, how="anti", maintain_order="left")
    return unread.drop(_PLACE)


def _bars_of(bars: pl.LazyFrame, files: pl.DataFrame) -> pl.LazyFrame:
    symbols = files.lazy().select(columns.SYMBOL)
    return bars.join(symbols, on=columns.SYMBOL, how="semi", maintain_order="left")


def _check_held(prices: pl.LazyFrame, files: pl.DataFrame) -> None:
    bars, kept = prices.select(pl.len()).collect().item(), files[ROWS_KEPT].sum()
    if bars != kept:
        raise UnbalancedRowsError(
            f"{bars} bars are held, and the files account for {kept}: an update was interrupted "
            "while it put its layers into place. Update from the same source again, or run anew"
        )


def _rejected_bars(set_aside: pl.DataFrame, files: pl.DataFrame) -> pl.DataFrame:
    """Turn bars that cannot be joined into rows of the quarantine; a bar has no line: 0."""
    place = pl.int_range(pl.len()).over(columns.SYMBOL).alias(_PLACE)
    # Bars have left their files; the files of a symbol have as many as they gave.
    file_of_bar = (
        files.join(set_aside, on=columns.SYMBOL, how="semi", maintain_order="left")
        .select(columns.SYMBOL, pl.col(columns.FILE).repeat_by(ROWS_KEPT))
        .explode(columns.FILE)
        .drop_nulls()
        .with_columns(place)
    )
    in_files = set_aside.with_columns(place).join(
        file_of_bar, on=[columns.SYMBOL, _PLACE], how="left", maintain_order="left"
    )
    return in_files.select(
        columns.FILE,
        pl.lit(0, pl.Int32).alias(columns.LINE),
        columns.RULE,
        *(pl.col(name).cast(pl.String) for name in columns.BAR),
    )


def _unlike(
    rejected: pl.DataFrame, news: pl.DataFrame, quarantine: pl.DataFrame, files: pl.DataFrame
) -> pl.DataFrame:
    """Leave out the rejected rows of each symbol that are in quarantine by the same rule."""
    content = [columns.SYMBOL, columns.RULE, *columns.BAR]
    symbols = columns.FILE, columns.SYMBOL
    before = quarantine.join(files.select(symbols), on=columns.FILE)
    return (
        rejected.join(news.select(symbols), on=columns.FILE, maintain_order="left")
        .join(before, on=content, how="anti", nulls_equal=True, maintain_order="left")
        .select(rejected.columns)
    )


def _accounted(
    news: pl.DataFrame,
    files: pl.DataFrame,
    counts: pl.DataFrame,
    set_aside: pl.DataFrame,
    rejected: pl.DataFrame,
) -> pl.DataFrame:
    """Tell what became of the rows of each file of an update.

    Added are as well the bars held that no file accounts for: an update that was
    interrupted has left them.
    """
    of_symbol, of_file = columns.SYMBOL, columns.FILE
    accounted = files.group_by(of_symbol).agg(pl.col(ROWS_KEPT).sum().alias("accounted"))
    aside = set_aside.group_by(of_symbol).agg(pl.col(columns.RULE).first().alias(_ASIDE))
    new = rejected.group_by(of_file).agg(pl.len().cast(pl.Int64).alias(_REJECTED))
    # The files of one symbol share its bars; the first ones account for them.
    valid = pl.when(pl.col(_ASIDE).is_null()).then(ROWS_KEPT).otherwise(0)
    left = (pl.col("total") - pl.col(_BEFORE)).clip(0)
    return (
        news.join(counts, on=of_symbol, how="left", maintain_order="left")
        .join(accounted, on=of_symbol, how="left", maintain_order="left")
        .join(aside, on=of_symbol, how="left", maintain_order="left")
        .join(new, on=of_file, how="left", maintain_order="left")
        .with_columns(pl.col("accounted", HELD, ADDED, _REJECTED).fill_null(0))
        .with_columns(
            (pl.col(ADDED) + pl.col(HELD) - pl.col("accounted")).alias("total"),
            (valid.cum_sum() - valid).over(of_symbol).alias(_BEFORE),
        )
        .with_columns(
            pl.min_horizontal(valid, left).alias(ROWS_KEPT),
            pl.col(_REJECTED).alias(ROWS_QUARANTINED),
            pl.lit(value=True).alias(PENDING),
            pl.when(pl.col(_ASIDE).is_null())
            .then(STATUS)
            .otherwise(pl.lit(FileStatus.SET_ASIDE.value))
            .alias(STATUS),
            pl.coalesce(_ASIDE, NOTE).alias(NOTE),
        )
        .with_columns(
            (pl.col(ROWS_READ) - pl.col(ROWS_KEPT) - pl.col(ROWS_QUARANTINED)).alias(ROWS_KNOWN)
        )
        .select(news.columns)
    )


def describe_update(
    layers: IngestedLayers,
    restatements: pl.DataFrame,
    rebasings: pl.DataFrame,
    unanswered: pl.DataFrame,
    forecasts: pl.DataFrame,
) -> dict[str, Any]:
    """Describe an update.

    Args:
        layers: The layers, updated; the files of the update are pending.
        restatements: Held values that were replaced.
        rebasings: Symbols that were brought to another base.
        unanswered: What ``unanswered_symbols`` gives.
        forecasts: The forecasts, updated: they say what an absent symbol's rests on.

    Returns:
        The report: counts, the first fifty of each list, and the quarantine by rule.
    """
    files = layers.files.filter(PENDING).collect()
    bars, latest = layers.prices.select(pl.len(), pl.col(columns.DATE).max()).collect().row(0)
    rows = {
        name.removeprefix("rows_"): files[name].sum()
        for name in (ROWS_READ, ROWS_KEPT, ROWS_KNOWN, ROWS_QUARANTINED)
    }
    by_rule = (
        layers.quarantine.join(files.lazy(), on=columns.FILE, how="semi")
        .group_by(columns.RULE)
        .len()
        .sort(columns.RULE)
        .collect()
    )
    return {
        "files": files.height,
        "rows": rows,
        "bars": {
            "before": bars - rows["kept"],
            "added": rows["kept"],
            "after": bars,
            "restated": restatements.select(columns.SYMBOL, columns.DATE).n_unique(),
            "rebased": rebasings[REBASED_BARS].sum(),
        },
        "latest_session": str(latest),
        "symbols": files[columns.SYMBOL].n_unique(),
        "quarantined_by_rule": dict(by_rule.rows()),
        "set_aside": _listed(set_aside_symbols(files)),
        "rebasings": _listed(rebasings),
        "restatements": _listed(restatements),
        "absent": _listed(_with_origin(unanswered, forecasts)),
    }


def _with_origin(unanswered: pl.DataFrame, forecasts: pl.DataFrame) -> pl.DataFrame:
    """Add the session that the forecast of a symbol rests on, null where it has none."""
    origins = forecasts.select(columns.SYMBOL, pl.col(columns.DATE).alias(FORECAST_ORIGIN))
    return unanswered.join(origins, on=columns.SYMBOL, how="left", maintain_order="left")


def set_aside_symbols(files: pl.DataFrame) -> pl.DataFrame:
    """List the symbols of which an update joined nothing.

    Args:
        files: Files of an update.

    Returns:
        Symbol, and the rule as ``note``.
    """
    aside = files.filter(pl.col(STATUS) == FileStatus.SET_ASIDE)
    return aside.select(columns.SYMBOL, NOTE).unique(maintain_order=True)


def _listed(frame: pl.DataFrame) -> dict[str, Any]:
    """Count a list, and show its beginning."""
    shown = frame.head(_LISTED).with_columns(pl.col(pl.Date).cast(pl.String))
    return {"count": frame.height, "first": shown.to_dicts()}
