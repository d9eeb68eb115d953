"""The judgement of parsed rows by the rules: which are kept, and why the others are not."""

from collections.abc import Sequence
from datetime import date
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from stock_volume import columns
from stock_volume.bars.parse import FILE_INDEX, ParsedRows
from stock_volume.bars.rules import (
    CONFLICTING_FILE,
    DATE_OUT_OF_ORDER,
    DUPLICATE_BAR,
    FLAGGING_RULES,
    IN_CONFLICTING_FILE,
    ON_CLOSED_DAY,
    SUPERSEDED_BAR,
    SYMBOL_INDEX,
    RuleParameters,
    rejecting_rules,
    screening,
)
from stock_volume.exchange import Exchange

_BROKEN: Final = "broken"
_MISPLACED: Final = "misplaced"
_REPEATED: Final = "repeated"
_SUPERSEDED: Final = "superseded"


class JudgedRows(NamedTuple):
    """Rows by their fate; together they are as many as came in.

    Attributes:
        kept: The rows that break no rejecting rule, by symbol and date, with one boolean
            column per flagging rule.
        rejected: The others, in file order, each with the name of the first rule it breaks
            and its fields as read.
    """

    kept: pl.DataFrame
    rejected: pl.DataFrame


def _mark(broken: pl.Expr, name: str) -> pl.Expr:
    return broken.fill_null(value=False).alias(name)


@cache
def _on_closed_day(exchange: Exchange, last: date) -> pl.Expr:
    """Mark weekdays on which the exchange trades and was closed all day.

    A table of all days is looked up, which takes a tenth of the time of ``is_in``.
    """
    first = exchange.first_date
    days = pl.date_range(first, min(last, exchange.last_date or last), eager=True)
    open_all = days.is_in(exchange.sessions(first, last).implode())
    closed = days.dt.weekday().is_in(exchange.weekdays) & ~open_all
    table = closed.append(pl.Series([False]))  # for days outside the table, and no day
    place = pl.col(columns.DATE).to_physical() - days.to_physical()[0]
    known = place.is_between(0, days.len() - 1)
    return pl.lit(table).gather(pl.when(known).then(place).otherwise(days.len()))


class Judge:
    """Splits rows by the rules; its expressions are built once, for every chunk."""

    def __init__(self, parameters: RuleParameters) -> None:
        """Prepare the expressions.

        Args:
            parameters: Bounds of the rules.
        """
        rules = (*rejecting_rules(parameters), CONFLICTING_FILE)
        symbol, day = pl.col(SYMBOL_INDEX), pl.col(columns.DATE)
        misplaced = (symbol == symbol.shift(1)) & (day < day.shift(1))
        self._on_closed_day = _on_closed_day(parameters.exchange, parameters.as_of)
        self._repetitions = [
            _mark(DUPLICATE_BAR.broken, _REPEATED),
            _mark(SUPERSEDED_BAR.broken, _SUPERSEDED),
        ]
        self._marks_by_row = [
            _mark(screening(rules), _BROKEN),
            *(
                _mark(rule.broken, rule.name)
                for rule in FLAGGING_RULES
                if rule is not DATE_OUT_OF_ORDER
            ),
        ]
        self._marks_by_neighbour = [
            _mark(misplaced, _MISPLACED),
            _mark(DATE_OUT_OF_ORDER.broken, DATE_OUT_OF_ORDER.name),
            *self._repetitions,
        ]
        self._rule = pl.coalesce(
            *(pl.when(rule.broken).then(pl.lit(rule.name)) for rule in rules),
            pl.when(_SUPERSEDED).then(pl.lit(SUPERSEDED_BAR.name)),
            pl.lit(DUPLICATE_BAR.name),
        ).alias(columns.RULE)

    def split(
        self, parsed: ParsedRows, symbols: Sequence[str], conflicting: Sequence[bool]
    ) -> JudgedRows:
        """Split parsed rows into those to keep and those to set aside.

        Args:
            parsed: All rows of some symbols, the files of a symbol next to each other, those
                that matter most last.
            symbols: The symbol of each file.
            conflicting: Whether each file contradicts another file of its symbol.

        Returns:
            The rows by their fate.
        """
        file_index = parsed.frame[FILE_INDEX].to_numpy()
        # Comparing whole numbers is far cheaper than comparing symbols.
        _, symbol_index = np.unique(np.asarray(symbols), return_inverse=True)
        rows = parsed.frame.hstack(
            [
                pl.Series(SYMBOL_INDEX, symbol_index[file_index]),
                pl.Series(IN_CONFLICTING_FILE, np.asarray(conflicting, bool)[file_index]),
            ]
        ).with_columns(_mark(self._on_closed_day, ON_CLOSED_DAY))
        marked = rows.with_columns(self._marks_by_row)
        broken = marked.filter(_BROKEN).with_columns(pl.lit(value=False).alias(_SUPERSEDED))
        marked = marked.filter(~pl.col(_BROKEN)).with_columns(self._marks_by_neighbour)
        if marked[_MISPLACED].any():
            by_date = marked.sort(SYMBOL_INDEX, columns.DATE, maintain_order=True)
            marked = by_date.with_columns(self._repetitions)
        repeated = marked.filter(_REPEATED).select(broken.columns)
        rejected = pl.concat([broken, repeated]).sort(FILE_INDEX, columns.LINE)
        with_text = rejected.hstack(parsed.as_read(rejected)).with_columns(self._rule)
        return JudgedRows(marked.filter(~pl.col(_REPEATED)), with_text)
