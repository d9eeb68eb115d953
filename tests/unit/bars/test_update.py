"""Recent bars joined to those held, beside a plain joining in pandas."""

from datetime import date, timedelta
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from stock_volume.bars.ledger import FileStatus, known_contents, unread_name
from stock_volume.bars.merge import MergedBars, MergeParameters, merge_bars
from stock_volume.bars.quality import report_quality
from stock_volume.bars.update import (
    IngestedLayers,
    UpdateParameters,
    absent_symbols,
    describe_update,
    unanswered_symbols,
    update_layers,
    wanted_bars,
)
from stock_volume.errors import UnbalancedRowsError
from stock_volume.schemas import Files, Quarantine
from tests.unit.helpers import files_frame, trading_days

DAYS: Final = trading_days(40)
PRICES: Final = ["Open", "High", "Low", "Close", "Adj Close"]


def bars_of(symbol: str = "A", days: list[date] = DAYS, seed: int = 0) -> pl.DataFrame:
    """Make bars whose every value is its own."""
    random = np.random.default_rng([seed, *symbol.encode()])
    low = random.uniform(10, 20, len(days))
    return pl.DataFrame(
        {
            "Symbol": symbol,
            "Security Name": f"{symbol} Inc.",
            "ETF": False,
            "Date": days,
            "Open": low + 0.25,
            "High": low + 1,
            "Low": low,
            "Close": low + 0.5,
            "Adj Close": low * 0.9,
            "Volume": random.integers(1_000, 1_000_000, len(days)),
        }
    )


def rebased(
    bars: pl.DataFrame, price: float = 1.0, adjusted: float | None = None, volume: float = 1.0
) -> pl.DataFrame:
    """Bring bars to another base, as a source would."""
    adjusted = price if adjusted is None else adjusted
    return bars.with_columns(
        *(pl.col(name) * price for name in PRICES[:-1]),
        pl.col("Adj Close") * adjusted,
        (pl.col("Volume") * volume).round().cast(pl.Int64),
    )


def merge(held: pl.DataFrame, recent: pl.DataFrame, **changes: Any) -> MergedBars:
    return merge_bars(held, recent, MergeParameters(**changes))


def changed(bars: pl.DataFrame, place: int, **values: object) -> pl.DataFrame:
    """Change fields of one bar, by their names with underscores for blanks."""
    at = pl.int_range(pl.len()) == place
    return bars.with_columns(
        pl.when(at)
        .then(pl.lit(value))
        .otherwise(pl.col(name.replace("_", " ")))
        .alias(name.replace("_", " "))
        for name, value in values.items()
    ).select(bars.columns)


def nothing_changed(merged: MergedBars) -> bool:
    lists = (merged.restatements, merged.rebasings, merged.set_aside)
    return not any(frame.height for frame in lists)


@given(
    cut=st.integers(0, 40),
    overlap=st.integers(0, 40),
    symbols=st.integers(1, 3),
    seed=st.integers(0, 9),
)
@example(cut=40, overlap=0, symbols=1, seed=0)
@settings(max_examples=60, deadline=None)
def test_parts_make_the_whole(cut: int, overlap: int, symbols: int, seed: int) -> None:
    """Wherever a history is cut and however far the parts overlap, joined they are the whole."""
    whole = pl.concat([bars_of(symbol, seed=seed) for symbol in "ABC"[:symbols]])
    held = whole.filter(pl.col("Date").is_in(DAYS[:cut]))
    recent = whole.filter(pl.col("Date").is_in(DAYS[max(cut - overlap, 0) :]))
    merged = merge(held, recent, overlap_required=False)
    assert_frame_equal(merged.prices, whole)
    assert nothing_changed(merged)
    assert merged.counts.select("held", "added").sum().row(0) == (
        held.height,
        whole.height - held.height,
    )


