"""Models and Bentos in the store, and their tags."""

import math
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from kedro.io import DatasetError
from polars.testing import assert_frame_equal

from stock_volume.datasets import (
    BentoModelDataset,
    ChunkedParquetDataset,
)
from stock_volume.stored_model import StoredModel
from tests.unit.helpers import prices_frame

FIRST = prices_frame([("A", date(2020, 1, 2)), ("A", date(2020, 1, 3))])


SECOND = prices_frame([("B", date(2020, 1, 2))])


def saved(path: Path, *chunks: pl.DataFrame | pl.LazyFrame) -> ChunkedParquetDataset:
    dataset = ChunkedParquetDataset(path.as_posix())
    for chunk in chunks:
        dataset.save(chunk)
    dataset.confirm()
    return dataset


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
        assert loaded.metadata == {**self.MODEL.metadata, "tag_file": f"{tmp_path}/estimator.json"}
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
        assert loaded.files == self.MODEL.files
        assert loaded.metadata.items() >= self.MODEL.metadata.items()
        assert loaded.frames.keys() == frames.keys()
        assert all(isinstance(frame, pl.LazyFrame) for frame in loaded.frames.values())
        assert_frame_equal(loaded.frames["history"].collect(), FIRST, check_exact=True)
        assert_frame_equal(loaded.frames["sessions"].collect(), SECOND.select("Date"))
        files = {path.name for path in (model_store / dataset.tag.replace(":", "/")).iterdir()}
        assert files == {
            "history.parquet",
            "sessions.parquet",
            "a.txt",
            "b.json",
            "model.yaml",
            "SHA256SUMS",
        }

    @pytest.mark.usefixtures("model_store")
    def test_what_is_undefined_is_left_out(self, tmp_path: Path) -> None:
        """The store refuses None: metadata that are None, at any depth, are not stored."""
        metrics = {"eta_r2": None, "n": 1, "by_bucket": {"low": {"level_r2": None, "n": 1}}}
        dataset = model_dataset(tmp_path, "forecaster")
        dataset.save(replace(self.MODEL, metadata={"metrics": metrics, "some": [1, None]}))
        expected = {"metrics": {"n": 1, "by_bucket": {"low": {"n": 1}}}, "some": [1]}
        assert dataset.load().metadata.items() >= expected.items()

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

    @pytest.mark.parametrize("name", ["a.txt", "SHA256SUMS", "model.yaml"])
    def test_half_a_version_does_not_exist(
        self, model_store: Path, tmp_path: Path, name: str
    ) -> None:
        """A version that lacks a file is neither there for Kedro nor loaded."""
        dataset = model_dataset(tmp_path, "estimator")
        dataset.save(self.MODEL)
        (model_store / dataset.tag.replace(":", "/") / name).unlink()
        assert not dataset.exists()
        with pytest.raises(DatasetError, match=r"not all of it|is missing|has no SHA256SUMS"):
            dataset.load()

    @pytest.mark.parametrize("function", ["shutil.copytree", "pathlib.Path.rename"])
    def test_killed_save_leaves_no_version(self, tmp_path: Path, function: str) -> None:
        """The store lists and loads what it had; the next save removes what was left."""
        home = tmp_path / "home"
        killed = save_in_a_process(home, tmp_path, kill_at=function)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert (home / ".models.partial").exists()
        assert not list((home / "models").rglob("model.yaml"))
        done = save_in_a_process(home, tmp_path)
        assert done.stdout == "1\n", done.stderr
        assert [path.name for path in home.glob(".*")] == [".models.lock"]
        assert list((home / "tmp").iterdir()) == []
        assert list((tmp_path / "tmp").iterdir()) == []

    def test_failed_save_leaves_no_temporary_folder(
        self, model_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On a full disk, neither the store nor the system's temporary folder fills up."""

        def fail(*_: object, **__: object) -> None:
            raise shutil.Error([("a.txt", "b.txt", "[Errno 28] No space left on device: 'b.txt'")])

        monkeypatch.setattr("shutil.copytree", fail)
        temporary = tmp_path / "tmp"
        temporary.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(temporary))
        dataset = model_dataset(tmp_path, "estimator")
        with pytest.raises(
            DatasetError, match=r"a version of estimator: .* No space left on device"
        ):
            dataset.save(self.MODEL)
        assert list(temporary.iterdir()) == []
        assert list(model_store.rglob("*")) == []
        assert not model_store.with_name(".models.partial").exists()

    def test_half_versions_of_the_past_are_deleted(self, model_store: Path, tmp_path: Path) -> None:
        """A folder without model.yaml is deleted at the next save, unless it is new."""
        old, new = model_store / "estimator/old", model_store / "estimator/new"
        for folder in (old, new):
            folder.mkdir(parents=True)
        os.utime(old, (0, 0))
        model_dataset(tmp_path, "estimator").save(self.MODEL)
        assert (old.exists(), new.exists()) == (False, True)


def test_killed_build_leaves_nothing_outside_the_store(tmp_path: Path) -> None:
    """The next save deletes all of it; the system's temporary folder has none."""
    home = tmp_path / "home"
    killed = save_in_a_process(home, tmp_path, kill_at="bentoml.bentos.build_bentofile")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert list((home / ".bentos.partial").rglob("bentofile.yaml"))
    assert list((tmp_path / "tmp").iterdir()) == []


SAVE = """
import os, signal, sys, warnings
from pathlib import Path
from unittest import mock

warnings.simplefilter("ignore")
import bentoml
from stock_volume.datasets import BentoDataset, BentoModelDataset
from stock_volume.project import project_file
from stock_volume.stored_model import BentoContents, StoredModel

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

folder, function = sys.argv[1:]
if function:
    mock.patch(function, die).start()
if function.startswith("bentoml.bentos"):
    bentofile = project_file("bentofile.yaml")
    BentoDataset("service", f"{folder}/bento.json", bentofile).save(BentoContents((), {}))
BentoModelDataset("estimator", f"{folder}/estimator.json").save(StoredModel({"a.txt": "text"}))
print(len(bentoml.models.list()))
"""


def save_in_a_process(
    home: Path, folder: Path, kill_at: str = ""
) -> subprocess.CompletedProcess[str]:
    """Save a model, or build a Bento, in a process that may be killed when it calls a function."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-c", SAVE, str(folder), kill_at],
        env={
            **os.environ,
            "BENTOML_HOME": str(home),
            "BENTOML_DO_NOT_TRACK": "True",
            "TMPDIR": str(temporary),
        },
        capture_output=True,
        text=True,
        check=False,
    )
