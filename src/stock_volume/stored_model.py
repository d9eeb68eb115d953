"""Models as the model store keeps them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

if TYPE_CHECKING:  # it takes over a second to import
    import bentoml

ESTIMATOR_NAME: Final = "stock_volume_estimator"
ESTIMATOR_FILE: Final = "model.txt"
LARGEST_INPUTS: Final = "largest_inputs"
"""Metadata of the estimator: largest value of each input in training."""

FORECASTER_NAME: Final = "stock_volume_forecaster"
SNAPSHOT_NAME: Final = "stock_volume_snapshot"
"""What the service knows of the symbols: frames stored beside the models."""

SERVED_NAMES: Final = (ESTIMATOR_NAME, FORECASTER_NAME, SNAPSHOT_NAME)
"""A Bento holds one version of each."""

_DESCRIPTION: Final = "model.yaml"
"""BentoML's own file beside the files of a model."""

_FRAME_SUFFIX: Final = ".parquet"
_ROW_GROUP_ROWS: Final = 16_384
"""Small, so that finding one symbol reads few other rows."""


def known_only(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Omit undefined values: the store refuses None.

    Args:
        metadata: Numbers, texts, and dictionaries and lists of them.

    Returns:
        The same without entries that are None, at any depth.

    Raises:
        ValueError: A number is not finite, so JSON cannot hold it.
    """
    return {name: _known_part(value, name) for name, value in metadata.items() if value is not None}


def _known_part(value: Any, name: str) -> Any:
    match value:
        case dict():
            return known_only(value)
        case list() | tuple():
            return [_known_part(one, name) for one in value if one is not None]
        case float() if not isfinite(value):
            raise ValueError(f"metadata of a model: {name} is {value}")
    return value


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model as texts and frames, so that loading it runs no code.

    Attributes:
        files: Text of each file by name: boosters in their library's format, JSON.
        labels: Short facts to select versions by.
        metadata: How the model was made.
        frames: Frames by name, each in its own Parquet file; scanned when loaded.
        tag: Name and version in the store; None before it is stored.
        created: When it was stored (ISO 8601); None before.
    """

    files: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    frames: dict[str, pl.LazyFrame] = field(default_factory=dict)
    tag: str | None = None
    created: str | None = None

    @classmethod
    def from_store(cls, model: "bentoml.Model") -> "StoredModel":
        """Read a version that is in the store.

        Args:
            model: The store's entry.

        Returns:
            The model; its frames are read when they are collected.
        """
        paths = [path for path in sorted(Path(model.path).iterdir()) if path.name != _DESCRIPTION]
        frames = [path for path in paths if path.suffix == _FRAME_SUFFIX]
        return cls(
            files={
                path.name: path.read_text(encoding="utf-8") for path in paths if path not in frames
            },
            labels=dict(model.info.labels),
            metadata=dict(model.info.metadata),
            frames={path.stem: pl.scan_parquet(path, glob=False) for path in frames},
            tag=str(model.tag),
            created=model.creation_time.isoformat(timespec="seconds"),
        )

    def write_into(self, folder: Path) -> None:
        """Write the files and frames.

        Args:
            folder: Folder of a new version in the store.
        """
        for name, text in self.files.items():
            (folder / name).write_text(text, encoding="utf-8")
        for name, frame in self.frames.items():
            frame.sink_parquet(folder / (name + _FRAME_SUFFIX), row_group_size=_ROW_GROUP_ROWS)


@dataclass(frozen=True, slots=True)
class BentoContents:
    """What a Bento is built from, besides the code.

    Attributes:
        models: Tag of each model that the Bento pins and serves.
        labels: Short facts to select Bentos by.
    """

    models: tuple[str, ...]
    labels: dict[str, str]