@pytest.mark.parametrize(
    ("price", "volume"), [(1 / 4, 4), (1 / 3, 3), (10, 1 / 10), (1 / 1.5, 1.5), (25, 1 / 25)]
)
def test_a_split_brings_the_past_to_its_base(price: float, volume: float) -> None:
    """After a split, prices and volumes before the overlap are those that the source now has."""
    whole = bars_of()
    restated = rebased(whole, price, volume=volume)
    merged = merge(whole[:30], restated[20:])
    expected = pd.concat(
        [
            whole[:20]
            .to_pandas()
            .assign(
                **{name: whole[:20][name].to_numpy() * price for name in PRICES},
                Volume=np.rint(whole[:20]["Volume"].to_numpy() * (1 / price)).astype(int),
            ),
            restated[20:].to_pandas(),
        ],
        ignore_index=True,
    )
    pd.testing.assert_frame_equal(merged.prices.to_pandas(), expected, rtol=1e-12)
    ((symbol, of_price, of_volume, of_adjusted, count),) = merged.rebasings.rows()
    assert symbol == "A"
    assert (of_price, of_volume, of_adjusted) == pytest.approx((price, 1 / price, price))
    assert count == 20
    assert merged.restatements.height == 0


def test_a_dividend_changes_adjusted_closes_alone() -> None:
    """After a dividend, the adjusted closes of the past are scaled, and nothing else."""
    whole = bars_of()
    restated = rebased(whole, adjusted=0.993)
    merged = merge(whole[:30], restated[20:])
    assert_frame_equal(merged.prices.drop("Adj Close"), whole.drop("Adj Close"), check_exact=True)
    np.testing.assert_allclose(merged.prices["Adj Close"], whole["Adj Close"] * 0.993)
    assert merged.rebasings.row(0) == ("A", 1.0, 1.0, pytest.approx(0.993), 20)


def test_a_split_within_the_overlap() -> None:
    """Bars since the split are on its base already: the first ones reveal the base of the past."""
    whole = bars_of()
    held = pl.concat([whole[:26], rebased(whole[26:30], 1 / 2, volume=2)])
    restated = rebased(whole, 1 / 2, volume=2)
    merged = merge(held, restated[20:])
    assert merged.rebasings.row(0) == ("A", 0.5, 2.0, 0.5, 20)
    assert_frame_equal(merged.prices, rebased(whole, 1 / 2, volume=2))


def test_a_source_of_volumes_as_traded() -> None:
    """A source that splits prices and not volumes keeps the volumes of the past."""
    whole = bars_of()
    merged = merge(whole[:30], rebased(whole, 1 / 4)[20:])
    assert merged.rebasings.row(0)[1:4] == (0.25, 1.0, 0.25)
    assert merged.prices["Volume"].to_list() == whole["Volume"].to_list()


def test_a_correction_wins_and_is_listed() -> None:
    """A single restated value replaces the held one."""
    whole = bars_of()
    recent = changed(changed(whole, 25, Volume=7), 27, Close=10.25)[20:]
    merged = merge(whole[:30], recent)
    assert merged.prices["Volume"][25] == 7
    assert merged.prices["Close"][27] == 10.25
    assert merged.restatements.rows() == [
        ("A", DAYS[25], "Volume", whole["Volume"][25], 7),
        ("A", DAYS[27], "Close", whole["Close"][27], 10.25),
    ]
    assert merged.rebasings.height == 0


def test_a_correction_beside_a_split_is_found() -> None:
    """Of a symbol on another base, only what the factors do not explain is a correction."""
    whole = bars_of()
    restated = rebased(changed(whole, 28, Volume=123_456), 1 / 4, volume=4)
    merged = merge(whole[:30], restated[20:])
    assert merged.restatements.rows() == [
        ("A", DAYS[28], "Volume", whole["Volume"][28], 4 * 123_456)
    ]
    assert merged.prices["Volume"][28] == 4 * 123_456


