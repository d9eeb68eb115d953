"""Merge recent bars into the bars held: add new ones, replace restated ones.

A source restates its past: it corrects a bar, divides all adjusted closes by one factor
after a dividend, and all prices and volumes by another after a split. An update therefore
requests some held bars again. Where their new values differ from the held ones by one
factor, the older held bars are rescaled to the same base.
"""

from typing import Final, NamedTuple

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from stock_volume import columns
from stock_volume.bars.ledger import ADDED, HELD
from stock_volume.bars.rules import FIRST_INEXACT_WHOLE_NUMBER, MIN_PRICE, PRICE_BOUND

BASE_UNKNOWN: Final = "base_unknown"
"""Rule of the quarantine: the bars overlap held bars, but differ by no single factor."""

NO_OVERLAP: Final = "no_overlap"
"""Rule of the quarantine: the bars overlap no held bar, so their base is unknown."""

PRICE_FACTOR: Final = "price_factor"
VOLUME_FACTOR: Final = "volume_factor"
ADJ_CLOSE_FACTOR: Final = "adj_close_factor"
FACTORS: Final = (PRICE_FACTOR, VOLUME_FACTOR, ADJ_CLOSE_FACTOR)
REBASED_BARS: Final = "rebased_bars"
FIELD: Final = "field"
RECENT: Final = "recent"

_KEY: Final = (columns.SYMBOL, columns.DATE)
_SUFFIX: Final = "_recent"
_FACTOR_OF: Final = {columns.ADJ_CLOSE: ADJ_CLOSE_FACTOR, columns.VOLUME: VOLUME_FACTOR}
"""The factor of each field; every other field has the factor of prices."""

_MIN_EVIDENCE: Final = 3
"""Overlapping bars required as evidence of another base."""


