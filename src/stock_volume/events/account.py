"""The account of the events, for the report on the quality of the data."""

from datetime import date
from typing import Final

import polars as pl
from pydantic import BaseModel, ConfigDict

from stock_volume import columns
from stock_volume.bars.ledger import (
    NOTE,
    ROWS_KNOWN,
    ROWS_READ,
    STATUS,
    FileStatus,
    RowCounts,
    check_balance,
)
from stock_volume.events.rules import EARNINGS, FLAGGING_RULES

_SHOWN: Final = 10


class EventAccount(BaseModel):
    """What became of the rows of events.

    Attributes:
        rows_read: Rows of all files.
        rows_kept: Rows that became versions of events.
        rows_known: Rows of updates that repeat an event held.
        rows_quarantined: Rows that were set aside.
        quarantined_by_rule: Number of rejected rows by rule.
        flagged_by_rule: Number of rows that were flagged and kept, by rule.
        unread_files: Reason by name, for files that were not read.
        by_kind: Number of events by kind; features are about earnings only.
        symbols: Number of symbols with events.
        without_bars: Number of these symbols that have no bars.
        without_bars_first: The first of them.
        without_known: Number of events that do not record when they became known.
        first_date: Date of the first event; None without events.
        last_date: Date of the last event; None without events.
    """

    model_config = ConfigDict(frozen=True)

    rows_read: int
    rows_kept: int
    rows_known: int
    rows_quarantined: int
    quarantined_by_rule: dict[str, int]
    flagged_by_rule: dict[str, int]
    unread_files: dict[str, str]
    by_kind: dict[str, int]
    symbols: int
    without_bars: int
    without_bars_first: tuple[str, ...]
    without_known: int
    first_date: date | None
    last_date: date | None


def account_for_events(
    events: pl.LazyFrame, quarantine: pl.LazyFrame, files: pl.LazyFrame, prices: pl.LazyFrame
) -> EventAccount | None:
    """Account for the events, and prove that no row was lost.

    Args:
        events: The events as they were written.
        quarantine: The rejected rows as they were written.
        files: The files of events, one row per file.
        prices: The bars.

    Returns:
        The account; None without files of events.

    Raises:
        UnbalancedRowsError: The rows read are not the rows kept, known and quarantined.
    """
    ledger = files.collect()
    if not ledger.height:
        return None
    kept, by_rule = events.collect(), _count(quarantine, columns.RULE)
    rows = RowCounts(
        read=ledger[ROWS_READ].sum(),
        kept=kept.height,
        known=ledger[ROWS_KNOWN].sum(),
        quarantined=sum(by_rule.values()),
    )
    check_balance(rows, ledger, "rows of events")
    unread = ledger.filter(pl.col(STATUS) != FileStatus.READ)
    symbols = kept.lazy().select(pl.col(columns.SYMBOL).unique().sort())
    lost = symbols.join(prices, on=columns.SYMBOL, how="anti", maintain_order="left").collect()
    return EventAccount(
        rows_read=rows.read,
        rows_kept=rows.kept,
        rows_known=rows.known,
        rows_quarantined=rows.quarantined,
        quarantined_by_rule=by_rule,
        flagged_by_rule={rule.name: int(ledger[rule.name].sum()) for rule in FLAGGING_RULES},
        unread_files=dict(unread.select(columns.FILE, NOTE).rows()),
        by_kind=_count(events, columns.EVENT_KIND),
        symbols=kept[columns.SYMBOL].n_unique(),
        without_bars=lost.height,
        without_bars_first=tuple(lost[columns.SYMBOL].head(_SHOWN)),
        without_known=kept[columns.KNOWN].null_count(),
        first_date=kept.select(pl.col(columns.DATE).min()).item(),
        last_date=kept.select(pl.col(columns.DATE).max()).item(),
    )


def _count(rows: pl.LazyFrame, column: str) -> dict[str, int]:
    return dict(rows.group_by(column).len().sort(column).collect().rows())


def report_events(account: EventAccount) -> list[str]:
    """Write the section on events of the report.

    Args:
        account: The account of the events.

    Returns:
        Lines of Markdown.
    """
    rules = [
        *((rule, "rejected", count) for rule, count in account.quarantined_by_rule.items()),
        *((rule, "flagged, kept", count) for rule, count in account.flagged_by_rule.items()),
    ]
    table = [f"| {rule} | {fate} | {count:,} |" for rule, fate, count in rules if count]
    return [
        "### Events",
        "",
        _summarize(account),
        "",
        *(["| rule | fate | rows |", "|---|---|---:|", *table, ""] if table else []),
        *(f"- `{file}`: {note}" for file, note in account.unread_files.items()),
        *([""] if account.unread_files else []),
    ]


def _summarize(account: EventAccount) -> str:
    counts = (
        f"{account.rows_kept:,} events of {account.symbols:,} symbols, {account.first_date} to "
        f"{account.last_date}. Of {account.rows_read:,} rows read, {account.rows_kept:,} were "
        f"kept, {account.rows_known:,} known before and {account.rows_quarantined:,} quarantined."
    )
    lines = [counts]
    if account.without_known:
        lines.append(
            f"{account.without_known:,} do not record when they became known: their dates are "
            "taken as scheduled long before, which flatters a backtest where they were not."
        )
    if account.without_bars:
        lines.append(
            f"{account.without_bars:,} symbols have events and no bars, such as "
            f"{', '.join(account.without_bars_first)}."
        )
    unused = sum(account.by_kind.values()) - account.by_kind.get(EARNINGS, 0)
    if unused:
        lines.append(f"{unused:,} events are of other kinds than earnings: no feature uses them.")
    return " ".join(lines)