@pytest.mark.parametrize(("factor", "replaced"), [(1 + 1e-4, False), (1 + 4e-4, True)])
def test_rounding_is_no_correction(factor: float, replaced: bool) -> None:  # noqa: FBT001
    """A price within the tolerance stays as it is held, so that an update changes nothing."""
    whole = bars_of()
    close = float(whole["Close"][28])
    merged = merge(whole[:30], changed(whole, 28, Close=close * factor)[20:])
    assert (merged.prices["Close"][28] != close) is replaced
    assert merged.restatements.height == int(replaced)


def test_an_open_that_becomes_known_is_taken() -> None:
    """An unknown Open is filled in; a known one is not lost."""
    whole = bars_of()
    held = changed(whole, 25, Open=None)
    assert merge(held[:30], whole[20:]).prices["Open"][25] == whole["Open"][25]
    again = merge(whole[:30], held[20:])
    assert again.prices["Open"][25] == whole["Open"][25]
    assert nothing_changed(again)


def test_bars_of_an_unknown_base_are_set_aside() -> None:
    """Where the overlap agrees on no factor, nothing is joined and every bar is set aside."""
    a, b = bars_of("A"), bars_of("B")
    garbage = bars_of("A", seed=1)
    merged = merge(pl.concat([a[:30], b[:30]]), pl.concat([garbage[20:], b[20:]]))
    assert_frame_equal(merged.prices, pl.concat([a[:30], b]))
    assert_frame_equal(merged.set_aside.drop("rule"), garbage[20:])
    assert merged.set_aside["rule"].unique().to_list() == ["base_unknown"]
    assert merged.restatements.height == merged.rebasings.height == 0


@pytest.mark.parametrize("ratio", [2, 1 / 2, 3])
def test_held_bars_follow_a_split(ratio: float) -> None:
    """Bars before the overlap move to the new base, whatever the ratio of the split."""
    whole = bars_of().with_columns(pl.col("Volume") * 6)
    moved = rebased(whole, ratio, volume=1 / ratio)
    merged = merge(whole[:30], moved[20:])
    assert merged.set_aside.height == 0
    assert_frame_equal(merged.prices, moved)


def test_a_single_share_is_a_trade() -> None:
    """Volumes of one share count for the factor of volumes, as any others do."""
    whole = bars_of().with_columns(pl.lit(4, dtype=pl.Int64).alias("Volume"))
    moved = rebased(whole, 4, volume=1 / 4)
    merged = merge(whole[:30], moved[20:])
    assert merged.set_aside.height == 0
    assert_frame_equal(merged.prices, moved)


def test_a_split_whose_volumes_disagree_is_set_aside() -> None:
    """Prices by four and volumes by three are neither a split nor a source without volumes."""
    whole = bars_of()
    merged = merge(whole[:30], rebased(whole, 1 / 4, volume=3)[20:])
    assert merged.set_aside.height == 20
    assert_frame_equal(merged.prices, whole[:30])


@pytest.mark.parametrize(
    ("price", "adjusted", "volume"),
    [(1e11, None, 0), (1e-14, None, 0), (1e-11, None, 0), (1, 1e-13, 1)],
    ids=["price-above", "price-below", "volume-above", "adjusted-close-below"],
)
def test_a_factor_beyond_the_bounds_is_set_aside(
    price: float, adjusted: float | None, volume: float
) -> None:
    """Where the factor would take held bars out of the bounds of a bar, nothing is joined."""
    whole = bars_of()
    held = whole[:30].with_columns(
        pl.when(pl.int_range(pl.len()) < 20).then("Volume").otherwise(volume * pl.col("Volume"))
    )
    merged = merge(held, rebased(whole, price, adjusted, volume)[20:])
    assert merged.set_aside["rule"].to_list() == ["base_unknown"] * 20
    assert_frame_equal(merged.prices, held)


@pytest.mark.parametrize(("overlap", "believed"), [(1, False), (2, False), (3, True)])
def test_another_base_takes_some_evidence(overlap: int, believed: bool) -> None:  # noqa: FBT001
    """One bar that differs does not rescale a history: it may as well have been corrected."""
    whole = bars_of()
    merged = merge(whole[:30], rebased(whole, 1 / 2, volume=2)[30 - overlap :])
    assert (merged.rebasings.height == 1) is believed
    assert (merged.set_aside.height == 0) is believed
    if not believed:
        assert_frame_equal(merged.prices, whole[:30])
        alike = merge(whole[:30], whole[30 - overlap :])
        assert_frame_equal(alike.prices, whole)


