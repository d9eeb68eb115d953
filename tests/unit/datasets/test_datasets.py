"""Datasets write files atomically and load what they saved."""

import math
import os
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NoReturn

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner
from polars.testing import assert_frame_equal

from stock_volume.bars.archive import FolderArchive, ZipArchive
from stock_volume.datasets import (
    AtomicDataset,
    BentoModelDataset,
    ChunkedParquetDataset,
    SourceDataset,
    parquet,
)
from stock_volume.errors import SourceError
from stock_volume.stored_model import StoredModel
from tests.unit.helpers import bars, csv_of, prices_frame, write_folder, write_zip

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
        metadata = {"description": "Bars < all rows."}
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


class Unpicklable:
    """An object that fails halfway through a pickle."""

    def __reduce__(self) -> NoReturn:
        """Fail."""
        raise RuntimeError("cannot be pickled")


INNER = [
    pytest.param(
        {"type": "json.JSONDataset"},
        {"a": [1, 2.5, None]},
        {"a": [1], "b": object()},
        id="json",
    ),
    pytest.param(
        {"type": "pickle.PickleDataset", "backend": "joblib"},
        {"a": (1, date(2020, 1, 2))},
        [bytes(100_000), Unpicklable()],
        id="joblib",
    ),
    pytest.param({"type": "text.TextDataset"}, "# Report\n\u00e9\n", 5, id="text"),
]


