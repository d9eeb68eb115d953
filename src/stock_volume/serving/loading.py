"""The models that answer, and their loading beside the server's start."""

import asyncio
import gc
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from math import inf
from typing import Self

from stock_volume import columns
from stock_volume.boosters import Booster
from stock_volume.errors import StockVolumeError
from stock_volume.estimator.table import EstimateTable
from stock_volume.exchange import Exchange
from stock_volume.features.registry import FORECAST_FEATURES
from stock_volume.forecaster.model import Forecaster
from stock_volume.forecaster.opening import OpeningModel
from stock_volume.serving.bodies import (
    EstimatorInfo,
    FeatureInfo,
    ForecasterInfo,
    Models,
    SnapshotInfo,
)
from stock_volume.serving.listing import Listing
from stock_volume.snapshot.lookup import IncompatibleModelError, SymbolLookup
from stock_volume.stored_model import (
    ESTIMATOR_FILE,
    EXCHANGE_FILE,
    FORECASTER_DIGEST_FILE,
    LARGEST_INPUTS,
    SMALLEST_INPUTS,
    StoredModel,
    digest_texts,
)

logger = logging.getLogger("bentoml.stock_volume")


class NotReadyError(StockVolumeError):
    """The models are not loaded, yet or at all."""


@dataclass(frozen=True)
class LoadedModels:
    """The models and the data that responses need.

    Attributes:
        table: The estimator.
        lookup: The forecaster and the symbols.
        about: The response of ``GET /models``.
        listing: The response of ``GET /forecasts``.
        smallest: Smallest value of each input of the estimator that it was trained on.
        largest: Largest value of each input of the estimator that it was trained on.
    """

    table: EstimateTable
    lookup: SymbolLookup
    about: Models
    listing: Listing
    smallest: tuple[float, ...]
    largest: tuple[float, ...]

    @classmethod
    def of(cls, estimator: StoredModel, forecaster: StoredModel, snapshot: StoredModel) -> Self:
        """Load the models.

        Args:
            estimator: As stored by ``register_estimator``.
            forecaster: As stored by ``register_forecaster``.
            snapshot: As stored by ``register_snapshot``.

        Returns:
            The models, ready to answer.

        Raises:
            IncompatibleModelError: Another forecaster made the forecasts of the snapshot.
        """
        table = EstimateTable(Booster.from_text(estimator.files[ESTIMATOR_FILE]))
        trained = Forecaster.from_files(forecaster.files)
        opening = OpeningModel.from_files(forecaster.files)
        lookup = SymbolLookup(trained, snapshot.frames, _exchange_of(snapshot), opening)
        _check_origin(trained, forecaster, snapshot)
        about = _about(estimator, forecaster, snapshot, trained, lookup)
        return cls(
            table,
            lookup,
            about,
            Listing(lookup, about.forecaster.tag),
            smallest=_in_order(about.estimator.smallest_inputs, -inf),
            largest=_in_order(about.estimator.largest_inputs, inf),
        )


class ModelLoader:
    """Loads the models in a thread of its own, so that /livez answers meanwhile."""

    def __init__(self) -> None:
        """Start without models."""
        self._loaded: LoadedModels | None = None
        self._reason = "the models are being loaded"
        self._end: Future[None] | None = None

    def start(self, load: Callable[[], LoadedModels]) -> None:
        """Start to load.

        Args:
            load: Loads the models; what it raises is logged, and refuses all requests.
        """
        end = self._end = Future[None]()
        threading.Thread(target=self._load, args=(load, end), daemon=True).start()

    def wait(self, seconds: float) -> None:
        """Wait until the models are loaded, or cannot be."""
        if self._end is not None:
            wait_for([self._end], seconds)

    async def wait_beside(self, seconds: float) -> None:
        """Wait like ``wait``, while the event loop serves other requests."""
        if self._end is not None:
            await asyncio.wait([asyncio.wrap_future(self._end)], timeout=seconds)

    @property
    def is_ready(self) -> bool:
        """Whether requests can be answered."""
        return self._loaded is not None

    def models(self) -> LoadedModels:
        """Give the models.

        Raises:
            NotReadyError: They are not loaded.
        """
        if self._loaded is None:
            raise NotReadyError(self._reason)
        return self._loaded

    def _load(self, load: Callable[[], LoadedModels], end: Future[None]) -> None:
        try:
            self._loaded = _load_and_warm_up(load)
        except Exception:
            logger.exception("the models cannot be loaded")
            self._reason = "the models could not be loaded; the server's log says why"
        finally:
            end.set_result(None)


def _load_and_warm_up(load: Callable[[], LoadedModels]) -> LoadedModels:
    loaded = load()
    loaded.lookup.warm_up()
    loaded.listing.answer()
    # What is loaded stays: the collector need not look through it at every turn.
    gc.collect()
    gc.freeze()
    return loaded


def _in_order(bounds: Mapping[str, float], unknown: float) -> tuple[float, ...]:
    return tuple(bounds.get(name, unknown) for name in columns.ESTIMATOR_INPUTS)


def _check_origin(trained: Forecaster, forecaster: StoredModel, snapshot: StoredModel) -> None:
    """Refuse a snapshot whose forecasts are not the forecaster's."""
    if snapshot.files.get(FORECASTER_DIGEST_FILE) != digest_texts(trained.to_files()):
        raise IncompatibleModelError(
            f"the forecasts of {snapshot.tag} were not made by {forecaster.tag}, or by an earlier "
            "version of this project: run the pipeline update or modelling again"
        )


def _exchange_of(snapshot: StoredModel) -> Exchange:
    if EXCHANGE_FILE not in snapshot.files:
        raise IncompatibleModelError(
            "the snapshot does not name its exchange: an earlier version made it; run the "
            "pipeline update or modelling again"
        )
    return Exchange.model_validate_json(snapshot.files[EXCHANGE_FILE])


def _about(
    estimator: StoredModel,
    forecaster: StoredModel,
    snapshot: StoredModel,
    trained: Forecaster,
    lookup: SymbolLookup,
) -> Models:
    words = {feature.name: feature.description for feature in FORECAST_FEATURES}
    training = trained.training
    return Models(
        estimator=EstimatorInfo(
            **_version(estimator),
            trained_from=estimator.metadata["first_session"],
            trained_to=estimator.metadata["last_session"],
            inputs=list(columns.ESTIMATOR_INPUTS),
            smallest_inputs=estimator.metadata.get(SMALLEST_INPUTS, {}),
            largest_inputs=estimator.metadata[LARGEST_INPUTS],
            metrics=estimator.metadata["metrics"],
        ),
        forecaster=ForecasterInfo(
            **_version(forecaster),
            trained_from=training.first_session,
            trained_to=training.last_session,
            rows=training.rows,
            symbols=training.symbols,
            metrics=forecaster.metadata["metrics"],
            features=[
                FeatureInfo(name=name, description=words.get(name, "")) for name in trained.features
            ],
        ),
        snapshot=SnapshotInfo(
            **_version(snapshot), symbols=lookup.size, latest_bar=lookup.latest_bar
        ),
    )


def _version(model: StoredModel) -> dict[str, str]:
    return {"tag": str(model.tag), "created": str(model.created)}