def test_a_whole_history_needs_no_factor() -> None:
    """If every held bar is answered again, the answer wins."""
    whole, other = bars_of(), bars_of(seed=1)
    merged = merge(whole[:30], other)
    assert_frame_equal(merged.prices, other)
    assert merged.set_aside.height == 0
    assert merged.restatements["Date"].n_unique() == 30


def test_bars_that_the_source_no_longer_has_are_kept() -> None:
    """A held bar amid the recent ones stays."""
    whole = bars_of()
    recent = pl.concat([whole[20:25], whole[26:]])
    assert_frame_equal(merge(whole[:30], recent).prices, whole)


@pytest.mark.parametrize(
    ("first", "gaps", "last"),
    [(20, [25], 40), (20, [25, 26], 40), (20, [20, 29], 28), (0, [25], 40), (0, [], 27)],
)
def test_no_bar_stays_on_the_old_base(first: int, gaps: list[int], last: int) -> None:
    """After a split, bars that the source does not answer are rescaled, on any day."""
    whole = bars_of()
    now = rebased(whole, 1 / 2, adjusted=0.4, volume=2)
    answered = [place for place in range(first, last) if place not in gaps]
    merged = merge(whole[:30], now[answered])
    expected = now[: max(30, last)]
    assert_frame_equal(merged.prices, expected)
    unanswered = set(range(30)) - set(answered)
    assert merged.rebasings.row(0) == ("A", 0.5, 2.0, 0.4, len(unanswered))


def test_bars_held_since_a_split_are_not_scaled_twice() -> None:
    """A held bar without answer is on the new base if the overlapping bar before it is."""
    whole = bars_of()
    now = rebased(whole, 1 / 2, volume=2)
    held = pl.concat([whole[:26], now[26:30]])
    merged = merge(held, pl.concat([now[20:23], now[24:28], now[30:]]))
    assert_frame_equal(merged.prices, now)


def test_bars_without_overlap_are_set_aside_unless_allowed() -> None:
    """A split between held and recent bars that do not meet cannot be detected."""
    whole = bars_of()
    merged = merge(whole[:30], whole[30:])
    assert_frame_equal(merged.prices, whole[:30])
    assert merged.set_aside["rule"].to_list() == ["no_overlap"] * 10
    assert_frame_equal(merge(whole[:30], whole[30:], overlap_required=False).prices, whole)


def test_new_symbols_join_in_order() -> None:
    """Symbols that were not held come into their places."""
    bars = {symbol: bars_of(symbol) for symbol in "ABCDE"}
    held = pl.concat([bars["B"][:30], bars["D"][:30]])
    recent = pl.concat(bars.values())
    assert_frame_equal(merge(held, recent).prices, recent)


def test_held_names_stay() -> None:
    """A recent archive without a listing does not rename a symbol or move an ETF."""
    whole = bars_of().with_columns(pl.lit(value=True).alias("ETF"))
    recent = whole[20:].with_columns(
        pl.col("Symbol").alias("Security Name"), pl.lit(value=False).alias("ETF")
    )
    assert_frame_equal(merge(whole[:30], recent).prices, whole)


def test_days_without_trades_tell_no_factor() -> None:
    """Where nothing was traded, the split of prices alone implies the split of volumes."""
    whole = bars_of().with_columns(pl.lit(0, pl.Int64).alias("Volume"))
    merged = merge(whole[:30], rebased(whole, 1 / 4)[20:])
    assert merged.rebasings.row(0)[1:4] == (0.25, 4.0, 0.25)
    assert merged.prices["Volume"].to_list() == [0] * 40


