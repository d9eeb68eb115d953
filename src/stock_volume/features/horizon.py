"""Outcomes beyond the next session: the volume of a later session, or the total of several."""

from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import Final, NamedTuple

import polars as pl

from stock_volume import columns
from stock_volume.features.quantities import BASE, LOG_VOLUME

SESSION_NUMBER: Final = "session_number"
"""Column: position of a bar's date among the sessions."""


class Horizon(NamedTuple):
    """What is forecast at an origin.

    Attributes:
        sessions: Number of sessions ahead.
        total: Whether the total volume of all sessions up to then is forecast, rather than
            that of the last one.
    """

    sessions: int
    total: bool = False

    @property
    def name(self) -> str:
        """Name of the horizon: ``h3`` for the third session, ``total_5`` for a total."""
        return f"total_{self.sessions}" if self.total else f"h{self.sessions}"

    @property
    def volume(self) -> str:
        """Column: the volume that followed, in shares."""
        return f"next_volume_{self.name}"

    @property
    def eta(self) -> str:
        """Column: log of the mean dollar volume per session, less the base."""
        return f"eta_{self.name}"

    @property
    def scale(self) -> int:
        """Number of sessions whose volumes are added up."""
        return self.sessions if self.total else 1


NEXT_VOLUMES: Final = r"^next_volume_(h|total_)\d+$"
"""Pattern of the columns of volumes that followed."""

ETAS: Final = r"^eta_(h|total_)\d+$"
"""Pattern of the columns of their etas."""


def list_horizons(sessions: Iterable[int], totals: Iterable[int]) -> tuple[Horizon, ...]:
    """List horizons.

    Args:
        sessions: Sessions ahead whose volumes are forecast.
        totals: Numbers of sessions whose total volumes are forecast.

    Returns:
        The horizons, in this order.
    """
    return (*map(Horizon, sessions), *(Horizon(number, total=True) for number in totals))


def outcomes(horizons: Iterable[Horizon]) -> list[pl.Expr]:
    """Compute what followed each bar.

    Args:
        horizons: The horizons.

    Returns:
        Expressions over bars with their quantities and ``SESSION_NUMBER``, of any number of
        symbols, sorted by symbol and date: the ``volume`` and the ``eta`` of each horizon. They
        are null where the session has no bar of the symbol; a total, where one of its
        sessions has none; ``eta``, where there was no trade.
    """
    dollars = pl.col(columns.VOLUME) * pl.col(columns.CLOSE)
    found = []
    for horizon in horizons:
        following = _total if horizon.total else _later
        volume = following(pl.col(columns.VOLUME), horizon.sessions)
        if horizon.total:
            mean = following(dollars, horizon.sessions) / horizon.sessions
            log_volume: pl.Expr = pl.when(mean > 0).then(mean.log())
        else:
            log_volume = following(pl.col(LOG_VOLUME), horizon.sessions)
        found += [volume.alias(horizon.volume), (log_volume - pl.col(BASE)).alias(horizon.eta)]
    return found


def _is_ahead(rows: int, sessions: int) -> pl.Expr:
    """Return whether the bar some rows below is the same symbol's, that many sessions later."""
    symbol, number = pl.col(columns.SYMBOL).rle_id(), pl.col(SESSION_NUMBER).cast(pl.Int64)
    return (symbol.shift(-rows) == symbol) & (number.shift(-rows) - number == sessions)


def _later(value: pl.Expr, sessions: int) -> pl.Expr:
    """Find a value some sessions later; a symbol may lack bars of the sessions between."""
    return pl.coalesce(
        pl.when(_is_ahead(rows, sessions)).then(value.shift(-rows))
        for rows in range(1, sessions + 1)
    )


def _total(value: pl.Expr, sessions: int) -> pl.Expr:
    """Add up a value over the sessions ahead, if the symbol has a bar of each."""
    # One after the other: the rounding of a rolling sum depends on the rows before, and that of
    # Polars' horizontal sum on its threads.
    total = reduce(add, (value.shift(-rows) for rows in range(1, sessions + 1)))
    return pl.when(_is_ahead(sessions, sessions)).then(total)


def known_by(horizons: Iterable[Horizon], targets: pl.Series) -> list[pl.Expr]:
    """Keep only the outcomes that are known at the end of a window.

    Args:
        horizons: The horizons.
        targets: Target sessions of the window's rows.

    Returns:
        Expressions over the rows: ``eta`` of each horizon, null where it reaches beyond the last
        target session of the window.
    """
    sessions = targets.unique().sort()
    return [
        pl.when(pl.col(columns.TARGET_DATE) <= sessions[-horizon.sessions])
        .then(horizon.eta)
        .alias(horizon.eta)
        if horizon.sessions <= len(sessions)
        else pl.lit(None, pl.Float64).alias(horizon.eta)
        for horizon in horizons
    ]
