"""Builders that the unit tests share: rows, files and archives of bars, and frames."""

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

from stock_volume.bars.archive import open_archive
from stock_volume.bars.ingest import IngestedChunk, IngestionParameters, ingest

HEADER: Final = "Date,Open,High,Low,Close,Adj Close,Volume"
LISTING_HEADER: Final = "Symbol,Security Name,ETF"
AS_OF: Final = date(2020, 12, 31)
"""The day on which tests ingest, a Thursday."""

FIRST_DAY: Final = date(2020, 1, 2)
"""A Thursday."""

LAYERS = [
    "01_raw",
    "02_intermediate",
    "03_primary",
    "04_feature",
    "05_model_input",
    "06_models",
    "07_model_output",
    "08_reporting",
    "09_service",
]
"""Layers of the catalog, in order."""


def bar(day: str = "2020-01-02", **changed: str) -> str:
    """Make a row that breaks no rule, with some fields changed.

    Args:
        day: The date's text.
        changed: Text of fields, by lower-case name with underscores.

    Returns:
        The row's text, without line end.
    """
    fields = {"open": "10", "high": "12", "low": "8", "close": "11"}
    fields |= {"adj_close": "11", "volume": "100"}
    assert changed.keys() <= fields.keys()
    return ",".join([day, *(fields | changed).values()])


def csv_of(*rows: str, header: str = HEADER) -> str:
    """Make the text of a file: a header, and rows each ended by a line feed."""
    return "".join(f"{line}\n" for line in (header, *rows))


def trading_days(count: int) -> list[date]:
    """List the first weekdays from ``FIRST_DAY`` on."""
    days = (FIRST_DAY + timedelta(days=number) for number in range(2 * count + 4))
    return [day for day in days if day.isoweekday() <= 5][:count]


def bars(count: int) -> list[str]:
    """Make valid rows of different dates, in order."""
    return [
        bar(day.isoformat(), volume=str(number))
        for number, day in enumerate(trading_days(count), start=1)
    ]


def write_folder(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files by their name inside a folder, which is made."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_as_bytes(content))
    return folder


def write_zip(
    path: Path, files: Mapping[str, str | bytes], compression: int = zipfile.ZIP_DEFLATED
) -> Path:
    """Write files by their name into a zip."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, _as_bytes(content))
    return path


def _as_bytes(content: str | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.encode()


def chunks_of(path: Path, **parameters: Any) -> list[IngestedChunk]:
    """Ingest an archive as of ``AS_OF``."""
    settings = IngestionParameters(**{"as_of": AS_OF, **parameters})
    return list(ingest(open_archive(path), settings))


def ingested(path: Path, **parameters: Any) -> IngestedChunk:
    """Ingest an archive as of ``AS_OF`` and put its chunks together."""
    return IngestedChunk(*map(pl.concat, zip(*chunks_of(path, **parameters), strict=True)))


def places_of(quarantine: pl.DataFrame) -> list[tuple[str, int, str]]:
    """List file, line and rule of quarantined rows."""
    return quarantine.select("file", "line", "rule").rows()


def fate_of(chunk: IngestedChunk) -> dict[str, tuple[int, int, int]]:
    """Count the rows read, kept and quarantined, by file."""
    counts = chunk.files.select("file", "rows_read", "rows_kept", "rows_quarantined")
    return {file: (read, kept, out) for file, read, kept, out in counts.rows()}


def prices_frame(rows: Iterable[tuple[str, date]] = ()) -> pl.DataFrame:
    """Make a frame of prices with a bar a symbol and date."""
    keys = list(rows) or [("A", FIRST_DAY), ("A", FIRST_DAY + timedelta(days=1)), ("B", FIRST_DAY)]
    count = len(keys)
    return pl.DataFrame(
        {
            "Symbol": [symbol for symbol, _ in keys],
            "Security Name": [f"{symbol} Inc." for symbol, _ in keys],
            "ETF": [False] * count,
            "Date": [day for _, day in keys],
            "Open": [None, *[10.0] * (count - 1)],
            "High": [12.0] * count,
            "Low": [8.0] * count,
            "Close": [11.0] * count,
            "Adj Close": [10.5] * count,
            "Volume": list(range(count)),
        },
        schema_overrides={"Open": pl.Float64},
    )


def quarantine_frame(rules: Sequence[str] = ("missing_field",)) -> pl.DataFrame:
    """Make a frame of quarantined rows, one a rule."""
    fields = ["Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"]
    return pl.DataFrame(
        {
            "file": ["stocks/A.csv"] * len(rules),
            "line": range(2, 2 + len(rules)),
            "rule": list(rules),
            **{name: [None] * len(rules) for name in fields},
        },
        schema={
            "file": pl.String,
            "line": pl.Int32,
            "rule": pl.String,
            **dict.fromkeys(fields, pl.String),
        },
    )


def files_frame(*changed: Mapping[str, Any]) -> pl.DataFrame:
    """Make a frame of file reports, one a mapping of what differs from an empty file."""
    one: dict[str, Any] = {
        "file": "stocks/A.csv",
        "symbol": "A",
        "status": "read",
        "note": "",
        "size": 0,
        "sha256": "0" * 64,
        "rows_read": 0,
        "rows_kept": 0,
        "rows_known": 0,
        "rows_quarantined": 0,
        "date_out_of_order": 0,
        "open_unknown": 0,
        "zero_volume": 0,
        "exchange_closed": 0,
        "pending": False,
    }
    one = {"file": one.pop("file"), "Symbol": one.pop("symbol"), **one}
    kinds = {int: pl.Int64, str: pl.String, bool: pl.Boolean}
    schema = {name: kinds[type(value)] for name, value in one.items()}
    return pl.DataFrame([one | dict(change) for change in changed or [{}]], schema=schema)