def test_live_symbols_are_asked_for() -> None:
    """Symbols that trade still are asked for, from the overlap on; the others are not."""
    old = bars_of("OLD", [DAYS[0] - timedelta(days=number) for number in (40, 30)][::1])
    etf = bars_of("SPY").with_columns(pl.lit(value=True).alias("ETF"))
    stale = bars_of("B", DAYS[:-10])
    held = pl.concat([stale, old, etf])
    wanted = wanted_bars(held.lazy(), UpdateParameters(overlap_days=7, live_days=14))
    assert wanted.rows() == [
        ("B", False, DAYS[-11] - timedelta(days=7)),
        ("SPY", True, DAYS[-1] - timedelta(days=7)),
    ]


def layers(
    prices: pl.DataFrame, files: list[dict[str, Any]], quarantine: pl.DataFrame | None = None
) -> IngestedLayers:
    empty = pl.DataFrame(
        schema={
            "file": pl.String,
            "line": pl.Int32,
            "rule": pl.String,
            **dict.fromkeys(["Date", *PRICES, "Volume"], pl.String),
        }
    )
    rejected = empty if quarantine is None else quarantine
    return IngestedLayers(prices.lazy(), rejected.lazy(), files_frame(*files).lazy())


def held_layers() -> IngestedLayers:
    counts = {"rows_read": 30, "rows_kept": 30, "pending": False}
    return layers(
        pl.concat([bars_of(symbol)[:30] for symbol in "AB"]),
        [
            {"file": "stocks/A.csv", "Symbol": "A", "sha256": "a1", **counts},
            {"file": "stocks/B.csv", "Symbol": "B", "sha256": "b1", **counts},
        ],
    )


def recent_layers(seed: int = 0) -> IngestedLayers:
    rejected = pl.DataFrame(
        {
            "file": ["new/stocks/A.csv"],
            "line": pl.Series([22], dtype=pl.Int32),
            "rule": ["missing_field"],
            **{name: ["x"] for name in ["Date", *PRICES, "Volume"]},
        }
    )
    return layers(
        pl.concat([bars_of("A")[20:], bars_of("B", seed=seed)[20:]]),
        [
            {
                "file": "new/stocks/A.csv",
                "Symbol": "A",
                "sha256": "a2",
                "rows_read": 21,
                "rows_kept": 20,
                "rows_quarantined": 1,
            },
            {
                "file": "new/stocks/B.csv",
                "Symbol": "B",
                "sha256": "b2",
                "rows_read": 20,
                "rows_kept": 20,
            },
        ],
        rejected,
    )


class Updated(NamedTuple):
    layers: IngestedLayers
    restatements: pl.DataFrame
    rebasings: pl.DataFrame


def update(held: IngestedLayers, recent: IngestedLayers, **changes: Any) -> Updated | None:
    """Update layers as the pipeline does; None where nothing is new."""
    chunks = list(update_layers(held, recent, UpdateParameters(**changes), 10))
    if not chunks:
        return None
    prices, quarantine, restatements, rebasings, files = map(pl.concat, zip(*chunks, strict=True))
    after = IngestedLayers(prices.lazy(), quarantine.lazy(), files.lazy())
    Quarantine.validate(quarantine)
    Files.validate(files)
    report_quality(*after)  # every row is accounted for
    return Updated(after, restatements, rebasings)


def counts(files: pl.LazyFrame) -> list[tuple[Any, ...]]:
    fates = ["file", "status", "rows_read", "rows_kept", "rows_known", "rows_quarantined"]
    return files.select(*fates, "pending").collect().rows()


def settled(updated_: Updated | None) -> IngestedLayers:
    assert updated_ is not None
    files = updated_.layers.files.with_columns(pl.lit(value=False).alias("pending"))
    return updated_.layers._replace(files=files)


