"""Parquet layers as folders of parts, at any address, written by the workers that have the rows."""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import polars as pl
import pyarrow as pa
from kedro.io import AbstractDataset, DatasetError
from kedro.utils import load_obj
from kedro.validation.pandera_validator import PanderaValidator
from pydantic import BaseModel, ConfigDict, ValidationError

from stock_volume import columns
from stock_volume.datasets.parquet import frame_to_table, preview_rows, write_parquet
from stock_volume.datasets.preview import DescribedDataset, EntryMetadata
from stock_volume.files import write_atomically
from stock_volume.lineage.digests import FileDigest
from stock_volume.progress import progress
from stock_volume.sources.address import is_remote
from stock_volume.symbols import Part, PartedLayer, SymbolRange, scan_files
from stock_volume.workers import KeptPart, RemoteFrame, current_workers, frame_of

logger = logging.getLogger(__name__)

CONTENTS_FILE: Final = "contents.json"
"""File of a layer's folder that lists its parts; a part that it does not list is no part."""

PART_ROWS: Final = 1_000_000
"""Rows that come through this process are collected up to this number for a part."""

_ROW_GROUP_ROWS: Final = 100_000

Rows = pl.DataFrame | pl.LazyFrame | RemoteFrame | KeptPart


class StoredPart(BaseModel):
    """A part as ``contents.json`` describes it."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    file: str
    """Name of the file in the layer's folder."""

    rows: int
    """Number of rows."""

    size: int
    """Size in bytes."""

    sha256: str
    """SHA-256 of the file, in hexadecimal."""

    symbols: tuple[str, str] | None = None
    """First and last symbol of its range; None if the layer is not divided by symbol."""


