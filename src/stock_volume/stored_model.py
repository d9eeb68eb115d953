"""What the model store keeps of a model."""

from dataclasses import dataclass, field
from typing import Any, Final

ESTIMATOR_NAME: Final = "stock_volume_estimator"
ESTIMATOR_FILE: Final = "model.txt"
FORECASTER_NAME: Final = "stock_volume_forecaster"


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model as the store keeps it: text alone, so that loading it runs no code.

    Attributes:
        files: Text of each file by name: boosters in LightGBM's format, JSON.
        labels: Short facts to select versions by.
        metadata: Everything else worth knowing of how it came to be.
        tag: Name and version in the store; None before it is stored.
    """

    files: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    tag: str | None = None