class TestAtomicDataset:
    """A file that each save replaces atomically."""

    @pytest.mark.parametrize(("inner", "good", "bad"), INNER)
    def test_round_trip(
        self, tmp_path: Path, inner: dict[str, Any], good: object, bad: object
    ) -> None:
        """A load returns what was saved, from one file."""
        assert good != bad
        path = tmp_path / "deep" / "file"
        dataset = AtomicDataset(path.as_posix(), inner)
        assert not dataset.exists()
        dataset.save(good)
        assert dataset.exists()
        assert dataset.load() == good
        assert list(path.parent.iterdir()) == [path]

    @pytest.mark.parametrize(("inner", "good", "bad"), INNER)
    def test_a_crash_leaves_the_old_content(
        self, tmp_path: Path, inner: dict[str, Any], good: object, bad: object
    ) -> None:
        """A save that fails halfway leaves the earlier content, and nothing beside it."""
        path = tmp_path / "file"
        dataset = AtomicDataset(path.as_posix(), inner)
        dataset.save(good)
        content = path.read_bytes()
        with pytest.raises(DatasetError):
            dataset.save(bad)
        assert path.read_bytes() == content
        assert list(tmp_path.iterdir()) == [path]
        assert dataset.load() == good

    @pytest.mark.parametrize(("inner", "good", "bad"), INNER)
    def test_a_first_save_that_crashes_leaves_nothing(
        self, tmp_path: Path, inner: dict[str, Any], good: object, bad: object
    ) -> None:
        """A failing save into an empty folder leaves it empty, and a good one follows."""
        dataset = AtomicDataset((tmp_path / "file").as_posix(), inner)
        with pytest.raises(DatasetError):
            dataset.save(bad)
        assert list(tmp_path.iterdir()) == []
        dataset.save(good)
        assert dataset.load() == good

    def test_a_failed_replacement_leaves_the_old_content(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If the rename fails, the previous file stays."""
        dataset = AtomicDataset((tmp_path / "file").as_posix(), {"type": "text.TextDataset"})
        dataset.save("old")

        def fail(self: Path, _target: Path) -> NoReturn:
            assert self.read_text() == "new"
            raise OSError("disk full")

        monkeypatch.setattr(Path, "replace", fail)
        with pytest.raises(DatasetError, match="disk full"):
            dataset.save("new")
        assert dataset.load() == "old"
        assert list(tmp_path.iterdir()) == [dataset.path]

    def test_options_reach_the_inner_dataset(self, tmp_path: Path) -> None:
        """Arguments of the entry reach the inner dataset, such as the indent of JSON."""
        entry = {"type": "json.JSONDataset", "save_args": {"indent": 2}}
        dataset = AtomicDataset((tmp_path / "file").as_posix(), entry)
        dataset.save({"a": 1})
        assert dataset.path.read_text() == '{\n  "a": 1\n}'

    def test_a_missing_file_is_an_error(self, tmp_path: Path) -> None:
        """Loading a missing file is an error that names it."""
        dataset = AtomicDataset((tmp_path / "file").as_posix(), {"type": "text.TextDataset"})
        with pytest.raises(DatasetError, match="file"):
            dataset.load()


def archive_dataset(
    location: str, landing: Path | str = "unused", **arguments: object
) -> SourceDataset:
    """Make the dataset of an archive."""
    source = {"type": "stock_volume.sources.archive.ArchiveSource", "location": location}
    return SourceDataset({**source, "landing": str(landing), **arguments})


class TestSourceDataset:
    """The raw layer, from any source."""

    def test_the_sample_is_laid_out(self, tmp_path: Path) -> None:
        """The first load writes the embedded sample to the landing folder."""
        dataset = archive_dataset("sample", tmp_path / "01_raw")
        assert dataset.exists()
        assert list(tmp_path.iterdir()) == []
        archive = dataset.load()
        assert isinstance(archive, FolderArchive)
        assert archive.path == tmp_path / "01_raw" / "sample"
        assert len(archive.files) == 5

    def test_a_folder_is_read_in_place(self, tmp_path: Path) -> None:
        """A folder is opened in place, without a copy."""
        folder = write_folder(tmp_path / "mine", {"stocks/A.csv": csv_of(*bars(2))})
        dataset = archive_dataset(folder.as_posix(), tmp_path / "01_raw")
        archive = dataset.load()
        assert isinstance(archive, FolderArchive)
        assert archive.path == folder
        assert [file.symbol for file in archive.files] == ["A"]
        assert list(tmp_path.iterdir()) == [folder]

    def test_a_zip_is_read_in_place(self, tmp_path: Path) -> None:
        """A zip is opened in place and never unpacked."""
        path = write_zip(tmp_path / "archive.zip", {"etfs/B.csv": csv_of(*bars(2))})
        dataset = archive_dataset(path.as_posix(), tmp_path / "01_raw")
        assert dataset.exists()
        archive = dataset.load()
        assert isinstance(archive, ZipArchive)
        assert archive.read("etfs/B.csv") == csv_of(*bars(2)).encode()
        assert list(tmp_path.iterdir()) == [path]

    def test_home_is_expanded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A location may begin with a tilde for the home folder."""
        monkeypatch.setenv("HOME", tmp_path.as_posix())
        write_folder(tmp_path / "mine", {"stocks/A.csv": csv_of()})
        assert archive_dataset("~/mine").load().everything().path == tmp_path / "mine"

    def test_limits_are_passed_on(self, tmp_path: Path) -> None:
        """Limits from the catalog bound the archive."""
        folder = write_folder(tmp_path / "mine", {"stocks/A.csv": bytes(2**20 + 1)})
        within = archive_dataset(folder.as_posix(), limits={"max_total_mib": 2})
        assert within.load().everything().files
        dataset = archive_dataset(folder.as_posix(), limits={"max_total_mib": 1})
        with pytest.raises(DatasetError, match="max_total_mib = 1"):
            dataset.load()

    def test_a_missing_source_is_named(self, tmp_path: Path) -> None:
        """A missing archive does not exist, and the error names its path."""
        dataset = archive_dataset((tmp_path / "gone.zip").as_posix())
        assert not dataset.exists()
        with pytest.raises(DatasetError, match=r"gone\.zip: no such file or folder"):
            dataset.load()

    def test_saving_is_refused(self, tmp_path: Path) -> None:
        """Nothing is ever written to a source."""
        dataset: Any = archive_dataset("sample", tmp_path)
        with pytest.raises(DatasetError, match="read-only"):
            dataset.save("anything")
        assert list(tmp_path.iterdir()) == []

    def test_credentials_reach_the_source(self, tmp_path: Path) -> None:
        """Credentials of the entry are an argument of the source, and stay out of its name."""
        entry = {
            "type": "stock_volume.datasets.SourceDataset",
            "source": {
                "type": "stock_volume.sources.http_csv.HttpCsvSource",
                "server": {"url": "https://example.org/{symbol}?apikey={key}"},
                "symbols": ["A"],
                "landing": str(tmp_path),
            },
            "credentials": "server",
        }
        catalog = DataCatalog.from_config({"raw_bars": entry}, {"server": {"key": "SECRET"}})
        dataset: Any = catalog["raw_bars"]
        assert dataset.load()._parameters.list_secrets() >= {"SECRET"}  # noqa: SLF001
        assert "https://example.org/{symbol}?" in repr(dataset)
        assert "SECRET" not in repr(dataset)

    def test_the_path_of_a_requested_source_is_its_latest_archive(self, tmp_path: Path) -> None:
        """Lineage digests the latest archive of answers, and the folder before the first."""
        source = {"type": "stock_volume.sources.yahoo.YahooSource", "symbols": ["A"]}
        dataset = SourceDataset({**source, "landing": str(tmp_path), "exchange": "XNYS"})
        assert dataset.path == tmp_path
        for seconds, name in enumerate(("b.zip", "a.zip")):
            (tmp_path / name).touch()
            os.utime(tmp_path / name, (seconds, seconds))
        assert dataset.path == tmp_path / "a.zip"

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("archive.zip", "source: must have a `type`"),
            ({"location": "archive.zip"}, "source: must have a `type`"),
            ({"type": "stock_volume.sources.archive.Missing"}, "archive.Missing: .*no attribute"),
            ({"type": "no_such_module.Source"}, "No module named 'no_such_module'"),
            ({"type": "stock_volume.sources.kaggle.KaggleSource", "handel": "x"}, "'handel'"),
        ],
    )
    def test_an_invalid_entry_is_an_error(self, source: Any, message: str) -> None:
        """An entry without a usable source names what is wrong."""
        with pytest.raises(DatasetError, match=message):
            SourceDataset(source)


