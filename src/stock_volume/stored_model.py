"""What the model store keeps of a model."""

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
EXCHANGE_FILE: Final = "exchange.json"
"""The exchange of a snapshot: the service has no exchange_calendars."""

FORECASTER_NAME: Final = "stock_volume_forecaster"
SNAPSHOT_NAME: Final = "stock_volume_snapshot"
"""What the service knows of the symbols: frames beside the models."""

SERVED_NAMES: Final = (ESTIMATOR_NAME, FORECASTER_NAME, SNAPSHOT_NAME)
"""What a Bento holds: one version of each."""

_DESCRIPTION: Final = "model.yaml"
"""BentoML's own file beside those of a model."""

_FRAME_SUFFIX: Final = ".parquet"
_ROW_GROUP_ROWS: Final = 16_384
"""Small, so that the rows of one symbol are found without reading many others."""


def known_only(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is undefined: the store refuses None.

    Args:
        metadata: Numbers, texts, and dictionaries and lists of them.

    Returns:
        The same without the entries, at any depth, that are None.

    Raises:
        ValueError: A number is not finite, and would break the JSON that it is served in.
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
    """A model as the store keeps it: text and frames, so that loading it runs no code.

    Attributes:
        files: Text of each file by name: boosters in LightGBM's format, JSON.
        labels: Short facts to select versions by.
        metadata: Everything else worth knowing of how it came to be.
        frames: Frame by name, each in a Parquet file of its own; scanned when loaded.
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
            folder: That of a new version in the store.
        """
        for name, text in self.files.items():
            (folder / name).write_text(text, encoding="utf-8")
        for name, frame in self.frames.items():
            frame.sink_parquet(folder / (name + _FRAME_SUFFIX), row_group_size=_ROW_GROUP_ROWS)


@dataclass(frozen=True, slots=True)
class BentoContents:
    """What a Bento is built from, beside the code.

    Attributes:
        models: Tag of each model that the Bento pins, and so serves.
        labels: Short facts to select Bentos by.
    """

    models: tuple[str, ...]
    labels: dict[str, str]