def test_every_row_of_an_update_is_accounted_for() -> None:
    """Rows read are rows added, rows that were known, and rows set aside, file by file."""
    done = update(held_layers(), recent_layers(seed=1))  # B's base is unknown
    assert done is not None
    assert_frame_equal(done.layers.prices.collect(), pl.concat([bars_of("A"), bars_of("B")[:30]]))
    assert counts(done.layers.files) == [
        ("stocks/A.csv", "read", 30, 30, 0, 0, False),
        ("stocks/B.csv", "read", 30, 30, 0, 0, False),
        ("new/stocks/A.csv", "read", 21, 10, 10, 1, True),
        ("new/stocks/B.csv", "set_aside", 20, 0, 0, 20, True),
    ]
    quarantine = done.layers.quarantine.collect()
    assert quarantine["rule"].value_counts().sort("rule").rows() == [
        ("base_unknown", 20),
        ("missing_field", 1),
    ]
    first = quarantine.filter(rule="base_unknown").row(0, named=True)
    assert first["file"] == "new/stocks/B.csv"
    assert first["Date"] == str(DAYS[20])
    unanswered = pl.DataFrame({"Symbol": ["B", "C"], "note": ["No data", "HTTP 404"]})
    forecasts = pl.DataFrame({"Symbol": ["A", "B"], "Date": [DAYS[39], DAYS[29]]})
    report = describe_update(
        done.layers, done.restatements, done.rebasings, unanswered, forecasts
    ).model_dump(mode="json")
    assert report["absent"] == {
        "count": 2,
        "first": [
            {"Symbol": "B", "note": "No data", "forecast_origin": str(DAYS[29])},
            {"Symbol": "C", "note": "HTTP 404", "forecast_origin": None},
        ],
    }
    assert report["rows"] == {"read": 41, "kept": 10, "known": 10, "quarantined": 21}
    assert report["bars"] == {"before": 60, "added": 10, "after": 70, "restated": 0, "rebased": 0}
    assert report["quarantined_by_rule"] == {"base_unknown": 20, "missing_field": 1}
    assert report["set_aside"] == {
        "count": 1,
        "first": [{"Symbol": "B", "note": "base_unknown"}],
    }


def test_two_files_of_a_symbol_share_its_rows() -> None:
    """If a symbol is in both folders, each row is still accounted for once."""
    held, recent = held_layers(), recent_layers()
    files = recent.files.collect()
    one = {"rows_read": 7, "rows_kept": 7, "sha256": "a3", "file": "new/etfs/A.csv"}
    parted = pl.concat(
        [
            files_frame({**files.row(0, named=True), **one, "rows_quarantined": 0}),
            files.with_columns(
                pl.when(pl.col("Symbol") == "A")
                .then(pl.col(name) - 7)
                .otherwise(pl.col(name))
                .alias(name)
                for name in ("rows_read", "rows_kept")
            ),
        ]
    )
    recent = recent._replace(files=parted.lazy())
    done = update(held, recent)
    assert done is not None
    kept = [row[3] for row in counts(done.layers.files)]
    assert kept == [30, 30, 7, 3, 10]
    garbage = pl.concat([bars_of("A", seed=3)[20:], bars_of("B")[20:]])
    aside = update(held, recent._replace(prices=garbage.lazy()))
    assert aside is not None
    rejected = aside.layers.quarantine.filter(pl.col("rule") == "base_unknown").collect()
    assert rejected["file"].value_counts().sort("file").rows() == [
        ("new/etfs/A.csv", 7),
        ("new/stocks/A.csv", 13),
    ]
    assert [row[5] for row in counts(aside.layers.files)] == [0, 0, 7, 14, 0]


def test_rejected_rows_are_quarantined_once() -> None:
    """A source that repeats the same bad row every day does not fill the quarantine."""
    first = settled(update(held_layers(), recent_layers(seed=1)))
    files = (
        recent_layers()
        .files.collect()
        .with_columns(pl.col("sha256") + "more", pl.col("file").str.replace("new", "new#2"))
    )
    rejected = recent_layers().quarantine.with_columns(pl.lit("new#2/stocks/A.csv").alias("file"))
    again = update(first, recent_layers(seed=1)._replace(files=files.lazy(), quarantine=rejected))
    assert again is not None
    assert again.layers.quarantine.collect().height == 21
    assert counts(again.layers.files)[-2:] == [
        ("new#2/stocks/A.csv", "read", 21, 0, 21, 0, True),
        ("new#2/stocks/B.csv", "set_aside", 20, 0, 20, 0, True),
    ]


