"""Pydantic models in JSON files: complete, valid, and equal to what was saved."""

import json
from datetime import date
from pathlib import Path
from typing import Final

import pytest
from kedro.io import DataCatalog, DatasetError
from pydantic import BaseModel, ConfigDict

from stock_volume.datasets import PydanticJSONDataset
from stock_volume.evaluation.backtest import Fold, Plan

PLAN: Final = Plan(
    folds=(
        Fold(
            train_start=date(2015, 1, 2),
            train_end=date(2017, 12, 29),
            test_start=date(2018, 1, 2),
            test_end=date(2018, 12, 31),
        ),
    ),
    min_sessions=60,
    note="",
)
MODEL: Final = "stock_volume.evaluation.backtest.Plan"


class Measure(BaseModel):
    """A model with a number that JSON may have no word for."""

    model_config = ConfigDict(frozen=True)

    value: float | None


def _dataset(path: Path, model: str = MODEL) -> PydanticJSONDataset:
    return PydanticJSONDataset(path.as_posix(), model)


def test_round_trip(tmp_path: Path) -> None:
    """A saved model loads as an equal model, from one file in a folder that is made."""
    dataset = _dataset(tmp_path / "deep" / "plan.json")
    assert not dataset.exists()
    dataset.save(PLAN)
    assert dataset.exists()
    assert dataset.load() == PLAN
    assert list(dataset.path.parent.iterdir()) == [dataset.path]


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    """The file holds the fields in their order, dates in ISO format, indented by two blanks."""
    dataset = _dataset(tmp_path / "plan.json")
    dataset.save(PLAN)
    text = dataset.path.read_text(encoding="utf-8")
    assert text == json.dumps(PLAN.model_dump(mode="json"), indent=2)
    assert list(json.loads(text)) == ["folds", "min_sessions", "note", "horizon_step"]
    assert json.loads(text)["folds"][0]["train_start"] == "2015-01-02"


def test_a_catalog_entry_makes_the_dataset(tmp_path: Path) -> None:
    """The entry in the documentation, with a path of the test, saves and loads a model."""
    path = tmp_path / "plan.json"
    entry = {
        "type": "stock_volume.datasets.PydanticJSONDataset",
        "filepath": path.as_posix(),
        "model": MODEL,
    }
    catalog = DataCatalog.from_config({"backtest_plan": entry})
    catalog.save("backtest_plan", PLAN)
    assert catalog.load("backtest_plan") == PLAN


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_json_cannot_hold_leaves_the_old_file(tmp_path: Path, value: float) -> None:
    """Saving NaN or infinity is an error that leaves the earlier file, and nothing beside it."""
    dataset = _dataset(tmp_path / "measure.json", f"{__name__}.Measure")
    dataset.save(Measure(value=None))
    with pytest.raises(DatasetError, match="not JSON compliant"):
        dataset.save(Measure(value=value))
    assert dataset.load() == Measure(value=None)
    assert list(tmp_path.iterdir()) == [dataset.path]


def test_another_model_is_refused(tmp_path: Path) -> None:
    """Saving an instance of another class is an error, and writes nothing."""
    with pytest.raises(DatasetError, match=f"a Measure is not a {MODEL}"):
        _dataset(tmp_path / "plan.json").save(Measure(value=1.0))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """Loading what was never saved is an error that names the file and the remedy."""
    with pytest.raises(DatasetError, match=r"plan\.json: no such file; run the node"):
        _dataset(tmp_path / "plan.json").load()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"folds": [], "min_sessions": "many", "note": ""}', "min_sessions: "),
        ('{"folds": [{}], "min_sessions": 1, "note": ""}', r"folds\.0\.train_start: Field"),
        ('{"folds": [', "file: Invalid JSON"),
    ],
)
def test_an_invalid_file_is_an_error(tmp_path: Path, text: str, fault: str) -> None:
    """A file that does not hold the model is an error that names the file, field and remedy."""
    path = tmp_path / "plan.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=f"plan.json: does not hold.*{fault}.*run the node"):
        _dataset(path).load()
