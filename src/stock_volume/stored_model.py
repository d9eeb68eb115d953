"""Models as stored in the BentoML model store."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import polars as pl

from stock_volume.checksums import CHECKSUMS_FILE, verify_checksums, write_checksums
from stock_volume.json_value import Json
from stock_volume.progress import watch

if TYPE_CHECKING:  # it takes over a second to import
    import bentoml

ESTIMATOR_NAME: Final = "stock_volume_estimator"
ESTIMATOR_FILE: Final = "model.txt"
LARGEST_INPUTS: Final = "largest_inputs"
"""Metadata of the estimator: largest value of each input in training."""

SMALLEST_INPUTS: Final = "smallest_inputs"
"""Metadata of the estimator: smallest value of each input in its data; earlier ones lack it."""

EXCHANGE_FILE: Final = "exchange.json"
"""Exchange of a snapshot, stored because the service has no exchange_calendars."""

FORECASTER_DIGEST_FILE: Final = "forecaster.sha256"
"""Digest of the forecaster that made the forecasts of a snapshot."""

FORECASTER_NAME: Final = "stock_volume_forecaster"
SNAPSHOT_NAME: Final = "stock_volume_snapshot"
"""Frames of the symbols that the service answers for."""

SERVED_NAMES: Final = (ESTIMATOR_NAME, FORECASTER_NAME, SNAPSHOT_NAME)
"""Models in a Bento, one version each."""

MODEL_DESCRIPTION: Final = "model.yaml"
"""BentoML's own file in the folder of a model."""

_FRAME_SUFFIX: Final = ".parquet"
_ROW_GROUP_ROWS: Final = 16_384
"""Small, so that reading one symbol reads few rows of others."""


def digest_texts(texts: Mapping[str, str]) -> str:
    """Digest the text files of a model.

    Args:
        texts: Text by the name of its file.

    Returns:
        SHA-256 in hexadecimal, which does not depend on the order of the files.
    """
    digest = hashlib.sha256()
    for part in json.JSONEncoder(sort_keys=True).iterencode(texts):  # one text at a time
        digest.update(part.encode())
    return digest.hexdigest()


def drop_undefined(metadata: Mapping[str, Json]) -> dict[str, Json]:
    """Drop entries that are None, which the store rejects.

    Args:
        metadata: Numbers, texts, and dictionaries and lists of them.

    Returns:
        The metadata without None at any depth.

    Raises:
        ValueError: A number is not finite, so JSON cannot represent it.
    """
    return {
        name: _drop_undefined_within(value, name)
        for name, value in metadata.items()
        if value is not None
    }


def _drop_undefined_within(value: Json, name: str) -> Json:
    match value:
        case dict():
            return drop_undefined(value)
        case list() | tuple():
            return [_drop_undefined_within(one, name) for one in value if one is not None]
        case float() if not isfinite(value):
            raise ValueError(f"metadata of a model: {name} is {value}")
    return value


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model as text files and frames, so that loading it executes no code.

    Attributes:
        files: Text of each file, by name: boosters in LightGBM's format, JSON.
        labels: Short values to select versions by.
        metadata: Parameters, metrics and provenance of the training.
        frames: Frames by name, one Parquet file each; scanned lazily on loading.
        tag: Name and version in the store; None until stored.
        created: Time of storing (ISO 8601); None until stored.
    """

    files: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Json] = field(default_factory=dict)
    frames: dict[str, pl.LazyFrame] = field(default_factory=dict)
    tag: str | None = None
    created: str | None = None

    @classmethod
    def from_store(cls, model: "bentoml.Model") -> "StoredModel":
        """Read a version from the store.

        Args:
            model: Entry in the store.

        Returns:
            The model, with lazy frames.

        Raises:
            DamagedFolderError: The version is incomplete, or its files have changed.
        """
        folder = Path(model.path)
        verify_checksums(folder)
        others = (MODEL_DESCRIPTION, CHECKSUMS_FILE)
        paths = [path for path in sorted(folder.iterdir()) if path.name not in others]
        frames = [path for path in paths if path.suffix == _FRAME_SUFFIX]
        return cls(
            files={
                path.name: path.read_text(encoding="utf-8") for path in paths if path not in frames
            },
            labels=dict(model.info.labels),
            metadata=cast("Mapping[str, Json]", dict(model.info.metadata)),
            frames={path.stem: pl.scan_parquet(path, glob=False) for path in frames},
            tag=str(model.tag),
            created=model.creation_time.isoformat(timespec="seconds"),
        )

    def write_into(self, folder: Path) -> None:
        """Write the files and frames, and their checksums.

        Args:
            folder: Folder of a new version in the store.
        """
        for name, text in self.files.items():
            (folder / name).write_text(text, encoding="utf-8")
        for name, frame in watch(tuple(self.frames.items()), "writing the model", "tables"):
            frame.sink_parquet(folder / (name + _FRAME_SUFFIX), row_group_size=_ROW_GROUP_ROWS)
        write_checksums(folder, exclude=[MODEL_DESCRIPTION])


@dataclass(frozen=True, slots=True)
class BentoContents:
    """Contents of a Bento apart from the code.

    Attributes:
        models: Tags of the models that the Bento pins and serves.
        labels: Short values to select Bentos by.
    """

    models: tuple[str, ...]
    labels: dict[str, str]
