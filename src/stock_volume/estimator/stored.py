"""What the model store keeps of a model."""

from dataclasses import dataclass, field
from typing import Any, Final

MODEL_NAME: Final = "stock_volume_estimator"
MODEL_FILE: Final = "model.txt"


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model as the store keeps it.

    Attributes:
        text: The booster in LightGBM's text format.
        labels: Short facts to select versions by.
        metadata: Everything else worth knowing of how it came to be.
        tag: Name and version in the store; None before it is stored.
    """

    text: str
    labels: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    tag: str | None = None