class Contents(BaseModel):
    """The parts of a layer, in the order of its rows."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    parts: tuple[StoredPart, ...]
    """The parts."""


class ParquetPartsDataset(DescribedDataset, AbstractDataset[Rows, pl.LazyFrame]):
    """A folder of Parquet files, each a range of symbols, invisible until confirmed.

    A node yields frames, and each ``save`` is of some rows. The workers that computed a
    ``RemoteFrame`` write it themselves; other frames are written here. The node lists the
    dataset under ``confirms``: ``confirm`` waits for the parts and then replaces
    ``contents.json``, which lists them. A node that fails, or yields nothing or a lazy frame
    (the layer as loaded), leaves the layer unchanged.

    Example of a catalog entry::

        prices:
          type: stock_volume.datasets.ParquetPartsDataset
          path: s3://bucket/layers/02_intermediate/prices
          validator:
            class: stock_volume.datasets.parts.PartValidator
            options: {schema: stock_volume.schemas.Prices}

    Without options, fsspec and Polars read credentials from the environment, on the workers
    as well: see docs/scaling.md. Options travel with the tasks.
    """

    def __init__(
        self,
        path: str,
        fs_args: Mapping[str, Any] | None = None,
        storage_options: Mapping[str, str] | None = None,
        metadata: EntryMetadata | None = None,
    ) -> None:
        """Configure the dataset.

        Args:
            path: Folder of the layer: a path, or an address that both fsspec and Polars know.
            fs_args: fsspec's options of the store, which writes parts.
            storage_options: Polars' options of the store, which reads parts.
            metadata: Description, and layer in Kedro-Viz.
        """
        self.path = path if is_remote(path) else Path(path)
        self.metadata = metadata
        self._folder = path.rstrip("/")
        self._fs_args = dict(fs_args or {})
        self._storage_options = storage_options
        self._saving: list[KeptPart | Any] = []
        self._waiting: list[pl.DataFrame] = []
        self._empty: tuple[Callable[..., StoredPart], Sequence[Any]] | None = None
        self._run = ""

    def load(self) -> pl.LazyFrame:
        """Scan the parts lazily; a layer that is divided by symbol is a ``PartedLayer``."""
        contents = self._read_contents()
        if contents is None:
            raise DatasetError(f"{self._folder}: no such layer; run the node that makes it")
        parts = [
            Part(f"{self._folder}/{part.file}", part.rows, SymbolRange(*part.symbols))
            for part in contents.parts
            if part.symbols is not None
        ]
        if len(parts) == len(contents.parts) and _are_divided(parts):
            return PartedLayer.scan(parts, self._storage_options)
        paths = [f"{self._folder}/{part.file}" for part in contents.parts]
        return scan_files(paths, self._storage_options)

    def save(self, data: Rows) -> None:
        """Start to write rows, or note a part that is kept.

        Args:
            data: Rows; all have the same columns and may be none. A lazy frame is the layer
                as loaded, and is written only if there is no layer yet.
        """
        if isinstance(data, pl.LazyFrame):
            if self._exists():
                return
            data = data.collect()
        if isinstance(data, pl.DataFrame):
            self._collect(data)
            return
        self._flush()
        if isinstance(data, KeptPart):
            self._saving.append(data)
        else:
            write = partial(write_part, data.steps, symbols=data.symbols)
            self._start(write, data.result, data.height or data.symbols)

    def confirm(self) -> None:
        """Wait for the parts, list them, delete the previous ones; do nothing without a save."""
        self._flush()
        if not self._saving and self._empty is not None:
            self._start(*self._empty, 1)
        if not self._saving:
            return
        start = time.perf_counter()
        held = self._read_contents()
        contents = Contents(parts=self._await_parts(held))
        self._write_contents(contents)
        self._forget()
        self._delete_others(contents)
        logger.info(
            "%s: %d rows in %d parts, the last of them after %.1f s",
            self._folder,
            sum(part.rows for part in contents.parts),
            len(contents.parts),
            time.perf_counter() - start,
        )

    def digests(self) -> list[FileDigest] | None:
        """List the digests of the parts, as taken when they were written.

        Returns:
            The digests, in the order of the parts; None if there is no layer.
        """
        contents = self._read_contents()
        if contents is None:
            return None
        folder = self._folder if isinstance(self.path, str) else self.path.absolute().as_posix()
        return [
            FileDigest(path=f"{folder}/{part.file}", size=part.size, sha256=part.sha256)
            for part in contents.parts
        ]

    def _collect(self, frame: pl.DataFrame) -> None:
        if self._waiting and frame.schema != self._waiting[0].schema:
            raise DatasetError(f"{self._folder}: a chunk has other columns than those before it")
        self._waiting.append(frame)
        if sum(waiting.height for waiting in self._waiting) >= PART_ROWS:
            self._flush()

    def _flush(self) -> None:
        """Write the rows that came through this process."""
        if self._waiting:
            frame = pl.concat(self._waiting)
            self._waiting.clear()
            self._start(partial(write_part, ()), frame, frame.height)

    def _start(self, write: Callable[..., StoredPart], result: Any, rows: object) -> None:
        """Start to write a part; one without rows and symbols only if there is no other."""
        if not rows:
            self._empty = (write, result)
            return
        self._run = self._run or uuid4().hex[:8]
        # Named for this save: the parts that readers see stay until the layer is complete.
        name = f"part-{len(self._saving):05d}-{self._run}.parquet"
        write = partial(write, folder=self._folder, name=name, fs_args=self._fs_args)
        if isinstance(result, pl.DataFrame):
            self._saving.append(_Written(write(result)))
        else:
            self._saving.append(current_workers().submit(write, result))

    def _await_parts(self, held: Contents | None) -> tuple[StoredPart, ...]:
        known = {part.symbols: part for part in held.parts} if held else {}
        parts = []
        with progress(f"writing {Path(self._folder).name}", len(self._saving), "parts") as advance:
            for one in self._saving:
                part = known[one.symbols] if isinstance(one, KeptPart) else one.result()
                parts.append(part)
                advance(1, part.rows)
        return tuple(parts)

    def _exists(self) -> bool:
        return self._read_contents() is not None

    def _release(self) -> None:
        """Discard unconfirmed parts."""
        if self._saving or self._waiting or self._empty:
            self._forget()
            self._delete_others(self._read_contents() or Contents(parts=()))

    def _forget(self) -> None:
        self._saving, self._waiting, self._empty, self._run = [], [], None, ""

    def _read_contents(self) -> Contents | None:
        file_system, folder = _open_folder(self._folder, self._fs_args)
        try:
            text = file_system.cat_file(f"{folder}/{CONTENTS_FILE}")
        except FileNotFoundError:
            return None
        try:
            return Contents.model_validate_json(text)
        except ValidationError as error:
            raise DatasetError(
                f"{self._folder}/{CONTENTS_FILE}: lists no parts ({error.error_count()} errors); "
                "delete the folder and run the node that makes it again"
            ) from None

    def _write_contents(self, contents: Contents) -> None:
        content = contents.model_dump_json(indent=2).encode()
        _write_bytes(self._folder, CONTENTS_FILE, content, self._fs_args)

    def _delete_others(self, contents: Contents) -> None:
        """Delete the parts that are not listed: of the previous contents and of failed runs."""
        file_system, folder = _open_folder(self._folder, self._fs_args)
        file_system.invalidate_cache()
        listed = {part.file for part in contents.parts}
        for path in file_system.glob(f"{folder}/part-*.parquet"):
            if path.rpartition("/")[2] not in listed:
                file_system.rm_file(path)

    def _preview_content(self) -> str:
        return preview_rows(self.load()) if self._exists() else ""

    def _describe(self) -> dict[str, str]:
        return {"path": self._folder}


class _Written:
    """A part that is written already."""

    def __init__(self, part: StoredPart) -> None:
        self._part = part

    def result(self) -> StoredPart:
        return self._part


class PartValidator:
    """Checks each part by a schema, where its rows are; a lazy frame by its columns."""

    def __init__(self, schema: str) -> None:
        """Name the schema.

        Args:
            schema: Import path of a pandera schema.
        """
        self._schema = schema
        self._validator = PanderaValidator(load_obj(schema))

    def validate(self, data: Rows) -> Rows:
        """Check rows, or have them checked before they are written.

        Args:
            data: Rows of the layer.

        Returns:
            The same rows.

        Raises:
            DataValidationError: A check failed.
        """
        if isinstance(data, RemoteFrame):
            return data.then(partial(check_part, schema=self._schema))
        if not isinstance(data, KeptPart):
            self._validator.validate(data)
        return data


def check_part(frame: pl.DataFrame, schema: str) -> pl.DataFrame:
    """Check the rows of a part.

    Args:
        frame: The rows.
        schema: Import path of a pandera schema.

    Returns:
        The same rows.

    Raises:
        DataValidationError: A check failed.
    """
    PanderaValidator(load_obj(schema)).validate(frame)
    return frame


def write_part(  # noqa: PLR0913 (what is written, and where)
    steps: Sequence[Callable[[Any], Any]],
    result: Any,
    *,
    folder: str,
    name: str,
    symbols: tuple[str, str] | None = None,
    fs_args: Mapping[str, Any] | None = None,
) -> StoredPart:
    """Write a part.

    Args:
        steps: What takes the rows out of the result.
        result: What a task computed.
        folder: Folder of the layer.
        name: Name of the file. Writing it again replaces it.
        symbols: First and last symbol; None to find them in the rows.
        fs_args: fsspec's options of the store.

    Returns:
        The part.
    """
    frame = frame_of(steps, result)
    content = write_parquet(frame_to_table(frame), _ROW_GROUP_ROWS)
    _write_bytes(folder, name, content, fs_args or {})
    return StoredPart(
        file=name,
        rows=frame.height,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        symbols=symbols or _find_symbols(frame),
    )


def _find_symbols(frame: pl.DataFrame) -> tuple[str, str] | None:
    if columns.SYMBOL not in frame.columns or frame.is_empty():
        return None
    symbols = frame[columns.SYMBOL]
    return symbols.min(), symbols.max()  # type: ignore[return-value]  # of text


def _are_divided(parts: Sequence[Part]) -> bool:
    """Return whether each part has later symbols than the part before."""
    return bool(parts) and all(
        before.symbols.last < after.symbols.first for before, after in pairwise(parts)
    )


def _open_folder(folder: str, fs_args: Mapping[str, Any]) -> tuple[Any, str]:
    import fsspec

    file_system, path = fsspec.url_to_fs(folder, **fs_args)
    return file_system, path


def _write_bytes(
    folder: str, name: str, content: bytes | pa.Buffer, fs_args: Mapping[str, Any]
) -> None:
    """Write a file so that it is visible only when it is complete."""
    if is_remote(folder):
        file_system, path = _open_folder(folder, fs_args)
        file_system.pipe_file(f"{path}/{name}", bytes(content))
        return
    with write_atomically(Path(folder, name)) as aside:
        aside.write_bytes(content)
