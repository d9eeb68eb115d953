"""Files that each save replaces at once."""

from datetime import date
from pathlib import Path
from typing import Any, NoReturn

import polars as pl
import pytest
from kedro.io import DatasetError

from stock_volume.datasets import (
    AtomicDataset,
    ChunkedParquetDataset,
)
from stock_volume.json_value import Json


def saved(path: Path, *chunks: pl.DataFrame | pl.LazyFrame) -> ChunkedParquetDataset:
    dataset = ChunkedParquetDataset(path.as_posix())
    for chunk in chunks:
        dataset.save(chunk)
    dataset.confirm()
    return dataset


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
        entry: dict[str, Json] = {"type": "json.JSONDataset", "save_args": {"indent": 2}}
        dataset = AtomicDataset((tmp_path / "file").as_posix(), entry)
        dataset.save({"a": 1})
        assert dataset.path.read_text() == '{\n  "a": 1\n}'

    def test_a_missing_file_is_an_error(self, tmp_path: Path) -> None:
        """Loading a missing file is an error that names it."""
        dataset = AtomicDataset((tmp_path / "file").as_posix(), {"type": "text.TextDataset"})
        with pytest.raises(DatasetError, match="file"):
            dataset.load()
