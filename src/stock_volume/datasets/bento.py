"""Entries of the BentoML store: models, and the Bento that serves them.

BentoML is imported where it is used: it takes over a second, and most runs need none.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DatasetError

from stock_volume.datasets.preview import DescribedDataset
from stock_volume.stored_model import StoredModel

if TYPE_CHECKING:
    import bentoml


class BentoModelDataset(DescribedDataset, AbstractDataset[StoredModel, StoredModel]):
    """A model in the BentoML store, as files of text and of Parquet."""

    def __init__(self, name: str, metadata: dict[str, Any] | None = None) -> None:
        """Keep the model's name.

        Args:
            name: Name in the store; each save makes a new version.
            metadata: Description, and layer in Kedro-Viz.
        """
        self._name = name
        self.metadata = metadata

    @property
    def tag(self) -> str:
        """Name and version of the latest version."""
        return str(self._latest().tag)

    def load(self) -> StoredModel:
        """Load the latest version."""
        return StoredModel.from_store(self._latest())

    def save(self, data: StoredModel) -> None:
        """Store a new version."""
        import bentoml

        with bentoml.models.create(self._name, labels=data.labels, metadata=data.metadata) as model:
            data.write_into(Path(model.path))

    def _latest(self) -> "bentoml.Model":
        import bentoml

        try:
            return bentoml.models.get(self._name)
        except bentoml.exceptions.NotFound as error:
            raise DatasetError(f"no model {self._name} in the BentoML store") from error

    def _exists(self) -> bool:
        import bentoml

        return any(model.tag.name == self._name for model in bentoml.models.list())

    def _describe(self) -> dict[str, Any]:
        return {"name": self._name}


class BentoDataset(DescribedDataset, AbstractDataset[dict[str, str], str]):
    """The servable Bento, built from the project's bentofile."""

    def __init__(self, name: str, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Keep what to build.

        Args:
            name: Name in the store; each save makes a new version.
            filepath: The bentofile; its folder is the project.
            metadata: Description, and layer in Kedro-Viz.
        """
        self._name = name
        self._bentofile = Path(filepath)
        self.metadata = metadata

    @property
    def tag(self) -> str:
        """Name and version of the latest version."""
        import bentoml

        try:
            return str(bentoml.bentos.get(self._name).tag)
        except bentoml.exceptions.NotFound as error:
            raise DatasetError(f"no Bento {self._name} in the BentoML store") from error

    def load(self) -> str:
        """Tell the latest version's tag; the Bento itself is for BentoML to load."""
        return self.tag

    def save(self, data: dict[str, str]) -> None:
        """Build a new version.

        Args:
            data: Its labels.
        """
        import bentoml

        bentoml.bentos.build_bentofile(
            str(self._bentofile),
            name=self._name,
            labels=data,
            build_ctx=str(self._bentofile.parent),
        )

    def _exists(self) -> bool:
        import bentoml

        return any(bento.tag.name == self._name for bento in bentoml.bentos.list())

    def _describe(self) -> dict[str, Any]:
        return {"name": self._name, "bentofile": str(self._bentofile)}
