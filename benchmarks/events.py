"""What dates of earnings add to the forecasts: two backtests of the same sessions, compared.

Run both first, with and without ``events=earnings.csv``:

    kedro run --to-outputs backtest --params source=archive.zip,data_root=WITHOUT
    kedro run --to-outputs backtest --params source=archive.zip,data_root=WITH,events=earnings.csv
    python benchmarks/events.py WITH WITHOUT

Symbols with events are those with an event within the sessions of the backtest.
"""

import argparse
from pathlib import Path
from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.evaluation.groups import COMMON_STOCK
from stock_volume.evaluation.measures import eta_r2_of
from stock_volume.forecaster.model import FORECAST
from stock_volume.forecaster.occasion import OCCASION, OCCASIONS, Occasion
from stock_volume.forecaster.universe import BUCKET, BUCKETS

KEY: Final = (columns.SYMBOL, columns.TARGET_DATE)
WITHOUT: Final = "without"


def read_backtest(data_root: Path) -> pl.DataFrame:
    """Read the common stocks of a backtest."""
    path = data_root / "07_model_output" / "backtest.parquet"
    return pl.scan_parquet(path).filter(COMMON_STOCK).collect()


def compare(data_root: Path, other: Path) -> dict[str, pl.DataFrame]:
    """Join two backtests, and group their rows.

    Args:
        data_root: Data root of the run with events.
        other: Data root of the run without.

    Returns:
        Rows scored by both, with both forecasts, by group.
    """
    without = read_backtest(other).select(*KEY, pl.col(FORECAST).alias(WITHOUT))
    rows = read_backtest(data_root).join(without, on=KEY, how="inner")
    first, last = rows[columns.TARGET_DATE].min(), rows[columns.TARGET_DATE].max()
    events = pl.read_parquet(data_root / "02_intermediate" / "events.parquet")
    known = events.filter(pl.col(columns.SESSION).is_between(first, last))[columns.SYMBOL]
    with_events = rows.filter(pl.col(columns.SYMBOL).is_in(known.unique().implode()))
    reaction = OCCASIONS.index(Occasion.EARNINGS)
    return {
        "all": rows,
        "symbols without events": rows.join(with_events, on=KEY, how="anti"),
        "symbols with events": with_events,
        **{
            f"of these, {name} dollars a day": with_events.filter(pl.col(BUCKET) == place)
            for place, name in enumerate(BUCKETS)
        },
        "of these, reactions to earnings": with_events.filter(pl.col(OCCASION) == reaction),
    }


def main() -> None:
    """Print the eta-R2 of both runs by group."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_root", type=Path, help="data root of the run with events")
    parser.add_argument("other", type=Path, help="data root of the run without")
    options = parser.parse_args()
    print(f"{'common stocks':38} {'rows':>9} {'without':>8} {'with':>8} {'points':>7}")
    for name, rows in compare(options.data_root, options.other).items():
        if rows.height:
            before, after = (rows.select(eta_r2_of(of)).item() for of in (WITHOUT, FORECAST))
            print(f"{name:38} {rows.height:9,} {before:8.2f} {after:8.2f} {after - before:+7.2f}")


if __name__ == "__main__":
    main()
