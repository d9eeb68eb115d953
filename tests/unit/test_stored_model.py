"""A model as the store keeps it: text and frames, each in a file, and back."""

import datetime as dt
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from stock_volume.stored_model import StoredModel, drop_undefined

CREATED: Final = dt.datetime(2026, 3, 4, 5, 6, 7, 890_123, tzinfo=dt.UTC)
TEXTS: Final = {
    "model.txt": "tree\nversion=v4\n\u00e9 \u2211\n",
    "forecaster.json": '{"a": 1}',
    "none.txt": "",
}
FRAMES: Final = {
    "symbols": pl.DataFrame(
        {
            "Symbol": ["A", "B", None],
            "ETF": [True, False, None],
            "Date": [dt.date(2020, 1, 2), None, dt.date(1990, 1, 1)],
            "Close": [1.5, None, float("nan")],
            "Volume": [0, 2**53, None],
            "single": pl.Series([0.1, None, -0.0], dtype=pl.Float32),
            "small": pl.Series([1, None, -1], dtype=pl.Int8),
            "kind": pl.Series(
                ["Monday", None, "early close"], dtype=pl.Enum(["Monday", "early close"])
            ),
        }
    ),
    "empty": pl.DataFrame(schema={"Symbol": pl.String, "Volume": pl.Int64}),
}


def entry_of(folder: Path) -> Any:
    """Make an entry of the store by hand, with the file that BentoML keeps beside."""
    (folder / "model.yaml").write_text("name: forecaster\n", encoding="utf-8")
    return SimpleNamespace(
        path=str(folder),
        tag="forecaster:abc",
        creation_time=CREATED,
        info=SimpleNamespace(labels={"task": "regression"}, metadata={"rows": 3}),
    )


def frames_of(model: StoredModel) -> dict[str, pl.DataFrame]:
    return {name: frame.collect() for name, frame in model.frames.items()}


def lazy(frames: dict[str, pl.DataFrame]) -> dict[str, pl.LazyFrame]:
    return {name: frame.lazy() for name, frame in frames.items()}


def test_files_and_frames_come_back(tmp_path: Path) -> None:
    """Text and frames that were written are read as they were, types and nulls too."""
    StoredModel(TEXTS, frames=lazy(FRAMES)).write_into(tmp_path)
    loaded = StoredModel.from_store(entry_of(tmp_path))
    assert loaded.files == TEXTS
    frames = frames_of(loaded)
    assert frames.keys() == FRAMES.keys()
    for name, frame in FRAMES.items():
        assert_frame_equal(frames[name], frame, check_exact=True)


def test_entry_has_the_rest(tmp_path: Path) -> None:
    """Tag, labels, metadata and the second of its making come from the store's entry."""
    StoredModel().write_into(tmp_path)
    loaded = StoredModel.from_store(entry_of(tmp_path))
    assert loaded == StoredModel(
        {}, {"task": "regression"}, {"rows": 3}, {}, "forecaster:abc", "2026-03-04T05:06:07+00:00"
    )


def test_new_model_has_no_tag() -> None:
    """What was never stored has neither tag nor time, and shares nothing with another."""
    model = StoredModel()
    assert (model.tag, model.created) == (None, None)
    model.files["a"] = "b"
    assert StoredModel() == StoredModel({}, {}, {}, {})


def test_each_file_has_its_own_name(tmp_path: Path) -> None:
    """A text is in the file of its name as UTF-8, a frame in a Parquet file of its name."""
    StoredModel(TEXTS, frames=lazy(FRAMES)).write_into(tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {*TEXTS, "symbols.parquet", "empty.parquet", "SHA256SUMS"}
    for name, text in TEXTS.items():
        assert (tmp_path / name).read_bytes() == text.encode()
    assert pq.read_table(tmp_path / "symbols.parquet")["Volume"].to_pylist() == [0, 2**53, None]


@pytest.mark.parametrize("rows", [1, 16_384, 16_385, 50_000])
def test_row_groups_are_small(tmp_path: Path, rows: int) -> None:
    """No row group is larger than 16,384, and each has the bounds of its symbols."""
    symbols = [f"S{row // 500:03}" for row in range(rows)]
    frame = pl.DataFrame({"Symbol": symbols, "Volume": range(rows)})
    StoredModel(frames={"history": frame.lazy()}).write_into(tmp_path)
    metadata = pq.read_metadata(tmp_path / "history.parquet")
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    assert sum(group.num_rows for group in groups) == rows
    assert max(group.num_rows for group in groups) <= 16_384
    assert len(groups) <= rows // 16_384 + 2
    first = 0
    for group in groups:
        bounds = group.column(0).statistics
        assert (bounds.min, bounds.max) == (symbols[first], symbols[first + group.num_rows - 1])
        first += group.num_rows
    loaded = StoredModel.from_store(entry_of(tmp_path)).frames["history"]
    assert_frame_equal(loaded.collect(), frame)


def test_frames_are_computed_when_written(tmp_path: Path) -> None:
    """A frame that is still a query is written as its rows, and one from a store can be again."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    query = FRAMES["symbols"].lazy().filter(pl.col("Volume") > 0).select("Symbol", "Volume")
    StoredModel(frames={"traded": query}).write_into(first)
    StoredModel.from_store(entry_of(first)).write_into(second)
    frames = frames_of(StoredModel.from_store(entry_of(second)))
    assert frames["traded"].rows() == [("B", 2**53)]


def test_loading_reads_no_frame(tmp_path: Path) -> None:
    """A frame is read when it is collected: one whose file is gone by then cannot be."""
    StoredModel(frames=lazy(FRAMES)).write_into(tmp_path)
    frame = StoredModel.from_store(entry_of(tmp_path)).frames["symbols"]
    assert isinstance(frame, pl.LazyFrame)
    (tmp_path / "symbols.parquet").unlink()
    with pytest.raises(FileNotFoundError):
        frame.collect()


def test_what_is_undefined_is_left_out_of_the_metadata() -> None:
    """The store refuses None: what is None, at any depth, is not stored."""
    metrics = {"eta_r2": None, "n": 1, "by_bucket": {"low": {"level_r2": None, "n": 1}}}
    metadata = {"metrics": metrics, "some": [1, None], "pair": (0.5, 2.0), "empty": None}
    assert drop_undefined(metadata) == {
        "metrics": {"n": 1, "by_bucket": {"low": {"n": 1}}},
        "some": [1],
        "pair": [0.5, 2.0],
    }


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_metadata_that_json_cannot_hold_are_refused(value: float) -> None:
    """A number that is not finite is refused by its name, however deep it is."""
    with pytest.raises(ValueError, match="eta_r2 is"):
        drop_undefined({"metrics": {"intervals": {"eta_r2": [0.0, value]}}})