@pytest.mark.parametrize("written", [("prices",), ("prices", "quarantine")])
def test_an_interrupted_update_is_completed(written: tuple[str, ...]) -> None:
    """If some layers were put into place and the files were not, the next update mends it."""
    held, recent = held_layers(), recent_layers(seed=1)
    whole = update(held, recent)
    assert whole is not None
    half = held._replace(**{name: getattr(whole.layers, name) for name in written})
    again = update(half, recent)
    assert again is not None
    for one, other in zip(again.layers, whole.layers, strict=True):
        assert_frame_equal(one.collect(), other.collect())
    known = recent.files.collect().with_columns(pl.col("sha256").str.replace("2", "1"))
    with pytest.raises(UnbalancedRowsError, match="70 bars are held, and the files account for 60"):
        update(half, recent._replace(files=known.lazy()))


def test_lost_bars_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A joining that loses bars does not add up."""

    def losing(held: pl.DataFrame, recent: pl.DataFrame, parameters: MergeParameters) -> MergedBars:
        merged = merge_bars(held, recent, parameters)
        return merged._replace(prices=merged.prices[:-1])

    monkeypatch.setattr("stock_volume.bars.update.merge_bars", losing)
    with pytest.raises(UnbalancedRowsError):
        update(held_layers(), recent_layers())


def test_known_content_brings_nothing() -> None:
    """Where each file's content was read before, there is no news, and no layer is made."""
    assert update(settled(update(held_layers(), recent_layers())), recent_layers()) is None


def valid_files(archive: str, version: int, rows: int) -> list[dict[str, Any]]:
    """Describe files of A and B whose every row is valid."""
    return [
        {
            "file": f"{archive}/stocks/{symbol}.csv",
            "Symbol": symbol,
            "sha256": f"{symbol.lower()}{version}",
            "rows_read": rows,
            "rows_kept": rows,
        }
        for symbol in "AB"
    ]


def test_a_restatement_that_is_taken_back_is_news() -> None:
    """The last content of a file counts, not whether it ever had the same content."""
    held = held_layers()
    before = layers(held.prices.collect(), valid_files("new", 1, 30))
    assert update(held, before) is None
    other = settled(update(held, recent_layers()))
    assert known_contents(other.files.collect()) == {("A", "a2"), ("B", "b2")}
    assert update(other, before) is not None


def test_bars_set_aside_are_tried_again() -> None:
    """With other parameters, the same files are joined; with the same ones, they are no news."""
    whole = pl.concat([bars_of("A"), bars_of("B")])
    apart = whole.filter(pl.col("Date") >= DAYS[30])
    first = settled(update(held_layers(), layers(apart, valid_files("new", 2, 10))))
    assert known_contents(first.files.collect()) == set()
    again = layers(apart, valid_files("new#2", 2, 10))
    assert update(first, again) is None
    joined = update(first, again, overlap_required=False)
    assert joined is not None
    assert_frame_equal(joined.layers.prices.collect(), whole)


@pytest.mark.parametrize(
    ("held", "name"),
    [
        ([], "new"),
        (["stocks/A.csv", "newer/stocks/A.csv"], "new"),
        (["new/stocks/A.csv"], "new#2"),
        (["new/stocks/A.csv", "new#9/stocks/A.csv", "new#10/etfs/B.csv"], "new#11"),
    ],
)
def test_readings_of_an_archive_are_distinguished(held: list[str], name: str) -> None:
    """A file of the same name, read again, is another file."""
    assert unread_name("new", held) == name


