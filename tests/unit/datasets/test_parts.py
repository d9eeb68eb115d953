"""Layers as folders of parts: what is visible, what is kept, and what is checked."""

import hashlib
import json
import os
from collections.abc import Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from kedro.io import DatasetError
from kedro.validation.exceptions import DataValidationError
from polars.testing import assert_frame_equal

from stock_volume.cluster import _stand_in, _summarise
from stock_volume.datasets import ParquetPartsDataset
from stock_volume.datasets.parts import PartValidator
from stock_volume.exchange import NYSE
from stock_volume.features.schedule import NO_EVENTS
from stock_volume.features.window import FeatureWindow, features_in_window
from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters
from stock_volume.pipelines.update.nodes import update_forecast_features
from stock_volume.symbols import PartedLayer, map_layer, symbol_ranges
from stock_volume.workers import KeptPart, RemoteFrame, frame_of
from tests.unit.forecast_oracles import random_bars, sessions_of
from tests.unit.helpers import files_frame, prices_frame
from tests.unit.s3 import s3_server

FIRST = prices_frame([("A", date(2020, 1, 2)), ("A", date(2020, 1, 3)), ("C", date(2020, 1, 2))])
SECOND = prices_frame([("E", date(2020, 1, 2)), ("F", date(2020, 1, 2))])
PRICES = "stock_volume.schemas.Prices"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """An S3 server with the bucket ``layers``, with fsspec's and Polars' options for it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with s3_server("layers") as server:
        yield server.fsspec, server.polars


def remote(frame: pl.DataFrame, symbols: tuple[str, str] | None = None) -> RemoteFrame:
    """A frame as if a worker had it; without a cluster, the result is the frame itself."""
    return RemoteFrame(frame.height, frame, (), symbols)


def saved(path: Path, *rows: Any) -> ParquetPartsDataset:
    dataset = ParquetPartsDataset(path.as_posix())
    for one in rows:
        dataset.save(one)
    dataset.confirm()
    return dataset


def files(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir())


def contents(path: Path) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = json.loads((path / "contents.json").read_text())["parts"]
    return parts


def test_parts_are_visible_once_all_are_written(tmp_path: Path) -> None:
    """Until the layer is confirmed, readers see the layer of before."""
    path = tmp_path / "prices"
    saved(path, remote(SECOND))
    dataset = ParquetPartsDataset(path.as_posix())
    dataset.save(remote(FIRST))
    assert_frame_equal(dataset.load().collect(), SECOND)
    dataset.save(remote(SECOND))
    dataset.confirm()
    assert_frame_equal(dataset.load().collect(), pl.concat([FIRST, SECOND]))
    assert files(path) == ["contents.json", *(part["file"] for part in contents(path))]


def test_a_failed_node_leaves_the_layer(tmp_path: Path) -> None:
    """Parts that were not confirmed are deleted, and the layer is as before."""
    path = tmp_path / "prices"
    dataset = saved(path, remote(SECOND))
    before = files(path)
    dataset.save(remote(FIRST))
    dataset.release()
    assert files(path) == before
    assert_frame_equal(dataset.load().collect(), SECOND)


def test_parts_are_listed_with_their_digests_and_symbols(tmp_path: Path) -> None:
    """The contents name the rows, the range and the digest of each part."""
    dataset = saved(tmp_path / "prices", remote(FIRST), remote(SECOND, ("D", "G")))
    parts = contents(tmp_path / "prices")
    assert [part["rows"] for part in parts] == [3, 2]
    assert [part["symbols"] for part in parts] == [["A", "C"], ["D", "G"]]
    digests = dataset.digests()
    assert digests is not None
    for digest in digests:
        content = Path(digest.path).read_bytes()
        assert digest.sha256 == hashlib.sha256(content).hexdigest()
        assert digest.size == len(content)


def test_rows_of_this_process_become_one_part(tmp_path: Path) -> None:
    """Frames are collected; a layer without rows has its columns."""
    saved(tmp_path / "a", FIRST, SECOND)
    assert len(contents(tmp_path / "a")) == 1
    empty = saved(tmp_path / "b", remote(FIRST.clear()), FIRST.clear()).load().collect()
    assert empty.is_empty()
    assert empty.schema == FIRST.schema


def test_a_kept_part_is_not_written_again(tmp_path: Path) -> None:
    """An update keeps the file of a part and replaces that of another."""
    path = tmp_path / "prices"
    dataset = saved(path, remote(FIRST), remote(SECOND))
    before = contents(path)
    dataset.save(KeptPart(3, ("A", "C")))
    dataset.save(remote(SECOND))
    dataset.confirm()
    after = contents(path)
    assert after[0] == before[0]
    assert after[1]["file"] != before[1]["file"]
    assert_frame_equal(dataset.load().collect(), pl.concat([FIRST, SECOND]))


def test_nothing_saved_and_lazy_frames_leave_the_layer(tmp_path: Path) -> None:
    """A node that yields nothing, or the layer as loaded, changes no file."""
    path = tmp_path / "prices"
    saved(path, remote(FIRST))
    before = files(path)
    saved(path)
    saved(path, SECOND.lazy())
    assert files(path) == before


def test_layers_at_an_address_with_options(
    store: tuple[dict[str, Any], dict[str, str]],
) -> None:
    """The options of the catalog reach every read and write, and each scan of some parts."""
    dataset = ParquetPartsDataset("s3://layers/run/prices", *store)
    dataset.save(remote(FIRST))
    dataset.save(remote(SECOND))
    dataset.confirm()
    layer = dataset.load()
    assert isinstance(layer, PartedLayer)
    assert_frame_equal(layer.collect(), pl.concat([FIRST, SECOND]))
    (made,) = map_layer(_same, PartedLayer.scan(layer.parts[1:], store[1]), rows=1)
    assert_frame_equal(made, SECOND)
    digests = dataset.digests()
    assert digests is not None
    assert all(one.path.startswith("s3://layers/run/prices/part-0000") for one in digests)


def _same(frame: pl.DataFrame) -> pl.DataFrame:
    return frame


def test_a_frame_is_taken_out_of_a_result_of_several(tmp_path: Path) -> None:
    """The first step picks the field, where the result is; the check of the layer comes next."""
    result: Any = Pair(prices=FIRST, other=SECOND.drop("Close"))
    summary = _summarise(result, ("prices",))
    assert summary.result == Pair(prices=None, other=result.other)
    prices = _stand_in(result, summary, ("prices",)).prices
    assert frame_of(prices.steps, result).equals(FIRST)
    dataset = saved(tmp_path / "prices", PartValidator(PRICES).validate(prices))
    assert_frame_equal(dataset.load().collect(), FIRST)


class Pair(NamedTuple):
    """A result with a frame that stays and one that does not."""

    prices: Any
    other: pl.DataFrame


def test_a_missing_layer_says_what_to_do(tmp_path: Path) -> None:
    dataset = ParquetPartsDataset((tmp_path / "none").as_posix())
    assert not dataset.exists()
    assert dataset.digests() is None
    with pytest.raises(DatasetError, match="no such layer; run the node"):
        dataset.load()


def test_remote_rows_are_checked_where_they_are_written(tmp_path: Path) -> None:
    """The schema is a step of a remote frame, and an error of it fails the layer."""
    validator = PartValidator(PRICES)
    good, bad = remote(FIRST), remote(FIRST.with_columns(Volume=pl.lit(-1)))
    saved(tmp_path / "good", validator.validate(good))
    with pytest.raises(DataValidationError):
        saved(tmp_path / "bad", validator.validate(bad))
    assert not ParquetPartsDataset((tmp_path / "bad").as_posix()).exists()
    with pytest.raises(DataValidationError):
        validator.validate(FIRST.drop("Close"))


def test_ranges_follow_the_parts(tmp_path: Path) -> None:
    """Each part is a range; a new symbol joins the part before it, or the first."""
    dataset = saved(tmp_path / "prices", remote(FIRST), remote(SECOND))
    layer = PartValidator(PRICES).validate(dataset.load())
    assert isinstance(layer, PartedLayer)
    assert list(symbol_ranges(layer, rows=1)) == [("A", "C"), ("E", "F")]
    recent = prices_frame([(symbol, date(2020, 2, 3)) for symbol in ("0", "D", "E", "Z")])
    assert list(symbol_ranges(layer, recent.lazy(), rows=1)) == [("0", "D"), ("E", "Z")]


def _concat(held: pl.DataFrame, recent: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([held, recent]).sort("Symbol", "Date")


def test_parts_without_changed_symbols_are_kept(tmp_path: Path) -> None:
    """The parts with news are computed, the others kept; together they are the whole."""
    dataset = saved(tmp_path / "prices", remote(FIRST), remote(SECOND))
    layer, recent = dataset.load(), prices_frame([("E", date(2020, 2, 3))])
    mapped = partial(map_layer, _concat, layer, recent.lazy(), rows=1, held=layer)
    kept, made = mapped(changed=recent["Symbol"])
    assert kept == KeptPart(3, ("A", "C"))
    assert_frame_equal(made, _concat(SECOND, recent))
    assert all(isinstance(one, pl.DataFrame) for one in mapped(changed=pl.Series(["A", "E"])))


def test_parts_with_rows_that_left_the_window_are_not_kept(tmp_path: Path) -> None:
    """An update keeps a part only if its rows are those that a run on one machine would hold."""
    is_late = pl.col("Symbol") == "LATE"
    bars = random_bars(3).filter(~is_late | (pl.col("Date") >= date(2018, 1, 1)))
    sessions = sessions_of(bars)
    held = features_in_window(bars, NO_EVENTS.events, FeatureWindow(sessions, date(2017, 1, 3)))
    dataset = saved(tmp_path / "features", *(remote(one) for one in held.partition_by("Symbol")))
    files = files_frame({"Symbol": "THIN", "pending": True}).lazy()
    forecaster = ForecasterParameters(train_years=1.0, feature_years=2.0, horizons=(), totals=())
    backtest = BacktestParameters(test_years=1.0)
    events, no_files = NO_EVENTS.events.lazy(), files.clear()
    layers = bars.lazy(), sessions.lazy(), events, files, no_files, forecaster, backtest, NYSE, 1
    expected = pl.concat(update_forecast_features(held.lazy(), *layers))
    made = list(update_forecast_features(dataset.load(), *layers))
    kept = [one for one in made if isinstance(one, KeptPart)]
    assert kept == [KeptPart(held.filter(is_late).height, ("LATE", "LATE"))]
    for one in made:
        dataset.save(one)
    dataset.confirm()
    assert expected.height < held.height
    assert_frame_equal(dataset.load().collect(), expected)