@pytest.fixture
def model_store(tmp_path: Path) -> Iterator[Path]:
    """A store of models for one test."""
    with warnings.catch_warnings():
        # Of a library that BentoML imports.
        warnings.simplefilter("ignore", DeprecationWarning)
        import bentoml.models  # noqa: F401
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml._internal.models import ModelStore

    folder = tmp_path / "models"
    folder.mkdir()
    with BentoMLContainer.model_store.patch(ModelStore(folder)):
        yield folder


def model_dataset(folder: Path, name: str) -> BentoModelDataset:
    """Make the dataset of a model, with its tag file in the folder."""
    return BentoModelDataset(name, str(folder / f"{name}.json"))


class TestBentoModelDataset:
    """A model in the BentoML store."""

    MODEL = StoredModel(
        files={"a.txt": "tree\nversion=v4\n\u00e9\n", "b.json": "{}"},
        labels={"task": "regression"},
        metadata={"rows": 3, "metrics": {"mae": 1.5}, "inputs": ["a", "b"]},
    )

    def test_round_trip(self, model_store: Path, tmp_path: Path) -> None:
        """A loaded model has its text, labels and metadata, and the tag from the store."""
        dataset = model_dataset(tmp_path, "estimator")
        assert not dataset.exists()
        dataset.save(self.MODEL)
        assert dataset.exists()
        loaded = dataset.load()
        assert (loaded.files, loaded.labels) == (self.MODEL.files, self.MODEL.labels)
        assert loaded.metadata == self.MODEL.metadata
        assert loaded.tag == dataset.tag
        name, _, version = dataset.tag.partition(":")
        assert name == "estimator"
        assert (model_store / name / version).is_dir()

    def test_the_latest_version_is_loaded(self, model_store: Path, tmp_path: Path) -> None:
        """Each save creates a version, and a load returns the newest."""
        dataset = model_dataset(tmp_path, "estimator")
        dataset.save(self.MODEL)
        first = dataset.tag
        dataset.save(StoredModel({"a.txt": "another"}))
        assert dataset.tag != first
        assert dataset.load().files == {"a.txt": "another"}
        versions = [path for path in (model_store / "estimator").iterdir() if path.is_dir()]
        assert len(versions) == 2

    def test_frames_come_back(self, model_store: Path, tmp_path: Path) -> None:
        """A loaded model has its frames, each from its own file in the store."""
        dataset = model_dataset(tmp_path, "snapshot")
        frames = {"history": FIRST.lazy(), "sessions": SECOND.lazy().select("Date")}
        dataset.save(replace(self.MODEL, frames=frames))
        loaded = dataset.load()
        assert (loaded.files, loaded.metadata) == (self.MODEL.files, self.MODEL.metadata)
        assert loaded.frames.keys() == frames.keys()
        assert all(isinstance(frame, pl.LazyFrame) for frame in loaded.frames.values())
        assert_frame_equal(loaded.frames["history"].collect(), FIRST, check_exact=True)
        assert_frame_equal(loaded.frames["sessions"].collect(), SECOND.select("Date"))
        files = {path.name for path in (model_store / dataset.tag.replace(":", "/")).iterdir()}
        assert files == {"history.parquet", "sessions.parquet", "a.txt", "b.json", "model.yaml"}

    @pytest.mark.usefixtures("model_store")
    def test_what_is_undefined_is_left_out(self, tmp_path: Path) -> None:
        """The store refuses None: metadata that are None, at any depth, are not stored."""
        metrics = {"eta_r2": None, "n": 1, "by_bucket": {"low": {"level_r2": None, "n": 1}}}
        dataset = model_dataset(tmp_path, "forecaster")
        dataset.save(replace(self.MODEL, metadata={"metrics": metrics, "some": [1, None]}))
        expected = {"metrics": {"n": 1, "by_bucket": {"low": {"n": 1}}}, "some": [1]}
        assert dataset.load().metadata == expected

    @pytest.mark.usefixtures("model_store")
    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_metadata_that_json_cannot_hold_are_refused(self, tmp_path: Path, value: float) -> None:
        """A number that is not finite is an error that names it, and stores no model."""
        dataset = model_dataset(tmp_path, "forecaster")
        with pytest.raises(DatasetError, match="eta_r2 is"):
            dataset.save(replace(self.MODEL, metadata={"metrics": {"eta_r2": value}}))
        assert not dataset.exists()

    @pytest.mark.usefixtures("model_store")
    def test_frames_alone_are_a_model(self, tmp_path: Path) -> None:
        """A model may have only frames, and a version has no frames of an earlier one."""
        dataset = model_dataset(tmp_path, "snapshot")
        dataset.save(StoredModel(frames={"history": FIRST.lazy()}))
        first = dataset.load()
        assert (first.files, list(first.frames)) == ({}, ["history"])
        dataset.save(StoredModel(frames={"latest": SECOND.lazy()}))
        second = dataset.load()
        assert (second.files, list(second.frames)) == ({}, ["latest"])
        assert first.tag != second.tag
        assert_frame_equal(first.frames["history"].collect(), FIRST)

    @pytest.mark.usefixtures("model_store")
    def test_a_loaded_model_has_tag_and_time(self, tmp_path: Path) -> None:
        """A stored model has a tag and a time; a new one has neither."""
        dataset = model_dataset(tmp_path, "snapshot")
        assert (self.MODEL.tag, self.MODEL.created) == (None, None)
        before = datetime.now(tz=UTC).replace(microsecond=0)
        dataset.save(self.MODEL)
        loaded = dataset.load()
        assert loaded.tag == dataset.tag
        assert loaded.created is not None
        assert before <= datetime.fromisoformat(loaded.created) <= datetime.now(tz=UTC)

    @pytest.mark.usefixtures("model_store")
    def test_a_frame_that_fails_makes_no_version(self, tmp_path: Path) -> None:
        """If a frame cannot be computed, no version is stored and the previous one stays."""
        dataset = model_dataset(tmp_path, "snapshot")
        broken = replace(self.MODEL, frames={"history": FIRST.lazy().select("Missing")})
        with pytest.raises(DatasetError):
            dataset.save(broken)
        assert not dataset.exists()
        dataset.save(self.MODEL)
        tag = dataset.tag
        with pytest.raises(DatasetError):
            dataset.save(broken)
        assert dataset.tag == tag

    @pytest.mark.usefixtures("model_store")
    def test_another_data_root_changes_nothing(self, tmp_path: Path) -> None:
        """A load ignores versions of other data roots in the same store."""
        here, there = (model_dataset(tmp_path / root, "estimator") for root in ("here", "there"))
        here.save(self.MODEL)
        tag = here.tag
        there.save(StoredModel({"a.txt": "another"}))
        assert (here.tag, here.load().tag) == (tag, tag)
        assert here.load().files == self.MODEL.files
        assert there.load().files == {"a.txt": "another"}

    @pytest.mark.usefixtures("model_store")
    def test_a_data_root_without_a_model_is_named(self, tmp_path: Path) -> None:
        """A data root without a saved model has none, whatever the store holds."""
        model_dataset(tmp_path / "there", "estimator").save(self.MODEL)
        dataset = model_dataset(tmp_path / "here", "estimator")
        assert not dataset.exists()
        with pytest.raises(DatasetError, match=r"here.estimator\.json: no such file.*`kedro run`"):
            dataset.load()
        with pytest.raises(DatasetError, match="this data root has no estimator"):
            _ = dataset.tag

    def test_a_version_that_is_gone_is_named(self, model_store: Path, tmp_path: Path) -> None:
        """A version missing from the store is an error; no other version replaces it."""
        dataset = model_dataset(tmp_path, "estimator")
        dataset.save(self.MODEL)
        tag = dataset.tag
        model_dataset(tmp_path / "there", "estimator").save(self.MODEL)
        shutil.rmtree(model_store / tag.replace(":", "/"))
        assert not dataset.exists()
        with pytest.raises(DatasetError, match=f"{tag}, which .* is not in the BentoML store"):
            dataset.load()

    @pytest.mark.usefixtures("model_store")
    @pytest.mark.parametrize("text", ["", "{}", "[]", '{"tag": 1}', '{"tag": "other:a"}', "\xff"])
    def test_a_damaged_tag_file_is_named(self, tmp_path: Path, text: str) -> None:
        """A tag file without a version of the model is an error, and does not exist for Kedro."""
        dataset = model_dataset(tmp_path, "estimator")
        dataset.save(self.MODEL)
        (tmp_path / "estimator.json").write_text(text, encoding="latin-1")
        assert not dataset.exists()
        with pytest.raises(DatasetError, match=r"estimator\.json: names no version of estimator"):
            dataset.load()