def test_an_unreadable_file_is_news_once() -> None:
    """A file without digest is reported by the first update that meets it, and by no other."""
    held, recent = held_layers(), recent_layers()
    unreadable = files_frame(
        *(
            {"file": f"new/stocks/{symbol}.csv", "Symbol": symbol, "status": "unreadable"}
            for symbol in "AB"
        )
    ).with_columns(pl.lit(None, pl.String).alias("sha256"))
    recent = IngestedLayers(recent.prices.head(0), recent.quarantine.head(0), unreadable.lazy())
    first = update(held, recent)
    assert first is not None
    assert_frame_equal(first.layers.prices.collect(), held.prices.collect())
    assert update(settled(first), recent) is None


def test_absent_and_known_files_are_no_news() -> None:
    """What a source does not have, or what was skipped, is not among the files read."""
    held, recent = held_layers(), recent_layers()
    files = recent.files.collect().with_columns(
        pl.Series("status", [FileStatus.ABSENT.value, FileStatus.KNOWN.value])
    )
    assert update(held, recent._replace(files=files.lazy())) is None


BARREN: Final[dict[str, dict[str, Any]]] = {
    "absent": {"status": "absent", "note": "HTTP 404"},
    "empty": {"status": "empty", "note": "has no rows"},
    "unreadable": {"status": "unreadable", "note": "is binary"},
    "rejected": {"rows_read": 3, "rows_quarantined": 3},
}
"""Files that give no bar."""


def test_symbols_without_a_bar_are_unanswered() -> None:
    """However a source fails to give bars of a symbol, it is listed once, with the reason."""
    rows = [
        {"file": f"new/stocks/{name}.csv", "Symbol": name, **fields}
        for name, fields in BARREN.items()
    ]
    sound = {"rows_read": 2, "rows_kept": 2}
    files = files_frame(
        *rows,
        {**rows[2], "file": "new/etfs/unreadable.csv"},
        {"file": "new/stocks/A.csv", "Symbol": "A", **sound},
        {"file": "new/stocks/B.csv", "Symbol": "B", "status": "empty", "note": "has no rows"},
        {"file": "new/etfs/B.csv", "Symbol": "B", **sound},
    )
    assert unanswered_symbols(files).rows() == [
        ("absent", "HTTP 404"),
        ("empty", "has no rows"),
        ("rejected", "no row of it is valid"),
        ("unreadable", "is binary"),
    ]


def test_the_same_bad_file_is_no_answer() -> None:
    """A wanted symbol is absent without a file, and with one that gave nothing before."""
    wanted = pl.DataFrame({"Symbol": ["A", "B", "C", "D", *BARREN]})
    held = files_frame(
        {"file": "stocks/A.csv", "Symbol": "A", "sha256": "a", "rows_read": 2, "rows_kept": 2},
        {"file": "stocks/B.csv", "Symbol": "B", "sha256": "b", "rows_read": 2, "rows_known": 2},
        *(
            {"file": f"stocks/{name}.csv", "Symbol": name, "sha256": name, **fields}
            for name, fields in BARREN.items()
        ),
    )
    known = files_frame(
        *(
            {"file": file, "Symbol": symbol, "sha256": digest, "status": "known"}
            for file, symbol, digest in held.select("file", "Symbol", "sha256").rows()
            if symbol != "absent"
        )
    )
    fresh = files_frame(
        {"file": "new/stocks/C.csv", "Symbol": "C", "sha256": "c", "rows_read": 1, "rows_kept": 1}
    )
    found = pl.concat([known, fresh])
    assert absent_symbols(wanted, {"absent": "HTTP 404"}, found, held) == {
        "D": "the source has no file of it",
        "absent": "HTTP 404",
        "empty": "has no rows",
        "rejected": "no row of it is valid",
        "unreadable": "is binary",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"overlap_days": 0},
        {"tolerance": -1e-9},
        {"agreeing_share": 0.5},
        {"base_bars": 0},
        {"catch_up_sessions": 0},
        {"unknown": 1},
    ],
)
def test_parameters_are_checked(wrong: dict[str, Any]) -> None:
    """A parameter out of its bounds, or unknown, is refused."""
    with pytest.raises(ValidationError):
        UpdateParameters(**wrong)
