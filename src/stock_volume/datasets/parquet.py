"""Parquet layers, written in chunks and read lazily."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

# Arrow's own pools retain freed memory; the system allocator returns the buffers of a
# written row group. Arrow reads the variable on import; a user's own value takes precedence.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import AbstractDataset, DatasetError

from stock_volume.datasets.preview import DescribedDataset, EntryMetadata
from stock_volume.files import partial_path, replace_durably

COMPRESSION: Final = "lz4"
MIN_ROW_GROUP_ROWS: Final = 100_000
"""Minimum number of rows per row group; the last may have fewer.

A reader of a few symbols reads the description of every row group first, which takes longer than
reading the rows where there are many small groups of many columns.
"""

_PREVIEWED_ROWS: Final = 5
_PREVIEWED_CHARACTERS: Final = 40


class ChunkedParquetDataset(
    DescribedDataset, AbstractDataset[pl.DataFrame | pl.LazyFrame, pl.LazyFrame]
):
    """One Parquet file, written in row groups and invisible until confirmed.

    For a node that yields frames, each ``save`` appends one to a temporary file. The node
    lists the dataset under ``confirms``, so that Kedro calls ``confirm`` when the node has
    finished, which renames the file. A node that fails, or yields nothing or a lazy frame
    (the layer as loaded), leaves the previous file unchanged.
    """

    def __init__(self, filepath: str, metadata: EntryMetadata | None = None) -> None:
        """Configure the dataset.

        Args:
            filepath: Path of the Parquet file.
            metadata: Description, and layer in Kedro-Viz.
        """
        self.path = Path(filepath)
        self.metadata = metadata
        self._writer: pq.ParquetWriter | None = None
        self._schema: pl.Schema | None = None
        self._waiting: list[pl.DataFrame] = []

    def load(self) -> pl.LazyFrame:
        """Scan the file lazily."""
        if not self.path.is_file():
            raise DatasetError(f"{self.path}: no such file; run the node that makes it")
        return pl.scan_parquet(self.path, glob=False)  # brackets are part of a name

    def save(self, data: pl.DataFrame | pl.LazyFrame) -> None:
        """Append rows, buffering small chunks until they fill a row group.

        Args:
            data: Rows; all chunks have the same columns and may be empty. A lazy frame is
                the layer as loaded, and is written only if there is no file yet.
        """
        if isinstance(data, pl.LazyFrame):
            if self.path.is_file():
                return
            data = data.collect()
        if self._writer is None:
            self._schema = data.schema
            self._writer = self._open(frame_to_table(data.clear()).schema)
        if data.schema != self._schema:
            raise DatasetError(f"{self.path}: a chunk has other columns than those before it")
        self._waiting.append(data)
        if sum(waiting.height for waiting in self._waiting) >= MIN_ROW_GROUP_ROWS:
            self._write(self._writer)

    def confirm(self) -> None:
        """Complete and rename the file; without any save, leave the previous one unchanged."""
        if self._writer is None:
            return
        self._write(self._writer)
        with self._naming_the_file():
            self._writer.close()
        self._writer = None
        replace_durably(partial_path(self.path), self.path)

    def _preview_content(self) -> str:
        """Render columns, types and the first rows."""
        if not self.path.is_file():
            return ""
        return preview_rows(self.load())

    def _open(self, schema: pa.Schema) -> pq.ParquetWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return open_writer(partial_path(self.path), schema)

    def _release(self) -> None:
        """Discard unconfirmed chunks."""
        if self._writer is not None:
            with suppress(OSError):  # on a full disk, nor can the end of the file be written
                self._writer.close()
            self._writer = None
            self._waiting.clear()
            partial_path(self.path).unlink(missing_ok=True)

    def _write(self, writer: pq.ParquetWriter) -> None:
        filled = [frame for frame in self._waiting if frame.height]
        self._waiting.clear()
        if filled:
            table = frame_to_table(pl.concat(filled))
            filled.clear()
            with self._naming_the_file():
                writer.write_table(table)

    @contextmanager
    def _naming_the_file(self) -> Iterator[None]:
        """Name the file in errors of Arrow, such as that of a full disk."""
        try:
            yield
        except OSError as error:
            raise DatasetError(f"{self.path}: cannot be written: {error}") from error

    def _exists(self) -> bool:
        return self.path.is_file()

    def _describe(self) -> dict[str, str]:
        return {"filepath": str(self.path)}


def frame_to_table(frame: pl.DataFrame) -> pa.Table:
    """Convert a frame to the table that is written to a layer.

    Args:
        frame: Rows of a layer.

    Returns:
        The rows, in types that every reader of Parquet knows.
    """
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def open_writer(target: Path | pa.NativeFile, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a Parquet file of a layer.

    Args:
        target: Path of the file, or a stream.
        schema: Columns of the layer.

    Returns:
        The writer.
    """
    numbers = [field.name for field in schema if _is_number(field.type)]
    others = [field.name for field in schema if field.name not in numbers]
    # Numbers rarely repeat: byte stream split compresses better and faster than a dictionary.
    return pq.ParquetWriter(
        target,
        schema,
        compression=COMPRESSION,
        use_dictionary=others,
        write_statistics=others,
        use_byte_stream_split=numbers,
    )


def write_parquet(table: pa.Table, row_group_rows: int) -> pa.Buffer:
    """Write rows of a layer to memory.

    Args:
        table: The rows.
        row_group_rows: Maximum number of rows per row group.

    Returns:
        The content of a Parquet file.
    """
    stream = pa.BufferOutputStream()
    with open_writer(stream, table.schema) as writer:
        writer.write_table(table, row_group_rows)
    return stream.getvalue()


def preview_rows(layer: pl.LazyFrame) -> str:
    """Render columns, types and the first rows of a layer.

    Args:
        layer: The layer.

    Returns:
        HTML.
    """
    with pl.Config(
        tbl_cols=-1,
        tbl_hide_dataframe_shape=True,
        fmt_str_lengths=_PREVIEWED_CHARACTERS,
    ):
        return layer.head(_PREVIEWED_ROWS).collect()._repr_html_()


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))
