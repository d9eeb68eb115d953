"""Recent bars joined to those that are held: new ones added, restated ones replaced.

A source restates its past: a bar is corrected, adjusted closes are all divided by one
factor after a dividend, prices and volumes by another after a split. So bars that are held
are asked for again; where a source answers them by other values that differ by one factor,
the bars before them, which it was not asked for, are brought to the same base.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from stock_volume import columns
from stock_volume.bars.ingest import (
    LOOKED_INTO,
    NOTE,
    PENDING,
    ROWS_KEPT,
    ROWS_KNOWN,
    ROWS_QUARANTINED,
    ROWS_READ,
    SHA256,
    STATUS,
)
from stock_volume.features.chunks import symbol_chunks
from stock_volume.sources.requested import SINCE

BASE_UNKNOWN: Final = "base_unknown"
"""Rule of the quarantine: the bars overlap those held, but by no one factor."""

PRICE_FACTOR: Final = "price_factor"
VOLUME_FACTOR: Final = "volume_factor"
ADJ_CLOSE_FACTOR: Final = "adj_close_factor"
REBASED_BARS: Final = "rebased_bars"
FIELD: Final = "field"
HELD: Final = "held"
RECENT: Final = "recent"

_KEY: Final = (columns.SYMBOL, columns.DATE)
_FIRST_RECENT: Final = "first_recent"
_SUFFIX: Final = "_recent"
_AGREES: Final = "agrees"
_FACTOR_OF: Final = {columns.ADJ_CLOSE: ADJ_CLOSE_FACTOR, columns.VOLUME: VOLUME_FACTOR}
"""The factor of each field; the other prices have that of prices."""

_LEAST_EVIDENCE: Final = 3
"""Overlapping bars that it takes to believe in another base."""

_LISTED: Final = 50


class UpdateParameters(BaseModel):
    """Parameters of an update.

    Attributes:
        overlap_days: Calendar days of held bars that are asked for again.
        live_days: Calendar days: symbols whose latest bar is so much older than the latest
            of all are not asked for.
        tolerance: Relative difference up to which two prices are the same.
        base_bars: First overlapping bars that tell whether a symbol has another base.
        agreeing_share: Share of them that have to agree on the factor.
        split_tolerance: Relative difference up to which a factor of volumes is the inverse
            of that of prices: volumes are rounded to whole shares.
        catch_up_sessions: Most sessions, up to the latest, that are forecast at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    overlap_days: int = Field(default=30, ge=1)
    live_days: int = Field(default=30, ge=0)
    tolerance: float = Field(default=2e-4, ge=0, lt=1)
    base_bars: int = Field(default=5, ge=1)
    agreeing_share: float = Field(default=0.6, gt=0.5, le=1)
    split_tolerance: float = Field(default=0.02, ge=0, lt=1)
    catch_up_sessions: int = Field(default=60, ge=1)


class Changes(NamedTuple):
    """What became of bars that were held.

    Attributes:
        restatements: Held values that were replaced, and are not explained by another
            base: Symbol, Date, field, held, recent.
        rebasings: Symbols that were brought to another base: the factors, and the number
            of bars that only the factors reach.
    """

    restatements: pl.DataFrame
    rebasings: pl.DataFrame


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


class MergedBars(NamedTuple):
    """What became of the recent bars of some symbols.

    Attributes:
        prices: All bars of these symbols, sorted by symbol and date.
        changes: Of bars that were held.
        set_aside: Recent bars of symbols whose base is unknown.
    """

    prices: pl.DataFrame
    changes: Changes
    set_aside: pl.DataFrame


def wanted_bars(prices: pl.LazyFrame, parameters: UpdateParameters) -> pl.DataFrame:
    """List what to ask a source for.

    Args:
        prices: The bars that are held.
        parameters: Tell how far back, and for which symbols.

    Returns:
        Symbol, ETF and ``since``, one row a live symbol, sorted.
    """
    latest = pl.col(columns.DATE)
    return (
        prices.group_by(columns.SYMBOL)
        .agg(pl.col(columns.ETF).first(), latest.max())
        .collect(engine="streaming")
        .filter(latest >= latest.max() - pl.duration(days=parameters.live_days))
        .with_columns((latest - pl.duration(days=parameters.overlap_days)).alias(SINCE))
        .drop(columns.DATE)
        .sort(columns.SYMBOL)
    )