class MergeParameters(BaseModel):
    """Parameters of the merge of recent bars into the bars held.

    Attributes:
        tolerance: Relative difference up to which two prices are the same.
        base_bars: Number of first overlapping bars that determine a symbol's base.
        agreeing_share: Share of them that must agree on the factor.
        split_tolerance: Relative difference up to which the factor of volumes is the inverse
            of the factor of prices: volumes are rounded to whole shares.
        overlap_required: Whether bars of a held symbol are set aside if they overlap none of
            its bars. Without an overlap, a split in between looks like a crash or a boom.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tolerance: float = Field(default=2e-4, ge=0, lt=1)
    base_bars: int = Field(default=5, ge=1)
    agreeing_share: float = Field(default=0.6, gt=0.5, le=1)
    split_tolerance: float = Field(default=0.02, ge=0, lt=1)
    overlap_required: bool = True


class MergedBars(NamedTuple):
    """The result of merging recent bars of some symbols.

    Attributes:
        prices: All bars of these symbols, sorted by symbol and date.
        restatements: Held values that were replaced and that no change of base explains:
            Symbol, Date, field, held, recent.
        rebasings: Symbols moved to another base: the factors, and the number of held bars
            that were rescaled by them.
        set_aside: Recent bars that cannot be merged, with the rule they break.
        counts: Number of bars held and added, by symbol.
    """

    prices: pl.DataFrame
    restatements: pl.DataFrame
    rebasings: pl.DataFrame
    set_aside: pl.DataFrame
    counts: pl.DataFrame


def merge_bars(held: pl.DataFrame, recent: pl.DataFrame, parameters: MergeParameters) -> MergedBars:
    """Merge recent bars of some symbols into the bars held.

    Args:
        held: Bars, sorted by symbol and date.
        recent: Bars of the same symbols or of new ones, with the same columns, sorted.
        parameters: Tolerances.

    Returns:
        The merged bars, and what has changed.
    """
    numbers = recent.drop(columns.SECURITY_NAME, columns.ETF)
    both = held.join(numbers, on=_KEY, suffix=_SUFFIX, maintain_order="left")
    unmatched = held.join(recent, on=_KEY, how="anti", maintain_order="left")
    bases = _determine_bases(both, recent, unmatched, parameters)
    unjoinable = bases.filter(pl.col(columns.RULE).is_not_null()).select(
        columns.SYMBOL, columns.RULE
    )
    set_aside = recent.join(unjoinable, on=columns.SYMBOL, maintain_order="left")
    taken = recent.join(unjoinable, on=columns.SYMBOL, how="anti", maintain_order="left")
    both = both.join(unjoinable, on=columns.SYMBOL, how="anti", maintain_order="left")
    rebased = bases.filter(
        pl.col(columns.RULE).is_null() & pl.any_horizontal(pl.col(FACTORS) != 1)
    ).drop(columns.RULE)
    differing = both.filter(
        pl.any_horizontal(
            _mark_differences(name, pl.lit(1.0), parameters) for name in columns.NUMBERS
        )
    )
    replaced = taken.join(differing, on=_KEY, how="semi", maintain_order="left")
    added = taken.join(held, on=_KEY, how="anti", maintain_order="left")
    other = pl.concat([unmatched.select(_KEY), replaced.select(_KEY)])
    same = held.join(other, on=_KEY, how="anti", maintain_order="left")
    prices = (
        pl.concat(
            [
                same,
                _rescale(unmatched, both, rebased),
                _keep_names(pl.concat([replaced, added]), held),
            ]
        )
        .select(held.columns)
        .sort(_KEY)
    )
    explained = both.join(rebased, on=columns.SYMBOL, how="left", maintain_order="left")
    counts = (
        _count(held, HELD)
        .join(_count(added, ADDED), on=columns.SYMBOL, how="full", coalesce=True)
        .with_columns(pl.col(HELD, ADDED).fill_null(0))
    )
    return MergedBars(prices, _list_restatements(explained, parameters), rebased, set_aside, counts)


def _count(bars: pl.DataFrame, name: str) -> pl.DataFrame:
    return bars.group_by(columns.SYMBOL).agg(pl.len().cast(pl.Int64).alias(name))


def _ratio(name: str) -> pl.Expr:
    return pl.col(name + _SUFFIX) / pl.col(name)


def _determine_bases(
    both: pl.DataFrame,
    recent: pl.DataFrame,
    unmatched: pl.DataFrame,
    parameters: MergeParameters,
) -> pl.DataFrame:
    """Determine the factors of each recent symbol, or the rule that its bars break."""
    measured = _measure_factors(both, parameters)
    symbols = recent.select(pl.col(columns.SYMBOL).unique(maintain_order=True))
    inverse = 1 / pl.col(PRICE_FACTOR)
    ratio = pl.col("volume_ratio").fill_null(inverse)  # no trade contradicts it
    split = (ratio / inverse - 1).abs() <= parameters.split_tolerance
    as_traded = (ratio - 1).abs() <= parameters.split_tolerance
    same_price = pl.col(PRICE_FACTOR) == 1
    volume_factor = pl.when(same_price | ~split).then(1.0).otherwise(inverse)
    disagreeing = ~(pl.col("agrees") & (same_price | split | as_traded))
    apart = pl.col("agrees").is_null()  # none of the held bars overlaps
    return (
        symbols.join(measured, on=columns.SYMBOL, how="left", maintain_order="left")
        .join(_find_extremes(unmatched), on=columns.SYMBOL, how="left", maintain_order="left")
        .with_columns(
            pl.col(PRICE_FACTOR, ADJ_CLOSE_FACTOR).fill_null(1.0),
            pl.col(REBASED_BARS).fill_null(0),
        )
        .select(
            columns.SYMBOL,
            PRICE_FACTOR,
            volume_factor.alias(VOLUME_FACTOR),
            ADJ_CLOSE_FACTOR,
            REBASED_BARS,
            # Where every held bar is replaced, no factor is needed.
            pl.when(pl.col(REBASED_BARS) > 0)
            .then(
                pl.when(apart & parameters.overlap_required)
                .then(pl.lit(NO_OVERLAP))
                .when(disagreeing | _is_out_of_bounds(volume_factor))
                .then(pl.lit(BASE_UNKNOWN))
            )
            .alias(columns.RULE),
        )
    )


def _find_extremes(unmatched: pl.DataFrame) -> pl.DataFrame:
    """Count the bars of each symbol without a recent counterpart; find their extremes."""
    known = [name for name in columns.PRICES if name != columns.ADJ_CLOSE]
    return unmatched.group_by(columns.SYMBOL).agg(
        pl.len().cast(pl.Int64).alias(REBASED_BARS),
        pl.min_horizontal(pl.col(known).min()).alias("min_price"),
        pl.max_horizontal(pl.col(known).max()).alias("max_price"),
        pl.col(columns.ADJ_CLOSE).min().alias("min_adjusted"),
        pl.col(columns.ADJ_CLOSE).max().alias("max_adjusted"),
        pl.col(columns.VOLUME).max().alias("max_volume"),
    )


def _is_out_of_bounds(volume_factor: pl.Expr) -> pl.Expr:
    """Mark symbols whose factors would move bars out of the bounds of ingestion."""
    prices = (("price", PRICE_FACTOR), ("adjusted", ADJ_CLOSE_FACTOR))
    beyond = [pl.col("max_volume") * volume_factor >= FIRST_INEXACT_WHOLE_NUMBER]
    for name, factor in prices:
        too_low = pl.col(f"min_{name}") * pl.col(factor) < MIN_PRICE
        too_high = pl.col(f"max_{name}") * pl.col(factor) >= PRICE_BOUND
        beyond.append((pl.col(factor) != 1) & (too_low | too_high))
    return pl.any_horizontal(beyond).fill_null(value=False)


def _measure_factors(both: pl.DataFrame, parameters: MergeParameters) -> pl.DataFrame:
    """Measure the factors of each symbol on the first overlapping bars."""
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

    # A single bar that differs may just have been corrected.
    enough = pl.len() >= min(_MIN_EVIDENCE, parameters.base_bars)
    one_factor = pl.min_horizontal(agreeing(price), agreeing(adjusted)) >= parameters.agreeing_share
    agree = one_factor & (enough | ~(other(price) | other(adjusted)))

    def factor(ratio: pl.Expr) -> pl.Expr:
        return pl.when(agree & other(ratio)).then(ratio.median()).otherwise(1.0)

    return first.group_by(columns.SYMBOL, maintain_order=True).agg(
        factor(price).alias(PRICE_FACTOR),
        factor(adjusted).alias(ADJ_CLOSE_FACTOR),
        volume.filter(traded).median().alias("volume_ratio"),
        agree.alias("agrees"),
    )


def _rescale(unmatched: pl.DataFrame, both: pl.DataFrame, rebased: pl.DataFrame) -> pl.DataFrame:
    """Rescale held bars without a recent counterpart to the base of the recent bars.

    A bar added after a split is on the new base already: the overlapping bar before it, whose
    ratio is about 1, shows that.
    """
    if not rebased.height:
        return unmatched
    overlap = both.select(
        *_KEY,
        _ratio(columns.CLOSE).alias("price_ratio"),
        _ratio(columns.ADJ_CLOSE).alias("adjusted_ratio"),
    )
    factors = unmatched.join(
        rebased, on=columns.SYMBOL, how="left", maintain_order="left"
    ).join_asof(overlap, on=columns.DATE, by=columns.SYMBOL, check_sortedness=False)

    def on_old_base(factor: str, ratio: str) -> pl.Expr:
        nearer = (pl.col(ratio) / pl.col(factor)).log().abs() <= pl.col(ratio).log().abs()
        return nearer.fill_null(value=True) & (pl.col(factor) != 1)

    of_prices = on_old_base(PRICE_FACTOR, "price_ratio")
    of_adjusted = on_old_base(ADJ_CLOSE_FACTOR, "adjusted_ratio")

    def times(name: str) -> pl.Expr:
        scaled = pl.col(name) * pl.col(_FACTOR_OF.get(name, PRICE_FACTOR))
        if name == columns.VOLUME:
            scaled = scaled.round().cast(pl.Int64)
        old = of_adjusted if name == columns.ADJ_CLOSE else of_prices
        return pl.when(old).then(scaled).otherwise(name).alias(name)

    return factors.with_columns(times(name) for name in columns.NUMBERS).select(unmatched.columns)


def _mark_differences(name: str, factor: pl.Expr, parameters: MergeParameters) -> pl.Expr:
    """Mark where a field's recent value differs from the held one, rescaled."""
    held, recent = pl.col(name) * factor, pl.col(name + _SUFFIX)
    tolerance: float | pl.Expr = parameters.tolerance
    if name == columns.VOLUME:
        # Whole shares are compared as they are, unless they were divided and rounded.
        tolerance = pl.when(factor == 1).then(0.0).otherwise(parameters.split_tolerance)
    differs = (recent - held).abs() > tolerance * held
    # An Open that is missing now is no correction; one that was missing before is.
    return (differs | (held.is_null() & recent.is_not_null())).fill_null(value=False)


def _list_restatements(explained: pl.DataFrame, parameters: MergeParameters) -> pl.DataFrame:
    """List corrected values, one row per value, apart from changes of base."""
    lists = []
    for name in columns.NUMBERS:
        factor = pl.col(_FACTOR_OF.get(name, PRICE_FACTOR)).fill_null(1.0)
        lists.append(
            explained.filter(_mark_differences(name, factor, parameters)).select(
                *_KEY,
                pl.lit(name).alias(FIELD),
                pl.col(name).cast(pl.Float64).alias(HELD),
                pl.col(name + _SUFFIX).cast(pl.Float64).alias(RECENT),
            )
        )
    return pl.concat(lists).sort(*_KEY, FIELD)


def _keep_names(bars: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """Keep the names held: recent bars often come without a listing."""
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
