"""JSON files that hold one pydantic model each."""

import json
from pathlib import Path

from kedro.io import AbstractDataset, DatasetError
from kedro.utils import load_obj
from pydantic import BaseModel, ValidationError

from stock_volume.datasets.preview import DescribedDataset, EntryMetadata, preview_text
from stock_volume.files import write_atomically


class PydanticJSONDataset(DescribedDataset, AbstractDataset[BaseModel, BaseModel]):
    """A pydantic model in a JSON file, which is replaced at once, never half written.

    Nodes exchange the model; it becomes JSON here alone. JSON has no word for NaN and
    infinity: saving one is an error.

    Example of a catalog entry::

        backtest_plan:
          type: stock_volume.datasets.PydanticJSONDataset
          filepath: data/07_model_output/backtest_plan.json
          model: stock_volume.evaluation.backtest.Plan
    """

    def __init__(self, filepath: str, model: str, metadata: EntryMetadata | None = None) -> None:
        """Keep where the file is and which model it holds.

        Args:
            filepath: Path of the file.
            model: Import path of the pydantic model, imported when first used.
            metadata: For Kedro-Viz.
        """
        self.path = Path(filepath)
        self.metadata = metadata
        self._model = model

    def load(self) -> BaseModel:
        """Load and validate the model.

        Raises:
            DatasetError: The file is missing or does not hold such a model.
        """
        try:
            return self._model_class().model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            raise DatasetError(f"{self.path}: no such file; run the node that makes it") from None
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg']}"
                for fault in error.errors(include_url=False)
            )
            raise DatasetError(
                f"{self.path}: does not hold a {self._model} ({faults}); run the node that makes "
                "it again"
            ) from None

    def save(self, data: BaseModel) -> None:
        """Write the model aside and move the file into place.

        Args:
            data: An instance of the configured model.

        Raises:
            DatasetError: It is an instance of another class, or holds NaN or infinity.
        """
        if not isinstance(data, self._model_class()):
            raise DatasetError(f"{self.path}: a {type(data).__name__} is not a {self._model}")
        text = json.dumps(data.model_dump(mode="json"), indent=2, allow_nan=False)
        with write_atomically(self.path) as aside:
            aside.write_text(text, encoding="utf-8")

    def _preview_content(self) -> str:
        return preview_text(self.path)

    def _model_class(self) -> type[BaseModel]:
        model: type[BaseModel] = load_obj(self._model)
        return model

    def _exists(self) -> bool:
        return self.path.is_file()

    def _describe(self) -> dict[str, str]:
        return {"filepath": str(self.path), "model": self._model}