def test_release_discards_unconfirmed_chunks(tmp_path: Path) -> None:
    """Releasing a dataset discards the chunks of a failed node and their file."""
    dataset = ChunkedParquetDataset(str(tmp_path / "layer.parquet"))
    dataset.save(pl.DataFrame({"a": [1]}))
    dataset.release()
    assert not list(tmp_path.iterdir())
    dataset.save(pl.DataFrame({"a": [2]}))
    dataset.confirm()
    assert dataset.load().collect()["a"].to_list() == [2]


@pytest.mark.parametrize(
    ("name", "entry", "data", "shown"),
    [
        (
            "a.json",
            {"type": "json.JSONDataset"},
            {"a": "<b>"},
            "<pre>{\n  &quot;a&quot;: &quot;&lt;b",
        ),
        ("a.md", {"type": "text.TextDataset"}, "# A" + 6_000 * "x", "<pre># Axxx"),
        ("a.joblib", {"type": "pickle.PickleDataset", "backend": "joblib"}, [1], ""),
    ],
)
def test_a_file_is_previewed_where_it_is_text(
    tmp_path: Path, name: str, entry: dict[str, Any], data: object, shown: str
) -> None:
    """A preview is the description and the beginning of a text file, escaped."""
    metadata = {"description": "A file."}
    dataset = AtomicDataset((tmp_path / name).as_posix(), entry, metadata)
    assert dataset.preview() == "<p>A file.</p>"
    dataset.save(data)
    preview = dataset.preview()
    assert preview.startswith(f"<p>A file.</p>{shown}")
    assert len(preview) < 5_100
    assert (preview == "<p>A file.</p>") == (not shown)
