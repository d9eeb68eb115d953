"""Layers in Parquet: invisible until confirmed, and loaded as saved."""

import math
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner
from polars.testing import assert_frame_equal

from stock_volume.datasets import (
    ChunkedParquetDataset,
    parquet,
)
from stock_volume.datasets.preview import EntryMetadata
from stock_volume.errors import SourceError
from tests.unit.helpers import prices_frame

EARLIER = prices_frame([("EARLIER", date(2019, 1, 2))])


FIRST = prices_frame([("A", date(2020, 1, 2)), ("A", date(2020, 1, 3))])


SECOND = prices_frame([("B", date(2020, 1, 2))])


def saved(path: Path, *chunks: pl.DataFrame | pl.LazyFrame) -> ChunkedParquetDataset:
    dataset = ChunkedParquetDataset(path.as_posix())
    for chunk in chunks:
        dataset.save(chunk)
    dataset.confirm()
    return dataset


class TestChunkedParquetDataset:
    """A file of row groups, invisible until it is complete."""

    def test_nothing_is_visible_before_it_is_confirmed(self, tmp_path: Path) -> None:
        """A file appears when it is confirmed, with all chunks, and not before."""
        dataset = ChunkedParquetDataset((tmp_path / "deep" / "prices.parquet").as_posix())
        for chunk in (FIRST, SECOND):
            dataset.save(chunk)
            assert not dataset.path.exists()
            assert not dataset.exists()
        dataset.confirm()
        assert dataset.exists()
        assert_frame_equal(dataset.load().collect(), pl.concat([FIRST, SECOND]))
        assert list(dataset.path.parent.iterdir()) == [dataset.path]

    def test_the_earlier_file_stays_until_then(self, tmp_path: Path) -> None:
        """While chunks are saved, readers see the previous file."""
        path = tmp_path / "prices.parquet"
        saved(path, EARLIER)
        dataset = ChunkedParquetDataset(path.as_posix())
        dataset.save(FIRST)
        assert_frame_equal(dataset.load().collect(), EARLIER)
        dataset.confirm()
        assert_frame_equal(dataset.load().collect(), FIRST)

    def test_a_dataset_can_be_written_again(self, tmp_path: Path) -> None:
        """A save after a confirmation begins a new file."""
        dataset = saved(tmp_path / "prices.parquet", FIRST)
        dataset.save(SECOND)
        dataset.confirm()
        assert_frame_equal(dataset.load().collect(), SECOND)

    def test_small_chunks_fill_a_row_group_together(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Chunks are buffered until they fill a row group; empty chunks make no row group."""
        monkeypatch.setattr(parquet, "MIN_ROW_GROUP_ROWS", 2)
        empty = FIRST.clear()
        dataset = saved(tmp_path / "a.parquet", empty, FIRST, empty, SECOND, SECOND, SECOND)
        metadata = pq.read_metadata(dataset.path)
        groups = range(metadata.num_row_groups)
        assert [metadata.row_group(group).num_rows for group in groups] == [2, 2, 1]

    def test_chunks_without_rows_make_a_file_without_rows(self, tmp_path: Path) -> None:
        """A layer without rows still has its columns."""
        dataset = saved(tmp_path / "a.parquet", FIRST.clear(), FIRST.clear())
        loaded = dataset.load().collect()
        assert loaded.is_empty()
        assert loaded.schema == FIRST.schema

    def test_types_are_kept(self, tmp_path: Path) -> None:
        """Types survive, dates as Arrow's date32, and nulls stay null."""
        dataset = saved(tmp_path / "a.parquet", FIRST)
        schema = pq.read_schema(dataset.path)
        assert schema.field("Date").type == pa.date32()
        assert schema.field("Volume").type == pa.int64()
        assert schema.field("ETF").type == pa.bool_()
        assert {schema.field(name).type for name in ("Open", "Close")} == {pa.float64()}
        loaded = dataset.load().collect()
        assert loaded.schema == FIRST.schema
        assert loaded["Open"].to_list() == [None, 10.0]

    def test_loading_is_lazy(self, tmp_path: Path) -> None:
        """Loading reads no rows: a truncated file fails only when collected."""
        rows = 20_000
        chunk = pl.DataFrame({"a": range(rows), "b": [math.sin(row) for row in range(rows)]})
        dataset = saved(tmp_path / "a.parquet", chunk)
        content = bytearray(dataset.path.read_bytes())
        content[4:2000] = bytes(1996)
        dataset.path.write_bytes(content)
        frame = dataset.load()
        assert isinstance(frame, pl.LazyFrame)
        assert frame.collect_schema() == chunk.schema
        with pytest.raises(pl.exceptions.PolarsError):
            frame.collect()

    def test_other_columns_are_refused(self, tmp_path: Path) -> None:
        """A chunk with other columns is an error."""
        dataset = ChunkedParquetDataset((tmp_path / "a.parquet").as_posix())
        dataset.save(FIRST)
        with pytest.raises(DatasetError):
            dataset.save(FIRST.rename({"Close": "Last"}))
        dataset.confirm()
        assert_frame_equal(dataset.load().collect(), FIRST)

    def test_a_missing_file_says_what_to_do(self, tmp_path: Path) -> None:
        """Loading a missing layer is an error that names the file and the remedy."""
        dataset = ChunkedParquetDataset((tmp_path / "a.parquet").as_posix())
        assert not dataset.exists()
        with pytest.raises(DatasetError, match=r"a\.parquet: no such file; run the node"):
            dataset.load()

    def test_nothing_saved_leaves_the_earlier_file(self, tmp_path: Path) -> None:
        """A node that yields nothing leaves the file unchanged."""
        path = tmp_path / "a.parquet"
        saved(path, EARLIER)
        written = path.stat().st_mtime_ns
        ChunkedParquetDataset(path.as_posix()).confirm()
        ChunkedParquetDataset((tmp_path / "b.parquet").as_posix()).confirm()
        assert list(tmp_path.iterdir()) == [path]
        assert path.stat().st_mtime_ns == written
        assert_frame_equal(ChunkedParquetDataset(path.as_posix()).load().collect(), EARLIER)

    def test_a_lazy_frame_leaves_the_earlier_file(self, tmp_path: Path) -> None:
        """A lazy frame, which is the layer as loaded, is written only if there is no file."""
        path = tmp_path / "a.parquet"
        saved(path, EARLIER)
        written = path.stat().st_mtime_ns
        saved(path, FIRST.lazy())
        assert path.stat().st_mtime_ns == written
        saved(tmp_path / "b.parquet", FIRST.lazy())
        assert_frame_equal(pl.read_parquet(tmp_path / "b.parquet"), FIRST)

    def test_a_preview_is_the_description_and_the_first_rows(self, tmp_path: Path) -> None:
        """Columns, types and the first five rows follow the description, which is escaped."""
        path = tmp_path / "a.parquet"
        metadata: EntryMetadata = {"description": "Bars < all rows."}
        dataset = ChunkedParquetDataset(path.as_posix(), metadata=metadata)
        assert dataset.preview() == "<p>Bars &lt; all rows.</p>"
        saved(path, FIRST, SECOND, FIRST)
        preview = dataset.preview()
        assert preview.startswith("<p>Bars &lt; all rows.</p><")
        assert preview.count("A Inc.") == FIRST.vstack(SECOND).vstack(FIRST).head(5)[
            "Security Name"
        ].to_list().count("A Inc.")
        for column in FIRST.columns:
            assert f"<th>{column}</th>" in preview
        assert "<td>f64</td>" in preview


class TestChunksFromANode:
    """A node that yields chunks, run by Kedro."""

    @staticmethod
    def run(path: Path, chunks: Iterator[pl.DataFrame]) -> None:
        def produce() -> Iterator[pl.DataFrame]:
            yield from chunks

        node = Node(produce, inputs=None, outputs="layer", confirms="layer")
        catalog = DataCatalog({"layer": ChunkedParquetDataset(path.as_posix())})
        SequentialRunner().run(Pipeline([node]), catalog)

    def test_a_node_that_ends_well_makes_the_file(self, tmp_path: Path) -> None:
        """The new file has every chunk of the node and replaces the previous one."""
        path = tmp_path / "layer.parquet"
        saved(path, EARLIER)
        self.run(path, iter([FIRST, SECOND]))
        assert_frame_equal(pl.read_parquet(path), pl.concat([FIRST, SECOND]))

    def test_a_node_that_fails_leaves_the_earlier_file(self, tmp_path: Path) -> None:
        """A failure after some chunks leaves the earlier file, and the next run is clean."""
        path = tmp_path / "layer.parquet"
        saved(path, EARLIER)

        def failing() -> Iterator[pl.DataFrame]:
            yield FIRST
            raise SourceError("no more")

        with pytest.raises(SourceError, match="no more"):
            self.run(path, failing())
        assert_frame_equal(pl.read_parquet(path), EARLIER)
        self.run(path, iter([SECOND]))
        assert_frame_equal(pl.read_parquet(path), SECOND)
        assert list(tmp_path.iterdir()) == [path]


def test_release_discards_unconfirmed_chunks(tmp_path: Path) -> None:
    """Releasing a dataset discards the chunks of a failed node and their file."""
    dataset = ChunkedParquetDataset(str(tmp_path / "layer.parquet"))
    dataset.save(pl.DataFrame({"a": [1]}))
    dataset.release()
    assert not list(tmp_path.iterdir())
    dataset.save(pl.DataFrame({"a": [2]}))
    dataset.confirm()
    assert dataset.load().collect()["a"].to_list() == [2]


def test_full_disk_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The previous file stays, and nothing is left of the new one."""
    path = tmp_path / "prices.parquet"
    content = saved(path, FIRST).path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", fail)
    dataset = ChunkedParquetDataset(path.as_posix())
    dataset.save(SECOND)
    with pytest.raises(DatasetError, match=r"prices\.parquet: cannot be written: .*No space left"):
        dataset.confirm()
    dataset.release()
    assert [one.name for one in tmp_path.iterdir()] == ["prices.parquet"]
    assert path.read_bytes() == content