def unseen_files(recent: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """Choose the files whose content the layers do not know.

    Args:
        recent: Files of an update.
        held: Files that the layers were made from.

    Returns:
        Those of ``recent`` that were looked into and are new by symbol and digest.
    """
    looked_into = recent.filter(pl.col(STATUS).is_in(LOOKED_INTO))
    # A file that could not be read has no digest; it is news once.
    return looked_into.join(
        held, on=[columns.SYMBOL, SHA256], how="anti", nulls_equal=True, maintain_order="left"
    )


def chunks_together(
    held: pl.LazyFrame, recent: pl.DataFrame, rows: int
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Part held and recent bars into chunks of the same symbols.

    Args:
        held: Bars sorted by symbol.
        recent: The same, fewer.
        rows: Least number of held rows of a chunk, but for the last.

    Yields:
        Held and recent bars of some symbols, in order of symbol.
    """
    symbol = pl.col(columns.SYMBOL)
    left = recent
    for chunk in symbol_chunks(held, rows):
        of_chunk = chunk.collect()
        upto = symbol <= of_chunk[columns.SYMBOL][-1]
        yield of_chunk, left.filter(upto)
        left = left.filter(~upto)
    if left.height:
        yield left.clear(), left


def merge_bars(
    held: pl.DataFrame, recent: pl.DataFrame, parameters: UpdateParameters
) -> MergedBars:
    """Join the recent bars of some symbols to those that are held.

    Args:
        held: Bars, sorted by symbol and date.
        recent: Bars of the same symbols or of new ones, with the same columns, sorted.
        parameters: Tolerances.

    Returns:
        The joined bars, and what was changed.
    """
    both = held.join(recent.drop(columns.SECURITY_NAME, columns.ETF), on=_KEY, suffix=_SUFFIX).sort(
        _KEY
    )
    bases = _bases(both, recent, held, parameters)
    conflicting = bases.filter(~pl.col(_AGREES)).select(columns.SYMBOL)
    set_aside = recent.join(conflicting, on=columns.SYMBOL, how="semi", maintain_order="left")
    taken = recent.join(conflicting, on=columns.SYMBOL, how="anti", maintain_order="left")
    both = both.join(conflicting, on=columns.SYMBOL, how="anti", maintain_order="left")
    bases = bases.filter(_AGREES).drop(_AGREES)
    rebased = bases.filter(
        pl.any_horizontal(pl.col(PRICE_FACTOR, VOLUME_FACTOR, ADJ_CLOSE_FACTOR) != 1)
    )
    differing = both.filter(
        pl.any_horizontal(_differs(name, pl.lit(1.0), parameters) for name in columns.NUMBERS)
    )
    replaced = taken.join(differing, on=_KEY, how="semi", maintain_order="left")
    new = taken.join(held, on=_KEY, how="anti", maintain_order="left")
    explained = both.join(rebased, on=columns.SYMBOL, how="left", maintain_order="left")
    prices = (
        pl.concat(
            [
                _rescaled(held, rebased).join(replaced, on=_KEY, how="anti"),
                _named_as_held(pl.concat([replaced, new]), held),
            ]
        )
        .select(held.columns)
        .sort(_KEY)
    )
    changes = Changes(_restatements(explained, parameters), rebased.drop(_FIRST_RECENT))
    return MergedBars(prices, changes, set_aside)


def _ratio(name: str) -> pl.Expr:
    return pl.col(name + _SUFFIX) / pl.col(name)


def _bases(
    both: pl.DataFrame, recent: pl.DataFrame, held: pl.DataFrame, parameters: UpdateParameters
) -> pl.DataFrame:
    """Tell each recent symbol's factors from the first bars that overlap."""
    tolerance = parameters.tolerance
    first = both.group_by(columns.SYMBOL, maintain_order=True).head(parameters.base_bars)
    traded = (pl.col(columns.VOLUME) > 0) & (pl.col(columns.VOLUME + _SUFFIX) > 0)
    price, adjusted, volume = (
        _ratio(name) for name in (columns.CLOSE, columns.ADJ_CLOSE, columns.VOLUME)
    )

    def agreeing(ratio: pl.Expr) -> pl.Expr:
        return ((ratio / ratio.median() - 1).abs() <= tolerance).mean()

    def other(ratio: pl.Expr) -> pl.Expr:
        return (ratio.median() - 1).abs() > tolerance

    # One bar that differs may as well have been corrected.
    enough = pl.len() >= min(_LEAST_EVIDENCE, parameters.base_bars)
    one_factor = pl.min_horizontal(agreeing(price), agreeing(adjusted)) >= parameters.agreeing_share
    agree = one_factor & (enough | ~(other(price) | other(adjusted)))

    def factor(ratio: pl.Expr) -> pl.Expr:
        return pl.when(agree & other(ratio)).then(ratio.median()).otherwise(1.0)

    measured = first.group_by(columns.SYMBOL, maintain_order=True).agg(
        factor(price).alias(PRICE_FACTOR),
        factor(adjusted).alias(ADJ_CLOSE_FACTOR),
        volume.filter(traded).median().alias("volume_ratio"),
        agree.alias(_AGREES),
    )
    starts = recent.group_by(columns.SYMBOL, maintain_order=True).agg(
        pl.col(columns.DATE).min().alias(_FIRST_RECENT)
    )
    before = (
        held.join(starts, on=columns.SYMBOL)
        .filter(pl.col(columns.DATE) < pl.col(_FIRST_RECENT))
        .group_by(columns.SYMBOL)
        .agg(pl.len().cast(pl.Int64).alias(REBASED_BARS))
    )
    inverse = 1 / pl.col(PRICE_FACTOR)
    ratio = pl.col("volume_ratio").fill_null(inverse)  # no trade says otherwise
    split = (ratio / inverse - 1).abs() <= parameters.split_tolerance
    unsplit = (ratio - 1).abs() <= parameters.split_tolerance  # a source of volumes as traded
    same_price = pl.col(PRICE_FACTOR) == 1
    return (
        starts.join(measured, on=columns.SYMBOL, how="left", maintain_order="left")
        .join(before, on=columns.SYMBOL, how="left", maintain_order="left")
        .with_columns(
            pl.col(PRICE_FACTOR, ADJ_CLOSE_FACTOR).fill_null(1.0),
            pl.col(REBASED_BARS).fill_null(0),
        )
        .select(
            columns.SYMBOL,
            _FIRST_RECENT,
            PRICE_FACTOR,
            pl.when(same_price | ~split).then(1.0).otherwise(inverse).alias(VOLUME_FACTOR),
            ADJ_CLOSE_FACTOR,
            REBASED_BARS,
            # Where every held bar is answered anew, no factor is needed.
            (
                (pl.col(REBASED_BARS) == 0)
                | (pl.col(_AGREES).fill_null(value=True) & (same_price | split | unsplit))
            ).alias(_AGREES),
        )
    )


def _rescaled(held: pl.DataFrame, rebased: pl.DataFrame) -> pl.DataFrame:
    """Bring the bars before the recent ones to the base of those."""
    if not rebased.height:
        return held
    factors = held.join(rebased, on=columns.SYMBOL, how="left", maintain_order="left")
    early = pl.col(columns.DATE) < pl.col(_FIRST_RECENT)

    def times(name: str, factor: str) -> pl.Expr:
        scaled = pl.col(name) * pl.col(factor)
        if name == columns.VOLUME:
            scaled = scaled.round().cast(pl.Int64)
        return pl.when(early & (pl.col(factor) != 1)).then(scaled).otherwise(name).alias(name)

    return factors.with_columns(
        times(name, _FACTOR_OF.get(name, PRICE_FACTOR)) for name in columns.NUMBERS
    ).select(held.columns)


def _differs(name: str, factor: pl.Expr, parameters: UpdateParameters) -> pl.Expr:
    """Tell where the recent value of a field is another than the held one on its base."""
    held, recent = pl.col(name) * factor, pl.col(name + _SUFFIX)
    tolerance: float | pl.Expr = parameters.tolerance
    if name == columns.VOLUME:
        # Whole shares are compared as they are, unless they were divided and rounded.
        tolerance = pl.when(factor == 1).then(0.0).otherwise(parameters.split_tolerance)
    differs = (recent - held).abs() > tolerance * held
    # An Open that is no longer told is no correction; one that is told now is.
    return (differs | (held.is_null() & recent.is_not_null())).fill_null(value=False)


def _restatements(explained: pl.DataFrame, parameters: UpdateParameters) -> pl.DataFrame:
    """List what was corrected, value by value, apart from another base."""
    lists = []
    for name in columns.NUMBERS:
        factor = pl.col(_FACTOR_OF.get(name, PRICE_FACTOR)).fill_null(1.0)
        lists.append(
            explained.filter(_differs(name, factor, parameters)).select(
                *_KEY,
                pl.lit(name).alias(FIELD),
                pl.col(name).cast(pl.Float64).alias(HELD),
                pl.col(name + _SUFFIX).cast(pl.Float64).alias(RECENT),
            )
        )
    return pl.concat(lists).sort(*_KEY, FIELD)


def _named_as_held(bars: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """Keep the names that are held: recent bars often come without a listing."""
    names = held.group_by(columns.SYMBOL).agg(
        pl.col(columns.SECURITY_NAME, columns.ETF).first().name.suffix(_SUFFIX)
    )
    return (
        bars.join(names, on=columns.SYMBOL, how="left", maintain_order="left")
        .with_columns(
            pl.coalesce(name + _SUFFIX, name).alias(name)
            for name in (columns.SECURITY_NAME, columns.ETF)
        )
        .select(bars.columns)
    )


class UpdatePlan(NamedTuple):
    """What an update will do.

    Attributes:
        unseen: Files whose content the layers do not know; none where nothing is new.
        changes: What becomes of bars that are held.
        set_aside: Recent bars of symbols whose base is unknown.
    """

    unseen: pl.DataFrame
    changes: Changes
    set_aside: pl.DataFrame


def plan_update(
    held: IngestedLayers, recent: IngestedLayers, parameters: UpdateParameters, rows: int
) -> UpdatePlan:
    """Find out what an update brings and changes.

    Args:
        held: The layers.
        recent: What the source answered.
        parameters: Tolerances.
        rows: Least rows of a chunk.

    Returns:
        The plan.
    """
    unseen = unseen_files(recent.files.collect(), held.files.collect())
    changes, set_aside = [_no_changes()], [recent.prices.head(0).collect()]
    for merged in _merged(held.prices, recent.prices, unseen, parameters, rows):
        changes.append(merged.changes)
        set_aside.append(merged.set_aside)
    return UpdatePlan(
        unseen,
        Changes(*(pl.concat(of_kind) for of_kind in zip(*changes, strict=True))),
        pl.concat(set_aside),
    )


def updated_prices(
    held: pl.LazyFrame,
    recent: pl.LazyFrame,
    plan: UpdatePlan,
    parameters: UpdateParameters,
    rows: int,
) -> Iterator[pl.DataFrame]:
    """Join recent bars to those that are held.

    Args:
        held: Bars, sorted by symbol and date.
        recent: What the source answered.
        plan: Tells which of them are news.
        parameters: Tolerances.
        rows: Least rows of a chunk.

    Yields:
        All bars, a chunk of symbols at a time; nothing where nothing is new.
    """
    for merged in _merged(held, recent, plan.unseen, parameters, rows):
        yield merged.prices


def _merged(
    held: pl.LazyFrame,
    recent: pl.LazyFrame,
    unseen: pl.DataFrame,
    parameters: UpdateParameters,
    rows: int,
) -> Iterator[MergedBars]:
    if unseen.height:
        news = recent.join(unseen.lazy(), on=columns.SYMBOL, how="semi", maintain_order="left")
        for held_bars, recent_bars in chunks_together(held, news.collect(), rows):
            yield merge_bars(held_bars, recent_bars, parameters)


def updated_quarantine(held: pl.LazyFrame, recent: pl.LazyFrame, plan: UpdatePlan) -> pl.DataFrame:
    """Join the rows that an update set aside to those that are in quarantine.

    Args:
        held: The quarantine.
        recent: Rows of the recent files that broke a rule.
        plan: Tells which files are news, and which bars have no known base.

    Returns:
        The quarantine anew.
    """
    rejected = recent.join(plan.unseen.lazy(), on=columns.FILE, how="semi", maintain_order="left")
    aside = quarantined_bars(plan.set_aside, plan.unseen)
    return pl.concat([held.collect(), rejected.collect(), aside])


def _no_changes() -> Changes:
    text, day, number = pl.String, pl.Date, pl.Float64
    factors = [PRICE_FACTOR, VOLUME_FACTOR, ADJ_CLOSE_FACTOR]
    return Changes(
        pl.DataFrame(
            schema={
                columns.SYMBOL: text,
                columns.DATE: day,
                FIELD: text,
                HELD: number,
                RECENT: number,
            }
        ),
        pl.DataFrame(
            schema={
                columns.SYMBOL: text,
                **dict.fromkeys(factors, number),
                REBASED_BARS: pl.Int64,
            }
        ),
    )


def quarantined_bars(set_aside: pl.DataFrame, files: pl.DataFrame) -> pl.DataFrame:
    """Turn bars of an unknown base into rows of the quarantine.

    Args:
        set_aside: The bars.
        files: The files of the update.

    Returns:
        Rows of the quarantine; the line is 0, for a bar is no longer text.
    """
    of_symbol = files.group_by(columns.SYMBOL, maintain_order=True).agg(
        pl.col(columns.FILE).first()
    )
    return set_aside.join(of_symbol, on=columns.SYMBOL, maintain_order="left").select(
        columns.FILE,
        pl.lit(0, pl.Int32).alias(columns.LINE),
        pl.lit(BASE_UNKNOWN).alias(columns.RULE),
        *(pl.col(name).cast(pl.String) for name in columns.BAR),
    )


def updated_files(held: pl.LazyFrame, prices: pl.LazyFrame, plan: UpdatePlan) -> pl.DataFrame:
    """Join the files of an update to those that the layers were made from.

    Args:
        held: Files that the layers were made from before.
        prices: The bars, updated.
        plan: Tells which files are news, and which bars have no known base.

    Returns:
        The files anew. Of a file of the update, those rows are kept whose bars no earlier
        file accounts for, and the others that broke no rule were known. It is pending: the
        layers after the prices do not know its bars yet.
    """
    files = held.collect()
    counts = prices.group_by(columns.SYMBOL).len().collect(engine="streaming")
    return pl.concat([files, _accounted(plan.unseen, files, counts, plan.set_aside)])


def _accounted(
    unseen: pl.DataFrame, held: pl.DataFrame, counts: pl.DataFrame, set_aside: pl.DataFrame
) -> pl.DataFrame:
    symbol = pl.col(columns.SYMBOL)
    accounted = held.group_by(columns.SYMBOL).agg(pl.col(ROWS_KEPT).sum().alias("accounted"))
    aside = set_aside.group_by(columns.SYMBOL).agg(pl.len().cast(pl.Int64).alias("aside"))
    first = symbol.is_first_distinct()
    return (
        unseen.join(counts, on=columns.SYMBOL, how="left", maintain_order="left")
        .join(accounted, on=columns.SYMBOL, how="left", maintain_order="left")
        .join(aside, on=columns.SYMBOL, how="left", maintain_order="left")
        .with_columns(
            pl.when(first)
            .then(pl.col("len").fill_null(0).cast(pl.Int64) - pl.col("accounted").fill_null(0))
            .otherwise(0)
            .alias(ROWS_KEPT),
            pl.when(first)
            .then(pl.col(ROWS_QUARANTINED) + pl.col("aside").fill_null(0))
            .otherwise(ROWS_QUARANTINED)
            .alias(ROWS_QUARANTINED),
            pl.lit(value=True).alias(PENDING),
        )
        .with_columns(
            (pl.col(ROWS_READ) - pl.col(ROWS_KEPT) - pl.col(ROWS_QUARANTINED)).alias(ROWS_KNOWN)
        )
        .select(unseen.columns)
    )


def describe_update(
    prices: pl.LazyFrame,
    quarantine: pl.LazyFrame,
    files: pl.DataFrame,
    changes: Changes,
    absent: pl.DataFrame,
) -> dict[str, Any]:
    """Describe an update.

    Args:
        prices: The bars, updated.
        quarantine: The quarantine, updated.
        files: The files of the update, with what became of their rows.
        changes: What became of bars that were held.
        absent: Files that the source was asked for and does not have.

    Returns:
        The report: counts, the first fifty of each list, and the quarantine by rule.
    """
    bars, latest = prices.select(pl.len(), pl.col(columns.DATE).max()).collect().row(0)
    rows = {
        name.removeprefix("rows_"): files[name].sum()
        for name in (ROWS_READ, ROWS_KEPT, ROWS_KNOWN, ROWS_QUARANTINED)
    }
    by_rule = (
        quarantine.join(files.lazy(), on=columns.FILE, how="semi")
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
            "restated": changes.restatements.select(_KEY).n_unique(),
            "rebased": changes.rebasings[REBASED_BARS].sum(),
        },
        "latest_session": str(latest),
        "symbols": files[columns.SYMBOL].n_unique(),
        "quarantined_by_rule": dict(by_rule.rows()),
        "rebasings": _listed(changes.rebasings),
        "restatements": _listed(changes.restatements),
        "absent": _listed(absent.select(columns.SYMBOL, NOTE)),
    }


def _listed(frame: pl.DataFrame) -> dict[str, Any]:
    """Count a list, and show its beginning."""
    shown = frame.head(_LISTED).with_columns(pl.col(pl.Date).cast(pl.String))
    return {"count": frame.height, "first": shown.to_dicts()}
