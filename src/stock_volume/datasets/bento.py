"""Models and Bentos in the BentoML store.

All data roots share a store, so its latest version may belong to another data root. Each
dataset therefore writes the tag of the version that it saved to a file under its data root.

Imports of BentoML are local, because importing it takes over a second and most runs need none.
"""

import json
import sys
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from kedro.io import AbstractDataset, DatasetError
from omegaconf import OmegaConf

from stock_volume.checksums import DamagedFolderError, verify_checksums, write_checksums
from stock_volume.datasets.preview import DescribedDataset, EntryMetadata
from stock_volume.datasets.store import staging
from stock_volume.files import write_atomically
from stock_volume.progress import progress
from stock_volume.project import PACKAGE, build_context
from stock_volume.stored_model import (
    MODEL_DESCRIPTION,
    BentoContents,
    StoredModel,
    drop_undefined,
)

if TYPE_CHECKING:
    import bentoml

_TAG: Final = "tag"
BENTO_DESCRIPTION: Final = "bento.yaml"
"""BentoML's own file in the folder of a Bento."""

TAG_FILE: Final = "tag_file"
"""Metadata of a model: the absolute path of the file with its tag, which is below the data root of
the run that made it. `kedro lineage` finds the run's manifest by it."""

_Saved = TypeVar("_Saved")
_Loaded = TypeVar("_Loaded")


_REQUIREMENTS: Final = "env/python/requirements.txt"
"""File of a Bento that its image is installed from."""


def _require_hashes(requirements: Path) -> None:
    """Require a hash of every package that an image of a Bento installs.

    BentoML appends its own version without one; the lock file has it with its hashes.
    """
    import bentoml

    text = requirements.read_text(encoding="utf-8")
    own = f"bentoml=={bentoml.__version__}"
    if f"\n{own} \\\n" in f"\n{text}":
        text = text.rstrip().removesuffix(f"\n{own}").rstrip() + "\n"
    requirements.write_text(f"--require-hashes\n{text}", encoding="utf-8")


@contextmanager
def _keeping_modules() -> Iterator[None]:
    """Keep this package's modules: BentoML imports the service, which imports its own sources."""
    path, before = list(sys.path), dict(_own_modules())
    try:
        yield
    finally:
        for name, module in _own_modules():
            if not Path(str(module.__file__)).is_relative_to(PACKAGE):
                del sys.modules[name]
        sys.modules.update(before)
        sys.path[:] = path


def _own_modules() -> list[tuple[str, ModuleType]]:
    modules = sys.modules.items()
    return [(name, module) for name, module in modules if name.partition(".")[0] == PACKAGE.name]


class StoreDataset(DescribedDataset, AbstractDataset[_Saved, _Loaded]):
    """A version in the BentoML store, and the file with its tag."""

    def __init__(self, name: str, filepath: str, metadata: EntryMetadata | None = None) -> None:
        """Configure the dataset.

        Args:
            name: Name in the store; each save creates a new version.
            filepath: File with the tag of the last saved version, a JSON object with the
                key ``tag``.
            metadata: Description, and layer in Kedro-Viz.
        """
        self._name = name
        self._tag_file = Path(filepath)
        self.metadata = metadata

    @property
    def tag(self) -> str:
        """Name and version last saved under this data root.

        Raises:
            DatasetError: The file with the tag is missing or unreadable.
        """
        try:
            tag = json.loads(self._tag_file.read_text(encoding="utf-8"))[_TAG]
        except FileNotFoundError:
            raise DatasetError(
                f"{self._tag_file}: no such file, so this data root has no {self._name}; run "
                "`kedro run`, or the node that makes it"
            ) from None
        except (ValueError, LookupError, TypeError):
            tag = None
        if not isinstance(tag, str) or not tag.startswith(f"{self._name}:"):
            raise DatasetError(
                f"{self._tag_file}: names no version of {self._name}; delete it and run "
                "`kedro run`, or the node that makes it"
            )
        return tag

    def _write_tag(self, tag: str) -> None:
        with write_atomically(self._tag_file) as aside:
            aside.write_text(json.dumps({_TAG: tag}) + "\n", encoding="utf-8")

    @abstractmethod
    def _find(self, tag: str) -> Any:
        """Find a tag in the store; BentoML raises NotFound."""

    def _find_stored(self) -> Any:
        import bentoml

        tag = self.tag
        try:
            return self._find(tag)
        except bentoml.exceptions.BentoMLException as error:  # not there, or only half of it
            raise DatasetError(
                f"{tag}, which {self._tag_file} names, is not in the BentoML store, or not all "
                "of it; set BENTOML_HOME to the store that has it, import it, or make another "
                "with `kedro run`"
            ) from error

    def _verify_stored(self) -> Any:
        """Find the version, and compare its files with their checksums.

        Raises:
            DatasetError: There is no such version.
            DamagedFolderError: It is incomplete, or has changed.
        """
        stored = self._find_stored()
        verify_checksums(Path(stored.path))
        return stored

    def _exists(self) -> bool:
        try:
            self._verify_stored()
        except (DatasetError, DamagedFolderError):
            return False
        return True

    def _describe(self) -> dict[str, str]:
        return {"name": self._name, "filepath": str(self._tag_file)}


