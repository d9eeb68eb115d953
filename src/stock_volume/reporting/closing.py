"""What a run says at its end, in plain words."""

import math
from collections.abc import Iterator
from datetime import date
from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.forecaster.model import FORECAST, INTERVAL_NAMES
from stock_volume.reporting.findings import Findings
from stock_volume.reporting.html import format_compactly

_EXAMPLES: Final = 3


def describe_forecasts(forecasts: pl.DataFrame, findings: Findings | None) -> Iterator[str]:
    """Describe the forecasts of a run.

    Args:
        forecasts: The forecasts of the next session.
        findings: What the report shows, if the run wrote one: the examples are then its most
            unusual forecasts, otherwise the largest.

    Yields:
        How many symbols are forecast for which session, and three examples.
    """
    session = forecasts[columns.TARGET_DATE].max()
    if not isinstance(session, date):
        yield "no symbol can be forecast"
        return
    latest = forecasts.filter(pl.col(columns.TARGET_DATE) == session)
    day = f"{session:%A} {session.day} {session:%B %Y}"
    yield f"{latest.height:,} symbols are forecast for {day}:"
    yield from _list_unusual(findings) if findings else _list_largest(latest)


def _list_unusual(findings: Findings) -> Iterator[str]:
    unusual = findings.next_session.unusual if findings.next_session else ()
    ranked = sorted(unusual, key=lambda one: -abs(math.log(one.forecast / one.usual)))
    for one in ranked[:_EXAMPLES]:
        interval = _describe_interval(one.forecast, one.lower, one.upper)
        yield f"  {one.symbol:<6} {interval}, {one.change:+,.0f} % on its 30-day mean"


def _list_largest(latest: pl.DataFrame) -> Iterator[str]:
    first = latest.sort(FORECAST, columns.SYMBOL, descending=[True, False]).head(_EXAMPLES)
    rows = first.select(columns.SYMBOL, FORECAST, *INTERVAL_NAMES).rows()
    for symbol, forecast, lower, upper in rows:
        yield f"  {symbol:<6} {_describe_interval(forecast, lower, upper)}"


def _describe_interval(forecast: float, lower: float, upper: float) -> str:
    return (
        f"{format_compactly(forecast):>6} shares, "
        f"{format_compactly(lower)} to {format_compactly(upper)} in 8 of 10 cases"
    )
