"""Parquet layers that are written in chunks and read lazily."""

import os
from pathlib import Path
from typing import Any, Final

# Arrow's own pools keep what is freed; the buffers of a written row group are better
# given back. The variable is read when Arrow loads, and a user's own choice stands.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from stock_volume.files import aside_of

COMPRESSION: Final = "lz4"


class ChunkedParquetDataset(AbstractDataset[pl.DataFrame, pl.LazyFrame]):
    """One Parquet file, written a row group at a time, invisible until confirmed.

    A node that yields frames has each saved as it comes: each ``save`` appends a row
    group to a file aside. The node names the dataset under ``confirms``, so that Kedro
    calls ``confirm`` once the node has come to its end, which moves the file into place.
    A node that fails leaves the earlier file as it was.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Keep where the file is.

        Args:
            filepath: Path of the Parquet file.
            metadata: For Kedro-Viz.
        """
        self.path = Path(filepath)
        self.metadata = metadata
        self._writer: pq.ParquetWriter | None = None

    def load(self) -> pl.LazyFrame:
        """Scan the file; rows are read when the frame is collected."""
        if not self.path.is_file():
            raise DatasetError(f"{self.path}: no such file; run the node that makes it")
        return pl.scan_parquet(self.path)

    def save(self, data: pl.DataFrame) -> None:
        """Append a row group.

        Args:
            data: Rows; all chunks have the same columns. A chunk without rows counts
                for the columns only.
        """
        table = data.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._writer is None:
            self._writer = self._open(table.schema)
        if table.num_rows:
            self._writer.write_table(table)

    def confirm(self) -> None:
        """Complete the file and move it into place."""
        if self._writer is None:
            raise DatasetError(f"{self.path}: nothing was saved to confirm")
        self._writer.close()
        self._writer = None
        aside_of(self.path).replace(self.path)

    def preview(self, nrows: int = 5) -> TablePreview:
        """Show the first rows in Kedro-Viz.

        Args:
            nrows: Number of rows.

        Returns:
            The rows in pandas' split format.
        """
        rows = self.load().head(nrows).collect()
        return TablePreview(
            {
                "index": list(range(rows.height)),
                "columns": rows.columns,
                "data": [[_shown(value) for value in row] for row in rows.rows()],
            }
        )

    def _open(self, schema: pa.Schema) -> pq.ParquetWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        floats = [field.name for field in schema if pa.types.is_floating(field.type)]
        whole = [field.name for field in schema if field.name not in floats]
        # Prices hardly repeat: split bytes compress better than a dictionary, and faster.
        return pq.ParquetWriter(
            aside_of(self.path),
            schema,
            compression=COMPRESSION,
            use_dictionary=whole,
            use_byte_stream_split=floats,
        )

    def _release(self) -> None:
        """Give up what was saved and not confirmed."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            aside_of(self.path).unlink(missing_ok=True)

    def _exists(self) -> bool:
        return self.path.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self.path)}


def _shown(value: object) -> object:
    return value if isinstance(value, (int, float, str, bool, type(None))) else str(value)