class BentoModelDataset(StoreDataset[StoredModel, StoredModel]):
    """A model in the BentoML store, as text and Parquet files.

    Example of a catalog entry::

        estimator_model:
          type: stock_volume.datasets.BentoModelDataset
          name: stock_volume_estimator
          filepath: data/06_models/estimator_model.json
    """

    def load(self) -> StoredModel:
        """Load the version last saved under this data root."""
        return StoredModel.from_store(self._find_stored())

    def save(self, data: StoredModel) -> None:
        """Store a new version."""
        import bentoml
        from bentoml._internal.configuration.containers import BentoMLContainer

        place = {TAG_FILE: self._tag_file.absolute().as_posix()}
        metadata = drop_undefined({**data.metadata, **place})
        store = BentoMLContainer.model_store.get()
        with (
            staging(store, self._name, MODEL_DESCRIPTION) as aside,
            bentoml.models.create(
                self._name, labels=data.labels, metadata=metadata, _model_store=aside
            ) as model,
        ):
            data.write_into(Path(model.path))
        self._write_tag(str(model.tag))

    def _find(self, tag: str) -> "bentoml.Model":
        import bentoml

        return bentoml.models.get(tag)


class BentoDataset(StoreDataset[BentoContents, str]):
    """The Bento of the service, built from the project's bentofile.

    Example of a catalog entry::

        service_bento:
          type: stock_volume.datasets.BentoDataset
          name: stock_volume
          filepath: data/06_models/service_bento.json
          path: bentofile.yaml
    """

    def __init__(
        self, name: str, filepath: str, path: str, metadata: EntryMetadata | None = None
    ) -> None:
        """Configure the dataset.

        Args:
            name: Name in the store; each save creates a new version.
            filepath: File with the tag of the last saved version.
            path: The bentofile; its folder is the project. (Kedro makes a ``path`` absolute.)
            metadata: Description, and layer in Kedro-Viz.
        """
        super().__init__(name, filepath, metadata)
        self._bentofile = Path(path)

    def load(self) -> str:
        """Return the tag of the last saved version; BentoML itself loads the Bento."""
        return str(self._verify_stored().tag)

    def save(self, data: BentoContents) -> None:
        """Build a new version.

        Args:
            data: Models to pin, and labels.
        """
        import bentoml
        from bentoml._internal.configuration.containers import BentoMLContainer

        options = OmegaConf.merge(OmegaConf.load(self._bentofile), {"models": list(data.models)})
        store = BentoMLContainer.bento_store.get()
        with (
            build_context(self._bentofile.parent) as context,
            staging(store, self._name, BENTO_DESCRIPTION) as aside,
            TemporaryDirectory() as folder,  # below the one that the next save deletes
            progress("building the Bento", 3, "steps") as advance,
        ):
            completed = Path(folder, self._bentofile.name)
            OmegaConf.save(options, completed)
            advance(1)
            # BentoML reads no files outside the current folder.
            with chdir(context), _keeping_modules():
                bento = bentoml.bentos.build_bentofile(
                    str(completed),
                    name=self._name,
                    labels=data.labels,
                    build_ctx=str(context),
                    _bento_store=aside,
                )
            advance(1)
            _require_hashes(Path(bento.path, _REQUIREMENTS))
            write_checksums(Path(bento.path), exclude=[BENTO_DESCRIPTION])
            advance(1)
        self._write_tag(str(bento.tag))

    def _find(self, tag: str) -> "bentoml.Bento":
        import bentoml

        return bentoml.bentos.get(tag)

    def _describe(self) -> dict[str, str]:
        return {**super()._describe(), "bentofile": str(self._bentofile)}
