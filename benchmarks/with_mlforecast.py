"""The two features by mlforecast, whose windows are of rows, not of calendar days.

It runs in an environment of its own: mlforecast 1.1 needs pandas 2.
"""

from pathlib import Path
from typing import Any

import polars as pl
from measure import main, measured

SESSIONS = 21
"""About 30 calendar days."""


def features(source: Path, target: Path) -> dict[str, Any]:
    """Compute a rolling mean and a rolling median per symbol, both including the row's own day."""
    from mlforecast import MLForecast  # type: ignore[import-not-found]
    from mlforecast.lag_transforms import (  # type: ignore[import-not-found]
        RollingMean,
        RollingQuantile,
    )

    figures: dict[str, Any] = {}
    with measured(figures):
        bars = pl.read_parquet(source, columns=["Symbol", "Date", "Adj Close", "Volume"])
        for name, transform in {
            "Volume": RollingMean(SESSIONS, min_samples=1),
            "Adj Close": RollingQuantile(0.5, SESSIONS, min_samples=1),
        }.items():
            # A lag of 0 is not allowed: a row's window ends on the row before it.
            forecast = MLForecast(models=[], freq="1d", lag_transforms={1: [transform]})
            forecast.preprocess(
                bars.select("Symbol", "Date", pl.col(name).cast(pl.Float64)),
                id_col="Symbol",
                time_col="Date",
                target_col=name,
                static_features=[],
                dropna=False,
                validate_data=False,
            ).write_parquet(target)
    return {**figures, "rows": bars.height}


if __name__ == "__main__":
    main({"features": features})
