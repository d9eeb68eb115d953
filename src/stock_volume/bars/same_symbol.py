"""Files that claim the same symbol: joined where their bars agree, otherwise set apart.

Archives that people have hold a symbol in both folders, a backup folder, a second download
(``AAPL (1).csv``), or names that differ only by case. Joining two securities would make one
series with a jump; taking a copy for a security of its own would count it twice.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256
from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.bars.archive import BarArchive, BarFile
from stock_volume.bars.judge import Judge
from stock_volume.bars.listing import Listing, Security
from stock_volume.bars.merge import MergeParameters
from stock_volume.bars.parse import ParseParameters, parse_rows, read_rows
from stock_volume.errors import UnreadableFileError

_MIN_AGREEMENT: Final = 0.95
"""Share of the days in common whose closes agree, for two files to be of one security."""

_OTHER: Final = "_other"


@dataclass(frozen=True, slots=True)
class SettledFile:
    """A file, and the symbol and security that its bars are of.

    Attributes:
        file: The file.
        symbol: The symbol.
        security: Name and kind of the symbol's security.
        copy_of: Name of a file with the same content, which is read in its place, or "".
        conflict: Why its bars cannot be joined to another file's of the symbol, or "".
        note: What is odd about it otherwise, or "".
    """

    file: BarFile
    symbol: str
    security: Security
    copy_of: str = ""
    conflict: str = ""
    note: str = ""


@dataclass(slots=True)
class _Series:
    """The bars of one security, from one file or several.

    Attributes:
        main: The file whose bars count where several have a day.
        bars: Date, Close and Adj Close.
    """

    main: BarFile
    bars: pl.DataFrame

    def last_date(self) -> date:
        """Return the date of the latest bar."""
        last: date = self.bars.select(pl.col(columns.DATE).max()).item()
        return last


def settle_files(
    archive: BarArchive, listing: Listing, judge: Judge, parameters: ParseParameters
) -> list[SettledFile]:
    """Settle which symbol each file of an archive is of.

    Only files that claim the symbol of another, in letters of any case, are read for that.

    Args:
        archive: The archive.
        listing: What it lists.
        judge: Judges the rows of the files that are compared.
        parameters: How to parse them.

    Returns:
        One entry per file, by symbol; of one symbol the file whose bars count last.
    """
    groups: defaultdict[str, list[BarFile]] = defaultdict(list)
    for file in archive.files:
        groups[file.symbol.casefold()].append(file)
    settled: list[SettledFile] = []
    for group in groups.values():
        if len(group) == 1:
            settled.append(_alone(group[0], listing))
        else:
            settled += _Settlement(archive, listing, judge, parameters).settle(group)
    return sorted(settled, key=lambda one: one.symbol)


def _alone(file: BarFile, listing: Listing) -> SettledFile:
    return SettledFile(file, file.symbol, listing.security(file))


class _Settlement:
    """The settlement of one group of files that claim one symbol."""

    def __init__(
        self, archive: BarArchive, listing: Listing, judge: Judge, parameters: ParseParameters
    ) -> None:
        self._archive = archive
        self._listing = listing
        self._judge = judge
        self._parameters = parameters
        self._series: list[_Series] = []

    def settle(self, files: Iterable[BarFile]) -> list[SettledFile]:
        """Settle the files; of one symbol the file whose bars count comes last."""
        ranked = sorted(files, key=self._rank)
        originals: dict[str, BarFile] = {}
        copies: list[tuple[BarFile, BarFile]] = []
        others: list[SettledFile] = []
        read: list[_Series] = []
        for file in ranked:
            try:
                content = self._archive.read(file.name)
                original = originals.setdefault(sha256(content).hexdigest(), file)
                if original is not file:
                    copies.append((file, original))
                    continue
                bars = self._bars(file, content)
            except UnreadableFileError:
                others.append(_alone(file, self._listing))  # reading it again says why
                continue
            if bars.height:
                read.append(_Series(file, bars))
            else:
                others.append(_alone(file, self._listing))
        # The file that reaches furthest is the latest download: its bars count.
        read.sort(key=_Series.last_date, reverse=True)
        read.sort(key=lambda one: self._is_in_other_folder(one.main))
        joined = [self._placed(one.main, one.bars) for one in read]
        by_name = {one.file.name: one for one in (*joined, *others)}
        same = [
            replace(by_name[original.name], file=file, copy_of=original.name, conflict="", note="")
            for file, original in copies
        ]
        return [*same, *others, *reversed(joined)]

    def _rank(self, file: BarFile) -> tuple[bool, bool, int, bool, str]:
        """Order files by how likely each is the original."""
        depth = file.name.count("/")
        return (file.is_copy, self._is_in_other_folder(file), depth, file.is_etf, file.name)

    def _is_in_other_folder(self, file: BarFile) -> bool:
        """Return whether the listing says that a file's folder is not that of its security."""
        listed = self._listing.find(file.symbol)
        return listed is not None and listed.is_etf not in {None, file.is_etf}

    def _bars(self, file: BarFile, content: bytes) -> pl.DataFrame:
        parsed = parse_rows([read_rows(content, self._parameters)])
        kept = self._judge.split(parsed, [file.symbol], [False]).kept
        return kept.select(columns.DATE, columns.CLOSE, columns.ADJ_CLOSE)

    def _placed(self, file: BarFile, bars: pl.DataFrame) -> SettledFile:
        """Join a file's bars to a series, or begin another one, or set them apart."""
        own_first = sorted(self._series, key=lambda series: series.main.symbol != file.symbol)
        differences = []
        for series in own_first:
            common, agreeing = _compare(series.bars, bars)
            if common and agreeing >= _MIN_AGREEMENT * common:
                return self._joined(file, bars, series, common)
            differences.append((series.main, _difference(common, agreeing)))
        if differences and differences[0][0].symbol == file.symbol:
            main, difference = differences[0]
            conflict = f"has other bars of {file.symbol} than {main.name}, which is kept: "
            return replace(
                _alone(file, self._listing),
                security=self._listing.security(main),
                conflict=conflict + difference,
            )
        self._series.append(_Series(file, bars))
        note = ""
        if differences:
            main, difference = differences[0]
            note = f"taken for another security than {main.name}: {difference}"
        return replace(_alone(file, self._listing), note=note)

    def _joined(
        self, file: BarFile, bars: pl.DataFrame, series: _Series, common: int
    ) -> SettledFile:
        new = bars.join(series.bars, on=columns.DATE, how="anti")
        series.bars = pl.concat([series.bars, new])
        return SettledFile(
            file,
            series.main.symbol,
            self._listing.security(series.main),
            note=f"joined to {series.main.name}: they agree on {common} days in common",
        )


def _compare(one: pl.DataFrame, other: pl.DataFrame) -> tuple[int, int]:
    """Count the days in common, and those on which closes agree as they do in updates."""
    both = one.join(other, on=columns.DATE, suffix=_OTHER)
    tolerance = MergeParameters().tolerance
    agree = pl.all_horizontal(
        (pl.col(name + _OTHER) / pl.col(name) - 1).abs() <= tolerance
        for name in (columns.CLOSE, columns.ADJ_CLOSE)
    )
    return both.height, both.select(agree.sum()).item()


def _difference(common: int, agreeing: int) -> str:
    if not common:
        return "they have no day in common"
    return f"closes agree on {agreeing} of {common} days in common"


def unlisted_symbols(files: Sequence[SettledFile], listing: Listing) -> list[str]:
    """List the symbols of files that a listing does not have."""
    return sorted({one.symbol for one in files if one.symbol not in listing})
